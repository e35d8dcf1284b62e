package sip

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	defaultExpires = 10 * time.Minute
	minExpires     = 30 * time.Second // shorter ones would cost more than they tell
	maxContacts    = 10               // phones of one agent
	storeTimeout   = 3 * time.Second
	storeRetry     = 5 // seconds after which a phone may try again that the store had no answer for
)

// registrar keeps agents' bindings (RFC 3261 section 10). Bindings is the truth
// for every node; what is remembered here is what came over this node's own
// flows (held.go): for telling an agent's INVITE, for noticing what expires, and for
// going on while the store is away or has lost everything (sweep.go).
type registrar struct {
	store   Bindings
	node    string
	longest time.Duration
	put     func(user string, b Binding) // a phone is there
	gone    func(user string)            // the last one is not

	seed  maphash.Seed
	users [64]sync.Mutex // by hash: one change of a user's bindings at a time

	mu    sync.Mutex
	flows map[string]int             // flow: how many phones are at its far end
	mine  map[string]map[string]held // user, contact
}

func newRegistrar(store Bindings, node string, longest time.Duration, put func(string, Binding), gone func(string)) *registrar {
	if longest <= 0 {
		longest = defaultExpires
	}
	return &registrar{
		store: store, node: node, longest: longest, put: put, gone: gone, seed: maphash.MakeSeed(),
		flows: make(map[string]int), mine: make(map[string]map[string]held),
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
	tx := s.begin(req, f, "", nil)
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
		if lists(req, "supported", "k", "outbound") && slices.ContainsFunc(headersOf(req, "contact", "m"), isInstance) {
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
		return r.applyHere(user, c, f)
	}
	if fault := c.against(before); fault != nil {
		return nil, fault
	}
	after, err := r.write(ctx, user, c, before)
	if err != nil {
		r.restore(ctx, user, c, before)
		return nil, storeAway()
	}
	for _, b := range c.put {
		r.hold(b, f, true)
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

// applyHere is apply while the store is away: a phone that is held here is refreshed,
// and the store told when it is back. Anything else has to wait.
func (r *registrar) applyHere(user string, c *change, f flow) ([]Binding, *fault) {
	before := r.here(user)
	known := func(b Binding) bool {
		return slices.ContainsFunc(before, func(h Binding) bool { return h.Contact == b.Contact })
	}
	if fault := c.against(before); fault != nil {
		return nil, fault
	}
	if c.all || len(c.drop) > 0 || slices.ContainsFunc(c.put, func(b Binding) bool { return !known(b) }) || len(before) == 0 {
		return nil, storeAway()
	}
	for _, b := range c.put {
		r.hold(b, f, false)
		r.put(user, b)
	}
	return r.here(user), nil
}

// storeAway is what a phone is told that nothing can be done for now.
func storeAway() *fault {
	away := refusal(503)
	away.extra = gosip.NewHeader("Retry-After", strconv.Itoa(storeRetry))
	return away
}

// write makes a change in the store and gives what is bound then.
func (r *registrar) write(ctx context.Context, user string, c *change, before []Binding) ([]Binding, error) {
	for _, b := range c.put {
		if err := r.store.Put(ctx, b); err != nil {
			return nil, err
		}
	}
	for _, b := range before {
		if slices.Contains(c.drop, b.Contact) {
			if err := r.store.Remove(ctx, b); err != nil {
				return nil, err
			}
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
			_ = r.store.Remove(ctx, b)
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
