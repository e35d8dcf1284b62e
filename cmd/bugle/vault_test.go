package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// vaultSite writes a configuration with the given vault section and gives a
// function that runs bugle vault on it.
func vaultSite(t *testing.T, section string) (dir string, run func(args ...string) (string, error)) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "bugle.yaml")
	write(t, path, "sip:\n  listeners: [{network: udp, address: \"127.0.0.1:5060\"}]\nlanguages: [en]\n"+
		"numbers: {n: {flow: f, language: en}}\nflows: {f: {start: s, steps: {s: {hangup: {}}}}}\n"+section, 0o600)
	return dir, func(args ...string) (string, error) {
		var out, report bytes.Buffer
		err := keyset(environment{out: &out, err: &report}, append(args, "-c", path))
		return out.String() + report.String(), err
	}
}

func TestVaultFromInitToRotation(t *testing.T) {
	dir, run := vaultSite(t, "")
	file := filepath.Join(dir, "data", "keyset.json")
	if _, err := run("check"); err == nil || !strings.Contains(err.Error(), "bugle vault init") {
		t.Errorf("check before init: %v, want an error that says what to do", err)
	}
	for _, step := range []struct{ verb, says string }{
		{"init", `^made ` + file + `\n`},
		{"check", `^keyset from file ` + file + "\n  key \\d+ +made 20\\S+ \\(0 days ago\\)  seals and opens\n  key for numbers, fingerprint [0-9a-f]{16}\nwell"},
		{"rotate", `^` + file + ` has key \d+ as its primary one`},
		{"rotate -add", `^` + file + ` has key \d+ and does not seal with it yet; once every node .* rotate -promote`},
		{"check", "seals and opens\n(  key \\d+ +made 20\\S+ \\(0 days ago\\)  opens\n){2}"},
		{"rotate -promote", `^` + file + ` has key \d+ as its primary one`},
		{"check", "seals and opens\n  key \\d+ +made 20\\S+ \\(0 days ago\\)  opens\n"},
	} {
		said, err := run(strings.Fields(step.verb)...)
		if err != nil {
			t.Fatalf("%s: %v", step.verb, err)
		}
		if !regexp.MustCompile(step.says).MatchString(said) {
			t.Errorf("%s says %q, want %s", step.verb, said, step.says)
		}
	}
	if _, err := run("init"); !errors.Is(err, os.ErrExist) {
		t.Errorf("init again: %v, want os.ErrExist", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 2 {
		t.Errorf("data_dir holds %v, %v, want the keyset and the audit's database alone", entries, err)
	}
}

// TestVaultWithoutAFile is a keyset that a key service keeps.
func TestVaultWithoutAFile(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held.json")
	_, run := vaultSite(t, "vault: {command: [cat, "+held+"]}\n")
	for _, verb := range []string{"init", "rotate"} {
		if _, err := run(verb); !errors.Is(err, errNoFile) {
			t.Errorf("%s: %v, want errNoFile", verb, err)
		}
	}
	if _, err := run("init", "-out", held); err != nil {
		t.Fatal(err)
	}
	next := held + ".next"
	if said, err := run("rotate", "-out", next); err != nil || !strings.HasPrefix(said, next) {
		t.Fatalf("rotate says %q, %v", said, err)
	}
	if err := os.Rename(next, held); err != nil {
		t.Fatal(err)
	}
	if said, err := run("check"); err != nil || strings.Count(said, "  opens\n") != 1 {
		t.Errorf("check says %q, %v, want one old key", said, err)
	}
}

func TestVaultUsedWrongly(t *testing.T) {
	_, run := vaultSite(t, "")
	for _, args := range [][]string{nil, {"rotat"}, {"init", "again"}, {"rotate", "-add", "-promote"}} {
		if _, err := run(args...); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want errUsage", args, err)
		}
	}
}
