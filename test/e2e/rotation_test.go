package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// A running node takes up a rotation of the keyset by itself: it seals the agents'
// passwords anew, which are good as before, and tells the audit.
func TestRotationWhileRunning(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna")
	config, secrets := filepath.Join(bugle.Dir, "bugle.yaml"), filepath.Join(bugle.Dir, "data/agents.ha1")
	before, err := os.ReadFile(secrets)
	if err != nil {
		t.Fatal(err)
	}
	if out, code := peer.Run(t, "", "vault", "rotate", "-c", config); code != 0 {
		t.Fatalf("vault rotate: exit %d\n%s", code, out)
	}
	peer.Eventually(t, time.Minute, "the passwords to be sealed anew", func() bool {
		now, err := os.ReadFile(secrets)
		return err == nil && !bytes.Equal(now, before)
	})
	softphone(t, bugle, "anna", 440, "udp") // registers
	peer.Eventually(t, time.Minute, "the audit to be told", func() bool {
		out, _ := peer.Run(t, "", "audit", "list", "-c", config)
		return strings.Contains(out, "vault.rotate") && strings.Contains(out, "vault.taken_up")
	})
	if out, code := peer.Run(t, "", "vault", "check", "-c", config); code != 0 || !strings.Contains(out, "sealed and opened") {
		t.Errorf("vault check: exit %d\n%s", code, out)
	}
}
