package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// A node that runs deletes by itself what has been kept long enough, with the files
// of it, and those of a caller who was erased. Every hour it anchors the audit of
// others in its own.
func TestWhatANodeDoesBesideItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dataDir := testArchive(t)
		s, err := store.Open(t.Context(), store.Options{DataDir: dataDir, Node: "n1", Sealer: a.vault, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		events, err := event.Open(event.Options{Dir: filepath.Join(dataDir, eventDir), Node: "n1", Seal: a.vault})
		if err != nil {
			t.Fatal(err)
		}
		n := &node{archive: a, vault: a.vault, store: s, events: events, log: slog.New(slog.DiscardHandler), failed: make(chan error, 1)}
		n.undo = append(n.undo, s.Close, events.Close)
		defer func() {
			if err := n.close(); err != nil {
				t.Error(err)
			}
		}()
		files := map[string]string{} // of each call's recording
		for name, at := range map[string]time.Time{"old": time.Now().AddDate(-7, 0, -1), "young": time.Now().AddDate(-7, 0, 1), "erased": time.Now()} {
			id := keep(t, a, name, message)
			files[name], _ = a.path(id)
			hash, sealed := n.private(name, fmt.Sprintf("+1800555010%d", len(name)))
			if err := s.History(nil).Apply(t.Context(), store.Origin{Node: "n1", Log: name}, []event.Event{
				{Seq: 1, At: at, Call: name, Fact: event.CallStarted{CallerHash: hash, CallerSealed: sealed}},
				{Seq: 2, At: at, Call: name, Fact: event.RecordingMade{Recording: id, Name: name}},
				{Seq: 3, At: at, Call: name, Fact: event.CallEnded{Class: "finished"}},
			}); err != nil {
				t.Fatal(err)
			}
			if name == "erased" {
				if done, err := s.Erase(t.Context(), operator(), hash); done.Recordings != 1 || err != nil {
					t.Fatal(done, err)
				}
			}
		}
		other, err := store.Open(t.Context(), store.Options{DataDir: dataDir, Node: "n2", Sealer: a.vault, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		n.undo = append(n.undo, other.Close)
		if err := other.Audit(t.Context(), store.Entry{Actor: "tess"}); err != nil {
			t.Fatal(err)
		}
		seven := config.Period{Years: 7}
		n.housekeep(config.Retention{Records: seven, Callers: seven, Recordings: seven, FollowUps: seven, Audit: seven})
		time.Sleep(buryEvery + time.Second)

		page, err := s.Calls(t.Context(), store.CallSearch{})
		if err != nil {
			t.Fatal(err)
		}
		var calls []string
		for _, c := range page.Calls {
			calls = append(calls, c.ID)
		}
		if got := strings.Join(calls, " "); got != "erased young" {
			t.Errorf("the calls are %q", got)
		}
		for name, file := range files {
			_, err := os.Stat(file)
			if gone := errors.Is(err, fs.ErrNotExist); gone != (name != "young") {
				t.Errorf("the recording of the %s call is gone: %t", name, gone)
			}
		}
		if left, err := s.Condemned(t.Context()); len(left) > 0 || err != nil {
			t.Errorf("still to be deleted: %v, %v", left, err)
		}
		time.Sleep(anchorEvery)
		acts := map[string]int{}
		for e, err := range s.Entries(context.Background(), time.Time{}, time.Now().Add(time.Hour)) {
			if err != nil {
				t.Fatal(err)
			}
			acts[e.Actor+" "+e.Action+" "+e.Object]++
		}
		if acts["system retention.purge records"] != 1 || acts["system audit.anchor n2"] != 2 {
			t.Errorf("the audit has %v", acts)
		}
	})
}
