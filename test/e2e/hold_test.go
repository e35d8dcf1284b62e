package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// An agent puts the caller on hold: the caller hears music, then the agent again,
// and the time is counted as hold.
func TestHoldPlaysMusic(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna")
	anna := softphone(t, bugle, "anna", 600, "udp")
	bugle.SetState(t, "anna", "ready")
	wav := filepath.Join(t.TempDir(), "heard.wav")
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms",
		"--tone", "1000", "--record", wav)
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	awaitTone(t, wav, 600, time.Second)
	asked := time.Now()
	anna.Do(t, "hold", "")
	music, least := awaitMusic(t, wav, 600)
	anna.Do(t, "resume", "")
	awaitToneFrom(t, wav, music, 600, 1500*time.Millisecond)
	most := time.Since(asked)
	anna.Do(t, "hangup", "")
	if code := caller.Wait(t, 20*time.Second); code != 0 {
		t.Fatalf("bugle call: exit %d\n%s", code, caller.Output())
	}

	var held time.Duration
	peer.Eventually(t, 20*time.Second, "the hold to be counted", func() bool {
		held = time.Duration(bugle.Metrics(t)[`bugle_queue_hold_seconds_sum{language="en",queue="claims"}`] * float64(time.Second))
		return held > 0
	})
	if held < least || held > most {
		t.Errorf("%v of hold were counted, want %v to %v", held, least, most)
	}
	nothingLeft(t, bugle)
}
