package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/web"
)

// bindings keeps sip's bindings in room queue, which knows nothing of SIP.
type bindings struct {
	queue *queue.Queue
	mark  func(flow string) string // so that whence an agent works is in no key
}

func (b bindings) Put(ctx context.Context, binding sip.Binding) error {
	value, err := json.Marshal(binding)
	if err != nil {
		return fmt.Errorf("write out a binding: %w", err)
	}
	sender := ""
	if binding.Sender != "" {
		sender = b.mark(binding.Sender)
	}
	return b.queue.PutBinding(ctx, binding.User, binding.Contact, binding.Expires, value, sender)
}

func (b bindings) Senders(ctx context.Context) (func(flow string) bool, error) {
	marks, err := b.queue.Senders(ctx)
	if err != nil {
		return nil, err
	}
	return func(flow string) bool { return marks[b.mark(flow)] }, nil
}

func (b bindings) Get(ctx context.Context, user string) ([]sip.Binding, error) {
	values, err := b.queue.Bindings(ctx, user)
	if err != nil {
		return nil, err
	}
	all := make([]sip.Binding, len(values))
	for i, v := range values {
		if err := json.Unmarshal(v, &all[i]); err != nil {
			return nil, fmt.Errorf("read a binding: %w", err)
		}
	}
	return all, nil
}

func (b bindings) Remove(ctx context.Context, binding sip.Binding) error {
	return b.queue.RemoveBinding(ctx, binding.User, binding.Contact, binding.Expires)
}

// removeAll unbinds every phone of a user.
func (b bindings) removeAll(ctx context.Context, user string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	all, err := b.Get(ctx, user)
	if err != nil {
		return err
	}
	for _, binding := range all {
		if err := b.Remove(ctx, binding); err != nil {
			return err
		}
	}
	return nil
}

// agents shows the router's agents to the API.
type agents struct{ router *router.Router }

func (a agents) Agents(ctx context.Context) ([]web.Agent, error) {
	all, err := a.router.Agents(ctx)
	if err != nil {
		return nil, err
	}
	shown := make([]web.Agent, len(all))
	for i, agent := range all {
		shown[i] = shownAgent(agent)
	}
	return shown, nil
}

// shownAgent gives an agent in the API's words.
func shownAgent(a router.AgentInfo) web.Agent {
	return web.Agent{
		ID: a.ID, Name: a.Name, Tier: a.Tier, State: string(a.State), Reason: a.Reason, Pending: a.Pending, Since: a.Since, Visit: a.Visit,
		Languages: a.Languages, Skills: a.Skills,
	}
}

func (a agents) SetState(ctx context.Context, id, state, reason string) error {
	return explain(a.router.SetState(ctx, id, router.State(state), reason))
}

func (a agents) WrapUpDone(ctx context.Context, id string) error {
	return explain(a.router.WrapUpDone(ctx, id))
}

// auditor writes what is done over the API into the audit: into the event log,
// from which the history takes it into the audit's chain. So the disk has it
// before it is done, whatever the database does.
type auditor struct{ events *event.Log }

func (a auditor) Audit(ctx context.Context, act web.Act) error {
	return a.events.EmitSync(ctx, "", event.Audited{Actor: "api:" + act.Actor, Action: act.Action, Object: act.Object, From: act.From, Detail: act.Detail})
}

// explain puts the router's errors into the API's words.
func explain(err error) error {
	switch {
	case errors.Is(err, router.ErrUnknownAgent):
		return fmt.Errorf("%w: %w", web.ErrUnknownAgent, err)
	case errors.Is(err, router.ErrNotRegistered), errors.Is(err, router.ErrNotInWrapUp):
		return fmt.Errorf("%w: %w", web.ErrNotNow, err)
	}
	return err
}
