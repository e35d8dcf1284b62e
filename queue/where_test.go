package queue

import (
	"context"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// Where an agent's call is, is known to the other nodes as long as it lasts and its
// node is there: one that is rung for, and one that this node has itself, is nowhere else.
func TestElsewhere(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		ctx := context.Background()
		calls, _ := open(t, cfg, "n1")
		phones, _ := open(t, cfg, "n2")
		const address = "10.0.0.11:5060"
		want := func(q *Queue, when, want string) {
			t.Helper()
			if got, err := q.Elsewhere(ctx, "anna"); err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", when, got, err, want)
			}
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		announced, leave := context.WithCancel(ctx)
		told := make(chan struct{})
		go func() {
			defer close(told)
			calls.Announce(announced, address)
		}()
		for deadline := time.After(10 * time.Second); ; {
			if n, err := phones.client.Exists(ctx, calls.nodeKey("address")).Result(); err != nil || n == 1 {
				do(err)
				break
			}
			select {
			case <-deadline:
				t.Fatal("nothing is announced")
			case <-time.After(5 * time.Millisecond):
			}
		}

		want(phones, "an agent never seen", "")
		do(phones.Register(ctx, "anna", Skills{"en": 1}, true))
		want(phones, "no call", "")
		hold := func(name string, talks bool) {
			t.Helper()
			_, err := calls.Hold(ctx, Visit{ID: name, Call: name}, "anna", talks, "")
			do(err)
		}
		hold("rung", false)
		want(phones, "rung", "")
		do(calls.Leave(ctx, "rung"))
		hold("talk", true)
		want(phones, "talking", address)
		want(calls, "talking here", "")
		do(calls.Leave(ctx, "talk"))
		want(phones, "the talk is over", "")
		do(calls.Engage(ctx, Own{ID: "own", Call: "own", Agent: "anna"}))
		want(phones, "a call of his own", address)
		want(calls, "a call of his own here", "")
		leave()
		<-told
		want(phones, "the node is leaving", "")
	})
}
