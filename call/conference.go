package call

import (
	"context"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// A conference is a caller, his agent and whom the agent consults, in one mix. The
// agent has come by two calls: the caller's, which conducts it, and his own, which has
// lent whom he consults and waits for the end. Of the two legs to his phone the one in
// which he has asked for it stays, and the other, which the phone holds, is hung up: so
// he has one call on his phone, and when he hangs that up it is clear what he means.
//
// Whoever hangs up, the two others talk on: caller and consulted as after an attended
// transfer, caller and agent as before, agent and consulted in the agent's own call.
type conference struct {
	*talk       // of the caller and the agent; its leg is the one that stays
	guest *ring // whom he consults
	other *ring // the agent's other leg, until all hear each other
	lent  *loan // nil: it has been answered
	mix   *media.Mix
	was   string // Call-ID of the leg that is hung up then
	name  *wish  // how it is told of
	here  bool   // he has asked for it in the caller's call
}

// loan is what an agent's own call lends to a conference beside whom he consults: his
// leg, and the time the two have talked.
type loan struct {
	agent *ring
	clock *holdClock
	back  chan pair // once, unless the call it is lent to breaks off before
	to    *inbound
}

// pair comes back from a conference: the one consulted, to talk on with the agent by
// the leg that he has now, or, without that, to be hung up; or nobody, who stays with
// the caller.
type pair struct {
	guest, agent *ring
	warned       bool // the agent hears that there is no conference
}

// returned is a conference from which the caller and his agent went on by themselves.
var returned = result{word: "returned"}

// three joins the talk with a caller and the agent's own call; nil if that cannot be.
func (t *talk) three(w three) step {
	if t.wish != nil || !t.with.on() {
		return nil
	}
	r := request{leg: w.own, answer: make(chan *ring, 1), loan: &loan{back: make(chan pair, 1), to: t.inbound}}
	guest, err := t.ask(t.ctx, r)
	if err != nil {
		t.log.Warn("an agent's two calls cannot be joined", "agent", t.with.agent, "error", err)
		return nil
	}
	c := &conference{
		talk:  &talk{inbound: t.inbound, with: t.with, clock: t.clock},
		guest: guest, other: r.loan.agent, lent: r.loan,
	}
	t.with = nil
	return func() (step, Termination) {
		defer c.over()
		c.here = w.here
		c.trade()
		c.handed++
		c.name = &wish{id: fmt.Sprintf("%s-t%d", c.id, c.handed), asked: time.Now(), how: event.Conference, to: guest.where()}
		return c.run()
	}
}

// trade gives the leg that stays what keeps the agent, in the caller's visit or in his own
// call. The second time all is as it was.
func (c *conference) trade() {
	if c.here {
		c.with.own, c.other.own = c.other.own, c.with.own
		return
	}
	c.with, c.other = c.other, c.with
	c.with.talk, c.other.talk = c.other.talk, c.with.talk
}

// over ends what nobody has taken over: the agent's own call last, which tells of whom it
// has lent.
func (c *conference) over() {
	defer c.repay(pair{})
	c.other.stop()
	c.guest.stop()
	if c.guest != nil {
		c.guest.end(c.lent.clock.stop(time.Now()))
	}
	c.talk.over()
}

// repay answers the agent's own call, once, which may be over then: his other leg, if it is
// still there, ends before.
func (c *conference) repay(p pair) {
	c.other = c.other.stop()
	if c.lent != nil {
		c.lent.back <- p
		c.lent = nil
	}
}

// run lets the three talk until the first leaves. Before, what each hears is as it was.
func (c *conference) run() (step, Termination) {
	c.log.Info("three talk", "agent", c.with.agent, "to", c.name.to.Kind.String())
	mixable, stop := c.narrowing()
	defer stop()
	for {
		select {
		case <-mixable:
			mixable = nil
			if err := c.begin(); err != nil {
				c.log.Warn("three cannot be mixed", "agent", c.with.agent, "error", err)
				return c.apart()
			}
		case <-c.leg.Done():
			return c.callerLeft(c.hungUp(CallerHungUp))
		case <-c.with.hungUp():
			return c.handOn()
		case <-c.guest.hungUp():
			return c.without(returned)
		case <-c.ctx.Done():
			return nil, Drained

		case r := <-c.asked:
			r.refuse()
		case refer := <-c.with.refers():
			if c.mix == nil || !c.means(refer) {
				_ = refer.Reject(603) // he hangs up instead
				continue
			}
			if refer.Accept() == nil {
				_ = refer.Notify(handedOn.code)
			}
			return c.handOn()
		case refer := <-c.guest.refers():
			_ = refer.Reject(603)
		case info := <-c.leg.Infos():
			press(c.inbound.media, info)
		case info := <-c.with.infos():
			press(c.with.media, info)
		case info := <-c.guest.infos():
			press(c.guest.media, info)
		case e := <-c.inbound.media.Events():
			if _, ok := e.(media.Lost); ok {
				return c.callerLeft(MediaLost)
			}
			c.heard(talker{c.leg, c.inbound.media}, &c.held, e)
		case e := <-c.with.heard():
			c.heard(talker{c.with.leg, c.with.media}, &c.with.onHold, e)
		case e := <-c.guest.heard():
			c.heard(talker{c.guest.leg, c.guest.media}, &c.guest.onHold, e)
		}
	}
}

// narrowing brings the three back to G.711, which alone can be mixed. It is told when
// they are, or will not be.
func (c *conference) narrowing() (done <-chan struct{}, stop func()) {
	over := make(chan struct{})
	ctx, cancel := context.WithCancel(c.ctx)
	three := []talker{{c.leg, c.inbound.media}, {c.with.leg, c.with.media}, {c.guest.leg, c.guest.media}}
	go func() {
		defer close(over)
		c.narrow(ctx, three)
	}()
	return over, func() { cancel(); <-over }
}

// begin lets the three hear each other. From now on the caller is on hold no more.
func (c *conference) begin() error {
	c.mix = c.Media.NewMix()
	three := []*media.Leg{c.inbound.media, c.with.media, c.guest.media}
	if err := c.mix.Join(three...); err != nil {
		return err
	}
	for i, holds := range []bool{c.held, c.with.onHold, c.guest.onHold} {
		three[i].Silence() // of the music that he may have heard
		if holds {
			_ = c.mix.Listen(three[i])
		}
	}
	c.clock.resume(time.Now())
	c.was = c.other.leg.SIPCallID()
	c.other.leg.HangupFor(HandedOver.cause())
	c.other = c.other.stop()
	return nil
}

// heard takes what somebody's media tell. Of one who holds us nothing is heard, though
// his phone may play music: the others talk on.
func (c *conference) heard(who talker, holds *bool, e media.Event) {
	switch e.(type) {
	case media.Held:
		*holds = true
		if c.mix != nil {
			_ = c.mix.Listen(who.media)
		}
	case media.Resumed:
		*holds = false
		if c.mix != nil {
			_ = c.mix.Join(who.media)
		}
	case media.Quiet:
		who.leg.Probe()
	case media.Lost:
		who.leg.Hangup()
	}
}

// handOn is the agent hanging up: the caller stays with whom he has consulted.
func (c *conference) handOn() (step, Termination) {
	c.adopt(c.name, c.guest)
	agent, next := c.with, &talk{inbound: c.inbound, with: c.guest, clock: newHoldClock(time.Now())}
	if c.guest.talk != nil { // a visit of his own, in which he has talked since
		next.clock = c.lent.clock
	}
	after := c.guest.begin()
	c.tell(c.name, handedOn)
	c.with, c.guest = nil, nil
	c.belongs(next.with)
	talk, hold := c.clock.stop(time.Now())
	agent.talk.Over(after, talk, hold)
	c.belongs(agent)
	c.repay(pair{})
	c.dismiss(agent)
	return next.conduct, Termination{}
}

// means says whether the agent's phone asks that the caller be handed on to whom he
// consults: to him by name, or in place of the call that has become part of this one.
func (c *conference) means(refer *sip.Refer) bool {
	if refer.Replaces != nil {
		return refer.Replaces.CallID == c.was
	}
	switch to := c.Resolve(refer.User); to.Kind {
	case ToAgent:
		return to.Agent == c.guest.agent
	case ToQueue:
		return to.Queue == c.name.to.Queue
	default:
		return to.Number != "" && to.Kind == c.name.to.Kind && to.Number == c.name.to.Number
	}
}

// apart is a conference that cannot be, since somebody's phone keeps to a codec that
// cannot be mixed: the agent hears so, and both calls go on as they were.
func (c *conference) apart() (step, Termination) {
	c.tell(c.name, broken)
	c.trade()
	back, next := pair{c.guest, c.other, !c.here}, &talk{inbound: c.inbound, with: c.with, clock: c.clock, warned: c.here}
	c.with, c.guest, c.other = nil, nil, nil
	c.repay(back)
	return next.conduct, Termination{}
}

// without is a conference without the one consulted: caller and agent talk on.
func (c *conference) without(how result) (step, Termination) {
	c.tell(c.name, how)
	c.with.own.End() // the talk keeps callers from him
	c.with.own = nil
	c.belongs(c.with)
	guest, next := c.guest, &talk{inbound: c.inbound, with: c.with, clock: c.clock}
	c.with, c.guest = nil, nil
	c.repay(pair{guest: guest})
	return next.conduct, Termination{}
}

// belongs has the end of somebody's leg told as of this call.
func (c *inbound) belongs(r *ring) {
	r.call, r.side = c, "outside"
	if r.agent != "" {
		r.side = "agent"
	}
}

// callerLeft is a conference without its caller: the call is over, and the agent and
// the one consulted talk on in the agent's own.
func (c *conference) callerLeft(end Termination) (step, Termination) {
	c.tell(c.name, callerLeft)
	agent, guest := c.with, c.guest
	c.with, c.guest = nil, nil
	talk := agent.talk
	agent.talk = nil
	c.repay(pair{guest: guest, agent: agent})
	talk.End(c.clock.stop(time.Now()))
	return nil, end
}

// lend gives the two of an agent's own call to a conference, and the step in which it
// waits for what comes back.
func (t *talk) lend(r request) step {
	guest, clock := t.with, t.clock
	agent := t.across(guest.leg)
	t.with, t.taken = nil, true
	return func() (step, Termination) {
		r.loan.agent, r.loan.clock = agent, clock
		r.answer <- guest
		for {
			select {
			case p := <-r.loan.back:
				return t.repaid(p, clock)
			case <-r.loan.to.over:
				return t.unpaid(r.loan, guest)
			case other := <-t.asked:
				other.refuse()
			}
		}
	}
}

// unpaid is the end of the call that two were lent to. If it has given nothing back, it
// has broken off, and they are hung up.
func (t *talk) unpaid(l *loan, guest *ring) (step, Termination) {
	select {
	case p := <-l.back:
		return t.repaid(p, l.clock)
	default:
	}
	t.taken = false
	(&talk{inbound: t.inbound, with: guest, clock: l.clock}).over()
	return nil, Crashed
}

// repaid goes on with what a conference has given back.
func (t *talk) repaid(p pair, clock *holdClock) (step, Termination) {
	if p.guest == nil {
		return nil, HandedOver
	}
	next := &talk{inbound: t.inbound, with: p.guest, clock: clock, warned: p.warned}
	if p.agent == nil {
		next.over()
		return nil, AgentHungUp
	}
	t.own, t.taken = p.agent.own, false
	return func() (step, Termination) { return next.by(p.agent) }, Termination{}
}

// warn lets the agent hear that the three cannot talk with each other: in the call in
// which he has asked for it.
func (t *talk) warn() {
	if !t.warned {
		return
	}
	t.warned = false
	his := t.with.media
	if t.agent != "" {
		his = t.inbound.media
	}
	his.Play(first, second, third) // after that he hears the other again
}
