package router

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// An offer for a visit nobody knows of holds no agent.
func TestAnOfferNobodyWaitsFor(t *testing.T) {
	virtual(t, func(d *desk) {
		d.ready("anna")
		ghost := queue.Visit{ID: "ghost", Queue: "claims", Language: "en", Joined: time.Now()}
		if err := d.queue.Join(context.Background(), ghost); err != nil {
			t.Fatal(err)
		}
		d.state("anna", Ready, "", "")
		w := d.join("v1", "claims", "en")
		d.offer(w, "anna")
		w.Leave(event.Abandoned)
	})
}

// A join that Redis runs long after the call gave it up leaves nobody in line,
// and giving it up takes no longer than a caller may be kept from hanging up.
func TestAJoinThatStalls(t *testing.T) {
	stall := queuetest.NewStall(t)
	events := &recorder{}
	r, closeNode := impatientNode(t, stall.Redis, "n1", events, 0)
	defer closeNode()
	ctx := context.Background()

	stall.HoldNext("v1")
	begin, over := time.Now(), make(chan time.Duration, 1)
	time.AfterFunc(stepTimeout, func() { over <- time.Since(begin) }) // later where the machine stands still
	if _, err := r.Join(ctx, Visit{ID: "v1", Queue: "general", Language: "en"}); err == nil {
		t.Fatal("joined without an answer")
	}
	if took := time.Since(begin); took > <-over+time.Second {
		t.Errorf("the call heard nothing for %s", took)
	}
	drained(t, r)
	stall.Release()

	r.Registered("anna")
	s, err := r.queue.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Lines) > 0 || s.Agents[Ready] != 1 {
		t.Errorf("%+v; want nobody to wait and anna to be ready", s)
	}
	if facts := events.take(); strings.Contains(strings.Join(facts, " "), "visit.") {
		t.Errorf("facts of a visit that never was: %q", facts)
	}
}

// An agent whose registration stalls and who goes meanwhile does not come back
// when Redis runs it: he would be rung, and has no phone.
func TestARegistrationThatStalls(t *testing.T) {
	stall := queuetest.NewStall(t)
	r, closeNode := node(t, stall.Redis, "n1", &recorder{})
	defer closeNode()
	stall.HoldNext("anna")
	registered := make(chan struct{})
	go func() {
		defer close(registered)
		r.Registered("anna")
	}()
	<-stall.Held()
	r.Unregistered("anna")
	stall.Release()
	<-registered
	drained(t, r)
	agents, err := r.Agents(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if agents[0].ID != "anna" || agents[0].State != Offline {
		t.Errorf("%+v; want her to be offline", agents[0])
	}
}

// An agent who talks goes over to another call, and the answer of Redis is lost: nobody
// lets him go for that.
func TestAMoveWhoseAnswerIsLost(t *testing.T) {
	stall := queuetest.NewStall(t)
	r, closeNode := node(t, stall.Redis, "n1", &recorder{})
	defer closeNode()
	ctx := context.Background()
	r.Registered("anna")
	is := func(want State) {
		t.Helper()
		drained(t, r)
		all, err := r.Agents(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if all[0].State != want {
			t.Errorf("%s is %s, want %s", all[0].ID, all[0].State, want)
		}
	}
	type movable interface {
		Move(ctx context.Context, v Visit, name string) (*Held, error)
	}
	for _, c := range []struct {
		name string
		call func() (from movable, end func())
	}{
		{"held", func() (movable, func()) {
			h, err := r.Hold(ctx, Visit{ID: "own", Call: "own"}, "callee", "anna")
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Answered(); err != nil {
				t.Fatal(err)
			}
			return h, h.Release
		}},
		{"engaged", func() (movable, func()) {
			o, err := r.Engage(ctx, "anna", "own")
			if err != nil {
				t.Fatal(err)
			}
			return o, o.End
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			caller := Visit{ID: "v1", Call: "call-v1", Queue: "general", Language: "en"}
			from, _ := c.call()
			stall.LoseAnswers("v1+once", 1)
			moved, err := from.Move(ctx, caller, "once")
			if err != nil {
				t.Fatal(err)
			}
			is(Talking)
			moved.Release()
			is(Ready)

			from, end := c.call()
			stall.LoseAnswers("v1+twice", 2)
			if _, err := from.Move(ctx, caller, "twice"); err == nil {
				t.Fatal("moved without an answer")
			}
			is(Talking)
			end()
			is(Ready)
		})
	}
}

// drained waits until nothing is under way or tried again.
func drained(t *testing.T, r *Router) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r.mu.Lock()
		left := len(r.retries)
		r.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d steps are still tried", left)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// A newer step ends an older one in the middle of its attempt, and nothing
// lasts longer than it may.
func TestAStepInFlight(t *testing.T) {
	virtual(t, func(d *desk) {
		begin := time.Now()
		hangs := func(ended *time.Duration) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				*ended = time.Since(begin)
				return ctx.Err()
			}
		}
		var first, second, third time.Duration
		go d.insist("anna", "first", hangs(&first))
		time.Sleep(time.Second / 2)
		d.insist("anna", "second", hangs(&second))
		synctest.Wait()
		if first != time.Second/2 {
			t.Errorf("the first ended after %s, with the second", first)
		}
		if took := second - time.Second/2; took != stepTimeout {
			t.Errorf("the second's attempt took %s", took)
		}
		d.insistAside("anna", "third", hangs(&third))
		if time.Since(begin) != second {
			t.Error("a step aside was waited for")
		}
		d.insist("anna", "last", func(context.Context) error { return nil })
		synctest.Wait()
		if len(d.retries) > 0 {
			t.Errorf("%d retries are remembered", len(d.retries))
		}
	})
}

// A wrap-up goes on when the agent's session moves: it ends once, and is told
// of whole, by the node he went to.
func TestAWrapUpThatMoves(t *testing.T) {
	cfg := queuetest.Server(t)
	told1, told2 := &recorder{}, &recorder{}
	r1, close1 := wrappingNode(t, cfg, "n1", told1)
	r2, close2 := wrappingNode(t, cfg, "n2", told2)
	r1.Registered("anna")
	w, err := r1.Join(context.Background(), Visit{ID: "v1", Queue: "claims", Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	talk, err := w.Answered(<-w.Offers())
	if err != nil {
		t.Fatal(err)
	}
	talk.End(time.Second, 0)
	r2.Registered("anna")
	if err := r2.WrapUpDone(context.Background(), "anna"); err != nil {
		t.Fatal(err)
	}
	close2()
	close1()
	ended := func(r *recorder) (n int) {
		for _, e := range r.calls {
			if f, ok := e.Fact.(event.WrapUpEnded); ok {
				n++
				if f.Language != "en" || f.Visit != "v1" {
					t.Errorf("%+v", f)
				}
			}
		}
		return n
	}
	if n1, n2 := ended(told1), ended(told2); n1 != 0 || n2 != 1 {
		t.Errorf("the end was told %d and %d times", n1, n2)
	}
	if got := lastState(told1); got != "offline" {
		t.Errorf("for the node she left she is %s", got)
	}
}

// wrappingNode is a node with a wrap-up that lasts until it is ended.
func wrappingNode(t *testing.T, cfg config.Redis, name string, events event.Emitter) (*Router, func()) {
	t.Helper()
	r, closeNode := node(t, cfg, name, events)
	r.queues["claims"] = config.Queue{WrapUp: duration(time.Hour)}
	return r, closeNode
}

// lastState is what the last fact says of an agent.
func lastState(r *recorder) string {
	state := ""
	for _, e := range r.calls {
		if f, ok := e.Fact.(event.AgentChanged); ok {
			state = f.To
		}
	}
	return state
}
