package e2e

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// A running node takes up who is added, who learns something and who leaves, made
// by a tool beside it or over the API: with an agent's own phone, a talk under way
// and a user's token.
func TestAgentsChangeWhileTheNodeRuns(t *testing.T) {
	t.Parallel()
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports))
	config := filepath.Join(bugle.Dir, "bugle.yaml")
	run := func(stdin string, args ...string) string {
		t.Helper()
		out, code := peer.Run(t, stdin, append(args, "-c", config)...)
		if code != 0 {
			t.Fatalf("bugle %v: exit %d\n%s", args, code, out)
		}
		return out
	}
	run("", "agents", "put", "mia", "-name", "Mia", "-languages", "en:5", "-skills", "claims:1")
	run("pw-mia\n", "passwd", "mia")
	run("", "users", "put", "max", "-roles", "admin")
	admin := strings.TrimSpace(run("", "users", "token", "max"))
	run("", "users", "put", "sue", "-roles", "supervisor")
	supervisor := strings.TrimSpace(run("", "users", "token", "sue"))

	known := func(id string) bool {
		status, _ := api(t, bugle, "", "GET", "/api/v1/agents/"+id, "")
		return status == http.StatusOK
	}
	peer.Eventually(t, 20*time.Second, "mia to be known", func() bool { return known("mia") })
	mia := peer.StartPhone(t, "pw-mia", "sip:mia@"+bugle.SIP, "--answer-after", "0s")
	mia.Await(t, "is registered", 20*time.Second)
	caller := peer.Start(t, "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms")
	mia.Await(t, "answered", 20*time.Second)

	// While she talks she learns Spanish, and then leaves.
	spanish := `{"name":"Mia","languages":{"es":5},"skills":{"claims":1}}`
	for token, want := range map[string]int{supervisor: 403, "bugle_wrong": 401, admin: 204} {
		if status, body := api(t, bugle, token, "PUT", "/api/v1/agents/mia", spanish); status != want {
			t.Errorf("PUT: %d %s, want %d", status, body, want)
		}
	}
	peer.Eventually(t, 20*time.Second, "her Spanish to be known", func() bool {
		_, body := api(t, bugle, supervisor, "GET", "/api/v1/agents/mia", "")
		return strings.Contains(body, `"languages":{"es":5}`) && strings.Contains(body, `"state":"talking"`)
	})
	if status, body := api(t, bugle, admin, "DELETE", "/api/v1/agents/mia", ""); status != http.StatusNoContent {
		t.Errorf("DELETE: %d %s", status, body)
	}
	peer.Eventually(t, 20*time.Second, "mia to be forgotten", func() bool { return !known("mia") })
	if bugle.Metrics(t)[`bugle_agents{state="talking"}`] != 1 {
		t.Error("her talk was cut off")
	}
	hangUp(t, caller)
	peer.Eventually(t, 20*time.Second, "mia to be offline", func() bool {
		m := bugle.Metrics(t)
		return m[`bugle_agents{state="talking"}`]+m[`bugle_agents{state="wrapup"}`]+m[`bugle_agents{state="ready"}`] == 0
	})
	if out, code := peer.Run(t, "pw-mia\n", "agent", "sip:mia@"+bugle.SIP); code == 0 {
		t.Errorf("mia can register after she has left: %s", out)
	}
	if out := run("", "audit", "verify"); !strings.Contains(out, ": well") {
		t.Errorf("the audit: %s", out)
	}
}

func api(t *testing.T, bugle *peer.Bugle, token, method, path, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest(method, bugle.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
