package store

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/test/peer"
	"github.com/google/go-cmp/cmp"
)

var _ Source = (*event.Reader)(nil)

// tape is a log in memory, whose disk fails now and then.
type tape struct {
	mu        sync.Mutex
	events    []event.Event
	next      int
	committed uint64
	failures  int
	reached   chan struct{} // closed when all is committed
}

func newTape(events []event.Event, failures int) *tape {
	return &tape{events: events, failures: failures, reached: make(chan struct{})}
}

var errDisk = errors.New("the disk failed")

func (l *tape) Seek(seq uint64) error {
	if seq > uint64(len(l.events)) {
		return errors.New("behind the end")
	}
	l.next = int(seq)
	return nil
}

func (l *tape) Next(ctx context.Context, limit int) ([]event.Event, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errDisk
	}
	if l.next == len(l.events) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	from := l.next
	l.next = min(len(l.events), from+min(limit, 37))
	return l.events[from:l.next], nil
}

func (l *tape) Commit(seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = seq
	if seq == uint64(len(l.events)) {
		close(l.reached)
	}
	return nil
}

// quick makes a history that does not wait long.
func quick(s *Store) *History {
	h := s.History(testQueues)
	h.pace, h.retry, h.limit = time.Millisecond, time.Millisecond, 300*time.Millisecond
	return h
}

// run runs a history until its log, read as it is or as another source, has been
// taken in or the test gives up.
func run(t *testing.T, h *History, l *tape, as ...Source) {
	t.Helper()
	source := append(as, l)[0]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, fromN1, source) }()
	select {
	case <-l.reached:
	case <-time.After(20 * time.Second):
		t.Error("the log was not taken in")
	}
	cancel()
	must(t, <-done)
}

func TestRunGoesOnWhereItWas(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		all := day(rand.New(rand.NewPCG(3, 4)), 30, d.sealer).events
		once := d.open(t, "n1")
		must(t, once.History(testQueues).Apply(t.Context(), fromN1, all))
		want := dump(t, once)
		d = d.another(t)
		s := d.open(t, "n1")
		run(t, quick(s), newTape(all[:len(all)/3], 2))
		run(t, quick(s), newTape(all, 1))
		if diff := cmp.Diff(want, dump(t, s)); diff != "" {
			t.Error(diff)
		}
		// A log that ends before what was taken in is a copy from before.
		if err := quick(s).Run(t.Context(), fromN1, newTape(all[:5], 0)); err == nil {
			t.Error("an older copy of the log was taken for it")
		}
	})
}

// The database goes away while the history runs, in two ways: it refuses what
// is written, or it answers nothing at all. Nothing is lost or taken in twice.
func TestRunOutlivesTheDatabase(t *testing.T) {
	away := map[string]func(t *testing.T, s *Store) (back func()){
		"refuses": func(t *testing.T, s *Store) func() {
			_, err := s.write.Exec(`ALTER TABLE calls RENAME TO gone`)
			must(t, err)
			return func() {
				_, err := s.write.Exec(`ALTER TABLE gone RENAME TO calls`)
				must(t, err)
			}
		},
		"hangs": func(t *testing.T, _ *Store) func() {
			server.Pause() // no other test runs meanwhile
			t.Cleanup(server.Resume)
			return server.Resume
		},
	}
	for name, leave := range away {
		t.Run(name, func(t *testing.T) {
			d := onPostgres(t)
			s := d.open(t, "n1")
			all := day(rand.New(rand.NewPCG(5, 6)), 20, d.sealer).events
			back := leave(t, s)
			failed := make(chan struct{})
			var once sync.Once
			s.log = slog.New(onError{slog.DiscardHandler, func() { once.Do(func() { close(failed) }) }})
			go func() {
				<-failed
				back()
			}()
			run(t, quick(s), newTape(slices.Clone(all), 0))
			page, err := s.Calls(t.Context(), CallSearch{})
			must(t, err)
			if len(page.Calls) != 20 {
				t.Errorf("got %d calls", len(page.Calls))
			}
		})
	}
}

// A database too slow for a batch within the limit gets smaller ones.
func TestRunOnASlowDatabase(t *testing.T) {
	d := onPostgres(t)
	s := d.open(t, "n1")
	for _, query := range []string{
		`CREATE FUNCTION slowly() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END $$ LANGUAGE plpgsql`,
		`CREATE TRIGGER slow BEFORE INSERT ON agent_states FOR EACH ROW EXECUTE FUNCTION slowly()`,
	} {
		_, err := s.write.Exec(query)
		must(t, err)
	}
	log := new(story)
	for range 60 { // batches of 37 take a second, the limit is 300 ms
		log.tell("", event.AgentChanged{Agent: "anna", To: "ready"})
	}
	run(t, quick(s), newTape(log.events, 0))
	got, err := collect(s.StateChanges(t.Context(), noon, after(100)))
	must(t, err)
	if len(got) != 60 {
		t.Errorf("got %d of 60", len(got))
	}
}

func TestPortion(t *testing.T) {
	p := portion{size: largestBatch}
	for _, want := range []int{250, 125, 62, 31, 15, 7, 3, 1, 1} {
		if p.late(p.size); p.size != want {
			t.Fatalf("after a deadline: %d, want %d", p.size, want)
		}
	}
	p.done(time.Second, time.Second) // twice as much would be late again
	for _, want := range []int{2, 4, 8, 16, 32, 64, 128, 256, 500, 500} {
		if p.done(time.Second/4, time.Second); p.size != want {
			t.Fatalf("after a success: %d, want %d", p.size, want)
		}
	}
	if p.late(20); p.size != 10 { // of what there was, not of what there might be
		t.Errorf("after a deadline with 20: %d", p.size)
	}
}

// forgetful is a log whose database is swapped for an older copy when half of it
// has been taken in.
type forgetful struct {
	*tape
	forget func()
}

func (l *forgetful) Commit(seq uint64) error {
	if l.forget != nil && seq > uint64(len(l.events)/2) {
		l.forget()
		l.forget = nil
	}
	return l.tape.Commit(seq)
}

// A standby takes over that had not got everything, or a backup is brought
// back, while the history runs: what is missing is told again.
func TestRunTellsAgainWhatTheDatabaseHasLost(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		all := day(rand.New(rand.NewPCG(7, 8)), 30, d.sealer).events
		s := d.open(t, "n1")
		must(t, s.History(testQueues).Apply(t.Context(), fromN1, all))
		want := dump(t, s)
		clear := func() {
			for _, table := range []string{"calls", "visits", "offers", "agent_states", "agent_now", "agent_time", "log_offsets"} {
				_, err := s.write.Exec("DELETE FROM " + table)
				must(t, err)
			}
		}
		clear()
		log := newTape(all, 0)
		run(t, quick(s), log, &forgetful{log, clear})
		if diff := cmp.Diff(want, dump(t, s)); diff != "" {
			t.Error(diff)
		}
	})
}

// onError calls a function for each error logged.
type onError struct {
	slog.Handler
	f func()
}

func (o onError) Enabled(context.Context, slog.Level) bool { return true }

func (o onError) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		o.f()
	}
	return nil
}

// With a log on a disk: what one node emits is in the tables once, whatever
// restarts lie between.
func TestRunOnARealLog(t *testing.T) {
	onBoth(t, func(t *testing.T, d site) {
		dir := t.TempDir()
		s := d.open(t, "n1")
		want := 0
		for range 3 {
			log, err := event.Open(event.Options{Dir: dir, Node: "n1", Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			reader, err := log.Reader("history")
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- quick(s).Run(ctx, Origin{Node: "n1", Log: log.ID()}, reader) }()
			for range 50 {
				want++
				log.Emit("", event.AgentChanged{Agent: "anna", To: "ready"})
			}
			peer.Eventually(t, 10*time.Second, "the history to have all", func() bool {
				got, err := collect(s.StateChanges(t.Context(), time.UnixMilli(0), time.Now().Add(time.Hour)))
				must(t, err)
				got = slices.DeleteFunc(got, func(c StateChange) bool { return c.State != "ready" }) // a new life ends the last one's
				return len(got) == want
			})
			cancel()
			must(t, <-done)
			reader.Close()
			must(t, log.Close())
		}
	})
}

// Two nodes whose events touch the same agents in another order each want a row that
// the other has. PostgreSQL ends one of the two transactions: it is begun again and
// nothing has failed.
func TestTransactionsThatWantEachOthersRows(t *testing.T) {
	d := onPostgres(t)
	nodes := []*Store{d.open(t, "n1"), d.open(t, "n2")}
	agents := []string{"anna", "ben"}
	var both, done sync.WaitGroup
	both.Add(2)
	var tries atomic.Int32
	for i, s := range nodes {
		done.Go(func() {
			var met sync.Once
			err := s.inTx(t.Context(), "meet", func(tx *tx) error {
				tries.Add(1)
				w := writer{s: s, t: tx, node: s.node, from: Origin{s.node, s.node}}
				for turn := range 2 {
					c := StateChange{Agent: agents[(i+turn)%2], State: "ready", At: after(turn), Previous: "talking", After: time.Second}
					if err := w.agentChanged(t.Context(), stateChange{s.node, uint64(turn + 1), c}); err != nil {
						return err
					}
					met.Do(func() { both.Done(); both.Wait() }) // each has the first
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", s.node, err)
			}
		})
	}
	done.Wait()
	if tries.Load() < 3 {
		t.Errorf("%d tries: the two did not meet", tries.Load())
	}
	for _, agent := range agents {
		if spent := spentBy(t, nodes[0], agent); spent["talking"] != 2*time.Second {
			t.Errorf("%s talked for %v", agent, spent)
		}
	}
}
