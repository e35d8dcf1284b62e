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
// Redis must be the same. Steps may be taken twice, and come late: see
// late_test.go.
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
	wires   map[string]*wire    // by node
	late    []lateStep          // what is still to come
	owner   map[string]string   // by visit, its node
	left    map[string]bool     // by visit, whether it has left for good
	words   map[string]string   // by node and agent, what was said last of his phones there
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
		wires: make(map[string]*wire), owner: make(map[string]string), left: make(map[string]bool),
		words: make(map[string]string),
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
	h.model.start(node)
	h.saidOfAll(node)
	q, err := openAt(context.Background(), h.cfg, h.domain, node, testLog, func() time.Time {
		return time.UnixMilli(h.model.at)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	q.leaving = time.Minute
	h.nodes[node], h.inboxes[node] = q, &recorder{messages: make(chan message, 1000)}
	h.wires[node] = &wire{}
	q.client.AddHook(h.wires[node])
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

// token gives the visit's last token or, now and then, another one.
func (h *history) token(visit string) string {
	all := h.tokens[visit]
	switch {
	case len(all) == 0:
		return "n1.1.0"
	case h.rand.IntN(8) == 0:
		return pick(h, all)
	}
	return all[len(all)-1]
}

// inForce says whether the token is the visit's now.
func (h *history) inForce(visit, token string) bool {
	all, v := h.tokens[visit], h.model.visits[visit]
	return len(all) > 0 && all[len(all)-1] == token && v != nil && v.state != "waiting"
}

// step does something at random, in Redis and in the model.
func (h *history) step() {
	h.model.at += int64(pick(h, []int{0, 1, 7, 40}))
	if len(h.late) > 0 && h.rand.IntN(6) == 0 {
		h.comesLate()
		return
	}
	node := pick(h, nodeNames)
	agent := pick(h, agentNames)
	switch kind := h.rand.IntN(100); {
	case kind < 12:
		h.join(node)
	case kind < 16:
		h.hold(node)
	case kind < 20:
		h.engage(node, h.agentIn(pick(h, []State{Ready, Paused, Talking})))
	case kind < 64:
		h.visitStep(node, kind)
	case kind < 72:
		agent = h.agentIn(WrapUp)
		h.do(node, func() error { return h.model.endWrapUp(agent) },
			func(ctx context.Context, q *Queue) error { return q.EndWrapUp(ctx, agent, "") },
			"end wrap-up %s", agent)
	case kind < 82:
		h.register(node, agent)
	case kind < 84:
		h.unregister(node, agent)
	case kind < 95:
		agent = h.agentIn(Paused)
		h.do(node, func() error { return h.model.setReady(agent) },
			func(ctx context.Context, q *Queue) error { return q.SetReady(ctx, agent) },
			"ready %s", agent)
	case kind < 99 || h.rand.IntN(3) > 0:
		reason := pick(h, []string{"key", "api"})
		h.do(node, func() error { return h.model.setPaused(agent, reason) },
			func(ctx context.Context, q *Queue) error { return q.SetPaused(ctx, agent, reason) },
			"pause %s %s", agent, reason)
	default:
		h.did("crash and restart of %s", node)
		h.crash(node)
		h.seq[node] = 0
		h.start(node)
	}
}

// visitStep does something about a visit: leave, answer, refuse or hang up.
func (h *history) visitStep(node string, kind int) {
	if kind < 28 {
		h.leave(h.visitIn("waiting", "offered", "held", "talking", "wrapup", "engaged", "engaged", "outside"))
		return
	}
	visit := h.visitIn("offered", "held", "talking")
	token := h.token(visit)
	switch {
	case kind < 42:
		h.do(node, func() error { return h.model.answer(visit, h.inForce(visit, token)) },
			func(ctx context.Context, q *Queue) error { return q.Answer(ctx, visit, token) },
			"answer %s %s", visit, token)
	case kind < 52:
		h.do(node, func() error { return h.model.refuse(visit, h.inForce(visit, token), "no_answer") },
			func(ctx context.Context, q *Queue) error { return q.Refuse(ctx, visit, token, "no_answer") },
			"refuse %s %s", visit, token)
	default:
		wrap := h.rand.IntN(4) > 0
		var want, got bool
		in := h.do(node, func() (err error) {
			want, err = h.model.hangup(visit, h.inForce(visit, token), wrap)
			return err
		}, func(ctx context.Context, q *Queue) (err error) {
			got, err = q.Hangup(ctx, visit, token, wrap)
			return err
		}, "hangup %s %s wrap-up %v", visit, token, wrap)
		if in {
			compare(h.t, want, got, h.done)
		}
	}
}

func (h *history) register(node, agent string) {
	skills, ready := pick(h, profiles), h.rand.IntN(2) == 0
	step := h.model.next(node)
	in := h.do(node, func() error { h.model.register(node, step, agent, skills, ready); return nil },
		func(ctx context.Context, q *Queue) error { return q.Register(ctx, agent, skills, ready) },
		"register %s at %s with %s ready %v", agent, node, skills, ready)
	h.said(node, agent, "registered", in)
}

func (h *history) unregister(node, agent string) {
	step := h.model.next(node)
	in := h.do(node, func() error { h.model.unregister(node, step, agent); return nil },
		func(ctx context.Context, q *Queue) error { return q.Unregister(ctx, agent) },
		"unregister %s at %s", agent, node)
	h.said(node, agent, "gone", in)
}

// leave is asked for at the visit's own node.
func (h *history) leave(visit string) {
	node := h.owner[visit]
	if node == "" {
		return
	}
	step := h.model.next(node)
	h.left[visit] = h.do(node, func() error { h.model.leave(node, step, visit, ""); return nil },
		func(ctx context.Context, q *Queue) error { return q.Leave(ctx, visit) },
		"leave %s at %s", visit, node)
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

func (h *history) join(node string) {
	v := pick(h, needs)
	v.ID = fmt.Sprint("v", len(h.visits))
	if len(h.visits) > 0 && h.rand.IntN(10) == 0 {
		v.ID = h.visits[len(h.visits)-1] // again: nothing happens unless he is gone
		node = h.owner[v.ID]             // an id belongs to one node
	} else {
		h.visits = append(h.visits, v.ID)
	}
	v.Joined = time.UnixMilli(h.model.at - int64(h.rand.IntN(50)))
	h.owner[v.ID], h.left[v.ID] = node, false
	step := h.model.next(node)
	h.do(node, func() error { h.model.join(node, step, v); return nil },
		func(ctx context.Context, q *Queue) error { return q.Join(ctx, v) },
		"join %s %s/%s at %s", v.ID, v.Queue, v.Language, node)
}

// hold takes an agent by name, now and then from what holds him.
func (h *history) hold(node string) {
	v := pick(h, needs)
	v.ID = fmt.Sprint("v", len(h.visits))
	h.visits = append(h.visits, v.ID)
	h.owner[v.ID], h.left[v.ID] = node, false
	agent, talks, from := h.agentIn(pick(h, []State{Ready, Paused, Reserved, Talking})), h.rand.IntN(2) == 0, ""
	if a := h.model.agents[agent]; a != nil && a.visit != nil && h.rand.IntN(2) == 0 {
		from = a.visit.id
	}
	if own := h.model.heldBy("engaged")[agent]; len(own) > 0 && h.rand.IntN(2) == 0 {
		from = own[0]
	}
	var token string
	step := h.model.next(node)
	in := h.do(node, func() error { return h.model.hold(node, step, v, agent, talks, from) },
		func(ctx context.Context, q *Queue) (err error) {
			token, err = q.Hold(ctx, v, agent, talks, from)
			return err
		},
		"hold %s for %s at %s, talks %v, from %q", agent, v.ID, node, talks, from)
	if in && token != "" {
		h.remember(Offer{Visit: v.ID, Token: token})
	}
}

// engage has an agent make a call of his own at a node, or one outside.
func (h *history) engage(node, agent string) {
	own := Own{ID: fmt.Sprint("v", len(h.visits)), Call: "c", Agent: agent}
	h.visits = append(h.visits, own.ID)
	h.owner[own.ID], h.left[own.ID] = node, false
	outside := h.rand.IntN(3) == 0 && h.model.agents[agent] != nil // the model knows nobody who was never there
	step := h.model.next(node)
	if outside {
		h.do(node, func() error { return h.model.callOutside(node, step, own, 4, 2) },
			func(ctx context.Context, q *Queue) error { return q.CallOutside(ctx, own, 4, 2) }, "%s calls outside: %s at %s", agent, own.ID, node)
	} else {
		h.do(node, func() error { return h.model.engage(node, step, own) },
			func(ctx context.Context, q *Queue) error { return q.Engage(ctx, own) }, "engage %s: %s at %s", agent, own.ID, node)
	}
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
	h.checkLastWords()
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

// end closes the nodes one after the other; nothing is left then, whatever comes
// late.
func (h *history) end() {
	for _, node := range nodeNames {
		h.did("close of %s", node)
		inbox := h.inboxes[node]
		h.model.purge(node)
		h.saidOfAll(node)
		if err := h.nodes[node].Close(); err != nil {
			h.t.Fatal(err)
		}
		h.check()
		delete(h.inboxes, node)
		if extra := len(inbox.messages); extra > 0 {
			h.t.Errorf("%d messages to %s that the model does not know", extra, node)
		}
	}
	for len(h.late) > 0 {
		h.comesLate()
		h.check()
	}
	if len(h.model.visits) > 0 {
		h.t.Errorf("visits left: %v", h.model.visits)
	}
	for id, a := range h.model.agents {
		if a.state != Offline {
			h.t.Errorf("agent left: %s is %s", id, a.state)
		}
	}
}
