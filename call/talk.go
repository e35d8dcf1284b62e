package call

import (
	"context"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// talk is the caller with somebody: an agent, or a telephone outside. While the
// agent's wish to hand the caller on is tried there is somebody else who is rung.
type talk struct {
	*inbound
	with  *ring // the caller hears him, or music
	clock *holdClock
	alone bool  // with has hung up, and the caller waits for whom he is handed on to
	wish  *wish // nil: none
	vain  *wish // the last that came to nothing

	first     *sip.Refer // of the agent, before it begins; nil: none
	near, far *side      // of the agents in it: side.go
	warned    bool       // it goes on after a conference that could not be
}

// talkWith gives the step in which the caller talks with somebody who has answered.
func (c *inbound) talkWith(r *ring) step {
	return func() (step, Termination) {
		t := &talk{inbound: c, with: r, clock: newHoldClock(r.began())}
		return t.conduct()
	}
}

// conduct conducts the talk, from the beginning or where it was left.
func (t *talk) conduct() (step, Termination) {
	defer t.over()
	return t.run()
}

// over ends what the next step has not taken over. A phone is hung up before the
// router hears of it, which may have the next caller rung on it.
func (t *talk) over() {
	t.giveUp()
	if t.with != nil { // else another's talk goes on with the clock
		t.with.stop()
		t.with.end(t.clock.stop(time.Now()))
	}
}

// run bridges the two until either hangs up, or the caller is handed on.
func (t *talk) run() (step, Termination) {
	t.with.limit.Stop()
	if t.with.holds() {
		t.clock.hold(time.Now())
	} else {
		t.clock.resume(time.Now())
	}
	if err := t.bridge(); err != nil {
		return nil, Signalling
	}
	t.warn()
	t.log.Info("talking", "agent", t.with.agent)
	defer t.found(t.with.leg)()
	defer t.sit()()
	changed, stop := t.widening()
	defer stop()
	if t.first != nil {
		if next := t.transfer(t.first); next != nil {
			return next, Termination{}
		}
	}
	for {
		if next := t.turnedBack(); next != nil {
			return next, Termination{}
		}
		select {
		case <-t.leg.Done():
			if next := t.askedLast(); next != nil {
				return next, Termination{}
			}
			return nil, t.hungUp(CallerHungUp)
		case <-t.with.hungUp():
			if next, end := t.gone(); next != nil || end != (Termination{}) {
				return next, end
			}
		case <-t.ctx.Done():
			return nil, Drained
		case r := <-t.asked:
			if next, end := t.respond(r, stop); next != nil || end != (Termination{}) {
				return next, end
			}

		case refer := <-t.with.refers():
			if next := t.transfer(refer); next != nil {
				return next, Termination{}
			}
		case <-t.wish.answered():
			if next := t.reached(); next != nil {
				return next, Termination{}
			}
		case <-t.wish.refused():
			if next, end := t.unanswered(t.wish.rung.outcome()); next != nil || end != (Termination{}) {
				return next, end
			}
		case <-t.wish.late():
			if next, end := t.unanswered(noAnswer); next != nil || end != (Termination{}) {
				return next, end
			}

		case refer := <-t.referredBy():
			if next := t.mirrored(refer); next != nil {
				return next, Termination{}
			}
		case three := <-t.far.wanted():
			if next := t.three(three); next != nil {
				return next, Termination{}
			}
		case <-t.near.late():
			t.near.passAll()
		case <-t.far.late():
			t.far.passAll()

		case info := <-t.leg.Infos():
			press(t.media, info)
		case info := <-t.with.infos():
			press(t.with.media, info)
		case e := <-t.media.Events():
			if _, ok := e.(media.Lost); ok {
				return nil, MediaLost
			}
			t.callers(e, changed)
		case e := <-t.with.heard():
			if _, ok := e.(media.Lost); ok && t.wish == nil {
				return nil, MediaLost
			}
			t.others(e, changed)
		}
	}
}

// respond answers another call.
func (t *talk) respond(r request, stop func()) (step, Termination) {
	party := t.across(r.leg)
	switch {
	case r.gift != nil:
		return t.take(r), Termination{}
	case r.phone != nil:
		return t.moved(r), Termination{}
	case party == nil:
		r.refuse()
		return nil, Termination{}
	case r.loan != nil:
		return t.lend(r), Termination{}
	}
	stop() // nothing of it may be touched any more
	t.give(r, party)
	return nil, HandedOver
}

// bridge lets the two hear each other, unless one of them holds the other: who is
// held hears music.
func (t *talk) bridge() error {
	if err := t.media.Bridge(t.with.media); err != nil {
		t.log.Error("bridging", "agent", t.with.agent, "error", err)
		return err
	}
	if t.clock.held() {
		t.media.PlayMusic(t.Music)
	}
	if t.held {
		t.with.media.PlayMusic(t.Music)
	}
	return nil
}

// widening keeps the talk in the best codec that both take until stop is called.
// It is told by the channel when a side has changed its own.
func (t *talk) widening() (changed chan struct{}, stop func()) {
	changed = make(chan struct{}, 1)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.ctx)
	caller, other := talker{t.leg, t.media}, talker{t.with.leg, t.with.media}
	go func() {
		defer close(done)
		t.widen(ctx, changed, caller, other)
	}()
	return changed, func() { cancel(); <-done }
}

// callers takes what the caller's media tell.
func (t *talk) callers(e media.Event, changed chan struct{}) {
	switch e := e.(type) {
	case media.Key:
		t.key(t.near, e.Key)
	case media.Recoded:
		signal(changed)
	case media.Held:
		t.held = true
		t.with.media.PlayMusic(t.Music)
	case media.Resumed:
		t.held = false
		t.with.media.Silence()
	case media.Quiet:
		t.leg.Probe()
	}
}

// others takes what the other side's media tell. An agent whose wish is tried may
// hold the caller meanwhile, as many phones do: the caller hears music in any case.
func (t *talk) others(e media.Event, changed chan struct{}) {
	switch e := e.(type) {
	case media.Key:
		t.key(t.far, e.Key)
	case media.Recoded:
		signal(changed)
	case media.Held:
		t.with.onHold = true
		t.clock.hold(time.Now())
		t.media.PlayMusic(t.Music)
	case media.Resumed:
		t.with.onHold = false
		if t.wish == nil {
			t.clock.resume(time.Now())
			t.media.Silence()
		}
	case media.Quiet:
		t.with.leg.Probe()
	}
}

// signal leaves a token, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// holdClock tells talk from hold.
type holdClock struct {
	began, since time.Time // since is zero while talking
	onHold       time.Duration
	ended        time.Time // zero while it runs
}

func newHoldClock(now time.Time) *holdClock { return &holdClock{began: now} }

func (h *holdClock) held() bool { return !h.since.IsZero() }

func (h *holdClock) hold(now time.Time) {
	if h.since.IsZero() {
		h.since = now
	}
}

func (h *holdClock) resume(now time.Time) {
	if !h.since.IsZero() {
		h.onHold += now.Sub(h.since)
		h.since = time.Time{}
	}
}

// stop gives the time talked and the time on hold, as of its first call.
func (h *holdClock) stop(now time.Time) (talk, hold time.Duration) {
	if h.ended.IsZero() {
		h.resume(now)
		h.ended = now
	}
	return h.ended.Sub(h.began) - h.onHold, h.onHold
}
