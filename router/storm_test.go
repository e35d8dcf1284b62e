package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// node opens a router with its queue; close ends both. However long the machine stands
// still, it waits for Redis.
func node(t *testing.T, cfg config.Redis, name string, events event.Emitter) (r *Router, closeNode func()) {
	t.Helper()
	return impatientNode(t, cfg, name, events, time.Minute)
}

// impatientNode gives Redis so long for one step; as long as any node does if that is 0.
func impatientNode(t *testing.T, cfg config.Redis, name string, events event.Emitter, step time.Duration) (r *Router, closeNode func()) {
	t.Helper()
	q, err := queue.Open(context.Background(), cfg, "test", name, discard)
	if err != nil {
		t.Fatal(err)
	}
	queues := map[string]config.Queue{
		"claims":  {Requires: map[string]int{"claims": 1}, WrapUp: duration(time.Millisecond)},
		"general": {WrapUp: duration(0)},
	}
	r = New(Options{
		Queue: q, Events: events, Agents: testAgents, Queues: queues, ReadyOnRegister: true, Log: discard, stepLimit: step,
	})
	return r, func() {
		r.Close()
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStorm lets many callers of two nodes hang up whenever they like, agents
// answer, refuse and pause as they like, all at once, and counts afterwards:
// each visit has one end, each offer has one end, nobody is held.
func TestStorm(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		events := &recorder{}
		r1, close1 := node(t, cfg, "n1", events)
		r2, close2 := node(t, cfg, "n2", events)
		for agent := range testAgents {
			r1.Registered(agent)
		}
		unrest := make(chan struct{})
		var agents, callers sync.WaitGroup
		agents.Go(func() { restlessAgents(r1, unrest) })
		for i := range 150 {
			r := []*Router{r1, r2}[i%2]
			callers.Go(func() { caller(t, r, i) })
		}
		callers.Wait()
		close(unrest)
		agents.Wait()
		s, err := r1.queue.Snapshot(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Lines) > 0 || s.Agents[Reserved]+s.Agents[Talking] > 0 {
			t.Errorf("left over: %+v", s)
		}
		close2()
		close1()
		audit(t, events.calls)
	})
}

// restlessAgents pauses, readies and unregisters agents without end.
func restlessAgents(r *Router, stop <-chan struct{}) {
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 1))
	names := []string{"anna", "bob", "sofia"}
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		agent := names[random.IntN(len(names))]
		switch random.IntN(5) {
		case 0:
			_ = r.SetState(ctx, agent, Paused, "key") // fails while he has no phone
		case 1:
			r.Unregistered(agent)
		case 2:
			_ = r.WrapUpDone(ctx, agent) // fails unless he is in wrap-up
		default:
			r.Registered(agent)
			_ = r.SetState(ctx, agent, Ready, "")
		}
	}
}

// caller waits with little patience, and leaves from another goroutine, as a
// hang-up does.
func caller(t *testing.T, r *Router, i int) {
	random := rand.New(rand.NewPCG(2, uint64(i)))
	v := Visit{ID: fmt.Sprint("v", i), Queue: "claims", Language: "en"}
	if i%3 == 0 {
		v.Queue, v.Language = "general", "es"
	}
	w, err := r.Join(context.Background(), v)
	if err != nil {
		t.Error(err)
		return
	}
	left := make(chan struct{})
	hangUp := time.AfterFunc(time.Duration(random.IntN(1500))*time.Millisecond, func() {
		defer close(left)
		w.Leave(event.Abandoned)
	})
	for {
		select {
		case <-left:
			return
		case o := <-w.Offers():
			switch random.IntN(4) {
			case 0:
				w.Refused(o, event.OfferTimedOut)
			case 1: // rings until the caller hangs up
			default:
				talk, err := w.Answered(o)
				if err != nil {
					break // he hung up at that moment
				}
				if !hangUp.Stop() {
					<-left
				}
				talk.End(time.Millisecond, 0)
				talk.End(time.Millisecond, 0)
				return
			}
		}
	}
}

// audit counts facts: what begins must end, once.
func audit(t *testing.T, events []event.Event) {
	t.Helper()
	joined, ended, open := map[string]int{}, map[string]int{}, map[string]int{}
	answered, talks, wrapUps, wrapUpsEnded := 0, 0, 0, 0
	for _, e := range events {
		switch f := e.Fact.(type) {
		case event.VisitJoined:
			joined[f.Visit]++
		case event.VisitEnded:
			ended[f.Visit]++
			if open[f.Visit] != 0 {
				t.Errorf("visit %s ended with an offer open", f.Visit)
			}
			if f.Result == event.Answered {
				answered++
			}
		case event.OfferMade:
			open[f.Visit]++
			if open[f.Visit] != 1 {
				t.Errorf("visit %s has %d offers open", f.Visit, open[f.Visit])
			}
		case event.OfferEnded:
			open[f.Visit]--
		case event.TalkEnded:
			talks++
		case event.WrapUpEnded:
			wrapUpsEnded++
		case event.AgentChanged:
			if f.To == string(WrapUp) {
				wrapUps++
			}
		}
	}
	for visit, n := range joined {
		if n != 1 || ended[visit] != 1 || open[visit] != 0 {
			t.Errorf("visit %s joined %d times, ended %d times, %d offers open", visit, n, ended[visit], open[visit])
		}
	}
	if answered != talks || wrapUps != wrapUpsEnded {
		t.Errorf("%d answered, %d talks; %d wrap-ups begun, %d ended", answered, talks, wrapUps, wrapUpsEnded)
	}
	if len(joined) != 150 || answered == 0 || answered == 150 {
		t.Errorf("%d joined, %d answered: the storm was none", len(joined), answered)
	}
}

// A caller who leaves while Redis is away is taken out of line when it is back.
func TestLeavingWhileRedisIsAway(t *testing.T) {
	server := miniredis.RunT(t)
	events := &recorder{}
	r, closeNode := node(t, config.Redis{Addr: server.Addr()}, "n1", events)
	defer closeNode()
	ctx := context.Background()
	w, err := r.Join(ctx, Visit{ID: "v1", Queue: "general", Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	server.SetError("ERR away")
	if _, err := r.Join(ctx, Visit{ID: "v2", Queue: "general", Language: "en"}); err == nil {
		t.Error("joined without Redis")
	}
	w.Leave(event.Abandoned)
	server.SetError("")
	for deadline := time.Now().Add(10 * time.Second); ; {
		s, err := r.queue.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Lines) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %+v", s.Lines)
		}
		<-time.After(20 * time.Millisecond)
	}
	facts := events.take()
	if len(facts) != 2 {
		t.Errorf("facts of one visit: %q", facts)
	}
}
