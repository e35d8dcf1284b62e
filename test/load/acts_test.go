//go:build load

package load

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/test/peer"
)

// actor asks the API for something again and again, each time of an object of
// its own, so that each act can be found in the audit.
type actor struct {
	mu   sync.Mutex
	done []string // objects of what was acknowledged
}

const actObject = "agent act-"

// startActs begins to act. Every other act goes into the database, the rest
// through what steers agents.
func startActs(t *testing.T, api string) *actor {
	a := &actor{}
	ended := make(chan struct{})
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			a.act(client, api, n)
		}
	}()
	t.Cleanup(func() { <-ended; client.CloseIdleConnections() })
	return a
}

func (a *actor) act(client *http.Client, api string, n int) {
	id := fmt.Sprintf("act-%d", n)
	method, path, body, want := http.MethodPost, "/state", `{"state":"ready"}`, http.StatusNotFound // told before it is looked for
	if n%10 == 0 {
		method, path, body, want = http.MethodPut, "", `{"languages":{"en":1}}`, http.StatusNoContent
	}
	r, err := http.NewRequest(method, api+"/api/v1/agents/"+id+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return // the node is dead or was just killed
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = append(a.done, "agent "+id)
}

// acknowledged gives what was acknowledged until now.
func (a *actor) acknowledged() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.done...)
}

// actMark has the node audit an act, and gives its object.
func actMark(t *testing.T, bugle *peer.Bugle) (object string) {
	t.Helper()
	id := fmt.Sprintf("mark-%d", time.Now().UnixNano())
	resp, err := http.Post(bugle.HTTP+"/api/v1/agents/"+id+"/state", "application/json", strings.NewReader(`{"state":"ready"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Fatalf("an act: %s", resp.Status)
	}
	return "agent " + id
}
