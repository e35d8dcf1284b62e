package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/deployments/demo"
)

// TestCheckTellsWarnings: what can be served and may not be meant is said, in
// the order of its lines, whichever room found it; the site is well all the same.
func TestCheckTellsWarnings(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "prompts"), demo.Prompts); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bugle.yaml")
	write(t, path, `sip:
  listeners: [{network: udp, address: "127.0.0.1:5060"}]
  trunks: [{name: anyone, addresses: [0.0.0.0/0]}]
languages: [en]
numbers: {n: {flow: f, language: en}}
queues: {general: {}}
flows:
  f: {start: s, steps: {s: {queue: {name: general}}}}
  g: {start: s, steps: {s: {hangup: {}}}}
media: {ports: 20000-20003}
`, 0o600)
	var out, report bytes.Buffer
	if err := check(environment{out: &out, err: &report}, []string{"-c", path}); err != nil {
		t.Fatalf("%v\n%s", err, &report)
	}
	at := 0
	for _, want := range []string{"there are no agents", "calls.emergency is missing", "nearly anyone could call", `flow "g" has no number`, "room for 2 legs"} {
		i := strings.Index(report.String()[at:], want)
		if i < 0 {
			t.Fatalf("%q is not said, or not in its place:\n%s", want, &report)
		}
		at += i
	}
	if n := strings.Count(report.String(), "\n"); n != 5 || !strings.HasSuffix(out.String(), "well\n") {
		t.Errorf("%d lines and %q:\n%s", n, &out, &report)
	}
}
