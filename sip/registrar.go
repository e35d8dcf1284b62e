package sip

import (
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	defaultExpires = 10 * time.Minute
	minExpires     = 30 * time.Second // shorter ones would cost more than they tell
	maxContacts    = 10               // phones of one agent
	storeTimeout   = 3 * time.Second
	sweepEvery     = time.Second
	flowGrace      = 20 * time.Second // for a phone to come back whose connection broke
	natOpen        = 25 * time.Second // NATs forget UDP after 30 s at the earliest (RFC 4787 has 2 minutes)
)

// registrar keeps agents' bindings (RFC 3261 section 10). Bindings is the truth
// for every node; what is remembered here is what came over this node's own
// flows: for telling an agent's INVITE, and for noticing what expires.
type registrar struct {
	store   Bindings
	node    string
	longest time.Duration
	put     func(user string, b Binding) // a phone is there
	gone    func(user string)            // the last one is not

	seed  maphash.Seed
	users [64]sync.Mutex // by hash: one change of a user's bindings at a time

	mu    sync.Mutex
	flows map[string]int                 // flow: how many phones are at its far end
	mine  map[string]map[string]heldHere // user, contact
}

// heldHere is a binding that came over a flow of this node.
type heldHere struct {
	flow    string // "" if a proxy is between that does not tell it
	expires time.Time
	lost    bool // the connection is gone
	nat     flow // to be kept open by us; zero if it need not be
}

func newRegistrar(store Bindings, node string, longest time.Duration, put func(string, Binding), gone func(string)) *registrar {
	if longest <= 0 {
		longest = defaultExpires
	}
	return &registrar{
		store: store, node: node, longest: longest, put: put, gone: gone, seed: maphash.MakeSeed(),
		flows: make(map[string]int), mine: make(map[string]map[string]heldHere),
	}
}

// register is the door for REGISTER. Only who proves to be an agent leaves a
// transaction behind.
func (s *Server) register(req *gosip.Request, f flow) {
	user, verdict := s.guard.check(req, s.edge.asked(f))
	switch {
	case verdict == proofNone || verdict == proofStale:
		s.edge.failed(f.addr(), f.network(), offenceNoAnswer)
		s.reply(req, f, 401, reasonOf(401), s.guard.challenges(s.edge.asked(f), verdict == proofStale)...)
		return
	case verdict != proofRight || user != uriUser(&req.To().Address):
		s.metrics.rejected.WithLabelValues(refusedProof).Inc()
		s.edge.failed(f.addr(), f.network(), offenceProof)
		s.reply(req, f, 403, reasonOf(403))
		return
	}
	s.edge.proved(f.addr(), f.network())
	tx := s.begin(req, f, nil)
	res := s.registrar.answer(s.ctx, user, req, f, s.tagger.tag(req))
	if err := tx.respond(res); err != nil {
		s.log.Debug("REGISTER could not be answered", "agent", user, "error", err)
	}
}

// answer makes the changes a REGISTER asks for and builds its answer, which
// lists what is bound then (section 10.3).
func (r *registrar) answer(ctx context.Context, user string, req *gosip.Request, f flow, tag string) *gosip.Response {
	bindings, fault := r.apply(ctx, user, req, f)
	code, reason := 200, reasonOf(200)
	if fault != nil {
		code, reason = fault.code, fault.reason
	}
	res := response(req, f, code, reason, tag)
	switch {
	case fault == nil:
		listBindings(res, bindings)
		if lists(req, "supported", "k", "outbound") && slices.ContainsFunc(bindings, func(b Binding) bool { return b.Instance != "" }) {
			res.AppendHeader(gosip.NewHeader("Require", "outbound"))
		}
		for _, h := range headersOf(req, "path", "") {
			res.AppendHeader(h)
		}
	case fault.extra != nil:
		res.AppendHeader(fault.extra)
	}
	return res
}

// apply changes the user's bindings. What is refused changes nothing, unless
// the store fails and cannot be brought back to what it held either.
func (r *registrar) apply(ctx context.Context, user string, req *gosip.Request, f flow) ([]Binding, *fault) {
	c, fault := r.readChange(user, req, f)
	if fault != nil {
		return nil, fault
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	defer r.lock(user).Unlock()
	before, err := r.store.Get(ctx, user)
	if err != nil {
		return nil, refusal(503)
	}
	if fault := c.against(before); fault != nil {
		return nil, fault
	}
	after, err := r.write(ctx, user, c)
	if err != nil {
		r.restore(ctx, user, c, before)
		return nil, refusal(503)
	}
	for _, b := range c.put {
		r.hold(b, f)
		r.put(user, b)
	}
	for _, contact := range c.drop {
		r.release(user, contact)
	}
	if len(after) == 0 && len(c.drop) > 0 {
		r.gone(user)
	}
	return after, nil
}

// write makes a change in the store and gives what is bound then.
func (r *registrar) write(ctx context.Context, user string, c *change) ([]Binding, error) {
	for _, b := range c.put {
		if err := r.store.Put(ctx, b); err != nil {
			return nil, err
		}
	}
	for _, contact := range c.drop {
		if err := r.store.Remove(ctx, user, contact); err != nil {
			return nil, err
		}
	}
	return r.store.Get(ctx, user)
}

// restore takes back a change that the store took in part. What it refuses now
// stays as it is: there is nobody left to tell.
func (r *registrar) restore(ctx context.Context, user string, c *change, before []Binding) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	was := make(map[string]bool, len(before))
	for _, b := range before {
		was[b.Contact] = true
	}
	for _, b := range c.put {
		if !was[b.Contact] {
			_ = r.store.Remove(ctx, user, b.Contact)
		}
	}
	for _, b := range before {
		if c.touches(b.Contact) {
			_ = r.store.Put(ctx, b)
		}
	}
}

func (r *registrar) lock(user string) *sync.Mutex {
	m := &r.users[maphash.String(r.seed, user)%uint64(len(r.users))]
	m.Lock()
	return m
}

// hold remembers a binding of this node's.
func (r *registrar) hold(b Binding, f flow) {
	r.release(b.User, b.Contact)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mine[b.User] == nil {
		r.mine[b.User] = make(map[string]heldHere)
	}
	held := heldHere{expires: b.Expires}
	if len(b.Path) == 0 || f.origin.known() { // else a proxy is at the flow's far end, with callers behind it too
		held.flow = f.sender()
		r.flows[held.flow]++
	}
	if len(b.Path) == 0 && f.at.network == "udp" && !strings.Contains(b.Contact, f.remote) {
		held.nat = f
	}
	r.mine[b.User][b.Contact] = held
}

// release forgets one, if it was this node's.
func (r *registrar) release(user, contact string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held, ok := r.mine[user][contact]
	if !ok {
		return
	}
	if held.flow != "" {
		if r.flows[held.flow]--; r.flows[held.flow] == 0 {
			delete(r.flows, held.flow)
		}
	}
	delete(r.mine[user], contact)
	if len(r.mine[user]) == 0 {
		delete(r.mine, user)
	}
}

// holds reports whether a registered phone is at the far end of a flow.
func (r *registrar) holds(f flow) bool { return r.holdsFlow(f.sender()) }

// holdsAt is holds for a message that has not been read yet.
func (r *registrar) holdsAt(from netip.AddrPort, network string) bool {
	return r.holdsFlow(network + ":" + netip.AddrPortFrom(from.Addr().Unmap(), from.Port()).String())
}

func (r *registrar) holdsFlow(flow string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flows[flow] > 0
}

func (r *registrar) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, contacts := range r.mine {
		n += len(contacts)
	}
	return n
}

// lost notes that a connection is gone, and with it the phones at its far end
// (RFC 5626 section 6) unless they come back by another within a while.
func (r *registrar) lost(f flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flows[f.String()] == 0 {
		return
	}
	until := time.Now().Add(flowGrace)
	for _, contacts := range r.mine {
		for contact, held := range contacts {
			if held.flow == f.String() {
				held.lost = true
				if until.Before(held.expires) {
					held.expires = until
				}
				contacts[contact] = held
			}
		}
	}
}

// keepOpen sends a keep-alive to the phones that are reached through a NAT by UDP,
// which would forget them; phones ignore it (RFC 3261 section 7.5).
func (r *registrar) keepOpen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, contacts := range r.mine {
		for _, held := range contacts {
			if held.nat.at != nil {
				held.nat.keepOpen()
			}
		}
	}
}

// sweep ends bindings that were not refreshed, and keeps NATs open, until ctx ends.
func (r *registrar) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	kept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(kept) >= natOpen {
				kept = now
				r.keepOpen()
			}
			for user, contacts := range r.expired(now) {
				r.expire(ctx, user, contacts)
			}
		}
	}
}

func (r *registrar) expired(now time.Time) map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out map[string][]string
	for user, contacts := range r.mine {
		for contact, held := range contacts {
			if held.expires.After(now) {
				continue
			}
			if out == nil {
				out = make(map[string][]string)
			}
			out[user] = append(out[user], contact)
		}
	}
	return out
}

// expire forgets contacts of a user. One that was meanwhile refreshed, here or
// over another node, lives on in the store.
func (r *registrar) expire(ctx context.Context, user string, contacts []string) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	defer r.lock(user).Unlock()
	alive, err := r.store.Get(ctx, user)
	if err != nil {
		return // the next sweep tries again
	}
	fresh := make(map[string]bool, len(alive))
	for _, b := range alive {
		if r.isLost(b) {
			continue
		}
		fresh[b.Contact] = true
	}
	for _, contact := range contacts {
		if fresh[contact] {
			r.forgetExpired(user, contact)
			continue
		}
		if err := r.store.Remove(ctx, user, contact); err != nil {
			return
		}
		r.release(user, contact)
	}
	if len(fresh) == 0 {
		r.gone(user)
	}
}

// isLost reports whether a binding is by a connection of ours that is gone.
func (r *registrar) isLost(b Binding) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	held, ok := r.mine[b.User][b.Contact]
	return ok && held.lost && held.flow == b.Source && b.Node == r.node
}

// forgetExpired releases a binding another node now holds, unless it was
// refreshed here.
func (r *registrar) forgetExpired(user, contact string) {
	r.mu.Lock()
	held, ok := r.mine[user][contact]
	r.mu.Unlock()
	if ok && !held.expires.After(time.Now()) {
		r.release(user, contact)
	}
}
