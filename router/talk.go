package router

import (
	"context"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// Talk is a caller and an agent speaking with each other. A nil *Talk is one of no visit:
// nothing is to be said of it.
type Talk struct {
	r     *Router
	visit Visit
	id    string // of what holds the agent, in Redis
	agent string
	tier  int // when he answered, or higher: of one before him in this visit
	token string
	over  sync.Once
	free  sync.Once

	talked, held time.Duration // until now: by agents before him in this visit, or with who consulted him in it
}

// Agent is the id of the agent who talks.
func (t *Talk) Agent() string { return t.agent }

// Visit is the visit that the talk belongs to.
func (t *Talk) Visit() Visit {
	if t == nil {
		return Visit{}
	}
	return t.visit
}

// Add says how long they have talked already, and how long of the whole the caller was on
// hold, before the agent goes on with somebody else in the same visit.
func (t *Talk) Add(talk, hold time.Duration) {
	t.talked += talk
	t.held += hold
}

// End says that the talk is over: how long they talked, and how long of the
// whole the caller was on hold. The agent wraps up within the queue's limit,
// or is free at once. Only the first call counts.
func (t *Talk) End(talk, hold time.Duration) {
	t.Over(nil, talk, hold)
	t.Free()
}

// Over is the first half of End: the agent is kept until Free. Next is the talk of
// whom he has handed the caller on to in the same visit: a visit is handled once, so
// the end of the last talk tells of all. Only the first call counts.
func (t *Talk) Over(next *Talk, talk, hold time.Duration) {
	if t == nil {
		return
	}
	t.over.Do(func() {
		talk, hold = t.talked+talk, t.held+hold
		if next != nil {
			next.talked, next.held, next.tier = talk, hold, max(next.tier, t.tier)
			return
		}
		v := t.visit
		t.r.events.Emit(v.Call, event.TalkEnded{
			Visit: v.ID, Queue: v.Queue, Language: v.Language, Agent: t.agent, Tier: t.tier, Talk: talk, Hold: hold,
		})
	})
}

// Free lets the agent go, whatever becomes of his caller. Only the first call counts.
func (t *Talk) Free() {
	if t == nil {
		return
	}
	t.free.Do(func() {
		limit := t.r.wrapUpLimit(t.visit.Queue)
		t.r.insist(t.id, "end talk", func(ctx context.Context) error {
			wraps, err := t.r.queue.Hangup(ctx, t.id, t.token, limit > 0)
			if wraps {
				t.r.watchWrapUp(t.agent, t.token, t.id, limit)
			}
			return err
		})
	})
}

// wrapUp is the limit of an agent's time after a call, watched by the node
// that had the call.
type wrapUp struct {
	visit string
	timer *time.Timer
}

// watchWrapUp ends a wrap-up when its limit has passed. If it is over already,
// because the agent was quicker than we are, the timer does no harm: the token
// it shows is stale.
func (r *Router) watchWrapUp(agent, token, visit string, limit time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if old := r.wrapUps[agent]; old != nil {
		r.forget(agent, old)
	}
	r.work.Add(1)
	w := &wrapUp{visit: visit}
	w.timer = time.AfterFunc(limit, func() {
		defer r.work.Done()
		r.wrapUpOver(agent, visit)
		r.insist(visit, "end wrap-up", func(ctx context.Context) error {
			return r.queue.EndWrapUp(ctx, agent, token)
		})
	})
	r.wrapUps[agent] = w
}

// wrapUpOver stops watching a wrap-up that has ended.
func (r *Router) wrapUpOver(agent, visit string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.wrapUps[agent]; w != nil && w.visit == visit {
		r.forget(agent, w)
	}
}

// forget drops a wrap-up and its timer. Callers hold mu.
func (r *Router) forget(agent string, w *wrapUp) {
	if w.timer.Stop() {
		r.work.Done()
	}
	delete(r.wrapUps, agent)
}
