package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Options is what a Log needs to know.
type Options struct {
	Dir     string       // made if missing; belongs to this node alone
	Node    string       // the node's name, for NodeStarted
	Version string       // the program's version, likewise
	Log     *slog.Logger // default: slog.Default()
}

// Log is a node's event log, open for writing. Its methods are safe for
// concurrent use.
//
// The file is written at an offset that the Log keeps itself, not in append
// mode: half a record left by a full disk is overwritten by the next one.
type Log struct {
	node    string
	log     *slog.Logger
	file    file
	metrics *metrics
	syncer  *syncer

	mu       sync.Mutex
	enc      *encoder
	seq      uint64 // of the last record written
	size     int64  // where the next record goes
	sinks    []func(Event)
	lost     uint64 // facts not written since the last that was
	writeErr error  // why; nil once writing works again
	closed   bool
}

// file is what a Log needs of an *os.File. Tests put a failing disk here.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Sync() error
	Close() error
}

var errClosed = errors.New("event log is closed")

// Open opens the log in a directory, or starts one. What a crash left behind
// the last whole record is cut off, kept in a file beside it, logged and
// counted; the sequence goes on. NodeStarted is the first fact written. A log
// that another process has open is refused.
func Open(o Options) (*Log, error) {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	tail, err := openFile(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	if tail.cut > 0 {
		log.Warn("event log had a torn end, which was cut off", "bytes", tail.cut, "kept_in", tail.kept, "last_event", tail.seq)
	}
	l := start(tail.file, tail.seq, tail.size, o.Node, log)
	l.metrics.torn.Add(float64(tail.cut))
	if _, err := l.append("", NodeStarted{Node: o.Node, Version: o.Version}); err != nil {
		return nil, errors.Join(fmt.Errorf("open event log: %w", err), l.Close())
	}
	return l, nil
}

// start makes a running Log of an open file.
func start(f file, seq uint64, size int64, node string, log *slog.Logger) *Log {
	l := &Log{node: node, log: log, file: f, metrics: newMetrics(), enc: newEncoder(), seq: seq, size: size}
	l.syncer = newSyncer(f, l.metrics, l.mend)
	go l.syncer.run()
	return l
}

// Emit records a fact about a call ("" if about none) and tells the
// subscribers. It returns after the record has been handed to the operating
// system; the disk has it within 50 ms. A fact that can't be written is
// counted, makes Healthy fail, and still reaches the subscribers, with sequence
// number 0.
func (l *Log) Emit(call string, f Fact) {
	_, _ = l.append(call, f) // a failure is kept for Healthy
}

// EmitSync is Emit for what must not be lost with the machine either: it
// returns nil once the disk has the fact. On an error the fact may be lost, and
// what it promises must not be promised.
func (l *Log) EmitSync(ctx context.Context, call string, f Fact) error {
	r, err := l.append(call, f)
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

// Healthy says why facts are not being kept, or nil if they are. A failed write
// is healed by the next that succeeds (one is tried every second); a failed
// sync only by a restart, because after it nothing tells which pages the disk
// has.
func (l *Log) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	return errors.Join(l.writeErr, l.syncer.failed())
}

// Close writes NodeStopped, syncs and closes the file. Facts emitted after it
// are dropped. A second Close does nothing.
func (l *Log) Close() error {
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
	return errors.Join(err, l.syncer.failed(), l.file.Close())
}

// append writes one fact and gives the round of syncing it belongs to.
func (l *Log) append(call string, f Fact) (*round, error) {
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
	ev := Event{Seq: l.seq + 1, At: now(), Call: call, Fact: f}
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

// write puts one record at the end of the file. The caller holds mu.
func (l *Log) write(ev Event) error {
	record, err := l.enc.encode(ev)
	if err != nil {
		return err
	}
	if _, err := l.file.WriteAt(record, l.size); err != nil {
		return err
	}
	l.seq = ev.Seq
	l.size += int64(len(record))
	l.metrics.events.Inc()
	l.metrics.bytes.Add(float64(len(record)))
	return nil
}

// fail notes that facts are being lost, and says so once. The caller holds mu.
func (l *Log) fail(err error) {
	if l.writeErr == nil {
		l.log.Error("facts are being lost: the event log can't be written", "err", err)
		l.syncer.mendSoon()
	}
	l.writeErr = fmt.Errorf("event log can't be written: %w", err)
}

// admit tries to write down how many facts were lost, which also shows whether
// writing works again. It reports whether it does. The caller holds mu.
func (l *Log) admit() bool {
	ev := Event{Seq: l.seq + 1, At: now(), Fact: FactsLost{Count: l.lost}}
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

// mend is admit for the syncer, which calls it every second while facts are
// being lost: a node that takes no calls for want of a log emits nothing that
// would show that the disk has room again. It reports whether there is nothing
// left to mend.
func (l *Log) mend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed || l.lost == 0 || l.admit()
}

// now is the present as events have it: UTC, to the millisecond, no monotonic
// reading, so that an event read back equals the one emitted.
func now() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond)
}

var _ file = (*os.File)(nil)
var _ Emitter = (*Log)(nil)
