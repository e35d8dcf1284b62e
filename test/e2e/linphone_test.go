package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// linphonec as the agent: it proves its password by either digest, takes a call,
// hears and is heard, holds and goes on, and hangs up.
func TestLinphone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		digest, transport string
		holds             bool
	}{{"sha-256", "tcp", true}, {"md5", "udp", false}} {
		t.Run(c.digest, func(t *testing.T) {
			t.Parallel()
			config := strings.Replace(peer.DemoConfig(t, ports), "\nsip:\n", "\nsip:\n  digest: "+c.digest+"\n", 1)
			bugle := peer.StartBugle(t, config, "anna")
			anna := peer.StartLinphone(t, peer.Phone{User: "anna", Password: "pw-anna", Server: bugle.SIP, Transport: c.transport, Tone: 600})
			bugle.SetState(t, "anna", "ready")
			wav := filepath.Join(t.TempDir(), "heard.wav")
			caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms", "--tone", "1000", "--record", wav)
			anna.AwaitState(t, "CallStreamsRunning", 1, 20*time.Second)
			awaitTone(t, wav, 600, 1500*time.Millisecond)
			if c.holds {
				anna.Do(t, "pause")
				music, _ := awaitMusic(t, wav, 600)
				anna.AwaitState(t, "CallPaused", 1, 20*time.Second)
				anna.Do(t, "resume")
				anna.AwaitState(t, "CallStreamsRunning", 2, 20*time.Second)
				awaitToneFrom(t, wav, music, 600, 1500*time.Millisecond)
			}
			awaitSound(t, "1000 Hz at the agent's for 1.5s without a gap", func() bool {
				return anna.Heard(t).Tone(0, 1000) >= 1500*time.Millisecond
			})
			anna.Do(t, "terminate")
			if code := caller.Wait(t, 20*time.Second); code != 0 {
				t.Fatalf("bugle call: exit %d\n%s", code, caller.Output())
			}
			anna.AwaitState(t, "CallEnd", 1, 20*time.Second)
			nothingLeft(t, bugle)
		})
	}
}
