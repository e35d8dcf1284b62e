package ivr

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// folder makes a folder of files that hold their own names.
func folder(names ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, name := range names {
		m[name] = &fstest.MapFile{Data: []byte(name)}
	}
	return m
}

func load(t *testing.T, fsys fs.FS) *Prompts {
	t.Helper()
	p, err := LoadPrompts(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func text(r io.Reader) (string, error) {
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestRecordingsWin(t *testing.T) {
	p := load(t, folder("en/hold.wav", "en/welcome.wav", "recordings/en/hold.wav", "recordings/de/hold.wav",
		"en/notes.txt", "music.wav", "recordings/music.wav", "recordings/notes.wav", "en/deep/er.wav"))
	if got, want := fmt.Sprint(p.All()), "[de/hold en/hold en/welcome]"; got != want {
		t.Errorf("All() = %s, want %s", got, want)
	}
	got, err := Decode(p, text)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Prompt]string{
		{"en", "hold"}:    "recordings/en/hold.wav",
		{"en", "welcome"}: "en/welcome.wav",
		{"de", "hold"}:    "recordings/de/hold.wav",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Decode gave %v, want %v", got, want)
	}
}

func TestDecodeNamesEveryBadFile(t *testing.T) {
	p := load(t, folder("en/a.wav", "en/b.wav", "es/c.wav"))
	_, err := Decode(p, func(r io.Reader) (string, error) {
		s, err := text(r)
		if s != "en/b.wav" {
			return "", errors.New("not WAV")
		}
		return s, err
	})
	if err == nil || !strings.Contains(err.Error(), "en/a.wav: not WAV") || !strings.Contains(err.Error(), "es/c.wav: not WAV") {
		t.Errorf("got %v, want both bad files named", err)
	}
}

func TestMusic(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"generated", []string{"music.wav"}, "music.wav"},
		{"recorded", []string{"music.wav", "recordings/music.wav"}, "recordings/music.wav"},
		{"none", nil, ""},
	}
	for _, tt := range tests {
		b, err := load(t, folder(tt.files...)).Music()
		if string(b) != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, b, err, tt.want)
		}
	}
}

func TestLoadPromptsWantsAFolder(t *testing.T) {
	if _, err := LoadPrompts(os.DirFS(t.TempDir() + "/none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestResolve(t *testing.T) {
	got := fmt.Sprint(Resolve([]string{"hold", "es/hold"}, "de"))
	if want := "[de/hold es/hold]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
