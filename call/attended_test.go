package call

import (
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// consults has an agent hold his caller, call somebody, and gives the dialog of that
// call as his phone names it.
func (h *house) consults(agent string, talk party, number string) (call party, to func() sip.ReferTo) {
	h.t.Helper()
	h.holds(talk, true)
	call = h.dials(agent, number)
	return call, func() sip.ReferTo {
		d := call.leg.Dialog()
		return sip.ReferTo{URI: number, Replaces: &d}
	}
}

func TestAttendedTransferToAnAgent(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		own, to := h.consults("anna", anna, "ben")
		ben := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.hear("the colleague", ben, own)
		h.holds(own, true) // as most phones do, before they transfer
		h.told(h.refer(anna, to()), 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: "agent", Target: "ben", Result: "done"})
		h.hear("the colleague", ben, caller)
		h.hear("the caller", caller, ben)
		h.await("the agent's talk to end", anna.leg.Done())
		h.await("the consultation to end", own.leg.Done())
		h.ended(HandedOver)
		h.state("anna", router.Ready)
		h.state("ben", router.Talking)
		ben.leg.Hangup()
		h.ended(AgentHungUp)
		if talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Agent != "ben" || talk.Hold <= 0 || talk.Queue != "claims" {
			t.Errorf("the talk ended as %+v", talk)
		}
		h.state("ben", router.Ready)
		h.nothingLeft()
	})
}

// A colleague who is consulted cannot hand on who consults him, nor later the caller
// by what he had wanted before.
func TestTransferByWhoIsConsulted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		own, to := h.consults("anna", anna, "ben")
		ben := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.hear("the colleague", ben, own)
		h.told(h.refer(ben, sip.ReferTo{URI: "goodbye"}), 603)
		h.told(h.refer(anna, to()), 200)
		h.hear("the colleague", ben, caller)
		caller.leg.Hangup()
		h.ended(HandedOver)
		h.ended(CallerHungUp)
		h.nothingLeft()
	})
}

// The phone need not have been answered: it rings on, for the caller.
func TestAttendedTransferWhileThePhoneRings(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer bool
	}{{"answered", true}, {"declined", false}} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				h.register("ben")
				caller, anna := h.talk()
				own, to := h.consults("anna", anna, "ben")
				ben := h.ringing()
				h.await("ringing", own.leg.Progress())
				r := h.refer(anna, h.early(own, to))
				h.await("the consultation to end", own.leg.Done())
				select {
				case <-ben.leg.Done():
					t.Fatal("the phone has stopped ringing")
				default:
				}
				if c.answer {
					must(t, ben.leg.Answer(ben.media))
					h.told(r, 200)
					h.hear("the colleague", ben, caller)
					h.await("the agent's talk to end", anna.leg.Done())
				} else {
					must(t, ben.leg.Reject(603, "Decline"))
					h.told(r, 603)
					h.holds(anna, false)
					h.hear("the agent", anna, caller)
				}
				h.facts.await(t, "call.ended") // the consultation's
				caller.leg.Hangup()
				h.ended(CallerHungUp)
				h.state("anna", router.Ready)
				h.state("ben", router.Ready)
				h.nothingLeft()
			})
		})
	}
}

// early names the dialog of a call that rings.
func (h *house) early(own party, to func() sip.ReferTo) (found sip.ReferTo) {
	h.t.Helper()
	found = to()
	h.calls.mu.Lock()
	defer h.calls.mu.Unlock()
	for leg := range h.calls.talks {
		if leg.SIPCallID() == own.leg.SIPCallID() {
			there := leg.Dialog() // as seen from the other end
			found.Replaces = &sip.Replaces{CallID: there.CallID, ToTag: there.FromTag, FromTag: there.ToTag}
		}
	}
	return found
}

// Whom the agent has reached by a queue talks on in the visit of that queue.
func TestAttendedTransferThroughAQueue(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		h.register("anna")
		caller, anna := h.talk()
		own, to := h.consults("anna", anna, "billing")
		h.await("the answer", own.leg.Answered())
		place := h.facts.await(t, "visit.joined").(event.VisitJoined)
		h.arrives("ben")
		ben := h.pickUp()
		h.visitEnded(event.Answered)
		h.hear("the colleague", ben, own)
		began := time.Now()
		h.hear("the agent", own, ben)
		h.told(h.refer(anna, to()), 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: "queue", Target: "billing", Result: "done"})
		h.hear("the colleague", ben, caller)
		h.await("the agent's talk to end", anna.leg.Done())
		h.ended(HandedOver)
		took := time.Since(began)
		caller.leg.Hangup()
		h.ended(CallerHungUp)
		for range 2 {
			switch talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Agent {
			case "anna":
			case "ben":
				if talk.Visit != place.Visit {
					t.Errorf("the second talk is of %s, want %s", talk.Visit, place.Visit)
				}
				if talk.Talk+talk.Hold < took {
					t.Errorf("the second talk took %v and %v, of %v", talk.Talk, talk.Hold, took)
				}
			default:
				t.Errorf("%s has talked", talk.Agent)
			}
		}
		h.nothingLeft()
	})
}

// Nobody has answered there yet: the caller waits in the agent's place.
func TestAttendedTransferIntoALine(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		h.register("anna")
		caller, anna := h.talk()
		own, to := h.consults("anna", anna, "billing")
		h.await("the answer", own.leg.Answered())
		h.facts.await(t, "visit.joined")
		h.told(h.refer(anna, to()), 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: "queue", Target: "billing", Result: "done"})
		if joined := h.facts.await(t, "visit.joined").(event.VisitJoined); joined.Queue != "billing" {
			t.Errorf("the caller waits as %+v", joined)
		}
		h.await("the consultation to end", own.leg.Done())
		again := h.ringing() // anna, free by now
		must(t, again.leg.Answer(again.media))
		h.hear("the agent", again, caller)
		caller.leg.Hangup()
		h.facts.await(t, "call.ended")
		h.facts.await(t, "call.ended")
		h.nothingLeft()
	})
}

func TestAttendedTransferToSomebodyOutside(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		caller, anna := h.talk()
		own, to := h.consults("anna", anna, "+4930123456")
		far := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.told(h.refer(anna, to()), 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: "number", Result: "done"})
		h.hear("the far end", far, caller)
		h.await("the agent's talk to end", anna.leg.Done())
		h.state("anna", router.Ready)
		far.leg.Hangup()
		h.await("the caller's leg to end", caller.leg.Done())
		h.nothingLeft()
	})
}

// A dialog that is none, or in which nobody is to be had.
func TestAttendedTransferToNobody(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, anna := h.talk()
		h.told(h.refer(anna, sip.ReferTo{URI: "ben", Replaces: &sip.Replaces{CallID: "x", ToTag: "y", FromTag: "z"}}), 481)
		d := anna.leg.Dialog()
		h.told(h.refer(anna, sip.ReferTo{URI: "ben", Replaces: &d}), 481) // his own talk
		d = caller.leg.Dialog()
		h.told(h.refer(anna, sip.ReferTo{URI: "ben", Replaces: &d}), 481) // the caller himself
		h.hear("the agent", anna, caller)
		h.over(caller)
	})
}

func TestBlindTransferOutside(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		caller, anna := h.talk()
		r := h.refer(anna, sip.ReferTo{URI: "+4930123456"})
		must(t, h.ringing().leg.Reject(486, "Busy Here"))
		h.told(r, 486)
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "number", Result: "busy"})
		h.hear("the agent", anna, caller)
		r = h.refer(anna, sip.ReferTo{URI: "+4930123456"}) // one at once: the first is given back
		far := h.pickUp()
		h.told(r, 200)
		h.hear("the far end", far, caller)
		h.hear("the caller", caller, far)
		h.await("the agent's talk to end", anna.leg.Done())
		h.state("anna", router.Ready)
		got := h.facts.await(t, "call.transferred").(event.Transferred)
		if got.Target != "" || string(got.Sealed) != got.Transfer+" +4930123456" {
			t.Errorf("the record says %+v", got)
		}
		other, anna := h.talk()
		h.told(h.refer(anna, sip.ReferTo{URI: "+49900123456"}), 403) // which the policy forbids
		h.hear("the agent", anna, other)
		other.leg.Hangup()
		caller.leg.Hangup()
		h.nothingLeft()
	})
}

// Who is consulted may hang up while the caller is handed on to him: the caller stays
// with his agent, who is told.
func TestConsultedHangsUpInTheHandOver(t *testing.T) {
	for _, c := range []struct{ number, to, target string }{
		{"ben", "agent", "ben"}, {"billing", "queue", "billing"}, {"+4930123456", "number", ""},
	} {
		t.Run(c.to, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, desks, outside)
				h.register("anna")
				caller, anna := h.talk()
				h.register("ben")
				own, to := h.consults("anna", anna, c.number)
				far := h.pickUp()
				h.await("the answer", own.leg.Answered())
				h.hear("whom she consults", far, own)
				h.between(own, func(given *ring) {
					far.leg.Hangup()
					h.await("the end of the consulted's leg", given.leg.Done())
				})
				h.told(h.refer(anna, to()), 481)
				h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: c.to, Target: c.target, Result: "failed"})
				h.holds(anna, false)
				h.hear("the agent", anna, caller)
				h.ended(HandedOver)
				h.state("ben", router.Ready)
				h.over(caller)
			})
		})
	}
}

// between does something as soon as an agent's own call has given somebody away, before
// the other call has him.
func (h *house) between(own party, do func(given *ring)) {
	h.t.Helper()
	h.calls.mu.Lock()
	defer h.calls.mu.Unlock()
	for leg, call := range h.calls.talks {
		if leg.SIPCallID() != own.leg.SIPCallID() {
			continue
		}
		middle := &inbound{asked: make(chan request), over: make(chan struct{})} // it answers itself
		h.calls.talks[leg] = middle
		go func() {
			asked := <-middle.asked
			r := request{leg: asked.leg, answer: make(chan *ring, 1)}
			call.asked <- r
			given := <-r.answer
			do(given)
			h.calls.mu.Lock()
			delete(h.calls.talks, leg)
			h.calls.mu.Unlock()
			asked.answer <- given
		}()
		return
	}
	h.t.Fatal("the agent is in no call of his own")
}

// An agent who has been handed on in his own call is still found there, and so is the
// place he has got.
func TestAttendedTransferIntoALineThatCameByTransfer(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		h.register("anna")
		caller, anna := h.talk()
		h.register("ben")
		own, to := h.consults("anna", anna, "claims")
		ben := h.pickUp()
		h.hear("the colleague", ben, own)
		must(t, h.router.SetState(t.Context(), "ben", router.Paused, "test")) // or he would be the next
		h.told(h.refer(ben, sip.ReferTo{URI: "billing"}), 200)
		h.await("the colleague's leg to end", ben.leg.Done())
		h.transferred(event.Transferred{Agent: "ben", How: event.Blind, To: "queue", Target: "billing", Result: "done"})
		h.told(h.refer(anna, to()), 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: "queue", Target: "billing", Result: "done"})
		next := h.pickUp()
		h.hear("who is next", next, caller)
		caller.leg.Hangup()
		h.ended(HandedOver)
		h.ended(CallerHungUp)
		h.nothingLeft()
	})
}

// Whoever hangs up in a consultation, and whenever.
func TestHangupInAnAttendedTransfer(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(caller, anna, own, ben party, refer func())
	}{
		{"the caller as it is asked for", func(caller, _, _, _ party, refer func()) { both(caller.leg.Hangup, refer) }},
		{"the colleague as it is asked for", func(caller, _, _, ben party, refer func()) {
			both(ben.leg.Hangup, refer)
			caller.leg.Hangup()
		}},
		{"the consultation as it is asked for", func(caller, _, own, _ party, refer func()) {
			both(own.leg.Hangup, refer)
			caller.leg.Hangup()
		}},
		{"the agent as it is asked for", func(caller, anna, own, _ party, refer func()) {
			refer()
			both(anna.leg.Hangup, own.leg.Hangup)
			caller.leg.Hangup()
		}},
		{"everybody", func(caller, anna, own, ben party, refer func()) {
			both(caller.leg.Hangup, anna.leg.Hangup, own.leg.Hangup, ben.leg.Hangup, refer)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				for range 5 {
					caller, anna := h.talk()
					h.arrives("ben")
					own, to := h.consults("anna", anna, "ben")
					ben := h.pickUp()
					h.await("the answer", own.leg.Answered())
					c.do(caller, anna, own, ben, func() {
						at := to()
						at.URI = "sip:ben@" + h.address()
						_, _ = anna.leg.Refer(at)
					})
					for _, p := range []party{caller, anna, own} {
						p.leg.Hangup()
					}
					for _, p := range []party{caller, anna, own, ben} {
						h.await("the end of each leg", p.leg.Done())
					}
					h.nothingLeft()
					must(t, h.router.SetState(t.Context(), "ben", router.Paused, "test"))
					h.state("ben", router.Paused)
					h.state("anna", router.Ready)
				}
			})
		})
	}
}

// A phone that mixes by itself keeps both calls up: each is heard in its own, and
// neither hears the other through us.
func TestTwoCallsOfOnePhoneAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		own := h.dials("anna", "ben")
		ben := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.hear("the colleague", ben, own)
		h.hear("the caller", caller, anna)
		h.hear("the agent", own, ben)
		h.hear("the agent", anna, caller)
		own.leg.Hangup()
		h.ended(CallerHungUp)
		h.hear("the caller", caller, anna)
		h.over(caller)
	})
}

// A telephone outside that still rings counts among the agent's calls outside until the
// caller and it are through.
func TestAttendedTransferWhileATelephoneOutsideRings(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside) // one at once
		h.register("anna")
		caller, anna := h.talk()
		own, to := h.consults("anna", anna, "+4930123456")
		far := h.ringing()
		h.await("ringing", own.leg.Progress())
		r := h.refer(anna, h.early(own, to))
		must(t, far.leg.Answer(far.media))
		h.told(r, 200)
		h.hear("the far end", far, caller)
		h.await("the agent's talk to end", anna.leg.Done())
		h.refused(h.dials("anna", "+4930123457"), 403)
		far.leg.Hangup()
		h.await("the caller's leg to end", caller.leg.Done())
		h.nothingLeft()
		next := h.dials("anna", "+4930123457")
		h.ringing()
		next.leg.Hangup()
		h.nothingLeft()
	})
}

// A call that breaks off as it is asked keeps nobody waiting.
func TestAskedCallBreaksOff(t *testing.T) {
	for _, given := range []*ring{nil, {}} {
		c, leg := New(Options{}), new(sip.Leg)
		from := &inbound{asked: make(chan request), over: make(chan struct{})}
		c.talks[leg] = from
		go func() {
			r := <-from.asked
			if given != nil {
				r.answer <- given
			}
			close(from.over)
		}()
		if got, err := c.ask(t.Context(), request{leg: leg, answer: make(chan *ring, 1)}); got != given || (err == nil) != (given != nil) {
			t.Errorf("got %v, %v", got, err)
		}
	}
}
