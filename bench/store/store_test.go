//go:build bench

// Package store measures what lasts: how long a call waits for the event log,
// whether the history keeps up with a busy node, what that costs, and how long a
// report on a day takes, with both databases.
//
// It prints one line a figure; bench/README.md says how to read them.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/bench/meter"
	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/test/peer"
	"github.com/bugle-voice/bugle/vault"
)

const (
	rate   = 500 // events a second
	length = 20 * time.Second
	flood  = 20_000  // events at once, as after an outage
	day    = 100_000 // calls
	cores  = 2

	reports = 3 // of which the median counts
)

var queues = map[string]config.Queue{"claims": {Class: "routine"}, "eligibility": {Class: "routine"}, "urgent": {Class: "clinical"}}

func TestStore(t *testing.T) {
	limit := writeLimit(t)
	bench.Figure("write_p99", meter.Millis(limit), "ms", meter.Informs)
	t.Run("sqlite", func(t *testing.T) { measure(t, "sqlite", config.Store{}, "", nil) })
	t.Run("postgres", func(t *testing.T) {
		server := peer.StartPostgres(t, peer.Durable...)
		address := server.Database(t)
		measure(t, "postgres", config.Store{Postgres: address}, address, server.PIDs)
	})
}

const bench meter.Bench = "store"

// measure runs it all with one database; pids gives the processes of its
// server, if it has one.
func measure(t *testing.T, name string, c config.Store, address string, pids func() []int) {
	n := open(t, c)
	began, before := time.Now(), cpu(t, pids)
	emits, behind := n.sustain(t)
	share := (cpu(t, pids) - before).Seconds() / time.Since(began).Seconds() / cores
	bench.Figure(name+"_emit_p99", meter.Millis(percentile(emits, 99)), "ms", meter.AtMost(1))
	bench.Figure(name+"_emit_p999", meter.Millis(percentile(emits, 99.9)), "ms", meter.Informs)
	bench.Figure(name+"_behind_most", behind.Seconds(), "s", meter.AtMost(1))
	bench.Figure(name+"_cpu_share", 100*share, "%", meter.AtMost(50))
	bench.Figure(name+"_catch_up", n.catchUp(t), "events/s", meter.AtLeast(rate))
	n.fillDay(t, address)
	for _, by := range [][]report.Dimension{nil, {report.ByQueue, report.ByLanguage}, {report.ByAgent}} {
		what := "_report_day"
		if len(by) > 0 {
			what += "_by_" + string(by[0])
		}
		before := cpu(t, pids)
		bench.Figure(name+what, n.report(t, by).Seconds(), "s", meter.AtMost(1))
		bench.Figure(name+what+"_cpu", (cpu(t, pids)-before).Seconds()/reports, "s", meter.Informs)
	}
}

// node is what of a node keeps its history.
type node struct {
	log   *event.Log
	store *store.Store
	vault *vault.Vault
	dir   string
	calls int
	queue []told // facts to be emitted, in order
}

type told struct {
	call string
	fact event.Fact
}

func open(t *testing.T, c config.Store) *node {
	t.Helper()
	n := &node{dir: t.TempDir()}
	quiet := slog.New(slog.DiscardHandler)
	err := vault.Init(filepath.Join(n.dir, vault.KeysetFile))
	if err == nil {
		n.vault, err = vault.Open(t.Context(), config.Vault{}, n.dir)
	}
	if err == nil {
		n.log, err = event.Open(event.Options{Dir: filepath.Join(n.dir, "events"), Node: "n1", Seal: n.vault, ReserveBytes: 32 << 20, Log: quiet})
	}
	if err == nil {
		n.store, err = store.Open(t.Context(), store.Options{Config: c, DataDir: n.dir, Node: "n1", Sealer: n.vault, Log: quiet})
	}
	if err != nil {
		t.Fatal(err)
	}
	reader, err := n.log.Reader("history")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.store.History(queues).Run(ctx, store.Origin{Node: "n1", Log: n.log.ID()}, reader) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		reader.Close()
		if err := n.log.Close(); err != nil {
			t.Error(err)
		}
		if err := n.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// next gives the next fact of a node with ten calls at a time, each of 18 facts.
func (n *node) next(t *testing.T) told {
	if len(n.queue) == 0 {
		var calls [10][]told
		for i := range calls {
			calls[i] = n.call(t)
		}
		for at := range calls[0] {
			for _, c := range calls {
				n.queue = append(n.queue, c[at])
			}
		}
	}
	f := n.queue[0]
	n.queue = n.queue[1:]
	return f
}

// call is a call that is answered, as a node tells of it.
func (n *node) call(t *testing.T) []told {
	n.calls++
	id := fmt.Sprintf("%016x", n.calls)
	number := fmt.Sprintf("+4917012%05d", n.calls%20_000)
	sealed, err := n.vault.Seal([]byte(number), store.CallerPlace(id))
	if err != nil {
		t.Fatal(err)
	}
	visit, agent := id+"-1", fmt.Sprintf("agent%d", n.calls%200)
	heard := event.Travel{Loss: 0.001, Jitter: 3 * time.Millisecond, MOS: 4.3}
	var all []told
	for _, f := range []event.Fact{
		event.CallStarted{Number: "helpline", Caller: "…" + number[len(number)-2:], Trunk: "carrier", CallerHash: n.vault.Hash(number), CallerSealed: sealed},
		event.CallAnswered{},
		event.StepEntered{Flow: "main", Step: "language", Language: "en"},
		event.StepEntered{Flow: "main", Step: "subject", Language: "es"},
		event.StepEntered{Flow: "main", Step: "wait", Language: "es"},
		event.VisitJoined{Visit: visit, Queue: "claims", Language: "es", Requires: map[string]int{"claims": 1, "es": 1}},
		event.AgentChanged{Agent: agent, From: "ready", To: "reserved", After: time.Minute},
		event.OfferMade{Visit: visit, Queue: "claims", Agent: agent, Why: "longest ready of 3 with claims≥1, es≥1"},
		event.OfferEnded{Visit: visit, Queue: "claims", Agent: agent, Result: event.OfferAnswered, Rang: 3 * time.Second},
		event.VisitEnded{Visit: visit, Queue: "claims", Language: "es", Result: event.Answered, Agent: agent, Waited: 20 * time.Second},
		event.AgentChanged{Agent: agent, From: "reserved", To: "talking", After: 3 * time.Second},
		event.TalkEnded{Visit: visit, Queue: "claims", Language: "es", Agent: agent, Talk: 4 * time.Minute},
		event.AgentChanged{Agent: agent, From: "talking", To: "wrapup", After: 4 * time.Minute},
		event.LegEnded{Side: "agent", Agent: agent, Codec: "PCMU", PacketsIn: 12_000, PacketsOut: 12_000, Heard: heard, Sent: heard, RoundTrip: 20 * time.Millisecond},
		event.LegEnded{Side: "caller", Codec: "PCMU", PacketsIn: 15_000, PacketsOut: 15_000, Heard: heard},
		event.CallEnded{Class: "completed", Reason: "caller_hung_up", Duration: 5 * time.Minute},
		event.WrapUpEnded{Visit: visit, Queue: "claims", Agent: agent, Took: 30 * time.Second},
		event.AgentChanged{Agent: agent, From: "wrapup", To: "ready", After: 30 * time.Second},
	} {
		all = append(all, told{id, f})
	}
	return all
}

// sustain emits at the rate for a while. It gives how long each Emit took and the
// longest that the history was behind the log.
func (n *node) sustain(t *testing.T) (emits []time.Duration, behind time.Duration) {
	emits = make([]time.Duration, 0, int(length.Seconds())*rate)
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond) // as phones and keys come: a few together
	defer tick.Stop()
	since := make(map[uint64]time.Time) // when the last event of each second was written
	for now := began; now.Sub(began) < length; now = <-tick.C {
		for len(emits) < int(now.Sub(began).Seconds()*rate) {
			f := n.next(t)
			before := time.Now()
			n.log.Emit(f.call, f.fact)
			emits = append(emits, time.Since(before))
		}
		if len(emits)/(rate/2) > len(since) {
			since[n.log.Last()] = now
			behind = max(behind, n.behind(t, since))
		}
	}
	n.await(t)
	return emits, max(behind, time.Since(began)-length)
}

// behind gives the age of the oldest mark that the history has not reached.
func (n *node) behind(t *testing.T, marks map[uint64]time.Time) (age time.Duration) {
	has, err := n.store.Offset(t.Context(), n.log.ID(), "history")
	if err != nil {
		t.Fatal(err)
	}
	for seq, at := range marks {
		if seq > has {
			age = max(age, time.Since(at))
		}
	}
	return age
}

// await waits until the history has everything.
func (n *node) await(t *testing.T) {
	t.Helper()
	peer.Eventually(t, 2*time.Minute, "the history to have all events", func() bool {
		has, err := n.store.Offset(t.Context(), n.log.ID(), "history")
		if err != nil {
			t.Fatal(err)
		}
		return has >= n.log.Last()
	})
}

// catchUp gives how many events a second the history takes in when there are
// many at once.
func (n *node) catchUp(t *testing.T) float64 {
	began := time.Now()
	for range flood {
		f := n.next(t)
		n.log.Emit(f.call, f.fact)
	}
	n.await(t)
	took := time.Since(began)
	visits := 0
	for _, err := range n.store.Visits(t.Context(), began.Add(-time.Hour), began.Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		visits++
	}
	if visits > n.calls || visits < n.calls-10 { // ten calls are told at a time
		t.Errorf("the database has %d visits of %d", visits, n.calls)
	}
	return flood / took.Seconds()
}

// theDay is long before what else the database holds.
var theDay = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// fillDay writes a day of calls into the tables: nothing but the database could
// do so in the time. Calls come over 24 hours, to three queues in four languages; 200
// agents answer nine of ten, with four changes of their states each time, and one
// caller in five says how it was.
func (n *node) fillDay(t *testing.T, address string) {
	t.Helper()
	driver := "pgx"
	if address == "" {
		driver, address = "sqlite", filepath.Join(n.dir, "bugle.db")
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	numbers := fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d), `, day-1)
	calls := fmt.Sprintf(`c AS (SELECT i, 'call' || i AS id, %d + i * %d + i * 7919 %% 864 AS at,
		CASE i %% 3 WHEN 0 THEN 'claims' WHEN 1 THEN 'eligibility' ELSE 'urgent' END AS queue,
		CASE i %% 4 WHEN 0 THEN 'en' WHEN 1 THEN 'es' WHEN 2 THEN 'de' ELSE 'it' END AS language,
		'agent' || i %% 200 AS agent, i %% 10 > 0 AS answered FROM n) `, theDay.UnixMilli(), 86_400_000/day)
	for _, insert := range []string{
		`INSERT INTO calls (id, node, number, trunk, caller, caller_hash, flow, step, language, started_at, answered_at, ended_at, class, reason, duration_ns)
			` + numbers + calls + `SELECT id, 'n1', 'helpline', 'carrier', '…42', 'abcdefghijklmnopqrstuv' || i % 70000, 'main', 'wait', language,
			at - 15000, at - 15000, at + 300000, 'completed', 'caller_hung_up', 315000000000 FROM c`,
		`INSERT INTO visits (id, call_id, node, number, caller_hash, queue, language, class, requires, joined_at, ended_at, result, waited_ns,
				agent, tier, talk_ended_at, talk_ns, hold_ns, wrapped_up_at, wrap_up_ns)
			` + numbers + calls + `SELECT id || '-1', id, 'n1', 'helpline', 'abcdefghijklmnopqrstuv' || i % 70000, queue, language,
			CASE queue WHEN 'urgent' THEN 'clinical' ELSE 'routine' END, '{"claims":1}', at, at + 20000,
			CASE WHEN answered THEN 'answered' ELSE 'abandoned' END, 20000000000, CASE WHEN answered THEN agent ELSE '' END,
			CASE WHEN answered THEN 1 ELSE 0 END, CASE WHEN answered THEN at + 300000 END, 280000000000, 0,
			CASE WHEN answered THEN at + 330000 END, 30000000000 FROM c`,
		`INSERT INTO agent_states (log, seq, at, agent, state, reason, previous, after_ns)
			` + numbers + calls + `, s (j, state, previous) AS (SELECT 0, 'talking', 'ready' UNION ALL SELECT 1, 'wrapup', 'talking' UNION ALL SELECT 2, 'ready', 'wrapup'
				UNION ALL SELECT 3, 'reserved', 'ready')
			SELECT 'day', 4 * i + j, at + 10000 * (j + 2), agent, state, '', previous, 10000000000 FROM c, s WHERE answered`,
		// As the history sums them up; to whole states, which is the same number of rows.
		`INSERT INTO agent_time (quarter, agent, state, spent_ns)
			SELECT at / 900000 * 900000, agent, previous, SUM(after_ns) FROM agent_states WHERE log = 'day' GROUP BY 1, 2, 3`,
		`INSERT INTO surveys (call_id, visit, question, answer, at)
			` + numbers + calls + `SELECT id, id || '-1', 'csat', 1 + i % 5, at + 310000 FROM c WHERE answered AND i % 5 = 1`,
	} {
		if _, err := db.ExecContext(t.Context(), insert); err != nil {
			t.Fatalf("%s: %v", insert, err)
		}
	}
}

// report makes the report that `bugle report -interval 15m` does, and gives the
// median.
func (n *node) report(t *testing.T, by []report.Dimension) time.Duration {
	t.Helper()
	r := report.Reporter{Source: n.store, Queues: queues}
	var took []time.Duration
	for range reports {
		began := time.Now()
		made, err := r.Report(t.Context(), report.Query{From: theDay, To: theDay.AddDate(0, 0, 1), Interval: report.Quarter, By: by})
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		if made.Total.Offered != day {
			t.Fatalf("%d visits were offered, want %d", made.Total.Offered, day)
		}
	}
	slices.Sort(took)
	return took[reports/2]
}

// writeLimit gives the 99th percentile of what an Emit can't do without: a write
// of about an event's length at the end of a file.
func writeLimit(t *testing.T) time.Duration {
	f, err := os.Create(filepath.Join(t.TempDir(), "limit"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 300)
	var took []time.Duration
	for range 20_000 {
		before := time.Now()
		if _, err := f.Write(record); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(before))
	}
	return percentile(took, 99)
}

func percentile(all []time.Duration, p float64) time.Duration {
	slices.Sort(all)
	return all[int(float64(len(all)-1)*p/100)]
}

// cpu gives user and system time of this process so far, and of a server's.
func cpu(t *testing.T, pids func() []int) time.Duration {
	t.Helper()
	total := meter.OwnCPU(t)
	if pids != nil {
		for _, pid := range pids() {
			total += meter.CPU(pid)
		}
	}
	return total
}
