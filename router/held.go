package router

import (
	"context"
	"fmt"
	"strings"

	"github.com/bugle-voice/bugle/queue"
)

// ErrBusy says that an agent is rung, talks or wraps up already.
var ErrBusy = queue.ErrBusy

// Held is an agent taken by name for a call, past every line: he is to be rung, or
// talks. No caller is offered to him meanwhile. Release ends it, unless Talk has
// made a talk of it. The methods may be called at any instant.
type Held struct {
	r     *Router
	visit Visit
	id    string // of what holds him, in Redis
	agent string
	token string
	talks bool
}

// Hold takes an agent, ready or paused, who is to be rung. The visit is the one
// that his talk will belong to, if it is to belong to one: the caller's last, whose
// queue gives the limit of his wrap-up; it counts in no queue. In a call among
// agents it has an ID and a Call alone. The name tells the holds for one visit
// apart. ErrUnknownAgent, ErrNotRegistered, ErrBusy.
func (r *Router) Hold(ctx context.Context, v Visit, name, agent string) (*Held, error) {
	return r.hold(ctx, v, name, agent, nil)
}

// Move has an agent held for another call instead, rung or talking as he is: nobody
// gets him in between. After an error he is held as before; otherwise h is over.
func (h *Held) Move(ctx context.Context, v Visit, name string) (*Held, error) {
	return h.r.hold(ctx, v, name, h.agent, h)
}

func (r *Router) hold(ctx context.Context, v Visit, name, agent string, before *Held) (*Held, error) {
	if _, err := r.agent(agent); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	h := &Held{r: r, visit: v, id: v.ID + holdMark + name, agent: agent}
	var from string
	if before != nil {
		h.talks, from = before.talks, before.id
	}
	token, err := r.queue.Hold(ctx, queue.Visit{ID: h.id, Call: v.Call, Queue: v.Queue, Language: v.Language}, agent, h.talks, from)
	if err != nil {
		h.Release() // it may have been taken all the same
		return nil, fmt.Errorf("router: holding agent %s: %w", agent, err)
	}
	h.token = token
	return h, nil
}

// holdMark parts a visit's id from the name of a hold for it.
const holdMark = "+"

// visitOf gives the visit that a record in Redis belongs to.
func visitOf(id string) string {
	visit, _, _ := strings.Cut(id, holdMark)
	return visit
}

// partOf gives the name of the hold that a record in Redis is, "" for a visit.
func partOf(id string) string {
	_, name, _ := strings.Cut(id, holdMark)
	return name
}

// Visit is the visit that he is held for.
func (h *Held) Visit() Visit { return h.visit }

// Agent is the id of the agent held.
func (h *Held) Agent() string { return h.agent }

// Answered says that the agent's phone was answered: he talks. After an error hang
// it up, and Release.
func (h *Held) Answered() error {
	ctx, cancel := context.WithTimeout(h.r.ctx, stepTimeout)
	defer cancel()
	if err := h.r.queue.Answer(ctx, h.id, h.token); err != nil {
		return fmt.Errorf("router: agent %s answering: %w", h.agent, err)
	}
	h.talks = true
	return nil
}

// Talk is the talk of an agent who has Answered, as a part of his visit.
func (h *Held) Talk() *Talk {
	return &Talk{r: h.r, visit: h.visit, id: h.id, agent: h.agent, tier: h.r.tier(h.agent), token: h.token}
}

// Release lets the agent go: he is what he was before, without a wrap-up. Hang up his
// phone first.
func (h *Held) Release() {
	h.r.insist(h.id, "release agent", func(ctx context.Context) error { return h.r.queue.Leave(ctx, h.id) })
}
