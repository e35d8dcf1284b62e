package event

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func readerTest(t *testing.T, l *Log, name string) *Reader {
	t.Helper()
	r, err := l.Reader(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// nextTest gives the numbers of the next batch.
func nextTest(t *testing.T, r *Reader, n int) []uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	batch, err := r.Next(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for _, ev := range batch {
		seqs = append(seqs, ev.Seq)
	}
	return seqs
}

// readTo reads a reader up to an event, and gives what it was given.
func readTo(t *testing.T, r *Reader, seq uint64) []uint64 {
	t.Helper()
	var all []uint64
	for len(all) == 0 || all[len(all)-1] < seq {
		all = append(all, nextTest(t, r, 7)...)
	}
	return all
}

// from gives the numbers first to last.
func from(first, last uint64) (all []uint64) {
	for seq := first; seq <= last; seq++ {
		all = append(all, seq)
	}
	return all
}

func syncTest(t *testing.T, l *Log) {
	t.Helper()
	if err := l.EmitSync(t.Context(), "", CallAnswered{}); err != nil {
		t.Fatal(err)
	}
}

// gauge gives the value of one of the log's gauges.
func gauge(t *testing.T, l *Log, name string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(l.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestReaderReadsAll(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		l := openSealed(t, t.TempDir(), by)
		steps(l, 0, 30)
		syncTest(t, l)
		r := readerTest(t, l, "history")
		if got := nextTest(t, r, 5); !slices.Equal(got, from(1, 5)) {
			t.Errorf("first batch %v", got)
		}
		if n := gauge(t, l, "bugle_events_behind"); n != 32 {
			t.Errorf("it is %v behind", n)
		}
		if got := readTo(t, r, 32); !slices.Equal(got, from(6, 32)) {
			t.Errorf("then %v", got)
		}
		for n := range uint64(200) { // it follows the log over its borders
			l.Emit("c", StepEntered{Step: "more"})
			if n%5 == 4 {
				if got := readTo(t, r, 33+n); !slices.Equal(got, from(29+n, 33+n)) {
					t.Fatalf("then %v, want up to %d", got, 33+n)
				}
			}
		}
		if err := r.Commit(232); err != nil {
			t.Fatal(err)
		}
		if n := gauge(t, l, "bugle_events_behind"); n != 0 {
			t.Errorf("it is %v behind", n)
		}
		if n := testutil.CollectAndCount(l.metrics.gaps); n != 0 {
			t.Errorf("%d gaps", n)
		}
	})
}

// What is not committed comes again, in the next life too.
func TestReaderGoesOnBehindItsCommit(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, nil)
	steps(l, 0, 50)
	syncTest(t, l)
	r := readerTest(t, l, "history")
	readTo(t, r, 40)
	for _, seq := range []uint64{30, 12} { // less than before changes nothing
		if err := r.Commit(seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openSealed(t, dir, nil)
	r = readerTest(t, l, "history")
	if r.Committed() != 30 {
		t.Errorf("committed is %d", r.Committed())
	}
	if got := readTo(t, r, 54); !slices.Equal(got, from(31, 54)) {
		t.Errorf("after a restart: %v", got)
	}
}

func TestReaderSeeks(t *testing.T) {
	l := openSealed(t, t.TempDir(), testKey(1))
	steps(l, 0, 100)
	syncTest(t, l)
	r := readerTest(t, l, "history")
	for _, seq := range []uint64{90, 3, 50, 0, 101} {
		if err := r.Seek(seq); err != nil {
			t.Fatal(err)
		}
		if got := nextTest(t, r, 1); !slices.Equal(got, from(seq+1, seq+1)) {
			t.Errorf("behind %d comes %v", seq, got)
		}
		if r.Committed() != seq {
			t.Errorf("at %d, %d is committed", seq, r.Committed())
		}
	}
	if err := r.Seek(1000); !errors.Is(err, errAhead) {
		t.Errorf("behind the end: %v", err)
	}
	if err := r.Commit(1000); !errors.Is(err, errAhead) {
		t.Errorf("to commit what is not there: %v", err)
	}
	l.drop(-time.Second)
	if err := r.Seek(0); err != nil {
		t.Fatal(err)
	}
	first := segments(t, l.dir)[0]
	if got := nextTest(t, r, 1); first < 50 || !slices.Equal(got, from(first, first)) {
		t.Errorf("the oldest is %d, Next gives %v", first, got)
	}
}

func TestReaderWaits(t *testing.T) {
	l := openSealed(t, t.TempDir(), nil)
	syncTest(t, l)
	r := readerTest(t, l, "history")
	readTo(t, r, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Next(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, Next gives %v", err)
		}
	})
	cancel()
	wg.Wait()
	wg.Go(func() {
		if got := nextTest(t, r, 10); !slices.Equal(got, from(3, 3)) {
			t.Errorf("waited for %v", got)
		}
		got, err := r.Next(t.Context(), 10) // NodeStopped
		if err != nil || len(got) != 1 || got[0].Fact != (NodeStopped{"n1"}) {
			t.Errorf("at the end: %v, %v", got, err)
		}
		if _, err := r.Next(t.Context(), 10); !errors.Is(err, errClosed) {
			t.Errorf("behind the end: %v", err)
		}
	})
	l.Emit("c", CallAnswered{})
	for r.log.mu.Lock(); l.synced.seq < 3; r.log.mu.Lock() { // the reader must not get two at once
		moved := l.moved
		r.log.mu.Unlock()
		<-moved
	}
	r.log.mu.Unlock()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// heldFile is a file whose sync waits.
type heldFile struct {
	file
	hold, began chan struct{}
}

func (f heldFile) Sync() error {
	f.began <- struct{}{}
	<-f.hold
	return f.file.Sync()
}

// What the disk does not have yet is given to nobody: after a power cut there
// could be another event of that number.
func TestReaderGetsOnlyWhatIsSynced(t *testing.T) {
	l := openSealed(t, t.TempDir(), nil)
	syncTest(t, l)
	r := readerTest(t, l, "history")
	readTo(t, r, 2)
	held := heldFile{l.file, make(chan struct{}), make(chan struct{}, 9)}
	l.mu.Lock()
	l.file = held
	l.mu.Unlock()
	l.Emit("c", CallAnswered{})
	<-held.began
	end, _, _ := l.readable()
	if events, err := r.batch(end, 10); err != nil || len(events) != 0 {
		t.Errorf("before the sync there is %v, %v", events, err)
	}
	close(held.hold)
	if got := nextTest(t, r, 10); !slices.Equal(got, from(3, 3)) {
		t.Errorf("after it %v", got)
	}
}

// A batch is bounded, whatever is asked for and however much is there.
func TestReaderHoldsLittle(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(Options{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 100 {
		l.Emit("c", OfferMade{Why: strings.Repeat("w", 100<<10)})
	}
	syncTest(t, l)
	r := readerTest(t, l, "history")
	if got := nextTest(t, r, 1000); len(got) > 20 {
		t.Errorf("a batch holds %d events of 100 KiB", len(got))
	}
	if got := nextTest(t, r, 0); len(got) != 1 {
		t.Errorf("a batch of none is one of %d", len(got))
	}
	if n := cap(r.walk.scan.win); n > 1<<20 {
		t.Errorf("the reader holds %d bytes", n)
	}
}

func TestReaderNames(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, nil)
	for _, name := range []string{"", "../history", "a b", "History", strings.Repeat("n", 65)} {
		if _, err := l.Reader(name); err == nil {
			t.Errorf("%q is a reader", name)
		}
	}
	r := readerTest(t, l, "history")
	if _, err := l.Reader("history"); !errors.Is(err, errReaderOpen) {
		t.Errorf("opened twice: %v", err)
	}
	if err := l.Forget("history"); !errors.Is(err, errReaderOpen) {
		t.Errorf("forgotten while open: %v", err)
	}
	r.Close()
	for range 2 {
		if err := l.Forget("history"); err != nil {
			t.Error(err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.reader")); len(files) != 0 {
		t.Errorf("left are %v", files)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reader("history"); !errors.Is(err, errClosed) {
		t.Errorf("of a closed log: %v", err)
	}
}

// An offset that can't be made out has its reader start over; one ahead of the
// log keeps the log from giving a number twice.
func TestDamagedOffset(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, nil)
	syncTest(t, l)
	readerTest(t, l, "history")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "history.reader")
	for text, committed := range map[string]uint64{
		"": 0, "x": 0, "00000000000000000002 00000000\n": 0, string(offsetLine(2)): 2, string(offsetLine(500)): 500,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := openSealed(t, dir, nil)
		r := readerTest(t, l, "history")
		if r.Committed() != committed {
			t.Errorf("%q is %d", text, r.Committed())
		}
		if committed == 500 {
			if got := readTo(t, r, 501); !slices.Equal(got, from(501, 501)) {
				t.Errorf("behind 500 comes %v", got)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if committed == 500 { // undo it for the other cases
			if err := os.WriteFile(file, offsetLine(0), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A wrong key stops a reader where it is; with the right one it goes on there.
func TestReaderStopsAtAWrongKey(t *testing.T) {
	l := openSealed(t, t.TempDir(), testKey(1))
	steps(l, 0, 30)
	syncTest(t, l)
	r := readerTest(t, l, "history")
	if got := nextTest(t, r, 10); len(got) != 10 {
		t.Fatal(got)
	}
	r.walk.seals.by = testKey(2)
	for range 3 {
		if _, err := r.Next(t.Context(), 10); !errors.Is(err, ErrUnseal) {
			t.Fatalf("with a wrong key: %v", err)
		}
	}
	r.walk.seals.by = testKey(1)
	if got := readTo(t, r, 32); !slices.Equal(got, from(11, 32)) {
		t.Errorf("with the right one: %v", got)
	}
}

// Random damage anywhere in the log: both ways of reading give every event that
// was not touched, in order, and tell of the others.
func TestRandomDamage(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		for round := range 60 {
			rnd := rand.New(rand.NewPCG(uint64(round), 3))
			dir := t.TempDir()
			l := openSealed(t, dir, by)
			steps(l, 0, 100)
			syncTest(t, l)
			last := l.last()
			lost := hurt(t, dir, rnd)

			r := readerTest(t, l, "history")
			var got []uint64
			for r.walk.pos < last {
				end, _, _ := l.readable()
				batch, err := r.batch(end, 9)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				for _, ev := range batch {
					got = append(got, ev.Seq)
				}
			}
			want := slices.DeleteFunc(from(1, last), func(seq uint64) bool { return lost[seq] })
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: lost %v, the reader got %v", round, lost, got)
			}
			if n := testutil.ToFloat64(l.metrics.missing.WithLabelValues("history")); n != float64(len(lost)) {
				t.Fatalf("round %d: %v of %d are counted as missing", round, n, len(lost))
			}
			all, gaps := readPast(t, dir, by)
			missing := uint64(0)
			for _, g := range gaps {
				missing += g.Lost()
			}
			if len(all) != len(want) || len(gaps) == 0 && len(lost) > 0 {
				t.Fatalf("round %d: lost %v, Read gave %d of %d, gaps %v", round, lost, len(all), len(want), gaps)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// hurt damages a few places in dir, and tells which events that cost.
func hurt(t *testing.T, dir string, rnd *rand.Rand) map[uint64]bool {
	t.Helper()
	lost := make(map[uint64]bool)
	firsts := segments(t, dir)
	for range 1 + rnd.IntN(4) {
		path := filepath.Join(dir, segmentName(firsts[rnd.IntN(len(firsts))]))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		hurt := bytes.Clone(data)
		at := rnd.IntN(len(data))
		for i := at; i < min(at+1+rnd.IntN(300), len(data)); i++ {
			hurt[i] ^= byte(1 + rnd.IntN(255))
		}
		left := seqsIn(hurt)
		for seq := range seqsIn(data) {
			if !left[seq] {
				lost[seq] = true
			}
		}
		if err := os.WriteFile(path, hurt, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return lost
}

// seqsIn gives the whole records of a segment, found the slow way: every offset
// is tried.
func seqsIn(data []byte) map[uint64]bool {
	seqs := make(map[uint64]bool)
	s := scannerOf(data)
	for at := range int64(len(data)) {
		if r, ok, err := s.recordAt(at); err == nil && ok {
			seqs[r.seq] = true
		}
	}
	return seqs
}

// A segment that is gone, or another log's, is a gap like any other.
func TestMissingAndForeignSegments(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, other} {
		l := openSealed(t, d, nil)
		steps(l, 0, 100)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	firsts := segments(t, dir)
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[1]))); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(other, segmentName(firsts[3])))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(firsts[3])), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	all, gaps := readPast(t, dir, nil)
	if len(gaps) != 2 || gaps[0].After != firsts[1]-1 || gaps[0].Next != firsts[2] || gaps[1].Next != firsts[4] || gaps[1].Bytes == 0 {
		t.Errorf("gaps %v", gaps)
	}
	if lost := gaps[0].Lost() + gaps[1].Lost(); uint64(len(all))+lost != 102 {
		t.Errorf("%d events and %d lost", len(all), lost)
	}
}

// Writers, readers of several speeds and deletion at once: every reader gets
// every event once, in order.
func TestReadersAndWritersAtOnce(t *testing.T) {
	const writers, each, readers = 4, 300, 3
	l := openSealed(t, t.TempDir(), testKey(1))
	var wg sync.WaitGroup
	for i := range readers {
		r := readerTest(t, l, string(rune('a'+i)))
		wg.Go(func() {
			for next := uint64(1); next <= 1+writers*each; {
				batch, err := r.Next(t.Context(), 1+i*40)
				if err != nil {
					t.Error(err)
					return
				}
				for _, ev := range batch {
					if ev.Seq != next {
						t.Errorf("reader %d: event %d, want %d", i, ev.Seq, next)
						return
					}
					next++
				}
				if err := r.Commit(next - 1); err != nil {
					t.Error(err)
				}
				l.drop(-time.Hour)
			}
		})
	}
	for range writers {
		wg.Go(func() { steps(l, 0, each) })
	}
	wg.Wait()
	if n := len(segments(t, l.dir)); n > 2 {
		t.Errorf("%d segments are left", n)
	}
}

func BenchmarkReader(b *testing.B) {
	l, err := Open(Options{Dir: b.TempDir(), Log: quiet, Seal: testKey(1)})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for range 1000 {
		l.Emit("0123456789abcdef", VisitEnded{Visit: "0123456789abcdef", Queue: "claims", Language: "es", Result: Answered})
	}
	if err := l.EmitSync(b.Context(), "", CallAnswered{}); err != nil {
		b.Fatal(err)
	}
	r, err := l.Reader("b")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		if err := r.Seek(0); err != nil {
			b.Fatal(err)
		}
		for n := 0; n < 1002; {
			batch, err := r.Next(b.Context(), 100)
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch)
		}
	}
}
