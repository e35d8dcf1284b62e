package call

import (
	"errors"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// dialled is the first step of a call that an agent makes himself. It becomes a talk
// like any other once somebody has answered, but belongs to no visit unless it goes
// to a queue. Its caller, for everything below, is the agent.
func (c *inbound) dialled() (step, Termination) {
	c.log = c.log.With("agent", c.agent)
	c.log.Info("an agent calls", "to", c.to.Kind.String(), "number", c.to.shown(c.leg.Number()))
	var other *ring
	var end Termination
	switch c.to.Kind {
	case ToEmergency:
		other, end = c.emergency()
	case ToNumber, ToQueue:
		c.engage()
		return c.asCaller()
	case ToAgent:
		c.engage()
		other, end = c.colleague()
	case ToOutside:
		c.engage()
		other, end = c.outside()
	default:
		end = c.deny(c.agent, c.id, c.to.shown(c.leg.Number()), c.to.Refused)
	}
	if other == nil {
		return nil, end
	}
	return c.talkWith(other), Termination{}
}

// engage keeps callers from the agent as long as this call lasts. One who has no
// phone registered is offered none anyway; without Redis nobody is.
func (c *inbound) engage() {
	own, err := c.Router.Engage(c.ctx, c.agent, c.id)
	if err != nil && !errors.Is(err, router.ErrNotRegistered) {
		c.log.Warn("an agent on the phone may be offered callers", "error", err)
	}
	c.own = own
}

// asCaller has the agent go where callers go: through a flow, or to a queue, in which
// he waits for somebody who speaks his best language.
func (c *inbound) asCaller() (step, Termination) {
	if err := c.answer(); err != nil {
		return nil, c.ended(err)
	}
	if c.to.Kind == ToNumber {
		return c.flow(c.Config.Numbers[c.to.Number]), Termination{}
	}
	language := c.Config.Languages[0]
	if best := c.languages(); len(best) > 0 {
		language = best[0]
	}
	waiting, err := c.join(router.Visit{Queue: c.to.Queue, Language: language})
	if err != nil {
		c.log.Error("joining a queue", "queue", c.to.Queue, "error", err)
		return nil, Routing
	}
	return c.waiting(waiting, nil), Termination{}
}

// languages are the agent's, best first.
func (c *inbound) languages() []string { return config.Best(c.Router.Agent(c.agent).Languages) }

// colleagueRing is how long an agent is rung by a colleague.
const colleagueRing = 30 * time.Second

// colleague rings another agent. He is kept from callers meanwhile, and is what he
// was if he does not answer.
func (c *inbound) colleague() (*ring, Termination) {
	if c.to.Agent == c.agent {
		return nil, CalleeBusy
	}
	held, err := c.Router.Hold(c.ctx, router.Visit{ID: c.id, Call: c.id}, "callee", c.to.Agent)
	switch {
	case errors.Is(err, router.ErrBusy):
		return nil, CalleeBusy
	case errors.Is(err, router.ErrNotRegistered):
		return nil, CalleeAway
	case err != nil:
		c.log.Error("holding an agent", "agent", c.to.Agent, "error", err)
		return nil, Routing
	}
	if err := c.open(); err != nil {
		held.Release()
		return nil, c.ended(err)
	}
	other, err := c.ringAgent(c.to.Agent, colleagueRing, router.Visit{})
	if err != nil {
		held.Release()
		c.log.Warn("an agent cannot be rung", "agent", c.to.Agent, "error", err)
		return nil, CalleeAway
	}
	other.held = held
	if end := c.reach(other); end != (Termination{}) {
		return nil, end
	}
	if err := held.Answered(); err != nil {
		c.log.Warn("an agent answered and is not connected", "agent", c.to.Agent, "error", err)
		other.stop()
		return nil, Routing
	}
	return other, Termination{}
}

// reach waits for an answer. What the far end lets the agent hear before, he hears.
// Unless it gives the zero Termination, which is an answer, the far end is hung up.
func (c *inbound) reach(other *ring) (end Termination) {
	end = Crashed
	defer func() {
		if end != (Termination{}) {
			other.stop()
		}
	}()
	c.code = 0
	rings, sounds := other.leg.Progress(), other.leg.EarlyMedia()
	for {
		select {
		case <-rings:
			rings = nil
			_ = c.leg.Ringing() // one that is over already tells of it below
		case <-sounds:
			rings, sounds = nil, nil
			c.soundEarly(other)
		case <-other.answered():
			if c.left() || other.gone() {
				continue // the case that tells of it is ready too
			}
			c.leg.Refers() // from now on: a wish may come as soon as he has the answer
			if err := c.pickUp(); err != nil {
				return c.ended(err)
			}
			other.permit, c.counted = c.counted, nil
			return Termination{}
		case <-other.refused():
			var code int
			end, code = unreached(other.leg.End())
			c.code = code
			return end
		case <-other.late():
			return NoAnswer
		case <-c.leg.Done():
			return c.hungUp(LeftRinging)
		case <-c.ctx.Done():
			return Drained
		case r := <-c.asked:
			if r.special() {
				r.refuse()
				continue
			}
			other.ringing, other.permit, c.counted = true, c.counted, nil
			r.answer <- other
			other = nil
			return HandedOver
		case info := <-c.leg.Infos():
			press(c.media, info)
		case <-c.media.Events(): // a phone that is not answered need send no sound
		}
	}
}

// soundEarly lets the agent hear the far end before it answers: an announcement,
// or its ringing.
func (c *inbound) soundEarly(other *ring) {
	switch err := c.leg.AnswerEarly(c.media); {
	case errors.Is(err, sip.ErrState): // he hears an earlier one already
	case errors.Is(err, sip.ErrCannot):
		_ = c.leg.Ringing()
		return
	case err != nil:
		return // the leg is over, and tells of it
	}
	if err := c.media.Bridge(other.media); err != nil {
		c.log.Error("bridging early", "error", err)
	}
}

// unreached is the end of a call that nobody answered, by how the far end took it,
// and the status that is passed on to the agent's phone; 0: the end's own.
func unreached(e sip.End) (Termination, int) {
	if e.By == sip.ByFailure {
		return TrunkFailed, 0
	}
	switch code := e.Code; {
	case code == 486 || code == 600:
		return CalleeBusy, code
	case code == 404 || code == 410 || code == 484 || code == 604:
		return CalleeUnknown, code
	case code == 408 || code == 480:
		return NoAnswer, code
	case code == 401 || code == 407 || code >= 500 && code < 600: // a challenge would be taken for ours
		return TrunkFailed, 0
	case code > 400 && code < 700:
		return CalleeDeclined, code
	default: // who is told to call elsewhere cannot
		return CalleeDeclined, 0
	}
}

// deny refuses a call or transfer that an agent may not make: a fact, an entry of the
// audit, a line of the log and a count. shown is whom he wanted, shortened.
func (c *Conductor) deny(agent, call, shown string, why Termination) Termination {
	c.metrics.refused.WithLabelValues(why.Reason).Inc()
	c.Log.Warn("an agent's call is refused", "call", call, "agent", agent, "number", shown, "reason", why.Reason)
	c.Events.Emit(call, event.Audited{Actor: "agent:" + agent, Action: "call.refused", Object: "call " + call, Detail: why.Reason + " " + shown})
	return why
}

// announce lets the agent hear a prompt in the best of his languages that there is it
// in, three rising tones in all: it gives end when he has heard it.
func (c *inbound) announce(prompt string, end Termination) Termination {
	if err := c.open(); err != nil {
		return c.ended(err)
	}
	if !c.answered() {
		if err := c.pickUp(); err != nil {
			return c.ended(err)
		}
	}
	clips := []*media.Clip{silence, first, second, third, silence}
	for _, language := range append(c.languages(), c.Config.Languages...) {
		if clip, ok := c.Prompts[ivr.Prompt{Language: language, Name: prompt}]; ok {
			clips = append(clips, clip, silence)
			break
		}
	}
	c.sound(c.leg, c.media, clips)
	if c.left() {
		return c.hungUp(end)
	}
	return end
}

// The tones by which telephone networks announce that a call cannot be made (ITU-T
// E.180).
var (
	first  = media.Tone(950, 330*time.Millisecond)
	second = media.Tone(1400, 330*time.Millisecond)
	third  = media.Tone(1800, 330*time.Millisecond)
)

// engageAside is engage for a call that must not wait for Redis.
func (c *inbound) engageAside() {
	c.beside.Go(func() {
		if own, err := c.Router.Engage(c.ctx, c.agent, c.id); err == nil {
			<-c.over
			own.End()
		}
	})
}
