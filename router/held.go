package router

import (
	"context"
	"errors"
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
	also  string // another id by which he may be held: a Move to it failed
	talks bool
}

// Hold takes an agent, ready or paused, who is to be rung. The visit is the one
// that his talk will belong to, if it is to belong to one: the caller's last, whose
// queue gives the limit of his wrap-up; it counts in no queue. In a call among
// agents it has an ID and a Call alone. The name tells the holds for one visit
// apart. ErrUnknownAgent, ErrNotRegistered, ErrBusy.
func (r *Router) Hold(ctx context.Context, v Visit, name, agent string) (*Held, error) {
	if _, err := r.agent(agent); err != nil {
		return nil, err
	}
	h := &Held{r: r, visit: v, id: v.ID + holdMark + name, agent: agent}
	if err := h.take(ctx, ""); err != nil {
		h.Release() // it may have been taken all the same
		return nil, err
	}
	return h, nil
}

// Move has an agent held for another call instead, rung or talking as he is: nobody
// gets him in between. After an error it may be for either, until h is released;
// otherwise h is over. It takes four seconds at most.
func (h *Held) Move(ctx context.Context, v Visit, name string) (*Held, error) {
	to := &Held{r: h.r, visit: v, id: v.ID + holdMark + name, agent: h.agent, talks: h.talks}
	err := to.take(ctx, h.id)
	if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrNotRegistered) {
		err = to.take(ctx, h.id) // the first may have been carried out: this hears of it
	}
	if err != nil {
		h.also = to.id // let go now, he would be offered a caller while he talks
		return nil, err
	}
	return to, nil
}

// take has Redis hold the agent, by from until now if it is not "".
func (h *Held) take(ctx context.Context, from string) error {
	ctx, cancel := context.WithTimeout(ctx, h.r.stepLimit)
	defer cancel()
	v := queue.Visit{ID: h.id, Call: h.visit.Call, Queue: h.visit.Queue, Language: h.visit.Language}
	token, err := h.r.queue.Hold(ctx, v, h.agent, h.talks, from)
	if err != nil {
		return fmt.Errorf("router: holding agent %s: %w", h.agent, err)
	}
	h.token = token
	return nil
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
	ctx, cancel := context.WithTimeout(h.r.ctx, h.r.stepLimit)
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
func (h *Held) Release() { h.letGo(h.r.insist) }

func (h *Held) letGo(insist func(about, what string, step func(context.Context) error)) {
	for _, id := range []string{h.id, h.also} {
		if id != "" {
			insist(id, "release agent", func(ctx context.Context) error { return h.r.queue.Leave(ctx, id) })
		}
	}
}
