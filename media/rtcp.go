package media

import (
	"encoding/binary"
	"time"
)

// The packet types of RTCP (RFC 3550, section 12.1) that concern us.
const (
	rtcpSR   = 200
	rtcpRR   = 201
	rtcpSDES = 202
	rtcpBYE  = 203
)

const (
	rtcpHeader  = 8  // of SR, RR and BYE, the SSRC included
	senderInfo  = 20 // of an SR
	reportBlock = 24
	cnameSize   = 16
	// reportSize is the longest report of ours: an SR with one block, a
	// description, a BYE.
	reportSize = rtcpHeader + senderInfo + reportBlock + (4 + 4 + 2 + cnameSize + 2) + rtcpHeader
	// sealSize is what encrypting a packet may add: a tag of up to 16 bytes and,
	// to RTCP, an index.
	sealSize = 16 + 4
)

// reception is what a receiver says of a stream it hears (RFC 3550, section
// 6.4.1).
type reception struct {
	ssrc     uint32 // of the stream
	fraction uint8  // lost since its last report, of 256
	lost     int32  // since the beginning; repeated packets can make it negative
	highest  uint32 // sequence number with cycles
	jitter   uint32 // in the stream's timestamp units
	lastSR   uint32 // the middle of the NTP time of the sender's last report; 0: none
	delay    uint32 // since that came, in 1/65536 s
}

// report is what a compound RTCP packet says, as far as it concerns a leg.
type report struct {
	sr    bool      // it has the sender's clock:
	ntp   uint64    // in NTP format
	about reception // of our stream, but for what nobody asks; ssrc 0 if there is nothing of it
}

// parseReport reads a compound packet by the rules of RFC 3550, appendix A.2:
// version 2 throughout, first a sender's or receiver's report, padding at most in the
// last part, lengths that add up. What it says of streams other than ours is
// left out.
func parseReport(raw []byte, ours uint32) (report, bool) {
	var r report
	for at := 0; at < len(raw); {
		rest := raw[at:]
		if len(rest) < 4 || rest[0]>>6 != 2 {
			return report{}, false
		}
		size := 4 + 4*int(binary.BigEndian.Uint16(rest[2:]))
		if size > len(rest) {
			return report{}, false
		}
		part, kind := rest[:size], rest[1]
		if at == 0 && kind != rtcpSR && kind != rtcpRR {
			return report{}, false
		}
		if part[0]&0x20 != 0 {
			padding := int(part[size-1])
			if at+size != len(raw) || padding == 0 || padding%4 != 0 || padding > size-4 {
				return report{}, false
			}
			part = part[:size-padding]
		}
		if !r.read(part, kind, ours) {
			return report{}, false
		}
		at += size
	}
	return r, len(raw) > 0
}

// read takes one part of a compound packet. False: it is not whole.
func (r *report) read(part []byte, kind uint8, ours uint32) bool {
	count := int(part[0] & 0x1F)
	switch kind {
	case rtcpSR, rtcpRR:
		if len(part) < rtcpHeader {
			return false
		}
		blocks := part[rtcpHeader:]
		if kind == rtcpSR {
			if len(blocks) < senderInfo {
				return false
			}
			r.sr, r.ntp = true, binary.BigEndian.Uint64(blocks)
			blocks = blocks[senderInfo:]
		}
		if len(blocks) < count*reportBlock {
			return false
		}
		for ; count > 0; count-- {
			if binary.BigEndian.Uint32(blocks) == ours {
				r.about = readReception(blocks)
			}
			blocks = blocks[reportBlock:]
		}
	case rtcpBYE:
		return len(part) >= 4+4*count
	}
	return true
}

func readReception(b []byte) reception {
	return reception{
		ssrc:   binary.BigEndian.Uint32(b),
		lost:   int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8, // 24 bits, signed
		jitter: binary.BigEndian.Uint32(b[12:]),
		lastSR: binary.BigEndian.Uint32(b[16:]),
		delay:  binary.BigEndian.Uint32(b[20:]),
	}
}

// put writes the block at the beginning of b.
func (r *reception) put(b []byte) {
	lost := uint32(min(max(r.lost, -1<<23), 1<<23-1)) & 0xFFFFFF
	binary.BigEndian.PutUint32(b, r.ssrc)
	binary.BigEndian.PutUint32(b[4:], uint32(r.fraction)<<24|lost)
	binary.BigEndian.PutUint32(b[8:], r.highest)
	binary.BigEndian.PutUint32(b[12:], r.jitter)
	binary.BigEndian.PutUint32(b[16:], r.lastSR)
	binary.BigEndian.PutUint32(b[20:], r.delay)
}

// ownReport is what a report of ours is made of.
type ownReport struct {
	ssrc            uint32
	cname           [cnameSize]byte
	sending         bool // since the last report but one: then it is an SR with:
	ntp             uint64
	timestamp       uint32 // of our stream at that time
	packets, octets uint32 // sent under this SSRC; octets of payload
	hears           bool   // there is a stream to report on:
	about           reception
	bye             bool // and we leave
}

// put writes the report as a compound packet into b, which has reportSize, and
// gives its length.
func (r *ownReport) put(b []byte) int {
	at := rtcpHeader
	first, kind := byte(2<<6), byte(rtcpRR)
	if r.sending {
		kind = rtcpSR
		binary.BigEndian.PutUint64(b[at:], r.ntp)
		binary.BigEndian.PutUint32(b[at+8:], r.timestamp)
		binary.BigEndian.PutUint32(b[at+12:], r.packets)
		binary.BigEndian.PutUint32(b[at+16:], r.octets)
		at += senderInfo
	}
	if r.hears {
		first |= 1
		r.about.put(b[at:])
		at += reportBlock
	}
	putRTCPHeader(b, first, kind, at, r.ssrc)

	const described = 4 + 4 + 2 + cnameSize + 2 // the item ends with a null, then to a multiple of four
	item := b[at : at+described]
	putRTCPHeader(item, 2<<6|1, rtcpSDES, described, r.ssrc)
	item[8], item[9] = 1, cnameSize // CNAME
	copy(item[10:], r.cname[:])
	clear(item[10+cnameSize:])
	at += described
	if r.bye {
		putRTCPHeader(b[at:], 2<<6|1, rtcpBYE, rtcpHeader, r.ssrc)
		at += rtcpHeader
	}
	return at
}

func putRTCPHeader(b []byte, first, kind byte, size int, ssrc uint32) {
	b[0], b[1] = first, kind
	binary.BigEndian.PutUint16(b[2:], uint16(size/4-1))
	binary.BigEndian.PutUint32(b[4:], ssrc)
}

// isRTCP tells RTCP from RTP where both come to one port (RFC 5761, section 4).
func isRTCP(raw []byte) bool { return len(raw) > 1 && raw[1] >= 192 && raw[1] <= 223 }

// ntpTime gives a time in NTP's format: seconds since 1900 and 2^-32 of them.
func ntpTime(t time.Time) uint64 {
	const epoch = 2208988800 // from 1900 to 1970
	seconds := uint64(t.Unix()+epoch) & 0xFFFFFFFF
	return seconds<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// ntpMiddle gives the middle 32 bits: 1/65536 s.
func ntpMiddle(ntp uint64) uint32 { return uint32(ntp >> 16) }

// ntpShort turns 1/65536 s into a duration.
func ntpShort(units uint32) time.Duration {
	return time.Duration(units) * time.Second >> 16
}

// shortNTP turns a duration into 1/65536 s.
func shortNTP(d time.Duration) uint32 { return uint32((d << 16) / time.Second) }
