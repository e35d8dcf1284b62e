package store

import (
	"context"
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
}

// History takes events in. The queues tell the subject class of a visit.
func (s *Store) History(queues map[string]config.Queue) *History {
	return &History{s: s, queues: queues}
}

// Apply takes in a batch of a node's events, in the order of its log: all of
// it or, on an error, nothing. What has been taken in before changes nothing,
// so a batch whose fate is unknown is simply applied again.
//
// Known is an event whose sequence number is not above the last one taken in,
// and which is not younger than the youngest. The second half matters after a
// power failure: the disk may have lost a log's last events after we had them,
// and the log then gives their numbers to others.
func (h *History) Apply(ctx context.Context, node string, batch []event.Event) error {
	if len(batch) == 0 {
		return nil
	}
	began := time.Now()
	applied := 0
	err := h.s.inTx(ctx, "write history", func(t *tx) error {
		applied = 0
		p, err := t.lockPosition(ctx, node, historyReader)
		if err != nil {
			return err
		}
		w := writer{t: t, node: node, queues: h.queues}
		for _, ev := range batch {
			if p.has(ev) {
				continue
			}
			if err := w.write(ctx, ev); err != nil {
				return err
			}
			p.seq, p.at = ev.Seq, max(p.at, ev.At.UnixMilli())
			applied++
		}
		if applied == 0 {
			return nil
		}
		return t.setPosition(ctx, node, historyReader, p)
	})
	if err != nil {
		h.s.metrics.failed.Inc()
		return err
	}
	h.s.metrics.applied.Add(float64(applied))
	h.s.metrics.apply.Observe(time.Since(began).Seconds())
	return nil
}

// Offset gives the sequence number of the last event of a node that was taken
// in, 0 if none was. A log that ends before it has lost its end; reading goes
// on where that log ends.
func (h *History) Offset(ctx context.Context, node string) (uint64, error) {
	return h.s.Offset(ctx, node, historyReader)
}

// Offset gives how far a reader of a node's log has come, 0 if not anywhere.
func (s *Store) Offset(ctx context.Context, node, reader string) (uint64, error) {
	for seq, err := range rows(ctx, s.read, "read log offset", `SELECT seq FROM log_offsets WHERE node = $1 AND reader = $2`,
		[]any{node, reader}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) }) {
		return uint64(seq), err
	}
	return 0, nil
}

// SetOffset notes how far another reader of a node's log has come.
func (s *Store) SetOffset(ctx context.Context, node, reader string, seq uint64) error {
	return s.inTx(ctx, "write log offset", func(t *tx) error {
		return t.setPosition(ctx, node, reader, position{seq: seq})
	})
}

// position is how far a reader has come in a node's log.
type position struct {
	seq uint64
	at  int64 // of the youngest event
}

func (p position) has(ev event.Event) bool { return ev.Seq <= p.seq && ev.At.UnixMilli() <= p.at }

// lockPosition reads a position and keeps others from moving it until the
// transaction ends.
func (t *tx) lockPosition(ctx context.Context, node, reader string) (position, error) {
	var p position
	err := t.row(ctx, `INSERT INTO log_offsets (node, reader, seq, at) VALUES ($1, $2, 0, 0)
		ON CONFLICT (node, reader) DO UPDATE SET seq = log_offsets.seq RETURNING seq, at`, []any{node, reader}, &p.seq, &p.at)
	return p, err
}

func (t *tx) setPosition(ctx context.Context, node, reader string, p position) error {
	_, err := t.exec(ctx, `INSERT INTO log_offsets (node, reader, seq, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (node, reader) DO UPDATE SET seq = excluded.seq, at = excluded.at`, node, reader, int64(p.seq), p.at)
	return err
}
