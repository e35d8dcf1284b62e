//go:build load

package load

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/test/peer"
	"github.com/bugle-voice/bugle/vault"
	"github.com/google/go-cmp/cmp"
)

var (
	outage = flag.Duration("outage", time.Minute, "for how long the database is away")
	rate   = flag.Int("rate", 20, "calls a second")
)

const (
	faultAgents = 90
	awayAgents  = 260       // callers stay for 8 s, at 20 a second
	mostMemory  = 160 << 20 // of a node with all its calls, however much it has to remember
)

// answered is a call straight into the line, and then so long with an agent, the
// moment until he answers included. There are no keys in it: on a machine with other
// work a few of sipp's in a hundred thousand are lost.
func answered(server string, calls int, talk time.Duration) peer.Callers {
	return peer.Callers{Server: server, Number: "straight", Port: 5490, Calls: calls, Rate: float64(*rate), Talk: talk}
}

// The database goes away in mid-load: it crashes, losing what it had confirmed
// in its last moment; it hangs, for longer than a try of the history lasts; or it
// is slow again and again. No call is affected, and afterwards it holds what the
// event log holds.
func TestDatabaseAwayUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name string
		away func(p *peer.Postgres, t *testing.T) // does it, until the database is back
		long time.Duration                        // how long that takes
		most float64                              // events that wait for it then, at least
	}{
		{"crashed", func(p *peer.Postgres, t *testing.T) {
			p.Crash()
			time.Sleep(*outage)
			p.Again(t)
		}, *outage, 5 * float64(*rate) * outage.Seconds()},
		{"hanging", func(p *peer.Postgres, _ *testing.T) {
			p.Pause()
			time.Sleep(40 * time.Second)
			p.Resume()
		}, 40 * time.Second, 200 * float64(*rate)},
		{"slow", func(p *peer.Postgres, _ *testing.T) {
			for range 8 {
				p.Pause()
				time.Sleep(3 * time.Second)
				p.Resume()
				time.Sleep(time.Second)
			}
		}, 32 * time.Second, 15 * float64(*rate)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := peer.StartPostgres(t)
			database := config.Store{Postgres: p.Database(t)}
			settings, agents := peer.LoadHelpline(t, awayAgents, "store: {postgres: \""+database.Postgres+"\"}\n")
			bugle := peer.StartBugle(t, settings, agents...)
			peer.StartAgents(t, bugle.SIP, 6400, agents...)
			awaitReady(t, bugle, len(agents))

			calls := int((c.long + 20*time.Second).Seconds() * float64(*rate))
			// In an hour a machine may stand still for four seconds: nobody hangs up for that.
			callers := peer.StartCallers(t, answered(bugle.SIP, calls, 8*time.Second))
			time.Sleep(6 * time.Second) // in mid-load
			back := make(chan struct{})
			go func() {
				defer close(back)
				c.away(p, t)
			}()
			seen := watch(t, bugle, back)
			if !t.Failed() && seen.behind < c.most {
				t.Errorf("at most %v events waited for the database: it was not away", seen.behind)
			}
			got := callers.Done(t, c.long+time.Minute)
			if got.Succeeded != calls || got.Failed != 0 {
				t.Errorf("sipp counted %+v, want %d succeeded", got, calls)
			}
			awaitReady(t, bugle, len(agents))
			drained := awaitHistory(t, bugle)
			want, told := fromLog(t, filepath.Join(bugle.Dir, "data"))
			if diff := cmp.Diff(want, fromStore(t, filepath.Join(bugle.Dir, "data"), database)); diff != "" {
				t.Errorf("the event log has (-), the database has (+):\n%.4000s", diff)
			}
			if len(want.Calls) != calls || len(want.Talks) != calls {
				t.Errorf("the event log has %d calls and %d talks, want %d", len(want.Calls), len(want.Talks), calls)
			}
			t.Logf("%d calls, %d events; %v waited at most, in %d MB; all in the database %v after the last call",
				calls, told, seen.behind, int(seen.memory)>>20, drained.Round(100*time.Millisecond))
		})
	}
}

// The disk with data_dir on it is full in mid-load. Talks go on to their end, new
// calls get 503, and when there is room again calls are taken again. What was
// told meanwhile was kept in the reserve, and the database gets it.
func TestDiskFullUnderLoad(t *testing.T) {
	const talks = 60
	disk := t.TempDir()
	if err := syscall.Mount("bugle-test", disk, "tmpfs", 0, "size=32m"); err != nil {
		t.Fatalf("mount a small disk: %v: this test must run as root and be allowed to mount a tmpfs", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	settings, agents := peer.LoadHelpline(t, faultAgents, "events: {reserve_bytes: 4194304, segment_bytes: 1048576}\n")
	data := filepath.Join(disk, "data")
	settings = strings.Replace(settings, "DATA_DIR", data, 1)
	bugle := peer.StartBugle(t, settings, agents...)
	peer.StartAgents(t, bugle.SIP, 6400, agents...)
	awaitReady(t, bugle, len(agents))

	talking := peer.StartCallers(t, answered(bugle.SIP, talks, 20*time.Second))
	peer.Eventually(t, 15*time.Second, "all callers to talk", func() bool {
		return bugle.Metrics(t)[`bugle_agents{state="talking"}`] == talks
	})
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	idle := readyAgent(t, bugle)
	states := []string{"paused", "ready"}
	for i := 0; bugle.Metrics(t)["bugle_events_full"] == 0; i++ { // the last page of the log takes a few events yet
		if i == 200 {
			t.Fatal("the disk is full and the node takes calls")
		}
		bugle.SetState(t, idle, states[i%2])
	}
	bugle.SetState(t, idle, "ready")
	if bugle.Ready() {
		t.Error("the disk is full and the node says that it is ready")
	}
	peer.Play(t, "refused.xml", bugle.SIP, "helpline")
	const refused = 100
	again := answered(bugle.SIP, refused, time.Second)
	again.Port += 10
	if got := peer.StartCallers(t, again).Done(t, time.Minute); got.Failed != refused {
		t.Errorf("sipp counted %+v while the disk was full, want %d refused", got, refused)
	}
	if got := talking.Done(t, time.Minute); got.Succeeded != talks || got.Failed != 0 {
		t.Errorf("sipp counted %+v of the talks during which the disk was full, want %d succeeded", got, talks)
	}
	awaitReady(t, bugle, len(agents))

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	peer.Eventually(t, 20*time.Second, "the node to take calls again", bugle.Ready)
	const later = 200
	if got := peer.StartCallers(t, answered(bugle.SIP, later, time.Second)).Done(t, time.Minute); got.Succeeded != later {
		t.Errorf("sipp counted %+v with room again, want %d succeeded", got, later)
	}
	awaitReady(t, bugle, len(agents))
	awaitHistory(t, bugle)
	if lost := bugle.Metrics(t)["bugle_events_lost_total"]; lost != 0 {
		t.Errorf("%v events were lost", lost)
	}
	want, _ := fromLog(t, data)
	if diff := cmp.Diff(want, fromStore(t, data, config.Store{})); diff != "" {
		t.Errorf("the event log has (-), the database has (+):\n%.4000s", diff)
	}
	if len(want.Calls) != talks+later || len(want.Talks) != talks+later {
		t.Errorf("the event log has %d calls and %d talks, want %d", len(want.Calls), len(want.Talks), talks+later)
	}
}

// readyAgent names an agent whom nobody talks to.
func readyAgent(t *testing.T, bugle *peer.Bugle) string {
	t.Helper()
	resp, err := http.Get(bugle.HTTP + "/api/v1/agents")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Agents []struct{ ID, State string } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, a := range list.Agents {
		if a.State == "ready" {
			return a.ID
		}
	}
	t.Fatal("no agent is ready")
	return ""
}

// fill writes a file until the disk takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Fatal(err)
	}
}

// most is the most that was seen of what could grow.
type most struct{ behind, memory float64 }

const behindSeries = `bugle_events_behind{reader="history"}`

// watch looks at a node each second until something is over: it must be ready to
// take calls all the time, and stay small.
func watch(t *testing.T, bugle *peer.Bugle, over <-chan struct{}) (seen most) {
	t.Helper()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-over:
			return seen
		case <-look.C:
		}
		figures := bugle.Metrics(t)
		seen.behind = max(seen.behind, figures[behindSeries])
		seen.memory = max(seen.memory, figures["process_resident_memory_bytes"])
		if !bugle.Ready() {
			t.Errorf("the node says that it can't take calls: %s", bugle.Unready())
		}
		if seen.memory > mostMemory {
			t.Errorf("the node has grown to %v bytes", seen.memory)
		}
		if t.Failed() {
			<-over
			return seen
		}
	}
}

// awaitHistory waits until the history has all that the log has, and tells how
// long that took.
func awaitHistory(t *testing.T, bugle *peer.Bugle) time.Duration {
	t.Helper()
	began := time.Now()
	peer.Eventually(t, 40*time.Second+*outage, "the history to have all events", func() bool { return bugle.Metrics(t)[behindSeries] == 0 })
	return time.Since(began)
}

// history is what has happened, by the log or by the database.
type history struct {
	Calls  map[string]string            // how each call ended
	Visits map[string]event.VisitResult // how each visit ended
	Talks  map[string]time.Duration     // how long each visit's talk was
	Offers map[string]event.OfferResult // how each offer ended, by visit and agent
	States map[string]int               // how often each agent came into each state
}

func newHistory() history {
	return history{map[string]string{}, map[string]event.VisitResult{}, map[string]time.Duration{}, map[string]event.OfferResult{}, map[string]int{}}
}

// fromLog reads the event log of a node that runs, and gives how many events
// there are too. None may be missing.
func fromLog(t *testing.T, data string) (h history, events int) {
	t.Helper()
	h = newHistory()
	next := uint64(1)
	for e, err := range event.Read(filepath.Join(data, "events"), keysOf(t, data)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != next {
			t.Fatalf("event %d is followed by %d", next-1, e.Seq)
		}
		next++
		events++
		switch fact := e.Fact.(type) {
		case event.FactsLost:
			t.Errorf("%d facts were lost", fact.Count)
		case event.CallStarted:
			h.Calls[e.Call] = ""
		case event.CallEnded:
			h.Calls[e.Call] = fact.Reason
		case event.VisitJoined:
			h.Visits[fact.Visit] = ""
		case event.VisitEnded:
			h.Visits[fact.Visit] = fact.Result
		case event.TalkEnded:
			h.Talks[fact.Visit] = fact.Talk
		case event.OfferEnded:
			h.Offers[fact.Visit+" "+fact.Agent] = fact.Result
		case event.AgentChanged:
			h.States[fact.Agent+" "+fact.To]++
		}
	}
	return h, events
}

// fromStore reads the same from a node's database. Nothing may be there twice.
func fromStore(t *testing.T, data string, c config.Store) history {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Config: c, DataDir: data, Node: "test", Sealer: keysOf(t, data)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h := newHistory()
	until := time.Now().Add(time.Hour)
	for search := (store.CallSearch{Limit: 1000}); ; {
		page, err := db.Calls(t.Context(), search)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Calls {
			h.Calls[c.ID] = c.Reason
		}
		if search.After = page.Next; page.Next == "" {
			break
		}
	}
	for v, err := range db.Visits(t.Context(), time.Time{}, until) {
		if err != nil {
			t.Fatal(err)
		}
		h.Visits[v.ID] = v.Result
		if !v.TalkEnded.IsZero() {
			h.Talks[v.ID] = v.Talk
		}
	}
	for o, err := range db.Offers(t.Context(), time.Time{}, until) {
		if err != nil {
			t.Fatal(err)
		}
		offer := o.Visit + " " + o.Agent
		if _, twice := h.Offers[offer]; twice {
			t.Errorf("offer %s is there twice", offer)
		}
		h.Offers[offer] = o.Result
	}
	for s, err := range db.StateChanges(t.Context(), time.Time{}, until) {
		if err != nil {
			t.Fatal(err)
		}
		h.States[s.Agent+" "+s.State]++
	}
	return h
}

func keysOf(t *testing.T, data string) *vault.Vault {
	t.Helper()
	v, err := vault.Inspect(t.Context(), config.Vault{}, data)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
