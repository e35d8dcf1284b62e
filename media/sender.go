package media

import (
	"crypto/rand"
	"encoding/binary"
)

const (
	// relayJump is how far a relayed stream's sequence may leap before it is
	// taken for another stream.
	relayJump = 500
	// relayDrift is how far its timestamps may wander from our clock, in units:
	// two seconds, hours of two clocks running apart.
	relayDrift = 2 * sampleRate
)

// sender numbers what goes out to one far end. Whatever the source, the far
// end sees one SSRC, a sequence without holes of our making, and timestamps
// that follow the engine's clock and never go back (RFC 3550, section 5.1).
type sender struct {
	ssrc     uint32
	sequence uint16 // of the newest packet sent
	offset   uint32 // RTP timestamp less the engine's clock
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
}

// newSender starts every number at random, as RFC 3550 wants.
func newSender(clock int64) sender {
	var seed [12]byte
	_, _ = rand.Read(seed[:]) // never fails (Go 1.24)
	s := sender{
		ssrc:     binary.BigEndian.Uint32(seed[0:]),
		sequence: binary.BigEndian.Uint16(seed[4:]),
		offset:   binary.BigEndian.Uint32(seed[8:]),
		spurt:    true,
	}
	s.end = uint32(clock) + s.offset
	return s
}

// stamp gives the timestamp of a packet made now that lasts some samples.
func (s *sender) stamp(clock int64, samples int) uint32 {
	timestamp := uint32(clock) + s.offset
	if int32(timestamp-s.end) < 0 {
		// A relayed stream ran ahead of our clock: go on where it ended.
		timestamp = s.end
		s.offset = timestamp - uint32(clock)
	}
	s.end = timestamp + uint32(samples)
	return timestamp
}

// own numbers a packet of our own making, which ends a relay.
func (s *sender) own(timestamp uint32, marker bool) header {
	s.sequence++
	s.relay.on = false
	return header{marker: marker, sequence: s.sequence, timestamp: timestamp, ssrc: s.ssrc}
}

// frame numbers 20 ms of audio of our own.
func (s *sender) frame(clock int64) header {
	h := s.own(s.stamp(clock, frameSize), s.spurt)
	s.spurt = false
	return h
}

// switched says that the next audio comes from another source.
func (s *sender) switched() {
	s.spurt = true
	s.relay.on = false
}

// pass numbers a packet that is passed on. Loss and order of the stream stay
// visible to the far end. It refuses what would come before the relay's
// beginning.
func (s *sender) pass(p *packet, clock int64, samples int) (header, bool) {
	if !s.follows(p, clock, samples > 0) {
		s.begin(p, clock)
	}
	h := header{
		sequence:  p.sequence + s.relay.sequence,
		timestamp: p.timestamp + s.relay.timestamp,
		ssrc:      s.ssrc,
	}
	if int16(h.sequence-s.relay.first) < 0 {
		return header{}, false
	}
	h.marker = p.marker || (s.spurt && samples > 0)
	if samples > 0 {
		s.spurt = false
	}
	if int16(h.sequence-s.sequence) > 0 {
		s.sequence = h.sequence
	}
	if end := h.timestamp + uint32(samples); int32(end-s.end) > 0 {
		s.end = end
	}
	return h, true
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
	drift := int32(p.timestamp + s.relay.timestamp - uint32(clock) - s.offset)
	return !audio || (drift < relayDrift && drift > -relayDrift)
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
