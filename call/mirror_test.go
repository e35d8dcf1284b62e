package call

import (
	"testing"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// Some phones ask for an attended transfer in the agent's own call.

func TestAttendedTransferFromTheConsultation(t *testing.T) {
	for _, c := range []struct {
		to   string
		want event.Transferred
	}{
		{"ben", event.Transferred{To: "agent", Target: "ben"}},
		{"billing", event.Transferred{To: "queue", Target: "billing"}},
		{"+4930123456", event.Transferred{To: "number"}},
	} {
		t.Run(c.to, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, desks, outside)
				caller, anna, own, other := h.consulting(c.to)
				d := anna.leg.Dialog()
				h.told(h.refer(own, sip.ReferTo{URI: "caller", Replaces: &d}), 200)
				c.want.Agent, c.want.How, c.want.Result = "anna", event.Attended, "done"
				h.transferred(c.want)
				h.hear("whom she has consulted", other, caller)
				h.hear("the caller", caller, other)
				if c.to != "ben" { // some phones hang up themselves
					own.leg.Hangup()
					anna.leg.Hangup()
				}
				h.await("the agent's talk to end", anna.leg.Done())
				h.await("the consultation to end", own.leg.Done())
				h.ended(HandedOver)
				h.state("anna", router.Ready)
				h.over(caller)
			})
		})
	}
}

// What cannot be is refused, and the two calls go on.
func TestTransferOfWhoIsConsulted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		caller, anna, own, ben := h.consulting("billing")
		for _, d := range []sip.Replaces{{CallID: "x", ToTag: "y", FromTag: "z"}, caller.leg.Dialog(), own.leg.Dialog(), ben.leg.Dialog()} {
			h.told(h.refer(own, sip.ReferTo{URI: "caller", Replaces: &d}), 481)
		}
		h.hear("the colleague", ben, own)
		own.leg.Hangup()
		h.ended(CallerHungUp)
		h.holds(anna, false)
		h.hear("the agent", anna, caller)
		h.over(caller)
	})
}

// Whoever hangs up as it is asked for: nothing is left of anybody.
func TestHangupInAMirroredTransfer(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		for i := range 5 {
			caller, anna := h.talk()
			h.arrives("ben")
			own, _ := h.consults("anna", anna, "ben")
			ben := h.pickUp()
			h.await("the answer", own.leg.Answered())
			d := anna.leg.Dialog()
			refer := func() { _, _ = own.leg.Refer(sip.ReferTo{URI: "sip:caller@" + h.address(), Replaces: &d}) }
			h.hungUpDuring(refer, i, caller, anna, own, ben)
		}
	})
}
