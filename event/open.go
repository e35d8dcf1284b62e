package event

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is the file that is locked while the log is open. It holds a segment's
// title, for the day when no segment has a whole one.
const lockName = "lock"

// tail is the newest segment and where it goes on.
type tail struct {
	id      string
	file    file
	seals   *seals    // with the key of file
	began   time.Time // when the first event in file was
	end     place     // behind the last whole record
	cut     int64     // bytes cut off behind it
	kept    string    // file they were moved to
	readers map[string]*offset
}

// openDirectory opens and locks the directory of a log, finds its end, and cuts a
// torn one off.
func openDirectory(o Options) (*directory, tail, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, tail{}, err
	}
	d := &directory{path: o.Dir, reserved: o.ReserveBytes}
	err := d.acquire()
	if err != nil {
		return nil, tail{}, err
	}
	t, err := d.tail(o.Node, o.Seal)
	if err == nil {
		err = syncDir(o.Dir)
	}
	if err != nil {
		if t.file != nil {
			err = errors.Join(err, t.file.Close())
		}
		return nil, tail{}, errors.Join(err, d.close())
	}
	return d, t, nil
}

// acquire locks the directory.
func (d *directory) acquire() error {
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use by another process: every node needs a data_dir of its own", d.path)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.lock = f
	return nil
}

// tail finds the end of the log, and begins one where none is.
func (d *directory) tail(node string, by Sealer) (t tail, err error) {
	if t.readers, err = loadOffsets(d.path); err != nil {
		return t, err
	}
	firsts, err := listSegments(d.path)
	if err != nil {
		return t, err
	}
	if err := d.identify(node, firsts); err != nil {
		return t, err
	}
	t.id, t.seals = d.id, newSeals(d.id, by)
	for last := len(firsts) - 1; last >= 0 && t.file == nil; last-- {
		if err := d.goOn(&t, firsts[last]); err != nil {
			return t, err
		}
	}
	if err := d.tryKey(firsts, by); err != nil {
		return t, err
	}
	// A number that a reader has seen is not given again, whatever was lost.
	for _, o := range t.readers {
		t.end.seq = max(t.end.seq, o.seq)
	}
	if t.file != nil && (by == nil || t.seals.key.sealed != nil) {
		return t, nil
	}
	return t, d.begin(&t)
}

// readFirst makes the key of the tail's segment ready, and finds out since when
// that is.
func (t *tail) readFirst(f *os.File, head int64) error {
	if t.seals.by != nil && t.seals.key.sealed != nil {
		if err := t.seals.ready(); err != nil {
			return err
		}
	}
	s := scanner{r: f, off: head, end: t.end.off}
	r, _, err := s.next()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return err
	}
	if ev, err := t.seals.event(r); err == nil { // else tryKey tells
		t.began = ev.At
	}
	return nil
}

// begin makes a new segment the tail: there is none, or one without a key of its
// own, as older versions wrote them. One that holds nothing is removed.
func (d *directory) begin(t *tail) error {
	if t.file != nil {
		err := t.file.Close()
		if t.end.seq < t.end.first {
			err = errors.Join(err, os.Remove(filepath.Join(d.path, segmentName(t.end.first))))
		}
		if t.file = nil; err != nil {
			return err
		}
	}
	var err error
	t.end.first = t.end.seq + 1
	if t.seals.key, err = t.seals.fresh(t.end.first); err != nil {
		return err
	}
	t.file, t.end.off, err = d.create(t.end.first, t.seals.key.sealed)
	return err
}

// identify finds the log's id, or makes one for a new log.
func (d *directory) identify(node string, firsts []uint64) (err error) {
	if len(firsts) == 0 {
		d.id = node + "-" + strings.ToLower(rand.Text()[:8])
	} else if d.id, err = logID(d.path, firsts); err != nil {
		return err
	}
	if h, err := readTitle(d.lock); err != nil || h.id == d.id {
		return err
	}
	if len(title(d.id, make([]byte, 256))) > maxTitle {
		return fmt.Errorf("a node's name of %d bytes is too long", len(node))
	}
	if _, err := d.lock.WriteAt(title(d.id, nil), 0); err != nil {
		return err
	}
	return d.lock.Sync()
}

// goOn makes a segment the tail, after cutting its torn end off. One that was cut
// off whole, as it holds no more than half a title, leaves the tail as it was.
func (d *directory) goOn(t *tail, first uint64) error {
	f, err := os.OpenFile(filepath.Join(d.path, segmentName(first)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := t.measure(f, first); err != nil {
		return errors.Join(err, f.Close())
	}
	if t.end.off == 0 {
		return errors.Join(os.Remove(f.Name()), d.removeKey(first), f.Close())
	}
	h, err := segmentTitle(d.path, f, first)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.file, t.seals.key = f, segmentKey{first: first, sealed: h.key}
	return t.readFirst(f, h.size)
}

// measure finds the end of the last whole record, and cuts off what is behind it.
func (t *tail) measure(f *os.File, first uint64) error {
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	last, end, size, err := lastRecord(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	t.end = place{first: first, off: end, seq: max(last.seq, first-1)}
	return t.cutOff(f, size)
}

// tryKey unseals the log's last event. There may be none in the newest segments.
func (d *directory) tryKey(firsts []uint64, by Sealer) error {
	for _, first := range slices.Backward(firsts) {
		f, err := os.Open(filepath.Join(d.path, segmentName(first)))
		if errors.Is(err, os.ErrNotExist) { // it was cut off whole
			continue
		}
		if err != nil {
			return err
		}
		last, _, _, err := lastRecord(f)
		if err == nil && last.seq > 0 {
			var h heading
			seals := newSeals(d.id, by)
			h, err = segmentTitle(d.path, f, first)
			seals.key = segmentKey{first: first, sealed: h.key}
			if _, fail := seals.open(last); err == nil && !errors.Is(fail, errNoSegmentKey) {
				err = fail // of a segment whose key is gone nothing is known
			}
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read the end of %s: %w", f.Name(), err)
		}
		if last.seq > 0 {
			return nil
		}
	}
	return nil
}

// lastRecord gives the last whole record of a segment, or the zero record if
// there is none; the offset behind it or else behind the title; and the file's
// size.
func lastRecord(f *os.File) (last record, end, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return record{}, 0, 0, err
	}
	h, err := readTitle(f)
	if err != nil {
		return record{}, 0, 0, err
	}
	head := h.size
	s := scanner{r: f, off: head, end: info.Size()}
	for {
		r, _, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return record{}, 0, 0, err
		}
		last.off = r.off
	}
	if s.off > head {
		last, _, err = s.recordAt(last.off)
	}
	return last, s.off, s.end, err
}

// cutOff moves what stands behind the last whole record to a file of its own.
func (t *tail) cutOff(f *os.File, size int64) error {
	cut := size - t.end.off
	if cut <= 0 {
		return nil
	}
	t.cut += cut
	t.kept = cutName(f.Name(), t.end.seq, now())
	kept, err := os.OpenFile(t.kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keep the torn end of %s: %w", f.Name(), err)
	}
	_, err = io.Copy(kept, io.NewSectionReader(f, t.end.off, cut))
	if err := errors.Join(err, kept.Sync(), kept.Close()); err != nil {
		return fmt.Errorf("keep the torn end of %s: %w", f.Name(), err)
	}
	if err := f.Truncate(t.end.off); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes a new file's name last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var _ file = (*os.File)(nil)
