//go:build load

package load

import (
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
	done []string // the names of what was acknowledged
}

// What begins the names of acts.
const (
	madeAgent   = "agent act-"
	askedCaller = "calls caller_hash="
)

// actName names an act by what the audit says of it.
func actName(object, detail string) string {
	if object == "calls" {
		return object + " " + detail
	}
	return object
}

// isAct tells whether a name is that of an act of an actor's.
func isAct(name string) bool {
	return strings.HasPrefix(name, madeAgent) || strings.HasPrefix(name, askedCaller)
}

// startActs begins to act. Each tenth act puts an agent into the database, the
// others look for a caller.
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
	name := fmt.Sprintf("%s%032x", askedCaller, n)
	method, path, body, want := http.MethodGet, "calls?limit=1&"+strings.TrimPrefix(name, "calls "), "", http.StatusOK
	if n%10 == 0 {
		name = fmt.Sprintf("%s%d", madeAgent, n)
		method, path, body, want = http.MethodPut, "agents/"+strings.TrimPrefix(name, "agent "), `{"languages":{"en":1}}`, http.StatusNoContent
	}
	r, err := http.NewRequest(method, api+"/api/v1/"+path, strings.NewReader(body))
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
	a.done = append(a.done, name)
}

// acknowledged gives what was acknowledged until now.
func (a *actor) acknowledged() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.done...)
}

// actMark has the node audit an act, and gives its name.
func actMark(t *testing.T, bugle *peer.Bugle) string {
	t.Helper()
	name := fmt.Sprintf("%sf%031x", askedCaller, time.Now().UnixNano())
	resp, err := http.Get(bugle.HTTP + "/api/v1/calls?limit=1&" + strings.TrimPrefix(name, "calls "))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("an act: %s", resp.Status)
	}
	return name
}
