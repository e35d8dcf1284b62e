package call

import (
	"context"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// The codes an agent dials on his phone.
const (
	codeReady      = "*70"
	codePause      = "*71"
	codeWrapUpDone = "*72"
)

// feature carries out an agent's code and lets him hear that it was done: two
// rising notes for ready, two falling ones for a pause. A code that fails is
// refused, so that the phone shows it.
func (c *Conductor) feature(leg *sip.Leg) {
	log := c.Log.With("call", leg.ID(), "agent", leg.Agent(), "code", leg.Number())
	defer leg.Hangup()
	notes, err := c.carryOut(leg.Agent(), leg.Number())
	if err != nil {
		log.Warn("feature code", "error", err)
		_ = leg.Reject(480, "Not Possible Now")
		return
	}
	if notes == nil {
		_ = leg.Reject(UnknownNumber.Code, "Unknown Code")
		return
	}
	log.Info("feature code")
	o := media.LegOptions{Latch: true}
	c.encrypt(&o, "", leg.Encrypted())
	side, err := c.Media.NewLeg(o)
	if err != nil {
		_ = leg.Reject(NoPort.Code, "")
		return
	}
	defer side.Close()
	if err := leg.Answer(side); err != nil {
		return
	}
	c.sound(leg, side, notes)
}

// carryOut does what a code says and gives the notes that confirm it; none for
// an unknown code.
func (c *Conductor) carryOut(agent, code string) ([]*media.Clip, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
	defer cancel()
	switch code {
	case codeReady:
		return []*media.Clip{silence, low, high}, c.Router.SetState(ctx, agent, router.Ready, "key")
	case codePause:
		return []*media.Clip{silence, high, low}, c.Router.SetState(ctx, agent, router.Paused, "key")
	case codeWrapUpDone:
		return []*media.Clip{silence, high, high}, c.Router.WrapUpDone(ctx, agent)
	}
	return nil, nil
}

// The notes. A phone needs a moment after its ACK before it plays.
var (
	silence = media.Tone(0, 300*time.Millisecond)
	low     = media.Tone(523, 150*time.Millisecond)
	high    = media.Tone(784, 150*time.Millisecond)
)

func (c *Conductor) sound(leg *sip.Leg, side *media.Leg, notes []*media.Clip) {
	playing := side.Play(notes...)
	for {
		select {
		case <-leg.Done():
			return
		case <-c.ctx.Done():
			return
		case e := <-side.Events():
			if done, ok := e.(media.PlayDone); ok && done.Play == playing {
				return
			}
		}
	}
}
