package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what a Log needs to know.
type Options struct {
	Dir     string       // made if missing; belongs to this node alone
	Node    string       // the node's name, for NodeStarted and a new log's id
	Version string       // the program's version, for NodeStarted
	Log     *slog.Logger // default: slog.Default()

	Seal         Sealer        // seals every event; nil: they are written plain
	SegmentBytes int64         // a segment that would grow longer is ended; default 64 MiB
	Rotate       time.Duration // a segment is ended when its first event is so old; default never
	Keep         time.Duration // events every reader has passed are kept so long; default 0
	ReserveBytes int64         // disk space set aside for when the disk is full; default none
}

const defaultSegment = 64 << 20

// Log is a node's event log, open for writing. Its methods are safe for
// concurrent use.
//
// A segment is written at an offset that the Log keeps itself, not in append
// mode: half a record left by a full disk is overwritten by the next one.
type Log struct {
	id      string
	node    string
	dir     string
	log     *slog.Logger
	disk    volume
	metrics *metrics
	syncer  *syncer
	keeper  *keeper
	full    atomic.Bool   // the reserve was given up
	limit   int64         // of a segment's size
	age     time.Duration // and of its first event's age; 0: none

	dropping sync.Mutex // held while segments are deleted; taken before mu

	mu       sync.Mutex
	enc      *encoder
	file     file          // the segment being written
	end      place         // where the next record goes, and the last one's number
	began    time.Time     // when the first event of the segment was
	endAt    int64         // the segment is ended when it would grow longer
	stuck    bool          // no new segment could be made the last time
	reach    int64         // behind end.off: part of a record that was not written whole
	retired  []file        // segments ended since the last sync
	renewed  bool          // and names made
	synced   place         // the disk has everything before it
	moved    chan struct{} // closed when synced moves
	readers  map[string]*offset
	sinks    []func(Event)
	lost     uint64 // facts not written since the last that was
	writeErr error  // why; nil once writing works again
	closed   bool
	ended    bool // and synced the last time
}

// volume is what a Log needs of its directory. Tests put a failing disk here.
type volume interface {
	create(first uint64, key []byte) (f file, size int64, err error) // a segment with its title
	sync() error                                                     // makes the names of new segments last
	reserve() error                                                  // sets the reserve aside; ErrFull if there is no room
	release() bool                                                   // gives the reserve up; false if there was none
	dropBefore(seq uint64, t time.Time) error                        // deletes old segments without an event after either
	close() error
}

// file is what a Log needs of an *os.File.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

var errClosed = errors.New("event log is closed")

// Open opens the log in a directory, or starts one. Only the newest segment is
// read. What a crash left behind its last whole record is cut off, kept in a file
// beside it, logged and counted; the sequence goes on. NodeStarted is the first
// fact written. A log that another process has open is refused, and so is one
// whose last event can't be unsealed: the key is missing or wrong (ErrUnseal).
func Open(o Options) (*Log, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	d, t, err := openDirectory(o)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	if t.cut > 0 {
		o.Log.Warn("event log had a torn end, which was cut off", "bytes", t.cut, "kept_in", t.kept, "last_event", t.end.seq)
	}
	l := start(d, t, o)
	l.metrics.torn.Add(float64(t.cut))
	if err := l.setAside(); err != nil {
		return nil, errors.Join(fmt.Errorf("open event log: %w", err), l.Close())
	}
	if _, err := l.emit("", NodeStarted{Node: o.Node, Version: o.Version}); err != nil {
		return nil, errors.Join(fmt.Errorf("open event log: %w", err), l.Close())
	}
	return l, nil
}

// start makes a running Log that goes on at a tail.
func start(d volume, t tail, o Options) *Log {
	l := &Log{
		id: t.id, node: o.Node, dir: o.Dir, log: o.Log, disk: d, metrics: newMetrics(), limit: o.SegmentBytes,
		age: o.Rotate, began: t.began, enc: newEncoder(t.seals), file: t.file, end: t.end, synced: t.end,
		moved: make(chan struct{}), readers: t.readers,
	}
	if l.limit <= 0 {
		l.limit = defaultSegment
	}
	l.endAt = l.limit
	l.syncer = newSyncer(l.flush, l.metrics)
	l.keeper = newKeeper(l.mend, func() { l.retire(); l.drop(o.Keep) })
	go l.syncer.run()
	go l.keeper.run()
	return l
}

// Last gives the sequence number of the newest event.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end.seq
}

// ID names this log, and no other: the node's name when the log was begun, and
// letters made by chance. What is kept about events elsewhere is kept under this
// id and the sequence number. A node that lost its disk begins another log, and
// counts from 1 again.
func (l *Log) ID() string { return l.id }

// Emit records a fact about a call ("" if about none) and tells the
// subscribers. It returns after the record has been handed to the operating
// system; the disk has it within 50 ms. A fact that can't be written is
// counted, makes Healthy fail, and still reaches the subscribers, with sequence
// number 0.
func (l *Log) Emit(call string, f Fact) {
	_, _ = l.emit(call, f) // a failure is kept for Healthy
}

// EmitSync is Emit for what must not be lost with the machine either: it
// returns nil once the disk has the fact. On an error the fact may be lost, and
// what it promises must not be promised.
func (l *Log) EmitSync(ctx context.Context, call string, f Fact) error {
	r, err := l.emit(call, f)
	if err != nil {
		return fmt.Errorf("emit %s: %w", f.Kind(), err)
	}
	if err := l.syncer.wait(ctx, r); err != nil {
		return fmt.Errorf("emit %s: %w", f.Kind(), err)
	}
	return nil
}

// Subscribe adds a sink that is called with every event from now on, in order
// of their sequence numbers, before Emit returns. It must be quick and must not
// emit.
func (l *Log) Subscribe(sink func(Event)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sinks = append(l.sinks, sink)
}

// Healthy says why facts are not being kept, or will soon not be (ErrFull), or
// nil if all is well. A failed write is healed by the next that succeeds (one is
// tried every second); a failed sync only by a restart, because after it nothing
// tells which pages the disk has.
func (l *Log) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	var full error
	if l.Full() {
		full = ErrFull
	}
	return errors.Join(full, l.writeErr, l.syncer.failed())
}

// Close writes NodeStopped, syncs and closes the log. Facts emitted after it are
// dropped; readers get what is left and then an error. A second Close does
// nothing.
func (l *Log) Close() error {
	l.keeper.stop()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.put("", NodeStopped{Node: l.node})
	l.closed = true
	err := l.writeErr
	l.mu.Unlock()

	l.syncer.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
	return errors.Join(err, l.syncer.failed(), l.file.Close(), l.disk.close())
}

// emit writes one fact and gives the round of syncing it belongs to.
func (l *Log) emit(call string, f Fact) (*round, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if l.lost > 0 {
		l.admit()
	}
	return l.put(call, f)
}

// put stamps a fact, writes it and tells the subscribers. The caller holds mu.
func (l *Log) put(call string, f Fact) (*round, error) {
	ev := Event{Seq: l.end.seq + 1, At: now(), Call: call, Fact: f}
	err := l.write(ev)
	if err != nil {
		ev.Seq = 0
		l.lost++
		l.metrics.lost.Inc()
		l.fail(err)
	}
	for _, sink := range l.sinks {
		sink(ev)
	}
	if err != nil {
		return nil, err
	}
	return l.syncer.written(), nil
}

// fail notes that facts are being lost, and says so once. The caller holds mu.
func (l *Log) fail(err error) {
	if l.writeErr == nil {
		l.log.Error("facts are being lost: the event log can't be written", "err", err)
		l.keeper.mendSoon()
	}
	l.writeErr = fmt.Errorf("event log can't be written: %w", err)
}

// admit tries to write down how many facts were lost, which also shows whether
// writing works again. It reports whether it does. The caller holds mu.
func (l *Log) admit() bool {
	ev := Event{Seq: l.end.seq + 1, At: now(), Fact: FactsLost{Count: l.lost}}
	if err := l.write(ev); err != nil {
		l.fail(err)
		return false
	}
	l.log.Warn("the event log can be written again", "facts_lost", l.lost)
	l.lost, l.writeErr = 0, nil
	for _, sink := range l.sinks {
		sink(ev)
	}
	l.syncer.written()
	return true
}

// now is the present as events have it: UTC, to the millisecond, no monotonic
// reading, so that an event read back equals the one emitted.
func now() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond)
}

var _ Emitter = (*Log)(nil)
