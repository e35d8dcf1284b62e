package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Every segment has a key of its own, and a newer key of the Sealer leaves the
// older segments readable.
func TestEverySegmentHasItsKey(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, testKey(1))
	steps(l, 0, 60)
	l.Renew()
	l.Renew() // there is nothing in it yet
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	firsts := segments(t, dir)
	for _, first := range firsts {
		h, err := fileTitle(filepath.Join(dir, segmentName(first)))
		if err != nil || h.key == nil {
			t.Fatalf("segment %d: %+v, %v", first, h, err)
		}
		s := newSeals(h.id, testKey(1))
		plain, err := testKey(1).Unseal(h.key, s.place(first))
		if err != nil || len(plain) != 32 || keys[string(plain)] {
			t.Errorf("segment %d: a key of %d bytes, known %t, %v", first, len(plain), keys[string(plain)], err)
		}
		keys[string(plain)] = true
		again, err := fileTitle(filepath.Join(dir, keyName(first)))
		if err != nil || !bytes.Equal(again.key, h.key) {
			t.Errorf("beside segment %d: %v, %v", first, again, err)
		}
	}
	if last := firsts[len(firsts)-1]; last != 62 || len(firsts) < 3 {
		t.Errorf("segments %v, want the last to begin after Renew", firsts)
	}
	if n := len(whole(t, dir, testKey(1))); n != 62 {
		t.Errorf("%d events", n)
	}
}

// A segment whose key is gone from both its places is a gap; what is in the
// others is read, and the log goes on.
func TestASegmentWithoutItsKeyIsAGap(t *testing.T) {
	dir := t.TempDir()
	by := testKey(1)
	l := openSealed(t, dir, by)
	steps(l, 0, 60)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	firsts := segments(t, dir)
	spoil := func(first uint64) {
		path := filepath.Join(dir, segmentName(first))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(keyedTitle)+30] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil(firsts[1])
	if all, gaps := readPast(t, dir, by); len(all) != 62 || len(gaps) != 1 || gaps[0].Lost() != 0 {
		t.Fatalf("%d events with one of two places damaged, gaps %v", len(all), gaps)
	}
	if err := os.Remove(filepath.Join(dir, keyName(firsts[1]))); err != nil {
		t.Fatal(err)
	}
	all, gaps := readPast(t, dir, by)
	want := 62 - int(firsts[2]-firsts[1])
	if len(all) != want || len(gaps) != 1 || gaps[0].After != firsts[1]-1 || gaps[0].Next != firsts[2] {
		t.Errorf("%d events, want %d; gaps %v", len(all), want, gaps)
	}
	last := firsts[len(firsts)-1]
	spoil(last)
	if err := os.Remove(filepath.Join(dir, keyName(last))); err != nil {
		t.Fatal(err)
	}
	l = openSealed(t, dir, by)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l.Last() != 64 {
		t.Errorf("the log ends with event %d", l.Last())
	}
}

// oldSegment writes a segment as versions did whose Sealer sealed every event.
func oldSegment(t *testing.T, dir string, by Sealer, events ...Event) {
	t.Helper()
	data := title("n1-abcdefgh", nil)
	s := newSeals("n1-abcdefgh", by)
	for _, ev := range events {
		plain := encodeTest(t, nil, ev)[headerSize:]
		record, err := by.SealAppend(make([]byte, headerSize), plain, s.to(ev.Seq))
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint32(record, sealedMark)
		binary.BigEndian.PutUint32(record[4:], uint32(len(record)-headerSize))
		binary.BigEndian.PutUint64(record[8:], ev.Seq)
		binary.BigEndian.PutUint32(record[crcAt:], checksum(record))
		data = append(data, record...)
	}
	first := uint64(1)
	if len(events) > 0 {
		first = events[0].Seq
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(first)), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, lockName), title("n1-abcdefgh", nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOldSegmentsAreRead(t *testing.T) {
	for _, old := range [][]Event{nil, {{Seq: 1, Call: "c", Fact: CallAnswered{}}, {Seq: 2, Call: "c", Fact: StepEntered{Step: "menu"}}}} {
		dir, by := t.TempDir(), testKey(1)
		oldSegment(t, dir, by, old...)
		l := openSealed(t, dir, by)
		l.Emit("c", CallEnded{})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		all := whole(t, dir, by)
		if len(all) != len(old)+3 || len(old) > 0 && all[1].Fact != old[1].Fact {
			t.Errorf("read %+v", all)
		}
		last := segments(t, dir)
		if h, err := fileTitle(filepath.Join(dir, segmentName(last[len(last)-1]))); err != nil || h.key == nil || last[len(last)-1] != uint64(len(old)+1) {
			t.Errorf("the log goes on in %v with %+v, %v", last, h, err)
		}
	}
}

// A segment is ended when it is old, if there is anything in it.
func TestRotationByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		l := startTest(t, d, Options{Rotate: 24 * time.Hour})
		time.Sleep(25 * time.Hour)
		if n := d.segments(); n != 1 {
			t.Errorf("%d segments of nothing", n)
		}
		l.Emit("c", CallAnswered{})
		time.Sleep(23 * time.Hour)
		l.Emit("c", CallAnswered{})
		if n := d.segments(); n != 1 {
			t.Errorf("%d segments within a day", n)
		}
		time.Sleep(2 * time.Hour)
		if n := d.segments(); n != 2 {
			t.Errorf("%d segments after a day", n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// How old a segment is outlives a restart.
func TestRotationByAgeAfterARestart(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, testKey(1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	began := whole(t, dir, testKey(1))[0].At
	l = openSealed(t, dir, testKey(1))
	if !l.began.Equal(began) {
		t.Errorf("the segment began at %v, want %v", l.began, began)
	}
	l.mu.Lock()
	l.age, l.began = 24*time.Hour, began.Add(-25*time.Hour)
	l.mu.Unlock()
	l.retire()
	l.Emit("c", CallAnswered{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if firsts := segments(t, dir); len(firsts) != 2 || firsts[1] != 4 {
		t.Errorf("segments %v", firsts)
	}
}

// What a segment leaves beside itself goes when it goes.
func TestNothingIsLeftOfOldSegments(t *testing.T) {
	dir := t.TempDir()
	l := openSealed(t, dir, testKey(1))
	steps(l, 0, 60)
	syncTest(t, l)
	old := segments(t, dir)
	cut := cutName(filepath.Join(dir, segmentName(old[0])), 7, time.Now().Add(-2*time.Hour))
	young := cutName(filepath.Join(dir, segmentName(old[0])), 9, time.Now())
	for _, path := range []string{cut, young} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cuts, err := Cuts(dir)
	if err != nil || len(cuts) != 2 || cuts[0].After != 7 || cuts[0].Bytes != 4 || cuts[0].File != cut {
		t.Errorf("cuts %v, %v", cuts, err)
	}
	l.drop(time.Hour)
	if _, err := os.Stat(cut); !os.IsNotExist(err) {
		t.Errorf("an old cut is left: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young cut has gone: %v", err)
	}
	l.drop(-time.Second)
	left, err := filepath.Glob(filepath.Join(dir, "*"+keySuffix))
	if err != nil || len(left) != 1 || len(segments(t, dir)) != 1 {
		t.Errorf("left: %v, %v of %d segments", left, err, len(old))
	}
}

func TestNewest(t *testing.T) {
	dir, by := t.TempDir(), testKey(1)
	l := openSealed(t, dir, by)
	l.Emit("", AuditHead{Node: "n1", Seq: 1})
	l.Emit("", AuditHead{Node: "n1", Seq: 2})
	steps(l, 0, 60) // in segments behind
	syncTest(t, l)
	ev, found, err := Newest(dir, by, "audit.head", 1<<20)
	if h, ok := ev.Fact.(AuditHead); err != nil || !found || !ok || h.Seq != 2 {
		t.Errorf("got %+v, %t, %v", ev, found, err)
	}
	if _, found, err := Newest(dir, by, "call.ended", 1<<20); found || err != nil {
		t.Errorf("of a kind that is not there: %t, %v", found, err)
	}
	if _, found, err := Newest(dir, by, "audit.head", 4000); found || err != nil { // two or three segments
		t.Errorf("it read on where it should not: %t, %v", found, err)
	}
	l.Emit("", AuditHead{Node: "n1", Seq: 3})
	syncTest(t, l)
	if _, found, err := Newest(dir, by, "audit.head", 0); !found || err != nil {
		t.Errorf("the newest segment was not read: %t, %v", found, err)
	}
}

// A disk on which no segment can be made is told of once, and an old segment is not
// let grow by trying to end it.
func TestRotationByAgeOnAFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, said := &disk{}, &bytes.Buffer{}
		l := startTest(t, d, Options{Rotate: 24 * time.Hour, Log: slog.New(slog.NewTextHandler(said, nil))})
		l.Emit("c", CallAnswered{})
		d.change(func() { d.full = true })
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		if l.endAt != l.limit {
			t.Errorf("the segment may grow to %d, not %d", l.endAt, l.limit)
		}
		if n := strings.Count(said.String(), "can't begin a new segment"); n != 1 {
			t.Errorf("told %d times", n)
		}
		d.change(func() { d.full = false })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := d.segments(); n != 2 || !strings.Contains(said.String(), "can begin new segments again") {
			t.Errorf("%d segments after the disk was mended; told %s", n, said)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A segment that can't be made leaves nothing of it, and takes nothing of another.
func TestASegmentThatCantBeMade(t *testing.T) {
	d := &directory{path: t.TempDir(), id: "n1-abcdefgh"}
	f, _, err := d.create(1, []byte("its key"))
	if err != nil {
		t.Fatal(err)
	}
	if b := f.(*begun); b.title == nil {
		t.Error("the other title is not to be synced")
	} else if err := b.Sync(); err != nil || b.title != nil {
		t.Errorf("after a sync the other title is still to be synced: %v", err)
	}
	if _, _, err := d.create(1, []byte("another key")); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if h, err := fileTitle(filepath.Join(d.path, keyName(1))); err != nil || string(h.key) != "its key" {
		t.Errorf("the first one's other title is %+v, %v", h, err)
	}
	if err := os.Mkdir(filepath.Join(d.path, keyName(7)), 0o700); err != nil { // so that it can't be written
		t.Fatal(err)
	}
	if _, _, err := d.create(7, []byte("its key")); err == nil {
		t.Error("made without its key")
	}
	if err := os.Mkdir(filepath.Join(d.path, segmentName(9)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.create(9, []byte("its key")); err == nil {
		t.Error("made where a folder is")
	}
	for _, name := range []string{segmentName(7), keyName(9)} {
		if _, err := os.Stat(filepath.Join(d.path, name)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
