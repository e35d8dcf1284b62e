package router

import (
	"context"
	"fmt"
	"sync"

	"github.com/bugle-voice/bugle/queue"
)

var (
	// ErrPerHour says that the agent has called outside as often as he may in an hour.
	ErrPerHour = queue.ErrPerHour
	// ErrAtOnce says that the agent has as many calls outside as he may have at once.
	ErrAtOnce = queue.ErrAtOnce
)

// Own is a call that an agent makes himself, beside all visits, until End, which may be
// called from any goroutine.
type Own struct {
	held Held // by the call itself
	end  sync.Once
}

// Engage says that an agent makes a call himself: nobody is offered to him before
// it has ended, and he is talking. Who is rung, talks or wraps up already goes on
// with it. Afterwards he is what he was, or has asked to be meanwhile.
// ErrUnknownAgent, ErrNotRegistered.
func (r *Router) Engage(ctx context.Context, agent, call string) (*Own, error) {
	return r.own(ctx, agent, call, r.queue.Engage)
}

// CallOutside counts a call outside, of those an agent may make in an hour and have
// at once, in all nodes together. It is one of those at once until End. ErrPerHour,
// ErrAtOnce; any other error says that it cannot be known whether he may.
func (r *Router) CallOutside(ctx context.Context, agent, call string, perHour, atOnce int) (*Own, error) {
	return r.own(ctx, agent, call, func(ctx context.Context, o queue.Own) error {
		return r.queue.CallOutside(ctx, o, perHour, atOnce)
	})
}

func (r *Router) own(ctx context.Context, agent, call string, take func(context.Context, queue.Own) error) (*Own, error) {
	if _, err := r.agent(agent); err != nil {
		return nil, err
	}
	o := &Own{held: Held{r: r, id: fmt.Sprintf("%s@%d", call, r.owned.Add(1)), agent: agent, talks: true}}
	ctx, cancel := context.WithTimeout(ctx, r.stepLimit)
	defer cancel()
	if err := take(ctx, queue.Own{ID: o.held.id, Call: call, Agent: agent}); err != nil {
		o.letGo(r.insistAside) // it may have been taken all the same
		return nil, fmt.Errorf("router: own call of agent %s: %w", agent, err)
	}
	return o, nil
}

// Move has an agent who is engaged held for another call instead, as he talks: nobody
// gets him in between. After an error it may be for either, until End; otherwise o is
// over.
func (o *Own) Move(ctx context.Context, v Visit, name string) (*Held, error) {
	return o.held.Move(ctx, v, name)
}

// End says that the call is over. Only the first one counts; on nil it does nothing.
func (o *Own) End() {
	if o != nil {
		o.letGo(o.held.r.insist)
	}
}

func (o *Own) letGo(insist func(about, what string, step func(context.Context) error)) {
	o.end.Do(func() { o.held.letGo(insist) })
}
