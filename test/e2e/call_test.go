package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/test/peer"
)

// backends are the two Redis the same call runs on.
var backends = []struct {
	name  string
	redis func(testing.TB) string // further configuration
}{
	{"embedded Redis", func(testing.TB) string { return "" }},
	{"real Redis", func(t testing.TB) string { return "redis: {addr: " + peer.StartRedis(t) + "}\n" }},
}

const ports = "media: {ports: 50000-52999}\n"

// A Spanish caller hears Spanish and reaches the agent who has Spanish, while
// one who has not is idle; each hears the other's tone unbroken.
func TestSpanishCallerReachesTheAgentWithSpanish(t *testing.T) {
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			bugle := peer.StartBugle(t, peer.DemoConfig(t, ports+b.redis(t)), "anna", "sofia")
			anna := softphone(t, bugle, "anna", 440, "udp")
			sofia := softphone(t, bugle, "sofia", 600, "tcp")
			bugle.SetState(t, "anna", "ready")
			bugle.SetState(t, "sofia", "ready")

			wav := filepath.Join(t.TempDir(), "heard.wav")
			caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "2,1", "--every", "4s", "--tone", "1000", "--record", wav)
			awaitTalk(t, sofia, 6*time.Second)
			awaitTone(t, wav, 600, 5*time.Second)
			awaitTone(t, theOneRecording(t, sofia), 1000, 5*time.Second)
			hangUp(t, caller)
			heard := peer.ReadWAV(t, wav)
			if !heard.Holds(0, peer.DemoPrompt(t, "es/subject")) {
				t.Error("the caller was not asked for his subject in Spanish")
			}
			if heard.Holds(0, peer.DemoPrompt(t, "en/subject")) {
				t.Error("the caller was asked for his subject in English")
			}
			sofia.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
			for _, e := range anna.Events() {
				if e.Type == "CALL_INCOMING" {
					t.Error("the agent without Spanish was rung")
				}
			}
			nothingLeft(t, bugle)
		})
	}
}

// baresip as the caller, over UDP and TCP, PCMA on his side and PCMU on the
// agent's: translated by table.
func TestSoftphoneCallsSoftphone(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna")
			anna := softphone(t, bugle, "anna", 440, "udp")
			bugle.SetState(t, "anna", "ready")
			caller := peer.StartBaresip(t, peer.Phone{
				User: "caller", Server: bugle.SIP, Transport: transport, Tone: 800, Codec: "PCMA", NoRegister: true, Domain: "caller.invalid",
			})
			caller.Do(t, "dial", fmt.Sprintf("sip:helpline@%s;transport=%s", bugle.SIP, transport))
			caller.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
			press(t, bugle, caller, "1", "1")
			awaitTalk(t, anna, 6*time.Second)
			awaitTone(t, theOneRecording(t, anna), 800, 5*time.Second)
			awaitTone(t, theOneRecording(t, caller), 440, 5*time.Second)
			if got := peer.Sum(bugle.Metrics(t), "bugle_queue_answered_total"); got != 1 {
				t.Errorf("%v visits were answered, want 1", got)
			}
			caller.Do(t, "hangup", "")
			anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
			caller.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
			nothingLeft(t, bugle)
		})
	}
}

// Both sides insist on SRTP, each under a key of its own, and hear each other unbroken;
// the record says that they were encrypted and how it sounded.
func TestEncryptedCall(t *testing.T) {
	t.Parallel()
	config := strings.Replace(peer.DemoConfig(t, ports), "\nsip:\n", "\nsip:\n  srtp: require\n  srtp_in_clear: true\n", 1)
	config = strings.Replace(config, "{name: ", "{srtp: require, name: ", 1)
	if strings.Count(config, "srtp: require") != 2 {
		t.Fatalf("the demo's configuration has changed:\n%s", config)
	}
	bugle := peer.StartBugle(t, config, "anna")
	anna := peer.StartBaresip(t, peer.Phone{User: "anna", Password: "pw-anna", Server: bugle.SIP, Tone: 440, Codec: "PCMU,PCMA", Encrypted: true})
	stood := peer.Standstills()
	bugle.SetState(t, "anna", "ready")
	const number = "4930123456"
	caller := peer.StartBaresip(t, peer.Phone{
		User: number, Server: bugle.SIP, Tone: 800, Codec: "PCMA", NoRegister: true, Domain: "caller.invalid", Encrypted: true,
	})
	caller.Do(t, "dial", "sip:helpline@"+bugle.SIP)
	caller.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	press(t, bugle, caller, "1", "1")
	awaitTalk(t, anna, 12*time.Second)
	awaitTone(t, theOneRecording(t, anna), 800, 5*time.Second)
	awaitTone(t, theOneRecording(t, caller), 440, 5*time.Second)
	caller.Do(t, "hangup", "")
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	caller.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	// How long the machine kept the test and the node from their turn: so much worse has
	// the sound travelled.
	late := stood() + time.Duration(bugle.Metrics(t)["bugle_media_skipped_beats_total"])*beat
	t.Logf("the machine took %v", late)
	leastMOS := 4. // which a tenth of a second more of delay leaves alone
	if late > 100*time.Millisecond {
		leastMOS = 1
	}
	var out string
	peer.Eventually(t, 20*time.Second, "both legs' ends to be told", func() bool {
		out, _ = peer.Run(t, "", "events", "-c", filepath.Join(bugle.Dir, "bugle.yaml"))
		return strings.Count(out, "leg.ended") == 2
	})
	for _, side := range []string{"caller", "agent"} {
		leg := legEnded(t, out, side)
		if leg.Suite == "" || leg.PacketsIn < 250 || leg.Heard.MOS < leastMOS || leg.Heard.Jitter > 20*time.Millisecond+late/8 || leg.Heard.Loss > .01 {
			t.Errorf("the %s's leg, %v late: %+v", side, late, leg)
		}
		if leg.RoundTrip <= 0 || leg.RoundTrip > 50*time.Millisecond+late || leg.Sent.MOS < leastMOS {
			t.Errorf("the %s's leg, %v late, by its own reports: %+v", side, late, leg)
		}
	}
	wantTrace(t, bugle, callOf(t, out), number)
	figures := bugle.Metrics(t)
	if got := peer.Sum(figures, "bugle_media_mos_count"); got != 4 {
		t.Errorf("%v directions were judged, want 4", got)
	}
	nothingLeft(t, bugle)
}

// A caller and an agent whose phones both have a codec of media.codecs come to talk
// in it. (What baresip 1.0 records after a change of codec is no sound; that
// payloads pass untouched is tested in room media.)
func TestWidebandCall(t *testing.T) {
	t.Parallel()
	config := strings.Replace(peer.DemoConfig(t, ports), "\nmedia: {", "\nmedia: {codecs: [g722], ", 1)
	if !strings.Contains(config, "codecs: [g722]") {
		t.Fatalf("the demo's configuration has changed:\n%s", config)
	}
	bugle := peer.StartBugle(t, config, "anna")
	anna := peer.StartBaresip(t, peer.Phone{User: "anna", Password: "pw-anna", Server: bugle.SIP, Tone: 440, Codec: "PCMU,G722/16000/1"})
	bugle.SetState(t, "anna", "ready")
	caller := peer.StartBaresip(t, peer.Phone{
		User: "caller", Server: bugle.SIP, Tone: 800, Codec: "G722/16000/1,PCMU", NoRegister: true, Domain: "caller.invalid",
	})
	caller.Do(t, "dial", "sip:helpline@"+bugle.SIP)
	caller.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	press(t, bugle, caller, "1", "1")
	anna.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	for _, phone := range []*peer.Baresip{caller, anna} {
		peer.Eventually(t, 20*time.Second, "both phones to speak G.722", func() bool {
			return strings.Contains(phone.Output(), "Set audio encoder: G722")
		})
	}
	const passed = `bugle_media_packets_total{direction="out"}`
	before := bugle.Metrics(t)[passed]
	peer.Eventually(t, 20*time.Second, "four seconds of talk", func() bool { return bugle.Metrics(t)[passed] > before+400 })
	caller.Do(t, "hangup", "")
	anna.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	caller.AwaitEvent(t, "CALL_CLOSED", 1, 20*time.Second)
	var out string
	peer.Eventually(t, 20*time.Second, "both legs' ends to be told", func() bool {
		out, _ = peer.Run(t, "", "events", "-c", filepath.Join(bugle.Dir, "bugle.yaml"))
		return strings.Count(out, "leg.ended") == 2
	})
	for _, side := range []string{"caller", "agent"} {
		if leg := legEnded(t, out, side); leg.Codec != "G722" || leg.PacketsIn < 180 || leg.Lost > leg.PacketsIn/100 {
			t.Errorf("the %s's leg: %+v", side, leg)
		}
	}
	nothingLeft(t, bugle)
}

// callOf gives the id of the call that `bugle events` tells of.
func callOf(t *testing.T, events string) string {
	t.Helper()
	for line := range strings.Lines(events) {
		var e struct{ Kind, Call string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind == "call.started" {
			return e.Call
		}
	}
	t.Fatalf("no call in\n%s", events)
	return ""
}

// wantTrace holds that `bugle trace` shows both legs of a talk that the caller ended,
// from INVITE to BYE, in order, and neither his number, nor a key, nor a proof.
func wantTrace(t *testing.T, bugle *peer.Bugle, call, number string) {
	t.Helper()
	trace, code := peer.Run(t, "", "trace", call, "-c", filepath.Join(bugle.Dir, "bugle.yaml"), "-at", bugle.HTTP)
	if code != 0 {
		t.Errorf("bugle trace: exit %d", code)
	}
	rest := trace
	for _, rung := range []string{
		"call " + call, "caller", "bugle", "agent anna",
		"|---INVITE---", "|<--200 OK (INVITE)---", "|---ACK---", // the caller's leg
		"|                                 |---INVITE---", "|                                 |<--200 Answering (INVITE)---", "|                                 |---ACK---",
		"|---BYE---", "200 OK (BYE)", "200 OK (BYE)",
	} {
		_, after, ok := strings.Cut(rest, rung)
		if !ok {
			t.Errorf("%q is missing, or out of order, in\n%s", rung, trace)
			break
		}
		rest = after
	}
	for _, line := range []string{"INVITE sip:helpline@", "sip:…56@caller.invalid", "inline:…"} {
		if !strings.Contains(trace, line) {
			t.Errorf("no %q in the trace", line)
		}
	}
	if strings.Contains(trace, number[2:]) || strings.Contains(strings.ReplaceAll(trace, "inline:…", ""), "inline:") || strings.Contains(trace, "response=\"") {
		t.Errorf("the trace tells what it should not:\n%s", trace)
	}
	if out, code := peer.Run(t, "", "trace", "nobody", "-c", filepath.Join(bugle.Dir, "bugle.yaml"), "-at", bugle.HTTP); code != 1 || !strings.Contains(out, "no trace of that call here") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// legEnded gives the fact of one side's end from what `bugle events` says.
func legEnded(t *testing.T, events, side string) event.LegEnded {
	t.Helper()
	for _, line := range strings.Split(events, "\n") {
		at := strings.Index(line, `{"side":"`+side)
		if at < 0 {
			continue
		}
		var leg event.LegEnded
		if err := json.NewDecoder(strings.NewReader(line[at:])).Decode(&leg); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		return leg
	}
	t.Fatalf("no end of the %s's leg in\n%s", side, events)
	return event.LegEnded{}
}

// An agent makes himself ready and pauses with the keys of his phone.
func TestAgentDialsHisState(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna")
	anna := softphone(t, bugle, "anna", 440, "udp")
	for i, c := range []struct{ code, state string }{{"*70", "ready"}, {"*71", "paused"}, {"*70", "ready"}} {
		anna.Do(t, "dial", "sip:"+c.code+"@"+bugle.SIP)
		anna.AwaitEvent(t, "CALL_CLOSED", i+1, 20*time.Second)
		peer.Eventually(t, 20*time.Second, "anna is "+c.state, func() bool {
			return bugle.Metrics(t)[fmt.Sprintf("bugle_agents{state=%q}", c.state)] == 1
		})
	}
}

// No answer in time: that agent is paused, the caller keeps his place, and the
// next agent gets him.
func TestAgentWhoDoesNotAnswerIsPausedAndTheCallerGoesOn(t *testing.T) {
	t.Parallel()
	config := strings.Replace(peer.DemoConfig(t, ports), "requires: {claims: 1}", "requires: {claims: 1}\n    ring: 6s", 1)
	bugle := peer.StartBugle(t, config, "anna", "sofia")
	anna := peer.StartBaresip(t, peer.Phone{User: "anna", Password: "pw-anna", Server: bugle.SIP, Manual: true})
	bugle.SetState(t, "anna", "ready")
	sofia := softphone(t, bugle, "sofia", 600, "udp")
	bugle.SetState(t, "sofia", "ready") // after anna: she is rung first

	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "500ms")
	anna.AwaitEvent(t, "CALL_INCOMING", 1, 20*time.Second)
	sofia.AwaitEvent(t, "CALL_ESTABLISHED", 1, 20*time.Second)
	hangUp(t, caller)
	peer.Eventually(t, 20*time.Second, "anna is paused", func() bool {
		return bugle.Metrics(t)[`bugle_agents{state="paused"}`] == 1
	})
	figures := bugle.Metrics(t)
	if got := figures[`bugle_offers_total{queue="claims",result="timed_out"}`]; got != 1 {
		t.Errorf("%v offers timed out, want 1", got)
	}
	if got := peer.Sum(figures, "bugle_queue_offered_total"); got != 1 {
		t.Errorf("%v visits were offered, want 1: a ring without answer keeps the visit", got)
	}
	nothingLeft(t, bugle)
}

func softphone(t *testing.T, bugle *peer.Bugle, id string, tone int, transport string) *peer.Baresip {
	t.Helper()
	return peer.StartBaresip(t, peer.Phone{
		User: id, Password: "pw-" + id, Server: bugle.SIP, Tone: tone, Transport: transport, Codec: "PCMU,PCMA",
	})
}

// press presses keys as a listener does: one at each step the flow has entered.
func press(t *testing.T, bugle *peer.Bugle, phone *peer.Baresip, keys ...string) {
	t.Helper()
	for i, step := range []string{"language", "subject"}[:len(keys)] {
		peer.Eventually(t, 20*time.Second, "the flow to reach "+step, func() bool {
			out, code := peer.Run(t, "", "events", "-c", filepath.Join(bugle.Dir, "bugle.yaml"))
			return code == 0 && strings.Contains(out, fmt.Sprintf("%q", step))
		})
		phone.Do(t, "sndcode", keys[i])
	}
}

// hangUp ends the call of a `bugle call` that goes on: it must have been left alone.
func hangUp(t *testing.T, caller *peer.Process) {
	t.Helper()
	caller.Signal(os.Interrupt)
	if code := caller.Wait(t, 20*time.Second); code != 0 || !strings.Contains(caller.Output(), "ended by local") {
		t.Fatalf("bugle call: exit %d\n%s", code, caller.Output())
	}
}

// nothingLeft waits until the node is as it was before its calls.
func nothingLeft(t *testing.T, bugle *peer.Bugle) {
	t.Helper()
	peer.Eventually(t, 20*time.Second, "nothing to be left of the calls", func() bool {
		figures := bugle.Metrics(t)
		return figures["bugle_calls_active"] == 0 &&
			figures["bugle_media_legs"] == 0 &&
			peer.Sum(figures, "bugle_queue_waiting") == 0 &&
			figures[`bugle_agents{state="talking"}`] == 0 &&
			figures[`bugle_agents{state="reserved"}`] == 0
	})
}
