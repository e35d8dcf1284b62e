package call

import (
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/sip"
)

// An attended transfer joins two calls of an agent's phone, and some phones ask for it
// the other way round: in the agent's own call, naming his caller's. It is the same
// wish, so his own call gives away whom he has consulted together with it, and his
// caller's does as if it had been asked itself (attended.go).

// gift is whom an agent has consulted, and the wish with which he comes.
type gift struct {
	guest *ring
	clock *holdClock // of the time they have talked
	agent string
	refer *sip.Refer
}

// referredBy gives what the agent's phone asks for in his own call.
func (t *talk) referredBy() <-chan *sip.Refer {
	if t.agent == "" {
		return nil
	}
	return t.leg.Refers()
}

// mirrored takes a transfer that the agent's phone asks for in his own call: of his
// caller, or of whom he has called himself (turned.go). Nil: the talk goes on as it was.
func (t *talk) mirrored(refer *sip.Refer) step {
	if t.wish != nil || !t.with.on() {
		_ = refer.Reject(603)
		return nil
	}
	var leg *sip.Leg
	if refer.Replaces != nil {
		leg = t.Find(*refer.Replaces)
		if leg == nil || leg == t.leg {
			_ = refer.Accept()
			_ = refer.Notify(notThere.code)
			return nil
		}
	}
	if leg == nil {
		return t.turned(refer)
	}
	guest, clock := t.with, t.clock
	t.with = nil
	return func() (step, Termination) {
		r := request{leg: leg, answer: make(chan *ring, 1), gift: &gift{guest, clock, t.agent, refer}}
		if _, err := t.ask(t.ctx, r); err == nil {
			return nil, t.parted()
		}
		next := &talk{inbound: t.inbound, with: guest, clock: clock}
		if leg.Agent() != "" { // of another call of his own; a caller's may have been moved to it, or joined by it
			if turned := next.turned(refer); turned != nil {
				return turned, Termination{}
			}
		} else if refer.Accept() == nil { // else it is too late for any answer
			_ = refer.Notify(notThere.code)
		}
		return next.conduct, Termination{}
	}
}

// askedLast takes what the agent has asked for in his own call before he hung up, as many
// phones do at once.
func (t *talk) askedLast() step {
	select {
	case refer := <-t.referredBy():
		return t.mirrored(refer)
	default:
		return nil
	}
}

// parted is the end of an agent's own call that has given away whom he talked with: his
// phone hears of its transfer in it, and hangs up.
func (t *talk) parted() Termination {
	limit := time.NewTimer(parting)
	defer limit.Stop()
	for {
		select {
		case <-t.leg.Done():
			return HandedOver
		case <-limit.C:
			return HandedOver
		case <-t.ctx.Done():
			return HandedOver
		case r := <-t.asked:
			r.refuse()
		}
	}
}

// take hands the caller on to whom the agent's own call gives away.
func (t *talk) take(r request) step {
	g := r.gift
	if t.wish != nil || !t.with.on() || r.leg != t.with.leg || g.agent != t.with.agent || t.with.talk == nil && t.theirs == nil {
		r.refuse()
		return nil
	}
	t.handed++
	w := &wish{id: fmt.Sprintf("%s-t%d", t.id, t.handed), refer: g.refer, asked: time.Now(), how: event.Attended}
	if !t.accept(w) {
		r.refuse()
		return nil
	}
	g.guest.keeps(g.clock)
	t.belongs(g.guest)
	r.answer <- g.guest
	return t.connect(w, g.guest)
}
