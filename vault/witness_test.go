package vault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/config"
)

func TestWrongKeysetStopsTheStart(t *testing.T) {
	right, path := fresh(t)
	wrong, wrongPath := fresh(t)
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := Open(t.Context(), fileConfig(path), dir); err != nil {
		t.Fatal(err)
	}
	for _, try := range []func() error{
		func() error { _, err := Open(t.Context(), fileConfig(wrongPath), dir); return err },
		func() error { _, err := Inspect(t.Context(), fileConfig(wrongPath), dir); return err },
	} {
		err := try()
		if !errors.Is(err, ErrUnknownKey) {
			t.Fatalf("got %v, want ErrUnknownKey", err)
		}
		for _, want := range []string{dir, wrongPath, fmt.Sprint(right.Keys()[0].ID), fmt.Sprint(wrong.Keys()[0].ID)} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not tell %s", err, want)
			}
		}
	}
	if _, err := Open(t.Context(), fileConfig(path), dir); err != nil {
		t.Errorf("the right keyset after it: %v", err)
	}
}

// TestOtherKeyForNumbers: sealing keys alone don't make the keyset right.
func TestOtherKeyForNumbers(t *testing.T) {
	v, path := fresh(t)
	dir := t.TempDir()
	if _, err := Open(t.Context(), fileConfig(path), dir); err != nil {
		t.Fatal(err)
	}
	other, _ := fresh(t)
	mixed, err := assemble(v.ring.Load().seal, other.ring.Load().hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(path, mixed); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), fileConfig(path), dir)
	if !errors.Is(err, ErrKeyset) || !strings.Contains(err.Error(), v.Fingerprint()) || !strings.Contains(err.Error(), other.Fingerprint()) {
		t.Errorf("got %v, want ErrKeyset with both fingerprints", err)
	}
}

func TestDamagedWitness(t *testing.T) {
	_, path := fresh(t)
	dir := t.TempDir()
	if _, err := Open(t.Context(), fileConfig(path), dir); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, witnessFile)
	sealed, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)-1] ^= 1
	if err := os.WriteFile(at, sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), fileConfig(path), dir); !errors.Is(err, ErrAltered) || !strings.Contains(err.Error(), at) {
		t.Errorf("got %v, want ErrAltered that names %s", err, at)
	}
}

func TestWitnessFollowsRotation(t *testing.T) {
	_, path := fresh(t)
	dir := t.TempDir()
	under := func() uint32 {
		t.Helper()
		if _, err := Open(t.Context(), fileConfig(path), dir); err != nil {
			t.Fatal(err)
		}
		sealed, err := os.ReadFile(filepath.Join(dir, witnessFile))
		if err != nil {
			t.Fatal(err)
		}
		id, _ := SealedUnder(sealed)
		return id
	}
	first := under()
	k, err := Rotate(path, Whole)
	if err != nil {
		t.Fatal(err)
	}
	if id := under(); id == first || id != k.ID {
		t.Errorf("the witness is under key %d, want %d", id, k.ID)
	}
}

func TestInspectLeavesNoTrace(t *testing.T) {
	_, path := fresh(t)
	dir := t.TempDir()
	if _, err := Inspect(t.Context(), fileConfig(path), dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}

func TestPath(t *testing.T) {
	for _, c := range []struct {
		config config.Vault
		want   string
		ok     bool
	}{
		{config.Vault{}, "/data/keyset.json", true},
		{config.Vault{Keyset: "file:/etc/bugle/k"}, "/etc/bugle/k", true},
		{config.Vault{Keyset: "env:K"}, "", false},
		{config.Vault{Keyset: "nonsense"}, "", false},
		{config.Vault{Command: []string{"unwrap"}}, "", false},
	} {
		if got, ok := Path(c.config, "/data"); got != c.want || ok != c.ok {
			t.Errorf("%+v: %q, %v, want %q, %v", c.config, got, ok, c.want, c.ok)
		}
	}
}
