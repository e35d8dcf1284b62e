package media

import (
	"net/netip"
	"testing"
)

var (
	declared = netip.MustParseAddrPort("192.0.2.1:4000")
	renumber = netip.MustParseAddrPort("192.0.2.1:5000")
	behind   = netip.MustParseAddrPort("198.51.100.7:6000") // the phone's, as its NAT shows it
	stranger = netip.MustParseAddrPort("203.0.113.66:7000")
)

// knock sends n packets in sequence and tells how many were admitted.
func knock(g *gate, from netip.AddrPort, n int) (admitted int) {
	for i := range n {
		if g.admit(from, &packet{ssrc: uint32(from.Port()), sequence: uint16(65530 + i)}, true) {
			admitted++
		}
	}
	return admitted
}

func TestGate(t *testing.T) {
	type visit struct {
		from     netip.AddrPort
		packets  int
		admitted int
	}
	for _, c := range []struct {
		name   string
		gate   gate
		visits []visit
		target netip.AddrPort
	}{
		{"the declared address is believed at once", gate{},
			[]visit{{declared, 2, 2}, {renumber, 10, 0}, {stranger, 100, 0}}, declared},
		{"another port proves itself with four packets", gate{},
			[]visit{{renumber, 6, 3}, {declared, 2, 0}}, renumber},
		{"three packets prove nothing", gate{},
			[]visit{{renumber, 3, 0}, {declared, 1, 1}}, declared},
		{"without latching a stranger is never heard", gate{},
			[]visit{{stranger, 1000, 0}, {declared, 1, 1}}, declared},
		{"nothing is sent to a source on probation", gate{latch: true},
			[]visit{{behind, 3, 0}}, declared},
		{"latching learns the address", gate{latch: true},
			[]visit{{behind, 5, 2}, {stranger, 100, 0}, {declared, 1, 0}}, behind},
		{"the flow's address is learnt sooner than others", gate{latch: true, flow: behind.Addr()},
			[]visit{{stranger, 40, 0}, {behind, 4, 1}, {stranger, 100, 0}}, behind},
		{"another address than the flow's must keep it up", gate{latch: true, flow: behind.Addr()},
			[]visit{{stranger, 50, 1}}, stranger},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.gate.declare(declared)
			for _, v := range c.visits {
				if got := knock(&c.gate, v.from, v.packets); got != v.admitted {
					t.Errorf("%d of %d packets from %v admitted, want %d", got, v.packets, v.from, v.admitted)
				}
			}
			if got := c.gate.target(); got != c.target {
				t.Errorf("sends to %v, want %v", got, c.target)
			}
		})
	}
}

func TestGateWantsOneSequenceOfOneSource(t *testing.T) {
	g := gate{latch: true}
	g.declare(declared)
	for i := range 40 {
		gap := &packet{ssrc: 1, sequence: uint16(2 * i)}
		turns := &packet{ssrc: uint32(i % 2), sequence: uint16(i)}
		if g.admit(stranger, gap, true) || g.admit(behind, turns, true) {
			t.Fatalf("admitted at packet %d", i)
		}
	}
	for i := range 10 {
		if g.admit(stranger, &packet{ssrc: 9, sequence: uint16(i)}, false) {
			t.Fatal("admitted in a format never negotiated")
		}
	}
}

func TestGateOpensAgainAtTheNextAnswer(t *testing.T) {
	g := gate{latch: true}
	g.declare(declared)
	knock(&g, behind, 4)

	g.declare(declared) // the same again: the phone may have got another mapping
	if got := g.target(); got != behind {
		t.Errorf("a re-INVITE that says the same makes us send to %v, not %v", got, behind)
	}
	moved := netip.MustParseAddrPort("198.51.100.7:6002")
	if got := knock(&g, moved, 5); got != 2 || g.target() != moved {
		t.Errorf("%d packets of the new mapping admitted, sends to %v", got, g.target())
	}

	elsewhere := netip.MustParseAddrPort("192.0.2.9:4000")
	g.declare(elsewhere)
	if got := g.target(); got != elsewhere {
		t.Errorf("after an answer with another address sends to %v", got)
	}
	if knock(&g, moved, 3) != 0 {
		t.Error("the old source is still heard")
	}
	g.declare(netip.AddrPort{})
	if g.target().IsValid() {
		t.Error("on hold without an address, still sends")
	}
}
