package call

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// facts keeps every event and lets a test wait for the next of a kind.
type facts struct {
	mu    sync.Mutex
	all   []event.Event
	taken map[string]int // how many of a kind await has given
	more  chan struct{}
	trap  func(event.Fact) // may panic
}

func newFacts() *facts { return &facts{taken: map[string]int{}, more: make(chan struct{})} }

func (f *facts) Emit(call string, fact event.Fact) {
	f.mu.Lock()
	f.all = append(f.all, event.Event{Call: call, Fact: fact})
	close(f.more)
	f.more = make(chan struct{})
	trap := f.trap
	f.mu.Unlock()
	if trap != nil {
		trap(fact)
	}
}

// inOrder checks that no leg of a call has ended after the call.
func (f *facts) inOrder(t *testing.T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	over := map[string]bool{}
	for _, e := range f.all {
		switch e.Fact.(type) {
		case event.CallEnded:
			over[e.Call] = true
		case event.LegEnded:
			if over[e.Call] {
				t.Errorf("after call.ended came %+v", e.Fact)
			}
		}
	}
}

// kinds gives what was told, in order.
func (f *facts) kinds() (kinds []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.all {
		kinds = append(kinds, e.Fact.Kind())
	}
	return kinds
}

// setTrap has every fact pass through a function from now on.
func (f *facts) setTrap(trap func(event.Fact)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trap = trap
}

// await gives the next fact of a kind that no await has given yet.
func (f *facts) await(t *testing.T, kind string) event.Fact {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		n := 0
		for _, e := range f.all {
			if e.Fact.Kind() != kind {
				continue
			}
			if n++; n > f.taken[kind] {
				f.taken[kind]++
				f.mu.Unlock()
				return e.Fact
			}
		}
		more := f.more
		f.mu.Unlock()
		select {
		case <-more:
		case <-limit:
			text, _ := json.Marshal(f.all)
			t.Fatalf("no %s came; saw %s", kind, text)
		}
	}
}

// ended waits for the end of a call and checks how it ended.
func (h *house) ended(want Termination) {
	h.t.Helper()
	got := h.facts.await(h.t, "call.ended").(event.CallEnded)
	if got.Class != string(want.Class) || got.Reason != want.Reason {
		h.t.Errorf("the call ended as %s %s, want %s %s", got.Class, got.Reason, want.Class, want.Reason)
	}
}

func (h *house) visitEnded(want event.VisitResult) {
	h.t.Helper()
	if got := h.facts.await(h.t, "visit.ended").(event.VisitEnded); got.Result != want {
		h.t.Errorf("the visit ended %s, want %s", got.Result, want)
	}
}
