package call

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// join gives the caller a place in line: a visit of its own each time.
func (c *inbound) join(v router.Visit) (*router.Waiting, error) {
	c.visits++
	v.ID, v.Call, v.Estimate = fmt.Sprintf("%s-%d", c.id, c.visits), c.id, c.Estimate(v.Queue, v.Language)
	return c.Router.Join(c.ctx, v)
}

// waiting gives the step in which the caller waits in his place in line.
func (c *inbound) waiting(w *router.Waiting, announce []ivr.Prompt) step {
	return func() (step, Termination) { return c.wait(w, announce) }
}

// wait keeps the caller in line, rings the agents the router offers, one at a
// time, and goes on to the talk with the one who answers.
func (c *inbound) wait(waiting *router.Waiting, announce []ivr.Prompt) (next step, end Termination) {
	// Whatever ends this, also a panic, silences the agent's phone and then
	// takes the caller out of line, in this order: who is free in the router's
	// eyes may be rung at once. After an answer both do nothing.
	var ringing *ring
	var err error
	left := event.FlowedOut
	defer func() {
		ringing.stop()
		waiting.Leave(left)
	}()

	announced := c.media.Play(c.clips(announce)...)
	for {
		select {
		case offer := <-waiting.Offers():
			if ringing, err = c.ring(offer); err != nil {
				c.log.Warn("an agent cannot be rung", "agent", offer.Agent, "error", err)
				ringing = c.notRung(waiting, offer, err)
			}
		case <-ringing.answered():
			if c.left() || ringing.gone() {
				continue // the case that tells of it is ready too
			}
			talk, err := waiting.Answered(ringing.offer)
			if err == nil {
				answered := ringing
				answered.talk, ringing = talk, nil
				return c.talkWith(answered), Termination{}
			}
			// Stale: the offer is over. Else it is not the agent who failed.
			c.log.Warn("an agent answered and is not connected", "agent", ringing.offer.Agent, "error", err)
			ringing = c.refuse(waiting, ringing, event.OfferWithdrawn)
		case <-ringing.refused():
			ringing = c.refuse(waiting, ringing, event.OfferDeclined)
		case <-ringing.late():
			ringing = c.refuse(waiting, ringing, ringing.missed())

		case <-c.leg.Done():
			left = event.Abandoned
			return nil, c.hungUp(LeftQueue)
		case <-c.ctx.Done():
			return nil, Drained
		case r := <-c.asked:
			if c.agent == "" || r.special() {
				r.refuse()
				continue
			}
			place := waiting.Visit()
			r.answer <- &ring{line: &place}
			return nil, HandedOver
		case <-c.leg.Infos():
		case e := <-c.media.Events():
			switch e := e.(type) {
			case media.PlayDone:
				if e.Play == announced {
					c.media.PlayMusic(c.Music)
				}
			case media.Held:
				c.held = true
			case media.Resumed:
				c.held = false
			case media.Lost:
				left = event.Abandoned
				return nil, MediaLost
			case media.Quiet:
				c.leg.Probe()
			}
		}
	}
}

// refuse ends a ringing that came to nothing. The phone is silent before the
// router hears of it, so that no other caller rings it meanwhile.
func (c *inbound) refuse(w *router.Waiting, r *ring, how event.OfferResult) *ring {
	c.log.Info("not taken", "agent", r.offer.Agent, "result", how)
	offer := r.offer
	r = r.stop()
	w.Refused(offer, how)
	return r
}

// ring is one agent's phone being rung, with media ready for the answer, and then
// his side of the talk. A nil *ring is nobody being rung: its channels never
// deliver. One without a leg is an agent whom we failed to ring, held until the
// offer is given back.
type ring struct {
	agent  string        // whose phone it is; "" of a telephone outside
	offer  router.Offer  // of an agent rung by his place in line
	to     Destination   // of a telephone outside: its number
	trunks []string      // by which that could be called too
	line   *router.Visit // nobody yet: the place of whom an agent has waited for
	leg    *sip.Leg
	media  *media.Leg
	limit  *time.Timer
	call   *inbound  // in which he is: it tells of his leg's end
	side   string    // and as what
	ended  sync.Once // of that

	// What keeps an agent for this, beside an offer; nil: nothing.
	talk   *router.Talk // of one who has answered in a visit
	held   *router.Held // of one rung by name; in a visit until he has answered
	own    *router.Own  // of one who has made the call himself
	permit *router.Own  // of one who has called outside

	met     time.Time // when he was given away out of a talk, which goes on with this; zero: he was in none
	ringing bool      // he was rung in the call he was taken over from, and is to be told of as answered
	onHold  bool      // he holds us
	stopped bool
}

// backOff is how long an agent is held whom we failed to ring, so that a fault of
// ours is not tried again and again without a pause.
const backOff = time.Second

// notRung is what becomes of an offer whose agent could not be rung. One without
// a phone is not there; for a fault of ours, such as no port being free, nobody is
// paused: the offer is given back a little later.
func (c *inbound) notRung(w *router.Waiting, o router.Offer, err error) *ring {
	if errors.Is(err, errNoPhone) {
		w.Refused(o, event.OfferDeclined)
		return nil
	}
	return &ring{agent: o.Agent, offer: o, limit: time.NewTimer(backOff)}
}

// missed is how a ringing ended whose time is over.
func (r *ring) missed() event.OfferResult {
	if r.leg == nil {
		return event.OfferWithdrawn
	}
	return event.OfferTimedOut
}

// ring begins to ring the agent of an offer.
func (c *inbound) ring(o router.Offer) (*ring, error) {
	r, err := c.ringAgent(o.Agent, o.Ring, o.Visit)
	if err != nil {
		return nil, err
	}
	c.log.Info("ringing", "agent", o.Agent, "why", o.Why)
	r.offer = o
	return r, nil
}

// ringAgent begins to ring an agent for a visit, for so long.
func (c *inbound) ringAgent(agent string, limit time.Duration, visit router.Visit) (r *ring, err error) {
	binding, err := c.phoneOf(agent)
	if err != nil {
		return nil, err
	}
	options := media.LegOptions{
		Prefer: c.offered(),
		Near:   c.media,
		Latch:  true,
		Flow:   sourceOf(binding),
	}
	c.encrypt(&options, "", binding.Encrypted())
	side, err := c.Media.NewLeg(options)
	if err != nil {
		return nil, fmt.Errorf("media for agent %s: %w", agent, err)
	}
	defer closeUnless(&r, side)
	leg, err := c.Dial(sip.Target{
		Binding:  &binding,
		From:     c.from(),
		Withheld: c.leg.Withheld(),
		Display:  c.display(visit),
		Call:     c.id,
	}, side)
	if err != nil {
		return nil, fmt.Errorf("dial agent %s: %w", agent, err)
	}
	leg.Refers() // from now on: a wish may come with the answer
	return &ring{
		agent: agent, leg: leg, media: side, limit: time.NewTimer(limit), call: c, side: "agent",
	}, nil
}

// closeUnless gives media back with which nobody is rung in the end, also after a panic.
func closeUnless(rung **ring, side *media.Leg) {
	if *rung == nil {
		side.Close()
	}
}

// display is what an agent's phone shows beside the number: for whom he is rung, or
// by which colleague.
func (c *inbound) display(v router.Visit) string {
	if v.Queue == "" {
		if c.theirs != nil {
			return c.Router.Agent(c.theirs.agent).Name
		}
		return c.Router.Agent(c.agent).Name
	}
	return v.Queue + " " + v.Language
}

// errNoPhone is an agent without a phone, though the router thought him ready.
var errNoPhone = errors.New("no phone is registered")

// phoneOf gives the phone to ring an agent at.
func (c *inbound) phoneOf(agent string) (sip.Binding, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
	defer cancel()
	all, err := c.Bindings.Get(ctx, agent)
	if err != nil {
		return sip.Binding{}, fmt.Errorf("look up the phone of %s: %w", agent, err)
	}
	if len(all) == 0 {
		return sip.Binding{}, errNoPhone
	}
	return sip.Prefer(all, c.Config.Node)[0], nil
}

// sourceOf gives the address a phone's signalling comes from, where its sound
// most likely comes from too.
func sourceOf(b sip.Binding) netip.Addr {
	_, address, _ := strings.Cut(b.Source, ":")
	source, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	return source.Addr()
}

func (r *ring) answered() <-chan struct{} {
	if r == nil || r.leg == nil {
		return nil
	}
	return r.leg.Answered()
}

func (r *ring) refused() <-chan struct{} {
	if r == nil || r.leg == nil {
		return nil
	}
	return r.leg.Done()
}

func (r *ring) late() <-chan time.Time {
	if r == nil {
		return nil
	}
	return r.limit.C
}

// gone says whether the agent's leg is over.
func (r *ring) gone() bool {
	select {
	case <-r.leg.Done():
		return true
	default:
		return false
	}
}

// holds takes what the agent's media told while the phone rang, and says whether
// the agent holds us. A phone with sound before the answer (183 with SDP) may
// send none itself: that was no loss of an agent who is there now.
func (r *ring) holds() bool {
	for {
		select {
		case e := <-r.media.Events():
			switch e.(type) {
			case media.Held:
				r.onHold = true
			case media.Resumed:
				r.onHold = false
			}
		default:
			return r.onHold
		}
	}
}

// stop silences the phone, or ends the talk on it, and gives nil. It may be called
// more than once.
func (r *ring) stop() *ring {
	if r == nil {
		return nil
	}
	r.limit.Stop()
	r.stopped = true
	if r.leg != nil {
		r.leg.Hangup()
		r.media.Close()
		r.ended.Do(func() { r.call.legEnded(r.side, r.agent, r.media) })
	}
	if r.held != nil {
		r.held.Release()
	}
	r.own.End()
	r.permit.End()
	return nil
}

// end tells the router that the talk with him is over.
func (r *ring) end(talk, hold time.Duration) {
	if r != nil && r.talk != nil {
		r.talk.End(talk, hold)
	}
}

// on says whether there is somebody on the phone.
func (r *ring) on() bool { return r != nil && !r.stopped }

// What somebody in a talk does: nothing, once he has been hung up.

func (r *ring) hungUp() <-chan struct{} {
	if !r.on() {
		return nil
	}
	return r.leg.Done()
}

func (r *ring) refers() <-chan *sip.Refer {
	if !r.on() || r.agent == "" {
		return nil
	}
	return r.leg.Refers()
}

func (r *ring) infos() <-chan sip.Info {
	if !r.on() {
		return nil
	}
	return r.leg.Infos()
}

func (r *ring) heard() <-chan media.Event {
	if !r.on() {
		return nil
	}
	return r.media.Events()
}
