package store

import (
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/google/go-cmp/cmp"
)

// killed is a node's log up to kill -9: c1 talks with anna, c2 rings ben, c3 waits,
// c4 is over. The last event is at 12 s.
func killed() *story {
	return new(story).tell("", event.NodeStarted{Node: "n1"}). // 0 s
									tell("c1", event.CallStarted{}, event.VisitJoined{Visit: "c1-1", Queue: "claims"}, // 1 s
														event.VisitEnded{Visit: "c1-1", Queue: "claims", Result: event.Answered, Agent: "anna", Tier: 2, Waited: time.Second}). // 3 s
		tell("", event.AgentChanged{Agent: "anna", From: "ready", To: "talking", After: time.Second}). // 4 s
		tell("c2", event.CallStarted{}, event.VisitJoined{Visit: "c2-1", Queue: "claims"},
			event.OfferMade{Visit: "c2-1", Queue: "claims", Agent: "ben"}). // 7 s
		tell("c3", event.CallStarted{}, event.VisitJoined{Visit: "c3-1", Queue: "claims"}).
		tell("c4", event.CallStarted{}, event.CallEnded{Class: "abandoned", Reason: "in_flow", Duration: time.Second}). // 11 s
		tell("", event.AgentChanged{Agent: "cleo", From: "ready", To: "offline", After: time.Second})                   // 12 s
}

// reborn is what the node tells when it is back, a minute later.
func (s *story) reborn() *story {
	n := len(s.events)
	s.tell("", event.NodeStarted{Node: "n1"}).tell("c5", event.CallStarted{}, event.VisitJoined{Visit: "c5-1", Queue: "claims"})
	for i := n; i < len(s.events); i++ {
		s.events[i].At = s.events[i].At.Add(time.Minute)
	}
	return s
}

func TestAKilledLifeIsClosed(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		for _, batch := range []int{1, 5, 100} { // however it is taken in
			d = d.another(t)
			s := d.open(t, "n1")
			ctx := t.Context()
			h := s.History(testQueues)
			other := new(story).tell("d1", event.CallStarted{}, event.OfferMade{Visit: "d1-1", Agent: "dora"}).
				tell("", event.AgentChanged{Agent: "dora", From: "offline", To: "ready"})
			must(t, h.Apply(ctx, Origin{"n2", "n2-log"}, other.events))
			log := killed().reborn().events
			for len(log) > 0 {
				n := min(batch, len(log))
				must(t, h.Apply(ctx, fromN1, log[:n]))
				log = log[n:]
			}
			page, err := s.Calls(ctx, CallSearch{})
			must(t, err)
			type end struct {
				Class, Reason string
				Duration      time.Duration
			}
			ends := map[string]end{}
			for _, c := range page.Calls {
				ends[c.ID] = end{c.Class, c.Reason, c.Duration}
			}
			if diff := cmp.Diff(map[string]end{
				"c1": {"failed", "interrupted", 11 * time.Second}, "c2": {"failed", "interrupted", 7 * time.Second}, "c3": {"failed", "interrupted", 4 * time.Second},
				"c4": {"abandoned", "in_flow", time.Second}, "c5": {}, "d1": {},
			}, ends); diff != "" {
				t.Errorf("calls: %s", diff)
			}
			offers, err := collect(s.Offers(ctx, noon, after(100)))
			must(t, err)
			if len(offers) != 2 || offers[0].Agent != "dora" || offers[0].Result != "" ||
				offers[1].Result != "interrupted" || offers[1].Rang != 5*time.Second || !offers[1].Ended.Equal(after(12)) {
				t.Errorf("offers %+v", offers)
			}
			visits, err := collect(s.Visits(ctx, noon, after(100)))
			must(t, err)
			for _, v := range visits {
				if want := v.ID == "c1-1"; want != (v.TalkEnded.Equal(after(12)) && v.Talk == 9*time.Second) || !want && !v.TalkEnded.IsZero() {
					t.Errorf("the talk of %s: %v, ended %v", v.ID, v.Talk, v.TalkEnded)
				}
			}
			open, err := openVisits(t, s, "n1") // left to the new life
			must(t, err)
			if len(open) != 3 {
				t.Errorf("open visits: %+v", open)
			}
			var now []string
			for a, err := range s.AgentsNow(ctx) {
				must(t, err)
				now = append(now, a.Agent+" "+a.State+" "+a.Reason)
			}
			if diff := cmp.Diff([]string{"anna offline interrupted", "cleo offline ", "dora ready "}, now); diff != "" {
				t.Errorf("agents: %s", diff)
			}
		}
	})
}

// Where Redis outlives the node, it remembers that an agent talked before the
// crash. That time is counted once, and not while the node was dead.
func TestAgentsTimeOverACrash(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		log := killed().reborn()
		back := log.events[len(log.events)-1].At
		log.tell("", event.AgentChanged{Agent: "anna", From: "talking", To: "ready"})
		last := &log.events[len(log.events)-1]
		last.At = back.Add(5 * time.Second)
		last.Fact = event.AgentChanged{Agent: "anna", From: "talking", To: "ready", After: last.At.Sub(after(4))}
		must(t, s.History(testQueues).Apply(t.Context(), fromN1, log.events))
		spent := spentBy(t, s, "anna")
		// 4 to 12 s; and from the node's start, two facts before, until 5 s later.
		if want := 8*time.Second + 7*time.Second; spent["talking"] != want {
			t.Errorf("anna talked for %v, want %v", spent["talking"], want)
		}
		var told time.Duration
		for c, err := range s.StateChanges(t.Context(), noon, after(1000)) {
			must(t, err)
			if c.Agent == "anna" && c.Previous == "talking" {
				told += c.After
			}
		}
		if told != spent["talking"] {
			t.Errorf("the changes say %v, their sum is %v", told, spent["talking"])
		}
	})
}

// A node that lost its disk tells no more of what it did: the new log ends it.
func TestALifeWithItsLogLost(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		h := s.History(testQueues)
		must(t, h.Apply(t.Context(), fromN1, killed().events))
		fresh := new(story).reborn()
		must(t, h.Apply(t.Context(), Origin{"n1", "fresh-log"}, fresh.events))
		page, err := s.Calls(t.Context(), CallSearch{Termination: "failed"})
		must(t, err)
		if len(page.Calls) != 3 || !page.Calls[0].Ended.Equal(after(12)) {
			t.Errorf("got %+v", page.Calls)
		}
	})
}

// The tier that the fact tells counts, not the one the agent has when the history
// takes it in.
func TestTierOfTheAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		must(t, s.PutAgent(t.Context(), tester, "anna", config.Agent{Name: "Anna", Tier: 3}))
		must(t, s.History(testQueues).Apply(t.Context(), fromN1, killed().events))
		visits, err := collect(s.Visits(t.Context(), noon, after(100)))
		must(t, err)
		if visits[0].Tier != 2 {
			t.Errorf("got tier %d", visits[0].Tier)
		}
	})
}

// What the flow and outbound calls tell becomes rows.
func TestSurveysAndSettledFollowUpsAreWrittenDown(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		_, err := s.AddFollowUp(ctx, FollowUp{ID: "f1", Kind: Promised, Caller: "+15550100", DueFrom: noon, DueTo: after(100)})
		must(t, err)
		log := new(story).tell("c1", event.SurveyAnswered{Visit: "c1-1", Question: "csat", Answer: 4}, event.SurveyAnswered{Visit: "c1-1", Question: "csat", Answer: 1}).
			tell("", event.FollowUpSettled{FollowUp: "f1", Result: string(FollowUpDone), DueTo: after(100)}, event.FollowUpSettled{FollowUp: "f1", Result: string(FollowUpFailed)})
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		answers, err := collect(s.Surveys(ctx, noon, after(100)))
		must(t, err)
		if diff := cmp.Diff([]Survey{{Call: "c1", Visit: "c1-1", Question: "csat", Answer: 4, At: noon}}, answers); diff != "" {
			t.Errorf("surveys: %s", diff)
		}
		owed, err := collect(s.FollowUps(ctx, noon, after(100)))
		must(t, err)
		if len(owed) != 1 || owed[0].Result != FollowUpDone || !owed[0].Settled.Equal(after(2)) {
			t.Errorf("follow-ups: %+v", owed)
		}
	})
}

// What a death cut off is known by the order of the log, whatever the clock did:
// here it was put back by an hour between the two lives. The visits of the new life
// are not among them, and one whose end has been told is so no more.
func TestCutOffByOrderNotByClock(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx := d.open(t, "n1"), t.Context()
		log := killed().reborn()
		for i, ev := range log.events {
			if i > 0 && ev.Fact.Kind() == "node.started" {
				for j := i; j < len(log.events); j++ {
					log.events[j].At = log.events[j].At.Add(-time.Hour)
				}
				break
			}
		}
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		cut := func() (ids []string) {
			all, err := s.CutOff(ctx, "n1")
			must(t, err)
			for _, v := range all {
				ids = append(ids, v.ID)
				if v.Cut.Before(v.Joined) {
					t.Errorf("%s joined at %v and was cut off at %v", v.ID, v.Joined, v.Cut)
				}
			}
			return ids
		}
		if diff := cmp.Diff([]string{"c2-1", "c3-1"}, cut()); diff != "" {
			t.Errorf("cut off: %s", diff)
		}
		log.tell("c3", event.VisitEnded{Visit: "c3-1", Queue: "claims", Result: event.FlowedOut, Reason: event.InterruptedNoNumber, Waited: time.Second})
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		if diff := cmp.Diff([]string{"c2-1"}, cut()); diff != "" {
			t.Errorf("after the end of one was told: %s", diff)
		}
		for v, err := range s.Visits(ctx, noon.Add(-2*time.Hour), after(100)) {
			must(t, err)
			if v.ID == "c3-1" && (v.Result != event.FlowedOut || v.Reason != event.InterruptedNoNumber) {
				t.Errorf("got %+v", v)
			}
		}
	})
}

// A node that comes back under another name ends what it had left open under the
// first, and owes its callers what was owed.
func TestARenamedNodeClosesItsLife(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		for _, batch := range []int{1, 5, 100} {
			d = d.another(t)
			s, ctx := d.open(t, "n9"), t.Context()
			log := killed().tell("c4", event.RecordingMade{Recording: "r1"}).reborn()
			for i := range log.events {
				if f, ok := log.events[i].Fact.(event.NodeStarted); ok && i > 0 {
					f.Node = "n9"
					log.events[i].Fact = f
				}
			}
			n := len(killed().events) - 1 // the history was behind when the node died
			must(t, s.History(testQueues).Apply(ctx, fromN1, log.events[:n]))
			for rest := log.events[n:]; len(rest) > 0; {
				n := min(batch, len(rest))
				must(t, s.History(testQueues).Apply(ctx, Origin{"n9", fromN1.Log}, rest[:n]))
				rest = rest[n:]
			}
			page, err := s.Calls(ctx, CallSearch{})
			must(t, err)
			nodes := map[string]string{}
			for _, c := range page.Calls {
				if nodes[c.ID] = c.Node; c.Ended.IsZero() != (c.ID == "c5") {
					t.Errorf("batches of %d: call %s ended %v", batch, c.ID, c.Ended)
				}
			}
			if diff := cmp.Diff(map[string]string{"c1": "n1", "c2": "n1", "c3": "n1", "c4": "n1", "c5": "n9"}, nodes); diff != "" {
				t.Errorf("batches of %d: calls' nodes: %s", batch, diff)
			}
			cut, err := s.CutOff(ctx, "n9")
			must(t, err)
			if len(cut) != 2 || cut[0].ID != "c2-1" || cut[1].ID != "c3-1" {
				t.Errorf("batches of %d: cut off %+v", batch, cut)
			}
			for a, err := range s.AgentsNow(ctx) {
				if must(t, err); a.State != offline {
					t.Errorf("batches of %d: %+v", batch, a)
				}
			}
			_, err = s.Purge(ctx, tester, Recordings, after(1000))
			must(t, err)
			if gone, err := s.Condemned(ctx); err != nil || len(gone) != 1 {
				t.Errorf("batches of %d: of its recordings it is to delete %v, %v", batch, gone, err)
			}
		}
	})
}

// The subject class is the queue's when the visit joined, whatever is configured when
// it is taken in; older versions did not tell it.
func TestClassOfAVisit(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		log := new(story).tell("c1", event.VisitJoined{Visit: "told", Queue: "claims", Class: "clinical"}, event.VisitJoined{Visit: "not told", Queue: "claims"})
		log.tell("c1", event.VisitEnded{Visit: "told", Queue: "claims", Result: event.Abandoned})
		must(t, s.History(testQueues).Apply(t.Context(), fromN1, log.events))
		got := map[string]string{}
		for v, err := range s.Visits(t.Context(), noon, after(100)) {
			must(t, err)
			got[v.ID] = v.Class
		}
		if diff := cmp.Diff(map[string]string{"told": "clinical", "not told": "routine"}, got); diff != "" {
			t.Error(diff)
		}
	})
}
