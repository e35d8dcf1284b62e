package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/vault"
)

// testArchive is an archive in a data_dir of its own.
func testArchive(t *testing.T) (a *archive, dataDir string) {
	t.Helper()
	dataDir = t.TempDir()
	if err := vault.Init(filepath.Join(dataDir, vault.KeysetFile)); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), config.Vault{}, dataDir)
	if err != nil {
		t.Fatal(err)
	}
	if a, _, err = openArchive(dataDir, v, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return a, dataDir
}

// evening is still the day before by the clock on the wall of a site west of
// Greenwich.
var evening = time.Date(2026, 11, 21, 20, 30, 0, 0, time.FixedZone("EST", -5*3600))

// keep records a file under a name.
func keep(t *testing.T, a *archive, name string, file []byte) (id string) {
	t.Helper()
	tape, id, err := a.Create("callid1", name, evening)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tape.Write(file); err != nil {
		t.Fatal(err)
	}
	size, err := tape.Keep()
	if err != nil {
		t.Fatal(err)
	}
	tape.Discard()
	path, _ := a.path(id)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != size || info.Mode().Perm() != 0o600 {
		t.Errorf("%s has %d bytes and mode %v, want %d and 0600", path, info.Size(), info.Mode(), size)
	}
	return id
}

// message is a quarter of a second, as media writes it.
var message = append([]byte(".snd\x00\x00\x00\x18\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x1f\x40\x00\x00\x00\x01"), bytes.Repeat([]byte("a caller's voice"), 125)...)

func TestArchiveKeepsSealedFiles(t *testing.T) {
	a, dataDir := testArchive(t)
	first, second, other := keep(t, a, "message", message), keep(t, a, "message", message), keep(t, a, "reason", message)
	if first != "20261122-callid1-message" || second != first+"-2" || other != "20261122-callid1-reason" {
		t.Errorf("ids %s, %s, %s", first, second, other)
	}
	err := filepath.WalkDir(filepath.Join(dataDir, recordingDir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
			}
			return nil
		}
		if dir := filepath.Dir(path); dir != filepath.Join(dataDir, "recordings/2026/11/22") {
			t.Errorf("a file in %s", dir)
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("voice")) {
			t.Errorf("%s has the sound in the clear", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	var list strings.Builder
	if err := a.list(&list); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, second, other} {
		if strings.Count(list.String(), id+"  ") != 1 {
			t.Errorf("%s is not listed once:\n%s", id, list.String())
		}
	}

	wav := filepath.Join(t.TempDir(), "out.wav")
	if err := a.export(second, wav); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(wav)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the export has mode %v, %v", info.Mode(), err)
	}
	if clip, err := media.LoadClip(f); err != nil || clip.Duration() != 250*time.Millisecond {
		t.Errorf("exported %v, %v", clip, err)
	}
	if err := a.export(first, wav); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an export over another: %v", err)
	}
	for range 2 {
		if err := a.remove(first); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.export(first, wav+"2"); !errors.Is(err, errNoRecording) {
		t.Errorf("export of what has been removed: %v", err)
	}
}

// A file that was changed, cut, or put in another's place is not exported, nor
// is anything of it.
func TestArchiveExportsNothingThatWasChanged(t *testing.T) {
	a, _ := testArchive(t)
	for what, change := range map[string]func(path, other string) error{
		"changed": func(path, _ string) error {
			text, err := os.ReadFile(path)
			text[len(text)/2] ^= 1
			return errors.Join(err, os.WriteFile(path, text, 0o600))
		},
		"cut":     func(path, _ string) error { return os.Truncate(path, 1000) },
		"swapped": func(path, other string) error { return os.Rename(other, path) },
	} {
		id, other := keep(t, a, "message", message), keep(t, a, "other", message)
		path, _ := a.path(id)
		of, _ := a.path(other)
		if err := change(path, of); err != nil {
			t.Fatal(err)
		}
		wav := filepath.Join(t.TempDir(), "out.wav")
		if err := a.export(id, wav); !errors.Is(err, vault.ErrAltered) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(wav); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was exported: %v", what, err)
		}
	}
}

// What a crash or a discarding leaves is nothing; a start tells of the former.
func TestArchiveLeavesNothingHalf(t *testing.T) {
	a, dataDir := testArchive(t)
	partial := filepath.Join(a.dir, partialDir)
	discarded, _, err := a.Create("callid1", "message", evening)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := discarded.Write(message); err != nil {
		t.Fatal(err)
	}
	discarded.Discard()
	discarded.Discard()
	if left, err := os.ReadDir(partial); err != nil || len(left) != 0 {
		t.Errorf("%d files after discarding, %v", len(left), err)
	}
	crashed, id, err := a.Create("callid2", "message", evening)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := crashed.Write(message); err != nil { // less than is ever written before the end
		t.Fatal(err)
	}
	if _, also, err := a.Create("callid2", "message", evening); err != nil || also != id+"-2" {
		t.Errorf("another of the name at the same time: %s, %v", also, err)
	}
	var list, log strings.Builder
	if err := a.list(&list); err != nil || list.Len() > 0 {
		t.Errorf("listed: %s, %v", &list, err)
	}
	if _, salvaged, err := openArchive(dataDir, a.vault, slog.New(slog.NewTextHandler(&log, nil))); err != nil || len(salvaged) != 0 {
		t.Fatal(salvaged, err)
	}
	if strings.Count(log.String(), "recording="+id) != 2 || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("the start says:\n%s", &log)
	}
	if left, err := os.ReadDir(partial); err != nil || len(left) != 0 {
		t.Errorf("%d files after the start, %v", len(left), err)
	}
}

// Nothing outside leads out of the folder.
func TestArchiveTakesOnlyIDs(t *testing.T) {
	a, _ := testArchive(t)
	for _, id := range []string{"", "message", "20261122-", "20261122-a-../b", "../../etc/passwd", "20261122-../a-b", "20261122-a-b/c", "20261122-a-b-x", "2026112-a-b", "20261122-a-b\x00", "20261122-a-b\n"} {
		if path, ok := a.path(id); ok {
			t.Errorf("%q leads to %s", id, path)
		}
		if err := a.export(id, filepath.Join(t.TempDir(), "x")); !errors.Is(err, errNoRecording) {
			t.Errorf("export %q: %v", id, err)
		}
		if err := a.remove(id); !errors.Is(err, errNoRecording) {
			t.Errorf("remove %q: %v", id, err)
		}
	}
	for _, call := range []string{"", "../x", "a/b", "a-b-c"} {
		if _, _, err := a.Create(call, "message", evening); err == nil {
			t.Errorf("a recording of call %q", call)
		}
	}
}
