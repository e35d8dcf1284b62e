package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// `make run`, an agent and a call, as the README says them.
func TestDemoServesACall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	demo := peer.Start(t, "demo", "-dir", dir)
	demo.Await(t, "Ctrl-C drains", 20*time.Second)
	password := regexp.MustCompile(`(?m)^  anna +(\S+)`).FindStringSubmatch(demo.Output())
	if password == nil {
		t.Fatalf("the demo printed no password for anna:\n%s", demo.Output())
	}
	agent := peer.StartPhone(t, password[1], "sip:anna@127.0.0.1", "--answer-after", "500ms")
	agent.Await(t, "is registered", 20*time.Second)

	wav := filepath.Join(dir, "out.wav")
	caller := peer.Start(t, "call", "sip:helpline@127.0.0.1", "--press", "1,1", "--every", "500ms", "--record", wav)
	agent.Await(t, "answered", 20*time.Second)
	awaitTone(t, wav, 440, 2*time.Second)
	hangUp(t, caller)
	demo.Signal(syscall.SIGTERM)
	if code := demo.Wait(t, 20*time.Second); code != 0 {
		t.Errorf("the demo exits with %d, want 0", code)
	}

	again := peer.Start(t, "demo", "-dir", dir)
	again.Await(t, "Ctrl-C drains", 20*time.Second)
	if strings.Contains(again.Output(), password[1]) {
		t.Error("a second start shows the password again")
	}
	again.Signal(syscall.SIGTERM)
	again.Wait(t, 20*time.Second)

	// What was good enough for loopback is not let out.
	config := strings.NewReplacer("SIP_ADDR", "192.0.2.1:5060", "HTTP_ADDR", "127.0.0.1:8080", "DATA_DIR", dir,
		"domain: demo", "domain: demo", "trunks:", "domain: 127.0.0.1\n  trunks:").Replace(peer.DemoConfig(t, ""))
	path := filepath.Join(dir, "wide.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := peer.Run(t, "", "serve", "-c", path)
	if code != 1 || !strings.Contains(out, "demo passwords") {
		t.Errorf("serve beyond loopback with demo passwords: exit %d, %s", code, out)
	}
}

// SIGTERM: new calls are refused, the talk goes on to its own end, then the
// process goes.
func TestDrain(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna", "ben")
	anna := peer.StartPhone(t, "pw-anna", "sip:anna@"+bugle.SIP, "--answer-after", "0s")
	anna.Await(t, "is registered", 20*time.Second)
	talking := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms")
	anna.Await(t, "answered", 20*time.Second)

	bugle.Signal(syscall.SIGTERM)
	peer.Eventually(t, 20*time.Second, "the node to say that it is not ready", func() bool { return !bugle.Ready() })
	out, code := peer.Run(t, "", "call", "sip:helpline@"+bugle.SIP, "--for", "1s")
	if code != 1 || !strings.Contains(out, "503") {
		t.Errorf("a call while draining: exit %d, %s; want 503", code, out)
	}
	hangUp(t, talking)
	if code := bugle.Wait(t, 20*time.Second); code != 0 {
		t.Errorf("the node exits with %d, want 0", code)
	}
}

// A caller in line when the drain begins is still served.
func TestDrainServesWhoIsInLine(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports), "anna")
	anna := peer.StartPhone(t, "pw-anna", "sip:anna@"+bugle.SIP, "--answer-after", "0s", "--talk", "2s", "--paused")
	anna.Await(t, "is registered", 20*time.Second)
	waiting := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms")
	peer.Eventually(t, 20*time.Second, "a caller in line", func() bool {
		return peer.Sum(bugle.Metrics(t), "bugle_queue_waiting") == 1
	})
	bugle.Signal(syscall.SIGTERM)
	bugle.Await(t, "draining", 20*time.Second)
	bugle.SetState(t, "anna", "ready")
	anna.Await(t, "hung up", 20*time.Second)
	if code := waiting.Wait(t, 20*time.Second); code != 0 {
		t.Errorf("the caller in line: exit %d, %s", code, waiting.Output())
	}
	if code := bugle.Wait(t, 20*time.Second); code != 0 {
		t.Errorf("the node exits with %d, want 0", code)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports))
	waiting := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms")
	peer.Eventually(t, 20*time.Second, "a caller in line", func() bool {
		return peer.Sum(bugle.Metrics(t), "bugle_queue_waiting") == 1
	})
	bugle.Signal(syscall.SIGTERM)
	bugle.Await(t, "draining", 20*time.Second)
	bugle.Signal(syscall.SIGTERM)
	bugle.Wait(t, 20*time.Second)
	if code := waiting.Wait(t, 20*time.Second); code != 0 || !strings.Contains(waiting.Output(), "ended by remote") {
		t.Errorf("the caller in line was left hanging: exit %d, %s", code, waiting.Output())
	}
}

// A node that was killed clears away, at its next start, what it left in Redis.
func TestKilledNodePurgesItsOwn(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports+"redis: {addr: "+peer.StartRedis(t)+"}\n"), "anna")
	peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms")
	peer.Eventually(t, 20*time.Second, "a caller in line", func() bool {
		return peer.Sum(bugle.Metrics(t), "bugle_queue_waiting") == 1
	})
	bugle.Signal(syscall.SIGKILL)
	bugle.Wait(t, 20*time.Second)
	bugle.Restart(t)
	anna := peer.StartPhone(t, "pw-anna", "sip:anna@"+bugle.SIP, "--answer-after", "0s")
	anna.Await(t, "is registered", 20*time.Second)
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms")
	anna.Await(t, "answered", 20*time.Second)
	hangUp(t, caller)
	figures := bugle.Metrics(t)
	if offers := peer.Sum(figures, "bugle_offers_total"); offers != 1 {
		t.Errorf("%v offers, want 1: the dead caller was still in line", offers)
	}
	nothingLeft(t, bugle)
}

func TestKeysBySIPInfo(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports))
	peer.Play(t, "info.xml", bugle.SIP, "helpline")
	peer.Eventually(t, 20*time.Second, "an abandoned visit of claims", func() bool {
		return bugle.Metrics(t)[`bugle_queue_abandoned_total{language="en",queue="claims"}`] == 1
	})
	nothingLeft(t, bugle)
}

// A real Prometheus scrapes the node, and knows its figures.
func TestPrometheusScrapes(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports))
	prometheus := peer.StartPrometheus(t, bugle)
	peer.Eventually(t, 20*time.Second, "prometheus to know the queues", func() bool {
		resp, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(`count(bugle_queue_offered_total)`))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if json.NewDecoder(resp.Body).Decode(&answer) != nil || len(answer.Data.Result) != 1 {
			return false
		}
		return answer.Data.Result[0].Value[1] == "20" // five queues in four languages
	})
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("domian: demo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		say  string
	}{
		{"", 2, "usage"},
		{"help", 0, "serve"},
		{"version", 0, "bugle"},
		{"nonsense", 2, "no subcommand"},
		{"serve -x", 2, "usage"},
		{"serve -c " + filepath.Join(dir, "none.yaml"), 1, "none.yaml"},
		{"check -c " + bad, 1, "bad.yaml:1:1"},
		{"check -c " + bad, 1, `did you mean "domain"?`},
		{"call", 2, "arguments"},
		{"call nobody", 2, "is not sip:"},
		{"call sip:x@127.0.0.1:9;transport=tcp --for 1s", 1, "not answered"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, code := peer.Run(t, "", strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out, c.say) {
				t.Errorf("exit %d, want %d; it says %q, want %q in it", code, c.code, out, c.say)
			}
		})
	}
}
