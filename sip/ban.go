package sip

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// Bans is where nodes tell each other which sources are banned. What is lost
// there costs the other nodes one more round of failures, nothing else.
type Bans interface {
	// PutBan tells that a source is banned for so long.
	PutBan(ctx context.Context, source string, d time.Duration) error
	// Bans gives the sources that are banned now, with what is left of it.
	Bans(ctx context.Context) (map[string]time.Duration, error)
}

// offence is what brings a source nearer to a ban.
type offence string

const (
	offenceMalformed offence = "malformed"
	offenceMethod    offence = "unknown_method"
	offenceProof     offence = "wrong_proof"
	offenceNoAnswer  offence = "no_proof" // challenged; a right proof takes it back
	banShared        offence = "shared"   // another node's
)

// challengeWeight is what a challenge counts until it is answered: a phone that
// registers is challenged first, and an office has many phones behind one address.
const challengeWeight = 0.1

// reasons a message is dropped.
const (
	dropBanned     = "banned"
	dropRate       = "rate"       // more than one source may send
	dropTotal      = "total_rate" // more than all strangers may send together
	dropImplausib  = "implausible"
	dropUnparsable = "unparsable"
	dropUnanswered = "unanswerable"
	dropBusy       = "busy" // too many at once
)

const (
	shareEvery = 2 * time.Second // how soon a ban is known to the other nodes
	shareQueue = 256
	failWindow = time.Minute // in which failures leak away
)

// edge judges where a message comes from, before the message is read: trunks and
// trusted networks pass, other sources pass within their rate unless banned. A
// source is banned for repeated failures, each time twice as long.
//
// Who sends datagrams can write any source into them. So what they are banned for,
// unless it is a wrong proof, which shows that our challenge arrived there, bans the address
// for datagrams alone, never for longer than the first ban, and is not told to other
// nodes: nobody is shut out for long by somebody else, nor at all over a connection.
//
// A ban is of an address, whoever else is behind it; but the flow of a registered
// phone, or of a trunk's host we call, passes, so that nobody takes an agent off the air by
// misbehaving in his name or in his office. Behind an edge proxy the phone may have
// registered at another node: nodes tell each other (Binding.Sender).
type edge struct {
	limits  config.Limits
	trusted []netip.Prefix
	proxies []netip.Prefix                                 // edge proxies of ours, trusted as well
	phone   func(from netip.AddrPort, network string) bool // or a trunk's host
	metrics *metrics
	trace   *tracer // of what was let in, and what went out
	bans    Bans
	caught  func(where string, r any) // is told of a panic in a reader
	senders func(context.Context) (func(flow string) bool, error)
	born    time.Time
	toShare chan newBan
	begun   chan struct{} // a ban, or dropping for a rate, has

	mu      sync.Mutex
	sparing time.Duration          // until then it is asked who has registered: the last ban ends, or the last rate was passed a while ago
	phones  func(flow string) bool // behind edge proxies, of all nodes; nil while nobody has to be spared
	sources *sources
	total   buckets
	calls   bucket
}

type newBan struct {
	source netip.Addr
	d      time.Duration
}

func newEdge(c config.SIP, bans Bans, m *metrics, phone func(netip.AddrPort, string) bool) *edge {
	e := &edge{
		limits: c.Limits, trusted: slices.Concat(c.Limits.Trusted, c.Edges), proxies: c.Edges, phone: phone, metrics: m, trace: newTracer(c.Trace.Memory), bans: bans, born: time.Now(),
		toShare: make(chan newBan, shareQueue), begun: make(chan struct{}, 1),
		sources: newSources(sourceSets),
	}
	e.total = full(float64(c.Limits.Total), 0)
	e.calls.tokens = float64(c.Limits.Calls)
	for _, t := range c.Trunks {
		e.trusted = append(e.trusted, t.Addresses...)
	}
	return e
}

func (e *edge) now() time.Duration { return time.Since(e.born) }

// trusts reports whether a source is neither limited nor banned.
func (e *edge) trusts(a netip.Addr) bool { return inAny(e.trusted, a) }

// admit reports whether a message from there of a size in bytes may be read, and
// counts one that may not. A connection that begins has none.
func (e *edge) admit(from netip.AddrPort, network string, size int) bool {
	a := from.Addr().Unmap()
	if e.trusts(a) {
		return true
	}
	reason := e.judge(sourceOf(a), network, cost(size))
	if reason == "" || e.phone(from, network) || e.registered(from, network) {
		return true
	}
	e.metrics.drop(reason)
	return false
}

// judge takes a message's tokens, or says why there are none.
func (e *edge) judge(a netip.Addr, network string, tokens float64) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, rate := e.now(), float64(e.limits.Source)
	s := e.sources.get(a, now, rate)
	switch {
	case s.banned(now, network):
		return dropBanned
	case rate > 0 && !s.buckets.of(network).take(now, rate, tokens):
		return e.limited(now, dropRate)
	case e.limits.Total > 0 && !e.total.of(network).take(now, float64(e.limits.Total), tokens):
		return e.limited(now, dropTotal)
	}
	return ""
}

// limited has the phones of other nodes asked for, whom a rate does not hold either.
func (e *edge) limited(now time.Duration, reason string) string {
	if now >= e.sparing {
		e.spare() // once: a flood is dropped for next to nothing
	}
	e.sparing = max(e.sparing, now+failWindow)
	return reason
}

// spare has it asked soon who has registered.
func (e *edge) spare() {
	select {
	case e.begun <- struct{}{}:
	default:
	}
}

// banned reports whether nothing from an address is taken that comes by a network.
func (e *edge) banned(a netip.Addr, network string) bool {
	a = a.Unmap()
	if e.trusts(a) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sources.find(sourceOf(a))
	return s != nil && s.banned(e.now(), network)
}

// cuts reports whether a connection is to be cut: its far end is banned, and no
// phone is registered over it.
func (e *edge) cuts(from netip.AddrPort, network string) bool {
	return e.banned(from.Addr(), network) && !e.phone(from, network)
}

// failed counts a failure of a source and bans it when there are too many.
func (e *edge) failed(a netip.Addr, network string, what offence) {
	weight := 1.0
	if what == offenceNoAnswer {
		weight = challengeWeight
	}
	e.count(a, network, weight, what)
}

// asked gives the address a challenge is to be answered from. Of a source that is
// trusted, such as a pair of proxies that share the work, that is not asked.
func (e *edge) asked(f flow) netip.Addr {
	a := f.addr()
	if !a.IsValid() || e.trusts(a) {
		return netip.Addr{}
	}
	return sourceOf(a)
}

// proved takes back what the challenge before has counted. It forgives nothing
// else: who has one right password may be guessing others.
func (e *edge) proved(a netip.Addr, network string) { e.count(a, network, -challengeWeight, "") }

func (e *edge) count(a netip.Addr, network string, weight float64, what offence) {
	a = a.Unmap()
	if e.limits.Failures <= 0 || !a.IsValid() || e.trusts(a) {
		return
	}
	a = sourceOf(a)
	d, certain := e.tally(a, network != "udp" || what == offenceProof, weight)
	if d == 0 {
		return
	}
	e.metrics.bans.WithLabelValues(string(what)).Inc()
	e.spare()
	if !certain {
		return
	}
	select {
	case e.toShare <- newBan{a, d}:
	default: // the other nodes will find out by themselves
	}
}

// tally adds to what is held against a source, for certain or not, and gives for how
// long that bans it, and whether all nodes should.
func (e *edge) tally(a netip.Addr, certain bool, weight float64) (ban time.Duration, share bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, limit := e.now(), float64(e.limits.Failures)
	s := e.sources.get(a, now, float64(e.limits.Source))
	t, longest := &s.proven, e.limits.LongestBan.D()
	if !certain {
		t, longest = &s.claimed, e.limits.Ban.D()
	}
	t.failures = max(0, t.failures-limit*(now-t.failed).Seconds()/failWindow.Seconds())
	t.failures, t.failed = max(0, t.failures+weight), now
	if t.failures < limit || s == &e.sources.crowd || now < t.until {
		return 0, false
	}
	d := t.ban(now, e.limits.Ban.D(), longest)
	e.sparing = max(e.sparing, t.until)
	return d, certain
}

// ban begins a ban, twice as long as the last one.
func (t *tally) ban(now, first, longest time.Duration) time.Duration {
	if now >= t.forgiven {
		t.bans = 0
	}
	d := min(first<<min(t.bans, 20), longest)
	t.bans++
	t.failures = 0
	t.until = now + d
	t.forgiven = t.until + longest
	return d
}

// adopt bans a source as another node does, for no longer than we would.
func (e *edge) adopt(a netip.Addr, d time.Duration) {
	if a = a.Unmap(); !a.IsValid() || d <= 0 || e.trusts(a) {
		return
	}
	a = sourceOf(a)
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	s := e.sources.get(a, now, float64(e.limits.Source))
	t, longest := &s.proven, e.limits.LongestBan.D()
	if s == &e.sources.crowd || now < t.until {
		return
	}
	t.until = now + min(d, longest)
	t.bans = max(t.bans, 1)
	t.forgiven = t.until + longest
	e.sparing = max(e.sparing, t.until)
	e.metrics.bans.WithLabelValues(string(banShared)).Inc()
}

// takesCall reports whether one more new call fits into this second.
func (e *edge) takesCall() bool {
	if e.limits.Calls <= 0 {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls.take(e.now(), float64(e.limits.Calls), 1)
}

// bannedNow counts the sources that are banned.
func (e *edge) bannedNow() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	for i := range e.sources.sets {
		for j := range e.sources.sets[i] {
			if e.sources.sets[i][j].banned(now, "udp") {
				n++
			}
		}
	}
	return n
}

// registered reports whether a phone that came to any node through an edge proxy is at
// the far end of a flow. Only while somebody is banned, or has passed a rate, that is known.
func (e *edge) registered(from netip.AddrPort, network string) bool {
	e.mu.Lock()
	phones := e.phones
	e.mu.Unlock()
	return phones != nil && phones(flowName(from, network))
}

// share tells the other nodes of bans and takes up theirs, and what a ban must spare,
// until ctx ends.
func (e *edge) share(ctx context.Context) {
	if e.bans == nil {
		return
	}
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-e.toShare:
			e.tell(ctx, b)
		case <-e.begun:
			if e.knowsNoPhones() { // else the next round is soon enough, however many bans begin
				e.askPhones(ctx)
			}
		case <-tick.C:
			e.ask(ctx)
			e.askPhones(ctx)
		}
	}
}

func (e *edge) tell(ctx context.Context, b newBan) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_ = e.bans.PutBan(ctx, b.source.String(), b.d) // without the store each node bans for itself
}

func (e *edge) ask(ctx context.Context) {
	if e.limits.Failures <= 0 {
		return // nobody is banned here
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	all, err := e.bans.Bans(ctx)
	if err != nil {
		return
	}
	for s, d := range all {
		if a, err := netip.ParseAddr(s); err == nil {
			e.adopt(a, d)
		}
	}
}

func (e *edge) knowsNoPhones() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.phones == nil
}

// askPhones learns which phones are registered through edge proxies, as long as
// somebody is banned, or a rate was passed lately. While the store does not answer, what was learnt last holds.
func (e *edge) askPhones(ctx context.Context) {
	e.mu.Lock()
	idle := len(e.proxies) == 0 || e.now() >= e.sparing
	if idle {
		e.phones = nil
	}
	e.mu.Unlock()
	if idle {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	phones, err := e.senders(ctx)
	if err != nil {
		return
	}
	e.mu.Lock()
	e.phones = phones
	e.mu.Unlock()
}
