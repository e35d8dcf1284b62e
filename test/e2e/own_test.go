package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// A softphone calls outside by a trunk, is kept from a premium number, and is told that
// no help can be called from it.
func TestAgentsOwnCalls(t *testing.T) {
	t.Parallel()
	port := peer.FreePort(t)
	peer.StartTrunk(t, port)
	config := strings.NewReplacer(
		"  trunks:\n", "  trunks:\n    - {name: out, hosts: [{host: 127.0.0.1, port: "+strconv.Itoa(port)+"}], options: 0s}\n",
		"calls:\n", "calls:\n  outside: {trunks: [out], from: \"+4930123450\", allow: [\"+49\"], deny: [\"+49900\"]}\n",
	).Replace(peer.DemoConfig(t, ports))
	bugle := peer.StartBugle(t, config, "anna")
	anna := softphone(t, bugle, "anna", 440, "udp")
	bugle.SetState(t, "anna", "ready")

	anna.Do(t, "dial", "sip:+49301234567@"+bugle.SIP)
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	peer.Eventually(t, 20*time.Second, "anna to be on the phone", func() bool { return bugle.Metrics(t)[`bugle_agents{state="talking"}`] == 1 })
	anna.Do(t, "hangup", "")
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)

	anna.Do(t, "dial", "sip:+49900123456@"+bugle.SIP)
	anna.AwaitEvent(t, "CALL_CLOSED", 2, 20*time.Second)
	if told := anna.Events()[len(anna.Events())-1]; !strings.Contains(told.Param, "403") {
		t.Errorf("the phone was told %q", told.Param)
	}

	stood := peer.Standstills()
	anna.Do(t, "dial", "sip:911@"+bugle.SIP)
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 2, 20*time.Second)
	anna.AwaitEvent(t, "CALL_CLOSED", 3, 20*time.Second)
	files := anna.Heard(t)
	last := peer.ReadWAV(t, files[len(files)-1])
	heard := last.Tone
	if stood() > 0 { // the machine may have broken a tone
		heard = last.Heard
	}
	for _, hz := range []float64{950, 1400, 1800} {
		if got := heard(0, hz); got < 200*time.Millisecond {
			t.Errorf("the tone of %v Hz was heard for %v", hz, got)
		}
	}
	figures := bugle.Metrics(t)
	for name, want := range map[string]float64{
		`bugle_calls_total{class="completed",reason="caller_hung_up"}`:                1,
		`bugle_agent_calls_refused_total{reason="outside_not_allowed"}`:               1,
		`bugle_emergency_calls_failed_total{number="911",reason="emergency_refused"}`: 1,
		`bugle_agents{state="ready"}`:                                                 1,
	} {
		if figures[name] != want {
			t.Errorf("%s is %v, want %v", name, figures[name], want)
		}
	}
	nothingLeft(t, bugle)
}
