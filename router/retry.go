package router

import (
	"context"
	"errors"
	"time"
)

const (
	stepTimeout = 2 * time.Second // Redis is given this long for one step
	retryEvery  = time.Second     // the pace at which a step is tried again
)

// retry is a step that must be taken, under way or failed and tried again.
type retry struct {
	about string // the visit or the agent
	what  string
	step  func(context.Context) error
	limit time.Duration // of one attempt
	ctx   context.Context
	stop  context.CancelFunc
}

// insist takes a step that must not be left undone, such as taking a caller
// who has hung up out of line. If Redis fails it is tried again, beside the
// call, until it is done, the router closes, or a newer step about the same
// visit or agent makes it void, also in the middle of an attempt. The step must
// bear repetition, and must heed the end of its context.
func (r *Router) insist(about, what string, step func(context.Context) error) {
	t := r.begin(about, what, step)
	if t == nil {
		return
	}
	if err := t.attempt(); err != nil {
		go r.tryOn(t, err)
		return
	}
	r.finish(t)
}

// insistAside is insist for those who must not wait for Redis at all.
func (r *Router) insistAside(about, what string, step func(context.Context) error) {
	t := r.begin(about, what, step)
	if t == nil {
		return
	}
	go func() {
		if err := t.attempt(); err != nil {
			r.tryOn(t, err)
			return
		}
		r.finish(t)
	}()
}

// tryOn takes a step that has failed again until there is no need to.
func (r *Router) tryOn(t *retry, err error) {
	defer r.finish(t)
	r.log.Warn("step failed; trying on", "step", t.what, "err", err)
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-time.After(retryEvery):
		}
		if t.attempt() == nil {
			r.log.Info("no more trying", "step", t.what)
			return
		}
	}
}

// attempt takes a step once. It is no failure if there was nothing to do, or if
// nobody wants it any more.
func (t *retry) attempt() error {
	ctx, cancel := context.WithTimeout(t.ctx, t.limit)
	defer cancel()
	err := t.step(ctx)
	if errors.Is(err, ErrStale) || errors.Is(err, ErrNotInWrapUp) || t.ctx.Err() != nil {
		return nil
	}
	return err
}

// begin announces a step and makes an older one about the same thing void; nil
// after Close, when the queue's Close removes whatever is left.
func (r *Router) begin(about, what string, step func(context.Context) error) *retry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	if old := r.retries[about]; old != nil {
		old.stop()
	}
	r.work.Add(1)
	t := &retry{about: about, what: what, step: step, limit: r.stepLimit}
	t.ctx, t.stop = context.WithCancel(r.ctx)
	r.retries[about] = t
	return t
}

// finish ends what begin announced.
func (r *Router) finish(t *retry) {
	r.mu.Lock()
	if r.retries[t.about] == t {
		delete(r.retries, t.about)
	}
	r.mu.Unlock()
	t.stop()
	r.work.Done()
}
