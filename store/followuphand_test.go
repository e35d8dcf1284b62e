package store

import (
	"errors"
	"testing"
	"time"
)

// A person takes a call we owe, others get it only when his time is over, and he
// says how it ended; the audit knows of each step.
func TestFollowUpByHand(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx := d.open(t, "n1"), t.Context()
		sue, tom := By{Actor: "user:sue"}, By{Actor: "user:tom"}
		for _, id := range []string{"f1", "f2"} {
			_, err := s.AddFollowUp(ctx, owe(id, 0))
			must(t, err)
		}
		f, err := s.TakeFollowUp(ctx, sue, "f1", time.Hour)
		must(t, err)
		if f.Caller.Reveal() != "+15550100" || f.Holder != "user:sue" || f.Attempts != 1 {
			t.Errorf("got %+v", f)
		}
		if f, err = s.TakeFollowUp(ctx, sue, "f1", -time.Second); err != nil || f.Attempts != 1 {
			t.Errorf("again: %+v, %v", f, err)
		}
		if f, err = s.TakeFollowUp(ctx, tom, "f1", time.Hour); err != nil || f.Attempts != 2 {
			t.Errorf("when her time is over: %+v, %v", f, err)
		}
		for name, got := range map[string]error{
			"take another's":  func() error { _, err := s.TakeFollowUp(ctx, sue, "f1", time.Hour); return err }(),
			"close another's": s.CloseFollowUp(ctx, sue, "f1", FollowUpDone),
		} {
			if !errors.Is(got, ErrNotHeld) {
				t.Errorf("%s: got %v", name, got)
			}
		}
		if claimed, err := s.ClaimFollowUps(ctx, 10, time.Hour); err != nil || len(claimed) != 1 || claimed[0].ID != "f2" {
			t.Errorf("the node got %v, %v", claimed, err)
		}
		must(t, s.CloseFollowUp(ctx, tom, "f1", FollowUpDone))
		must(t, s.CloseFollowUp(ctx, tom, "f1", FollowUpDone)) // he got no answer
		for name, got := range map[string]error{
			"close as sue": s.CloseFollowUp(ctx, sue, "f1", FollowUpDone),
			"close twice":  s.CloseFollowUp(ctx, tom, "f1", FollowUpFailed),
			"take closed":  func() error { _, err := s.TakeFollowUp(ctx, tom, "f1", time.Hour); return err }(),
		} {
			if !errors.Is(got, ErrNotHeld) {
				t.Errorf("%s: got %v", name, got)
			}
		}
		if err := s.CloseFollowUp(ctx, tom, "f9", FollowUpDone); !errors.Is(err, ErrUnknownFollowUp) {
			t.Errorf("nobody's: got %v", err)
		}
		var acts []string
		for _, e := range audited(t, s) {
			acts = append(acts, e.Actor+" "+e.Action+" "+e.Object+" "+e.Detail)
		}
		want := []string{
			"user:sue followup.claim follow-up f1 ", "user:sue followup.claim follow-up f1 ", "user:tom followup.claim follow-up f1 ",
			"user:tom followup.settle follow-up f1 done",
		}
		if len(acts) != len(want) {
			t.Fatalf("audited %q", acts)
		}
		for i := range want {
			if acts[i] != want[i] {
				t.Errorf("audited %q, want %q", acts[i], want[i])
			}
		}
	})
}

// The number of what is owed goes with the callers' numbers: what nobody has
// called by then can't be called any more, and says so.
func TestPurgeOfOwedNumbers(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		s, ctx := d.open(t, "n1"), t.Context()
		for _, id := range []string{"owed", "done"} {
			_, err := s.AddFollowUp(ctx, owe(id, 0))
			must(t, err)
		}
		must(t, s.CloseFollowUp(ctx, tester, "done", FollowUpDone))
		if n, err := s.Purge(ctx, tester, Callers, time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("purged %d young ones, %v", n, err)
		}
		n, err := s.Purge(ctx, tester, Callers, time.Now().Add(time.Hour))
		must(t, err)
		if n != 2 {
			t.Errorf("purged %d", n)
		}
		for id, want := range map[string]FollowUpResult{"owed": FollowUpExpired, "done": FollowUpDone} {
			for f, err := range s.FollowUps(ctx, time.Now().Add(-time.Hour), time.Now().Add(2*time.Hour)) {
				must(t, err)
				if f.ID == id && (f.Result != want || f.Caller != "" || f.CallerHash != "" || f.Settled.IsZero()) {
					t.Errorf("%s: %+v", id, f)
				}
			}
		}
	})
}
