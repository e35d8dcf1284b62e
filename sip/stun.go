package sip

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// STUN on the SIP port: phones ask by it how they are seen, and so keep their NAT open
// and notice when it has forgotten them (RFC 5626 section 4.4.2). Of STUN there is the
// Binding request of RFC 8489, answered without remembering anything.

const (
	stunHead      = 20
	stunCookie    = 0x2112A442
	bindingAsked  = 0x0001
	bindingTold   = 0x0101
	xorMapped     = 0x0020
	mayBeUnknown  = 0x8000 // attributes from here on may be ignored
	stunIPv4      = 1
	stunIPv6      = 2
	stunAttribute = 4 // bytes of its type and length
)

// isSTUN reports whether a datagram is STUN's and not SIP's.
func isSTUN(data []byte) bool {
	return len(data) >= stunHead && data[0] < 2 && binary.BigEndian.Uint32(data[4:]) == stunCookie
}

// stunAnswer answers a Binding request with where it came from, nil if it is none or
// asks for what we do not know.
func stunAnswer(data []byte, from netip.AddrPort) []byte {
	if !isSTUN(data) || binary.BigEndian.Uint16(data) != bindingAsked || int(binary.BigEndian.Uint16(data[2:])) != len(data)-stunHead {
		return nil
	}
	for rest := data[stunHead:]; len(rest) > 0; {
		if len(rest) < stunAttribute || binary.BigEndian.Uint16(rest) < mayBeUnknown {
			return nil
		}
		size := stunAttribute + (int(binary.BigEndian.Uint16(rest[2:]))+3)&^3
		if size > len(rest) {
			return nil
		}
		rest = rest[size:]
	}
	family, ip := byte(stunIPv4), from.Addr().Unmap().AsSlice()
	if len(ip) == net.IPv6len {
		family = stunIPv6
	}
	answer := make([]byte, stunHead+stunAttribute+4, stunHead+stunAttribute+4+len(ip))
	binary.BigEndian.PutUint16(answer, bindingTold)
	binary.BigEndian.PutUint16(answer[2:], uint16(stunAttribute+4+len(ip)))
	copy(answer[4:stunHead], data[4:stunHead])
	attribute := answer[stunHead:]
	binary.BigEndian.PutUint16(attribute, xorMapped)
	binary.BigEndian.PutUint16(attribute[2:], uint16(4+len(ip)))
	attribute[5] = family
	binary.BigEndian.PutUint16(attribute[6:], from.Port()^stunCookie>>16)
	for i, b := range ip {
		answer = append(answer, b^data[4+i]) // the cookie, and behind it the transaction's id
	}
	return answer
}
