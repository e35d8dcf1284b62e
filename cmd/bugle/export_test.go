package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"github.com/google/go-cmp/cmp"
)

// telling runs callers with a number on its standard input.
func telling(number string) func(environment, []string) error {
	return func(e environment, args []string) error {
		e.in = strings.NewReader(number + "\n")
		return callers(e, args)
	}
}

// readExport gives what an export says of each recording, by its name, having
// listened to those that are there.
func readExport(t *testing.T, file string) (held store.Held, recordings map[string]string) {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := fs.ReadFile(z, "held.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &held); err != nil {
		t.Fatal(err)
	}
	recordings = map[string]string{}
	sounds := 0
	for r := range recordingsOf(&held) {
		if recordings[r.Name] = r.Missing; r.File == "" {
			continue
		}
		sounds++
		f, err := z.Open(r.File)
		if err != nil {
			t.Fatal(err)
		}
		clip, err := media.LoadClip(f)
		if err != nil || clip.Duration() != 250*time.Millisecond || r.File != "recordings/"+r.ID+".wav" {
			t.Errorf("%s: %v, %v", r.File, clip, err)
		}
	}
	if len(z.File) != 1+sounds {
		t.Errorf("%d files, want held.json and %d recordings", len(z.File), sounds)
	}
	return held, recordings
}

// What a caller said is given out with all else that is held about him, each
// recording audited; what can't be heard is told.
func TestAllThatIsHeldAboutACaller(t *testing.T) {
	dir, run := storeSite(t)
	data := filepath.Join(dir, "data")
	keys, err := vault.Open(t.Context(), config.Vault{}, data)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := openArchive(data, keys, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := openSiteStore(t, dir)
	const number = "+15550100999"
	said := func(node, call string, recordings ...string) (ids []string) {
		told := []event.Event{{Seq: 1, At: evening, Call: call, Fact: event.CallStarted{Number: "helpline", CallerHash: keys.Hash(number)}}}
		for i, name := range recordings {
			ids = append(ids, keep(t, a, name, message))
			told = append(told, event.Event{Seq: uint64(2 + i), At: evening.Add(time.Duration(i) * time.Second), Call: call, Fact: event.RecordingMade{Recording: ids[i], Name: name}})
		}
		if err := s.History(nil).Apply(t.Context(), store.Origin{Node: node, Log: call}, told); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	ids := said("n1", "c1", "whole", "gone", "cut", "changed")
	said("n2", "c2", "elsewhere")
	must(t, a.remove(ids[1]))
	cut, _ := a.path(ids[2])
	must(t, os.Truncate(cut, 1000))
	changed, _ := a.path(ids[3])
	text, err := os.ReadFile(changed)
	must(t, err)
	text[len(text)/2] ^= 1
	must(t, os.WriteFile(changed, text, 0o600))

	file := filepath.Join(dir, "held.zip")
	out, err := run(telling(number), "export", file)
	if err != nil || !strings.Contains(out, ": 2 calls, 0 follow-ups, 0 transfers to the number, 1 of 5 recordings\n") || strings.Count(out, "is not in "+file) != 4 || strings.Count(out, "can't be given out") != 3 || strings.Contains(out, number) {
		t.Errorf("said %q, %v", out, err)
	}
	held, recordings := readExport(t, file)
	want := map[string]string{"whole": "", "gone": "its file is gone", "cut": "its file was cut or changed", "changed": "its file was cut or changed",
		"elsewhere": "it is kept on node n2: export there too"}
	if diff := cmp.Diff(want, recordings); diff != "" || len(held.Calls) != 2 {
		t.Errorf("%d calls; want (-), got (+):\n%s", len(held.Calls), diff)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := run(telling(number), "export", file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another export: %v", err)
	}

	if out, err := run(telling(number), "erase"); err != nil || out != "forgotten: 2 calls, 0 follow-ups, 5 recordings, 0 transfers\n" {
		t.Errorf("said %q, %v", out, err)
	}
	file += "2"
	if out, err := run(telling(number), "export", file); err != nil || !strings.Contains(out, ": 0 calls, 0 follow-ups, 0 transfers to the number, 0 of 0 recordings\n") {
		t.Errorf("said %q, %v", out, err)
	}
	if held, recordings := readExport(t, file); len(held.Calls) != 0 || len(recordings) != 0 {
		t.Errorf("after the erasure: %+v, %v", held, recordings)
	}

	caller := " caller " + keys.Hash(number)
	if got, want := auditOf(t, dir), []string{"caller.export" + caller, "recording.export recording " + ids[0], "caller.export" + caller,
		"caller.erase" + caller, "caller.export" + caller}; !slices.Equal(got, want) {
		t.Errorf("the audit has %q, want %q", got, want)
	}
}

// An export that can't be written to its end is nothing, not less.
func TestExportIsWholeOrNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "held.zip")
	err := newFile(name, func(w io.Writer) error { _, _ = w.Write([]byte("PK")); return errNoRecording })
	if _, stat := os.Stat(name); !errors.Is(err, errNoRecording) || !errors.Is(stat, fs.ErrNotExist) {
		t.Errorf("%v, %v", err, stat)
	}
}

func TestCallersWithoutANumber(t *testing.T) {
	_, run := storeSite(t)
	for _, test := range []struct {
		typed string
		args  []string
		want  error
	}{
		{"", []string{"erase"}, errUsage},
		{"anonymous", []string{"erase"}, errWithheld},
		{"+15550100999", []string{"erase", "+15550100999"}, errUsage},
		{"+15550100999", []string{"export"}, errUsage},
	} {
		if _, err := run(telling(test.typed), test.args...); !errors.Is(err, test.want) || strings.Contains(err.Error(), "5550100999") {
			t.Errorf("%q %q: %v", test.typed, test.args, err)
		}
	}
}
