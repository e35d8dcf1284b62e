package event

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// steps emits numbered facts.
func steps(l *Log, from, n int) {
	for i := range n {
		l.Emit("c", StepEntered{Step: strconv.Itoa(from + i)})
	}
}

func segments(t *testing.T, dir string) []uint64 {
	t.Helper()
	firsts, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	return firsts
}

func TestLogIsCutIntoSegments(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		dir := t.TempDir()
		const lives, each = 3, 100
		id := ""
		for life := range lives {
			l := openSealed(t, dir, by)
			if id == "" {
				id = l.ID()
			}
			if l.ID() != id {
				t.Errorf("the log was %s and is %s", id, l.ID())
			}
			steps(l, life*each, each)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		all := whole(t, dir, by)
		if len(all) != lives*(each+2) || all[0].Seq != 1 {
			t.Errorf("%d events", len(all))
		}
		firsts := segments(t, dir)
		if len(firsts) < 10 {
			t.Errorf("only %d segments", len(firsts))
		}
		for _, first := range firsts {
			info, err := os.Stat(filepath.Join(dir, segmentName(first)))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > 2000 || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %d bytes, mode %v", info.Name(), info.Size(), info.Mode())
			}
			if ev := all[first-1]; ev.Seq != first {
				t.Errorf("%s begins with event %d", info.Name(), ev.Seq)
			}
		}
	})
}

// Two logs never have the same id, as what is known of one elsewhere must not be
// taken for the other's.
func TestANewLogIsAnother(t *testing.T) {
	dir := t.TempDir()
	first := openTest(t, dir)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, segmentName(1))); err != nil {
		t.Fatal(err)
	}
	if second := openTest(t, dir); second.ID() == first.ID() {
		t.Errorf("both are %s", first.ID())
	}
}

// Only the newest segment is read at the start: the others may be damaged, or as
// many as they like.
func TestOpenReadsTheNewestSegmentOnly(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, nil)
	steps(l, 0, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	firsts := segments(t, dir)
	for _, first := range firsts[:len(firsts)-1] {
		if err := os.WriteFile(filepath.Join(dir, segmentName(first)), bytes.Repeat([]byte{'x'}, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = openSealed(t, dir, nil)
	l.Emit("c", CallAnswered{})
	if seq := l.last(); seq != 104 {
		t.Errorf("it goes on with event %d", seq)
	}
	if n := testutil.ToFloat64(l.metrics.torn); n != 0 {
		t.Errorf("%v bytes were cut", n)
	}
}

// A log may end anywhere. Whatever was whole is read, the rest is cut and kept,
// and the log goes on.
func TestTornTail(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		make4 := func(t *testing.T) (string, []byte) {
			dir := t.TempDir()
			l := openSealed(t, dir, by)
			l.Emit("c1", CallAnswered{})
			l.Emit("c2", CallAnswered{})
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
			if err != nil {
				t.Fatal(err)
			}
			return dir, data
		}
		_, sample := make4(t)
		last := len(sample) - bytes.LastIndex(sample, markStart) // length of the last record
		for _, test := range []struct {
			name string
			tear func(data []byte) []byte
			left int  // whole events
			cut  bool // something is, at the end
			gap  bool // there is one after that
		}{
			{"half a header", func(d []byte) []byte { return d[:len(d)-last+3] }, 3, true, false},
			{"header only", func(d []byte) []byte { return d[:len(d)-last+headerSize] }, 3, true, false},
			{"half a payload", func(d []byte) []byte { return d[:len(d)-5] }, 3, true, false},
			{"a flipped bit", func(d []byte) []byte { d[len(d)-5] ^= 1; return d }, 3, true, false},
			{"zeros behind", func(d []byte) []byte { return append(d, make([]byte, 100)...) }, 4, true, false},
			{"noise behind", func(d []byte) []byte { return append(d, bytes.Repeat([]byte{0xff}, 100)...) }, 4, true, false},
			{"the first record", func(d []byte) []byte { d[bytes.Index(d, markStart)] ^= 0x80; return d }, 3, false, true},
			{"the title", func(d []byte) []byte { d[0] ^= 0x80; return d }, 4, false, true},
			{"title and tail", func(d []byte) []byte { d[20] ^= 0x80; return d[:len(d)-1] }, 3, true, true},
			{"everything", func(d []byte) []byte { return bytes.Repeat([]byte{7}, len(d)) }, 0, true, false},
			{"half a title", func(d []byte) []byte { return d[:9] }, 0, true, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				dir, data := make4(t)
				torn := test.tear(data)
				path := filepath.Join(dir, segmentName(1))
				if err := os.WriteFile(path, torn, 0o600); err != nil {
					t.Fatal(err)
				}
				got, gaps := readPast(t, dir, by)
				if len(got) != test.left || len(gaps) == 0 || !errors.Is(gaps[0], ErrTorn) || gaps[0].Bytes == 0 {
					t.Errorf("reading it gives %d events, gaps %v", len(got), gaps)
				}
				l := openSealed(t, dir, by)
				l.Emit("c3", CallAnswered{})
				if cut := testutil.ToFloat64(l.metrics.torn); (cut > 0) != test.cut {
					t.Errorf("%v bytes are counted as cut", cut)
				}
				got, gaps = readPast(t, dir, by)
				if len(got) != test.left+2 || got[len(got)-1].Call != "c3" {
					t.Errorf("after opening it: %d events", len(got))
				}
				if (len(gaps) == 1) != test.gap {
					t.Errorf("after opening it: gaps %v", gaps)
				}
				if test.cut {
					checkKept(t, path, torn)
				}
			})
		}
	})
}

// readPast reads a log over its gaps.
func readPast(t *testing.T, dir string, by Sealer) (all []Event, gaps []*Gap) {
	t.Helper()
	for ev, err := range Read(dir, by) {
		if gap, ok := errors.AsType[*Gap](err); ok {
			gaps = append(gaps, gap)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ev)
	}
	return all, gaps
}

// checkKept looks that what was cut off stands in a file beside.
func checkKept(t *testing.T, path string, torn []byte) {
	t.Helper()
	beside, err := filepath.Glob(path + ".cut-*")
	if err != nil || len(beside) != 1 {
		t.Fatalf("files beside: %v, %v", beside, err)
	}
	kept, err := os.ReadFile(beside[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) == 0 || !bytes.HasSuffix(torn, kept) {
		t.Errorf("%d bytes were kept, and are not the end of the file", len(kept))
	}
	if info, err := os.Stat(beside[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file beside: %v, %v", info, err)
	}
}

// A crash in the middle of beginning a segment leaves an empty file, or half a
// title, behind segments that are whole.
func TestTornSegmentBorder(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		for _, size := range []int{0, 7, len(title("n1-abcdefgh", nil))} {
			dir := t.TempDir()
			l := openSealed(t, dir, by)
			steps(l, 0, 40)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			next := filepath.Join(dir, segmentName(l.last()+1))
			if err := os.WriteFile(next, title(l.ID(), nil)[:size], 0o600); err != nil {
				t.Fatal(err)
			}
			l = openSealed(t, dir, by)
			steps(l, 40, 40)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if all := whole(t, dir, by); len(all) != 84 {
				t.Errorf("with %d bytes of a segment there are %d events", size, len(all))
			}
		}
	})
}

// Whatever is left of a log after a crash, at whichever byte it ends: what is
// whole is read, and the log goes on behind it.
func TestTornAnywhere(t *testing.T) {
	bothWays(t, func(t *testing.T, by Sealer) {
		source := t.TempDir()
		l := openSealed(t, source, by)
		steps(l, 0, 30)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		firsts := segments(t, source)
		if len(firsts) < 3 {
			t.Fatalf("%d segments", len(firsts))
		}
		for i, first := range firsts {
			data, err := os.ReadFile(filepath.Join(source, segmentName(first)))
			if err != nil {
				t.Fatal(err)
			}
			for size := 0; size <= len(data); size++ {
				if border := size < 60 || size > len(data)-60; !border && size%61 != 0 || border && size%3 == 1 {
					continue
				}
				dir := memoryDir(t)
				names := []string{lockName}
				for _, earlier := range firsts[:i] {
					names = append(names, segmentName(earlier))
				}
				copyFiles(t, source, dir, names)
				if err := os.WriteFile(filepath.Join(dir, segmentName(first)), data[:size], 0o600); err != nil {
					t.Fatal(err)
				}
				checkGoesOn(t, dir, by, first-1+uint64(len(seqsIn(data[:size]))))
			}
		}
	})
}

func copyFiles(t *testing.T, from, to string, names []string) {
	t.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkGoesOn opens a log that ends with an event, or with half of the next, and
// reads it.
func checkGoesOn(t *testing.T, dir string, by Sealer, last uint64) {
	t.Helper()
	d, tail, err := openDirectory(Options{Dir: dir, Node: "n1", Seal: by})
	if err != nil {
		t.Fatalf("log of %d events: %v", last, err)
	}
	if tail.end.seq != last {
		t.Fatalf("it ends with event %d, want %d", tail.end.seq, last)
	}
	record, err := newEncoder(tail.seals).encode(Event{Seq: last + 1, Fact: CallAnswered{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tail.file.WriteAt(record, tail.end.off); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tail.file.Close(), d.close()); err != nil {
		t.Fatal(err)
	}
	if n := len(whole(t, dir, by)); n != int(last)+1 {
		t.Fatalf("%d events are read, want %d", n, last+1)
	}
}

// When no segment can be begun, the old one goes on, and nothing is lost.
func TestNoNewSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{SegmentBytes: 500})
		defer l.Close()
		d.change(func() { d.full = true })
		steps(l, 0, 20)
		if len(d.files) != 1 || l.Healthy() != nil {
			t.Errorf("%d segments, %v", len(d.files), l.Healthy())
		}
		d.change(func() { d.full = false })
		steps(l, 20, 20)
		var want []Fact
		for i := range 40 {
			want = append(want, StepEntered{Step: strconv.Itoa(i)})
		}
		if diff := cmp.Diff(want, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
		if len(d.files) < 3 {
			t.Errorf("%d segments", len(d.files))
		}
	})
}

// Part of a record at the end of a segment is not left there when the next
// begins, also if a shorter record was written over its beginning.
func TestASegmentIsLeftWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{SegmentBytes: 1000})
		defer l.Close()
		long := func(n int) Fact { return OfferMade{Why: strings.Repeat("w", n)} }
		steps(l, 0, 2)
		d.change(func() { d.room = d.used() + 300 })
		l.Emit("c", long(400))
		d.change(func() { d.room = 0 })
		l.Emit("c", long(900)) // admits the loss, over what is left there, and needs a segment of its own
		if len(d.files) != 2 {
			t.Fatalf("%d segments", len(d.files))
		}
		want := []Fact{StepEntered{Step: "0"}, StepEntered{Step: "1"}, FactsLost{1}, long(900)}
		if diff := cmp.Diff(want, d.facts(t)); diff != "" {
			t.Errorf("want (-), the log holds (+):\n%s", diff)
		}
		s := scannerOf(d.files[0].data[len(title(diskID, nil)):])
		for range 3 {
			if _, skipped, err := s.next(); err != nil || skipped > 0 {
				t.Errorf("%d bytes are no record, %v", skipped, err)
			}
		}
		if s.off != s.end {
			t.Errorf("%d bytes are left behind the last record", s.end-s.off)
		}
	})
}

// An EmitSync across a border has both files and the name of the new one on disk,
// and the old one is closed.
func TestSyncAcrossABorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{SegmentBytes: 300})
		defer l.Close()
		steps(l, 0, 10)
		ended := len(d.files) - 1
		if ended < 2 {
			t.Fatalf("%d segments", len(d.files))
		}
		if err := l.EmitSync(t.Context(), "c", CallAnswered{}); err != nil {
			t.Fatal(err)
		}
		if n := len(d.syncs()); n != len(d.files) || d.nameSyncs != 1 {
			t.Errorf("%d syncs of %d files, %d of the names", n, len(d.files), d.nameSyncs)
		}
		for i, f := range d.files {
			if f.closed != (i < len(d.files)-1) {
				t.Errorf("segment %d closed: %v", i, f.closed)
			}
		}
	})
}

// What every reader has passed is deleted once it is old enough; what one has not
// is kept, and so is the segment being written.
func TestOldSegmentsAreDeleted(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, nil)
	slow, err := l.Reader("slow")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	steps(l, 0, 200)
	before := segments(t, dir)
	l.drop(0)
	if diff := cmp.Diff(before, segments(t, dir)); diff != "" {
		t.Fatalf("deleted though not read:\n%s", diff)
	}
	if err := slow.Commit(before[5] - 2); err != nil { // the last of that segment is missing
		t.Fatal(err)
	}
	l.drop(time.Hour)
	if diff := cmp.Diff(before, segments(t, dir)); diff != "" {
		t.Fatalf("deleted though young:\n%s", diff)
	}
	l.drop(-time.Second)
	if diff := cmp.Diff(before[4:], segments(t, dir)); diff != "" {
		t.Fatalf("want (-), kept (+):\n%s", diff)
	}
	slow.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = openSealed(t, dir, nil) // nobody opens the reader: it counts all the same
	l.drop(-time.Second)
	if got := segments(t, dir); got[0] != before[4] {
		t.Errorf("deleted to %d behind the back of a reader at %d", got[0], before[5]-2)
	}
	if err := l.Forget("slow"); err != nil {
		t.Fatal(err)
	}
	l.drop(-time.Second)
	if got := segments(t, dir); len(got) != 1 {
		t.Errorf("kept for nobody: %v", got)
	}
	first := segments(t, dir)[0]
	if all := whole(t, dir, nil); all[0].Seq != first || all[len(all)-1].Fact != (NodeStarted{"n1", "v1"}) {
		t.Errorf("what is left begins with %d of %d", all[0].Seq, first)
	}
}

func TestSegmentNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		segmentName(12), segmentName(3), segmentName(4) + ".cut-3-99", "12.log", "0000000000000000.log",
		"00000000000000a1.log", "lock", "history.reader",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]uint64{3, 12}, segments(t, dir)); diff != "" {
		t.Error(diff)
	}
	if name := segmentName(42); name != "0000000000000042.log" {
		t.Error(name)
	}
}

func TestTooLongANameIsRefused(t *testing.T) {
	_, err := Open(Options{Dir: t.TempDir(), Node: fmt.Sprintf("%02000d", 1), Log: quiet})
	if err == nil {
		t.Error("a name of 2000 letters makes a log")
	}
}
