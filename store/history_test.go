package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/google/go-cmp/cmp"
)

var (
	testQueues = map[string]config.Queue{"claims": {Class: "routine"}, "urgent": {Class: "clinical"}}
	noon       = time.Date(2026, 10, 25, 12, 0, 0, 0, time.UTC)
	fromN1     = Origin{Node: "n1", Log: "n1-log"}
)

// story writes a log: each fact a second after the one before.
type story struct {
	events []event.Event
}

func (s *story) tell(call string, facts ...event.Fact) *story {
	for _, f := range facts {
		n := len(s.events)
		s.events = append(s.events, event.Event{Seq: uint64(n + 1), At: noon.Add(time.Duration(n) * time.Second), Call: call, Fact: f})
	}
	return s
}

// answered is a call that an agent of tier 2 answers after another did not.
func answered(v *testSealer) *story {
	sealed, err := v.Seal([]byte("+15550100"), CallerPlace("c1"))
	if err != nil {
		panic(err)
	}
	return new(story).tell("", event.NodeStarted{Node: "n1"}).tell("c1",
		event.CallStarted{Number: "helpline", Caller: "…00", Trunk: "carrier", Agent: "anna", To: "flow", CallerHash: v.Hash("+15550100"), CallerSealed: sealed}, // 1 s
		event.CallAnswered{},
		event.StepEntered{Flow: "helpline", Step: "language", Language: "en"},
		event.StepEntered{Flow: "helpline", Step: "subject", Language: "es"},
		event.VisitJoined{Visit: "c1-1", Queue: "urgent", Language: "es", Requires: map[string]int{"clinical": 2},
			Goal: 20 * time.Second, Short: 5 * time.Second, Estimate: 7 * time.Second}, // 5 s
		event.OfferMade{Visit: "c1-1", Queue: "urgent", Agent: "ben", Why: "longest ready"},
		event.OfferEnded{Visit: "c1-1", Queue: "urgent", Agent: "ben", Result: event.OfferTimedOut, Rang: time.Second},
		event.OfferMade{Visit: "c1-1", Queue: "urgent", Agent: "maria", Why: "only one"}, // 8 s
		event.OfferEnded{Visit: "c1-1", Queue: "urgent", Agent: "maria", Result: event.OfferAnswered, Rang: 999 * time.Millisecond},
		event.VisitEnded{Visit: "c1-1", Queue: "urgent", Language: "es", Result: event.Answered, Agent: "maria", Waited: 5*time.Second + 1},
		event.RecordingMade{Recording: "r1", Name: "reason", Length: 3 * time.Second, Bytes: 1234},
		event.TalkEnded{Visit: "c1-1", Queue: "urgent", Language: "es", Agent: "maria", Talk: 7 * time.Second, Hold: time.Second}, // 12 s
		event.CallEnded{Class: "caller", Reason: "hung up", Duration: 12 * time.Second},
	).tell("",
		event.WrapUpEnded{Visit: "c1-1", Queue: "urgent", Agent: "maria", Took: 2 * time.Second}, // 14 s
		event.AgentChanged{Agent: "maria", From: "wrapup", To: "paused", Reason: "key", After: 2 * time.Second},
		event.Unknown{Name: "news.of.tomorrow", Data: []byte(`{}`)},
	)
}

func after(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func TestHistoryOfACall(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		must(t, s.PutAgent(ctx, tester, "maria", config.Agent{Name: "Maria", Tier: 2}))
		must(t, s.History(testQueues).Apply(ctx, fromN1, answered(d.sealer).events))
		// Her tier of later does not change what was.
		must(t, s.PutAgent(ctx, tester, "maria", config.Agent{Name: "Maria", Tier: 3}))
		hash := d.sealer.Hash("+15550100")

		visits, err := collect(s.Visits(ctx, after(5), after(6)))
		must(t, err)
		wantVisits := []Visit{{
			ID: "c1-1", Call: "c1", Node: "n1", Number: "helpline", CallerHash: hash, Queue: "urgent", Language: "es", Class: "clinical",
			Requires: map[string]int{"clinical": 2}, Joined: after(5), Ended: after(10), Result: event.Answered, Waited: 5*time.Second + 1,
			Goal: 20 * time.Second, Short: 5 * time.Second, Estimate: 7 * time.Second,
			Agent: "maria", Tier: 2, TalkEnded: after(12), Talk: 7 * time.Second, Hold: time.Second, WrappedUp: after(14), WrapUp: 2 * time.Second,
		}}
		if diff := cmp.Diff(wantVisits, visits); diff != "" {
			t.Errorf("visits: %s", diff)
		}
		for _, span := range [][2]int{{6, 100}, {0, 5}} {
			if none, err := collect(s.Visits(ctx, after(span[0]), after(span[1]))); err != nil || len(none) != 0 {
				t.Errorf("from %d until before %d: %v %v", span[0], span[1], none, err)
			}
		}
		page, err := s.Calls(ctx, CallSearch{})
		must(t, err)
		wantCalls := []Call{{
			ID: "c1", Node: "n1", Number: "helpline", Trunk: "carrier", Caller: "…00", CallerHash: hash, Agent: "anna", To: "flow", Flow: "helpline", Step: "subject", Language: "es",
			Started: after(1), Answered: after(2), Ended: after(13), Class: "caller", Reason: "hung up", Duration: 12 * time.Second,
		}}
		if diff := cmp.Diff(wantCalls, page.Calls); diff != "" {
			t.Errorf("calls: %s", diff)
		}
		for _, agent := range []string{"anna", "maria"} { // she made it, she answered
			if page, err := s.Calls(ctx, CallSearch{Agent: agent}); err != nil || len(page.Calls) != 1 {
				t.Errorf("calls of %s: %v %v", agent, page.Calls, err)
			}
		}
		offers, err := collect(s.Offers(ctx, noon, after(100)))
		must(t, err)
		wantOffers := []Offer{
			{Visit: "c1-1", Call: "c1", Queue: "urgent", Agent: "ben", Why: "longest ready", Made: after(6), Ended: after(7), Result: event.OfferTimedOut, Rang: time.Second},
			{Visit: "c1-1", Call: "c1", Queue: "urgent", Agent: "maria", Why: "only one", Made: after(8), Ended: after(9), Result: event.OfferAnswered, Rang: 999 * time.Millisecond},
		}
		if diff := cmp.Diff(wantOffers, offers); diff != "" {
			t.Errorf("offers: %s", diff)
		}
		changes, err := collect(s.StateChanges(ctx, noon, after(100)))
		must(t, err)
		if diff := cmp.Diff([]StateChange{{Agent: "maria", State: "paused", Reason: "key", At: after(15), Previous: "wrapup", After: 2 * time.Second}}, changes); diff != "" {
			t.Errorf("states: %s", diff)
		}
		recordings, err := collect(s.Recordings(ctx, noon, after(100)))
		must(t, err)
		if diff := cmp.Diff([]Recording{{ID: "r1", Call: "c1", Node: "n1", Name: "reason", Length: 3 * time.Second, Bytes: 1234, Made: after(11)}}, recordings); diff != "" {
			t.Errorf("recordings: %s", diff)
		}
		number, err := s.Caller(ctx, tester, "c1")
		must(t, err)
		if number.Reveal() != "+15550100" {
			t.Error("the number was not read back")
		}
		all := audited(t, s)
		if last := all[len(all)-1]; last.Action != "caller.read" || last.Object != "call c1" || last.Actor != "tess" || last.From != "192.0.2.7" {
			t.Errorf("audited %+v", last)
		}
		if node, err := s.NodeOf(ctx, "c1"); err != nil || node != "n1" {
			t.Errorf("the call was on %q, %v", node, err)
		}
		if _, err := s.NodeOf(ctx, "c2\x00"); !errors.Is(err, ErrUnknownCall) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Caller(ctx, tester, "c2"); !errors.Is(err, ErrUnknownCall) {
			t.Errorf("got %v", err)
		}
	})
}

// No table holds a number in the clear.
func TestNumbersAreSealed(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		must(t, s.History(testQueues).Apply(ctx, fromN1, answered(d.sealer).events))
		_, err := s.AddFollowUp(ctx, FollowUp{ID: "f1", Kind: Promised, Caller: "+15550100"})
		must(t, err)
		must(t, s.AddTransfer(ctx, Transfer{ID: "t1", Call: "c1", Kind: "blind", TargetKind: outsideNumber, Target: "+15550100", At: noon}))
		for table, content := range dump(t, s) {
			if strings.Contains(content, "5550100") {
				t.Errorf("%s: %s", table, content)
			}
		}
	})
}

// dump gives everything in every table, as text.
func dump(t *testing.T, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range []string{
		"calls", "visits", "offers", "agent_states", "agent_now", "agent_time", "recordings", "log_offsets", "transfers", "surveys", "follow_ups", "erasures", "agents",
	} {
		found, err := s.read.QueryContext(t.Context(), "SELECT * FROM "+table)
		must(t, err)
		names, err := found.Columns()
		must(t, err)
		var lines []string
		for found.Next() {
			row, into := make([]any, len(names)), make([]any, len(names))
			for i := range row {
				into[i] = &row[i]
			}
			must(t, found.Scan(into...))
			for i := range row {
				if b, ok := row[i].([]byte); ok {
					row[i] = string(b)
				}
			}
			lines = append(lines, fmt.Sprint(row))
		}
		must(t, found.Err())
		must(t, found.Close())
		sort.Strings(lines)
		all[table] = strings.Join(lines, "\n")
	}
	return all
}

// day is many calls of every kind, woven into each other.
func day(rnd *rand.Rand, calls int, v *testSealer) *story {
	var waiting [][]event.Event
	for i := range calls {
		s := new(story)
		if i%20 == 19 {
			s.tell("", event.NodeStarted{Node: "n1"}) // it was killed
		}
		id := fmt.Sprintf("c%d", i)
		visit := id + "-1"
		s.tell(id, event.CallStarted{Number: "n", CallerHash: v.Hash(fmt.Sprint(rnd.IntN(20))), CallerSealed: []byte("x")})
		if rnd.IntN(5) > 0 {
			s.tell(id, event.CallAnswered{}, event.StepEntered{Flow: "f", Step: "s", Language: "en"},
				event.VisitJoined{Visit: visit, Queue: "claims", Language: "en"})
			for j := range rnd.IntN(3) {
				agent := fmt.Sprintf("a%d", j)
				s.tell(id, event.OfferMade{Visit: visit, Queue: "claims", Agent: agent},
					event.OfferEnded{Visit: visit, Queue: "claims", Agent: agent, Result: event.OfferDeclined, Rang: time.Second})
			}
			switch rnd.IntN(3) {
			case 0:
				s.tell(id, event.VisitEnded{Visit: visit, Queue: "claims", Result: event.Abandoned, Waited: time.Second})
			case 1:
				s.tell(id, event.VisitEnded{Visit: visit, Queue: "claims", Result: event.Answered, Agent: "a9", Waited: time.Second},
					event.TalkEnded{Visit: visit, Queue: "claims", Agent: "a9", Talk: time.Minute},
					event.AgentChanged{Agent: "a9", From: "talking", To: "wrapup", After: 20 * time.Minute},
					event.WrapUpEnded{Visit: visit, Queue: "claims", Agent: "a9", Took: time.Second})
			}
		}
		if rnd.IntN(10) > 0 {
			s.tell(id, event.CallEnded{Class: "caller", Reason: "left", Duration: time.Minute})
		}
		waiting = append(waiting, s.events)
	}
	woven := new(story)
	for len(waiting) > 0 {
		i := rnd.IntN(len(waiting))
		ev := waiting[i][0]
		woven.tell(ev.Call, ev.Fact)
		if waiting[i] = waiting[i][1:]; len(waiting[i]) == 0 {
			waiting = slices.Delete(waiting, i, i+1)
		}
	}
	return woven
}

// However a log is cut into batches, and whatever is applied again, the tables
// hold what one reading of it gives.
func TestReplaysChangeNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		once := d.open(t, "n1")
		rnd := rand.New(rand.NewPCG(1, 2))
		all := day(rnd, 60, d.sealer).events
		must(t, once.History(testQueues).Apply(t.Context(), fromN1, all))
		want := dump(t, once)

		d = d.another(t)
		often := d.open(t, "n1")
		refuseSpoilt(t, often)
		h := often.History(testQueues)
		for done := 0; done < len(all); {
			from := max(0, done-rnd.IntN(40))
			to := min(len(all), from+1+rnd.IntN(60))
			if rnd.IntN(4) == 0 { // it fails at the end, all else having been written
				spoilt := event.Event{Seq: 1 << 62, At: noon, Call: "c", Fact: event.VisitJoined{Visit: "spoilt"}}
				if err := h.Apply(t.Context(), fromN1, append(slices.Clone(all[from:to]), spoilt)); err == nil {
					t.Fatal("the database took what it must refuse")
				}
				continue
			}
			must(t, h.Apply(t.Context(), fromN1, all[from:to]))
			done = max(done, to)
		}
		must(t, h.Apply(t.Context(), fromN1, all))
		if diff := cmp.Diff(want, dump(t, often)); diff != "" {
			t.Error(diff)
		}
	})
}

// refuseSpoilt makes the database refuse one visit.
func refuseSpoilt(t *testing.T, s *Store) {
	t.Helper()
	query := `CREATE TRIGGER spoilt BEFORE INSERT ON visits WHEN NEW.id = 'spoilt' BEGIN SELECT RAISE(ABORT, 'spoilt'); END`
	if s.dialect == postgres {
		query = `ALTER TABLE visits ADD CHECK (id <> 'spoilt')`
	}
	_, err := s.write.ExecContext(t.Context(), query)
	must(t, err)
}

// A damaged log may lack events. What ends without a beginning is kept as far
// as it is known, and what is told twice is believed once.
func TestHistoryOfADamagedLog(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		log := new(story).tell("c1", // at 0 s
			event.WrapUpEnded{Visit: "c0-1", Queue: "claims", Agent: "anna", Took: time.Second},
			event.TalkEnded{Visit: "c0-1", Queue: "claims", Agent: "anna", Talk: time.Minute},
			event.VisitEnded{Visit: "c1-1", Queue: "claims", Language: "en", Result: event.Answered, Agent: "anna", Waited: 2 * time.Second},
			event.VisitEnded{Visit: "c1-1", Queue: "claims", Language: "en", Result: event.Abandoned, Waited: time.Hour},
			event.VisitJoined{Visit: "c1-1", Queue: "urgent", Language: "de"},
			event.OfferEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Result: event.OfferAnswered, Rang: 3 * time.Second},
			event.CallEnded{Class: "caller", Reason: "hung up", Duration: 6 * time.Second},
			event.CallEnded{Class: "fault", Reason: "again", Duration: time.Hour},
			event.CallAnswered{},
			event.TalkEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Talk: time.Minute}, // 9 s
			event.TalkEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Talk: time.Hour},
			event.WrapUpEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Took: time.Second},
			event.WrapUpEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Took: time.Hour},
		)
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		visits, err := collect(s.Visits(ctx, noon.Add(-time.Hour), after(100)))
		must(t, err)
		want := []Visit{{
			ID: "c1-1", Call: "c1", Node: "n1", Queue: "claims", Language: "en", Class: "routine", Requires: map[string]int{},
			Joined: noon, Ended: after(2), Result: event.Answered, Waited: 2 * time.Second,
			Agent: "anna", TalkEnded: after(9), Talk: time.Minute, WrappedUp: after(11), WrapUp: time.Second,
		}}
		if diff := cmp.Diff(want, visits); diff != "" {
			t.Error(diff)
		}
		page, err := s.Calls(ctx, CallSearch{})
		must(t, err)
		if diff := cmp.Diff([]Call{{ID: "c1", Node: "n1", Started: noon, Answered: after(8), Ended: after(6), Class: "caller", Reason: "hung up", Duration: 6 * time.Second}}, page.Calls); diff != "" {
			t.Error(diff)
		}
		offers, err := collect(s.Offers(ctx, noon, after(100)))
		must(t, err)
		if len(offers) != 1 || !offers[0].Made.Equal(after(2)) || offers[0].Result != event.OfferAnswered {
			t.Errorf("offers %+v", offers)
		}
	})
}

// A visit whose agents have handed the caller on counts the highest tier that he
// reached and every agent's wrap-up, each once, in whatever order they are told.
func TestHistoryOfAVisitHandedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		number, err := d.sealer.Seal([]byte("+15550101"), TransferPlace("c1-t2"))
		must(t, err)
		log := new(story).tell("c1", // at 0 s
			event.VisitJoined{Visit: "c1-1", Queue: "claims", Language: "en"},
			event.VisitEnded{Visit: "c1-1", Queue: "claims", Language: "en", Result: event.Answered, Agent: "anna", Tier: 1},
			event.Transferred{Transfer: "c1-t1", Visit: "c1-1", Agent: "anna", How: event.Blind, To: "agent", Target: "ben", Result: "done"}, // 2 s
			event.WrapUpEnded{Visit: "c1-1", Part: "t1", Queue: "claims", Agent: "ben", Took: 2 * time.Second},
			event.WrapUpEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Took: 5 * time.Second}, // 4 s
			event.WrapUpEnded{Visit: "c1-1", Queue: "claims", Agent: "anna", Took: time.Hour},
			event.WrapUpEnded{Visit: "c1-1", Part: "t1", Queue: "claims", Agent: "ben", Took: time.Hour},
			event.TalkEnded{Visit: "c1-1", Queue: "claims", Agent: "ben", Tier: 3, Talk: time.Minute}, // 7 s
			event.Transferred{Transfer: "c1-t2", Visit: "c1-1", Agent: "ben", How: event.Attended, To: outsideNumber, Sealed: number, Result: "busy"},
		)
		must(t, s.History(testQueues).Apply(ctx, fromN1, log.events))
		visits, err := collect(s.Visits(ctx, noon.Add(-time.Hour), after(100)))
		must(t, err)
		want := []Visit{{
			ID: "c1-1", Call: "c1", Node: "n1", Queue: "claims", Language: "en", Class: "routine", Requires: map[string]int{},
			Joined: noon, Ended: after(1), Result: event.Answered,
			Agent: "anna", Tier: 3, TalkEnded: after(7), Talk: time.Minute, WrappedUp: after(4), WrapUp: 7 * time.Second,
		}}
		if diff := cmp.Diff(want, visits); diff != "" {
			t.Error(diff)
		}
		transfers, err := collect(s.Transfers(ctx, noon, after(100)))
		must(t, err)
		if diff := cmp.Diff([]Transfer{
			{ID: "c1-t1", Call: "c1", Visit: "c1-1", FromAgent: "anna", Kind: "blind", TargetKind: "agent", Target: "ben", At: after(2), Result: "done"},
			{ID: "c1-t2", Call: "c1", Visit: "c1-1", FromAgent: "ben", Kind: "attended", TargetKind: outsideNumber, Target: "+15550101", At: after(8), Result: "busy"},
		}, transfers); diff != "" {
			t.Error(diff)
		}
	})
}

// The agent's node may be ahead of the call's: his wrap-up is kept until the
// visit it belongs to is known, which then looks as if it had come first.
func TestWrapUpBeforeItsVisit(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		ctx := t.Context()
		call, agent := new(story), new(story)
		for _, ev := range answered(d.sealer).events {
			to := call
			if _, ok := ev.Fact.(event.WrapUpEnded); ok {
				to = agent
			}
			to.events = append(to.events, ev)
		}
		unjoined := slices.DeleteFunc(slices.Clone(call.events), func(ev event.Event) bool {
			_, ok := ev.Fact.(event.VisitJoined)
			return ok
		})
		fromN2 := Origin{Node: "n2", Log: "n2-log"}
		for name, told := range map[string][]event.Event{"whole": call.events, "damaged": unjoined} {
			d = d.another(t)
			s := d.open(t, "n1")
			h := s.History(testQueues)
			must(t, h.Apply(ctx, fromN1, told))
			must(t, h.Apply(ctx, fromN2, agent.events))
			want := dump(t, s)
			d = d.another(t)
			s = d.open(t, "n1")
			h = s.History(testQueues)
			must(t, h.Apply(ctx, fromN2, agent.events))
			early, err := collect(s.Visits(ctx, noon.Add(-time.Hour), after(100)))
			must(t, err)
			open, err := openVisits(t, s, "n2")
			must(t, err)
			if len(early)+len(open) != 0 {
				t.Errorf("%s: a visit that is not known is shown: %v %v", name, early, open)
			}
			for i := range told { // and at every step between
				must(t, h.Apply(ctx, fromN1, told[:i+1]))
			}
			if diff := cmp.Diff(want, dump(t, s)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}

// A node that lost its disk begins a log anew; its events are not taken for
// those of the old one.
func TestANewLogOfTheSameNode(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		h := s.History(testQueues)
		must(t, h.Apply(t.Context(), fromN1, answered(d.sealer).events))
		fresh := new(story).tell("c2", event.CallStarted{Number: "helpline"})
		must(t, h.Apply(t.Context(), Origin{Node: "n1", Log: "another"}, fresh.events))
		page, err := s.Calls(t.Context(), CallSearch{})
		must(t, err)
		if len(page.Calls) != 2 {
			t.Errorf("got %+v", page.Calls)
		}
	})
}

// Text that one of the databases would refuse must not stop the history.
func TestHistoryTakesAnyText(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		odd := "a\x00b\xff'\"; DROP TABLE calls; --"
		log := new(story).tell("c1",
			event.CallStarted{Number: odd, Caller: odd, Trunk: odd, CallerHash: odd},
			event.StepEntered{Flow: odd, Step: odd, Language: odd},
			event.VisitJoined{Visit: odd, Queue: odd, Language: odd, Requires: map[string]int{odd: 1}},
			event.OfferMade{Visit: odd, Queue: odd, Agent: odd, Why: odd},
			event.OfferEnded{Visit: odd, Queue: odd, Agent: odd, Result: event.OfferResult(odd), Rang: -time.Hour},
			event.VisitEnded{Visit: odd, Queue: odd, Language: odd, Result: event.VisitResult(odd), Agent: odd, Waited: 1<<63 - 1},
			event.TalkEnded{Visit: odd, Queue: odd, Agent: odd},
			event.WrapUpEnded{Visit: odd, Queue: odd, Agent: odd},
			event.AgentChanged{Agent: odd, From: odd, To: odd, Reason: odd},
			event.RecordingMade{Recording: odd, Name: odd},
			event.CallEnded{Class: odd, Reason: odd},
		)
		must(t, s.History(nil).Apply(t.Context(), fromN1, log.events))
		page, err := s.Calls(t.Context(), CallSearch{Number: odd})
		must(t, err)
		if len(page.Calls) != 1 {
			t.Errorf("got %+v", page)
		}
	})
}

// Visits that a restart cut off are found, and only those of the node.
func TestOpenVisitsBecomeCallbacks(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		h := s.History(testQueues)
		must(t, h.Apply(ctx, fromN1, answered(d.sealer).events))
		sealed, err := d.sealer.Seal([]byte("+15550101"), CallerPlace("c9"))
		must(t, err)
		log := new(story).tell("c9", event.CallStarted{CallerSealed: sealed}, event.VisitJoined{Visit: "c9-1", Queue: "claims", Language: "de"}).
			tell("c8", event.CallStarted{}, event.VisitJoined{Visit: "c8-1", Queue: "claims", Language: "de"})
		must(t, h.Apply(ctx, Origin{"n2", "n2-log"}, log.events))
		if open, err := openVisits(t, s, "n1"); err != nil || len(open) != 0 {
			t.Errorf("n1: %v %v", open, err)
		}
		open, err := openVisits(t, s, "n2")
		must(t, err)
		if len(open) != 2 || open[0].ID != "c9-1" || open[1].ID != "c8-1" {
			t.Fatalf("n2: %+v", open)
		}
		for i, want := range []bool{true, false} { // the second finds it made
			added, err := s.CallBack(ctx, Interrupted, open[0], time.Hour)
			if added != want || err != nil {
				t.Errorf("try %d: %v %v", i, added, err)
			}
		}
		if added, err := s.CallBack(ctx, Interrupted, open[1], time.Hour); added || err != nil {
			t.Errorf("a withheld number: %v %v", added, err)
		}
		owed, err := s.ClaimFollowUps(ctx, 10, time.Hour)
		must(t, err)
		if len(owed) != 1 || owed[0].ID != "c9-1" || owed[0].Caller.Reveal() != "+15550101" || owed[0].CallerHash != d.sealer.Hash("+15550101") ||
			!owed[0].Place.Equal(after(1)) || owed[0].Queue != "claims" || owed[0].Language != "de" {
			t.Errorf("owed %+v", owed)
		}
	})
}

// openVisits gives the visits of a node that have no end yet.
func openVisits(t *testing.T, s *Store, node string) ([]Visit, error) {
	return collect(rows(t.Context(), s.read, "read open visits", visitQuery+` WHERE node = $1 AND ended_at IS NULL ORDER BY joined_at, id`,
		[]any{node}, visitScan()))
}
