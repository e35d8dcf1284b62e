package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
)

// callbackWithin is how soon a caller whom our failure threw out of line is owed
// a call.
const callbackWithin = 4 * time.Hour

// lastLife is what a node knows, at its start, of the one before.
type lastLife struct {
	node  string
	until uint64    // its last event, or one of this life's first
	born  time.Time // when this life began
}

// oweInterrupted makes callbacks of the visits that this node's last life left
// without an end: a crash, kill -9. It waits until the history has taken in all
// that life wrote down, and for a database that is away. A visit becomes one
// callback, however often it is found, because the callback has the visit's id.
func (n *node) oweInterrupted(ctx context.Context, last lastLife) error {
	wait := time.NewTicker(200 * time.Millisecond)
	defer wait.Stop()
	for {
		switch done, err := n.tryOwe(ctx, last); {
		case done || ctx.Err() != nil:
			return nil
		case err != nil:
			n.log.Error("callers cut off by the last stop are not called back yet", "error", err)
			wait.Reset(15 * time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
	}
}

// tryOwe reports false while the history is not there yet.
func (n *node) tryOwe(ctx context.Context, last lastLife) (done bool, err error) {
	taken, err := n.store.Offset(ctx, n.events.ID(), "history")
	if err != nil || taken < last.until {
		return false, err
	}
	open, err := n.store.OpenVisits(ctx, last.node)
	if err != nil {
		return false, err
	}
	for _, v := range open {
		if !v.Joined.Before(last.born) {
			continue // this life's
		}
		if _, err := n.store.CallBack(ctx, store.Interrupted, v, callbackWithin); err != nil {
			return false, fmt.Errorf("owe a callback for visit %s: %w", v.ID, err)
		}
		result := event.CallBack
		if v.CallerHash == "" {
			result = event.FlowedOut // the number was withheld: nobody to call
		}
		n.log.Warn("a caller was cut off by the last stop", "call", v.Call, "queue", v.Queue, "becomes", result)
		n.events.Emit(v.Call, event.VisitEnded{
			Visit: v.ID, Queue: v.Queue, Language: v.Language, Result: result, Waited: last.born.Sub(v.Joined),
		})
	}
	return true, nil
}
