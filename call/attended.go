package call

import (
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// notThere is a transfer that names a call which is none, or not the agent's.
var notThere = result{"failed", 481}

// attended hands the caller on to whom the agent has called in between: they have
// talked, or the phone still rings, or he waits in a queue. That call gives up whom
// it has (handover.go) and ends; what kept an agent for it keeps him for the
// caller's visit now.
func (t *talk) attended(w *wish) step {
	w.how = event.Attended
	if !t.accept(w) {
		return nil
	}
	taken, err := t.consulted(*w.refer.Replaces)
	if err != nil {
		t.log.Warn("an attended transfer names nobody", "agent", t.with.agent, "error", err)
		t.conclude(w, notThere)
		return nil
	}
	return t.connect(w, taken)
}

// connect hands the caller on to whom the agent has called, in a call that has given him
// up. It gives the next step, nil if he has to answer first, or has hung up.
func (t *talk) connect(w *wish, taken *ring) step {
	w.to = taken.where()
	t.log.Info("attended transfer", "agent", t.with.agent, "to", w.to.Kind.String())
	if place := taken.line; place != nil { // as if he had waited there himself
		return t.toLine(w, router.Visit{Queue: place.Queue, Requires: place.Requires, HeadStart: place.HeadStart}, time.Since(place.Joined))
	}
	t.adopt(w, taken)
	switch {
	case taken.ringing: // though he may have answered since
		t.counted, taken.permit = taken.permit, nil
		t.await(w, taken)
		return nil
	case taken.gone(): // he has hung up meanwhile, which is nothing to the caller
		taken.stop()
		taken.end(0, 0)
		t.conclude(w, notThere)
		return nil
	}
	t.done(w, taken.begin())
	return t.talkWith(taken)
}

// consulted takes whom the agent has called over from that call. To know its dialog,
// a phone must be in it; and a call that comes from a phone must be the agent's own.
func (t *talk) consulted(dialog sip.Replaces) (*ring, error) {
	leg := t.Find(dialog)
	if leg == nil || leg.Agent() != "" && leg.Agent() != t.with.agent {
		return nil, errNobody
	}
	return t.takeOver(t.ctx, leg)
}

// adopt has an agent held for the caller's visit who was held for the call he was
// called by. If that cannot be, he stays held as he was.
func (t *talk) adopt(w *wish, r *ring) {
	visit := t.visit()
	var held *router.Held
	var err error
	switch {
	case r.held != nil:
		held, err = r.held.Move(t.ctx, visit, w.id)
	case r.own != nil:
		held, err = r.own.Move(t.ctx, visit, w.id)
	default:
		return
	}
	if err != nil {
		t.log.Warn("an agent is held for another call than the one he is in", "agent", r.agent, "error", err)
		return
	}
	r.held, r.own = held, nil
}

// begin makes a talk of what holds an agent by name who has answered, and gives it;
// nil if nothing does, or it is for no caller's visit.
func (r *ring) begin() *router.Talk {
	if r.held == nil || r.held.Visit().Queue == "" {
		return nil
	}
	r.talk, r.held = r.held.Talk(), nil
	return r.talk
}

// where tells whom a call has reached.
func (r *ring) where() Destination {
	switch {
	case r.line != nil:
		return Destination{Kind: ToQueue, Queue: r.line.Queue}
	case r.talk != nil:
		return Destination{Kind: ToQueue, Queue: r.talk.Visit().Queue}
	case r.agent != "":
		return Destination{Kind: ToAgent, Agent: r.agent}
	}
	return r.to
}
