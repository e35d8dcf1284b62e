package event

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// directory is the volume of a running node: the segments, the reserve, the
// offsets of the readers and the lock.
type directory struct {
	path     string
	id       string // of the log
	lock     *os.File
	reserved int64 // size of the reserve
}

const reserveName = "reserve"

// create makes a segment and its other title, or nothing.
func (d *directory) create(first uint64, key []byte) (file, int64, error) {
	head := title(d.id, key)
	f, err := os.OpenFile(filepath.Join(d.path, segmentName(first)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, 0, err
	}
	s := &begun{File: f}
	if key != nil {
		s.title, err = os.OpenFile(filepath.Join(d.path, keyName(first)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err == nil {
			_, err = s.title.Write(head)
		}
	}
	if err == nil {
		_, err = f.WriteAt(head, 0)
	}
	if err != nil {
		return nil, 0, errors.Join(err, s.Close(), os.Remove(f.Name()), d.removeKey(first))
	}
	return s, int64(len(head)), nil
}

// begun is a segment made by this process. The disk has its other title before
// anything of it counts as synced; that is not waited for while it is made, which
// is within an Emit.
type begun struct {
	*os.File
	title *os.File // nil once it is synced, or there is none
}

// Sync is for one goroutine at a time.
func (b *begun) Sync() error {
	if b.title != nil {
		if err := b.title.Sync(); err != nil {
			return err
		}
		if err := b.closeTitle(); err != nil {
			return err
		}
	}
	return b.File.Sync()
}

func (b *begun) Close() error { return errors.Join(b.closeTitle(), b.File.Close()) }

func (b *begun) closeTitle() error {
	if b.title == nil {
		return nil
	}
	err := b.title.Close()
	b.title = nil
	return err
}

func (d *directory) sync() error { return syncDir(d.path) }

// reserve makes a file of nothing, its blocks allocated. Room must be left beside
// it, so that the state Full doesn't begin again at once.
func (d *directory) reserve() error {
	path := filepath.Join(d.path, reserveName)
	if d.reserved <= 0 {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return asFull(err)
	}
	err = d.allocate(f)
	if err != nil {
		err = errors.Join(err, f.Truncate(0))
	}
	return errors.Join(err, f.Close())
}

func (d *directory) allocate(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if missing := d.reserved - st.Blocks*512; missing > 0 {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
			return err
		}
		if free := int64(fs.Bavail) * fs.Bsize; free < missing+d.reserved/4 {
			return fmt.Errorf("%w: %d bytes are free", ErrFull, free)
		}
		err := unix.Fallocate(int(f.Fd()), 0, 0, d.reserved)
		if errors.Is(err, unix.EOPNOTSUPP) {
			err = fill(f, d.reserved)
		}
		if err != nil {
			return asFull(err)
		}
	}
	return f.Truncate(d.reserved)
}

// fill allocates by writing, where the file system has no other way.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
	}
	return nil
}

func asFull(err error) error {
	if noSpace(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (d *directory) release() bool {
	path := filepath.Join(d.path, reserveName)
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0 && os.Truncate(path, 0) == nil
}

func (d *directory) dropBefore(seq uint64, t time.Time) error {
	firsts, err := listSegments(d.path)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(firsts) && firsts[i+1]-1 <= seq; i++ {
		path := filepath.Join(d.path, segmentName(firsts[i]))
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.ModTime().After(t) {
			break
		}
		if err := errors.Join(os.Remove(path), d.removeKey(firsts[i])); err != nil {
			return err
		}
	}
	return d.dropCuts(t)
}

// removeKey removes the file that has a segment's title again, if there is one.
func (d *directory) removeKey(first uint64) error {
	if err := os.Remove(filepath.Join(d.path, keyName(first))); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// dropCuts deletes torn ends that were kept until a moment: they hold parts of
// events, and are not to outlive those.
func (d *directory) dropCuts(t time.Time) error {
	cuts, err := Cuts(d.path)
	if err != nil {
		return err
	}
	for _, c := range cuts {
		if c.At.After(t) {
			continue
		}
		if err := os.Remove(c.File); err != nil {
			return err
		}
	}
	return nil
}

// close unlocks.
func (d *directory) close() error { return d.lock.Close() }
