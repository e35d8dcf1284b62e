package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// A node whose PostgreSQL is away at its start takes calls with the agents it knew
// last, also those that were never in its configuration, and tells the database
// all of it once it is there. A node that never had its agents says what it lacks.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	p := peer.StartPostgres(t)
	database := "store: {postgres: \"" + p.Database(t) + "\"}\n"
	bugle := peer.StartBugle(t, peer.DemoConfig(t, ports+database))
	config := filepath.Join(bugle.Dir, "bugle.yaml")
	for _, args := range [][]string{
		{"agents", "put", "mia", "-languages", "en:5", "-skills", "claims:5"}, {"passwd", "mia"},
	} {
		if out, code := peer.Run(t, "pw-mia\n", append(args, "-c", config)...); code != 0 {
			t.Fatalf("bugle %v: exit %d\n%s", args, code, out)
		}
	}
	peer.Eventually(t, 20*time.Second, "mia to be known", func() bool {
		status, _ := api(t, bugle, "", "GET", "/api/v1/agents/mia", "")
		return status == 200
	})
	bugle.Signal(syscall.SIGTERM)
	bugle.Wait(t, 20*time.Second)
	p.Crash()

	bugle.Restart(t)
	mia := peer.StartPhone(t, "pw-mia", "sip:mia@"+bugle.SIP, "--answer-after", "0s", "--talk", "1s")
	mia.Await(t, "is registered", 20*time.Second)
	if out, code := peer.Run(t, "", "call", "sip:helpline@"+bugle.SIP, "--press", "1,1", "--every", "300ms"); code != 0 {
		t.Fatalf("a call without the database: exit %d\n%s", code, out)
	}
	if status, _ := api(t, bugle, "", "PUT", "/api/v1/agents/ben", `{"languages":{"en":1}}`); status != 503 {
		t.Errorf("a change of an agent without the database: %d, want 503", status)
	}

	// A node that starts for the first time, meanwhile.
	first := t.TempDir()
	free := func() string { return fmt.Sprintf("127.0.0.1:%d", peer.FreePort(t)) }
	text := strings.NewReplacer("SIP_ADDR", free(), "HTTP_ADDR", free(), "DATA_DIR", filepath.Join(first, "data")).
		Replace(peer.DemoConfig(t, ports+database))
	path := filepath.Join(first, "bugle.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := peer.Run(t, "", "vault", "init", "-c", path); code != 0 {
		t.Fatalf("bugle vault init: exit %d\n%s", code, out)
	}
	began := time.Now()
	out, code := peer.Run(t, "", "serve", "-c", path)
	if code != 1 || !strings.Contains(out, "its first start needs the database") || time.Since(began) > 30*time.Second {
		t.Errorf("the first start, without a database: exit %d after %v\n%s", code, time.Since(began), out)
	}

	p.Again(t)
	peer.Eventually(t, 30*time.Second, "the database to have all", func() bool {
		return bugle.Metrics(t)[`bugle_events_behind{reader="history"}`] == 0
	})
	peer.Eventually(t, 20*time.Second, "the call to be found", func() bool {
		_, body := api(t, bugle, "", "GET", "/api/v1/calls?agent=mia", "")
		return strings.Contains(body, `"caller_hung_up"`) || strings.Contains(body, `"agent_hung_up"`)
	})
	if status, body := api(t, bugle, "", "DELETE", "/api/v1/agents/mia", ""); status != 204 {
		t.Errorf("a change with the database: %d %s", status, body)
	}
}
