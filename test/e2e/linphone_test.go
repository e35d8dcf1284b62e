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
			sound := time.NewTicker(3 * time.Second) // what is heard meanwhile is the test
			defer sound.Stop()
			<-sound.C
			if c.holds {
				anna.Do(t, "pause")
				anna.AwaitState(t, "CallPaused", 1, 20*time.Second)
				<-sound.C
				anna.Do(t, "resume")
				anna.AwaitState(t, "CallStreamsRunning", 2, 20*time.Second)
				<-sound.C
			}
			anna.Do(t, "terminate")
			if code := caller.Wait(t, 20*time.Second); code != 0 {
				t.Fatalf("bugle call: exit %d\n%s", code, caller.Output())
			}
			anna.AwaitState(t, "CallEnd", 1, 20*time.Second)

			heard := peer.ReadWAV(t, wav)
			end := heard.Length()
			if got := heard.Cut(end-3*time.Second, end).Tone(0, 600); got < 1500*time.Millisecond {
				t.Errorf("at the end the caller heard the agent for %v, want 1.5s", got)
			}
			if c.holds {
				held := heard.Cut(end-5500*time.Millisecond, end-3500*time.Millisecond)
				if tone, power := held.Tone(0, 600), held.Power(0); tone > 200*time.Millisecond || power < 1e-4 {
					t.Errorf("on hold the caller heard the agent for %v, and power %g", tone, power)
				}
			}
			if got := anna.Heard(t).Tone(0, 1000); got < 1500*time.Millisecond {
				t.Errorf("the agent heard the caller for %v without a gap, want 1.5s", got)
			}
			nothingLeft(t, bugle)
		})
	}
}
