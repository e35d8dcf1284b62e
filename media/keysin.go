package media

import (
	"encoding/binary"
	"time"
)

// keyNames are the telephone events of the sixteen keys, by event code
// (RFC 4733, section 3.2).
const keyNames = "0123456789*#ABCD"

const (
	// keyMaximum is the longest duration that one packet can state.
	keyMaximum = uint32(1<<16 - 1)
	// keyBeats is how long an event goes on without its packets: three of the
	// slowest sender, which repeats them every 50 ms.
	keyBeats = int64(3 * 50 * time.Millisecond / beatTime)
	// keyMemory is how far behind the newest event a timestamp is taken for that
	// of an older one come late, in seconds of its clock. One further behind is of
	// a sender whose timestamps have begun anew, as behind some gateways.
	keyMemory = 5
)

// keyReader turns telephone events (RFC 4733, section 2.5) into key presses.
//
// An event is known by its SSRC and timestamp: all its packets bear the same.
// It begins with the first of them that arrives, whichever that is, and is over
// with the first that says End, with the next event, or when no packet of it
// has come for keyBeats. What repeats an event that is over, or is a little
// older than the newest, changes nothing.
type keyReader struct {
	clock     int  // of the events, in Hz
	any       bool // an event was ever seen; the fields below tell of the newest
	ssrc      uint32
	timestamp uint32 // of its newest segment
	code      uint8
	down      bool   // not over yet
	before    uint32 // duration of the segments before, in timestamp units
	duration  uint32 // of this segment
	heard     int64  // the beat of its newest packet
}

// read takes a telephone event's packet at a beat and tells the leg. The clock
// is that of the payload type. False: it is of an event that is over.
func (r *keyReader) read(p *packet, clock int, now int64, tell func(Event)) bool {
	payload := p.payload()
	if len(payload) < 4 || int(payload[0]) >= len(keyNames) {
		return true // not one of the sixteen keys: flash hook, fax tones
	}
	code, end := payload[0], payload[1]&0x80 != 0
	duration := keyDuration(p)
	switch {
	case r.any && p.ssrc == r.ssrc && p.timestamp == r.timestamp:
		if !r.down {
			return false
		}
	case r.any && p.ssrc == r.ssrc && r.timestamp-p.timestamp < r.before+uint32(keyMemory*clock):
		return false
	case r.continues(p, code):
		r.before += keyMaximum
		r.timestamp, r.duration = p.timestamp, 0
	default:
		r.finish(tell)
		*r = keyReader{clock: clock, any: true, ssrc: p.ssrc, timestamp: p.timestamp, code: code, down: true}
		tell(KeyDown{rune(keyNames[code])})
	}
	r.heard = now
	r.duration = max(r.duration, duration)
	if end {
		r.finish(tell)
	}
	return true
}

// keyDuration gives how long a telephone event has lasted by its packet, in
// timestamp units; 0 if that is too short to say.
func keyDuration(p *packet) uint32 {
	payload := p.payload()
	if len(payload) < 4 {
		return 0
	}
	return uint32(binary.BigEndian.Uint16(payload[2:]))
}

// continues tells whether the packet begins the next segment of an event too
// long for one: it starts where the longest duration that can be written ends
// (RFC 4733, section 2.5.1.3).
func (r *keyReader) continues(p *packet, code uint8) bool {
	return r.down && p.ssrc == r.ssrc && code == r.code && !p.marker && p.timestamp == r.timestamp+keyMaximum
}

// began gives when the event of a packet began, on its sender's clock: of a long one,
// the first segment. False: its packet came late, after a newer one's.
func (r *keyReader) began(p *packet) (uint32, bool) {
	if r.any && p.ssrc == r.ssrc {
		if p.timestamp == r.timestamp {
			return r.timestamp - r.before, true
		}
		if int32(p.timestamp-r.timestamp) < 0 {
			return 0, false
		}
	}
	return p.timestamp, true // none of the sixteen keys
}

// tick ends an event whose packets have ceased to come.
func (r *keyReader) tick(now int64, tell func(Event)) {
	if r.down && now-r.heard >= keyBeats {
		r.finish(tell)
	}
}

// finish ends the event that is down, if one is.
func (r *keyReader) finish(tell func(Event)) {
	if !r.down {
		return
	}
	r.down = false
	length := time.Duration(r.before+r.duration) * time.Second / time.Duration(r.clock)
	tell(Key{Key: rune(keyNames[r.code]), Length: length})
}
