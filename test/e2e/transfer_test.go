package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// A softphone hands its caller on to a queue by REFER. The agent who answers there
// hears the caller, and the first one is in wrap-up.
func TestBlindTransferToAQueue(t *testing.T) {
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna", "ben")
	anna := softphone(t, bugle, "anna", 440, "udp")
	ben := softphone(t, bugle, "ben", 700, "tcp")
	bugle.SetState(t, "anna", "ready")
	bugle.SetState(t, "ben", "ready")
	wav := filepath.Join(t.TempDir(), "heard.wav")
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms",
		"--tone", "1000", "--record", wav, "--for", "15s")
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	anna.Do(t, "transfer", "sip:eligibility@"+bugle.SIP)
	ben.AwaitEvent(t, "CALL_ESTABLISHED", 1, 10*time.Second)
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 5*time.Second)
	if code := caller.Wait(t, 25*time.Second); code != 0 {
		t.Fatalf("bugle call: exit %d\n%s", code, caller.Output())
	}
	ben.AwaitEvent(t, "CALL_CLOSED", 1, 5*time.Second)
	if got := theOneRecording(t, ben).Tone(0, 1000); got < 3*time.Second {
		t.Errorf("the second agent heard the caller's tone for %v without a gap, want 3s", got)
	}
	if got := peer.ReadWAV(t, wav).Tone(0, 700); got < 3*time.Second {
		t.Errorf("the caller heard the second agent for %v without a gap, want 3s", got)
	}
	figures := bugle.Metrics(t)
	if got := figures[`bugle_transfers_total{kind="blind",result="done",to="queue"}`]; got != 1 {
		t.Errorf("%v transfers were counted, want 1", got)
	}
	if got := figures[`bugle_queue_talk_seconds_count{language="en",queue="claims"}`]; got != 1 {
		t.Errorf("%v talks of the first queue ended, want 1", got)
	}
	if got := figures[`bugle_agents{state="wrapup"}`]; got < 1 {
		t.Error("nobody wraps up")
	}
	nothingLeft(t, bugle)
}
