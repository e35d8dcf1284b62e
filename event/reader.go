package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// batchBytes is about how much a batch of Next holds at most, whatever number of
// events it is asked for.
const batchBytes = 1 << 20

var (
	errReaderOpen = errors.New("a reader of this name is open already")
	errAhead      = errors.New("the log ends before that: it is another than the one that was read, or an older copy")
)

// Reader goes through the log at its own pace: at least once, in order, from
// where it was when it last committed. The log keeps what it has not committed,
// on disk; a Reader holds no more than one batch in memory. Next, Seek and Close
// are for one goroutine at a time, Commit for any.
type Reader struct {
	log    *Log
	offset *offset
	walk   *walker
}

// Reader opens the reader of a name (small letters, digits, '-', '_'). One that is
// new begins with the oldest event there is, and from now on holds back the
// deletion of what it has not committed, until Forget. A name can be open once.
func (l *Log) Reader(name string) (*Reader, error) {
	if !validReader(name) {
		return nil, fmt.Errorf("event reader %q: a name is small letters, digits, '-' and '_'", name)
	}
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	o := l.readers[name]
	if o == nil {
		var err error
		if o, err = l.newOffset(name); err != nil {
			return nil, fmt.Errorf("event reader %q: %w", name, err)
		}
		l.readers[name] = o
	}
	if o.open {
		return nil, fmt.Errorf("event reader %q: %w", name, errReaderOpen)
	}
	o.open = true
	return &Reader{log: l, offset: o, walk: newWalker(l.dir, l.id, l.enc.seals.by, o.seq)}, nil
}

// Forget lets go of what the reader of a name has not committed, for good. A
// reader that is open is refused.
func (l *Log) Forget(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.readers[name]
	if o == nil {
		return nil
	}
	if o.open {
		return fmt.Errorf("forget event reader %q: %w", name, errReaderOpen)
	}
	delete(l.readers, name)
	return o.remove()
}

// Next gives the events after those it gave last: as many as there are, at most
// the limit (1 or more), and about 1 MiB. It waits until there is one that the
// disk has: after a power cut, one that it has not could be another.
//
// A damaged place is logged, counted and passed over. Other errors leave the
// reader where it is: that of ctx; ErrUnseal if the key is missing or wrong; one
// of reading the disk; or that the log is closed, once everything was given.
func (r *Reader) Next(ctx context.Context, limit int) ([]Event, error) {
	limit = max(limit, 1)
	for {
		end, moved, closed := r.log.readable()
		if events, err := r.batch(end, limit); err != nil || len(events) > 0 {
			return events, err
		}
		if closed {
			return nil, errClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// batch gives what there is before end. An error is kept for the next batch if
// this one has events.
func (r *Reader) batch(end place, limit int) ([]Event, error) {
	var events []Event
	for size := 0; r.walk.pos < end.seq && len(events) < limit && size < batchBytes; {
		ev, gap, err := r.walk.next(end)
		if err == io.EOF { // what is left before end is damaged or gone
			r.walk.damaged(r.walk.scan.off, 0)
			r.walk.pos = end.seq
			r.report(r.walk.endGap(end.seq + 1))
			break
		}
		r.report(gap)
		if err != nil {
			if len(events) > 0 {
				break
			}
			return nil, fmt.Errorf("event reader %q: %w", r.offset.name, err)
		}
		events = append(events, ev)
		size += r.walk.bytes
	}
	return events, nil
}

// report tells of a gap.
func (r *Reader) report(gap *Gap) {
	if gap == nil {
		return
	}
	r.log.metrics.gaps.WithLabelValues(r.offset.name).Inc()
	r.log.metrics.missing.WithLabelValues(r.offset.name).Add(float64(gap.Lost()))
	r.log.log.Error("event log is damaged, and the reading goes on behind", "reader", r.offset.name, "err", gap)
}

// Commit says that everything up to event seq has been dealt with: after a
// restart the reader goes on behind it. To commit less than before changes
// nothing. It is written down before Commit returns, but not synced: after a
// power cut a few events may come again.
func (r *Reader) Commit(seq uint64) error {
	r.offset.writing.Lock()
	defer r.offset.writing.Unlock()
	if seq <= r.Committed() {
		return nil
	}
	return r.set(seq)
}

// Seek has Next go on behind event seq, forwards or back, and commits that; 0 is
// before the oldest event there is. It is for readers that keep their place
// elsewhere. A place behind the end of the log is refused: what was read then was
// another log, or a newer copy of this one.
func (r *Reader) Seek(seq uint64) error {
	r.log.dropping.Lock()
	defer r.log.dropping.Unlock()
	r.offset.writing.Lock()
	defer r.offset.writing.Unlock()
	if seq == 0 {
		var err error
		if seq, err = r.log.beforeOldest(); err != nil {
			return fmt.Errorf("event reader %q: %w", r.offset.name, err)
		}
	}
	if err := r.set(seq); err != nil {
		return err
	}
	r.walk.restart(seq)
	return nil
}

// set commits. The caller holds writing.
func (r *Reader) set(seq uint64) error {
	if last := r.log.last(); seq > last {
		return fmt.Errorf("event reader %q at event %d of %d: %w", r.offset.name, seq, last, errAhead)
	}
	if err := r.offset.write(seq); err != nil {
		return fmt.Errorf("event reader %q: %w", r.offset.name, err)
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.offset.seq = seq
	return nil
}

// Committed gives the last event that was committed.
func (r *Reader) Committed() uint64 {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.offset.seq
}

// Close ends the reader. What it has not committed is still held back for it.
func (r *Reader) Close() {
	r.walk.leave()
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.offset.open = false
}

// last gives the number of the last event written.
func (l *Log) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end.seq
}

// readable gives how far readers may read, what tells them to look again, and
// whether that is all.
func (l *Log) readable() (end place, moved <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced, l.moved, l.ended
}

// drop deletes the segments that every reader has committed and that are older
// than keep.
func (l *Log) drop(keep time.Duration) {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	passed := uint64(math.MaxUint64)
	for _, o := range l.readers {
		passed = min(passed, o.seq)
	}
	l.mu.Unlock()
	if err := l.disk.dropBefore(passed, time.Now().Add(-keep)); err != nil {
		l.log.Error("old events can't be deleted", "err", err)
	}
}
