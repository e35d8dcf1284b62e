package sip

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// health is of a host that is not well. One that is has none.
type health struct {
	missed int       // OPTIONS in a row without a good answer
	rest   time.Time // left alone until then
	asked  bool      // it asked for that itself
}

// Longest time a host can ask to be left alone; a mistake there shall not cost a day.
const longestRest = time.Hour

// why a call went on to the next host, or a host counts as failing.
const (
	failedSilent      = "timeout"
	failedUnavailable = "503"
	failedUnreachable = "unreachable"
)

// failed has a host rest. after is what it asked for, 0 if nothing.
func (t *trunk) failed(addr, why string, after time.Duration) {
	t.s.metrics.trunkFailures.WithLabelValues(t.Name, why).Inc()
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[addr]
	rest := min(after, longestRest)
	if after == 0 {
		rest = t.Rest.D()
	}
	if until := time.Now().Add(rest); until.After(h.rest) {
		h.rest, h.asked = until, after > 0
	}
	t.hosts[addr] = h
}

// works notes that a host answers.
func (t *trunk) works(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ill := t.hosts[addr]; ill && !(h.asked && time.Now().Before(h.rest)) {
		delete(t.hosts, addr)
	}
}

// missed notes an OPTIONS without an answer, and reports whether that makes the
// host one that is down.
func (t *trunk) missed(addr string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[addr]
	h.missed++
	t.hosts[addr] = h
	return h.missed == max(1, t.DownAfter)
}

// well reports whether a host is one to begin with; t.mu is held.
func (t *trunk) well(addr string, now time.Time) bool {
	h := t.hosts[addr]
	return h.missed < max(1, t.DownAfter) && !now.Before(h.rest)
}

// forget drops what is known of addresses that are no hosts any more, or have
// rested enough; t.mu is held.
func (t *trunk) forget(now time.Time) {
	maps.DeleteFunc(t.hosts, func(addr string, h health) bool {
		return !slices.Contains(t.known, addr) || h.missed == 0 && !now.Before(h.rest)
	})
}

// choose puts hops into the order they are tried in: the well ones, then those
// that failed, since nothing better is left. Who asked for rest has it.
func (t *trunk) choose(all []hop) []hop {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var good, bad []hop
	for _, p := range all {
		h := t.hosts[p.addr]
		switch {
		case t.well(p.addr, now):
			good = append(good, p)
		case !h.asked || !now.Before(h.rest):
			bad = append(bad, p)
		}
	}
	return append(good, bad...)
}

// up reports whether a call would find a host that is well, as far as is known.
func (t *trunk) up() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.lost {
		return false
	}
	return len(t.known) == 0 || slices.ContainsFunc(t.known, func(addr string) bool { return t.well(addr, now) })
}

// watch asks each host again and again whether it is there.
func (t *trunk) watch() {
	for {
		t.ask()
		wait := t.Options.D()
		wait += time.Duration(rand.Int64N(int64(wait)/5+1)) - wait/10
		select {
		case <-t.s.closing:
			return
		case <-time.After(wait):
		}
	}
}

// ask sends OPTIONS to every host at once and returns when all have answered, or
// have had their time.
func (t *trunk) ask() {
	all, err := t.lookup(t.s.ctx)
	if err != nil {
		t.s.log.Warn("trunk has no host", "trunk", t.Name, "error", err)
		return
	}
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Add(1)
		if !t.s.spawn(func() { defer wg.Done(); t.probe(p) }) {
			wg.Done()
		}
	}
	wg.Wait()
}

// probe asks one host. Any answer but 503 shows that it is there.
func (t *trunk) probe(p hop) {
	res, err := t.options(p)
	switch {
	case t.s.ctx.Err() != nil:
	case err != nil || res.StatusCode == 408:
		if t.missed(p.addr) {
			t.s.log.Warn("trunk's host is down", "trunk", t.Name, "host", p.addr)
		}
	case res.StatusCode == 503:
		t.failed(p.addr, failedUnavailable, retryAfter(res))
	default:
		t.works(p.addr)
	}
}

func (t *trunk) options(p hop) (*gosip.Response, error) {
	ctx, cancel := context.WithTimeout(t.s.ctx, t.Timeout.D())
	defer cancel()
	d := t.dialogWith(p)
	req := d.request(gosip.OPTIONS, 1)
	req.AppendHeader(acceptHeader)
	req.AppendHeader(agentHeader)
	return t.send(ctx, d.via.at, p, req)
}

// dialogWith begins a request to a host that belongs to no call.
func (t *trunk) dialogWith(p hop) dialog {
	ln, tag := t.listener(), token()
	return dialog{
		callID:   gosip.CallIDHeader(token() + token()),
		localTag: tag,
		from: &gosip.FromHeader{Address: gosip.Uri{Scheme: "sip", User: escapeUser(t.user()), Host: t.ourHost()},
			Params: gosip.HeaderParams{{K: "tag", V: tag}}},
		to:     &gosip.ToHeader{Address: t.uri("", p)},
		target: t.uri("", p),
		via:    flow{at: ln},
	}
}

// send sends a request to a host and waits for its answer.
func (t *trunk) send(ctx context.Context, ln *listener, p hop, req *gosip.Request) (*gosip.Response, error) {
	req.SetDestination(p.addr)
	f := flow{at: ln, remote: p.addr}
	conn, err := f.dial(ctx, req)
	if err != nil {
		return nil, err
	}
	contact := f.contact("sip").Address
	contact.User = escapeUser(t.user())
	req.AppendHeader(gosip.NewHeader("Contact", "<"+contact.String()+">"))
	req.SetBody(nil)
	return t.s.do(ctx, req, conn)
}

// retryAfter reads for how long a host asks to be left alone; 0 if it does not say.
func retryAfter(res *gosip.Response) time.Duration {
	v, _, _ := strings.Cut(header(res, "retry-after", ""), ";")
	v, _, _ = strings.Cut(v, "(")
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
