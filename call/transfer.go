package call

import (
	"errors"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// transfer takes an agent's wish. It gives the next step if that is the end of this
// one: a line takes the caller at once, a person has to answer first. A wish without a
// caller is refused now: left lying it would be granted once he has one.
func (t *talk) transfer(refer *sip.Refer) step {
	if t.with.talk == nil && t.theirs == nil || t.wish != nil { // whom a colleague has called has no caller to hand on
		_ = refer.Reject(603)
		return nil
	}
	t.handed++
	w := &wish{id: fmt.Sprintf("%s-t%d", t.id, t.handed), refer: refer, asked: time.Now(), how: event.Blind}
	if refer.Replaces != nil {
		return t.attended(w)
	}
	w.to = t.Resolve(refer.User)
	t.log.Info("transfer", "agent", t.with.agent, "to", w.to.Kind.String())
	if why := t.forbids(w.to); why != (Termination{}) {
		t.deny(t.with.agent, t.id, w.to.shown(refer.User), why)
		t.refuse(w, result{refused.word, why.Code})
		return nil
	}
	if w.to.Kind == ToEmergency {
		t.alarm(t.with.agent, w.to)
	}
	if !t.accept(w) {
		return nil
	}
	switch w.to.Kind {
	case ToQueue:
		return t.toLine(w, router.Visit{Queue: w.to.Queue, HeadStart: t.Config.Queues[w.to.Queue].HeadStart.D()}, 0)
	case ToNumber:
		t.done(w, nil)
		return t.flow(t.Config.Numbers[w.to.Number])
	case ToAgent:
		t.toAgent(w)
	default:
		t.toOutside(w)
	}
	return nil
}

// forbids says why the agent may not send his caller somewhere: the zero Termination if
// he may. A call outside is counted then.
func (t *talk) forbids(to Destination) Termination {
	if to.Kind == ToOutside {
		return t.permit(t.with.agent)
	}
	return to.Refused
}

// toLine sends the caller into another line: a visit of its own, with the priority that
// he has, if that is the higher, and as if he had waited there already.
func (t *talk) toLine(w *wish, v router.Visit, waited time.Duration) step {
	was := t.visit()
	v.Language, v.HeadStart = was.Language, max(was.HeadStart, v.HeadStart)+waited
	waiting, err := t.join(v)
	if err != nil {
		t.log.Error("joining a queue by transfer", "queue", v.Queue, "error", err)
		t.conclude(w, broken)
		return nil
	}
	t.done(w, nil)
	return t.waiting(waiting, nil)
}

// toAgent has another agent rung. Nobody else is offered to him meanwhile.
func (t *talk) toAgent(w *wish) {
	visit := t.visit()
	held, err := t.Router.Hold(t.ctx, visit, w.id, w.to.Agent)
	switch {
	case errors.Is(err, router.ErrBusy):
		t.conclude(w, busy)
		return
	case errors.Is(err, router.ErrNotRegistered), errors.Is(err, router.ErrUnknownAgent):
		t.conclude(w, noAnswer)
		return
	case err != nil:
		t.log.Error("holding an agent", "agent", w.to.Agent, "error", err)
		t.conclude(w, broken)
		return
	}
	patience := colleagueRing
	if visit.Queue != "" {
		patience = t.Config.Queues[visit.Queue].Ring.D()
	}
	rung, err := t.ringAgent(w.to.Agent, patience, visit)
	if err != nil {
		t.log.Warn("an agent cannot be rung", "agent", w.to.Agent, "error", err)
		held.Release()
		t.conclude(w, noAnswer)
		return
	}
	rung.held = held
	t.await(w, rung)
}

// toOutside calls a telephone outside.
func (t *talk) toOutside(w *wish) {
	if rung := t.byNext(w.to, w.to.Trunks); rung != nil {
		t.await(w, rung)
	} else {
		t.conclude(w, broken)
	}
}

// unanswered takes that whom a transfer rings has not answered: another trunk may do
// better.
func (t *talk) unanswered(r result) (step, Termination) {
	last := t.wish.rung
	t.log.Info("not reached", "result", r.word)
	if last.goesOn() {
		last.stop()
		if next := t.byNext(last.to, last.trunks); next != nil {
			t.wish.rung = next
			return nil, Termination{}
		}
	}
	return t.failed(r)
}

// await lets the caller hear music while somebody is rung for him.
func (t *talk) await(w *wish, rung *ring) {
	w.rung, t.wish = rung, w
	t.clock.hold(time.Now())
	t.media.PlayMusic(t.Music)
}

// reached hands the caller on to whom was rung for him and has answered.
func (t *talk) reached() step {
	w := t.wish
	if t.left() || w.rung.gone() {
		return nil // the case that tells of it is ready too
	}
	if w.rung.held != nil {
		if err := w.rung.held.Answered(); err != nil {
			t.log.Warn("an agent answered and is not connected", "agent", w.rung.agent, "error", err)
			w.rung.leg.Hangup() // which is told as a refusal
			return nil
		}
	}
	rung := w.rung
	rung.permit, t.counted = t.counted, nil
	w.rung, t.wish = nil, nil
	t.done(w, rung.begin())
	return t.talkWith(rung)
}

// failed ends a wish that came to nothing. The caller returns to the agent; if he has
// hung up, into his line again, before all who came after him.
func (t *talk) failed(r result) (step, Termination) {
	w := t.wish
	t.wish = nil
	w.rung = w.rung.stop()
	t.conclude(w, r)
	if !t.alone {
		if !t.with.onHold {
			t.clock.resume(time.Now())
		}
		if err := t.bridge(); err != nil {
			return nil, Signalling
		}
		return nil, Termination{}
	}
	return t.again()
}

// again has the caller wait in his line, if he has one, as if he had never left it.
func (t *talk) again() (step, Termination) {
	was := t.with.talk.Visit()
	if was.Queue == "" {
		return nil, AgentHungUp
	}
	waiting, err := t.join(router.Visit{
		Queue: was.Queue, Language: was.Language, Requires: was.Requires, HeadStart: was.HeadStart + time.Since(was.Joined),
	})
	if err != nil {
		t.log.Error("joining a queue again", "queue", was.Queue, "error", err)
		return nil, Routing
	}
	return t.waiting(waiting, nil), Termination{}
}

// done ends a wish that is granted, and with it the agent's part: his phone hears
// of it and hangs up, or is hung up. Next is the talk of whom the caller goes to, if
// that belongs to the same visit.
func (t *talk) done(w *wish, next *router.Talk) {
	t.conclude(w, handedOn)
	talk, hold := t.clock.stop(time.Now())
	t.with.talk.Over(next, talk, hold)
	t.dismiss(t.with)
	t.with = nil
}

// parting is how long a phone has to hang up that has heard of its transfer.
const parting = 2 * time.Second

// dismiss lets an agent go whose caller is not his any more: beside the call, for
// the caller waits for nothing. The phone is silent before the agent is free.
func (c *inbound) dismiss(r *ring) {
	r.media.Close()
	c.beside.Go(func() {
		limit := time.NewTimer(parting)
		defer limit.Stop()
		select {
		case <-r.leg.Done():
		case <-limit.C:
		case <-c.ctx.Done():
		}
		r.stop()
		r.talk.Free()
	})
}

// unheard is how long a phone may take to hang up on a transfer that it believes in.
const unheard = 5 * time.Second

// gone is the agent hanging up. Many phones do as soon as they have asked for a
// transfer, or heard that it is tried: then the wish stands, and if it is over
// already and came to nothing, the caller is not to pay for it.
func (t *talk) gone() (step, Termination) {
	if t.wish == nil {
		select {
		case refer := <-t.with.refers():
			if next := t.transfer(refer); next != nil {
				return next, Termination{}
			}
		default:
		}
	}
	switch {
	case t.wish != nil:
		t.leave()
		return nil, Termination{}
	case t.vain != nil && !t.vain.refer.Heard() && time.Since(t.vain.ended) < unheard:
		return t.again()
	}
	return nil, AgentHungUp
}

// leave is the agent hanging up while his wish is tried.
func (t *talk) leave() {
	t.alone = true
	t.clock.stop(time.Now())
	t.with.stop()
	t.with.talk.Free()
}

// giveUp ends a wish with the talk.
func (t *talk) giveUp() {
	if t.wish == nil {
		return
	}
	w, how := t.wish, broken
	if t.left() {
		how = callerLeft
	}
	w.rung = w.rung.stop()
	t.conclude(w, how)
}
