package sip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// account is our registration at a trunk: REGISTER, again before it lapses, and
// taken back at the end. One goroutine has it.
type account struct {
	t       *trunk
	dlg     dialog // Call-ID, tag and CSeq stay the same while it lasts (RFC 3261 section 10.2.4)
	expires time.Duration
	contact string // as it was told last
}

const (
	firstRetry   = 2 * time.Second // after a denial; each further one doubles it
	longestRetry = 5 * time.Minute
)

// stayRegistered keeps the account until the server is closed.
func (t *trunk) stayRegistered() {
	defer t.s.accounts.Done()
	a := &account{t: t, dlg: t.dialogWith(hop{}), expires: t.Expires.D()}
	if a.expires <= 0 {
		a.expires = 10 * time.Minute
	}
	retry := firstRetry
	for wait := time.Duration(0); ; {
		select {
		case <-t.s.leaving:
			if t.registered() {
				a.leave()
			}
			return
		case <-time.After(wait):
		}
		granted, err := a.register(t.s.ctx, a.expires)
		if err == nil {
			t.registeredFor(granted)
			wait, retry = granted*3/4-jitter(granted/20), firstRetry
			continue
		}
		if t.s.ctx.Err() == nil {
			t.s.log.Warn("not registered at trunk", "trunk", t.Name, "error", err)
		}
		wait = retry - jitter(retry/2)
		var busy denial
		if errors.As(err, &busy) {
			wait = max(wait, min(busy.after, longestRest))
		}
		retry = min(2*retry, longestRetry)
	}
}

// jitter gives a random part of d, so that nodes that begin together do not stay
// together.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }

// leave takes the registration back.
func (a *account) leave() {
	ctx, cancel := context.WithTimeout(a.t.s.ctx, a.t.s.closeGrace)
	defer cancel()
	if _, err := a.register(ctx, 0); err != nil {
		a.t.s.log.Warn("registration at trunk not taken back", "trunk", a.t.Name, "error", err)
	}
	a.t.registeredFor(0)
}

// denial is a REGISTER that the trunk refused.
type denial struct {
	code   int
	reason string
	after  time.Duration // to wait before the next
}

func (r denial) Error() string { return fmt.Sprintf("%d %s", r.code, r.reason) }

// register tries the hosts of the trunk until one gives an answer but 503, and
// tells for how long that one keeps the binding.
func (a *account) register(ctx context.Context, expires time.Duration) (time.Duration, error) {
	all, err := a.t.lookup(ctx)
	if err != nil {
		return 0, err
	}
	err = errNoHost
	for _, p := range a.t.choose(all) {
		var granted time.Duration
		granted, err = a.registerAt(ctx, p, expires)
		if err == nil {
			a.t.works(p.addr)
			return granted, nil
		}
		var no denial
		switch {
		case ctx.Err() != nil:
			return 0, err
		case !errors.As(err, &no):
			a.t.failed(p.addr, failedSilent, 0)
		case no.code == 503:
			a.t.failed(p.addr, failedUnavailable, no.after)
		default:
			return 0, err
		}
	}
	return 0, err
}

// registerAt registers at one host: with proof if it asks for that, and for longer
// if it finds the time too short.
func (a *account) registerAt(ctx context.Context, p hop, expires time.Duration) (time.Duration, error) {
	var proof gosip.Header
	proofs, longer := 0, false
	for {
		res, err := a.try(ctx, p, expires, proof)
		if err != nil {
			return 0, err
		}
		no := denial{res.StatusCode, reasonOf(res.StatusCode), retryAfter(res)}
		switch {
		case res.IsSuccess():
			return grantedBy(res, expires, a.contact), nil
		case (res.StatusCode == 401 || res.StatusCode == 407) && mayProve(res, proofs):
			proofs++
			uri := a.t.uri("", p)
			if proof, err = prove(res, gosip.REGISTER, uri.String(), Auth{a.t.Username, a.t.Password}); err != nil {
				return 0, err
			}
		case res.StatusCode == 423 && !longer && expires > 0:
			longer = true
			secs, err := strconv.ParseUint(strings.TrimSpace(header(res, "min-expires", "")), 10, 31)
			least := time.Duration(secs) * time.Second
			if err != nil || least <= expires || least > 24*time.Hour {
				return 0, no
			}
			expires, a.expires, proof = least, least, nil
			proofs = 0
		default:
			return 0, no
		}
	}
}

// try sends one REGISTER.
func (a *account) try(ctx context.Context, p hop, expires time.Duration, proof gosip.Header) (*gosip.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, a.t.Timeout.D())
	defer cancel()
	a.dlg.target = a.t.uri("", p)
	aor := a.t.uri(a.t.Username, p)
	aor.UriParams, aor.Port = nil, 0
	a.dlg.from = &gosip.FromHeader{Address: aor, Params: a.dlg.from.Params}
	a.dlg.to = &gosip.ToHeader{Address: aor}
	req := a.dlg.request(gosip.REGISTER, a.dlg.next())
	req.AppendHeader(agentHeader)
	req.AppendHeader(gosip.NewHeader("Expires", strconv.Itoa(int(expires/time.Second))))
	if proof != nil {
		req.AppendHeader(proof)
	}
	res, err := a.t.send(ctx, a.dlg.via.at, p, req)
	a.contact = header(req, "contact", "")
	return res, err
}

// mayProve reports whether a challenge is to be answered: the first is, and a
// second if it says that only the nonce was too old. Else the password is wrong, and
// trying it again and again gets us banned.
func mayProve(res *gosip.Response, answered int) bool {
	return answered == 0 || answered < maxProofs && isStale(res)
}

// isStale reports whether a challenge says that the proof was right (RFC 7616 section
// 3.3).
func isStale(res *gosip.Response) bool {
	for _, name := range []string{"www-authenticate", "proxy-authenticate"} {
		for _, h := range res.GetHeaders(name) {
			if p, err := parseDigest(h.Value()); err == nil && strings.EqualFold(p["stale"], "true") {
				return true
			}
		}
	}
	return false
}

// registered reports whether the trunk has a binding of ours.
func (t *trunk) registered() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.until)
}

func (t *trunk) registeredFor(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Now().Add(d)
}

// awaitAccounts waits until no trunk has a binding of ours, or has had time enough
// to answer.
func (s *Server) awaitAccounts() {
	done := make(chan struct{})
	go func() {
		s.accounts.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(s.closeGrace):
	}
}
