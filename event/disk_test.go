package event

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// disk is a volume in memory that can be full, slow, or fail to sync.
type disk struct {
	hold  chan struct{} // a sync waits until it is closed; nil: none does
	spare int           // size of the reserve

	mu        sync.Mutex
	files     []*diskFile
	room      int // bytes there are; 0: no limit
	set       int // bytes of the reserve in place
	broken    bool
	full      bool // no new segment can be made
	synced    []time.Time
	nameSyncs int
}

// diskFile is one segment.
type diskFile struct {
	disk   *disk
	data   []byte
	closed bool
}

const diskID = "n1-abcdefgh"

// startTest makes a running log on a disk.
func startTest(t *testing.T, d *disk, o Options) *Log {
	t.Helper()
	f, size, err := d.create(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Node, o.Log = "n1", cmp.Or(o.Log, quiet)
	tail := tail{id: diskID, seals: newSeals(diskID, o.Seal), file: f, end: place{first: 1, off: size}, readers: map[string]*offset{}}
	return start(d, tail, o)
}

func (d *disk) create(uint64, []byte) (file, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return nil, 0, syscall.EMFILE
	}
	f := &diskFile{disk: d, data: title(diskID, nil)}
	d.files = append(d.files, f)
	return f, int64(len(f.data)), nil
}

func (d *disk) segments() (n int) {
	d.change(func() { n = len(d.files) })
	return n
}

func (d *disk) used() int {
	n := d.set
	for _, f := range d.files {
		n += len(f.data)
	}
	return n
}

func (d *disk) sync() error {
	d.change(func() { d.nameSyncs++ })
	return nil
}

func (d *disk) reserve() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room > 0 && d.used()-d.set+d.spare > d.room {
		return ErrFull
	}
	d.set = d.spare
	return nil
}

func (d *disk) release() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	had := d.set > 0
	d.set = 0
	return had
}

func (d *disk) dropBefore(uint64, time.Time) error { return nil }

func (d *disk) close() error { return nil }

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := len(p), error(nil)
	if free := d.room - d.used(); d.room > 0 && int(off)+n-len(f.data) > free {
		n, err = max(0, len(f.data)+free-int(off)), syscall.ENOSPC
	}
	if grow := int(off) + n - len(f.data); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[off:], p[:n])
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.change(func() { f.data = f.data[:size] })
	return nil
}

func (f *diskFile) Sync() error {
	d := f.disk
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

func (f *diskFile) Close() error {
	f.disk.change(func() { f.closed = true })
	return nil
}

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
	seq := uint64(0)
	for _, f := range d.files {
		for _, ev := range scanAll(t, f.data) {
			if seq++; ev.Seq != seq {
				t.Fatalf("event %d follows event %d", ev.Seq, seq-1)
			}
			all = append(all, ev.Fact)
		}
	}
	return all
}

// scanAll gives the events of a plain segment.
func scanAll(t *testing.T, data []byte) []Event {
	t.Helper()
	h, err := readTitle(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var all []Event
	s := scanner{r: bytes.NewReader(data), off: h.size, end: int64(len(data))}
	for {
		r, _, err := s.next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		ev, err := newSeals(diskID, nil).event(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ev)
	}
}

// memoryDir gives a folder for logs that a test tears by hand, thousands of times:
// in memory where the system has such a place, since every log that is opened and
// closed waits for the disk, which on a busy machine took minutes.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bugle-event-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
