package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue/queuetest"
)

// TestHistories runs random histories of several nodes against the model:
// after each step the answer, the messages in each inbox and everything in
// Redis must be the same.
func TestHistories(t *testing.T) {
	queuetest.Each(t, func(t *testing.T, cfg config.Redis) {
		for seed := range uint64(6) {
			t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
				h := newHistory(t, cfg, seed)
				for range 180 {
					h.step()
					h.check()
				}
				h.end()
			})
		}
	})
}

// history is one such run.
type history struct {
	t       *testing.T
	rand    *rand.Rand
	cfg     config.Redis
	domain  string
	client  *redis.Client
	model   *world
	nodes   map[string]*Queue
	inboxes map[string]*recorder
	tokens  map[string][]string // by visit, all ever given
	seq     map[string]uint64   // by node, the last seen
	visits  []string            // ids ever given
	done    string              // the step last taken
}

var (
	nodeNames  = []string{"n1", "n2", "n3"}
	agentNames = []string{"anna", "bob", "carl", "dora", "eva", "finn", "gina"}
	profiles   = []Skills{
		{"en": 3}, {"en": 3, "claims": 2}, {"en": 1, "es": 4, "claims": 1}, {"es": 2, "claims": 3, "eligibility": 1}, {},
	}
	needs = []Visit{
		{Queue: "claims", Language: "en", Requires: Skills{"en": 1, "claims": 1}},
		{Queue: "claims", Language: "es", Requires: Skills{"es": 1, "claims": 1}},
		{Queue: "general", Language: "en", Requires: Skills{"en": 1}},
		{Queue: "urgent", Language: "en", Requires: Skills{"en": 1, "claims": 2}, HeadStart: 200 * time.Millisecond},
		{Queue: "anyone", Language: "xx"},
	}
)

func newHistory(t *testing.T, cfg config.Redis, seed uint64) *history {
	h := &history{
		t: t, rand: rand.New(rand.NewPCG(seed, 7)), cfg: cfg, domain: fmt.Sprint("d", seed),
		client: redis.NewClient(&redis.Options{Addr: cfg.Addr, Protocol: 2}),
		model:  newWorld(), nodes: make(map[string]*Queue), inboxes: make(map[string]*recorder),
		tokens: make(map[string][]string), seq: make(map[string]uint64),
	}
	t.Cleanup(func() { _ = h.client.Close() })
	h.model.at = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).UnixMilli()
	for _, node := range nodeNames {
		h.start(node)
	}
	return h
}

// start opens a node, with the model's clock.
func (h *history) start(node string) {
	// Open reads the clock when it purges; nothing of the model has changed then.
	q, err := openAt(context.Background(), h.cfg, h.domain, node, testLog, func() time.Time {
		return time.UnixMilli(h.model.at)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.nodes[node], h.inboxes[node] = q, &recorder{messages: make(chan message, 1000)}
	q.Listen(h.inboxes[node])
	h.t.Cleanup(func() { _ = q.Close() })
}

// crash ends a node without a word: nothing is purged.
func (h *history) crash(node string) {
	q := h.nodes[node]
	if err := q.inbox.close(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	if err := q.disconnect(); err != nil {
		h.t.Fatal(err)
	}
}

func pick[T any](h *history, from []T) T { return from[h.rand.IntN(len(from))] }

// token gives the visit's last token or, now and then, another one, and says
// whether it is the one in force.
func (h *history) token(visit string) (string, bool) {
	all := h.tokens[visit]
	if len(all) == 0 {
		return "n1.1.0", false
	}
	i := len(all) - 1
	if h.rand.IntN(8) == 0 {
		i = h.rand.IntN(len(all))
	}
	v := h.model.visits[visit]
	return all[i], i == len(all)-1 && v != nil && v.state != "waiting"
}

// step does something at random, in Redis and in the model.
func (h *history) step() {
	ctx := context.Background()
	h.model.at += int64(pick(h, []int{0, 1, 7, 40}))
	node := pick(h, nodeNames)
	q, agent := h.nodes[node], pick(h, agentNames)

	switch kind := h.rand.IntN(100); {
	case kind < 20:
		h.join(q, node)
	case kind < 64:
		h.visitStep(q, kind)
	case kind < 72:
		agent = h.agentIn(WrapUp)
		h.did("end wrap-up %s", agent)
		h.same(h.model.endWrapUp(agent), q.EndWrapUp(ctx, agent, ""))
	case kind < 82:
		skills, ready := pick(h, profiles), h.rand.IntN(2) == 0
		h.did("register %s at %s with %s ready %v", agent, node, skills, ready)
		h.model.register(node, agent, skills, ready)
		h.same(nil, q.Register(ctx, agent, skills, ready))
	case kind < 84:
		h.did("unregister %s at %s", agent, node)
		h.model.unregister(node, agent)
		h.same(nil, q.Unregister(ctx, agent))
	case kind < 95:
		agent = h.agentIn(Paused)
		h.did("ready %s", agent)
		h.same(h.model.setReady(agent), q.SetReady(ctx, agent))
	case kind < 99 || h.rand.IntN(3) > 0:
		reason := pick(h, []string{"key", "api"})
		h.did("pause %s %s", agent, reason)
		h.same(h.model.setPaused(agent, reason), q.SetPaused(ctx, agent, reason))
	default:
		h.did("crash and restart of %s", node)
		h.crash(node)
		h.seq[node] = 0
		h.model.purge(node)
		h.start(node)
	}
}

// visitStep does something about a visit: leave, answer, refuse or hang up.
func (h *history) visitStep(q *Queue, kind int) {
	ctx := context.Background()
	visit := h.visitIn("offered", "talking")
	token, current := h.token(visit)
	switch {
	case kind < 25:
		visit = h.visitIn("waiting", "offered", "talking", "wrapup")
		h.did("leave %s", visit)
		h.same(nil, q.Leave(ctx, visit))
		h.model.leave(visit, "")
	case kind < 42:
		h.did("answer %s %s", visit, token)
		h.same(h.model.answer(visit, current), q.Answer(ctx, visit, token))
	case kind < 52:
		h.did("refuse %s %s", visit, token)
		h.same(h.model.refuse(visit, current, "no_answer"), q.Refuse(ctx, visit, token, "no_answer"))
	default:
		wrap := h.rand.IntN(4) > 0
		h.did("hangup %s %s wrap-up %v", visit, token, wrap)
		want, wantErr := h.model.hangup(visit, current, wrap)
		got, err := q.Hangup(ctx, visit, token, wrap)
		h.same(wantErr, err)
		compare(h.t, want, got, h.done)
	}
}

// visitIn gives a visit in one of these states or, now and then or if there is
// none, any.
func (h *history) visitIn(states ...string) string {
	if len(h.visits) == 0 {
		return "none"
	}
	recent := h.visits[max(0, len(h.visits)-20):]
	fit := slices.DeleteFunc(slices.Clone(recent), func(id string) bool {
		v := h.model.visits[id]
		return v == nil || !slices.Contains(states, v.state)
	})
	if len(fit) == 0 || h.rand.IntN(6) == 0 {
		return pick(h, recent)
	}
	return pick(h, fit)
}

// agentIn gives an agent in this state or, now and then or if there is none,
// any.
func (h *history) agentIn(state State) string {
	fit := slices.DeleteFunc(slices.Clone(agentNames), func(id string) bool {
		a := h.model.agents[id]
		return a == nil || a.state != state
	})
	if len(fit) == 0 || h.rand.IntN(6) == 0 {
		return pick(h, agentNames)
	}
	return pick(h, fit)
}

func (h *history) join(q *Queue, node string) {
	v := pick(h, needs)
	v.ID = fmt.Sprint("v", len(h.visits))
	if len(h.visits) > 0 && h.rand.IntN(10) == 0 {
		v.ID = h.visits[len(h.visits)-1] // again: nothing happens unless he is gone
	} else {
		h.visits = append(h.visits, v.ID)
	}
	v.Joined = time.UnixMilli(h.model.at - int64(h.rand.IntN(50)))
	h.did("join %s %s/%s at %s", v.ID, v.Queue, v.Language, node)
	if old := h.model.visits[v.ID]; old != nil && old.node != node {
		return // an id belongs to one node
	}
	h.model.join(node, v)
	h.same(nil, q.Join(context.Background(), v))
}

func (h *history) did(format string, args ...any) { h.done = fmt.Sprintf(format, args...) }

func (h *history) same(want, got error) {
	h.t.Helper()
	if !errors.Is(got, want) {
		h.t.Fatalf("%s: %v, model says %v", h.done, got, want)
	}
}

// check holds messages and state against the model.
func (h *history) check() {
	h.t.Helper()
	for _, node := range nodeNames {
		if h.inboxes[node] == nil {
			continue // closed: nobody reads what is sent to it
		}
		for _, want := range h.model.sent[node] {
			m := h.inboxes[node].next(h.t, want, h.done)
			compare(h.t, want, m.text(), "message to "+node+" after "+h.done)
			if m.offer.Visit != "" {
				h.remember(m.offer)
			}
			seq := max(m.offer.Seq, m.change.Seq)
			if seq < h.seq[node] {
				h.t.Fatalf("after %s: decision %d after %d", h.done, seq, h.seq[node])
			}
			h.seq[node] = seq
		}
	}
	clear(h.model.sent)
	compare(h.t, h.model.state(), fetch(h.t, h.client, "bugle:{"+h.domain+"}:"), "state after "+h.done)
	h.model.checkNobodyMissed(h.t)
}

// remember keeps an offer's token, which must never have been given before.
func (h *history) remember(o Offer) {
	for _, tokens := range h.tokens {
		if slices.Contains(tokens, o.Token) {
			h.t.Fatalf("after %s: token %s a second time", h.done, o.Token)
		}
	}
	h.tokens[o.Visit] = append(h.tokens[o.Visit], o.Token)
}

// end closes the nodes one after the other; nothing is left then.
func (h *history) end() {
	for _, node := range nodeNames {
		h.did("close of %s", node)
		inbox := h.inboxes[node]
		h.model.purge(node)
		if err := h.nodes[node].Close(); err != nil {
			h.t.Fatal(err)
		}
		h.check()
		delete(h.inboxes, node)
		if extra := len(inbox.messages); extra > 0 {
			h.t.Errorf("%d messages to %s that the model does not know", extra, node)
		}
	}
	if len(h.model.visits) > 0 {
		h.t.Errorf("visits left: %v", h.model.visits)
	}
}
