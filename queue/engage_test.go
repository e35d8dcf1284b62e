package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// How often an agent has called outside is known after a restart, by every node; how
// many such calls he has ends with their node.
func TestCallsOutsideSurviveARestart(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		if cfg.Addr == "" {
			t.Fatal("needs a Redis that outlives its node")
		}
		ctx := context.Background()
		outside := func(q *Queue, id string, want error) {
			t.Helper()
			if err := q.CallOutside(ctx, Own{ID: id, Call: id, Agent: "anna"}, 3, 2); !errors.Is(err, want) {
				t.Errorf("call %s: %v, want %v", id, err, want)
			}
		}
		first, _ := open(t, cfg, "n1")
		other, _ := open(t, cfg, "n2")
		outside(first, "a", nil)
		outside(other, "b", nil)
		outside(other, "c", ErrAtOnce)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		again, _ := open(t, cfg, "n1")
		outside(again, "d", nil)
		outside(again, "d", nil) // asked again
		if err := other.Leave(ctx, "b"); err != nil {
			t.Fatal(err)
		}
		outside(again, "e", ErrPerHour)
		if left := again.client.PTTL(ctx, again.prefix+"hour:anna").Val(); left < time.Hour || left > 3*time.Hour {
			t.Errorf("the calls of an hour are kept for %v", left)
		}
	})
}

// An agent on the phone whose node dies is paused, as his phone may still believe in
// the call.
func TestOwnCallOfADeadNode(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		calls, _ := open(t, cfg, "n1")
		phones, changes := open(t, cfg, "n2")
		if err := phones.Register(ctx, "anna", Skills{"en": 1}, true); err != nil {
			t.Fatal(err)
		}
		if err := calls.Engage(ctx, Own{ID: "a", Call: "a", Agent: "anna"}); err != nil {
			t.Fatal(err)
		}
		if err := calls.Close(); err != nil {
			t.Fatal(err)
		}
		var last Change
		for range 3 { // ready, talking, paused
			last = changes.next(t).change
		}
		if last.To != Paused || last.Reason != interrupted {
			t.Errorf("anna is %s %q", last.To, last.Reason)
		}
	})
}

// A pause without a reason is a pause, too, when it begins later.
func TestPauseWithoutAReasonAfterATalk(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		q, changes := open(t, cfg, "n1")
		for _, err := range []error{
			q.Register(ctx, "anna", Skills{"en": 1}, true),
			q.Engage(ctx, Own{ID: "a", Call: "a", Agent: "anna"}),
			q.SetPaused(ctx, "anna", ""),
			q.Leave(ctx, "a"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		var last Change
		for range 3 {
			last = changes.next(t).change
		}
		if last.To != Paused || last.After > time.Minute {
			t.Errorf("anna is %s", last.To)
		}
	})
}
