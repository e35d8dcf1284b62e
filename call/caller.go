package call

import (
	"context"
	"time"

	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// An inbound call is the ivr.Phone of its flow.
var _ ivr.Phone = (*inbound)(nil)

// Media can be put on hold by signalling.
var _ sip.Holder = (*media.Leg)(nil)

// Play implements ivr.Phone.
func (c *inbound) Play(prompts ...ivr.Prompt) { c.play = c.media.Play(c.clips(prompts)...) }

// Silence implements ivr.Phone.
func (c *inbound) Silence() {
	c.play = 0
	c.media.Silence()
}

// over is a time limit that is over.
var over = func() <-chan time.Time { c := make(chan time.Time); close(c); return c }()

// Next implements ivr.Phone. The errors are Terminations.
func (c *inbound) Next(ctx context.Context, within time.Duration) (ivr.Signal, error) {
	var limit <-chan time.Time
	switch {
	case within == 0:
		limit = over
	case within > 0:
		timer := time.NewTimer(within)
		defer timer.Stop()
		limit = timer.C
	}
	for {
		select {
		case <-c.leg.Done():
			return ivr.Signal{}, c.hungUp(LeftFlow)
		case <-ctx.Done():
			return ivr.Signal{}, Drained
		case <-limit:
			limit = over
			if len(c.leg.Infos()) == 0 && len(c.media.Events()) == 0 {
				return ivr.Signal{Kind: ivr.TimedOut}, nil
			} // what is there already comes before the time-out
		case info := <-c.leg.Infos():
			press(c.media, info)
		case e := <-c.media.Events():
			switch e := e.(type) {
			case media.KeyDown:
				return ivr.Signal{Kind: ivr.KeyDown, Key: e.Key}, nil
			case media.Key:
				return ivr.Signal{Kind: ivr.Key, Key: e.Key}, nil
			case media.PlayDone:
				if e.Play == c.play {
					return ivr.Signal{Kind: ivr.Finished}, nil
				}
			case media.Held:
				c.held = true
			case media.Resumed:
				c.held = false
			case media.Lost:
				return ivr.Signal{}, MediaLost
			case media.Quiet:
				c.leg.Probe()
			}
		}
	}
}

// press has a leg tell of a key that came by SIP INFO as of any other.
func press(leg *media.Leg, info sip.Info) {
	if key, ok := sip.ParseInfoKey(info); ok {
		leg.Press(key)
	}
}
