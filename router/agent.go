package router

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue"
)

// State is what an agent is doing.
type State = queue.State

// The states of an agent.
const (
	Offline  = queue.Offline
	Paused   = queue.Paused
	Ready    = queue.Ready
	Reserved = queue.Reserved // being rung
	Talking  = queue.Talking
	WrapUp   = queue.WrapUp
)

// AgentInfo is an agent as people see him.
type AgentInfo struct {
	ID        string
	Name      string
	State     State
	Since     time.Time // when he entered State; zero if he was never here
	Reason    string    // of a pause
	Pending   string    // reason of a pause that begins after the talk
	Visit     string    // which he is rung for, talks with or wraps up
	Tier      int
	Languages map[string]int
	Skills    map[string]int
}

// Registered says that a phone of the agent is registered with this node, for
// the first time or again. An offline agent becomes paused, or ready if the
// site wants that. A failure is tried again; an unknown agent is ignored.
func (r *Router) Registered(agent string) {
	if _, err := r.agent(agent); err != nil {
		r.log.Warn("registration of an agent who is not configured", "agent", agent)
		return
	}
	r.insist(agent, "register agent", func(ctx context.Context) error {
		a, err := r.agent(agent)
		if err != nil {
			return nil // removed while this was tried again
		}
		return r.queue.Register(ctx, agent, skills(a), r.readyOnRegister)
	})
}

// SetAgents puts other agents in the place of those there are; the map is not
// to be changed afterwards. From now on they alone are known. Those of this
// node who have other skills now are offered what fits them; those who are no
// agents any more are offline, at once or when the ringing or talk they are in
// is over.
func (r *Router) SetAgents(agents map[string]config.Agent) {
	r.agents.Store(&agents)
	r.insistAside("\x00agents", "take up changed agents", r.takeUpAgents)
}

// takeUpAgents makes Redis know of this node's agents what the router knows. It
// compares, so it does not matter how many changes it has missed.
func (r *Router) takeUpAgents(ctx context.Context) error {
	mine, err := r.queue.Mine(ctx)
	if err != nil {
		return err
	}
	for _, live := range mine {
		a, err := r.agent(live.ID)
		switch {
		case err != nil && !live.Leaving:
			err = r.queue.Unregister(ctx, live.ID)
		case err == nil && live.Profile != skills(a).String():
			err = r.queue.SetSkills(ctx, live.ID, skills(a))
		default:
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Knows tells whether there is an agent of this id.
func (r *Router) Knows(agent string) bool {
	_, err := r.agent(agent)
	return err == nil
}

// Agent gives what is configured of an agent, the zero value for one who is unknown.
func (r *Router) Agent(id string) config.Agent { return (*r.agents.Load())[id] }

// Elsewhere gives the address of another node that conducts the call in which an agent
// talks, or one that he has made himself; none if there is no such call. What the
// address is, the nodes agree among themselves: [queue.Queue.Announce].
func (r *Router) Elsewhere(ctx context.Context, agent string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.stepLimit)
	defer cancel()
	return r.queue.Elsewhere(ctx, agent)
}

// tier is an agent's; 0 for one who has left.
func (r *Router) tier(agent string) int { return (*r.agents.Load())[agent].Tier }

// Unregistered says that the agent's last phone is gone. He is offline at
// once, or when the ringing or talk he is in is over.
func (r *Router) Unregistered(agent string) {
	if _, err := r.agent(agent); err != nil {
		return
	}
	r.insist(agent, "unregister agent", func(ctx context.Context) error {
		return r.queue.Unregister(ctx, agent)
	})
}

// SetState makes an agent ready or pauses him, with a reason. Both end a
// wrap-up. While he is rung or talks a pause waits for the end of it, and
// ready takes such a pause back. ErrUnknownAgent, ErrUnknownState,
// ErrNotRegistered.
func (r *Router) SetState(ctx context.Context, agent string, to State, reason string) error {
	if _, err := r.agent(agent); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.stepLimit)
	defer cancel()
	var err error
	switch to {
	case Ready:
		err = r.queue.SetReady(ctx, agent)
	case Paused:
		err = r.queue.SetPaused(ctx, agent, reason)
	default:
		err = ErrUnknownState
	}
	if err != nil {
		return fmt.Errorf("router: setting agent %s to %s: %w", agent, to, err)
	}
	return nil
}

// WrapUpDone ends an agent's wrap-up before its limit. ErrUnknownAgent,
// ErrNotInWrapUp.
func (r *Router) WrapUpDone(ctx context.Context, agent string) error {
	if _, err := r.agent(agent); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.stepLimit)
	defer cancel()
	if err := r.queue.EndWrapUp(ctx, agent, ""); err != nil {
		return fmt.Errorf("router: ending the wrap-up of agent %s: %w", agent, err)
	}
	return nil
}

// Agents gives all agents, sorted by id.
func (r *Router) Agents(ctx context.Context) ([]AgentInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, r.stepLimit)
	defer cancel()
	agents := *r.agents.Load()
	ids := slices.Sorted(maps.Keys(agents))
	live, err := r.queue.Agents(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	infos := make([]AgentInfo, len(ids))
	for i, a := range live {
		c := agents[a.ID]
		infos[i] = AgentInfo{
			ID: a.ID, Name: c.Name, State: a.State, Since: a.Since, Reason: a.Reason,
			Pending: a.Pending, Visit: visitOf(a.Visit), Tier: c.Tier, Languages: c.Languages, Skills: c.Skills,
		}
	}
	return infos, nil
}

// skills is an agent's profile: a language is a skill.
func skills(a config.Agent) queue.Skills { return merge(a.Skills, a.Languages) }
