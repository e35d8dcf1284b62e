package event

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// disk is a file in memory that can be full, slow, or fail to sync.
type disk struct {
	hold chan struct{} // a sync waits until it is closed; nil: none does

	mu     sync.Mutex
	data   []byte
	room   int // bytes it may grow to; 0: no limit
	broken bool
	synced []time.Time
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := len(p), error(nil)
	if d.room > 0 && int(off)+n > d.room {
		n, err = max(0, d.room-int(off)), syscall.ENOSPC
	}
	if grow := int(off) + n - len(d.data); grow > 0 {
		d.data = append(d.data, make([]byte, grow)...)
	}
	copy(d.data[off:], p[:n])
	return n, err
}

func (d *disk) Sync() error {
	if d.hold != nil {
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = append(d.synced, time.Now())
	if d.broken {
		return syscall.EIO
	}
	return nil
}

func (d *disk) Close() error { return nil }

func (d *disk) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *disk) syncs() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.synced)
}

// facts gives what a reader finds, without what is torn at the end.
func (d *disk) facts(t *testing.T) []Fact {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Fact
	for ev, err := range events(bytes.NewReader(d.data)) {
		if errors.Is(err, ErrTorn) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ev.Fact)
	}
	return all
}

func TestSyncIsGroupedAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := start(d, 0, 0, "n1", quiet)
		defer l.Close()
		began := time.Now()
		for range 30 { // over 30 ms
			l.Emit("c", CallAnswered{})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		if s := d.syncs(); len(s) != 1 || s[0].Sub(began) > 50*time.Millisecond {
			t.Errorf("syncs at %v after %v", s, began)
		}
		for range 100 { // over a second
			l.Emit("c", CallAnswered{})
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(d.syncs()) - 1; n < 20 || n > 25 {
			t.Errorf("%d syncs in a second of writing", n)
		}
	})
}

func TestEmitSyncDoesNotWaitForTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := start(d, 0, 0, "n1", quiet)
		defer l.Close()
		for range 20 {
			l.Emit("c", CallAnswered{})
			began := time.Now()
			if err := l.EmitSync(t.Context(), "c", CallAnswered{}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 0 {
				t.Fatalf("it waited %v", took)
			}
		}
		if n := len(d.syncs()); n != 20 {
			t.Errorf("%d syncs for 20 EmitSync", n)
		}
	})
}

// Those who come while a sync runs share the next one; who will not wait so long
// goes, and the others are none the worse.
func TestEmitSyncShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		l := start(d, 0, 0, "n1", quiet)
		defer l.Close()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := l.EmitSync(t.Context(), "c", CallAnswered{}); err != nil {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.EmitSync(ctx, "c", CallAnswered{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that ended gives %v", err)
		}
		close(d.hold)
		wg.Wait()
		if n := len(d.syncs()); n > 2 {
			t.Errorf("%d syncs for 50 at once", n)
		}
	})
}

// A full disk loses facts, and says so: to Healthy, to the subscribers, and in
// the log itself once there is room.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := start(d, 0, 0, "n1", quiet)
		defer l.Close()
		var seen []uint64
		l.Subscribe(func(ev Event) { seen = append(seen, ev.Seq) })
		l.Emit("c", StepEntered{Step: "one"})
		d.change(func() { d.room = len(d.data) + 20 }) // half a record fits

		l.Emit("c", StepEntered{Step: "lost"})
		if err := l.EmitSync(t.Context(), "c", StepEntered{Step: "lost too"}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("EmitSync on a full disk: %v", err)
		}
		if err := l.Healthy(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Healthy on a full disk: %v", err)
		}
		time.Sleep(time.Minute)
		if err := l.Healthy(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Healthy on a disk still full: %v", err)
		}

		d.change(func() { d.room = 0 })
		time.Sleep(2 * mendEvery) // nobody emits: it heals by itself
		if err := l.Healthy(); err != nil {
			t.Errorf("Healthy with room again: %v", err)
		}
		l.Emit("c", StepEntered{Step: "two"})

		want := []Fact{StepEntered{Step: "one"}, FactsLost{2}, StepEntered{Step: "two"}}
		if diff := cmp.Diff(want, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
		if diff := cmp.Diff([]uint64{1, 0, 0, 2, 3}, seen); diff != "" {
			t.Errorf("want (-), subscribers saw (+):\n%s", diff)
		}
		if n := testutil.ToFloat64(l.metrics.lost); n != 2 {
			t.Errorf("%v facts are counted as lost", n)
		}
	})
}

// With room again, the next fact is the first to try.
func TestFullDiskHealsByTheNextFact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 1}
		l := start(d, 0, 0, "n1", quiet)
		defer l.Close()
		l.Emit("c", StepEntered{Step: "lost"})
		d.change(func() { d.room = 0 })
		if err := l.EmitSync(t.Context(), "c", StepEntered{Step: "kept"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Fact{FactsLost{1}, StepEntered{Step: "kept"}}, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
	})
}

func TestAFailedSyncStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{broken: true}
		l := start(d, 0, 0, "n1", quiet)
		if err := l.EmitSync(t.Context(), "c", CallAnswered{}); !errors.Is(err, syscall.EIO) {
			t.Errorf("EmitSync: %v", err)
		}
		d.change(func() { d.broken = false })
		if err := l.EmitSync(t.Context(), "c", CallAnswered{}); !errors.Is(err, syscall.EIO) {
			t.Errorf("EmitSync after a sync that failed: %v", err)
		}
		if err := l.Healthy(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Healthy: %v", err)
		}
		if n := testutil.ToFloat64(l.metrics.syncErrors); n != 1 {
			t.Errorf("%v failed syncs are counted", n)
		}
		if err := l.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestCloseSyncsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := start(d, 0, 0, "n1", quiet)
		l.Emit("c", CallAnswered{})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(d.syncs()); n != 1 {
			t.Errorf("%d syncs", n)
		}
		if diff := cmp.Diff([]Fact{CallAnswered{}, NodeStopped{"n1"}}, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
	})
}
