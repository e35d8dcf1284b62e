package call

import (
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// An agent hands on whom he has called himself.

// calling gives an agent's call to somebody outside, who has answered.
func (h *house) calling() (anna, far party) {
	h.t.Helper()
	anna = h.dials("anna", "+4930123456")
	far = h.pickUp()
	h.await("the answer", anna.leg.Answered())
	h.hear("the far end", far, anna)
	return anna, far
}

// ofNoVisit checks the record of a transfer out of a call that belongs to no visit.
func (h *house) ofNoVisit(want event.Transferred) {
	h.t.Helper()
	if got := h.handed(want); got.Visit != "" {
		h.t.Errorf("the transfer is of visit %s", got.Visit)
	}
}

func TestOwnCallToAQueue(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks, outside)
		h.register("anna")
		anna, far := h.calling()
		h.told(h.refer(anna, sip.ReferTo{URI: "billing"}), 200)
		h.ofNoVisit(event.Transferred{Agent: "anna", How: event.Blind, To: "queue", Target: "billing", Result: "done"})
		h.await("the agent's leg to end", anna.leg.Done())
		if joined := h.facts.await(t, "visit.joined").(event.VisitJoined); joined.Queue != "billing" || joined.Language != "en" {
			t.Errorf("handed on he waits as %+v", joined)
		}
		next := h.ringing() // anna, who is free again
		must(t, next.leg.Answer(next.media))
		h.hear("the agent", next, far)
		h.hear("the far end", far, next)
		next.leg.Hangup()
		h.await("the far end's leg to end", far.leg.Done())
		h.ended(AgentHungUp)
		h.nothingLeft()
		again := h.dials("anna", "+4930123457") // one at once
		h.ringing()
		again.leg.Hangup()
		h.nothingLeft()
	})
}

func TestOwnCallToAnAgent(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		h.register("ben")
		anna, far := h.calling()
		r := h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.ringing()
		if got := ben.leg.Caller(); got != "+4930123456" {
			t.Errorf("ben is shown %s", got)
		}
		must(t, ben.leg.Reject(603, "Decline"))
		h.told(r, 603)
		h.ofNoVisit(event.Transferred{Agent: "anna", How: event.Blind, To: "agent", Target: "ben", Result: "declined"})
		h.hear("the agent", anna, far)
		h.state("anna", router.Talking)
		r = h.refer(anna, sip.ReferTo{URI: "ben"}) // and once more
		ben = h.pickUp()
		h.told(r, 200)
		h.ofNoVisit(event.Transferred{Agent: "anna", How: event.Blind, To: "agent", Target: "ben", Result: "done"})
		h.hear("the colleague", ben, far)
		h.await("the agent's leg to end", anna.leg.Done())
		h.state("anna", router.Ready)
		h.state("ben", router.Talking)
		far.leg.Hangup()
		h.ended(CallerHungUp)
		h.await("the colleague's leg to end", ben.leg.Done())
		h.state("ben", router.Ready)
		h.nothingLeft()
	})
}

// To somebody called on another line.
func TestOwnCallAttended(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside, func(c *config.Config) { c.Calls.Outside.AtOnce = 2 })
		h.register("anna")
		h.register("ben")
		anna, far := h.calling()
		second, to := h.consults("anna", anna, "ben")
		ben := h.pickUp()
		h.await("the answer", second.leg.Answered())
		h.hear("the colleague", ben, second)
		h.told(h.refer(anna, to()), 200)
		h.ofNoVisit(event.Transferred{Agent: "anna", How: event.Attended, To: "agent", Target: "ben", Result: "done"})
		h.hear("the colleague", ben, far)
		h.hear("the far end", far, ben)
		h.await("the first call to end", anna.leg.Done())
		h.await("the second call to end", second.leg.Done())
		h.ended(HandedOver)
		h.state("anna", router.Ready)
		ben.leg.Hangup()
		h.ended(AgentHungUp)
		h.state("ben", router.Ready)
		h.nothingLeft()
	})
}

// The agent's phone hangs up as it asks: the wish stands, or, with nobody to go to, the
// call is over.
func TestOwnCallWithoutItsAgent(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer bool
	}{{"answered", true}, {"declined", false}} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, outside)
				h.register("anna")
				h.register("ben")
				anna, far := h.calling()
				h.refer(anna, sip.ReferTo{URI: "ben"})
				ben := h.ringing()
				anna.leg.Hangup()
				h.state("anna", router.Ready)
				if c.answer {
					must(t, ben.leg.Answer(ben.media))
					h.hear("the colleague", ben, far)
					ben.leg.Hangup()
				} else {
					must(t, ben.leg.Reject(486, "Busy Here"))
				}
				h.ended(AgentHungUp)
				h.await("the far end's leg to end", far.leg.Done())
				h.nothingLeft()
			})
		})
	}
}

// So it does if both are there before anybody looks.
func TestOwnCallWhoseAgentAsksLast(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside, func(c *config.Config) { c.Calls.Outside.PerHour = 100 })
		h.register("anna")
		for range 8 { // one of two that are ready is taken by chance
			anna, far := h.calling()
			var own *inbound
			h.poll("the call", func() bool {
				h.calls.mu.Lock()
				defer h.calls.mu.Unlock()
				for _, own = range h.calls.talks {
					return true
				}
				return false
			})
			busy := request{answer: make(chan *ring)}
			own.asked <- busy // until it is heard
			h.refer(anna, sip.ReferTo{URI: "goodbye"})
			h.poll("the wish", func() bool { return len(own.leg.Refers()) == 1 })
			anna.leg.Hangup()
			h.await("the agent's leg to end", own.leg.Done())
			<-busy.answer
			h.ofNoVisit(event.Transferred{Agent: "anna", How: event.Blind, To: "flow", Target: "goodbye", Result: "done"})
			h.await("the far end's leg to end", far.leg.Done())
			h.ended(FlowEnded)
			h.nothingLeft()
			h.state("anna", router.Ready)
		}
	})
}

// Whom an agent has reached through a queue is handed on too: the visit goes on meanwhile, and
// ends with the call.
func TestOwnCallOfWhoCameByAQueue(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks, outside)
		caller, anna, own, ben := h.consulting("billing")
		h.told(h.refer(own, sip.ReferTo{URI: "+3930123456"}), 403) // is forbidden, and all is as it was
		h.hears(ben, own)
		h.hears(own, ben)
		h.packets(ben, 50) // a second
		r := h.refer(own, sip.ReferTo{URI: "+4930123456"})
		far := h.pickUp()
		h.told(r, 200)
		h.await("the end of her own call", own.leg.Done())
		h.hears(far, ben)
		h.hears(ben, far)
		h.state("ben", router.Talking)
		far.leg.Hangup()
		h.await("the end of the colleague's leg", ben.leg.Done())
		h.ended(AgentHungUp)
		talk := h.facts.await(t, "talk.ended").(event.TalkEnded)
		if talk.Agent != "ben" || talk.Queue != "billing" || talk.Talk+talk.Hold < time.Second {
			t.Errorf("the talk ended as %+v", talk)
		}
		h.state("ben", router.Ready)
		h.holds(anna, false)
		h.hear("the agent", anna, caller)
		h.over(caller)
		if n := count(h.facts.kinds(), "talk.ended"); n != 2 {
			t.Errorf("%d talks have ended", n)
		}
	})
}

// It may ask as soon as it has the answer, before the talk has begun.
func TestOwnCallWhoseAgentAsksAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		gate := make(chan struct{})
		h.facts.setTrap(func(fact event.Fact) {
			if _, ok := fact.(event.CallAnswered); ok {
				<-gate
			}
		})
		anna := h.dials("anna", "+4930123456")
		far := h.pickUp()
		h.await("the answer", anna.leg.Answered())
		r := h.refer(anna, sip.ReferTo{URI: "goodbye"})
		must(t, anna.leg.Reinvite(t.Context())) // answered after the REFER has been read
		close(gate)
		h.told(r, 200)
		h.ended(FlowEnded)
		h.await("the far end's leg to end", far.leg.Done())
		h.nothingLeft()
	})
}

// Who helps is not sent away.
func TestOwnCallForHelpStays(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) {
			c.Calls.Emergency = map[string]config.Emergency{"112": {Action: "route", Trunks: []string{"carrier"}, From: "+4930123450"}}
		})
		h.register("anna")
		anna := h.dials("anna", "112")
		far := h.pickUp()
		h.await("the answer", anna.leg.Answered())
		h.told(h.refer(anna, sip.ReferTo{URI: "goodbye"}), 403)
		h.hear("who helps", far, anna)
		h.over(anna)
	})
}

// A transfer that came to nothing leaves the call as it was: its agent can still bring
// together whom he has called and his caller.
func TestOwnCallAfterAVainTransfer(t *testing.T) {
	for name, join := range map[string]func(h *house, anna, own party){
		"from the caller's call": func(h *house, anna, own party) {
			d := own.leg.Dialog()
			h.told(h.refer(anna, sip.ReferTo{URI: "far", Replaces: &d}), 200)
		},
		"from his own": func(h *house, anna, own party) {
			d := anna.leg.Dialog()
			h.told(h.refer(own, sip.ReferTo{URI: "caller", Replaces: &d}), 200)
		},
		"by the code": func(h *house, anna, own party) {
			must(h.t, own.media.SendKeys("*3"))
			h.await("the end of the other leg", anna.leg.Done())
			own.leg.Hangup()
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, desks, outside)
				caller, anna, own, far := h.consulting("+4930123456")
				h.register("ben")
				h.told(h.refer(own, sip.ReferTo{URI: "+3930123456"}), 403) // is forbidden
				r := h.refer(own, sip.ReferTo{URI: "ben"})
				must(t, h.ringing().leg.Reject(603, "Decline"))
				h.told(r, 603)
				h.hear("the agent", own, far)
				join(h, anna, own)
				h.hear("whom she has called", far, caller)
				h.await("the agent's talk to end", anna.leg.Done())
				h.await("the agent's own call to end", own.leg.Done())
				h.state("anna", router.Ready)
				caller.leg.Hangup()
				h.await("the far end's leg to end", far.leg.Done())
				h.nothingLeft()
			})
		})
	}
}

// Who was handed on so is handed on again, also from the consultation.
func TestOwnCallHandedOnTwice(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside, func(c *config.Config) { c.Calls.Outside.AtOnce = 2 })
		h.register("anna")
		h.register("ben")
		anna, far := h.calling()
		r := h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.pickUp()
		h.told(r, 200)
		h.hear("the colleague", ben, far)
		own, _ := h.consults("ben", ben, "+4930123457")
		other := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.hear("whom he consults", other, own)
		d := ben.leg.Dialog()
		h.told(h.refer(own, sip.ReferTo{URI: "far", Replaces: &d}), 200)
		h.hear("whom the colleague has consulted", other, far)
		h.await("the colleague's leg to end", ben.leg.Done())
		far.leg.Hangup()
		h.nothingLeft()
	})
}
