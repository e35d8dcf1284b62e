package call

import (
	"testing"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// An agent moves his talk to another of his phones: INVITE with Replaces.

// moves has a phone of an agent's call in the place of a leg.
func (h *house) moves(agent string, from sip.Replaces) party {
	h.t.Helper()
	return h.replaces(agent, agent, from)
}

// replaces has an agent's phone call a number, to take the place of a dialog.
func (h *house) replaces(agent, number string, from sip.Replaces) party {
	h.t.Helper()
	side, err := h.ears.NewLeg(media.LegOptions{})
	must(h.t, err)
	h.t.Cleanup(side.Close)
	leg, err := h.phones.Dial(sip.Target{
		URI: "sip:" + number + "@" + h.address(), From: agent, FromHost: "127.0.0.1", Auth: &sip.Auth{User: agent, Password: "pw-" + agent}, Replaces: &from,
	}, side)
	must(h.t, err)
	return party{leg, side}
}

func TestTalkIsMoved(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, anna := h.talk()
		h.hear("the agent", anna, caller)
		next := h.moves("anna", anna.leg.Dialog())
		h.await("the answer", next.leg.Answered())
		h.await("the end at the first phone", anna.leg.Done())
		h.mixed(caller, next)
		h.state("anna", router.Talking)
		third := h.moves("anna", next.leg.Dialog()) // and once more, from a phone that has called itself
		h.await("the end at the second phone", next.leg.Done())
		h.mixed(caller, third)
		h.told(h.refer(third, sip.ReferTo{URI: "goodbye"}), 200) // it can do all that the first could
		h.await("the flow to hang up", caller.leg.Done())
		h.ended(FlowEnded)
		if talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Agent != "anna" || talk.Talk <= 0 {
			t.Errorf("the talk ended as %+v", talk)
		}
		h.state("anna", router.Ready)
		h.nothingLeft()
	})
}

// Moved or joined, a talk with a caller may be by a phone that has called itself: what that
// asks for in another call of its own is still for the caller.
func TestAttendedTransferFromTheConsultationByAnotherPhone(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks, outside)
		h.register("anna")
		caller, anna := h.talk()
		next := h.moves("anna", anna.leg.Dialog())
		h.await("the answer", next.leg.Answered())
		h.await("the end at the first phone", anna.leg.Done())
		own, _ := h.consults("anna", next, "+4930123456")
		far := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.hear("whom she consults", far, own)
		d := next.leg.Dialog()
		h.told(h.refer(own, sip.ReferTo{URI: "caller", Replaces: &d}), 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: "number", Result: "done"})
		h.hear("whom she has consulted", far, caller)
		h.await("the agent's talk to end", next.leg.Done())
		h.await("the consultation to end", own.leg.Done())
		caller.leg.Hangup()
		h.await("the far end's leg to end", far.leg.Done())
		h.nothingLeft()
	})
}

func TestOwnCallIsMoved(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		call := h.dials("anna", "ben")
		ben := h.pickUp()
		h.await("the answer", call.leg.Answered())
		h.hear("the colleague", ben, call)
		h.holds(call, true) // and takes it back at the other phone
		next := h.moves("anna", call.leg.Dialog())
		h.await("the end at the first phone", call.leg.Done())
		h.mixed(next, ben)
		again := h.moves("ben", ben.leg.Dialog()) // so may whom she has called
		h.await("the end at the colleague's first phone", ben.leg.Done())
		h.mixed(next, again)
		h.state("anna", router.Talking)
		h.state("ben", router.Talking)
		next.leg.Hangup()
		h.ended(CallerHungUp)
		h.state("anna", router.Ready)
		h.state("ben", router.Ready)
		h.nothingLeft()
	})
}

// Who is not entitled is told so, and the talk goes on.
func TestMoveRefused(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		d := anna.leg.Dialog()
		early := d
		early.EarlyOnly = true
		for _, c := range []struct {
			name  string
			agent string
			from  sip.Replaces
			code  int
		}{
			{"a colleague's", "ben", d, 603},
			{"the caller's", "anna", caller.leg.Dialog(), 603},
			{"none", "anna", sip.Replaces{CallID: "x", ToTag: "y", FromTag: "z"}, 481},
			{"while it rings only", "anna", early, 486},
		} {
			t.Log(c.name)
			h.refused(h.moves(c.agent, c.from), c.code)
		}
		side, err := h.ears.NewLeg(media.LegOptions{})
		must(t, err)
		t.Cleanup(side.Close)
		leg, err := h.lines.Dial(sip.Target{URI: "sip:anna@" + h.address(), From: "+4915112345678", Replaces: &d}, side)
		must(t, err)
		h.refused(party{leg, side}, 603) // by a trunk
		h.hear("the agent", anna, caller)

		waiting := h.join()
		ben := h.ringing()
		h.await("ringing", h.toAgent.Load().Progress())
		h.refused(h.moves("ben", ben.leg.Dialog()), 481) // what rings is no dialog yet
		waiting.leg.Hangup()
		h.await("the phone to fall silent", ben.leg.Done())
		h.facts.await(t, "call.ended")
		h.over(caller)
	})
}

// Whoever hangs up as a talk is moved: nothing is left.
func TestHangupAsATalkIsMoved(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		for i := range 3 {
			caller, anna := h.talk()
			all := []party{caller, anna, {}}
			hangup := func() { all[i].leg.Hangup() }
			if i == 2 {
				hangup = func() {}
			}
			both(func() {
				all[2] = h.moves("anna", anna.leg.Dialog())
				if i == 2 {
					all[2].leg.Hangup()
				}
			}, hangup)
			for _, p := range all {
				p.leg.Hangup()
			}
			for _, p := range all {
				h.await("the end of each leg", p.leg.Done())
			}
			h.nothingLeft()
			h.state("anna", router.Ready)
		}
	})
}
