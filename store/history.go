package store

import (
	"context"
	"errors"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
)

// historyReader is the history's name among the readers of a node's log.
const historyReader = "history"

// History writes what the nodes' event logs tell into tables.
type History struct {
	s      *Store
	queues map[string]config.Queue
	pace   time.Duration // between batches that are not full: each costs a sync
	limit  time.Duration // a database that hangs is as good as one that is down
	retry  time.Duration // after the first failure
}

// History takes events in. The queues tell the subject class of a visit where its
// fact does not.
func (s *Store) History(queues map[string]config.Queue) *History {
	return &History{s: s, queues: queues, pace: 200 * time.Millisecond, limit: 30 * time.Second, retry: 500 * time.Millisecond}
}

// Origin is whose events are taken in. A sequence number means something
// within one log only: a node that lost its disk begins another and counts from
// 1 again.
type Origin struct {
	Node string // the node's name
	Log  string // the log's id: event.Log's ID
}

// Apply takes in a batch of a log's events, in its order: all of it or, on an
// error, nothing. What has been taken in before changes nothing, so a batch
// whose fate is unknown is simply applied again.
func (h *History) Apply(ctx context.Context, from Origin, batch []event.Event) error {
	return h.apply(ctx, from, 0, batch)
}

// errForgot is of a database that lacks what it had: an older copy of it was
// brought back, or a standby took over that had not got everything.
var errForgot = errors.New("the database has lost history that it had")

// apply is Apply for a database that had all events up to one: if it no longer
// has, errForgot.
func (h *History) apply(ctx context.Context, from Origin, had uint64, batch []event.Event) error {
	if len(batch) == 0 {
		return nil
	}
	began := time.Now()
	applied := 0
	err := h.s.inTx(ctx, "write history", func(t *tx) error {
		applied = 0
		if err := h.s.besideErasures(ctx, t); err != nil {
			return err
		}
		seq, err := t.lockOffset(ctx, from.Log, historyReader)
		if err != nil {
			return err
		}
		if seq < had {
			return errForgot
		}
		w := writer{s: h.s, t: t, from: from, queues: h.queues}
		if err := w.resume(ctx); err != nil {
			return err
		}
		for _, ev := range batch {
			if ev.Seq <= seq {
				continue
			}
			if err := w.write(ctx, ev); err != nil {
				return err
			}
			seq, w.last = ev.Seq, ev.At
			applied++
		}
		if applied == 0 {
			return nil
		}
		if err := t.setOffset(ctx, from.Log, historyReader, seq); err != nil {
			return err
		}
		if err := w.note(ctx); err != nil {
			return err
		}
		// The audit's head is locked last, as everywhere: two transactions that
		// held it and rows each other wants would never end.
		for _, e := range w.acts {
			if err := h.s.note(ctx, t, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.s.metrics.failed.Inc()
		return err
	}
	h.s.metrics.applied.Add(float64(applied))
	h.s.metrics.apply.Observe(time.Since(began).Seconds())
	return nil
}

// Offset gives how far a reader of a log has come: the sequence number of the
// last event it dealt with, 0 if it has not begun.
func (s *Store) Offset(ctx context.Context, log, reader string) (uint64, error) {
	for seq, err := range rows(ctx, s.read, "read log offset", `SELECT seq FROM log_offsets WHERE log = $1 AND reader = $2`,
		[]any{log, reader}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) }) {
		return uint64(seq), err
	}
	return 0, nil
}

// lockOffset reads an offset and keeps others from moving it until the
// transaction ends.
func (t *tx) lockOffset(ctx context.Context, log, reader string) (seq uint64, err error) {
	err = t.row(ctx, `INSERT INTO log_offsets (log, reader, seq) VALUES ($1, $2, 0)
		ON CONFLICT (log, reader) DO UPDATE SET seq = log_offsets.seq RETURNING seq`, []any{log, reader}, &seq)
	return seq, err
}

func (t *tx) setOffset(ctx context.Context, log, reader string, seq uint64) error {
	_, err := t.exec(ctx, `INSERT INTO log_offsets (log, reader, seq) VALUES ($1, $2, $3)
		ON CONFLICT (log, reader) DO UPDATE SET seq = excluded.seq`, log, reader, int64(seq))
	return err
}
