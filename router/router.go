package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
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
	Agents          map[string]config.Agent // by id; not to be changed: SetAgents
	Queues          map[string]config.Queue // by name
	ReadyOnRegister bool                    // a registering agent is ready at once instead of paused
	Log             *slog.Logger

	stepLimit time.Duration // of tests: in place of stepTimeout
}

// Router is one node's side of the matching. All its methods may be called
// from any goroutine.
type Router struct {
	queue           *queue.Queue
	events          event.Emitter
	agents          atomic.Pointer[map[string]config.Agent]
	queues          map[string]config.Queue
	readyOnRegister bool
	log             *slog.Logger
	stepLimit       time.Duration // how long Redis is given for one step

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup // steps that are tried again, ends of wrap-ups

	owned atomic.Uint64 // numbers agents' own calls

	mu      sync.Mutex
	closed  bool
	waiting map[string]*Waiting // by visit
	wrapUps map[string]*wrapUp  // by agent: those whose limit this node watches
	retries map[string]*retry   // by agent or visit: the step under way or tried again
}

// New makes a router on an open queue and begins to read the node's inbox. The
// queue's Close must come after the router's, and the emitter must outlive both.
func New(o Options) *Router {
	ctx, stop := context.WithCancel(context.Background())
	r := &Router{
		queue:           o.Queue,
		events:          o.Events,
		queues:          maps.Clone(o.Queues),
		readyOnRegister: o.ReadyOnRegister,
		log:             o.Log,
		stepLimit:       cmp.Or(o.stepLimit, stepTimeout),
		ctx:             ctx,
		stop:            stop,
		waiting:         make(map[string]*Waiting),
		wrapUps:         make(map[string]*wrapUp),
		retries:         make(map[string]*retry),
	}
	r.agents.Store(&o.Agents)
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

// inbox takes what the domain decided about this node's calls and agents.
type inbox struct{ r *Router }

// Offered hands an offer to the caller who waits for it. Nobody waits if he left
// at this moment, which withdraws the offer, or if his visit is one that nobody
// knows of: it has to leave then, or the agent would be held for good.
func (in inbox) Offered(o queue.Offer) {
	in.r.mu.Lock()
	w := in.r.waiting[o.Visit]
	in.r.mu.Unlock()
	if w != nil {
		w.offered(o)
		return
	}
	in.r.insistAside(o.Visit, "withdraw offer", func(ctx context.Context) error {
		return in.r.queue.Leave(ctx, o.Visit)
	})
}

// Changed tells the log of an agent's new state, and of the wrap-up it ended.
func (in inbox) Changed(c queue.Change) {
	if c.From == queue.WrapUp && c.Visit != "" { // else it goes on at another node
		in.r.wrapUpOver(c.Agent, c.Visit)
		in.r.events.Emit("", event.WrapUpEnded{
			Visit: visitOf(c.Visit), Part: partOf(c.Visit), Queue: c.Queue, Language: c.Language, Agent: c.Agent, Took: c.After,
		})
	}
	in.r.events.Emit("", event.AgentChanged{
		Agent: c.Agent, From: string(c.From), To: string(c.To), Reason: c.Reason, After: c.After,
	})
}

func (r *Router) agent(id string) (config.Agent, error) {
	a, ok := (*r.agents.Load())[id]
	if !ok {
		return config.Agent{}, fmt.Errorf("router: %w %q", ErrUnknownAgent, id)
	}
	return a, nil
}
