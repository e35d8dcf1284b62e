package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// storeSite writes a configuration with a keyset and gives a function that
// runs a subcommand on it.
func storeSite(t *testing.T) (dir string, run func(command func(environment, []string) error, args ...string) (string, error)) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "bugle.yaml")
	write(t, path, `node: n1
sip: {listeners: [{network: udp, address: "127.0.0.1:5060"}]}
languages: [en, es]
skills: [claims]
numbers: {helpline: {flow: bye, language: en}}
flows: {bye: {start: bye, steps: {bye: {hangup: {}}}}}
`, 0o600)
	if err := vault.Init(filepath.Join(dir, "data", vault.KeysetFile)); err != nil {
		t.Fatal(err)
	}
	return dir, func(command func(environment, []string) error, args ...string) (string, error) {
		var out, report bytes.Buffer
		err := command(environment{out: &out, err: &report}, append(args, "-c", path))
		return out.String() + report.String(), err
	}
}

func TestAgentsFromFileToListAndAudit(t *testing.T) {
	dir, run := storeSite(t)
	file := filepath.Join(dir, "agents.csv")
	write(t, file, "id,name,tier,languages,skills\nanna,Anna Reed,1,en:5,clams:4\nben,Ben,9,en:1,\n", 0o600)
	said, err := run(staff, "import", file)
	if err == nil || err.Error() != file+" has 2 mistakes: nothing was imported" {
		t.Errorf("got %v", err)
	}
	want := file + ": line 2: unknown skill \"clams\"; did you mean \"claims\"?\n" + file + ": line 3: tier is \"9\"; it must be from 1 to 3\n"
	if said != want {
		t.Errorf("got %q, want %q", said, want)
	}

	good := "id,name,tier,languages,skills\nanna,Anna Reed,1,en:5,claims:4\nben,Ben,2,en:1 es:4,\n"
	write(t, file, good, 0o600)
	if said, err = run(staff, "import", file); err != nil || !strings.HasPrefix(said, "2 agents added, 0 changed, 0 as they were") {
		t.Errorf("got %q, %v", said, err)
	}
	if said, err = run(staff, "export"); err != nil || said != good {
		t.Errorf("got %q, %v", said, err)
	}
	want = "ID    NAME       TIER  LANGUAGES  SKILLS\nanna  Anna Reed  1     en:5       claims:4\nben   Ben        2     en:1 es:4  \n"
	if said, err = run(staff, "list"); err != nil || said != want {
		t.Errorf("got %q, %v", said, err)
	}

	if said, err = run(audit, "verify"); err != nil || !strings.HasPrefix(said, "1 entries of 1 nodes, 0 anchors, 0 heads in the event log: well\n") {
		t.Errorf("got %q, %v", said, err)
	}
	for _, args := range [][]string{{"import"}, {"list", "x"}, {}} {
		if _, err := run(staff, args...); err == nil {
			t.Errorf("agents %v: no error", args)
		}
	}
}

// A head that the vault did not seal is somebody else's work.
func TestAuditOfAnotherKeyset(t *testing.T) {
	dir, run := storeSite(t)
	s, err := store.Open(t.Context(), store.Options{DataDir: filepath.Join(dir, "data"), Node: "n1", Sealer: forger{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutAgent(t.Context(), store.By{Actor: "mallory"}, "anna", config.Agent{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	said, err := run(audit, "verify")
	if err == nil || !strings.HasPrefix(said, "node n1, entry 1: the head of the chain does not bear our seal\n") {
		t.Errorf("got %q, %v", said, err)
	}
}

// forger seals without a key.
type forger struct{}

func (forger) Seal(plain, _ []byte) ([]byte, error)    { return plain, nil }
func (forger) Unseal(sealed, _ []byte) ([]byte, error) { return sealed, nil }
func (forger) Hash(string) string                      { return "" }
func (forger) Fingerprint() string                     { return "" }
