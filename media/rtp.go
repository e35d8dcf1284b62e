package media

import "encoding/binary"

// headerSize is the fixed header of RTP (RFC 3550, section 5.1): all of it that
// Bugle sends.
const headerSize = 12

// packet is one RTP packet received.
type packet struct {
	payloadType uint8
	marker      bool
	sequence    uint16
	timestamp   uint32
	ssrc        uint32

	body body
}

// payload gives what the packet carries.
func (p *packet) payload() []byte { return p.body.payload() }

// body is a payload with the 12 bytes before it, where a header of ours can be
// written, so that it is sent from where it lies. Behind it is room to encrypt it.
type body []byte

func (b body) payload() []byte { return b[headerSize:] }

// parsePacket reads an RTP packet, skipping contributing sources, extension
// and padding. It refuses what is not whole and what carries nothing. The
// packet shares raw's memory.
func parsePacket(raw []byte) (packet, bool) {
	if len(raw) < headerSize || raw[0]>>6 != 2 {
		return packet{}, false
	}
	start, end := headerSize+4*int(raw[0]&0x0F), len(raw)
	if raw[0]&0x10 != 0 {
		if start+4 > end {
			return packet{}, false
		}
		start += 4 + 4*int(binary.BigEndian.Uint16(raw[start+2:]))
	}
	if raw[0]&0x20 != 0 {
		padding := int(raw[end-1])
		if padding == 0 {
			return packet{}, false
		}
		end -= padding
	}
	if start >= end {
		return packet{}, false
	}
	return packet{
		payloadType: raw[1] & 0x7F,
		marker:      raw[1]&0x80 != 0,
		sequence:    binary.BigEndian.Uint16(raw[2:]),
		timestamp:   binary.BigEndian.Uint32(raw[4:]),
		ssrc:        binary.BigEndian.Uint32(raw[8:]),
		body:        body(raw[start-headerSize : end]),
	}, true
}

// header is what changes in the header of the packets we send.
type header struct {
	payloadType uint8
	marker      bool
	sequence    uint16
	timestamp   uint32
	ssrc        uint32
}

// put writes the header at the beginning of b.
func (h *header) put(b []byte) {
	b[0] = 2 << 6
	b[1] = h.payloadType
	if h.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.sequence)
	binary.BigEndian.PutUint32(b[4:], h.timestamp)
	binary.BigEndian.PutUint32(b[8:], h.ssrc)
}
