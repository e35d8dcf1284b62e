package call

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// An agent hands his caller on: to whom, by what way, and what may go wrong. In
// the end nothing is left, as ever.

// desks adds a second queue, with a number of its own.
func desks(c *config.Config) {
	billing := c.Queues["claims"]
	billing.HeadStart = config.Duration(0)
	claims := c.Queues["claims"]
	claims.HeadStart = config.Duration(10 * time.Minute)
	c.Queues["claims"], c.Queues["billing"] = claims, billing
	step := c.Flows["main"].Steps["wait"]
	queue := *step.Queue
	queue.Name = "billing"
	step.Queue = &queue
	flow := c.Flows["main"]
	flow.Steps = map[string]config.Step{"menu": c.Flows["main"].Steps["menu"], "wait": step}
	c.Flows["bill"] = flow
	c.Numbers["bills"] = config.Number{Flow: "bill", Language: "en"}
}

// refer has an agent's phone ask for a transfer.
func (h *house) refer(agent party, to sip.ReferTo) *sip.Referral {
	h.t.Helper()
	if !strings.Contains(to.URI, "@") {
		to.URI = "sip:" + to.URI + "@" + h.address()
	}
	var r *sip.Referral
	h.poll("the phone can ask for a transfer", func() (can bool) { // once its 200 is acknowledged
		var err error
		r, err = agent.leg.Refer(to)
		return err == nil
	})
	return r
}

// told waits for the last news of a transfer.
func (h *house) told(r *sip.Referral, want int) {
	h.t.Helper()
	limit := time.After(10 * time.Second)
	var last sip.ReferStep
	for {
		select {
		case step, more := <-r.Steps():
			if !more {
				if last.Code != want {
					h.t.Errorf("the phone was told %d in the end, want %d", last.Code, want)
				}
				return
			}
			last = step
		case <-limit:
			h.t.Fatalf("the phone was not told how its transfer ended; last %d", last.Code)
		}
	}
}

// hear checks that what one presses the other hears, as those do who talk.
func (h *house) hear(who string, from, to party) {
	h.t.Helper()
	for {
		select {
		case <-to.media.Events(): // of before
			continue
		default:
		}
		break
	}
	must(h.t, from.media.SendKeys("5"))
	limit := time.After(5 * time.Second)
	for {
		select {
		case e := <-to.media.Events():
			if key, ok := e.(media.Key); ok && key.Key == '5' {
				return
			}
		case <-limit:
			h.t.Fatalf("%s is not heard", who)
		}
	}
}

func (h *house) transferred(want event.Transferred) {
	h.t.Helper()
	if got := h.handed(want); got.Visit == "" {
		h.t.Errorf("the transfer is of no visit: %+v", got)
	}
}

// handed checks the record of a transfer but for its visit.
func (h *house) handed(want event.Transferred) (got event.Transferred) {
	h.t.Helper()
	got = h.facts.await(h.t, "call.transferred").(event.Transferred)
	if got.Transfer == "" {
		h.t.Errorf("the transfer has no name: %+v", got)
	}
	if got.Agent != want.Agent || got.How != want.How || got.To != want.To || got.Target != want.Target || got.Result != want.Result {
		h.t.Errorf("the record says %+v, want %+v", got, want)
	}
	return got
}

func TestBlindTransferToAQueue(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		h.register("anna")
		caller, agent := h.talk()
		first := h.lastOffer()
		earlier := h.dial("bills") // waits before him, with less priority
		h.await("the answer", earlier.leg.Answered())
		must(t, earlier.media.SendKeys("1"))
		h.facts.await(t, "visit.joined")
		r := h.refer(agent, sip.ReferTo{URI: "billing"})
		second := h.facts.await(t, "visit.joined").(event.VisitJoined)
		if second.Queue != "billing" || second.Language != "en" || second.Visit == first.Visit {
			t.Errorf("handed on he joined as %+v", second)
		}
		h.told(r, 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "queue", Target: "billing", Result: "done"})
		h.await("the agent's leg to end", agent.leg.Done())
		if talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Agent != "anna" || talk.Visit != first.Visit {
			t.Errorf("the talk ended as %+v", talk)
		}
		// anna is free, and rung for him who has the priority
		next := h.ringing()
		if offer := h.lastOffer(); offer.Visit != second.Visit {
			t.Errorf("the next offer is %+v", offer)
		}
		must(t, next.leg.Answer(next.media))
		h.visitEnded(event.Answered)
		h.hear("the agent", next, caller)
		earlier.leg.Hangup()
		caller.leg.Hangup()
		h.facts.await(t, "call.ended")
		h.facts.await(t, "call.ended")
		h.nothingLeft()
	})
}

// lastOffer gives the offer made last.
func (h *house) lastOffer() (last event.OfferMade) {
	h.facts.mu.Lock()
	defer h.facts.mu.Unlock()
	for _, e := range h.facts.all {
		if o, ok := e.Fact.(event.OfferMade); ok {
			last = o
		}
	}
	return last
}

func TestBlindTransferToAnAgent(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		r := h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.ringing()
		h.state("ben", router.Reserved)
		waiting := h.join() // nobody is free for this one
		must(t, ben.leg.Answer(ben.media))
		h.told(r, 200)
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "agent", Target: "ben", Result: "done"})
		h.await("the first agent's leg to end", anna.leg.Done())
		h.state("ben", router.Talking)
		h.hear("the second agent", ben, caller)
		h.hear("the caller", caller, ben)
		again := h.ringing() // anna, for who waits
		waiting.leg.Hangup()
		h.await("the phone to fall silent", again.leg.Done())
		h.facts.await(t, "call.ended")
		caller.leg.Hangup()
		h.ended(CallerHungUp)
		if talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Agent != "ben" || talk.Talk <= 0 || talk.Hold <= 0 {
			t.Errorf("the talk ended as %+v", talk)
		}
		h.state("ben", router.Ready)
		h.nothingLeft()
	})
}

// A visit may go on in another call, and be handed on there again: the wrap-up of each of
// its agents is known by his transfer.
func TestWrapUpIsOfATransfer(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) {
			claims, long := c.Queues["claims"], config.Duration(time.Hour)
			claims.WrapUp = &long
			c.Queues["claims"] = claims
		})
		h.register("anna")
		caller, anna := h.talk()
		h.register("ben")
		r := h.refer(anna, sip.ReferTo{URI: "ben"})
		h.pickUp()
		h.told(r, 200)
		transfer := h.facts.await(t, "call.transferred").(event.Transferred).Transfer
		caller.leg.Hangup()
		for _, c := range []struct{ agent, part string }{{"anna", ""}, {"ben", transfer}} {
			h.state(c.agent, router.WrapUp)
			must(t, h.router.WrapUpDone(t.Context(), c.agent))
			if got := h.facts.await(t, "wrapup.ended").(event.WrapUpEnded); got.Agent != c.agent || got.Part != c.part {
				t.Errorf("the wrap-up of %s is told of as %+v", c.agent, got)
			}
		}
		h.ended(CallerHungUp)
		h.nothingLeft()
	})
}

// A transfer to a number of ours takes the caller through its flow.
func TestBlindTransferToANumber(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		began := time.Now()
		caller, agent := h.talk()
		h.told(h.refer(agent, sip.ReferTo{URI: "goodbye"}), 200)
		h.await("the flow to hang up", caller.leg.Done())
		took := time.Since(began)
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "flow", Target: "goodbye", Result: "done"})
		// Her phone does not hang up by itself, which is no time of the caller's.
		if end := h.facts.await(t, "call.ended").(event.CallEnded); end.Reason != FlowEnded.Reason || end.Duration > took+parting/2 {
			t.Errorf("the call ended %s after %v, of %v", end.Reason, end.Duration, took)
		}
		h.nothingLeft()
	})
}

// Whatever goes wrong, the caller returns to the agent.
func TestTransferThatFails(t *testing.T) {
	for _, c := range []struct {
		name, to string
		target   func(h *house) // before
		phone    func(h *house) // rung
		want     event.Transferred
		code     int
	}{
		{name: "declined", to: "ben", target: func(h *house) { h.register("ben") },
			phone: func(h *house) { must(h.t, h.ringing().leg.Reject(603, "Decline")) },
			want:  event.Transferred{To: "agent", Target: "ben", Result: "declined"}, code: 603},
		{name: "busy phone", to: "ben", target: func(h *house) { h.register("ben") },
			phone: func(h *house) { must(h.t, h.ringing().leg.Reject(486, "Busy Here")) },
			want:  event.Transferred{To: "agent", Target: "ben", Result: "busy"}, code: 486},
		{name: "no answer", to: "ben", target: func(h *house) { h.register("ben") },
			phone: func(h *house) { h.await("the phone to fall silent", h.ringing().leg.Done()) },
			want:  event.Transferred{To: "agent", Target: "ben", Result: "no_answer"}, code: 480},
		{name: "no phone", to: "ben", want: event.Transferred{To: "agent", Target: "ben", Result: "no_answer"}, code: 480},
		{name: "himself", to: "anna", want: event.Transferred{To: "agent", Target: "anna", Result: "busy"}, code: 486},
		{name: "nobody", to: "nobody", want: event.Transferred{To: "nowhere", Result: "refused"}, code: 404},
		{name: "outside", to: "+15550123456", want: event.Transferred{To: "nowhere", Result: "refused"}, code: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				caller, anna := h.talk()
				if c.target != nil {
					c.target(h)
				}
				r := h.refer(anna, sip.ReferTo{URI: c.to})
				if c.phone != nil {
					c.phone(h)
				}
				h.told(r, c.code)
				c.want.Agent, c.want.How = "anna", event.Blind
				h.transferred(c.want)
				h.hear("the agent", anna, caller)
				h.hear("the caller", caller, anna)
				if c.target != nil {
					h.state("ben", router.Ready) // as before
				}
				anna.leg.Hangup()
				h.ended(AgentHungUp)
				h.state("anna", router.Ready)
				h.nothingLeft()
			})
		})
	}
}

// An agent who has hung up cannot have his caller back: that one waits in line, in
// the place he had.
func TestTransferThatFailsWhenTheAgentHasGone(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.ringing()
		anna.leg.Hangup()
		h.state("anna", router.Ready)
		must(t, h.router.SetState(t.Context(), "anna", router.Paused, "test"))
		later := h.join()
		must(t, ben.leg.Reject(603, "Decline"))
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "agent", Target: "ben", Result: "declined"})
		// ben is ready as before, and so gets one of the two: the later one came first,
		// as nobody else waited. The next is anna, for the first.
		second := h.pickUp()
		h.hear("ben", second, later)
		must(t, h.router.SetState(t.Context(), "anna", router.Ready, "test"))
		again := h.pickUp()
		h.hear("anna", again, caller)
		caller.leg.Hangup()
		later.leg.Hangup()
		h.facts.await(t, "call.ended")
		h.facts.await(t, "call.ended")
		h.nothingLeft()
	})
}

// A phone that hangs up as soon as its transfer is accepted has not heard that it
// failed at once; one that wants no news never hears.
func TestHangupRightAfterATransferThatFails(t *testing.T) {
	for _, to := range []string{"ben", "anna", "nobody"} { // no phone, busy, unknown
		t.Run(to, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				caller, anna := h.talk()
				first := h.lastOffer()
				if step := <-h.refer(anna, sip.ReferTo{URI: to, Quiet: true}).Steps(); step.Code != 100 {
					t.Fatalf("told %+v", step)
				}
				anna.leg.Hangup()
				h.await("the end of her leg", anna.leg.Done())
				if again := h.facts.await(t, "visit.joined").(event.VisitJoined); again.Queue != first.Queue || again.Visit == first.Visit {
					t.Errorf("he waits as %+v", again)
				}
				agent := h.pickUp()
				h.hear("the agent", agent, caller)
				h.over(caller)
			})
		})
	}
}

// Many phones put the call on hold before they transfer it, and take it back when
// that fails. The caller hears music until then.
func TestTransferOfACallOnHold(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, anna := h.talk()
		h.register("ben")
		h.holds(anna, true)
		time.Sleep(time.Second)
		r := h.refer(anna, sip.ReferTo{URI: "ben"})
		must(t, h.ringing().leg.Reject(486, "Busy Here"))
		h.told(r, 486)
		h.holds(anna, false)
		h.hear("the agent", anna, caller)
		r = h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.ringing()
		h.holds(anna, true)
		h.holds(anna, false) // and back again, while it rings: not yet heard
		must(t, ben.leg.Reject(486, "Busy Here"))
		h.told(r, 486)
		h.hear("the agent", anna, caller)
		caller.leg.Hangup()
		h.ended(CallerHungUp)
		if talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Hold < time.Second {
			t.Errorf("the talk ended as %+v", talk)
		}
		h.nothingLeft()
	})
}

// holds puts the call on hold at a telephone, or takes it back.
func (h *house) holds(p party, hold bool) {
	h.t.Helper()
	p.media.Hold(hold)
	must(h.t, p.leg.Reinvite(h.t.Context()))
}

// Whoever hangs up while an agent's wish is tried, and whenever.
func TestHangupWhileATransferIsTried(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(caller, anna, ben party)
	}{
		{"the caller", func(caller, _, _ party) { caller.leg.Hangup() }},
		{"the caller as the target answers", func(caller, _, ben party) {
			both(caller.leg.Hangup, func() { _ = ben.leg.Answer(ben.media) })
		}},
		{"the agent as the target answers", func(caller, anna, ben party) {
			both(anna.leg.Hangup, func() { _ = ben.leg.Answer(ben.media) })
			caller.leg.Hangup()
		}},
		{"the agent as the target declines", func(caller, anna, ben party) {
			both(anna.leg.Hangup, func() { _ = ben.leg.Reject(603, "") })
			caller.leg.Hangup()
		}},
		{"caller and agent", func(caller, anna, _ party) { both(caller.leg.Hangup, anna.leg.Hangup) }},
		{"all three", func(caller, anna, ben party) {
			both(caller.leg.Hangup, anna.leg.Hangup, ben.leg.Hangup)
		}},
		{"target answers and hangs up", func(caller, anna, ben party) {
			both(func() { _ = ben.leg.Answer(ben.media); ben.leg.Hangup() }, anna.leg.Hangup)
			caller.leg.Hangup()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				h.register("ben")
				for range 5 {
					caller := h.join()
					first := h.pickUp()
					h.facts.await(t, "visit.ended")
					to := "ben"
					if h.lastOffer().Agent == "ben" {
						to = "anna"
					}
					h.refer(first, sip.ReferTo{URI: to})
					second := h.ringing()
					c.do(caller, first, second)
					for _, p := range []party{caller, first, second} {
						h.await("the end of each leg", p.leg.Done())
					}
					h.facts.await(t, "call.ended")
					h.nothingLeft()
					for len(h.rung) > 0 { // one whose caller came back to him, and left
						<-h.rung
					}
					for _, agent := range []string{"anna", "ben"} {
						if err := h.router.SetState(t.Context(), agent, router.Ready, "test"); err != nil {
							t.Fatal(err)
						}
						h.state(agent, router.Ready)
					}
				}
			})
		})
	}
}

// both does things at the same moment.
func both(all ...func()) {
	var done sync.WaitGroup
	for _, do := range all {
		done.Go(do)
	}
	done.Wait()
}

// hungUpDuring has the i-th party hang up at the moment of an act, or all of them if
// there is none; then whoever is left does. Nothing stays, and ben, who was consulted, is
// paused.
func (h *house) hungUpDuring(act func(), i int, parties ...party) {
	h.t.Helper()
	var acts []func()
	for n, p := range parties {
		if n == i || i >= len(parties) {
			acts = append(acts, p.leg.Hangup)
		}
	}
	both(append(acts, act)...)
	for _, p := range parties {
		p.leg.Hangup()
	}
	for _, p := range parties {
		h.await("the end of each leg", p.leg.Done())
	}
	h.nothingLeft()
	must(h.t, h.router.SetState(h.t.Context(), "ben", router.Paused, "test"))
	h.state("ben", router.Paused)
	h.state("anna", router.Ready)
}

// A caller who holds us is music to whoever talks with him, also who comes later.
func TestTransferOfACallerWhoHolds(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, anna := h.talk()
		h.register("ben")
		h.holds(caller, true)
		h.hearsMusic("the first agent", anna)
		r := h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.pickUp()
		h.told(r, 200)
		h.hearsMusic("the second agent", ben)
		h.holds(caller, false)
		h.hear("the caller", caller, ben)
		h.over(caller)
	})
}

// hearsMusic waits until somebody has heard music for a while.
func (h *house) hearsMusic(who string, p party) {
	h.t.Helper()
	h.poll(who+" hears music", func() bool {
		v, err := p.media.RecordVoice(io.Discard, media.VoiceOptions{Max: 300 * time.Millisecond, Silence: time.Minute})
		must(h.t, err)
		<-v.Done()
		return v.Speech() > 100*time.Millisecond
	})
}

// A phone that was told that nobody takes its wish up may rely on that.
func TestTransferThatIsTakenUpTooLate(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, anna := h.talk()
		busy := make(chan struct{})
		h.facts.setTrap(func(f event.Fact) {
			if tried, ok := f.(event.Transferred); ok && tried.To == "nowhere" {
				<-busy
			}
		})
		h.told(h.refer(anna, sip.ReferTo{URI: "nobody"}), 404)
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "nowhere", Result: "refused"})
		h.told(h.refer(anna, sip.ReferTo{URI: "goodbye"}), 603)
		close(busy)
		h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "flow", Target: "goodbye", Result: "failed"})
		h.hear("the agent", anna, caller)
		h.over(caller)
	})
}

func TestDrainWhileATransferIsTried(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		h.refer(anna, sip.ReferTo{URI: "ben"})
		ben := h.ringing()
		h.calls.Close()
		for _, p := range []party{caller, anna, ben} {
			h.await("the end of each leg", p.leg.Done())
		}
		h.ended(Drained)
		h.nothingLeft()
	})
}
