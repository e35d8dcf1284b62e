package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// Of those who were in line when a node died, who can be called back is owed a
// call, once, and who withheld his number was taken out of line by us; both say
// that they were interrupted. Who joins the new life is left alone.
func TestInterruptedCallers(t *testing.T) {
	dir := t.TempDir()
	if err := vault.Init(filepath.Join(dir, vault.KeysetFile)); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), config.Vault{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{DataDir: dir, Node: "n1", Sealer: v})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{vault: v, store: s, log: slog.New(slog.DiscardHandler), failed: make(chan error, 1)}
	n.undo = append(n.undo, s.Close)
	defer func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}()
	live := func() {
		log, err := event.Open(event.Options{Dir: filepath.Join(dir, eventDir), Node: "n1", Seal: v})
		if err != nil {
			t.Fatal(err)
		}
		n.events = log
		n.undo = append(n.undo, log.Close)
	}
	join := func(call, number string) {
		hash, sealed := n.private(call, number)
		n.events.Emit(call, event.CallStarted{CallerHash: hash, CallerSealed: sealed})
		n.events.Emit(call, event.VisitJoined{Visit: call + "-1", Queue: "claims", Language: "en"})
	}
	live()
	join("known", "+18005550100")
	join("withheld", "")
	if err := n.events.Close(); err != nil {
		t.Fatal(err)
	}
	live()
	join("new", "+18005550101")
	reader, err := n.events.Reader("history")
	if err != nil {
		t.Fatal(err)
	}
	n.undo = append(n.undo, func() error { reader.Close(); return nil })
	n.background(func(ctx context.Context) error {
		return s.History(nil).Run(ctx, store.Origin{Node: "n1", Log: n.events.ID()}, reader)
	})
	for range 2 { // the second start finds what the first did
		if err := n.oweInterrupted(t.Context(), lastLife{node: "n1", until: n.events.Last()}); err != nil {
			t.Fatal(err)
		}
		if there, err := n.caughtUp(t.Context(), n.events.Last()); !there || err != nil {
			t.Fatal(there, err)
		}
	}
	type end struct {
		result event.VisitResult
		reason string
	}
	want := map[string]end{
		"known-1": {event.CallBack, event.Interrupted}, "withheld-1": {event.FlowedOut, event.InterruptedNoNumber}, "new-1": {},
	}
	for v, err := range s.Visits(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if got := (end{v.Result, v.Reason}); got != want[v.ID] {
			t.Errorf("%s ended %+v, want %+v", v.ID, got, want[v.ID])
		}
		if v.Waited < 0 || v.Waited > time.Minute {
			t.Errorf("%s waited %v", v.ID, v.Waited)
		}
		delete(want, v.ID)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	for id, wanted := range map[string]bool{"known-1": true, "withheld-1": false, "new-1": false} {
		if owed, err := s.HasFollowUp(t.Context(), id); owed != wanted || err != nil {
			t.Errorf("%s is owed a call: %t, %v", id, owed, err)
		}
	}
}
