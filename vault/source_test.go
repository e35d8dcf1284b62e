package vault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

func TestKeysetFromEachSource(t *testing.T) {
	v, path := fresh(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUGLE_TEST_KEYSET", string(text))
	sealed := mustSeal(t, v, "x", "")
	for _, c := range []config.Vault{
		{}, // the default, in data_dir
		{Keyset: "file:" + path},
		{Keyset: "env:BUGLE_TEST_KEYSET"},
		{Command: []string{"cat", path}},
	} {
		v, err := Open(t.Context(), c, filepath.Dir(path))
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		mustUnseal(t, v, sealed, "", "x")
		if strings.Contains(v.Source(), string(text)) {
			t.Error("the source's name holds the keyset")
		}
	}
}

// TestBadSources wants an error that says where to look and what to do, and
// never a key.
func TestBadSources(t *testing.T) {
	_, path := fresh(t)
	dir, keys := t.TempDir(), secrets(t, path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte, mode os.FileMode) string {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(at, text, 0o600), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
		return at
	}
	t.Setenv("BUGLE_TEST_DAMAGED", string(text[:len(text)-9]))
	for name, c := range map[string]struct {
		config config.Vault
		want   []string
	}{
		"missing":         {fileConfig(filepath.Join(dir, "none")), []string{filepath.Join(dir, "none"), "bugle vault init"}},
		"missing default": {config.Vault{}, []string{filepath.Join(dir, KeysetFile), "bugle vault init"}},
		"group may read":  {fileConfig(write("group", text, 0o640)), []string{"0640", "chmod 600"}},
		"world may write": {fileConfig(write("world", text, 0o602)), []string{"0602", "chmod 600"}},
		"a folder":        {fileConfig(dir), []string{"not a plain file"}},
		"too long":        {fileConfig(write("long", bytes.Repeat(text, 1<<20/len(text)+1), 0o600)), []string{"1 MiB"}},
		"cut":             {fileConfig(write("cut", text[:len(text)/2], 0o600)), []string{"damaged"}},
		"keys garbled":    {fileConfig(write("garbled", bytes.ReplaceAll(text, []byte(`"value"`), []byte(`"values"`)), 0o600)), []string{"seal"}},
		"key no base64":   {fileConfig(write("base64", bytes.Replace(text, []byte(keys[0][:9]), []byte("!"+keys[0][1:9]), 1), 0o600)), []string{"seal"}},
		"not set":         {config.Vault{Keyset: "env:BUGLE_TEST_NOT_SET"}, []string{"BUGLE_TEST_NOT_SET", "not set"}},
		"env damaged":     {config.Vault{Keyset: "env:BUGLE_TEST_DAMAGED"}, []string{"BUGLE_TEST_DAMAGED", "damaged"}},
		"keyset in place": {config.Vault{Keyset: string(text)}, []string{"file:PATH"}},
		"no program":      {config.Vault{Command: []string{"/nowhere/unwrap", keys[0]}}, []string{"command unwrap", "no such file"}},
		"program fails":   {config.Vault{Command: []string{"sh", "-c", "cat " + path + " >&2; exit 3", keys[0]}}, []string{"command sh", "exit status 3", "by hand"}},
		"prints nothing":  {config.Vault{Command: []string{"true"}}, []string{"command true", "empty"}},
		"prints for ever": {config.Vault{Command: []string{"cat", "/dev/zero"}}, []string{"command cat", "1 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), c.config, dir)
			if !errors.Is(err, ErrKeyset) {
				t.Fatalf("got %v, want ErrKeyset", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			for _, k := range keys {
				if strings.Contains(err.Error(), k[:9]) || strings.Contains(err.Error(), k[len(k)-9:]) {
					t.Errorf("the error holds a key: %v", err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, witnessFile)); err == nil {
				t.Error("a witness was left for a keyset that can't be used")
			}
		})
	}
}

// TestCommandHasATimeLimit: neither it nor what it started outlives the limit.
// Both hold the pipe open, so its end comes when both are gone.
func TestCommandHasATimeLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error)
	go func() {
		_, err := Open(ctx, config.Vault{Command: []string{"sh", "-c", "exec 3>" + path + "; sleep 600 & echo >&3; wait"}}, "")
		failed <- err
	}()
	pipe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := pipe.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel() // as the limit does
	if err := <-failed; !errors.Is(err, ErrKeyset) || !strings.Contains(err.Error(), "in time") {
		t.Errorf("got %v, want ErrKeyset for the time", err)
	}
	if _, err := io.ReadAll(pipe); err != nil {
		t.Error(err)
	}
}

// TestCommandIsAskedSeldom: a flood of garbage is not a flood of programs.
func TestCommandIsAskedSeldom(t *testing.T) {
	v, path := fresh(t)
	count := filepath.Join(t.TempDir(), "count")
	c := &commandSource{argv: []string{"sh", "-c", "echo >>" + count + "; cat " + path}}
	v.source = c
	if err := v.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	stranger, _ := fresh(t)
	garbage := mustSeal(t, stranger, "x", "")
	asked := func() int {
		text, err := os.ReadFile(count)
		if err != nil {
			t.Fatal(err)
		}
		return len(text)
	}
	for range 50 {
		if _, err := v.Unseal(garbage, nil); !errors.Is(err, ErrUnknownKey) {
			t.Fatalf("got %v, want ErrUnknownKey", err)
		}
	}
	if n := asked(); n != 1 {
		t.Errorf("it ran %d times, want once, at the start", n)
	}
	if _, err := Rotate(path, Whole); err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, open(t, path), "new", "")
	c.tried = time.Now().Add(-commandRest) // as if that time had passed
	mustUnseal(t, v, sealed, "", "new")
	if n := asked(); n != 2 {
		t.Errorf("it ran %d times, want once more", n)
	}
}

// TestHealthyTriesAgain: a key service that was away for a moment must not keep
// a node out of service.
func TestHealthyTriesAgain(t *testing.T) {
	v, path := fresh(t)
	gate := filepath.Join(t.TempDir(), "gate")
	c := &commandSource{argv: []string{"sh", "-c", "test -e " + gate + " && cat " + path}}
	v.source = c
	if err := v.Reload(t.Context()); !errors.Is(err, ErrKeyset) {
		t.Fatalf("got %v, want ErrKeyset", err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Healthy(t.Context()); err == nil {
		t.Error("it asked again at once")
	}
	c.tried = time.Now().Add(-commandRest)
	if err := v.Healthy(t.Context()); err != nil {
		t.Errorf("with the key service back: %v", err)
	}
}

// TestFileIsReadAgainOnceItsModeIsRight changes nothing but the mode.
func TestFileIsReadAgainOnceItsModeIsRight(t *testing.T) {
	v, path := fresh(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := v.Healthy(t.Context()); !errors.Is(err, ErrKeyset) {
		t.Fatalf("got %v, want ErrKeyset", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := v.Healthy(t.Context()); !errors.Is(err, ErrKeyset) {
		t.Errorf("without the file: %v, want ErrKeyset", err)
	}
}
