package call

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// outsideRing is how long a telephone outside is rung.
const outsideRing = 3 * time.Minute

// outside calls a number outside that agents may call.
func (c *inbound) outside() (*ring, Termination) {
	if end := c.permit(c.agent); end != (Termination{}) {
		return nil, c.deny(c.agent, c.id, c.to.shown(""), end)
	}
	return c.byTrunk(c.to)
}

// permit counts a call outside that an agent is about to make, or to send a caller
// away with, and says whether he may: the zero Termination. Until whom he calls has
// answered, his place among those at once is the call's. Nobody may while it cannot be
// counted.
func (c *inbound) permit(agent string) Termination {
	o := &c.Config.Calls.Outside
	own, err := c.Router.CallOutside(c.ctx, agent, c.id, o.PerHour, o.AtOnce)
	switch {
	case errors.Is(err, router.ErrPerHour):
		return OutsidePerHour
	case errors.Is(err, router.ErrAtOnce):
		return OutsideAtOnce
	case err != nil:
		c.by(agent).Error("counting a call outside", "error", err)
		return OutsideUnknown
	}
	c.counted = own
	return Termination{}
}

// by gives the call's log, for what an agent does who need not be its own.
func (c *inbound) by(agent string) *slog.Logger {
	if agent == c.agent {
		return c.log // which names him
	}
	return c.log.With("agent", agent)
}

// byTrunk calls outside by the first of the trunks that reaches somebody.
func (c *inbound) byTrunk(to Destination) (*ring, Termination) {
	if err := c.open(); err != nil {
		return nil, c.ended(err)
	}
	end := TrunkFailed
	for other := c.byNext(to, to.Trunks); other != nil; other = c.byNext(to, other.trunks) {
		if end = c.reach(other); end == (Termination{}) {
			return other, end
		}
		c.log.Info("not reached", "trunk", other.leg.Trunk(), "reason", end.Reason)
		if end.Class != Unreached || !other.goesOn() {
			return nil, end
		}
	}
	return nil, end
}

// byNext begins to call outside by the next of some trunks that takes the call; nil if
// none does.
func (c *inbound) byNext(to Destination, trunks []string) *ring {
	for i, trunk := range trunks {
		other, err := c.ringOutside(c.trunkCall(to, trunk))
		if err == nil {
			other.to, other.trunks = to, trunks[i+1:]
			return other
		}
		c.log.Warn("a trunk does not take a call", "trunk", trunk, "error", err)
	}
	return nil
}

// trunkCall is a call by a trunk, as the site says how.
func (c *inbound) trunkCall(to Destination, trunk string) sip.TrunkCall {
	if to.Kind == ToEmergency {
		return c.emergencyCall(to, trunk)
	}
	o := &c.Config.Calls.Outside
	return sip.TrunkCall{Trunk: trunk, Number: to.Number, From: o.From, Display: o.Display, Call: c.id}
}

// goesOn says whether somebody outside who was called in vain is to be called by the
// next trunk: if this one has failed, and not even rung him. Help is called by the next
// however this one ended.
func (r *ring) goesOn() bool {
	if r.to.Kind != ToOutside {
		return r.to.Kind == ToEmergency
	}
	end, _ := unreached(r.leg.End())
	return end == TrunkFailed && !isClosed(r.leg.Progress())
}

// ringOutside begins to call outside by a trunk.
func (c *inbound) ringOutside(call sip.TrunkCall) (r *ring, err error) {
	options := media.LegOptions{Prefer: c.offered(), Near: c.media}
	c.encrypt(&options, call.Trunk, c.encryptedTrunk(call.Trunk))
	side, err := c.Media.NewLeg(options)
	if err != nil {
		return nil, fmt.Errorf("media for trunk %s: %w", call.Trunk, err)
	}
	defer closeUnless(&r, side)
	leg, err := c.DialTrunk(call, side)
	if err != nil {
		return nil, err
	}
	c.log.Info("calling outside", "trunk", call.Trunk)
	return &ring{
		leg: leg, media: side, limit: time.NewTimer(outsideRing), call: c, side: "outside",
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
