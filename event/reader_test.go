package event

import (
	"context"
	"errors"
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
			if n%20 == 19 {
				if got := readTo(t, r, 33+n); !slices.Equal(got, from(14+n, 33+n)) {
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
	got3 := make(chan struct{}) // before the log is closed, or the reader would get two at once
	wg.Go(func() {
		if got := nextTest(t, r, 10); !slices.Equal(got, from(3, 3)) {
			t.Errorf("waited for %v", got)
		}
		close(got3)
		got, err := r.Next(t.Context(), 10) // NodeStopped
		if err != nil || len(got) != 1 || got[0].Fact != (NodeStopped{"n1"}) {
			t.Errorf("at the end: %v, %v", got, err)
		}
		if _, err := r.Next(t.Context(), 10); !errors.Is(err, errClosed) {
			t.Errorf("behind the end: %v", err)
		}
	})
	l.Emit("c", CallAnswered{})
	<-got3
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
	r.walk.seals.by, r.walk.seals.key.aead = testKey(2), nil
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
