// Package call conducts calls: each inbound leg has one goroutine that leads it
// through flow, queue, offer and talk to its end.
//
// It is the only room that knows sip, ivr, router and media together, and it
// owns nothing but their order. What can interrupt a call (hang-up, offer, key,
// lost media, drain) comes on channels that its goroutine selects on or as the
// end of its context; there are no callbacks into a call. Whatever way a call
// ends, a Termination says how, and deferred releases leave nothing behind: no
// place in line, no ringing phone, no port, no goroutine.
//
// Read inbound.go for the story of a call, record.go for what a caller leaves,
// wait.go for the time in line and the ringing of agents, talk.go for the
// bridge, transfer.go and attended.go for how an agent hands his caller on (wish.go is what
// he and the record are told of it). A call that an agent makes himself goes another way to its talk: own.go,
// after destination.go has said where; outside.go and emergency.go where it leaves
// by a trunk. Who talks there can be taken over by another call: handover.go; and by
// pressing *3 the agent talks with him and a caller at once: side.go, conference.go.
// mirror.go is an attended transfer asked for the other way round, turned.go one of whom
// an agent has called himself, move.go an agent's talk going on at another of his phones.
// feature.go is *70 and its kin.
package call

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// Options are what a Conductor works with. All fields are needed.
type Options struct {
	Config  *config.Config
	Prompts map[ivr.Prompt]*media.Clip
	Music   *media.Clip
	Media   *media.Engine
	Router  *router.Router
	Events  event.Emitter
	Log     *slog.Logger

	Recordings Recordings

	// Dial rings a phone; it is sip.Server's Dial.
	Dial func(sip.Target, sip.Session) (*sip.Leg, error)
	// Find gives the leg that a Replaces names, nil if none; it is sip.Server's Find.
	Find func(sip.Replaces) *sip.Leg
	// DialTrunk calls a number outside; it is sip.Server's DialTrunk.
	DialTrunk func(sip.TrunkCall, sip.Session) (*sip.Leg, error)
	// Private gives the forms in which a caller's number may be kept: a keyed
	// hash and the number sealed; both empty for a number withheld.
	Private func(call, number string) (hash string, sealed []byte)
	// Sealed gives the form in which the outside number of a transfer may be kept.
	Sealed func(transfer, number string) []byte
	// Full says that what happens can no longer be written down: no new calls.
	Full func() bool
	// Estimate gives how long a caller who joins a queue now will wait; 0 if nothing
	// is known of it.
	Estimate func(queue, language string) time.Duration
	// Bindings tells where an agent's phones are.
	Bindings sip.Bindings
}

// Conductor takes every inbound leg to its end. It is sip's Handler.
type Conductor struct {
	Options
	ctx     context.Context // of every call; ended by Close
	cancel  context.CancelFunc
	metrics metrics

	mu      sync.Mutex
	talks   map[*sip.Leg]*inbound // those a leg is in
	desks   map[string]*desk      // by agent, of those who talk
	lifted  map[string]int        // calls of their own, by agent
	sent    map[string]time.Time  // Call-IDs of agents' calls that went to other nodes
	active  int
	idle    chan struct{} // closed while no call is active
	closing bool          // no new calls
}

// New makes a Conductor.
func New(o Options) *Conductor {
	c := &Conductor{
		Options: o, metrics: newMetrics(), idle: make(chan struct{}),
		talks: make(map[*sip.Leg]*inbound), desks: make(map[string]*desk), lifted: make(map[string]int), sent: make(map[string]time.Time),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	close(c.idle)
	return c
}

// Invite conducts one inbound leg until it is over.
func (c *Conductor) Invite(leg *sip.Leg) {
	if !c.enter() {
		_ = leg.Reject(503, "Shutting Down")
		return
	}
	defer c.leave()
	if c.Full() && !c.urgent(leg) {
		c.Log.Error("a call is refused: what becomes of it cannot be written into the event log", "call", leg.ID())
		_ = leg.Reject(503, "Storage Full")
		return
	}
	if leg.Replaces() != nil && !c.urgent(leg) { // which is here, wherever else the agent talks
		c.move(leg)
		return
	}
	if c.elsewhere(leg) {
		return
	}
	if agent := leg.Agent(); agent != "" && !c.urgent(leg) {
		if strings.HasPrefix(leg.Number(), "*") {
			c.feature(leg)
			return
		}
		if !c.lift(agent) {
			_ = leg.Reject(c.deny(agent, leg.ID(), "", OwnAtOnce).Code, "")
			return
		}
		defer c.putDown(agent)
	}
	c.inbound(leg)
}

// ownAtOnce is how many calls of his own an agent may have at once on a node. No person
// makes more; somebody with a stolen password could leave callers no room.
const ownAtOnce = 8

// lift counts a call that an agent makes himself, until putDown, and says whether he may.
func (c *Conductor) lift(agent string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifted[agent] == ownAtOnce {
		return false
	}
	c.lifted[agent]++
	return true
}

func (c *Conductor) putDown(agent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifted[agent]--; c.lifted[agent] == 0 {
		delete(c.lifted, agent)
	}
}

// Registered tells the router that an agent's phone is there.
func (c *Conductor) Registered(agent string, _ sip.Binding) { c.Router.Registered(agent) }

// Unregistered tells the router that the last of an agent's phones has gone.
func (c *Conductor) Unregistered(agent string) { c.Router.Unregistered(agent) }

// Active gives the number of calls being conducted.
func (c *Conductor) Active() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active
}

// Drain waits until the last call has ended by itself or ctx ends, whichever is
// first. Keeping new calls away meanwhile is sip's part.
func (c *Conductor) Drain(ctx context.Context) error {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close refuses new calls, ends those that are left and waits for them.
func (c *Conductor) Close() {
	c.mu.Lock()
	c.closing = true
	idle := c.idle
	c.mu.Unlock()
	c.cancel()
	<-idle
}

func (c *Conductor) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	if c.active++; c.active == 1 {
		c.idle = make(chan struct{})
	}
	return true
}

func (c *Conductor) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		close(c.idle)
	}
}
