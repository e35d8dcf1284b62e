package call

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// outsideRing is how long a telephone outside is rung.
const outsideRing = 3 * time.Minute

// outside calls a number outside that agents may call.
func (c *inbound) outside() (*ring, Termination) {
	permit, end := c.permit(c.agent, c.id)
	if end != (Termination{}) {
		return nil, c.deny(c.agent, c.id, c.to.shown(""), end)
	}
	c.counted = permit
	other, end := c.byTrunk(c.outsideCall(c.to), c.to.Trunks)
	if other == nil {
		c.counted.End()
		return nil, end
	}
	other.permit = permit
	return other, Termination{}
}

// permit counts a call outside that an agent is about to make, or to send a caller
// away with, and says whether he may: the zero Termination. Its End gives back his
// place among those at once. Nobody may while it cannot be counted.
func (c *Conductor) permit(agent, call string) (*router.Own, Termination) {
	o := &c.Config.Calls.Outside
	own, err := c.Router.CallOutside(c.ctx, agent, call, o.PerHour, o.AtOnce)
	switch {
	case errors.Is(err, router.ErrPerHour):
		return nil, OutsidePerHour
	case errors.Is(err, router.ErrAtOnce):
		return nil, OutsideAtOnce
	case err != nil:
		c.Log.Error("counting a call outside", "call", call, "agent", agent, "error", err)
		return nil, OutsideUnknown
	}
	return own, Termination{}
}

// outsideCall is a call to a number outside, as far as the site says how.
func (c *inbound) outsideCall(to Destination) sip.TrunkCall {
	o := &c.Config.Calls.Outside
	return sip.TrunkCall{Number: to.Number, From: o.From, Display: o.Display, Call: c.id}
}

// byTrunk calls outside by the first of some trunks that takes the call: the next is
// tried if one has no room, does not answer or fails, unless it has rung somebody.
// An emergency call is tried by the next however the last one ended.
func (c *inbound) byTrunk(call sip.TrunkCall, trunks []string) (*ring, Termination) {
	if err := c.open(); err != nil {
		return nil, c.ended(err)
	}
	end := TrunkFailed
	for _, trunk := range trunks {
		call.Trunk = trunk
		other, err := c.ringOutside(call)
		if err != nil {
			c.log.Warn("a trunk does not take a call", "trunk", trunk, "error", err)
			end = TrunkFailed
			continue
		}
		if end = c.reach(other); end == (Termination{}) {
			return other, end
		}
		c.log.Info("not reached", "trunk", trunk, "reason", end.Reason)
		rang := isClosed(other.leg.Progress())
		if end.Class != Unreached || !call.Emergency && (end != TrunkFailed || rang) {
			return nil, end
		}
	}
	return nil, end
}

// ringOutside begins to call outside by a trunk.
func (c *inbound) ringOutside(call sip.TrunkCall) (*ring, error) {
	options := media.LegOptions{Prefer: c.offered(), Near: c.media}
	c.encrypt(&options, call.Trunk, c.encryptedTrunk(call.Trunk))
	side, err := c.Media.NewLeg(options)
	if err != nil {
		return nil, fmt.Errorf("media for trunk %s: %w", call.Trunk, err)
	}
	leg, err := c.DialTrunk(call, side)
	if err != nil {
		side.Close()
		return nil, err
	}
	c.log.Info("calling outside", "trunk", call.Trunk)
	return &ring{
		number: call.Number, leg: leg, media: side, limit: time.NewTimer(outsideRing),
		ended: sync.OnceFunc(func() { c.legEnded("outside", "", side) }),
	}, nil
}

// encryptedTrunk tells whether a trunk is called over TLS.
func (c *Conductor) encryptedTrunk(name string) bool {
	for _, t := range c.Config.SIP.Trunks {
		if t.Name == name {
			return t.Transport == "tls"
		}
	}
	return false
}

// isClosed says whether something has been told.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
