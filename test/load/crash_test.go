//go:build load

package load

import (
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/test/peer"
)

// A node under load is killed at 200 random moments. After each restart every
// event of its log is in the database, once; every visit that the kill cut off
// has become a callback; and the audit's chain holds.
func TestKilledTwoHundredTimes(t *testing.T) {
	const kills = 200
	moments := rand.New(rand.NewPCG(1, 2))
	settings, _ := peer.LoadHelpline(t, 1, "node: crash\n")
	bugle := peer.StartBugle(t, settings)
	peer.StartCallers(t, peer.Callers{
		Server: bugle.SIP, Number: "helpline", Port: 5390, Calls: 100_000, Rate: 20,
		Keys: []peer.Press{{Key: '1', Wait: 50 * time.Millisecond}, {Key: '2', Wait: 50 * time.Millisecond}},
		Talk: 500 * time.Millisecond,
	})
	var last state
	for kill := range kills {
		time.Sleep(time.Duration(50+moments.IntN(900)) * time.Millisecond) // the moment is what is tested
		bugle.Signal(syscall.SIGKILL)
		bugle.Wait(t, 5*time.Second)
		cut := readLog(t, bugle)
		bugle.Restart(t)
		last = compare(t, bugle, cut)
		if t.Failed() {
			t.Fatalf("after kill %d", kill+1)
		}
	}
	if last.visits < kills || last.callbacks == 0 {
		t.Errorf("%d visits, %d callbacks: too little happened for the test to mean anything", last.visits, last.callbacks)
	}
	t.Logf("after %d kills: %d events, %d calls, %d visits, %d callbacks", kills, last.events, last.calls, last.visits, last.callbacks)
}

// state is what has happened, by the log as it was after a kill.
type state struct {
	events, calls, visits, open int
	callbacks                   int
	facts                       map[string]event.VisitResult // by visit; "" while it has no end
}

func readLog(t *testing.T, bugle *peer.Bugle) state {
	t.Helper()
	s := state{facts: map[string]event.VisitResult{}}
	next := uint64(1)
	for e, err := range event.Read(filepath.Join(bugle.Dir, "data", "events"), keysOf(t, filepath.Join(bugle.Dir, "data"))) {
		if err != nil { // half a record of the moment of the kill: its Emit never returned
			continue
		}
		if e.Seq != next {
			t.Fatalf("event %d is followed by %d", next-1, e.Seq)
		}
		next++
		s.events++
		switch fact := e.Fact.(type) {
		case event.CallStarted:
			s.calls++
		case event.VisitJoined:
			s.visits++
			s.facts[fact.Visit] = ""
		case event.VisitEnded:
			s.facts[fact.Visit] = fact.Result
		}
	}
	for _, result := range s.facts {
		if result == "" {
			s.open++
		}
	}
	return s
}

// compare waits until the database has all that the log had at the kill.
func compare(t *testing.T, bugle *peer.Bugle, cut state) state {
	t.Helper()
	data := filepath.Join(bugle.Dir, "data")
	db, err := store.Open(t.Context(), store.Options{DataDir: data, Node: "test", Sealer: keysOf(t, data)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var visits map[string]store.Visit
	peer.Eventually(t, 20*time.Second, "every visit cut off to have become a callback", func() bool {
		visits = map[string]store.Visit{}
		for v, err := range db.Visits(t.Context(), time.Time{}, time.Now().Add(time.Hour)) {
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := visits[v.ID]; twice {
				t.Fatalf("visit %s is there twice", v.ID)
			}
			visits[v.ID] = v
		}
		for id := range cut.facts {
			if v, there := visits[id]; !there || v.Result == "" {
				return false
			}
		}
		return true
	})
	owed := map[string]bool{}
	for f, err := range db.FollowUps(t.Context(), time.Time{}, time.Now().Add(24*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if owed[f.Visit] {
			t.Errorf("visit %s is owed two calls", f.Visit)
		}
		owed[f.Visit] = true
	}
	for id, result := range cut.facts {
		switch got := visits[id].Result; {
		case result == "" && (got != event.CallBack || !owed[id]):
			t.Errorf("visit %s was cut off and is %q, owed a call: %t", id, got, owed[id])
		case result != "" && got != result:
			t.Errorf("visit %s ended %q in the log and %q in the database", id, result, got)
		}
	}
	if verified, err := db.Verify(t.Context(), event.Read(filepath.Join(data, "events"), keysOf(t, data))); err != nil || len(verified.Findings) > 0 {
		t.Errorf("the audit: %+v, %v", verified, err)
	}
	cut.callbacks = len(owed)
	return cut
}
