package event

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockName is the file that is locked while the log is open. It holds a segment's
// title, for the day when no segment has a whole one.
const lockName = "lock"

// tail is the newest segment and where it goes on.
type tail struct {
	id      string
	file    file
	end     place  // behind the last whole record
	cut     int64  // bytes cut off behind it
	kept    string // file they were moved to
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
	t.id = d.id
	for len(firsts) > 0 && t.file == nil {
		last := len(firsts) - 1
		if err := d.goOn(&t, firsts[last], by); err != nil {
			return t, err
		}
		firsts = firsts[:last]
	}
	// A number that a reader has seen is not given again, whatever was lost.
	for _, o := range t.readers {
		t.end.seq = max(t.end.seq, o.seq)
	}
	if t.file != nil {
		return t, nil
	}
	t.end.first = t.end.seq + 1
	t.file, t.end.off, err = d.create(t.end.first)
	return t, err
}

// identify finds the log's id, or makes one for a new log.
func (d *directory) identify(node string, firsts []uint64) (err error) {
	if len(firsts) == 0 {
		d.id = node + "-" + strings.ToLower(rand.Text()[:8])
	} else if d.id, err = logID(d.path, firsts); err != nil {
		return err
	}
	id, _, err := readTitle(d.lock)
	if err != nil || d.id != "" && d.id == id {
		return err
	}
	if d.id == "" {
		d.id = id
	}
	if d.id == "" {
		return fmt.Errorf("no file in %s tells the log's id: move them away to begin another log", d.path)
	}
	if _, err := d.lock.WriteAt(title(d.id), 0); err != nil {
		return err
	}
	return d.lock.Sync()
}

// goOn makes a segment the tail, after cutting its torn end off. One that was cut
// off whole, as it holds no more than half a title, leaves the tail as it was.
func (d *directory) goOn(t *tail, first uint64, by Sealer) error {
	f, err := os.OpenFile(filepath.Join(d.path, segmentName(first)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := d.measure(f, t, first, by); err != nil {
		return errors.Join(err, f.Close())
	}
	if t.end.off == 0 {
		return errors.Join(os.Remove(f.Name()), f.Close())
	}
	t.file = f
	return nil
}

// measure finds the end of the last whole record.
func (d *directory) measure(f *os.File, t *tail, first uint64, by Sealer) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	_, head, err := readTitle(f)
	if err != nil {
		return err
	}
	t.end = place{first: first, off: head, seq: first - 1}
	last, end, err := lastRecord(f, head, info.Size())
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if end > head {
		t.end.off, t.end.seq = end, last.seq
		_, err := newSeals(d.id, by).open(last)
		if err != nil {
			return fmt.Errorf("the last of %s: %w", f.Name(), err)
		}
	}
	return t.cutOff(f, info.Size())
}

// lastRecord gives the last whole record of a segment and the offset behind it.
func lastRecord(r io.ReaderAt, head, size int64) (last record, end int64, err error) {
	s := scanner{r: r, off: head, end: size}
	for {
		rec, _, err := s.next()
		if err == io.EOF {
			return last, s.off, nil
		}
		if err != nil {
			return record{}, 0, err
		}
		keep := append(last.payload[:0], rec.payload...)
		last = rec
		last.payload = keep
	}
}

// cutOff moves what stands behind the last whole record to a file of its own.
func (t *tail) cutOff(f *os.File, size int64) error {
	cut := size - t.end.off
	if cut <= 0 {
		return nil
	}
	t.cut += cut
	t.kept = fmt.Sprintf("%s.cut-%d-%d", f.Name(), t.end.seq, now().UnixMilli())
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
