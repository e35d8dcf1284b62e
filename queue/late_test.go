package queue

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"
)

// wire is what a node's scripts go through on their way to Redis. It may hold
// one back, and tells its node that there was no answer, and keeps one to be
// sent a second time.
type wire struct {
	hold, keep bool
	kept       []any // the command
}

var errNoAnswer = errors.New("no answer in time")

func (w *wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *wire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (w *wire) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" { // the inbox is read in another goroutine
			return next(ctx, cmd)
		}
		if w.hold || w.keep {
			w.kept = slices.Clone(cmd.Args())
		}
		if w.hold {
			cmd.SetErr(errNoAnswer)
			return errNoAnswer
		}
		return next(ctx, cmd)
	}
}

// lateStep is a step that reaches Redis when nobody waits for it any more.
type lateStep struct {
	what    string
	command []any
	at      int64 // when it was taken
	model   func() error
}

// do takes a step at a node. Most come in at once; a few are held back and come
// late, a few come in and come late once more. It says whether this one is in.
func (h *history) do(node string, model func() error, step func(context.Context, *Queue) error, what string, args ...any) bool {
	h.t.Helper()
	h.did(what, args...)
	fate, w := h.rand.IntN(12), h.wires[node]
	*w = wire{hold: fate == 0, keep: fate == 1}
	err := step(context.Background(), h.nodes[node])
	if w.hold || w.keep {
		h.late = append(h.late, lateStep{h.done, w.kept, h.model.at, model})
	}
	held := w.hold
	*w = wire{}
	if held {
		h.same(errNoAnswer, err)
		return false
	}
	h.same(model(), err)
	return true
}

// comesLate lets one of the late steps come, in any order.
func (h *history) comesLate() {
	i := h.rand.IntN(len(h.late))
	l := h.late[i]
	h.late = slices.Delete(h.late, i, i+1)
	h.did("%s, late", l.what)
	now := h.model.at
	h.model.at = l.at
	_ = l.model() // nobody hears the answer
	h.model.at = now
	if err := h.client.Do(context.Background(), l.command...).Err(); err != nil && !errors.Is(err, redis.Nil) {
		h.t.Fatalf("%s: %v", h.done, err)
	}
}

// said keeps what a node said last about an agent's phones, unless it does not
// know itself whether it was heard.
func (h *history) said(node, agent, word string, heard bool) {
	if !heard {
		word = "unknown"
	}
	h.words[node+" "+agent] = word
}

// saidOfAll is a node's beginning and end: no phone is registered there.
func (h *history) saidOfAll(node string) {
	for _, agent := range agentNames {
		h.said(node, agent, "gone", true)
	}
}

// checkLastWords says, without asking the model why, that nothing that comes
// late undoes what was said later.
func (h *history) checkLastWords() {
	h.t.Helper()
	for visit, left := range h.left {
		if left && h.model.visits[visit] != nil {
			h.t.Fatalf("after %s: visit %s is back", h.done, visit)
		}
	}
	for id, a := range h.model.agents {
		switch word := h.words[a.node+" "+id]; {
		case word == "gone" && a.registered && a.state != Offline:
			h.t.Fatalf("after %s: agent %s is back", h.done, id)
		case word == "registered" && (!a.registered || a.state == Offline):
			h.t.Fatalf("after %s: agent %s is gone", h.done, id)
		}
	}
}
