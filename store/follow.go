package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// Source is a node's log as the history reads it; *event.Reader is one.
type Source interface {
	// Seek has Next go on behind event seq; it refuses a place behind the end.
	Seek(seq uint64) error
	// Next gives the next events, at most limit; it waits until there is one.
	Next(ctx context.Context, limit int) ([]event.Event, error)
	// Commit notes that all events up to seq have been dealt with.
	Commit(seq uint64) error
}

const (
	largestBatch = 500
	longestRetry = 15 * time.Second
	tellAgain    = time.Minute
)

// Run takes in a log until ctx ends, and gives nil then. While the database or
// the log's disk fails it tries again: the log keeps what has not been taken
// in. A database that has lost what it had, since an older copy of it took over,
// is told again. An error says that this is not the log it was, but an older copy.
func (h *History) Run(ctx context.Context, from Origin, log Source) error {
	for {
		last, ok, err := h.resume(ctx, from, log)
		if !ok || err != nil {
			return err
		}
		if !h.follow(ctx, from, log, last) {
			return nil
		}
	}
}

// resume has the log go on where the database is, and gives that place.
func (h *History) resume(ctx context.Context, from Origin, log Source) (last uint64, ok bool, err error) {
	if !h.insist(ctx, "read how far the history is", func(ctx context.Context) (err error) {
		last, err = h.s.Offset(ctx, from.Log, historyReader)
		return err
	}) {
		return 0, false, nil
	}
	if err := log.Seek(last); err != nil {
		return 0, false, fmt.Errorf("store: history has event %d of log %s: %w", last, from.Log, err)
	}
	return last, true, nil
}

// follow takes in what comes after an event. It ends when ctx does, and reports
// true if it must resume, as the database no longer has that event.
func (h *History) follow(ctx context.Context, from Origin, log Source, last uint64) (again bool) {
	p := portion{size: largestBatch}
	for {
		batch, ok := h.next(ctx, log)
		if !ok {
			return false
		}
		full := len(batch) == largestBatch
		for len(batch) > 0 {
			n, forgot, ok := h.take(ctx, from, last, batch, &p)
			if forgot {
				h.s.log.Error("the database has lost history that it had; the event log tells it again", "log", from.Log, "had", last)
				return true
			}
			if !ok {
				return false
			}
			last, batch = batch[n-1].Seq, batch[n:]
			if !h.insist(ctx, "commit to the log", func(context.Context) error { return log.Commit(last) }) {
				return false
			}
		}
		if !full && !pause(ctx, h.pace) {
			return false
		}
	}
}

// take takes in the first n events of a batch: as many as the database manages
// within the limit.
func (h *History) take(ctx context.Context, from Origin, last uint64, batch []event.Event, p *portion) (n int, forgot, ok bool) {
	ok = h.insist(ctx, "write history", func(ctx context.Context) error {
		n = min(p.size, len(batch))
		began := time.Now()
		err := h.apply(ctx, from, last, batch[:n])
		switch {
		case errors.Is(err, errForgot):
			forgot = true
			return nil
		case err == nil:
			p.done(time.Since(began), h.limit)
		case errors.Is(ctx.Err(), context.DeadlineExceeded): // drivers name it differently
			p.late(n)
		}
		return err
	})
	return n, forgot, ok
}

// portion is how many events one transaction takes in.
type portion struct{ size int }

// late is that so many were too many for the limit of time.
func (p *portion) late(n int) { p.size = max(1, n/2) }

// done lets it grow again, unless twice as many would be too many again.
func (p *portion) done(took, limit time.Duration) {
	if 2*took < limit {
		p.size = min(2*p.size, largestBatch)
	}
}

// next waits for events, for as long as that takes.
func (h *History) next(ctx context.Context, log Source) (batch []event.Event, ok bool) {
	ok = h.try(ctx, "read the event log", func() (err error) {
		batch, err = log.Next(ctx, largestBatch)
		return err
	})
	return batch, ok
}

// insist does something until it has succeeded, and reports false if ctx ended
// before. Each try has a limit of time.
func (h *History) insist(ctx context.Context, doing string, f func(context.Context) error) bool {
	return h.try(ctx, doing, func() error {
		limited, cancel := context.WithTimeout(ctx, h.limit)
		defer cancel()
		return f(limited)
	})
}

// try is insist without the limit. It tells of a failure at once and then
// every minute, and of its end.
func (h *History) try(ctx context.Context, doing string, f func() error) bool {
	var told time.Time
	defer h.s.metrics.waiting.Set(0)
	for wait := h.retry; ; wait = min(2*wait, longestRetry) {
		err := f()
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			if !told.IsZero() {
				h.s.log.Info("the history goes on")
			}
			return true
		case time.Since(told) > tellAgain:
			h.s.log.Error("the history waits; the event log keeps what happens", "doing", doing, "error", err)
			told = time.Now()
		}
		h.s.metrics.waiting.Set(1)
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
