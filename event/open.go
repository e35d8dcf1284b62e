package event

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const fileName = "events.log"

// tail is an opened log file and where it goes on.
type tail struct {
	file *os.File
	seq  uint64 // of the last whole record
	size int64  // after it
	cut  int64  // bytes cut off behind it
	kept string // file they were moved to
}

// openFile opens and locks the file, and cuts a torn end off it.
func openFile(dir string) (tail, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tail{}, err
	}
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return tail{}, err
	}
	t, err := prepare(f)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return tail{}, errors.Join(err, f.Close())
	}
	return t, nil
}

func prepare(f *os.File) (tail, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return tail{}, fmt.Errorf("%s is in use by another process: every node needs a data_dir of its own", f.Name())
	}
	if err != nil {
		return tail{}, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := f.Chmod(0o600); err != nil {
		return tail{}, err
	}
	t := tail{file: f}
	if err := t.scan(); err != nil {
		return tail{}, err
	}
	return t, t.cutOff()
}

// scan finds the end of the last whole record and its sequence number.
func (t *tail) scan() error {
	s := newScanner(t.file)
	var last []byte
	for {
		payload, err := s.next()
		if err == io.EOF || errors.Is(err, ErrTorn) {
			break
		}
		if err != nil {
			return err
		}
		last = append(last[:0], payload...)
	}
	t.size = s.end
	if last == nil {
		return nil
	}
	ev, err := decode(last)
	if err != nil {
		return fmt.Errorf("%s before offset %d: %w", t.file.Name(), s.end, err)
	}
	t.seq = ev.Seq
	return nil
}

// cutOff moves what stands behind the last whole record to a file of its own.
// After a crash that is half a record, but a damaged disk can leave whole ones
// behind a broken one, and those are not ours to throw away.
func (t *tail) cutOff() error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	t.cut = info.Size() - t.size
	if t.cut <= 0 {
		return nil
	}
	t.kept = fmt.Sprintf("%s.cut-%d-%d", t.file.Name(), t.seq, now().UnixMilli())
	kept, err := os.OpenFile(t.kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keep the torn end of %s: %w", t.file.Name(), err)
	}
	_, err = io.Copy(kept, io.NewSectionReader(t.file, t.size, t.cut))
	if err := errors.Join(err, kept.Sync(), kept.Close()); err != nil {
		return fmt.Errorf("keep the torn end of %s: %w", t.file.Name(), err)
	}
	if err := t.file.Truncate(t.size); err != nil {
		return err
	}
	return t.file.Sync()
}

// syncDir makes a new file's name last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
