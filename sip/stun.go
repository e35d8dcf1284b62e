package sip

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
)

// STUN on the SIP port: phones ask by it how they are seen, and so keep their NAT open
// and notice when it has forgotten them (RFC 5626 section 4.4.2). Of STUN there is the
// Binding request of RFC 8489, answered without remembering anything.

const (
	stunHead      = 20
	stunCookie    = 0x2112A442
	bindingAsked  = 0x0001
	bindingTold   = 0x0101
	bindingWrong  = 0x0111
	errorCode     = 0x0009
	unknownOnes   = 0x000A
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

// stunAnswer answers a Binding request with where it came from, or, if it asks for what
// we do not know, with what that is (RFC 8489 section 6.3.1); nil if it is none.
func stunAnswer(data []byte, from netip.AddrPort) []byte {
	if !isSTUN(data) || binary.BigEndian.Uint16(data) != bindingAsked || int(binary.BigEndian.Uint16(data[2:])) != len(data)-stunHead {
		return nil
	}
	var unknown []byte
	for rest := data[stunHead:]; len(rest) > 0; {
		if len(rest) < stunAttribute {
			return nil
		}
		size := stunAttribute + (int(binary.BigEndian.Uint16(rest[2:]))+3)&^3
		if size > len(rest) {
			return nil
		}
		if binary.BigEndian.Uint16(rest) < mayBeUnknown {
			unknown = append(unknown, rest[:2]...)
		}
		rest = rest[size:]
	}
	if len(unknown) > 0 {
		return stunRefusal(data, unknown)
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

// stunRefusal answers 420 with the attributes that are not known.
func stunRefusal(data, unknown []byte) []byte {
	answer := slices.Clone(data[:stunHead])
	binary.BigEndian.PutUint16(answer, bindingWrong)
	answer = append(answer, 0, errorCode, 0, 4, 0, 0, 4, 20)
	answer = append(answer, 0, unknownOnes, byte(len(unknown)>>8), byte(len(unknown)))
	answer = append(answer, unknown...)
	if len(unknown)%4 != 0 {
		answer = append(answer, 0, 0)
	}
	binary.BigEndian.PutUint16(answer[2:], uint16(len(answer)-stunHead))
	return answer
}

// What becomes of STUN, as a figure has it.
const (
	stunAnswered = "answered"
	stunRefused  = "refused"
	stunIgnored  = "ignored"
)

func stunResult(answer []byte) string {
	switch {
	case answer == nil:
		return stunIgnored
	case binary.BigEndian.Uint16(answer) == bindingTold:
		return stunAnswered
	}
	return stunRefused
}
