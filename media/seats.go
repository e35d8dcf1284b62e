package media

import (
	"encoding/binary"
	"net/netip"
)

// seats are the seats of a shared port by where their packets come from. It is
// asked for each packet: sources of IPv4 have keys that are quick to look up.
type seats struct {
	four map[uint64]*seat
	six  map[netip.AddrPort]*seat
}

func newSeats() seats {
	return seats{four: make(map[uint64]*seat), six: make(map[netip.AddrPort]*seat)}
}

// fourKey is a source of IPv4 as a number.
func fourKey(source netip.AddrPort) uint64 {
	a := source.Addr().As4()
	return uint64(binary.BigEndian.Uint32(a[:]))<<16 | uint64(source.Port())
}

// get gives the seat of a source, or nil.
func (s *seats) get(source netip.AddrPort) *seat {
	if source.Addr().Is4() {
		return s.four[fourKey(source)]
	}
	return s.six[source]
}

func (s *seats) put(source netip.AddrPort, of *seat) {
	if source.Addr().Is4() {
		s.four[fourKey(source)] = of
	} else {
		s.six[source] = of
	}
}

func (s *seats) remove(source netip.AddrPort) {
	if source.Addr().Is4() {
		delete(s.four, fourKey(source))
	} else {
		delete(s.six, source)
	}
}
