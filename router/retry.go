package router

import (
	"context"
	"errors"
	"time"
)

const (
	stepTimeout = 3 * time.Second // Redis is given this long for one step
	retryEvery  = time.Second     // the pace at which a step is tried again
)

// retry is a step that failed and must still be taken.
type retry struct {
	ctx  context.Context
	stop context.CancelFunc
}

// insist takes a step that must not be left undone, such as taking a caller
// who has hung up out of line. If Redis fails it is tried again, beside the
// call, until it is done, the router closes, or a newer step about the same
// visit or agent makes it void. The step must bear repetition.
func (r *Router) insist(about, what string, step func(context.Context) error) {
	r.void(about)
	err := attempt(step)
	if err == nil {
		return
	}
	t := r.begin(about)
	if t == nil {
		return
	}
	r.log.Warn("step failed; trying on", "step", what, "err", err)
	go func() {
		defer r.work.Done()
		defer r.finish(about, t)
		for {
			select {
			case <-t.ctx.Done():
				return
			case <-time.After(retryEvery):
			}
			if attempt(step) == nil {
				r.log.Info("step done at last", "step", what)
				return
			}
		}
	}()
}

// attempt takes a step once. That there is nothing to do counts as done.
func attempt(step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	err := step(ctx)
	if errors.Is(err, ErrStale) || errors.Is(err, ErrNotInWrapUp) {
		return nil
	}
	return err
}

// begin announces work beside the callers' goroutines; nil after Close.
func (r *Router) begin(about string) *retry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.work.Add(1)
	t := &retry{}
	t.ctx, t.stop = context.WithCancel(r.ctx)
	if old := r.retries[about]; old != nil {
		old.stop()
	}
	r.retries[about] = t
	return t
}

func (r *Router) finish(about string, t *retry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.stop()
	if r.retries[about] == t {
		delete(r.retries, about)
	}
}

// void stops the trying of an older step.
func (r *Router) void(about string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.retries[about]; old != nil {
		old.stop()
	}
}
