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
	until uint64 // one of this life's first events: all of the last life's are before it
}

// oweInterrupted makes callbacks of the visits that this node's last life left
// without an end: a crash, kill -9. It waits until the history has taken in all
// that life wrote down, and for a database that is away. A visit becomes one
// callback, however often it is found, because the callback has the visit's id.
func (n *node) oweInterrupted(ctx context.Context, last lastLife) error {
	return n.untilDone(ctx, func(ctx context.Context) (bool, error) { return n.tryOwe(ctx, last) })
}

// untilDone tries to owe callbacks until it is done or ctx ends. What keeps it from
// that is told at once, and then once a minute.
func (n *node) untilDone(ctx context.Context, try func(context.Context) (done bool, err error)) error {
	wait := 200 * time.Millisecond
	for told := (time.Time{}); ; {
		limited, cancel := context.WithTimeout(ctx, tryTimeout)
		done, err := try(limited)
		cancel()
		if done || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			wait = 15 * time.Second
			if time.Since(told) >= time.Minute {
				n.log.Error("callers cut off by the last stop are not called back yet", "error", err)
				told = time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// tryOwe reports false while the history is not there yet.
func (n *node) tryOwe(ctx context.Context, last lastLife) (done bool, err error) {
	taken, err := n.store.Offset(ctx, n.events.ID(), "history")
	if err != nil || taken < last.until {
		return false, err
	}
	cut, err := n.store.CutOff(ctx, last.node)
	if err != nil {
		return false, err
	}
	for _, v := range cut {
		if err := n.owe(ctx, v); err != nil {
			return false, fmt.Errorf("owe a callback for visit %s: %w", v.ID, err)
		}
	}
	return true, nil
}

// owe makes a callback of a visit and tells its end. Who withheld his number can't
// be called back: we took him out of line, as the formulas have it.
func (n *node) owe(ctx context.Context, v store.Visit) error {
	if _, err := n.store.CallBack(ctx, store.Interrupted, v, callbackWithin); err != nil {
		return err
	}
	owed, err := n.store.HasFollowUp(ctx, v.ID)
	if err != nil {
		return err
	}
	result, reason := event.CallBack, event.Interrupted
	if !owed {
		result, reason = event.FlowedOut, event.InterruptedNoNumber
	}
	n.log.Warn("a caller was cut off by the last stop", "call", v.Call, "queue", v.Queue, "becomes", result, "reason", reason)
	n.events.Emit(v.Call, event.VisitEnded{
		Visit: v.ID, Queue: v.Queue, Language: v.Language, Result: result, Reason: reason, Waited: v.Cut.Sub(v.Joined),
	})
	return nil
}
