package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/queue"
)

// What may go wrong, beside errors of Redis, after which it is unknown whether
// a change was made.
var (
	// ErrStale says that an offer is over: hang up the agent's phone.
	ErrStale = queue.ErrStale
	// ErrNotRegistered says that the agent has no phone to be reached at.
	ErrNotRegistered = queue.ErrNotRegistered
	// ErrNotInWrapUp says that the agent has no wrap-up to end.
	ErrNotInWrapUp = queue.ErrNotInWrapUp
	// ErrUnknownAgent says that no agent of this id is configured.
	ErrUnknownAgent = errors.New("unknown agent")
	// ErrUnknownQueue says that no queue of this name is configured.
	ErrUnknownQueue = errors.New("unknown queue")
	// ErrUnknownState says that agents cannot be set to this state.
	ErrUnknownState = errors.New("state must be ready or paused")
)

// Options is what a Router is made of.
type Options struct {
	Queue           *queue.Queue
	Events          event.Emitter
	Agents          map[string]config.Agent // by id
	Queues          map[string]config.Queue // by name
	ReadyOnRegister bool                    // a registering agent is ready at once instead of paused
	Log             *slog.Logger
}

// Router is one node's side of the matching. All its methods may be called
// from any goroutine.
type Router struct {
	queue           *queue.Queue
	events          event.Emitter
	agents          map[string]config.Agent
	queues          map[string]config.Queue
	readyOnRegister bool
	log             *slog.Logger

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup // steps that are tried again, ends of wrap-ups

	mu      sync.Mutex
	closed  bool
	waiting map[string]*Waiting // by visit
	wrapUps map[string]*wrapUp  // by agent: those whose limit this node watches
}

// New makes a router on an open queue and begins to read the node's inbox. The
// queue's Close must come after the router's, and the emitter must outlive both.
func New(o Options) *Router {
	ctx, stop := context.WithCancel(context.Background())
	r := &Router{
		queue:           o.Queue,
		events:          o.Events,
		agents:          maps.Clone(o.Agents),
		queues:          maps.Clone(o.Queues),
		readyOnRegister: o.ReadyOnRegister,
		log:             o.Log,
		ctx:             ctx,
		stop:            stop,
		waiting:         make(map[string]*Waiting),
		wrapUps:         make(map[string]*wrapUp),
	}
	o.Queue.Listen(inbox{r})
	return r
}

// Close stops watching wrap-ups and trying again, and waits for what is under
// way. Calls must have ended before; visits and agents that are left are
// removed by the queue's Close.
func (r *Router) Close() {
	r.mu.Lock()
	r.closed = true
	for agent, w := range r.wrapUps {
		r.forget(agent, w)
	}
	r.mu.Unlock()
	r.stop()
	r.work.Wait()
}

// Redis is given this long for one step.
const stepTimeout = 3 * time.Second

// retryEvery is the pace at which a step that must happen is tried again.
const retryEvery = time.Second

// insist takes a step that must not be left undone, such as taking a caller
// who has hung up out of line: if Redis fails it is tried again, beside the
// call, until it is done or the router closes. The step must bear repetition.
func (r *Router) insist(what string, step func(context.Context) error) {
	if err := r.attempt(r.ctx, step); err == nil || !r.begin() {
		return
	} else {
		r.log.Warn("step failed; trying on", "step", what, "err", err)
	}
	go func() {
		defer r.work.Done()
		for {
			select {
			case <-r.ctx.Done():
				return
			case <-time.After(retryEvery):
			}
			if r.attempt(r.ctx, step) == nil {
				r.log.Info("step done at last", "step", what)
				return
			}
		}
	}()
}

// attempt takes a step once. An answer from Redis that there is nothing to do
// counts as done.
func (r *Router) attempt(ctx context.Context, step func(context.Context) error) error {
	// Also after Close: a call that ends late still takes its one step.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	err := step(ctx)
	if errors.Is(err, ErrStale) || errors.Is(err, ErrNotInWrapUp) {
		return nil
	}
	return err
}

// begin announces work beside the callers' goroutines; false after Close.
func (r *Router) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.work.Add(1)
	return true
}

// inbox takes what the domain decided about this node's calls and agents.
type inbox struct{ r *Router }

// Offered hands an offer to the caller who waits for it. If he is gone it is
// withdrawn already.
func (in inbox) Offered(o queue.Offer) {
	in.r.mu.Lock()
	w := in.r.waiting[o.Visit]
	in.r.mu.Unlock()
	if w != nil {
		w.offered(o)
	}
}

// Changed tells the log of an agent's new state, and of the wrap-up it ended.
func (in inbox) Changed(c queue.Change) {
	if c.From == queue.WrapUp {
		in.r.wrapUpOver(c.Agent, c.Visit)
		in.r.events.Emit("", event.WrapUpEnded{Visit: c.Visit, Queue: c.Queue, Agent: c.Agent, Took: c.After})
	}
	in.r.events.Emit("", event.AgentChanged{
		Agent: c.Agent, From: string(c.From), To: string(c.To), Reason: c.Reason, After: c.After,
	})
}

func (r *Router) agent(id string) (config.Agent, error) {
	a, ok := r.agents[id]
	if !ok {
		return config.Agent{}, fmt.Errorf("router: %w %q", ErrUnknownAgent, id)
	}
	return a, nil
}
