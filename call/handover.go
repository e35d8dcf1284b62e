package call

import (
	"context"
	"errors"
	"time"

	"github.com/bugle-voice/bugle/sip"
)

// The hand-over of somebody who talks, from the call he is in to another: an agent
// has talked with him and now wants him and a caller to talk with each other. The two
// calls have a goroutine each. That of the caller's call asks, by takeOver; that of the
// other answers where it selects on asked: in its talk, or while the far side is rung or
// waited for in a queue. It gives away the far side as
// a *ring: leg, media, and what keeps an agent for it. From then on the ring is of the
// asker's call alone, to bridge, and to stop when it is done; the other call ends as
// HandedOver, which hangs up the agent who asked for all this.
//
// What a ring that was taken over brings of the router:
//
//   - talk: whom the agent reached by a queue, in a visit of his own. It knows how long
//     they have talked; its Over has not been called.
//   - held: an agent called by his id. held.Move has him held for the caller's visit,
//     and Talk makes it his. Unless it is set to nil then, stop releases him.
//   - own: an agent who had made the call himself (the one called has handed him over).
//     own.Move, likewise.
//   - permit: a telephone outside, counted for the agent until stop.
//
// One who has not answered yet is still rung, with his limit. A place in a queue is a ring
// of nobody, with line: it is gone, and another is to be taken that counts from the
// same moment.

// errNobody is a leg in no talk whose far side could be taken over.
var errNobody = errors.New("nobody to take over talks there")

// takeOverPatience is how long another call may take to answer. Both may ask each
// other at the same moment, so that neither answers.
const takeOverPatience = time.Second

// request asks a call for whoever talks with a leg of it.
type request struct {
	leg    *sip.Leg
	answer chan *ring // takes one; nil: nobody

	// At most one of these: it is no party that is wanted.
	loan  *loan // but both, for a conference
	gift  *gift // but somebody is given: a transfer
	phone *ring // but another phone of the agent's is to take the leg's place
}

// special says whether a request is for a talk alone.
func (r request) special() bool { return r.loan != nil || r.gift != nil || r.phone != nil }

func (r request) refuse() { r.answer <- nil }

// takeOver takes whoever talks with a leg out of the call they are in, for this
// call. errNobody if there is none, or he is no agent and not called by one: a caller
// stays in his own call, to which others are taken over.
func (c *inbound) takeOver(ctx context.Context, leg *sip.Leg) (*ring, error) {
	taken, err := c.ask(ctx, request{leg: leg, answer: make(chan *ring, 1)})
	if err == nil {
		c.belongs(taken)
	}
	return taken, err
}

// ask asks the call that a leg is in.
func (c *Conductor) ask(ctx context.Context, r request) (*ring, error) {
	c.mu.Lock()
	from := c.talks[r.leg]
	c.mu.Unlock()
	if from == nil {
		return nil, errNobody
	}
	ctx, cancel := context.WithTimeout(ctx, takeOverPatience)
	defer cancel()
	select {
	case from.asked <- r:
	case <-from.over:
		return nil, errNobody
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var taken *ring
	select {
	case taken = <-r.answer:
	case <-from.over: // because of its answer, or of a panic before
		select {
		case taken = <-r.answer:
		default:
		}
	}
	if taken == nil {
		return nil, errNobody
	}
	return taken, nil
}

// found lets the call be found by one of its legs, until what it gives is called.
func (c *inbound) found(leg *sip.Leg) (lost func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.talks[leg] = c
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.talks[leg] == c { // else it is in another by now
			delete(c.talks, leg)
		}
	}
}

// across gives whoever talks with a leg of an agent's own call, as somebody who is to
// go on in another: with the agent's leg it is the other side, with that one the agent.
// While a wish of the other side is tried it is nobody.
func (t *talk) across(leg *sip.Leg) *ring {
	switch {
	case t.agent == "" || t.wish != nil || !t.with.on():
		return nil
	case leg == t.leg:
		return t.with
	case leg == t.with.leg:
		return &ring{
			agent: t.agent, leg: t.leg, media: t.inbound.media, own: t.own, limit: stopped(), onHold: t.held,
			call: t.inbound, side: "caller",
		}
	}
	return nil
}

// give gives one of the two away. What remains to be done is done for the other.
func (t *talk) give(r request, party *ring) {
	t.inbound.media.Unbridge()
	if party == t.with {
		t.with.keeps(t.clock)
		t.with = nil
	} else {
		t.taken = true
	}
	r.answer <- party
}

// keeps adds up what the talk of one who is given away has lasted. Until he talks again is
// part of it.
func (r *ring) keeps(clock *holdClock) {
	if r.talk != nil {
		r.met = time.Now()
		r.talk.Add(clock.stop(r.met))
	}
}

// began gives since when he talks in this call.
func (r *ring) began() time.Time {
	if r.met.IsZero() {
		return time.Now()
	}
	return r.met
}

// stopped is a limit that never comes.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
