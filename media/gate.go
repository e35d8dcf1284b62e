package media

import "net/netip"

// How many packets in sequence, of one SSRC and a negotiated format, make a
// source we were not told of the far end. Somebody guessing from elsewhere
// must keep it up for a second, in which the phone itself is long there.
const (
	latchNear = 4
	latchFar  = 50
)

// gate decides whose packets are the far end's: the answer to RTP bleed, where
// whoever sends to our port is heard and sent the call (AST-2017-005).
//
// The address that SDP gave is believed at its first packet. Another port on
// that address may take its place, as NATs and border controllers renumber
// ports, and with latching another address too; both must prove themselves
// first. Once a source is accepted the gate is shut to all others until the
// next offer and answer.
type gate struct {
	near, far candidate // the best of the likely and of the unlikely sources

	latch bool       // other addresses than SDP's may be learnt
	flow  netip.Addr // where the SIP of this leg comes from; preferred when learning

	declared netip.AddrPort // the address of SDP; not valid on an old-style hold
	source   netip.AddrPort // accepted; what we send to once it is valid
	open     bool           // a source may still be accepted
}

// candidate is a source on probation.
type candidate struct {
	from     netip.AddrPort
	ssrc     uint32
	sequence uint16
	count    int
}

// declare opens the gate for what an offer or answer says. If that is what was
// said before, the source accepted then stays the one we send to until another
// takes its place.
func (g *gate) declare(far netip.AddrPort) {
	if far != g.declared {
		g.source = netip.AddrPort{}
	}
	g.declared, g.open = far, true
	g.near, g.far = candidate{}, candidate{}
}

// target is where we send: nowhere (not valid) as long as nobody is known.
func (g *gate) target() netip.AddrPort {
	if g.source.IsValid() {
		return g.source
	}
	return g.declared
}

// admit tells whether a packet is the far end's. Known says that its payload
// type has been negotiated.
func (g *gate) admit(from netip.AddrPort, p *packet, known bool) bool {
	if !g.open {
		return from == g.source
	}
	if from == g.declared || from == g.source {
		if known {
			g.shut(from)
		}
		return true
	}
	if !known {
		return false
	}
	switch {
	case from.Addr() == g.declared.Addr() || g.latch && from.Addr() == g.flow:
		if g.near.proves(from, p) >= latchNear {
			g.shut(from)
		}
	case g.latch && !g.flow.IsValid():
		// Nothing tells the likely from the unlikely.
		if g.far.proves(from, p) >= latchNear {
			g.shut(from)
		}
	case g.latch:
		if g.far.proves(from, p) >= latchFar {
			g.shut(from)
		}
	}
	return !g.open
}

// hopeful tells whether a packet from there could be admitted at all.
func (g *gate) hopeful(from netip.AddrPort) bool { return g.open || from == g.source }

// shut accepts a source.
func (g *gate) shut(source netip.AddrPort) {
	g.source, g.open = source, false
}

// proves counts the packet for its source and tells how many have come in
// sequence. Another source starts at one.
func (c *candidate) proves(from netip.AddrPort, p *packet) int {
	if c.from == from && c.ssrc == p.ssrc && c.sequence+1 == p.sequence {
		c.count++
	} else {
		c.from, c.ssrc, c.count = from, p.ssrc, 1
	}
	c.sequence = p.sequence
	return c.count
}
