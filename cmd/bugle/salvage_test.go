package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// minutes is a message of so many, as media writes it.
func minutes(n int) []byte {
	return append(bytes.Clone(message[:24]), bytes.Repeat([]byte("a caller's voice"), n*60*8000/16)...)
}

// reopen is the next start.
func reopen(t *testing.T, a *archive, dataDir string) []kept {
	t.Helper()
	_, salvaged, err := openArchive(dataDir, a.vault, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(a.dir, partialDir)); err != nil || len(left) != 0 {
		t.Errorf("%d files are left aside, %v", len(left), err)
	}
	return salvaged
}

// A crash in the middle of a message leaves it up to its last seconds: under an id
// that says that it was cut, sealed like any other, and told of once.
func TestSalvage(t *testing.T) {
	a, dataDir := testArchive(t)
	tape, id, err := a.Create("callid1", "message", evening)
	if err != nil {
		t.Fatal(err)
	}
	said := minutes(2)
	for at := 0; at < len(said); at += 160 {
		if _, err := tape.Write(said[at:min(at+160, len(said))]); err != nil {
			t.Fatal(err)
		}
	}
	partial := filepath.Join(a.dir, partialDir, id)
	before, err := os.ReadFile(partial)
	if err != nil {
		t.Fatal(err)
	}
	salvaged := reopen(t, a, dataDir)
	if len(salvaged) != 1 {
		t.Fatalf("salvaged %+v", salvaged)
	}
	k := salvaged[0]
	if k.id != id+"-cut" || k.call != "callid1" || k.fact.Name != "message" || k.fact.Recording != k.id ||
		k.fact.Length < 115*time.Second || k.fact.Length >= 2*time.Minute || k.fact.Bytes < 900_000 {
		t.Errorf("salvaged %+v", k)
	}
	sound, closer, err := a.open(k.id)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	heard := make([]byte, sound.Size())
	if _, err := sound.ReadAt(heard, 0); err != nil || !bytes.HasPrefix(said, heard) {
		t.Errorf("what is heard is not what was said (%v)", err)
	}
	var list strings.Builder
	if err := a.list(&list); err != nil || !strings.HasPrefix(list.String(), k.id+"  ") || strings.Count(list.String(), "\n") != 1 {
		t.Errorf("listed %q, %v", &list, err)
	}
	if err := a.export(k.id, filepath.Join(t.TempDir(), "out.wav")); err != nil {
		t.Error(err)
	}

	// The start itself was cut off, in each way: nothing comes twice.
	for _, half := range []string{id, id + "-cut"} {
		if err := os.WriteFile(filepath.Join(a.dir, partialDir, half), before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reopen(t, a, dataDir)
	list.Reset()
	if err := a.list(&list); err != nil || strings.Count(list.String(), "\n") != 1 {
		t.Errorf("listed %q, %v", &list, err)
	}
}

// What was whole and not moved yet keeps its id; what was tampered with, or has
// another's name, is nobody's.
func TestSalvageOfOthers(t *testing.T) {
	a, dataDir := testArchive(t)
	id := keep(t, a, "message", minutes(1))
	place, _ := a.path(id)
	partial := filepath.Join(a.dir, partialDir, id)
	if err := os.Rename(place, partial); err != nil {
		t.Fatal(err)
	}
	if all := reopen(t, a, dataDir); len(all) != 1 || all[0].id != id || all[0].fact.Length != time.Minute {
		t.Errorf("salvaged %+v", all)
	}
	for name, at := range map[string]string{"another's": "20261122-callid2-message", "no id": "x"} {
		file, err := os.ReadFile(place)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(a.dir, partialDir, at), file, 0o600); err != nil {
			t.Fatal(err)
		}
		if all := reopen(t, a, dataDir); len(all) != 0 {
			t.Errorf("%s: salvaged %+v", name, all)
		}
	}
}

// A recording of which nobody told, since the node died just then, is told of when
// it is old enough and the history has all there is.
func TestAdoptRecordings(t *testing.T) {
	a, dataDir := testArchive(t)
	s, err := store.Open(t.Context(), store.Options{DataDir: dataDir, Node: "n1", Sealer: a.vault})
	if err != nil {
		t.Fatal(err)
	}
	log, err := event.Open(event.Options{Dir: filepath.Join(dataDir, eventDir), Node: "n1", Seal: a.vault})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{archive: a, store: s, events: log, log: slog.New(slog.DiscardHandler)}
	n.undo = append(n.undo, s.Close, log.Close)
	defer func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}()
	reader, err := log.Reader("history")
	if err != nil {
		t.Fatal(err)
	}
	n.undo = append(n.undo, func() error { reader.Close(); return nil })
	old, young := keep(t, a, "old", message), keep(t, a, "young", message)
	path, _ := a.path(old)
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, hour, hour); err != nil {
		t.Fatal(err)
	}
	n.failed = make(chan error, 1)
	n.background(func(ctx context.Context) error {
		return s.History(nil).Run(ctx, store.Origin{Node: "n1", Log: log.ID()}, reader)
	})
	for range 2 {
		if err := n.adoptRecordings(t.Context()); err != nil {
			t.Fatal(err)
		}
		if there, err := n.caughtUp(t.Context(), log.Last()); !there || err != nil {
			t.Fatal(there, err)
		}
	}
	if known, err := s.HasRecording(t.Context(), old); !known || err != nil {
		t.Errorf("the old one: %t, %v", known, err)
	}
	testDay := evening.UTC().Truncate(24 * time.Hour)
	for r, err := range s.Recordings(t.Context(), time.Time{}, time.Now().Add(48*time.Hour)) {
		if err != nil || r.ID == old && !r.Made.Equal(within(hour, testDay).Truncate(time.Millisecond)) {
			t.Errorf("made at %v, %v", r.Made, err)
		}
	}
	for name, test := range map[string]struct{ at, want time.Time }{
		"that day":                   {testDay.Add(10 * time.Hour), testDay.Add(10 * time.Hour)},
		"over midnight":              {testDay.Add(25 * time.Hour), testDay.Add(25 * time.Hour)},
		"put back from a backup":     {testDay.AddDate(0, 1, 0), testDay.AddDate(0, 0, 1)},
		"with a clock that is wrong": {testDay.Add(-time.Hour), testDay},
	} {
		if got := within(test.at, testDay); !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if known, err := s.HasRecording(t.Context(), young); known || err != nil {
		t.Errorf("the young one: %t, %v", known, err)
	}
	told := 0
	for e, err := range event.Read(filepath.Join(dataDir, eventDir), a.vault) {
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := e.Fact.(event.RecordingMade); ok && f.Recording == old && e.Call == "callid1" && f.Length == 250*time.Millisecond {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told of %d times", told)
	}
}
