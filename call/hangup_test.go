package call

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// Whoever hangs up, and whenever: the call ends as what it was, and nothing of
// it is left.

func TestCallerGivesUpBeforeTheAnswer(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		for range 10 {
			caller := h.dial("helpline")
			h.await("ringing", caller.leg.Progress())
			caller.leg.Hangup() // CANCEL, which crosses the 200
			h.await("the end of the leg", caller.leg.Done())
			h.facts.await(t, "call.ended")
		}
		h.nothingLeft()
	})
}

func TestCallerCancelsBeforeTheAnswer(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		slow := make(chan struct{})
		h.facts.setTrap(func(f event.Fact) {
			if _, ok := f.(event.CallStarted); ok {
				<-slow
			}
		})
		caller := h.dial("helpline")
		h.facts.await(t, "call.started")
		caller.leg.Hangup()
		h.await("the end of the leg", caller.leg.Done())
		close(slow)
		h.ended(LeftRinging)
		h.nothingLeft()
	})
}

func TestCallThatCannotBeAnswered(t *testing.T) {
	g729 := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"
	for _, c := range []struct {
		name, offer string
		end         Termination
	}{
		{"no codec in common", g729, NoCodec},
		{"multicast", strings.Replace(g729, "c=IN IP4 127.0.0.1", "c=IN IP4 224.0.0.1/127", 1), BadOffer},
		{"no port free", "", NoPort},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, pairs(1))
				var first party
				if c.offer == "" {
					first = h.join() // takes the only pair
				}
				leg, err := h.lines.Dial(sip.Target{URI: "sip:helpline@" + h.address(), From: "caller"}, offering(c.offer))
				must(t, err)
				h.await("the refusal", leg.Done())
				if got := leg.End().Code; got != c.end.Code {
					t.Errorf("refused with %d, want %d", got, c.end.Code)
				}
				h.ended(c.end)
				if first.leg != nil {
					first.leg.Hangup()
				}
				h.nothingLeft()
			})
		})
	}
}

// offering is a caller's side that offers what it is; its calls are refused.
type offering string

func (o offering) Offer() ([]byte, error) {
	if o == "" {
		o = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49000 RTP/AVP 0\r\n"
	}
	return []byte(o), nil
}
func (offering) Answer([]byte) ([]byte, error) { return nil, errors.New("not to be called") }
func (offering) Accept([]byte) error           { return nil }

func TestCallerHangsUpInAPrompt(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.dial("helpline")
		h.await("the answer", caller.leg.Answered())
		caller.leg.Hangup()
		h.ended(LeftFlow)
		h.nothingLeft()
	})
}

func TestCallerHangsUpInTheQueue(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.join()
		caller.leg.Hangup()
		h.visitEnded(event.Abandoned)
		h.ended(LeftQueue)
		h.nothingLeft()
	})
}

func TestCallerHangsUpWhileTheAgentRings(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller := h.join()
		agent := h.ringing()
		caller.leg.Hangup()
		h.await("the agent's phone to fall silent", agent.leg.Done())
		h.visitEnded(event.Abandoned)
		if got := h.facts.await(t, "offer.ended").(event.OfferEnded).Result; got != event.OfferWithdrawn {
			t.Errorf("the offer ended %s, want withdrawn", got)
		}
		h.ended(LeftQueue)
		h.state("anna", router.Ready)
		h.nothingLeft()
	})
}

func TestCallerHangsUpAtTheVeryMomentTheAgentAnswers(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		for range 20 {
			caller := h.join()
			agent := h.ringing()
			var both sync.WaitGroup
			both.Go(caller.leg.Hangup)
			both.Go(func() { _ = agent.leg.Answer(agent.media) })
			both.Wait()
			h.await("the agent's leg to end", agent.leg.Done())
			h.facts.await(t, "call.ended")
			visit := h.facts.await(t, "visit.ended").(event.VisitEnded)
			if visit.Result != event.Abandoned && visit.Result != event.Answered {
				t.Errorf("the visit ended %s", visit.Result)
			}
			h.state("anna", router.Ready)
			h.nothingLeft()
		}
	})
}

func TestEitherHangsUpInTheTalk(t *testing.T) {
	for _, c := range []struct {
		name string
		who  func(caller, agent party) (hangsUp, other party)
		end  Termination
	}{
		{"caller", func(caller, agent party) (party, party) { return caller, agent }, CallerHungUp},
		{"agent", func(caller, agent party) (party, party) { return agent, caller }, AgentHungUp},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t)
				h.register("anna")
				hangsUp, other := c.who(h.talk())
				hangsUp.leg.Hangup()
				h.await("the other leg to end", other.leg.Done())
				h.ended(c.end)
				h.facts.await(t, "talk.ended")
				for _, want := range []event.LegEnded{{Side: "agent", Agent: "anna"}, {Side: "caller"}} {
					got := h.facts.await(t, "leg.ended").(event.LegEnded)
					if got.Side != want.Side || got.Agent != want.Agent || got.Codec != "PCMU" {
						t.Errorf("a leg ended as %+v, want the %s's", got, want.Side)
					}
				}
				h.state("anna", router.Ready)
				h.nothingLeft()
			})
		})
	}
}

func TestLostByeIsNoticedByTheSilence(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) { c.Media.Silence = config.Duration(500 * time.Millisecond) })
		h.register("anna")
		caller, agent := h.talk()
		caller.media.Close() // the phone is gone and has said nothing
		h.ended(MediaLost)
		h.await("the agent's leg to end", agent.leg.Done())
		h.state("anna", router.Ready)
		h.nothingLeft()
	})
}

// silent is a phone that sends no sound before somebody speaks.
type silent struct {
	sip.Session
	offer []byte
}

func (s *silent) Answer(offer []byte) ([]byte, error) {
	s.offer = offer
	answer, err := s.Session.Answer(bytes.Replace(offer, []byte("a=sendrecv"), []byte("a=sendonly"), 1))
	answer = bytes.Replace(answer, []byte("a=recvonly"), []byte("a=sendrecv"), 1)
	return bytes.Replace(answer, []byte("a=inactive"), []byte("a=sendrecv"), 1), err
}

// A phone with sound before the answer may ring for longer than a talk may be
// silent.
func TestAgentWhoseEarlySoundIsSilentTalks(t *testing.T) {
	const silence = 300 * time.Millisecond
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) { c.Media.Silence = config.Duration(silence) })
		h.register("anna")
		caller := h.join()
		agent := h.ringing()
		phone := &silent{Session: agent.media}
		must(t, agent.leg.AnswerEarly(phone))
		time.Sleep(2 * silence)
		must(t, agent.leg.Answer(phone))
		h.facts.await(t, "visit.ended")
		_, err := agent.media.Answer(phone.offer) // anna speaks
		must(t, err)
		select {
		case <-caller.leg.Done():
			t.Error("the caller was hung up as the agent answered")
		case <-time.After(2 * silence):
		}
		caller.leg.Hangup()
		h.ended(CallerHungUp)
		h.state("anna", router.Ready)
		h.nothingLeft()
	})
}

func TestAgentWhoDeclinesIsPausedAndTheNextIsRung(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller := h.join()
		first := h.ringing()
		must(t, first.leg.Reject(486, "Busy Here"))
		h.pickUp()
		h.visitEnded(event.Answered)
		h.state("anna", router.Paused)
		h.state("ben", router.Talking)
		h.over(caller)
	})
}

func TestAgentWhoDoesNotAnswerIsPausedAndTheCallerNoticesNothing(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller := h.join()
		agent := h.ringing()
		h.await("the ringing to stop", agent.leg.Done())
		h.state("anna", router.Paused)
		if got := h.facts.await(t, "offer.ended").(event.OfferEnded).Result; got != event.OfferTimedOut {
			t.Errorf("the offer ended %s, want timed_out", got)
		}
		must(t, h.router.SetState(t.Context(), "anna", router.Ready, "test"))
		again := h.ringing() // the only one there is
		must(t, again.leg.Answer(again.media))
		h.visitEnded(event.Answered)
		h.over(caller)
	})
}

// No port for the agent's leg is no fault of the agent: nobody is paused, and he is
// rung as soon as there is one.
func TestFaultOfOursPausesNobody(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, pairs(2))
		h.register("anna")
		h.register("ben")
		other := h.dial("helpline") // takes the second pair
		h.await("the answer", other.leg.Answered())
		caller := h.join()
		for range 2 { // anna, then ben
			if got := h.facts.await(t, "offer.ended").(event.OfferEnded).Result; got != event.OfferWithdrawn {
				t.Errorf("an offer that could not be rung ended %s, want withdrawn", got)
			}
		}
		all, err := h.router.Agents(t.Context())
		must(t, err)
		for _, a := range all {
			if a.State == router.Paused {
				t.Errorf("%s was paused for a fault of ours", a.ID)
			}
		}
		caller.leg.Hangup()
		other.leg.Hangup()
		h.nothingLeft()
	})
}

// A phone is silent before its agent is free: with no wrap-up and a caller in
// line, its next INVITE comes after the BYE.
func TestPhoneIsSilentBeforeItsAgentIsFree(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		var early atomic.Bool
		h.facts.setTrap(func(f event.Fact) {
			if _, ok := f.(event.TalkEnded); ok && h.toAgent.Load().End() == (sip.End{}) {
				early.Store(true)
			}
		})
		caller, agent := h.talk()
		caller.leg.Hangup()
		h.await("the agent's leg to end", agent.leg.Done())
		h.facts.await(t, "talk.ended")
		if early.Load() {
			t.Error("the agent was free before his phone was told to hang up")
		}
		h.nothingLeft()
	})
}

func TestPanicEndsOneCall(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, agent := h.talk()
		h.facts.setTrap(func(f event.Fact) {
			if step, ok := f.(event.StepEntered); ok && step.Step == "end" {
				panic("trapped")
			}
		})
		victim := h.dial("goodbye")
		h.await("the end of the call that panics", victim.leg.Done())
		h.ended(Crashed)
		select {
		case <-caller.leg.Done():
			t.Error("a panic in one call ended another")
		case <-agent.leg.Done():
			t.Error("a panic in one call ended another's agent")
		default:
		}
		h.over(caller)
	})
}

func TestCloseEndsEveryCall(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		talking, agent := h.talk()
		waiting := h.join()
		h.calls.Close()
		for _, p := range []party{talking, agent, waiting} {
			h.await("the end of a leg", p.leg.Done())
		}
		h.ended(Drained)
		h.ended(Drained)
		h.visitEnded(event.FlowedOut)
		h.nothingLeft()
	})
}

func TestFlowThatHangsUp(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.dial("goodbye")
		h.await("the end of the leg", caller.leg.Done())
		if got := caller.leg.End(); got.By != sip.ByRemote {
			t.Errorf("the leg was ended by %s, want remote", got.By)
		}
		h.ended(FlowEnded)
		h.nothingLeft()
	})
}

func TestUnknownNumber(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller := h.dial("nobody")
		h.await("the refusal", caller.leg.Done())
		if got := caller.leg.End().Code; got != 404 {
			t.Errorf("refused with %d, want 404", got)
		}
		h.ended(UnknownNumber)
		h.nothingLeft()
	})
}

func TestFullDiskRefusesNewCallsAndLeavesTalksAlone(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, agent := h.talk()
		h.full.Store(true)
		refused := h.dial("helpline")
		h.await("the refusal", refused.leg.Done())
		if got := refused.leg.End().Code; got != 503 {
			t.Errorf("refused with %d, want 503", got)
		}
		select {
		case <-caller.leg.Done():
			t.Error("the talk was ended")
		case <-agent.leg.Done():
			t.Error("the talk was ended")
		default:
		}
		h.over(caller)
	})
}

func TestHoldIsToldFromTalk(t *testing.T) {
	at := time.Now()
	clock := newHoldClock(at)
	clock.hold(at.Add(10 * time.Second))
	clock.hold(at.Add(11 * time.Second)) // a phone that says it twice
	clock.resume(at.Add(15 * time.Second))
	clock.resume(at.Add(16 * time.Second))
	clock.hold(at.Add(20 * time.Second))
	talk, hold := clock.stop(at.Add(25 * time.Second))
	if talk != 15*time.Second || hold != 10*time.Second {
		t.Errorf("talked %v, held %v; want 15s, 10s", talk, hold)
	}
}

func TestFeatureCodes(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		for _, c := range []struct {
			code string
			want router.State
		}{{"*71", router.Paused}, {"*70", router.Ready}} {
			side, err := h.ears.NewLeg(media.LegOptions{Latch: true})
			must(t, err)
			leg, err := h.phones.Dial(sip.Target{
				URI: "sip:" + c.code + "@" + h.address(), From: "anna", FromHost: "127.0.0.1", Auth: &sip.Auth{User: "anna", Password: "pw-anna"},
			}, side)
			must(t, err)
			h.await("the answer to "+c.code, leg.Answered())
			h.await("the end of "+c.code, leg.Done())
			side.Close()
			h.state("anna", c.want)
		}
		h.nothingLeft()
	})
}
