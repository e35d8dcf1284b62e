package call

import (
	"cmp"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// An agent hands on whom he has called himself as he does a caller: blindly, or to
// somebody whom he has called on another line. For that his call is turned round: from
// then on it is the call of whom he has called, the agent is who talks with him, and all
// is as transfer.go has it, but that there is no visit.

// turned gives the step in which the call goes on turned round, with a transfer that its
// agent asks for. One who helps is not sent away: nil. The visit in which a colleague came who was
// reached through a queue ends with the call.
func (t *talk) turned(refer *sip.Refer) step {
	if t.with.to.Kind == ToEmergency {
		_ = refer.RejectFor(403, "An emergency call is not transferred")
		return nil
	}
	agent, c := t.across(t.with.leg), t.inbound
	agent.side = "agent"
	c.theirs, c.agent, c.own = t.with, "", nil
	c.leg, c.media, c.held = c.theirs.leg, c.theirs.media, c.theirs.onHold
	now := time.Now()
	if c.theirs.talk != nil {
		c.theirs.talk.Add(t.clock.stop(now))
	}
	c.theirTime = newHoldClock(now)
	next := &talk{inbound: c, with: agent, clock: newHoldClock(now), first: refer}
	t.with = nil
	return next.conduct
}

// turnedBack gives the step in which a call that was turned round is its agent's own again,
// since his transfer came to nothing: as such it can be joined with another of his. Nil: it
// is not turned, or with somebody else by now.
func (t *talk) turnedBack() step {
	agent, c := t.with, t.inbound
	if t.theirs == nil || t.wish != nil || !agent.on() || agent.agent == "" || agent.talk != nil || agent.held != nil || agent.gone() {
		return nil
	}
	guest := t.theirs
	guest.onHold = t.held
	c.agent, c.own, c.theirs = agent.agent, agent.own, nil
	next := &talk{inbound: c, with: guest, clock: c.theirTime}
	t.with = nil
	return func() (step, Termination) { return next.by(agent) }
}

// visit is the one that the talk with an agent belongs to, or, without one, what there is
// to say instead.
func (t *talk) visit() router.Visit {
	if t.with.talk != nil {
		return t.with.talk.Visit()
	}
	best := append(config.Best(t.Router.Agent(t.with.agent).Languages), t.Config.Languages...)
	return router.Visit{ID: t.id, Call: t.id, Language: best[0]}
}

// from gives the number that is shown to an agent who is rung.
func (c *inbound) from() string {
	if c.theirs != nil {
		return cmp.Or(c.theirs.to.Number, c.theirs.agent)
	}
	return c.leg.Caller()
}
