package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/test/peer"
	"github.com/google/go-cmp/cmp"
)

// old and young are two days of calls, a day apart; more than fit one batch.
func twoDays(t *testing.T, s *Store, v *testSealer) (between time.Time) {
	t.Helper()
	h := s.History(testQueues)
	rnd := rand.New(rand.NewPCG(7, 8))
	for i, from := range []Origin{{"n1", "old"}, {"n1", "young"}} {
		events := slices.DeleteFunc(day(rnd, 700-600*i, v).events, func(ev event.Event) bool { return ev.Fact.Kind() == "node.started" })
		for j := range events {
			ev := &events[j]
			ev.Call = from.Log + ev.Call
			ev.At = noon.AddDate(0, 0, i).Add(time.Duration(j) * time.Millisecond)
		}
		must(t, h.Apply(t.Context(), from, renamed(events, from.Log)))
	}
	return noon.Add(12 * time.Hour)
}

// renamed gives the events of other visits.
func renamed(events []event.Event, prefix string) []event.Event {
	for i, ev := range events {
		switch f := ev.Fact.(type) {
		case event.VisitJoined:
			f.Visit = prefix + f.Visit
			events[i].Fact = f
		case event.VisitEnded:
			f.Visit = prefix + f.Visit
			events[i].Fact = f
		case event.OfferMade:
			f.Visit = prefix + f.Visit
			events[i].Fact = f
		case event.OfferEnded:
			f.Visit = prefix + f.Visit
			events[i].Fact = f
		case event.TalkEnded:
			f.Visit = prefix + f.Visit
			events[i].Fact = f
		case event.WrapUpEnded:
			f.Visit = prefix + f.Visit
			events[i].Fact = f
		}
	}
	return events
}

func TestPurgeDeletesWhatIsOldAndNothingElse(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		between := twoDays(t, s, d.sealer)
		must(t, s.AddSurvey(ctx, Survey{Call: "oldc1", At: between.Add(time.Hour)})) // late, of an old call
		must(t, s.AddSurvey(ctx, Survey{Call: "unknown", At: noon}))
		must(t, s.AddTransfer(ctx, Transfer{ID: "youngt", Call: "youngc1", TargetKind: "queue", Target: "urgent", At: between.Add(time.Hour)}))
		must(t, s.AddTransfer(ctx, Transfer{ID: "oldt", Call: "oldc1", TargetKind: "queue", Target: "urgent", At: noon}))
		before := dump(t, s)
		n, err := s.Purge(ctx, tester, Records, between)
		must(t, err)

		left, deleted := dump(t, s), n
		for _, table := range []string{"calls", "visits", "offers", "agent_states", "surveys", "transfers"} {
			var want []string
			for _, line := range strings.Split(before[table], "\n") {
				if strings.Contains(line, "young") {
					want = append(want, line)
				} else {
					n--
				}
			}
			if diff := cmp.Diff(strings.Join(want, "\n"), left[table]); diff != "" {
				t.Errorf("%s: %s", table, diff)
			}
		}
		for _, line := range strings.Split(before["agent_time"], "\n") {
			old := line < fmt.Sprintf("[%d", between.UnixMilli())
			if old {
				n--
			}
			if strings.Contains(left["agent_time"], line) == old {
				t.Errorf("agent_time: %s is old: %v; left is\n%s", line, old, left["agent_time"])
			}
		}
		if diff := cmp.Diff(before["agent_now"], left["agent_now"]); diff != "" {
			t.Errorf("agent_now: %s", diff)
		}
		if n != 0 {
			t.Errorf("%d more or fewer rows were counted than have gone", n)
		}
		all := audited(t, s)
		told := 0 // each transaction has its entry
		for _, e := range all {
			var rows int
			if _, err := fmt.Sscanf(e.Detail, "%d rows", &rows); err != nil || e.Action != "retention.purge" || e.Object != "records" {
				t.Errorf("audited %+v: %v", e, err)
			}
			told += rows
		}
		if len(all) != 2 || told != deleted {
			t.Errorf("%d entries tell of %d rows, of %d", len(all), told, deleted)
		}
		if n, err := s.Purge(ctx, tester, Records, between); n != 0 || err != nil || len(audited(t, s)) != len(all) {
			t.Errorf("again: %d %v", n, err)
		}
	})
}

func TestPurgeOfEachClass(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		must(t, s.History(testQueues).Apply(ctx, fromN1, answered(d.sealer).events))
		must(t, s.AddTransfer(ctx, Transfer{ID: "t1", Call: "c1", TargetKind: outsideNumber, Target: "+15550101", At: noon}))
		for _, id := range []string{"open", "settled"} {
			_, err := s.AddFollowUp(ctx, owe(id, 0))
			must(t, err)
		}
		claimed, err := s.ClaimFollowUps(ctx, 10, time.Hour)
		must(t, err)
		if len(claimed) != 2 {
			t.Fatalf("claimed %v", claimed)
		}
		must(t, s.SettleFollowUp(ctx, "settled", FollowUpDone))

		n, err := s.Purge(ctx, tester, Callers, after(100))
		if n != 3 || err != nil {
			t.Errorf("callers: %d %v", n, err)
		}
		page, err := s.Calls(ctx, CallSearch{})
		must(t, err)
		if c := page.Calls[0]; c.Caller != "" || c.CallerHash != "" || c.Number != "helpline" {
			t.Errorf("call %+v", c)
		}
		if number, err := s.Caller(ctx, tester, "c1"); number != "" || err != nil {
			t.Errorf("a number is left: %v", err)
		}

		n, err = s.Purge(ctx, tester, Recordings, after(100))
		if n != 1 || err != nil {
			t.Errorf("recordings: %d %v", n, err)
		}
		condemned, err := s.Condemned(ctx)
		must(t, err)
		if len(condemned) != 1 || condemned[0].ID != "r1" || condemned[0].Condemned.IsZero() {
			t.Errorf("condemned %+v", condemned)
		}
		if others, err := d.open(t, "n2").Condemned(ctx); len(others) != 0 || err != nil {
			t.Errorf("another node's: %v %v", others, err)
		}
		must(t, s.Forget(ctx, "r1"))
		if condemned, err := s.Condemned(ctx); len(condemned) != 0 || err != nil {
			t.Errorf("still %v %v", condemned, err)
		}

		n, err = s.Purge(ctx, tester, FollowUpsOf, time.Now().Add(time.Minute))
		if n != 1 || err != nil {
			t.Errorf("follow-ups: %d %v", n, err)
		}
		owed, err := collect(s.FollowUps(ctx, time.Now(), time.Now().Add(2*time.Hour)))
		must(t, err)
		if len(owed) != 1 || owed[0].ID != "open" {
			t.Errorf("left %v", owed)
		}
		if _, err := s.Purge(ctx, tester, "everything", time.Now()); !errors.Is(err, ErrUnknownClass) {
			t.Errorf("got %v", err)
		}
	})
}

// A chain whose beginning has gone for its age is still a chain.
func TestPurgedAuditVerifies(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		nodes := chains(t, d)
		s := nodes[0]
		ctx := t.Context()
		cut := audited(t, s)[20].At.Add(time.Millisecond) // some are older, some younger
		for range 2 {
			_, err := s.Purge(ctx, tester, AuditTrail, cut)
			must(t, err)
			if v := verify(t, s); len(v.Findings) != 0 {
				t.Fatalf("found %v", v.Findings)
			}
		}
		for _, e := range audited(t, s) {
			if e.At.Before(cut) {
				t.Errorf("left: %+v", e)
			}
		}
		_, err := s.Purge(ctx, tester, AuditTrail, time.Now().Add(time.Hour)) // all of it
		must(t, err)
		v := verify(t, s)
		if len(v.Findings) != 0 || v.Entries != 1 { // that it was purged
			t.Errorf("got %+v", v)
		}
		// An end of the chain that was cut off by somebody else is not purged
		// out of sight.
		_, err = s.write.Exec(`DELETE FROM audit`)
		must(t, err)
		if _, err := s.Purge(ctx, tester, AuditTrail, time.Now().Add(time.Hour)); !errors.Is(err, ErrBrokenChain) {
			t.Errorf("got %v", err)
		}
	})
}

// Retain deletes by the calendar: seven years to the day.
func TestRetain(t *testing.T) {
	s := site{dir: t.TempDir(), sealer: newSealer()}.open(t, "n1")
	ctx := t.Context()
	must(t, s.History(nil).Apply(ctx, fromN1, new(story).tell("c1", event.CallStarted{Caller: "…00"}).events))
	kept := config.Retention{Records: config.Period{Years: 7}, Audit: config.Period{Days: 90}}
	for _, test := range []struct {
		now  time.Time
		want int
	}{{noon.AddDate(7, 0, 0), 0}, {noon.AddDate(7, 0, 0).Add(time.Millisecond), 1}} {
		purged, err := s.Retain(ctx, tester, kept, test.now)
		must(t, err)
		if purged[Records] != test.want {
			t.Errorf("at %v: %v", test.now, purged)
		}
		if _, ok := purged[Callers]; ok {
			t.Error("a class without a time was purged")
		}
	}
}

// exported gives all that is held about a number, as JSON.
func exported(t *testing.T, s *Store, hash string) []byte {
	t.Helper()
	held, err := s.Held(t.Context(), tester, hash)
	must(t, err)
	out, err := json.Marshal(held)
	must(t, err)
	return out
}

func TestExportAndErase(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		h := s.History(testQueues)
		told := answered(d.sealer)
		must(t, h.Apply(ctx, fromN1, told.events))
		must(t, h.Apply(ctx, Origin{"n1", "other"}, new(story).tell("c2", event.CallStarted{CallerHash: "another", Caller: "…99"}).events))
		_, err := s.AddFollowUp(ctx, owe("f1", 0))
		must(t, err)
		must(t, s.AddSurvey(ctx, Survey{Call: "c1", Visit: "c1-1", Question: "csat", Answer: 5, At: after(20)}))
		must(t, s.AddTransfer(ctx, Transfer{ID: "t1", Call: "c1", TargetKind: outsideNumber, Target: "+15550123", At: after(9)}))
		hash := d.sealer.Hash("+15550100")

		out := exported(t, s, hash)
		var held struct {
			Numbers []string
			Calls   []struct {
				ID         string
				Visits     []struct{ ID string }
				Offers     []struct{ Agent string }
				Recordings []struct{ ID string }
				Surveys    []struct{ Answer int }
				Transfers  []struct{ Target string }
			}
			FollowUps []struct{ ID, Caller string } `json:"follow_ups"`
		}
		must(t, json.Unmarshal(out, &held))
		got := fmt.Sprintf("%+v", held)
		want := "{Numbers:[+15550100] Calls:[{ID:c1 Visits:[{ID:c1-1}] Offers:[{Agent:ben} {Agent:maria}] Recordings:[{ID:r1}] Surveys:[{Answer:5}] Transfers:[{Target:+15550123}]}] FollowUps:[{ID:f1 Caller:+15550100}]}"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", diff, out)
		}

		erased, err := s.Erase(ctx, tester, hash)
		must(t, err)
		if erased != (Erased{Calls: 1, FollowUps: 1, Recordings: 1, Transfers: 1}) {
			t.Errorf("erased %+v", erased)
		}
		for table, content := range dump(t, s) {
			if table != "erasures" && strings.Contains(content, hash) {
				t.Errorf("%s still leads to the caller: %s", table, content)
			}
		}
		if out := exported(t, s, hash); bytes.Contains(out, []byte("c1")) {
			t.Errorf("left: %s", out)
		}
		visits, err := collect(s.Visits(ctx, noon, after(100)))
		must(t, err)
		if len(visits) != 1 || visits[0].Result != event.Answered || visits[0].CallerHash != "" {
			t.Errorf("the figures changed: %+v", visits)
		}
		owed, err := s.ClaimFollowUps(ctx, 10, time.Hour)
		if len(owed) != 0 || err != nil {
			t.Errorf("still owed: %v %v", owed, err)
		}
		// His events that come late stay nobody's; a new call is a new start.
		late := new(story).tell("c3", event.CallStarted{CallerHash: hash, Caller: "…00", CallerSealed: []byte("x")}).
			tell("c4", event.CallStarted{CallerHash: hash, Caller: "…00", CallerSealed: []byte("x")})
		late.events[0].At, late.events[1].At = time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
		must(t, h.Apply(ctx, Origin{"n1", "late"}, late.events))
		page, err := s.Calls(ctx, CallSearch{CallerHash: hash})
		must(t, err)
		if len(page.Calls) != 1 || page.Calls[0].ID != "c4" {
			t.Errorf("calls of his: %+v", page.Calls)
		}
		// Nor is he owed anything for what was before: by a call that history knows or by
		// one that it does not know yet.
		before, later := owe("f2", -time.Hour), owe("f3", time.Hour)
		unknown := owe("f4", -time.Hour)
		before.Call, later.Call, unknown.Call = "c1", "c4", "c9"
		for _, f := range []FollowUp{before, later, unknown} {
			if added, err := s.AddFollowUp(ctx, f); added != (f.ID == "f3") || err != nil {
				t.Errorf("%s is owed: %t, %v", f.ID, added, err)
			}
		}
		if added, err := s.CallBack(ctx, Interrupted, visits[0], time.Hour); added || err != nil {
			t.Errorf("an erased caller is called back: %t, %v", added, err)
		}
		// So are recordings of his calls, of those known before and those that were late.
		// And so are numbers that his old call is handed on to.
		must(t, s.AddTransfer(ctx, Transfer{ID: "t2", Call: "c1", TargetKind: outsideNumber, Target: "+15550124", At: after(60)}))
		must(t, s.AddTransfer(ctx, Transfer{ID: "t3", Call: "c4", TargetKind: outsideNumber, Target: "+15550125", At: after(61)}))
		for tr, err := range s.Transfers(ctx, after(59), after(100)) {
			must(t, err)
			if want := map[string]string{"t2": "", "t3": "+15550125"}[tr.ID]; tr.Target.Reveal() != want {
				t.Errorf("transfer %s: its number is kept: %v", tr.ID, tr.Target != "")
			}
		}
		recorded := func(from Origin, seq uint64, call, id string) {
			must(t, h.Apply(ctx, from, []event.Event{{Seq: seq, At: after(50), Call: call, Fact: event.RecordingMade{Recording: id, Name: "reason"}}}))
		}
		recorded(fromN1, 100, "c1", "r2")
		recorded(Origin{"n1", "late"}, 3, "c3", "r3")
		recorded(Origin{"n1", "late"}, 4, "c4", "r4")
		recorded(Origin{"n1", "other"}, 5, "c2", "r5")
		kept, err := collect(s.Recordings(ctx, noon, after(100)))
		must(t, err)
		condemned, err := s.Condemned(ctx)
		must(t, err)
		var ids []string
		for _, r := range append(kept, condemned...) {
			ids = append(ids, r.ID)
		}
		if diff := cmp.Diff([]string{"r4", "r5", "r1", "r2", "r3"}, ids); diff != "" {
			t.Errorf("recordings kept, then condemned: %s", diff)
		}
		var actions []string
		for _, e := range audited(t, s) {
			actions = append(actions, e.Action+" "+e.Object)
		}
		if diff := cmp.Diff([]string{"caller.export caller " + hash, "caller.erase caller " + hash, "caller.export caller " + hash}, actions); diff != "" {
			t.Error(diff)
		}
		// Withheld numbers have no hash, and must not be taken for one person's.
		if _, err := s.Erase(ctx, tester, ""); !errors.Is(err, ErrNoHash) {
			t.Errorf("got %v", err)
		}
		if _, err := s.Held(ctx, tester, ""); !errors.Is(err, ErrNoHash) {
			t.Errorf("got %v", err)
		}
	})
}

// A number to which other callers were handed on is held too: its owner is given
// that, and can have it forgotten, however late the transfer is told.
func TestANumberThatOthersWereHandedOnTo(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		tell := func(id, number string, at time.Time) {
			sealed, err := d.sealer.Seal([]byte(number), TransferPlace(id))
			must(t, err)
			must(t, s.History(testQueues).Apply(ctx, Origin{"n1", id}, []event.Event{{Seq: 1, At: at, Call: "c1", Fact: event.Transferred{
				Transfer: id, Visit: "c1-1", Agent: "anna", How: event.Blind, To: outsideNumber, Sealed: sealed, Result: "done"}}}))
		}
		tell("his", "+15550123", noon)
		tell("anothers", "+15550124", noon)
		must(t, s.History(testQueues).Apply(ctx, Origin{"n1", "damaged"}, []event.Event{{Seq: 1, At: noon, Call: "c1", Fact: event.Transferred{
			Transfer: "damaged", To: outsideNumber, Sealed: []byte("x")}}}))
		hash := d.sealer.Hash("+15550123")

		export := func() (numbers, transfers []string) {
			var held struct {
				Numbers     []string
				TransfersTo []struct{ ID, Target string } `json:"transfers_to"`
			}
			must(t, json.Unmarshal(exported(t, s, hash), &held))
			for _, tr := range held.TransfersTo {
				transfers = append(transfers, tr.ID+" "+tr.Target)
			}
			return held.Numbers, transfers
		}
		numbers, transfers := export()
		if !slices.Equal(numbers, []string{"+15550123"}) || !slices.Equal(transfers, []string{"his +15550123"}) {
			t.Errorf("exported %v and %v", numbers, transfers)
		}
		erased, err := s.Erase(ctx, tester, hash)
		if must(t, err); erased != (Erased{Transfers: 1}) {
			t.Errorf("erased %+v", erased)
		}
		tell("late", "+15550123", noon)
		tell("new", "+15550123", time.Now().Add(time.Minute))
		if _, transfers := export(); !slices.Equal(transfers, []string{"new +15550123"}) {
			t.Errorf("left: %v", transfers)
		}
		var kept int
		must(t, s.read.QueryRow(`SELECT COUNT(*) FROM transfers WHERE target_sealed IS NOT NULL`).Scan(&kept))
		if kept != 3 { // another's, the damaged one, the new one
			t.Errorf("%d numbers are kept", kept)
		}
	})
}

func TestSearchCalls(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		h := s.History(testQueues)
		log := new(story)
		for i := range 25 {
			id := fmt.Sprintf("c%02d", i)
			log.tell(id, event.CallStarted{Number: fmt.Sprintf("n%d", i%2), CallerHash: fmt.Sprintf("h%d", i%5)},
				event.VisitJoined{Visit: id + "-1", Queue: "claims"})
			if i%3 == 0 {
				log.tell(id, event.VisitEnded{Visit: id + "-1", Queue: "claims", Result: event.Answered, Agent: "anna"}, event.CallEnded{Class: "caller"})
			}
		}
		for i := range log.events { // several in the same millisecond
			log.events[i].At = noon.Add(time.Duration(i/20) * time.Second)
		}
		for i, to := range []struct{ agent, result string }{{"ben", "done"}, {"carl", "declined"}} { // c00 and c03 are anna's
			call := fmt.Sprintf("c%02d", 3*i)
			log.tell(call, event.Transferred{Transfer: call + "-t", Visit: call + "-1", Agent: "anna", To: "agent", Target: to.agent, Result: to.result})
		}
		must(t, h.Apply(ctx, fromN1, log.events))
		find := func(q CallSearch) (found []string) {
			for {
				page, err := s.Calls(ctx, q)
				must(t, err)
				for _, c := range page.Calls {
					found = append(found, c.ID)
				}
				if q.After = page.Next; q.After == "" {
					return found
				}
				if len(page.Calls) != q.Limit {
					t.Fatalf("a page of %d", len(page.Calls))
				}
			}
		}
		all := find(CallSearch{})
		if len(all) != 25 || all[0] != "c24" || all[24] != "c00" {
			t.Errorf("all: %v", all)
		}
		for _, limit := range []int{1, 7, 25} {
			if diff := cmp.Diff(all, find(CallSearch{Limit: limit})); diff != "" {
				t.Errorf("in pages of %d: %s", limit, diff)
			}
		}
		for _, test := range []struct {
			name string
			q    CallSearch
			want int
		}{
			{"number", CallSearch{Number: "n1"}, 12},
			{"hash", CallSearch{CallerHash: "h3"}, 5},
			{"agent", CallSearch{Agent: "anna"}, 9},
			{"agent it was handed on to", CallSearch{Agent: "ben"}, 1},
			{"agent it was handed on to, and queue", CallSearch{Agent: "ben", Queue: "claims", Result: event.Answered}, 1},
			{"agent it was handed on to, and another queue", CallSearch{Agent: "ben", Queue: "urgent"}, 0},
			{"agent who would not have it", CallSearch{Agent: "carl"}, 0},
			{"result", CallSearch{Result: event.Answered, Queue: "claims"}, 9},
			{"end", CallSearch{Termination: "caller"}, 9},
			{"queue nobody was in", CallSearch{Queue: "urgent"}, 0},
			{"all at once", CallSearch{From: noon, To: after(100), Number: "n0", CallerHash: "h0", Agent: "anna", Queue: "claims", Result: event.Answered, Termination: "caller"}, 1},
			{"time", CallSearch{From: after(1), To: after(2)}, 8},
			{"no time", CallSearch{From: after(2), To: after(2)}, 0},
		} {
			test.q.Limit = 4
			if got := find(test.q); len(got) != test.want {
				t.Errorf("%s: %d, want %d: %v", test.name, len(got), test.want, got)
			}
		}
		for _, mark := range []string{"x", "====", "eA", pageMark(noon, "c\x00")[:3]} {
			if _, err := s.Calls(ctx, CallSearch{After: mark}); !errors.Is(err, ErrBadPage) {
				t.Errorf("mark %q: %v", mark, err)
			}
		}
	})
}

// On PostgreSQL two transactions at the same time see nothing of each other. Whatever
// brings a caller in while he is being erased, the erasure wins.
func TestErasureWinsOverWhatIsUnderWay(t *testing.T) {
	told := func(d site) []event.Event { return answered(d.sealer).events }
	for _, test := range []struct {
		table  string // whose rows are held back
		before func(t *testing.T, s *Store, d site)
		during func(ctx context.Context, s *Store, d site) error
	}{
		{"calls", func(*testing.T, *Store, site) {}, func(ctx context.Context, s *Store, d site) error {
			return s.History(testQueues).Apply(ctx, fromN1, told(d))
		}},
		{"recordings", func(*testing.T, *Store, site) {}, func(ctx context.Context, s *Store, d site) error {
			return s.History(testQueues).Apply(ctx, fromN1, told(d))
		}},
		{"transfers", func(t *testing.T, s *Store, d site) {
			must(t, s.History(testQueues).Apply(t.Context(), fromN1, told(d)))
		}, func(ctx context.Context, s *Store, d site) error {
			return s.AddTransfer(ctx, Transfer{ID: "t1", Call: "c1", TargetKind: outsideNumber, Target: "+15550123", At: noon})
		}},
		{"follow_ups", func(t *testing.T, s *Store, d site) {
			must(t, s.History(testQueues).Apply(t.Context(), fromN1, told(d)))
		}, func(ctx context.Context, s *Store, d site) error {
			_, err := s.CallBack(ctx, Interrupted, Visit{ID: "c1-1", Call: "c1", Joined: noon}, time.Hour)
			return err
		}},
	} {
		t.Run(test.table, func(t *testing.T) {
			d := onPostgres(t)
			s, eraser := d.open(t, "n1"), d.open(t, "n2")
			ctx := t.Context()
			test.before(t, s, d)
			_, err := s.write.Exec(`CREATE FUNCTION hold_back() RETURNS trigger AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$ LANGUAGE plpgsql;
				CREATE TRIGGER held_back AFTER INSERT ON ` + test.table + ` FOR EACH ROW EXECUTE FUNCTION hold_back()`)
			must(t, err)
			gate, err := s.write.BeginTx(ctx, nil)
			must(t, err)
			defer gate.Rollback()
			_, err = gate.Exec(`SELECT pg_advisory_xact_lock(42)`)
			must(t, err)
			waits := func(n int) bool { // or, after all, does not
				var count int
				must(t, s.read.QueryRow(`SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&count))
				return count >= n
			}
			done, erased := make(chan error, 1), make(chan error, 1)
			go func() { done <- test.during(ctx, s, d) }()
			peer.Eventually(t, 10*time.Second, "the row to be held back", func() bool { return waits(1) })
			go func() {
				_, err := eraser.Erase(ctx, tester, d.sealer.Hash("+15550100"))
				erased <- err
			}()
			peer.Eventually(t, 10*time.Second, "the erasure to wait or be over", func() bool { return waits(2) || len(erased) > 0 })
			must(t, gate.Commit())
			must(t, <-done)
			must(t, <-erased)
			for table, content := range dump(t, s) {
				if table != "erasures" && strings.Contains(content, d.sealer.Hash("+15550100")) {
					t.Errorf("%s still leads to the caller: %s", table, content)
				}
			}
			for tr, err := range s.Transfers(ctx, noon, after(100)) {
				if must(t, err); tr.Target != "" {
					t.Error("an outside number is left")
				}
			}
			if kept, err := collect(s.Recordings(ctx, noon, after(100))); err != nil || len(kept) > 0 {
				t.Errorf("recordings kept: %v %v", kept, err)
			}
		})
	}
}
