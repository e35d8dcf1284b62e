package call

import (
	"context"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
)

// talk bridges caller and agent until either hangs up. The agent's leg is ended
// before the router hears of it, and may have the next caller rung on the phone.
func (c *inbound) talk(agent *ring, talk *router.Talk) Termination {
	clock := newHoldClock(time.Now())
	defer func() {
		agent.stop()
		talk.End(clock.stop(time.Now()))
	}()
	agent.limit.Stop()
	held := agent.holds()
	if err := c.media.Bridge(agent.media); err != nil {
		c.log.Error("bridging", "agent", agent.offer.Agent, "error", err)
		return Signalling
	}
	c.log.Info("talking", "agent", agent.offer.Agent)
	if held {
		clock.hold(time.Now())
		c.media.PlayMusic(c.Music)
	}
	changed, widened := make(chan struct{}, 1), make(chan struct{})
	ctx, stop := context.WithCancel(c.ctx)
	defer func() { stop(); <-widened }()
	go func() {
		defer close(widened)
		c.widen(ctx, changed, talker{c.leg, c.media}, talker{agent.leg, agent.media})
	}()
	for {
		select {
		case <-c.leg.Done():
			return c.hungUp(CallerHungUp)
		case <-agent.leg.Done():
			return AgentHungUp
		case <-c.ctx.Done():
			return Drained
		case info := <-c.leg.Infos():
			press(c.media, info)
		case info := <-agent.leg.Infos():
			press(agent.media, info)
		case e := <-c.media.Events():
			switch e.(type) {
			case media.Recoded:
				signal(changed)
			case media.Held: // whoever is put on hold hears music in place of the other
				agent.media.PlayMusic(c.Music)
			case media.Resumed:
				agent.media.Silence()
			case media.Lost:
				return MediaLost
			case media.Quiet:
				c.leg.Probe()
			}
		case e := <-agent.media.Events():
			switch e.(type) {
			case media.Recoded:
				signal(changed)
			case media.Held:
				clock.hold(time.Now())
				c.media.PlayMusic(c.Music)
			case media.Resumed:
				clock.resume(time.Now())
				c.media.Silence()
			case media.Lost:
				return MediaLost
			case media.Quiet:
				agent.leg.Probe()
			}
		}
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
	began, held time.Time // held is zero while talking
	onHold      time.Duration
}

func newHoldClock(now time.Time) *holdClock { return &holdClock{began: now} }

func (h *holdClock) hold(now time.Time) {
	if h.held.IsZero() {
		h.held = now
	}
}

func (h *holdClock) resume(now time.Time) {
	if !h.held.IsZero() {
		h.onHold += now.Sub(h.held)
		h.held = time.Time{}
	}
}

// stop gives the time talked and the time on hold.
func (h *holdClock) stop(now time.Time) (talk, hold time.Duration) {
	h.resume(now)
	return now.Sub(h.began) - h.onHold, h.onHold
}
