package store

import (
	"context"
	"errors"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// Source is a node's log as the history reads it; *event.Reader is one.
type Source interface {
	// Next gives the next events, at most max; it waits until there is one.
	Next(ctx context.Context, max int) ([]event.Event, error)
	// Commit notes that all events up to a sequence number have been taken in.
	Commit(seq uint64) error
}

const (
	largestBatch = 500
	pace         = 200 * time.Millisecond // between batches that are not full: each costs a sync
	firstRetry   = 500 * time.Millisecond
	longestRetry = 15 * time.Second
	applyLimit   = 30 * time.Second // a database that hangs is as good as one that is down
	tellAgain    = time.Minute
)

// Run takes in a node's log until ctx ends, and gives nil then; any other error
// is the log's. While the database fails it tries again: the log keeps what
// has not been taken in.
func (h *History) Run(ctx context.Context, node string, log Source) error {
	for {
		batch, err := log.Next(ctx, largestBatch)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		if !h.insist(ctx, node, batch) {
			return nil
		}
		if err := log.Commit(batch[len(batch)-1].Seq); err != nil {
			return err
		}
		if len(batch) < largestBatch && !pause(ctx, pace) {
			return nil
		}
	}
}

// insist applies a batch until it has succeeded, or ctx ends.
func (h *History) insist(ctx context.Context, node string, batch []event.Event) bool {
	var told time.Time
	for wait := firstRetry; ; wait = min(2*wait, longestRetry) {
		limited, cancel := context.WithTimeout(ctx, applyLimit)
		err := h.Apply(limited, node, batch)
		cancel()
		switch {
		case err == nil:
			if !told.IsZero() {
				h.s.log.Info("history is being written again")
			}
			return true
		case ctx.Err() != nil:
			return false
		case errors.Is(err, context.DeadlineExceeded) || time.Since(told) > tellAgain:
			h.s.log.Error("history waits for the database; the event log keeps it", "error", err, "from", batch[0].Seq)
			told = time.Now()
		}
		if !pause(ctx, wait) {
			return false
		}
	}
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
