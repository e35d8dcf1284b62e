package main

import (
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// What vault rotate says of running nodes is what they do.
func TestWhenARotationIsTakenUp(t *testing.T) {
	for _, test := range []struct {
		vault config.Vault
		says  string
	}{
		{config.Vault{Refresh: config.Duration(time.Minute)}, "within seconds"},
		{config.Vault{Keyset: "file:/etc/k"}, "within seconds"},
		{config.Vault{Keyset: "env:K", Refresh: config.Duration(time.Minute)}, "stop all nodes"},
		{config.Vault{Command: []string{"x"}, Refresh: config.Duration(time.Minute)}, "within 1m0s"},
		{config.Vault{Command: []string{"x"}}, "when they meet the new key"},
	} {
		if got := takenUp(test.vault); !strings.Contains(got, test.says) {
			t.Errorf("of %+v it says %q, want %q", test.vault, got, test.says)
		}
	}
}

func TestKeysetBesideItsData(t *testing.T) {
	for _, test := range []struct {
		vault config.Vault
		want  bool
	}{
		{config.Vault{}, true},
		{config.Vault{Keyset: "file:/var/lib/bugle/keys.json"}, true},
		{config.Vault{Keyset: "file:/etc/bugle/keyset.json"}, false},
		{config.Vault{Keyset: "env:K"}, false},
		{config.Vault{Command: []string{"x"}}, false},
	} {
		if got := besideItsData(&config.Config{DataDir: "/var/lib/bugle/", Vault: test.vault}); got != test.want {
			t.Errorf("%+v: %t", test.vault, got)
		}
	}
}

// Every tool hashes a number as the node does: all spellings of it are one caller.
func TestSpellingsOfANumberAreOneCaller(t *testing.T) {
	dir, _ := storeSite(t)
	keys, err := openKeys(t.Context(), &config.Config{DataDir: dir + "/data", Country: "DE"})
	if err != nil {
		t.Fatal(err)
	}
	want := keys.Hash("+49301234")
	for _, spelling := range []string{"0049301234", "030 1234", "030/1234", "49301234"} {
		if got := keys.Hash(spelling); got != want || got == "" {
			t.Errorf("%q has the hash %q, want %q", spelling, got, want)
		}
	}
	if keys.Hash("0301235") == want || keys.Hash("anonymous") != "" {
		t.Error("another number has the same hash, or none has one")
	}
}
