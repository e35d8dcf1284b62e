package router

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
)

// Visit is one stay of a call in a queue.
type Visit struct {
	ID        string
	Call      string
	Queue     string
	Language  string
	Requires  map[string]int // what this call needs beside the queue's requirement and the language
	Joined    time.Time      // when the caller began to wait; zero is now
	HeadStart time.Duration  // priority; zero is the queue's
	Estimate  time.Duration  // of the wait, for the record; zero if there is none
}

// Offer is an agent to be rung for a visit.
type Offer struct {
	Visit Visit
	Agent string
	Token string        // shown when the offer ends; a late answer's is stale
	Ring  time.Duration // how long to ring
	Why   string        // why this match was made, for people
	Made  time.Time     // when it reached this node
}

// Waiting is a caller's place in line. Its methods may be called at any
// instant and from any goroutine; exactly one of Answered and Leave ends it.
type Waiting struct {
	r      *Router
	visit  Visit
	offers chan Offer

	// step is held while Redis is asked about this visit, so that answers,
	// refusals and the caller's leaving come one after the other.
	step sync.Mutex

	mu     sync.Mutex // never held while Redis is asked: the inbox must not wait
	joined bool       // VisitJoined is told
	ended  bool       // VisitEnded is told
	early  *queue.Offer
	open   *Offer // the offer that has been told of and not ended
}

// Join puts a call in line. The visit is in Redis and in the event log when it
// returns, which takes two seconds at most. ErrUnknownQueue if there is no such
// queue; after any error the call has no place in line.
func (r *Router) Join(ctx context.Context, v Visit) (*Waiting, error) {
	cfg, ok := r.queues[v.Queue]
	if !ok {
		return nil, fmt.Errorf("router: %w %q", ErrUnknownQueue, v.Queue)
	}
	if v.Joined.IsZero() {
		v.Joined = time.Now()
	}
	if v.HeadStart == 0 {
		v.HeadStart = cfg.HeadStart.D()
	}
	v.Requires = merge(cfg.Requires, v.Requires)

	w := &Waiting{r: r, visit: v, offers: make(chan Offer, 1)}
	r.mu.Lock()
	r.waiting[v.ID] = w
	r.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, r.stepLimit)
	defer cancel()
	err := r.queue.Join(ctx, queue.Visit{
		ID: v.ID, Call: v.Call, Queue: v.Queue, Language: v.Language,
		Requires: w.needs(), Joined: v.Joined, HeadStart: v.HeadStart,
	})
	if err != nil {
		r.lost(w)
		r.insistAside(v.ID, "undo join", func(ctx context.Context) error { return r.queue.Leave(ctx, v.ID) })
		return nil, fmt.Errorf("router: joining queue %s: %w", v.Queue, err)
	}
	w.begin()
	return w, nil
}

// begin tells of the visit, and of an offer that came before Join returned.
func (w *Waiting) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.visit
	q := w.r.queues[v.Queue]
	w.r.events.Emit(v.Call, event.VisitJoined{
		Visit: v.ID, Queue: v.Queue, Language: v.Language, Requires: v.Requires,
		Goal: q.Goal.D(), Short: q.ShortAbandon.D(), Estimate: v.Estimate, Class: q.Class,
	})
	w.joined = true
	if w.early != nil {
		w.tell(*w.early)
	}
}

// offered takes an offer from the inbox.
func (w *Waiting) offered(o queue.Offer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case !w.joined:
		w.early = &o
	default:
		w.tell(o)
	}
}

// tell puts an offer on the channel. Callers hold mu.
func (w *Waiting) tell(o queue.Offer) {
	select {
	case <-w.offers: // never taken, and over since
	default:
	}
	offer := Offer{
		Visit: w.visit,
		Agent: o.Agent,
		Token: o.Token,
		Ring:  w.r.queues[w.visit.Queue].Ring.D(),
		Why:   why(o, w.needs()),
		Made:  time.Now(),
	}
	w.open = &offer
	w.r.events.Emit(w.visit.Call, event.OfferMade{
		Visit: w.visit.ID, Queue: w.visit.Queue, Agent: o.Agent, Why: offer.Why,
	})
	w.offers <- offer
}

// Visit is the visit that waits, as it joined.
func (w *Waiting) Visit() Visit { return w.visit }

// Offers gives the agents to ring, one at a time: the next comes after the
// last was refused.
func (w *Waiting) Offers() <-chan Offer { return w.offers }

// Answered says that the agent's phone was answered. If the offer is still in
// force the visit has ended well and a talk has begun. Otherwise hang up the
// agent: ErrStale says that the caller is gone or another agent's; after any
// other error he still waits, and must be made to leave or the offer refused.
func (w *Waiting) Answered(o Offer) (*Talk, error) {
	w.step.Lock()
	defer w.step.Unlock()
	if w.over() {
		return nil, fmt.Errorf("router: answering visit %s: %w", w.visit.ID, ErrStale)
	}
	ctx, cancel := context.WithTimeout(w.r.ctx, w.r.stepLimit)
	defer cancel()
	if err := w.r.queue.Answer(ctx, w.visit.ID, o.Token); err != nil {
		return nil, fmt.Errorf("router: answering visit %s: %w", w.visit.ID, err)
	}
	w.offerOver(o.Token, event.OfferAnswered)
	tier := w.r.tier(o.Agent)
	w.end(event.Answered, o.Agent, tier)
	return &Talk{r: w.r, visit: w.visit, id: w.visit.ID, agent: o.Agent, tier: tier, token: o.Token}, nil
}

// Refused says that the agent did not take the offer: OfferDeclined or
// OfferTimedOut. He is paused, and the caller is back in his place; another
// offer may come at once. OfferWithdrawn says that it was not for him to take,
// because we could not ring him: he stays ready, behind the others, and the
// caller goes to others first. An offer that is over already is left alone.
func (w *Waiting) Refused(o Offer, res event.OfferResult) {
	w.step.Lock()
	defer w.step.Unlock()
	if w.over() {
		return
	}
	w.offerOver(o.Token, res)
	w.r.insist(w.visit.ID, "refuse offer", func(ctx context.Context) error {
		return w.r.queue.Refuse(ctx, w.visit.ID, o.Token, pauseReason(res))
	})
}

// Leave takes the caller out of line, wherever he stands in it; an agent being
// rung for him is free again, and his phone is to be hung up. It does nothing
// after Answered or another Leave.
func (w *Waiting) Leave(result event.VisitResult) {
	w.step.Lock()
	defer w.step.Unlock()
	if w.over() {
		return
	}
	w.end(result, "", 0)
	w.r.insist(w.visit.ID, "leave queue", func(ctx context.Context) error {
		return w.r.queue.Leave(ctx, w.visit.ID)
	})
}

func (w *Waiting) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// offerOver tells of the end of the offer with this token, if it is open.
func (w *Waiting) offerOver(token string, res event.OfferResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open != nil && w.open.Token == token {
		w.closeOffer(res)
	}
}

// closeOffer needs mu, and an open offer.
func (w *Waiting) closeOffer(res event.OfferResult) {
	o := w.open
	w.open = nil
	w.r.events.Emit(w.visit.Call, event.OfferEnded{
		Visit: w.visit.ID, Queue: w.visit.Queue, Agent: o.Agent, Result: res, Rang: time.Since(o.Made),
	})
}

// end tells of the visit's end, and before it of an offer still open.
func (w *Waiting) end(result event.VisitResult, agent string, tier int) {
	w.r.lost(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.open != nil {
		w.closeOffer(event.OfferWithdrawn)
	}
	v := w.visit
	w.r.events.Emit(v.Call, event.VisitEnded{
		Visit: v.ID, Queue: v.Queue, Language: v.Language, Result: result, Agent: agent, Tier: tier,
		Waited: time.Since(v.Joined),
	})
}

// lost takes a visit out of the inbox's sight.
func (r *Router) lost(w *Waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, w.visit.ID)
}

// needs is all an agent must have for this visit.
func (w *Waiting) needs() queue.Skills {
	return merge(w.visit.Requires, map[string]int{w.visit.Language: 1})
}

// merge gives for each skill the higher level.
func merge(a, b map[string]int) map[string]int {
	m := maps.Clone(a)
	if m == nil {
		m = make(map[string]int, len(b))
	}
	for skill, level := range b {
		m[skill] = max(m[skill], level)
	}
	return m
}
