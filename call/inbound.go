package call

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// inbound is one caller's visit, or a call that an agent makes himself. It belongs
// to the goroutine that conducts it.
type inbound struct {
	*Conductor
	id    string
	leg   *sip.Leg
	media *media.Leg // nil until there is sound to be agreed on
	log   *slog.Logger

	play media.PlayID // what ivr had spoken last
	held bool         // the caller holds us

	visits int            // to queues, until now
	handed int            // how often an agent has wanted to hand him on
	beside sync.WaitGroup // agents whose part is over, on their way out

	counted *router.Own // of agents' calls outside, that which rings; nil: none

	// Of a call that an agent makes himself: own.go.
	agent  string      // his id; "" of a caller
	to     Destination // where it goes
	own    *router.Own // keeps callers from him; nil: he has no phone registered, or nothing keeps them
	theirs *ring       // whose call it is since it was turned round: turned.go
	code   int         // with which it was refused further on, to be passed on to his phone

	theirTime *holdClock // since then

	asked chan request  // for one of those who talk: handover.go
	taken bool          // leg and media are another call's
	over  chan struct{} // closed at the end
}

// inbound conducts a caller's leg: from here to the end of run, the way of a call.
func (c *Conductor) inbound(leg *sip.Leg) {
	call := &inbound{
		Conductor: c, id: leg.ID(), leg: leg, log: c.Log.With("call", leg.ID()),
		agent: leg.Agent(), asked: make(chan request), over: make(chan struct{}),
	}
	if call.agent != "" {
		call.to = c.Resolve(leg.Number())
		defer call.found(leg)()
	}
	began := time.Now()
	c.Events.Emit(call.id, call.start())
	end := call.guarded()
	call.release(end)
	took := time.Since(began)
	call.beside.Wait()
	c.Events.Emit(call.id, event.CallEnded{Class: string(end.Class), Reason: end.Reason, Duration: took})
	call.log.Info("call ended", "class", end.Class, "reason", end.Reason, "duration", took.Round(time.Millisecond))
}

// start is the first fact of the call.
func (c *inbound) start() event.CallStarted {
	if c.agent != "" {
		return event.CallStarted{Number: c.to.shown(c.leg.Number()), Agent: c.agent, To: c.to.Kind.String()}
	}
	hash, sealed := c.Private(c.id, c.leg.Caller())
	return event.CallStarted{
		Number: c.shown(c.leg.Number()), Caller: Shorten(c.leg.Caller()), Trunk: c.leg.Trunk(),
		CallerHash: hash, CallerSealed: sealed,
	}
}

// shown gives a number that was dialled as it may stand in logs and events: in full
// if it is one of ours.
func (c *Conductor) shown(number string) string {
	if _, ours := c.Config.Numbers[number]; ours {
		return number
	}
	return Shorten(number)
}

// guarded runs the call; a panic ends this call and no other.
func (c *inbound) guarded() (end Termination) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic in a call", "panic", p, "stack", string(debug.Stack()))
			end = Crashed
		}
	}()
	return c.run()
}

func (c *inbound) run() Termination {
	next := c.called
	if c.agent != "" {
		next = c.dialled
	}
	var end Termination
	for next != nil {
		next, end = next()
	}
	return end
}

// step is one stage of a call: a flow, a wait in line, a talk. It gives the next,
// nil after the last, and then how the call ended. What it holds it has given back,
// or given to the next step, when it returns.
type step func() (step, Termination)

// called is a caller's first step: he is answered, if the number is one of ours.
func (c *inbound) called() (step, Termination) {
	dialled := c.leg.Number()
	number, known := c.Config.Numbers[dialled]
	if !known {
		return nil, UnknownNumber
	}
	c.log.Info("call", "number", dialled, "caller", Shorten(c.leg.Caller()), "trunk", c.leg.Trunk())
	if err := c.answer(); err != nil {
		return nil, c.ended(err)
	}
	return c.flow(number), Termination{}
}

// flow gives the step in which the caller goes through a number's flow.
func (c *inbound) flow(number config.Number) step {
	return func() (step, Termination) {
		outcome, err := ivr.Run(c.ctx, c.Config.Flows, number, c, c.entered)
		if err != nil {
			end := c.ended(err)
			if end == LeftFlow && len(outcome.Recordings) > 0 {
				return nil, LeftMessage
			}
			return nil, end
		}
		if outcome.Kind == ivr.Hangup {
			return nil, FlowEnded
		}
		waiting, err := c.join(router.Visit{Queue: outcome.Queue, Language: outcome.Language})
		if err != nil {
			c.log.Error("joining a queue", "queue", outcome.Queue, "error", err)
			return nil, Routing
		}
		return c.waiting(waiting, outcome.Announce), Termination{}
	}
}

// answer gives the caller 180, then 200 with our side of the media.
func (c *inbound) answer() error {
	if err := c.leg.Ringing(); err != nil {
		return LeftRinging
	}
	if err := c.open(); err != nil {
		return err
	}
	return c.pickUp()
}

// open makes our side of the media, unless it is there.
func (c *inbound) open() error {
	if c.media != nil {
		return nil
	}
	o := media.LegOptions{Shared: c.Config.SIP.SharesPorts(c.leg.Trunk()), Latch: c.agent != ""}
	c.encrypt(&o, c.leg.Trunk(), c.leg.Encrypted())
	leg, err := c.Media.NewLeg(o)
	if err != nil {
		c.log.Warn("no media for a call", "error", err)
		return NoPort
	}
	c.media = leg
	return nil
}

// pickUp gives the caller 200.
func (c *inbound) pickUp() error {
	switch err := c.leg.Answer(c.media); {
	case errors.Is(err, media.ErrNoCodec):
		return NoCodec
	case errors.Is(err, media.ErrNoPorts):
		return NoPort
	case err != nil && c.left() && c.leg.End().By == sip.ByRemote:
		return LeftRinging
	case err != nil: // not told whole: it may quote what the caller sent
		c.log.Warn("a call could not be answered", "code", c.leg.End().Code)
		return BadOffer
	}
	c.Events.Emit(c.id, event.CallAnswered{})
	return nil
}

// encrypt says how the sound of a leg is encrypted that is with a trunk, or,
// without a trunk's name, with an agent's phone.
func (c *Conductor) encrypt(o *media.LegOptions, trunk string, signallingIs bool) {
	o.SRTP = media.SRTPNamed(c.Config.SIP.SRTPWith(trunk))
	o.Confidential = signallingIs || c.Config.SIP.SRTPInClear
}

// release gives back what the call holds: its media, and the leg, which sees to
// its own last messages.
func (c *inbound) release(end Termination) {
	close(c.over)
	switch {
	case c.theirs != nil:
		c.theirs.stop()
		c.theirs.end(c.theirTime.stop(time.Now()))
	case !c.taken:
		if !c.answered() && !c.left() {
			_ = c.leg.Reject(cmp.Or(c.code, end.Code, 500), "")
		}
		c.leg.HangupFor(end.cause())
		if c.media != nil {
			c.media.Close()
			c.legEnded("caller", c.agent, c.media)
		}
		c.own.End()
	}
	c.counted.End()
}

// answered says whether the caller has our 200.
func (c *inbound) answered() bool { return isClosed(c.leg.Answered()) }

// legEnded tells how well a leg's sound has travelled, if there was any.
func (c *inbound) legEnded(side, agent string, leg *media.Leg) {
	s := leg.Stats()
	if s.Codec == 0 {
		return
	}
	travel := func(q media.Quality) event.Travel { return event.Travel{Loss: q.Loss, Jitter: q.Jitter, MOS: q.MOS} }
	c.Events.Emit(c.id, event.LegEnded{
		Side: side, Agent: agent, Codec: s.Codec.String(), Suite: s.Suite,
		PacketsIn: s.PacketsIn, PacketsOut: s.PacketsOut, Lost: s.Missing,
		Heard: travel(s.Heard), Sent: travel(s.Sent), RoundTrip: s.RoundTrip,
	})
}

// ended turns what stopped the flow into the call's end.
func (c *inbound) ended(err error) Termination {
	var end Termination
	if errors.As(err, &end) {
		return end
	}
	if errors.Is(err, context.Canceled) {
		return Drained
	}
	c.log.Error("flow broke off", "error", err)
	return FlowBroken
}

// left says whether the caller's leg is over.
func (c *inbound) left() bool {
	select {
	case <-c.leg.Done():
		return true
	default:
		return false
	}
}

// hungUp is how the caller's leg ended, where it means the given end if he
// hung up himself.
func (c *inbound) hungUp(himself Termination) Termination {
	if c.leg.End().By == sip.ByFailure {
		return Signalling
	}
	return himself
}

func (c *inbound) entered(step event.StepEntered) { c.Events.Emit(c.id, step) }

// clips gives the recordings of what is to be said. What is missing was told
// of by the check before start.
func (c *inbound) clips(prompts []ivr.Prompt) []*media.Clip {
	clips := make([]*media.Clip, 0, len(prompts))
	for _, p := range prompts {
		if clip, ok := c.Prompts[p]; ok {
			clips = append(clips, clip)
		}
	}
	return clips
}

// Shorten gives a caller number as it may stand in logs and events: its last
// two digits.
func Shorten(number string) string {
	if len(number) <= 4 {
		return "…"
	}
	return "…" + number[len(number)-2:]
}
