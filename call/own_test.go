package call

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// dials has an agent call somebody from his phone.
func (h *house) dials(agent, number string) party {
	h.t.Helper()
	return h.dialsAs(agent, number, media.LegOptions{})
}

// dialsAs is dials with a telephone of some kind.
func (h *house) dialsAs(agent, number string, o media.LegOptions) party {
	h.t.Helper()
	side, err := h.ears.NewLeg(o)
	must(h.t, err)
	h.t.Cleanup(side.Close)
	leg, err := h.phones.Dial(sip.Target{
		URI: "sip:" + number + "@" + h.address(), From: agent, FromHost: "127.0.0.1", Auth: &sip.Auth{User: agent, Password: "pw-" + agent},
	}, side)
	must(h.t, err)
	return party{leg, side}
}

// refused waits for the end of a call that is not answered.
func (h *house) refused(p party, code int) {
	h.t.Helper()
	h.await("the refusal", p.leg.Done())
	if got := p.leg.End().Code; got != code {
		h.t.Errorf("refused with %d, want %d", got, code)
	}
}

// hears waits until a far end has been sent sound by another: a key arrives.
func (h *house) hears(to, from party) {
	h.t.Helper()
	must(h.t, from.media.SendKeys("5"))
	limit := time.After(5 * time.Second)
	for {
		select {
		case e := <-to.media.Events():
			if key, ok := e.(media.Key); ok && key.Key == '5' {
				return
			}
		case <-limit:
			h.t.Fatal("the two do not hear each other")
		}
	}
}

// outside lets agents call numbers of Germany.
func outside(c *config.Config) {
	c.Calls.Outside = config.Outside{
		Trunks: []string{"carrier", "backup"}, From: "+4930123450", Allow: []string{"+49"}, Deny: []string{"+49900"}, PerHour: 3, AtOnce: 1,
	}
}

// nobodyRung fails the test if anybody is rung whom the test has not taken, or about to
// be: offered until now.
func (h *house) nobodyRung() {
	h.t.Helper()
	if h.queue.Ping(h.t.Context()) == nil {
		h.passInbox()
	}
	if n := len(slices.DeleteFunc(h.facts.kinds(), func(kind string) bool { return kind != "offer.made" })); n > 0 {
		h.t.Errorf("%d offers were made", n)
	}
	if rung, taken := h.dialled.Load(), h.taken; rung != taken {
		h.t.Errorf("%d are rung, want %d", rung, taken)
	}
}

// passInbox waits until the node has heard of all that Redis has decided until now.
func (h *house) passInbox() {
	h.t.Helper()
	passer := fmt.Sprintf("passer-by-%d", len(h.facts.kinds()))
	must(h.t, h.queue.Register(h.t.Context(), passer, queue.Skills{}, false))
	heard := func(state string) func() bool {
		return func() bool {
			h.facts.mu.Lock()
			defer h.facts.mu.Unlock()
			return slices.ContainsFunc(h.facts.all, func(e event.Event) bool {
				changed, ok := e.Fact.(event.AgentChanged)
				return ok && changed.Agent == passer && changed.To == state
			})
		}
	}
	h.poll("the node hears of a passer-by", heard("paused"))
	must(h.t, h.queue.Unregister(h.t.Context(), passer))
	h.poll("the node hears of his going", heard("offline"))
}

// Two agents talk, and no caller is offered to either; then they are what they were.
func TestAgentCallsAgent(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		must(t, h.router.SetState(t.Context(), "ben", router.Paused, "lunch"))
		call := h.dials("anna", "ben")
		ben := h.ringing()
		h.await("ringing", call.leg.Progress())
		h.state("ben", router.Reserved)
		h.state("anna", router.Talking)
		started := h.facts.await(t, "call.started").(event.CallStarted)
		if started.Agent != "anna" || started.To != "agent" || started.Number != "ben" || started.CallerHash != "" {
			t.Errorf("told: %+v", started)
		}
		must(t, ben.leg.Answer(ben.media))
		h.await("the answer", call.leg.Answered())
		h.state("ben", router.Talking)
		h.hears(ben, call)
		h.hears(call, ben)

		caller := h.join()
		h.nobodyRung()
		call.leg.Hangup()
		h.await("the end at ben's", ben.leg.Done())
		h.ended(CallerHungUp)
		h.state("ben", router.Paused)
		offered := h.ringing() // anna is free again
		caller.leg.Hangup()
		h.await("the end of the offer", offered.leg.Done())
		h.state("anna", router.Ready)
		h.nothingLeft()
	})
}

// How a colleague who is not reached is told to the agent's phone.
func TestAgentNotReached(t *testing.T) {
	for _, c := range []struct {
		name, number string
		code         int
		end          Termination
		act          func(h *house)
	}{
		{"busy", "ben", 486, CalleeBusy, func(h *house) { must(h.t, h.ringing().leg.Reject(486, "")) }},
		{"declines", "ben", 603, CalleeDeclined, func(h *house) { must(h.t, h.ringing().leg.Reject(603, "")) }},
		{"himself", "anna", 486, CalleeBusy, nil},
		{"nobody", "carl", 404, UnknownNumber, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				h.register("ben")
				call := h.dials("anna", c.number)
				if c.act != nil {
					c.act(h)
				}
				h.refused(call, c.code)
				h.ended(c.end)
				h.state("anna", router.Ready)
				h.state("ben", router.Ready)
				h.nothingLeft()
			})
		})
	}
	t.Run("away", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t)
			h.register("anna")
			h.refused(h.dials("anna", "ben"), 480)
			h.ended(CalleeAway)
		})
	})
	t.Run("talks", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t)
			h.register("ben")
			caller, _ := h.talk()
			h.register("anna")
			h.refused(h.dials("anna", "ben"), 486)
			h.ended(CalleeBusy)
			caller.leg.Hangup()
			h.nothingLeft()
		})
	})
}

func TestAgentHangsUpWhileAColleagueRings(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		call := h.dials("anna", "ben")
		ben := h.ringing()
		call.leg.Hangup()
		h.await("silence at ben's", ben.leg.Done())
		h.ended(LeftRinging)
		h.state("ben", router.Ready)
		h.nothingLeft()
	})
}

// An agent who dials a queue waits in it as its callers do, and it is a visit.
func TestAgentConsultsAQueue(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) { c.Calls.Extensions = map[string]string{"7001": "claims"} })
		h.register("anna")
		call := h.dials("anna", "7001")
		h.await("the answer", call.leg.Answered())
		if joined := h.facts.await(t, "visit.joined").(event.VisitJoined); joined.Queue != "claims" || joined.Language != "en" {
			t.Errorf("joined %+v", joined)
		}
		h.nobodyRung() // least of all herself
		h.arrives("ben")
		ben := h.pickUp()
		h.visitEnded(event.Answered)
		h.hears(ben, call)
		ben.leg.Hangup()
		h.ended(AgentHungUp)
		h.state("anna", router.Ready)
		h.nothingLeft()
	})
}

// Somebody with an agent's password cannot fill the node: the agent has a few calls at
// once, and as many again when these are over.
func TestAgentsCallsAtOnce(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		h.register("anna")
		var calls []party
		for range ownAtOnce {
			calls = append(calls, h.dials("anna", "billing"))
		}
		for _, c := range calls {
			h.await("the answer", c.leg.Answered())
		}
		more := h.dials("anna", "billing")
		h.await("the refusal", more.leg.Done())
		if code := more.leg.End().Code; code != 403 {
			t.Errorf("refused with %d, want 403", code)
		}
		calls[0].leg.Hangup()
		h.ended(LeftQueue)
		h.poll("he has put it down", func() bool {
			h.calls.mu.Lock()
			defer h.calls.mu.Unlock()
			return h.calls.lifted["anna"] < ownAtOnce
		})
		again := h.dials("anna", "billing")
		h.await("the answer", again.leg.Answered())
		for _, c := range append(calls[1:], again) {
			c.leg.Hangup()
			h.ended(LeftQueue)
		}
		h.nothingLeft()
	})
}

// An agent calls outside: what the far end sees of him, and lets him hear.
func TestAgentCallsOutside(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		call := h.dials("anna", "+49301234567")
		far := h.ringing()
		if far.leg.Number() != "+49301234567" || far.leg.Caller() != "+4930123450" {
			t.Errorf("%s is called by %s", far.leg.Number(), far.leg.Caller())
		}
		if pai := far.leg.Header("P-Asserted-Identity"); !strings.Contains(pai, "+4930123450@") {
			t.Errorf("asserted: %q", pai)
		}
		h.await("ringing", call.leg.Progress())
		must(t, far.leg.AnswerEarly(far.media))
		h.await("early media", call.leg.EarlyMedia())
		h.hears(call, far)
		must(t, far.leg.Answer(far.media))
		h.await("the answer", call.leg.Answered())
		h.hears(far, call)
		h.state("anna", router.Talking)

		h.refused(h.dials("anna", "+49307654321"), 403) // one at once
		h.ended(OutsideAtOnce)
		far.leg.Hangup()
		h.ended(AgentHungUp)
		h.state("anna", router.Ready)
		if started := h.facts.await(t, "call.started").(event.CallStarted); started.Number != "…67" || started.To != "number" {
			t.Errorf("told: %+v", started)
		}
		h.nothingLeft()
	})
}

// What the agent's phone is told of calls outside that are not answered, and how many
// telephones were rung for it.
func TestOutsideNotReached(t *testing.T) {
	for _, c := range []struct {
		far, code int
		rung      int
		end       Termination
	}{
		{486, 486, 1, CalleeBusy},
		{404, 404, 1, CalleeUnknown},
		{480, 480, 1, NoAnswer},
		{603, 603, 1, CalleeDeclined},
		{488, 488, 1, CalleeDeclined},
		{302, 603, 1, CalleeDeclined},
		{503, 503, 2, TrunkFailed},
		{500, 503, 2, TrunkFailed},
		{407, 503, 2, TrunkFailed},
	} {
		t.Run(fmt.Sprint(c.far), func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, outside)
				h.silent.Store(true)
				h.register("anna")
				call := h.dials("anna", "+49301234567")
				for range c.rung {
					must(t, h.ringing().leg.Reject(c.far, ""))
				}
				h.refused(call, c.code)
				h.ended(c.end)
				h.state("anna", router.Ready)
				h.nothingLeft()
			})
		})
	}
}

// Who may call outside, and whom.
func TestOutsidePolicy(t *testing.T) {
	for _, c := range []struct {
		name, number string
		edit         func(*config.Config)
		end          Termination
	}{
		{"not set up", "+49301234567", func(*config.Config) {}, OutsideOff},
		{"another country", "+33142685300", outside, OutsideDenied},
		{"premium rate", "+49900123456", outside, OutsideDenied},
		{"no number", "jonas", outside, UnknownNumber},
		{"premium rate with zeros before", "+4900900123456", outside, UnknownNumber},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, c.edit)
				h.register("anna")
				h.refused(h.dials("anna", c.number), c.end.Code)
				h.ended(c.end)
				h.nobodyRung()
				audited := h.facts.await(t, "audit.entry").(event.Audited)
				if audited.Actor != "agent:anna" || audited.Detail != c.end.Reason+" "+Shorten(c.number) {
					t.Errorf("audited as %+v", audited)
				}
				if n := testutil.ToFloat64(h.calls.metrics.refused.WithLabelValues(c.end.Reason)); n != 1 {
					t.Errorf("counted %v times", n)
				}
			})
		})
	}
	t.Run("too often in an hour", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t, outside)
			h.register("anna")
			for range 3 {
				call := h.dials("anna", "+49301234567")
				must(t, h.ringing().leg.Reject(486, ""))
				h.refused(call, 486)
				h.ended(CalleeBusy)
			}
			h.refused(h.dials("anna", "+49301234567"), 403)
			h.ended(OutsidePerHour)
			h.nobodyRung()
			h.nothingLeft()
		})
	})
	t.Run("Redis is away", func(t *testing.T) {
		virtual(t, func(t *testing.T) {
			h := newHouse(t, outside)
			h.register("anna")
			must(t, h.queue.Close())
			h.refused(h.dials("anna", "+49301234567"), 503)
			h.ended(OutsideUnknown)
			h.nobodyRung()
		})
	})
}

// A panic before anybody outside rings leaves no call counted among those at once.
func TestPanicBeforeACallOutside(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		dial := h.calls.DialTrunk
		h.calls.DialTrunk = func(sip.TrunkCall, sip.Session) (*sip.Leg, error) { panic("trapped") }
		h.refused(h.dials("anna", "+49301234567"), 500)
		h.ended(Crashed)
		caller, anna := h.talk()
		h.refer(anna, sip.ReferTo{URI: "+49301234567"})
		h.await("the caller's end", caller.leg.Done())
		h.ended(Crashed)
		h.calls.DialTrunk = dial
		call := h.dials("anna", "+49301234567")
		h.ringing()
		call.leg.Hangup()
		h.ended(LeftRinging)
		h.nothingLeft()
	})
}

// Nobody but an agent who has proved to be one reaches a trunk.
func TestNoOpenRelay(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside, func(c *config.Config) {
			c.Calls.Emergency = map[string]config.Emergency{"112": {Action: "route", Trunks: []string{"carrier"}}}
		})
		h.register("anna")
		for _, number := range []string{"+49301234567", "112"} {
			side, err := h.ears.NewLeg(media.LegOptions{})
			must(t, err)
			t.Cleanup(side.Close)
			fromTrunk := h.dial(number)
			h.refused(fromTrunk, 404)
			h.ended(UnknownNumber)
			for _, auth := range []*sip.Auth{nil, {User: "anna", Password: "wrong"}, {User: "ben", Password: "pw-ben"}} {
				leg, err := h.phones.Dial(sip.Target{URI: "sip:" + number + "@" + h.address(), From: "anna", FromHost: "127.0.0.1", Auth: auth}, side)
				must(t, err)
				h.await("the refusal", leg.Done())
				if code := leg.End().Code; code != 401 && code != 403 {
					t.Errorf("refused with %d", code)
				}
			}
		}
		h.nobodyRung()
		h.nothingLeft()
	})
}

// Whoever an agent has called can be taken over by another call; the agent's own
// ends, and he is free.
func TestTakeOver(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, outside)
		h.register("anna")
		h.register("ben")
		for _, number := range []string{"ben", "+49301234567"} {
			var own *sip.Leg
			call := h.dials("anna", number)
			far := h.pickUp()
			h.await("the answer", call.leg.Answered())
			h.poll("they talk", func() bool { h.calls.mu.Lock(); defer h.calls.mu.Unlock(); return len(h.calls.talks) == 2 })
			h.calls.mu.Lock()
			for leg := range h.calls.talks {
				if leg.Agent() == "anna" {
					own = leg
				}
			}
			h.calls.mu.Unlock()

			another := &inbound{Conductor: h.calls, id: "another"}
			taken, err := another.takeOver(t.Context(), own)
			must(t, err)
			h.await("the end of anna's call", call.leg.Done())
			h.ended(HandedOver)
			h.state("anna", router.Ready)
			if _, err := another.takeOver(t.Context(), own); err == nil {
				t.Error("taken over twice")
			}
			select {
			case <-far.leg.Done():
				t.Fatal("whom she called was hung up")
			case <-time.After(50 * time.Millisecond):
			}
			if number == "ben" {
				h.state("ben", router.Talking)
			}
			taken.stop()
			h.await("his end", far.leg.Done())
			h.state("ben", router.Ready)
			h.nothingLeft()
		}
		if kinds := h.facts.kinds(); slices.Contains(kinds, "visit.joined") {
			t.Error("an own call was counted as a visit")
		}
	})
}
