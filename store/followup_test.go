package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func owe(id string, placed time.Duration) FollowUp {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return FollowUp{
		ID: id, Kind: Callback, Call: "c1", Visit: id, Queue: "claims", Language: "es", Requires: map[string]int{"claims": 2},
		Caller: "+15550100", Place: now.Add(placed), DueFrom: now.Add(-time.Second), DueTo: now.Add(time.Hour),
	}
}

func ids(all []FollowUp) []string {
	var list []string
	for _, f := range all {
		list = append(list, f.ID)
	}
	slices.Sort(list)
	return list
}

func TestFollowUpFromPromiseToEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		n1, n2 := d.open(t, "n1"), d.open(t, "n2")
		ctx := t.Context()
		first := owe("f1", -2*time.Minute)
		for i, f := range []FollowUp{first, first, owe("f2", -time.Minute), owe("f3", 0)} {
			added, err := n1.AddFollowUp(ctx, f)
			must(t, err)
			if added != (i != 1) {
				t.Errorf("%s: added is %v", f.ID, added)
			}
		}
		later := owe("f4", -time.Hour)
		later.DueFrom = time.Now().Add(30 * time.Minute)
		_, err := n1.AddFollowUp(ctx, later)
		must(t, err)

		mine, err := n1.ClaimFollowUps(ctx, 2, time.Hour)
		must(t, err)
		if got := ids(mine); !slices.Equal(got, []string{"f1", "f2"}) { // the longest in line
			t.Errorf("claimed %v", got)
		}
		theirs, err := n2.ClaimFollowUps(ctx, 10, -time.Second) // a node that dies at once
		must(t, err)
		again, err := n2.ClaimFollowUps(ctx, 10, time.Hour)
		must(t, err)
		if !slices.Equal(ids(theirs), []string{"f3"}) || !slices.Equal(ids(again), []string{"f3"}) || again[0].Attempts != 2 {
			t.Errorf("claimed %v, then %v", theirs, again)
		}
		if err := n2.SettleFollowUp(ctx, "f1", FollowUpDone); !errors.Is(err, ErrNotHeld) {
			t.Errorf("another's: %v", err)
		}
		for range 2 { // the first answer may have been lost
			must(t, n1.SettleFollowUp(ctx, "f1", FollowUpDone))
		}
		if err := n1.SettleFollowUp(ctx, "f1", FollowUpFailed); !errors.Is(err, ErrNotHeld) {
			t.Errorf("twice: %v", err)
		}
		must(t, n1.ReturnFollowUp(ctx, "f2", time.Now().Add(-time.Second)))
		back, err := n2.ClaimFollowUps(ctx, 10, time.Hour)
		must(t, err)
		if !slices.Equal(ids(back), []string{"f2"}) {
			t.Errorf("after it was given back: %v", back)
		}

		all, err := collect(n1.FollowUps(ctx, time.Now(), time.Now().Add(2*time.Hour)))
		must(t, err)
		i := slices.IndexFunc(all, func(f FollowUp) bool { return f.ID == "f1" })
		want := first
		want.Caller, want.CallerHash, want.Attempts, want.Holder, want.Result = "", d.sealer.Hash("+15550100"), 1, "n1", FollowUpDone
		if diff := cmp.Diff(want, all[i], cmpopts.IgnoreFields(FollowUp{}, "Created", "HeldTo", "Settled")); diff != "" {
			t.Error(diff)
		}
		if len(all) != 4 || all[i].Settled.IsZero() {
			t.Errorf("got %d, settled %v", len(all), all[i].Settled)
		}
	})
}

// Nodes that claim at once share the work out: nobody is called twice.
func TestClaimsDoNotOverlap(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n0")
		for i := range 40 {
			_, err := s.AddFollowUp(t.Context(), owe(fmt.Sprint(i), 0))
			must(t, err)
		}
		var mu sync.Mutex
		var claimed []string
		var wg sync.WaitGroup
		for i := range 4 {
			node := d.open(t, fmt.Sprintf("n%d", i+1))
			wg.Go(func() {
				for {
					got, err := node.ClaimFollowUps(t.Context(), 3, time.Hour)
					if err != nil {
						t.Error(err)
					}
					if len(got) == 0 {
						return
					}
					mu.Lock()
					claimed = append(claimed, ids(got)...)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(claimed)
		if len(claimed) != 40 || len(slices.Compact(claimed)) != 40 {
			t.Errorf("claimed %d: %v", len(claimed), claimed)
		}
	})
}

func TestSurveysAndTransfers(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s := d.open(t, "n1")
		ctx := t.Context()
		a := Survey{Call: "c1", Visit: "c1-1", Question: "csat", Answer: 4, At: noon}
		must(t, s.AddSurvey(ctx, a))
		second := a
		second.Answer = 1
		must(t, s.AddSurvey(ctx, second))
		answers, err := collect(s.Surveys(ctx, noon, after(1)))
		must(t, err)
		if diff := cmp.Diff([]Survey{a}, answers); diff != "" {
			t.Error(diff)
		}
		inside := Transfer{ID: "t1", Call: "c1", Visit: "c1-1", FromAgent: "anna", Kind: "blind", TargetKind: "queue", Target: "urgent", At: noon, Result: "done"}
		outside := Transfer{ID: "t2", Call: "c1", FromAgent: "anna", Kind: "attended", TargetKind: outsideNumber, Target: "+15550199", At: after(1), Result: "done"}
		must(t, s.AddTransfer(ctx, inside))
		must(t, s.AddTransfer(ctx, outside))
		must(t, s.AddTransfer(ctx, outside))
		all, err := collect(s.Transfers(ctx, noon, after(2)))
		must(t, err)
		if len(all) != 2 || all[0] != inside || all[1] != outside {
			t.Errorf("got %+v", all)
		}
	})
}

// What is owed is never out of sight, however long overdue, and comes in pages.
func TestOwedFollowUps(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx, now := d.open(t, "n1"), t.Context(), time.Now()
		for id, due := range map[string]time.Duration{"a": -400 * 24 * time.Hour, "b": -8 * 24 * time.Hour, "c": time.Hour, "d": time.Hour, "e": 30 * 24 * time.Hour, "s": -time.Hour, "t": -8 * 24 * time.Hour} {
			f := owe(id, 0)
			f.DueFrom, f.DueTo = now.Add(due-time.Hour), now.Add(due)
			_, err := s.AddFollowUp(ctx, f)
			must(t, err)
		}
		must(t, s.CloseFollowUp(ctx, tester, "s", FollowUpDone))
		must(t, s.CloseFollowUp(ctx, tester, "t", FollowUpDone))
		week := 7 * 24 * time.Hour
		for want, q := range map[string]FollowUpSearch{
			"a,b,c,d": {Until: now.Add(week)}, "a b,c d,": {Until: now.Add(week), Limit: 2}, "a b s,c d,": {Until: now.Add(week), Limit: 3, Settled: now.Add(-week)},
		} {
			var pages []string
			for {
				page, err := s.OwedFollowUps(ctx, q)
				must(t, err)
				for _, f := range page.FollowUps {
					pages = append(pages, f.ID)
					if f.Caller != "" {
						t.Error("a number is shown")
					}
				}
				if n := len(page.FollowUps); q.Limit > 0 && n > q.Limit {
					t.Errorf("%d on a page", n)
				}
				if q.After = page.Next; q.After == "" {
					break
				}
			}
			if got := strings.Join(pages, ""); got != strings.NewReplacer(" ", "", ",", "").Replace(want) {
				t.Errorf("%+v: got %s, want %s", q, got, want)
			}
		}
		if _, err := s.OwedFollowUps(ctx, FollowUpSearch{After: "x"}); !errors.Is(err, ErrBadPage) {
			t.Errorf("got %v", err)
		}
	})
}
