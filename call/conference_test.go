package call

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/test/peer"
)

// An agent joins his caller and whom he consults by the code *3.

// consulting has an agent ready, and gives him with a caller on hold and somebody who has
// answered him.
func (h *house) consulting(number string) (caller, anna, own, other party) {
	h.t.Helper()
	h.register("anna")
	if number == "ben" {
		h.register("ben")
	}
	caller, anna = h.talk()
	own, _ = h.consults("anna", anna, number)
	if number == "billing" {
		h.await("the answer", own.leg.Answered())
		h.facts.await(h.t, "visit.joined")
		h.arrives("ben")
	}
	other = h.pickUp()
	h.await("the answer", own.leg.Answered())
	h.hear("whom he consults", other, own)
	return caller, anna, own, other
}

// mixed checks that each of some hears the others, and not himself: 500 Hz, 800 Hz and so
// on.
func (h *house) mixed(parties ...party) {
	h.t.Helper()
	hertz := func(i int) float64 { return float64(500 + 300*i) }
	for i, p := range parties {
		p.media.PlayMusic(media.Tone(hertz(i), time.Second))
		defer p.media.Silence()
	}
	h.packets(parties[0], 15) // all have begun, and what was before is over
	var tapes []*media.Recording
	var files []string
	for range parties {
		tape, file := h.record(parties[len(tapes)])
		tapes, files = append(tapes, tape), append(files, file)
	}
	h.packets(parties[0], 20)
	for i := range parties {
		must(h.t, tapes[i].Close())
		heard := peer.ReadWAV(h.t, files[i])
		for j := range parties {
			share := heard.Share(0, hertz(j))
			if want := .5 / float64(len(parties)-1); i != j && share < want || i == j && share > .05 {
				h.t.Errorf("of what %d hears %.2f is from %d", i, share, j)
			}
		}
	}
}

// packets waits until somebody has heard so many packets more, of 20 ms.
func (h *house) packets(p party, n uint64) {
	h.t.Helper()
	before := p.media.Stats().PacketsIn
	h.poll("sound", func() bool { return p.media.Stats().PacketsIn >= before+n })
}

func TestThreeWay(t *testing.T) {
	const (
		caller = iota
		agent
		consulted
	)
	for _, c := range []struct {
		name, to string
		here     bool // he presses the code in his caller's talk
		leaves   int
		want     event.Transferred
	}{
		{"the agent leaves a colleague and the caller", "ben", false, agent, event.Transferred{To: "agent", Target: "ben", Result: "done"}},
		{"a colleague leaves", "ben", true, consulted, event.Transferred{To: "agent", Target: "ben", Result: "returned"}},
		{"the caller leaves two colleagues", "ben", true, caller, event.Transferred{To: "agent", Target: "ben", Result: "caller_left"}},
		{"the agent leaves who came by a queue", "billing", true, agent, event.Transferred{To: "queue", Target: "billing", Result: "done"}},
		{"who came by a queue leaves", "billing", false, consulted, event.Transferred{To: "queue", Target: "billing", Result: "returned"}},
		{"the caller leaves somebody outside", "+4930123456", false, caller, event.Transferred{To: "number", Result: "caller_left"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, desks, outside)
				caller, held, own, guest := h.consulting(c.to)
				anna, other := own, held // the leg that stays, and the other
				if c.here {
					h.holds(own, true)
					h.holds(held, false)
					anna, other = held, own
				}
				must(t, anna.media.SendKeys("*3"))
				h.await("the end of the other leg", other.leg.Done())
				all := []party{caller, anna, guest}
				h.mixed(all...)
				h.state("anna", router.Talking)

				all[c.leaves].leg.Hangup()
				c.want.Agent, c.want.How = "anna", event.Conference
				h.transferred(c.want)
				left := append(all[:c.leaves:c.leaves], all[c.leaves+1:]...)
				h.mixed(left...)
				switch c.leaves {
				case agent:
					h.ended(HandedOver)
					h.state("anna", router.Ready)
				case consulted:
					h.ended(AgentHungUp)
					h.state("anna", router.Talking)
				default:
					h.ended(CallerHungUp)
					h.state("anna", router.Talking)
				}
				left[1].leg.Hangup()
				h.await("the other's end", left[0].leg.Done())
				h.facts.await(t, "call.ended")
				h.state("anna", router.Ready)
				h.nothingLeft()
				h.talks(c.to, c.leaves == agent)
			})
		})
	}
}

// talks checks that what was talked is counted once: by visit, the caller's until he or
// his last agent has left.
func (h *house) talks(to string, handedOn bool) {
	h.t.Helper()
	want := []string{"anna"}
	switch {
	case to == "billing":
		want = []string{"anna", "ben"}
	case to == "ben" && handedOn:
		want = []string{"ben"}
	}
	var visits []string
	for range want {
		talk := h.facts.await(h.t, "talk.ended").(event.TalkEnded)
		visits = append(visits, talk.Visit)
		if talk.Agent != want[0] && talk.Agent != want[len(want)-1] {
			h.t.Errorf("a talk of %s", talk.Agent)
		}
		if talk.Talk < 600*time.Millisecond { // for as long as the three were heard
			h.t.Errorf("%s is said to have talked for %v", talk.Agent, talk.Talk)
		}
	}
	if len(visits) == 2 && visits[0] == visits[1] {
		h.t.Errorf("both talks are of %s", visits[0])
	}
	if all := h.facts.kinds(); count(all, "talk.ended") != len(want) {
		h.t.Errorf("%d talks have ended, want %d", count(all, "talk.ended"), len(want))
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// Keys that are no code reach the other side, in order; the code does not.
func TestThreeWayKeys(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		h.register("ben")
		caller, anna := h.talk()
		must(t, anna.media.SendKeys("*3")) // with a caller alone it is none
		h.keys(caller, "*3")
		own, _ := h.consults("anna", anna, "ben")
		ben := h.pickUp()
		h.await("the answer", own.leg.Answered())
		h.hear("the colleague", ben, own)
		must(t, own.media.SendKeys("1**4*"))
		h.keys(ben, "1**4*") // the last after a while
		must(t, own.media.SendKeys("*3"))
		h.await("the end of the other leg", anna.leg.Done())
		must(t, own.media.SendKeys("*3#")) // and now it is none again
		h.keys(caller, "*3#")
		h.keys(ben, "*3#")
		caller.leg.Hangup()
		h.ended(CallerHungUp)
		h.packets(ben, 15)
		must(t, own.media.SendKeys("7"))
		h.keys(ben, "7")
		h.over(own)
	})
}

// keys waits for what somebody hears pressed.
func (h *house) keys(p party, want string) {
	h.t.Helper()
	got := ""
	limit := time.After(10 * time.Second)
	for len(got) < len(want) {
		select {
		case e := <-p.media.Events():
			if key, ok := e.(media.Key); ok {
				got += string(key.Key)
			}
		case <-limit:
			h.t.Fatalf("heard %q, want %q", got, want)
		}
	}
	if got != want {
		h.t.Errorf("heard %q, want %q", got, want)
	}
}

// A site may do without the code.
func TestThreeWayOff(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) { c.Calls.ThreeWay = "" })
		caller, _, own, ben := h.consulting("ben")
		must(t, own.media.SendKeys("*3"))
		h.keys(ben, "*3")
		own.leg.Hangup()
		caller.leg.Hangup()
		h.nothingLeft()
	})
}

// Whoever holds is not heard, though his phone may play music; the two others are.
func TestThreeWayHold(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller, anna, own, ben := h.consulting("ben")
		must(t, own.media.SendKeys("*3"))
		h.await("the end of the other leg", anna.leg.Done())
		h.holds(own, true)
		own.media.PlayMusic(media.Tone(1400, time.Second))
		h.mixed(caller, ben)
		h.holds(own, false)
		h.mixed(caller, own, ben)
		h.holds(own, true)
		ben.leg.Hangup()
		h.ended(AgentHungUp)
		h.holds(own, false)
		h.mixed(caller, own)
		h.over(caller)
	})
}

// So it is with one who holds already as they are joined.
func TestThreeWayWithOneWhoHolds(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller, anna, own, ben := h.consulting("ben")
		h.holds(ben, true)
		ben.media.PlayMusic(media.Tone(1400, time.Second))
		must(t, own.media.SendKeys("*3"))
		h.await("the end of the other leg", anna.leg.Done())
		h.mixed(caller, own)
		h.holds(ben, false)
		h.mixed(caller, own, ben)
		own.leg.Hangup()
		h.hear("whom she has consulted", ben, caller)
		caller.leg.Hangup()
		h.nothingLeft()
	})
}

// Whoever hangs up as the code is pressed: nothing is left of anybody.
func TestHangupAsThreeAreJoined(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		for i := range 5 {
			caller, anna := h.talk()
			h.arrives("ben")
			own, _ := h.consults("anna", anna, "ben")
			ben := h.pickUp()
			h.await("the answer", own.leg.Answered())
			side := h.own("anna")
			code := func() { h.calls.together(side) } // quicker than any finger
			h.hungUpDuring(code, i, caller, anna, own, ben)
		}
	})
}

// own gives an agent's side of the call that he has made himself.
func (h *house) own(agent string) (s *side) {
	h.t.Helper()
	h.poll("the agent has both", func() bool {
		h.calls.mu.Lock()
		defer h.calls.mu.Unlock()
		d := h.calls.desks[agent]
		if d == nil || len(d.own) == 0 || len(d.callers) == 0 {
			return false
		}
		s = d.own[0]
		return true
	})
	return s
}

// A node that is closed leaves nothing of three who talk.
func TestCloseWhileThreeTalk(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		_, anna, own, _ := h.consulting("ben")
		must(t, own.media.SendKeys("*3"))
		h.await("the end of the other leg", anna.leg.Done())
		h.calls.Close()
		ends := map[string]bool{}
		for range 2 {
			ends[h.facts.await(t, "call.ended").(event.CallEnded).Reason] = true
		}
		if !ends[HandedOver.Reason] || !ends[Drained.Reason] {
			t.Errorf("the calls ended as %v", ends)
		}
		h.nothingLeft()
	})
}

// What whoever came by a queue has talked before is not forgotten then.
func TestCloseTellsAllThatWasTalked(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, desks)
		_, anna, own, ben := h.consulting("billing")
		h.packets(ben, 50) // a second
		must(t, own.media.SendKeys("*3"))
		h.await("the end of the other leg", anna.leg.Done())
		h.calls.Close()
		for range 2 {
			if talk := h.facts.await(t, "talk.ended").(event.TalkEnded); talk.Talk+talk.Hold < time.Second {
				t.Errorf("%s is said to have talked for %v and held for %v", talk.Agent, talk.Talk, talk.Hold)
			}
		}
		h.nothingLeft()
	})
}

// A conference that breaks off before it has said what becomes of whom it was lent keeps
// nobody waiting for that.
func TestConferenceBreaksOff(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		caller, anna, own, ben := h.consulting("ben")
		borrower := &inbound{over: make(chan struct{})}
		r := request{leg: h.own("anna").leg, answer: make(chan *ring, 1), loan: &loan{back: make(chan pair, 1), to: borrower}}
		_, err := h.calls.ask(t.Context(), r)
		must(t, err)
		close(borrower.over)
		h.await("the end of her own call", own.leg.Done())
		h.await("the end of whom she consults", ben.leg.Done())
		h.ended(Crashed)
		h.state("ben", router.Ready)
		h.holds(anna, false)
		h.hear("the agent", anna, caller)
		h.over(caller)
	})
}

// A key that the code begins with is heard though the talk goes on elsewhere before it is
// known to be none.
func TestKeyOfATalkThatGoesOnElsewhere(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t)
		h.register("anna")
		caller, _ := h.talk()
		var heard *media.Leg
		h.poll("the talk", func() bool {
			h.calls.mu.Lock()
			defer h.calls.mu.Unlock()
			for _, in := range h.calls.talks {
				heard = in.media
			}
			return heard != nil
		})
		s := &side{agent: "ben", media: heard, to: heard, code: "*3", pressed: "*", slow: stopped()}
		h.calls.seat(s)
		h.calls.unseat(s)
		h.keys(caller, "*")
		h.over(caller)
	})
}

// Somebody who cannot be mixed, as his phone keeps to another codec than G.711, costs nobody
// the talk he is in: the agent hears that there is no conference.
func TestThreeWayThatCannotBe(t *testing.T) {
	for _, here := range []bool{true, false} {
		t.Run(fmt.Sprintf("here=%t", here), func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, desks, func(c *config.Config) { c.Media.Codecs = []string{"g722"} })
				h.register("anna")
				caller, anna := h.talk()
				h.holds(anna, true)
				own := h.dialsAs("anna", "billing", media.LegOptions{Prefer: []media.Codec{media.PCMU, media.G722}})
				h.await("the answer", own.leg.Answered())
				h.facts.await(t, "visit.joined")
				h.arrives("ben")
				ben := h.ringingAs(media.LegOptions{Latch: true, Prefer: []media.Codec{media.G722}})
				must(t, ben.leg.Answer(ben.media))
				h.hears(own, ben)
				active := own
				if here {
					h.holds(own, true)
					h.holds(anna, false)
					active = anna
				}
				tape, heard := h.record(active)
				must(t, active.media.SendKeys("*3"))
				h.transferred(event.Transferred{Agent: "anna", How: event.Conference, To: "queue", Target: "billing", Result: "failed"})
				h.packets(active, 40)
				must(t, tape.Close())
				if share := peer.ReadWAV(t, heard).Share(0, 950); share < .05 {
					t.Errorf("%.2f of what she hears is the tone", share)
				}
				if here {
					h.hears(caller, anna)
					h.hears(anna, caller)
					h.holds(anna, true)
					h.holds(own, false)
				}
				h.hears(ben, own)
				h.hears(own, ben)
				h.state("ben", router.Talking)
				d := own.leg.Dialog() // and the two can still be brought together
				h.told(h.refer(anna, sip.ReferTo{URI: "ben", Replaces: &d}), 200)
				h.ended(HandedOver)
				h.state("anna", router.Ready)
				h.over(caller)
			})
		})
	}
}

// The agent's phone may also ask for a transfer to whom he consults: he leaves the other
// two. What else it asks for is declined, and the three talk on.
func TestThreeWayTransfer(t *testing.T) {
	for _, c := range []struct {
		name, to string
		here     bool
		refer    func(h *house, other party) sip.ReferTo
	}{
		{"to a colleague", "ben", false, func(*house, party) sip.ReferTo { return sip.ReferTo{URI: "ben"} }},
		{"to a queue", "billing", true, func(*house, party) sip.ReferTo { return sip.ReferTo{URI: "billing"} }},
		{"to who came by a queue", "billing", true, func(*house, party) sip.ReferTo { return sip.ReferTo{URI: "ben"} }},
		{"to a number", "+4930123456", false, func(*house, party) sip.ReferTo { return sip.ReferTo{URI: "+4930123456"} }},
		{"in place of his other call", "ben", true, func(_ *house, other party) sip.ReferTo {
			d := other.leg.Dialog()
			return sip.ReferTo{URI: "ben", Replaces: &d}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, desks, outside)
				caller, held, own, guest := h.consulting(c.to)
				anna, other := own, held
				if c.here {
					h.holds(own, true)
					h.holds(held, false)
					anna, other = held, own
				}
				refer := c.refer(h, other)
				must(t, anna.media.SendKeys("*3"))
				h.await("the end of the other leg", other.leg.Done())
				h.told(h.refer(anna, sip.ReferTo{URI: "goodbye"}), 603)
				d := caller.leg.Dialog()
				h.told(h.refer(anna, sip.ReferTo{URI: "caller", Replaces: &d}), 603)
				h.told(h.refer(anna, refer), 200)
				h.await("the end of the agent's leg", anna.leg.Done())
				h.ended(HandedOver)
				h.state("anna", router.Ready)
				h.hears(guest, caller)
				h.hears(caller, guest)
				h.over(caller)
			})
		})
	}
}

// record records what somebody hears into a file.
func (h *house) record(p party) (*media.Recording, string) {
	h.t.Helper()
	file, err := os.Create(filepath.Join(h.t.TempDir(), "heard.wav"))
	must(h.t, err)
	h.t.Cleanup(func() { _ = file.Close() })
	tape, err := p.media.Record(file)
	must(h.t, err)
	return tape, file.Name()
}
