package event

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

// A disk that is full down to the last byte loses facts, and says so: to Healthy,
// to the subscribers, and in the log itself once there is room.
func TestFullDiskWithoutReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{})
		defer l.Close()
		var seen []uint64
		l.Subscribe(func(ev Event) { seen = append(seen, ev.Seq) })
		l.Emit("c", StepEntered{Step: "one"})
		d.change(func() { d.room = d.used() + 30 }) // half a record fits

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
		d := &disk{}
		l := startTest(t, d, Options{})
		defer l.Close()
		d.change(func() { d.room = d.used() })
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

// A full disk costs no fact as long as the reserve lasts: the calls under way go
// on, and whoever asks Full takes no new one. When there is room again the
// reserve is set aside anew, and the state ends.
func TestFullDiskUsesTheReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{spare: 4096}
		l := startTest(t, d, Options{})
		defer l.Close()
		if err := l.setAside(); err != nil || l.Full() {
			t.Fatalf("setting aside: %v, full: %v", err, l.Full())
		}
		l.Emit("c", StepEntered{Step: "before"})
		d.change(func() { d.room = d.used() + 30 })

		want := []Fact{StepEntered{Step: "before"}}
		for range 20 {
			if err := l.EmitSync(t.Context(), "c", StepEntered{Step: "under way"}); err != nil {
				t.Fatal(err)
			}
			want = append(want, StepEntered{Step: "under way"})
		}
		if !l.Full() || !errors.Is(l.Healthy(), ErrFull) || errors.Is(l.Healthy(), syscall.ENOSPC) {
			t.Errorf("full: %v, Healthy: %v", l.Full(), l.Healthy())
		}
		if n := gauge(t, l, "bugle_events_full"); n != 1 {
			t.Errorf("the gauge says %v", n)
		}
		time.Sleep(time.Minute)
		if !l.Full() {
			t.Error("the state ended without room")
		}

		d.change(func() { d.room += 4096 })
		time.Sleep(2 * mendEvery)
		if l.Full() || l.Healthy() != nil {
			t.Errorf("with room again: full %v, Healthy %v", l.Full(), l.Healthy())
		}
		d.change(func() {
			if d.set != 4096 {
				t.Errorf("%d bytes are set aside", d.set)
			}
		})
		if diff := cmp.Diff(want, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
		if n := testutil.ToFloat64(l.metrics.lost); n != 0 {
			t.Errorf("%v facts are counted as lost", n)
		}
	})
}

// The second time is like the first; and when the reserve is used up too, what
// is lost is counted.
func TestReserveComesBackAndRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{spare: 1000}
		l := startTest(t, d, Options{SegmentBytes: 400})
		defer l.Close()
		if err := l.setAside(); err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			d.change(func() { d.room = d.used() + 10 })
			l.Emit("c", StepEntered{Step: "kept"})
			if !l.Full() || testutil.ToFloat64(l.metrics.lost) != 0 {
				t.Fatalf("round %d: full %v, lost %v", round, l.Full(), testutil.ToFloat64(l.metrics.lost))
			}
			d.change(func() { d.room += 1000 })
			time.Sleep(2 * mendEvery)
			if l.Full() {
				t.Fatalf("round %d: still full", round)
			}
		}
		d.change(func() { d.room = d.used() })
		for range 50 {
			l.Emit("c", StepEntered{Step: "too many"})
		}
		lost := testutil.ToFloat64(l.metrics.lost)
		if lost == 0 || lost == 50 || !errors.Is(l.Healthy(), syscall.ENOSPC) {
			t.Errorf("%v lost of 50, Healthy: %v", lost, l.Healthy())
		}
		d.change(func() { d.room = 0 })
		time.Sleep(2 * mendEvery)
		var admitted uint64
		kept := 0
		for _, f := range d.facts(t) {
			switch f := f.(type) {
			case FactsLost:
				admitted += f.Count
			case StepEntered:
				kept++
			}
		}
		if float64(admitted) != lost || kept+int(admitted) != 53 {
			t.Errorf("%d kept and %d admitted of 53, %v counted as lost", kept, admitted, lost)
		}
	})
}

// A node that starts on a full disk says so from the start.
func TestStartOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{spare: 4096, room: 1000}
		l := startTest(t, d, Options{})
		defer l.Close()
		if err := l.setAside(); err != nil || !l.Full() {
			t.Fatalf("setting aside: %v, full: %v", err, l.Full())
		}
		d.change(func() { d.room = 0 })
		time.Sleep(2 * mendEvery)
		if l.Full() {
			t.Error("with room it is still full")
		}
	})
}

// The reserve is blocks of the disk, not a length; it is taken over by the next
// life, and given back when the configuration wants none.
func TestReserveOnDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, reserveName)
	open := func(bytes int64) *Log {
		l, err := Open(Options{Dir: dir, Log: quiet, ReserveBytes: bytes})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	allocated := func() (size, onDisk int64) {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Size, st.Blocks * 512
	}
	for range 2 {
		l := open(1 << 20)
		if size, onDisk := allocated(); size != 1<<20 || onDisk < 1<<20 {
			t.Errorf("%d bytes long, %d on the disk", size, onDisk)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := open(1 << 20)
	if !l.disk.release() || l.disk.release() {
		t.Error("the reserve can be released twice, or not at all")
	}
	if size, onDisk := allocated(); size != 0 || onDisk != 0 {
		t.Errorf("released: %d bytes long, %d on the disk", size, onDisk)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(1 << 60) // more than any disk
	if !l.Full() {
		t.Error("a reserve that does not fit is no full disk")
	}
	if _, onDisk := allocated(); onDisk != 0 {
		t.Errorf("what did not fit holds %d bytes", onDisk)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(0)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a reserve that is not wanted: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReserveIsFilledWhereItCannotBeAllocated(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fill(f, 3<<20+5); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 3<<20+5 {
		t.Errorf("%v, %v", info, err)
	}
}
