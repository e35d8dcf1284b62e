package call

import (
	"context"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// An agent moves a talk of his to another of his phones: that phone calls, and names the
// dialog of the one he talks by (Replaces, RFC 3891). The new leg takes the place of the
// old in whatever call that is, which is hung up; the talk, its visit and its time go on.
// Only a talk can be moved, and only by the agent whose it is; nobody takes another's.

// move takes an INVITE with Replaces until the leg is over.
func (c *Conductor) move(leg *sip.Leg) {
	log := c.Log.With("call", leg.ID(), "agent", leg.Agent())
	if leg.Agent() == "" {
		_ = leg.Reject(603, "")
		return
	}
	o := media.LegOptions{Latch: true}
	c.encrypt(&o, "", leg.Encrypted())
	side, err := c.Media.NewLeg(o)
	if err != nil {
		log.Warn("no media for a phone to which a talk is moved", "error", err)
		_ = leg.Reject(NoPort.Code, "")
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, takeOverPatience)
	defer cancel()
	phone := &ring{agent: leg.Agent(), leg: leg, media: side, limit: stopped(), side: "agent"}
	if _, err := c.ask(ctx, request{leg: leg.Replaces(), answer: make(chan *ring, 1), phone: phone}); err != nil {
		log.Warn("a talk is not moved to another phone", "error", err)
		_ = leg.Reject(603, "")
		side.Close()
		return
	}
	<-leg.Done()
}

// moved goes on by another phone of the agent's; nil if it is not his to say, or not now.
func (t *talk) moved(r request) step {
	phone := r.phone
	near, far := r.leg == t.leg && phone.agent == t.agent, r.leg == t.with.leg && phone.agent == t.with.agent
	if t.wish != nil || !t.with.on() || !near && !far {
		r.refuse()
		return nil
	}
	if err := phone.leg.Answer(phone.media); err != nil {
		t.log.Warn("a phone to which a talk is to be moved cannot be answered", "agent", phone.agent, "code", phone.leg.End().Code)
		r.refuse()
		return nil
	}
	r.answer <- phone
	t.log.Info("moved to another phone", "agent", phone.agent)
	next := &talk{inbound: t.inbound, with: t.with, clock: t.clock}
	t.with = nil
	if far {
		next.with = next.with.movesTo(phone)
		return next.conduct
	}
	return func() (step, Termination) {
		t.leg.HangupFor(HandedOver.cause())
		t.inbound.media.Close()
		t.legEnded("caller", t.agent, t.inbound.media)
		return next.by(phone)
	}
}

// by conducts an agent's own call by another leg of his.
func (t *talk) by(agent *ring) (step, Termination) {
	t.leg, t.inbound.media, t.held = agent.leg, agent.media, agent.onHold
	defer t.found(agent.leg)()
	return t.conduct()
}

// movesTo hangs up the phone he talked by: what keeps him goes with him.
func (r *ring) movesTo(phone *ring) *ring {
	phone.call, phone.talk, phone.held, phone.own = r.call, r.talk, r.held, r.own
	r.talk, r.held, r.own = nil, nil, nil
	r.leg.HangupFor(HandedOver.cause())
	r.stop()
	return phone
}
