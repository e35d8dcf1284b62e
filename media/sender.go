package media

import (
	"crypto/rand"
	"encoding/binary"
)

const (
	// relayJump is how far a relayed stream's sequence may leap before it is
	// taken for another stream.
	relayJump = 500
	// relayDrift is how far its timestamps may wander from our clock, in samples:
	// two seconds, hours of two clocks running apart.
	relayDrift = 2 * sampleRate
	// sentWindow is how far behind the newest packet a relayed one may be, in
	// sequence numbers. Each number goes out once: under SRTP two packets of one
	// number would be sealed with the same key stream.
	sentWindow = 64
	// firstSequence masks the number a stream may begin at: the lower half, so
	// that a far end that misses the first packets does not take the number's
	// turning over for one more (RFC 3711, section 3.3.1).
	firstSequence = 1<<15 - 1
)

// sender numbers what goes out to one far end. Whatever the source, the far
// end sees one SSRC, a sequence without holes of our making, and timestamps
// that follow the engine's clock (RFC 3550, section 5.1). They go back only where
// those of a stream that is passed on do, by less than relayDrift.
// Only a codec on another clock rate begins another stream (RFC 7160, section
// 4.1): see tune.
type sender struct {
	ssrc     uint32
	rate     uint32 // timestamp units to a sample of the engine's clock
	sequence uint16 // of the newest packet sent
	sent     uint64 // which of the sentWindow numbers up to it have been sent; the newest is bit 0
	offset   uint32 // RTP timestamp less the engine's clock in these units
	end      uint32 // the first timestamp not used yet
	spurt    bool   // the next audio packet begins a talkspurt
	relay    relay
}

// relay maps the numbers of a stream that is passed on to ours.
type relay struct {
	on        bool
	ssrc      uint32 // of the stream
	sequence  uint16 // added to its sequence numbers
	timestamp uint32 // added to its timestamps
	first     uint16 // the first sequence number of ours it may use
	newest    uint32 // the timestamp of ours that its newest audio bears
	at        int64  // passed on at this time
	heard     bool   // there was any
	key       keyTime
}

// keyTime is the timestamp of a key that is passed on to a stream on another
// clock: as much as is known of it is when it began.
type keyTime struct {
	theirs, ours uint32
	known        bool
}

// newSender starts every number at random, as RFC 3550 wants, as far as SRTP
// lets it.
func newSender(clock int64) sender {
	var seed [12]byte
	_, _ = rand.Read(seed[:]) // never fails (Go 1.24)
	s := sender{
		ssrc:     binary.BigEndian.Uint32(seed[0:]),
		rate:     1,
		sequence: binary.BigEndian.Uint16(seed[4:]) & firstSequence,
		offset:   binary.BigEndian.Uint32(seed[8:]),
		spurt:    true,
	}
	s.end = uint32(clock) + s.offset
	return s
}

// tuned tells whether the stream is on a codec's clock rate.
func (s *sender) tuned(c Codec) bool { return s.rate == uint32(c.clock()/sampleRate) }

// tune begins a stream, with an SSRC and numbers of its own, for a codec on
// another clock rate.
func (s *sender) tune(c Codec, clock int64) {
	*s = newSender(clock)
	s.rate = uint32(c.clock() / sampleRate)
	s.end = s.now(clock)
}

// clock gives the clock rate of the stream, in Hz.
func (s *sender) clock() int { return int(s.rate) * sampleRate }

// now gives the timestamp of this moment.
func (s *sender) now(clock int64) uint32 { return uint32(clock)*s.rate + s.offset }

// stamp gives the timestamp of a packet made now that lasts some samples of the
// engine's clock.
func (s *sender) stamp(clock int64, samples int) uint32 {
	timestamp := s.now(clock)
	if int32(s.end-timestamp) > 0 {
		timestamp = s.end // a relayed stream ran ahead of our clock: go on where it ended
	}
	s.end = timestamp + uint32(samples)*s.rate
	return timestamp
}

// own numbers a packet of our own making, which ends a relay.
func (s *sender) own(timestamp uint32, marker bool) header {
	s.mark(s.sequence + 1)
	s.relay.on = false
	return header{marker: marker, sequence: s.sequence, timestamp: timestamp, ssrc: s.ssrc}
}

// frame numbers 20 ms of audio of our own.
func (s *sender) frame(clock int64) header {
	h := s.own(s.stamp(clock, frameSize), s.spurt)
	s.spurt = false
	return h
}

// sounding gives the timestamp of what is sent at a time, for reports: what is
// passed on may lie beside our clock.
func (s *sender) sounding(clock int64) uint32 {
	if s.relay.on && s.relay.heard {
		return s.relay.newest + uint32(clock-s.relay.at)*s.rate
	}
	return s.now(clock)
}

// switched says that the next audio comes from another source.
func (s *sender) switched() {
	s.spurt = true
	s.relay.on = false
}

// pass numbers a packet that is passed on, whose payload takes so many units of
// its codec's time: none if it is a key. Loss and order of the stream stay visible
// to the far end. It refuses what would come before the relay's beginning, what
// comes again, and what comes so late that nobody can tell.
func (s *sender) pass(p *packet, clock int64, units int) (header, bool) {
	if !s.follows(p, clock, units > 0) {
		s.begin(p, clock)
	}
	h := header{
		sequence:  p.sequence + s.relay.sequence,
		timestamp: p.timestamp + s.relay.timestamp,
		ssrc:      s.ssrc,
	}
	if int16(h.sequence-s.relay.first) < 0 || !s.mark(h.sequence) {
		return header{}, false
	}
	h.marker = p.marker || (s.spurt && units > 0)
	if units > 0 {
		s.spurt = false
		if h.sequence == s.sequence {
			s.relay.newest, s.relay.at, s.relay.heard = h.timestamp, clock, true
		}
	}
	if end := h.timestamp + uint32(units); int32(end-s.end) > 0 {
		s.end = end
	}
	return h, true
}

// mark notes that a number is sent. False: it may have been already.
func (s *sender) mark(sequence uint16) bool {
	ahead := int16(sequence - s.sequence)
	if ahead > 0 {
		s.sequence, s.sent = sequence, s.sent<<ahead|1
		return true
	}
	bit := uint64(1) << -int(ahead)
	if ahead <= -sentWindow || s.sent&bit != 0 {
		return false
	}
	s.sent |= bit
	return true
}

// passKey numbers a key that is passed on. If it was counted on another clock
// than ours, its timestamp is the time at which its first packet came; the
// packets of one key, which are those that began at the same time there, bear the same.
func (s *sender) passKey(p *packet, began uint32, clock int64, sameClock bool) (header, bool) {
	if sameClock {
		return s.pass(p, clock, 0)
	}
	if k := &s.relay.key; !s.relay.on || p.ssrc != s.relay.ssrc || !k.known || k.theirs != began {
		at := s.stamp(clock, 0)
		if !s.follows(p, clock, false) {
			s.begin(p, clock)
		}
		*k = keyTime{theirs: began, ours: at, known: true}
	}
	moved := *p
	moved.timestamp = s.relay.key.ours - s.relay.timestamp
	return s.pass(&moved, clock, 0)
}

// follows tells whether the packet goes on with the stream being relayed.
// Timestamps are held against the clock for audio only: a key's stand still.
func (s *sender) follows(p *packet, clock int64, audio bool) bool {
	if !s.relay.on || p.ssrc != s.relay.ssrc {
		return false
	}
	if jump := int16(p.sequence + s.relay.sequence - s.sequence); jump > relayJump || jump < -relayJump {
		return false
	}
	most := int32(relayDrift * s.rate)
	drift := int32(p.timestamp + s.relay.timestamp - s.now(clock))
	return !audio || (drift < most && drift > -most)
}

// begin ties a stream to ours at the packet.
func (s *sender) begin(p *packet, clock int64) {
	s.relay = relay{
		on:        true,
		ssrc:      p.ssrc,
		first:     s.sequence + 1,
		sequence:  s.sequence + 1 - p.sequence,
		timestamp: s.stamp(clock, 0) - p.timestamp,
	}
	s.spurt = true
}
