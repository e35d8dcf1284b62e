package event

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var quiet = slog.New(slog.DiscardHandler)

func openTest(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(Options{Dir: dir, Node: "n1", Version: "v1", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// readAll gives the events in dir and the error they end with.
func readAll(dir string) ([]Event, error) {
	var all []Event
	for ev, err := range Read(dir, nil) {
		if err != nil {
			return all, err
		}
		all = append(all, ev)
	}
	return all, nil
}

func TestWhatIsEmittedIsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on the way")
	l := openTest(t, dir)
	var seen []Event
	l.Subscribe(func(ev Event) { seen = append(seen, ev) })
	for _, f := range everyFact {
		l.Emit("call \"1\"\n€<&>", f)
	}
	if err := l.EmitSync(context.Background(), "", CallAnswered{}); err != nil {
		t.Fatal(err)
	}

	got, err := readAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || got[0].Seq != 1 || got[0].Fact != (NodeStarted{"n1", "v1"}) {
		t.Fatalf("the log begins with %+v", got[:1])
	}
	if diff := cmp.Diff(seen, got[1:]); diff != "" {
		t.Errorf("subscribers saw (-) and the log holds (+):\n%s", diff)
	}
	if len(seen) != len(everyFact)+1 {
		t.Errorf("%d facts were seen of %d", len(seen), len(everyFact)+1)
	}
	info, err := os.Stat(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %04o", info.Mode().Perm())
	}
}

func TestSequenceGoesOnAfterRestart(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		l := openTest(t, dir)
		l.Emit("c", CallAnswered{})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for i, ev := range got {
		if ev.Seq != uint64(i+1) {
			t.Errorf("event %d has sequence number %d", i+1, ev.Seq)
		}
		kinds = append(kinds, ev.Fact.Kind())
	}
	life := []string{"node.started", "call.answered", "node.stopped"}
	want := append(append(append([]string{}, life...), life...), life...)
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestALogInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir)
	if _, err := Open(Options{Dir: dir, Log: quiet}); err == nil {
		t.Fatal("a second process may write the same log")
	}
}

func TestOpenSaysWhyItFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(file, "below"), Log: quiet}); err == nil {
		t.Error("a directory below a file is opened")
	}
	if _, err := readAll(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading a log that is not there: %v", err)
	}
}

func TestClosedLogDropsFacts(t *testing.T) {
	l := openTest(t, t.TempDir())
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.Emit("c", CallAnswered{})
	if err := l.EmitSync(context.Background(), "c", CallAnswered{}); !errors.Is(err, errClosed) {
		t.Errorf("EmitSync after Close gives %v", err)
	}
	if !errors.Is(l.Healthy(), errClosed) {
		t.Errorf("Healthy after Close gives %v", l.Healthy())
	}
}

// Many write at once while someone reads: no gap, no mixed record, and each
// writer's facts in its order.
func TestConcurrentEmit(t *testing.T) {
	const writers, each = 8, 200
	dir := t.TempDir()
	l := openTest(t, dir)
	sinkLast := uint64(1)
	l.Subscribe(func(ev Event) {
		if ev.Seq != sinkLast+1 {
			t.Errorf("a subscriber got %d after %d", ev.Seq, sinkLast)
		}
		sinkLast = ev.Seq
	})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				l.Emit(strconv.Itoa(w), StepEntered{Step: strconv.Itoa(i)})
				if i%50 == 0 {
					if err := l.EmitSync(context.Background(), "sync", CallAnswered{}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	got, err := readAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	next := make(map[string]int)
	for _, ev := range got {
		if f, ok := ev.Fact.(StepEntered); ok {
			if f.Step != strconv.Itoa(next[ev.Call]) {
				t.Fatalf("writer %s: step %s, want %d", ev.Call, f.Step, next[ev.Call])
			}
			next[ev.Call]++
		}
	}
	if want := 1 + writers*each + writers*each/50; len(got) != want {
		t.Errorf("%d events, want %d", len(got), want)
	}
}

func TestTimesAreUTCMilliseconds(t *testing.T) {
	at := now()
	if at.Location() != time.UTC || at.Nanosecond()%int(time.Millisecond) != 0 || at != at.Round(0) {
		t.Errorf("now() is %v", at)
	}
}

func BenchmarkEmit(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkEmit(b, nil) })
	b.Run("sealed", func(b *testing.B) { benchmarkEmit(b, testKey(1)) })
}

func benchmarkEmit(b *testing.B, by Sealer) {
	l, err := Open(Options{Dir: b.TempDir(), Log: quiet, Seal: by})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	var fact Fact = VisitEnded{Visit: "0123456789abcdef", Queue: "claims", Language: "es", Result: Answered, Agent: "sofia", Waited: 12345678}
	b.ReportAllocs()
	for b.Loop() {
		l.Emit("0123456789abcdef", fact)
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Options{Dir: dir, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	for range 1000 {
		l.Emit("0123456789abcdef", VisitEnded{Visit: "0123456789abcdef", Queue: "claims", Language: "es", Result: Answered})
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if got, err := readAll(dir); err != nil || len(got) != 1002 {
			b.Fatal(len(got), err)
		}
	}
}
