package media

import (
	"cmp"
	"time"
)

const (
	// fillAfter is after how many beats without a packet of its peer a leg hears
	// silence of ours: longer than any packet lasts.
	fillAfter = int64(140 * time.Millisecond / beatTime)
	// seamGap is after how many beats without a packet nothing is heard any more
	// of what was sent.
	seamGap = int64(80 * time.Millisecond / beatTime)
)

// speak sends this turn's packet, unless what the leg hears comes from its
// peer: that is passed on as it comes in.
func (s *stream) speak(now int64) {
	clock := now * beatSize
	// To a far end that takes nothing in which we can play, the time of what is
	// played passes, and nothing is sent.
	voice := cmp.Or(s.terms.voice, PCMU)
	number, able := s.terms.number(voice)
	var audio []byte
	whole := false
	switch {
	case s.fills(now):
		s.fill(voice, clock)
		return
	case !s.keyOut.sounding():
		s.keyOut.rest()
		if audio, whole = s.hears(voice, now); audio == nil || !able {
			return
		}
	case s.terms.keys():
		keys, payload := s.terms.keysFor(s.out.clock()), s.shard.room(keySize)
		h := s.keyOut.write(payload, keys, &s.out, clock)
		h.payloadType, _ = s.terms.number(keys)
		s.transmit(&h, payload)
		return
	default:
		audio = s.shard.room(frameSize)
		s.keyOut.sound(audio, voice)
	}
	audio = s.smooth(audio, voice, whole)
	s.tune(voice, now)
	h := s.out.frame(clock)
	h.payloadType = number
	s.sends(&h, audio, voice, clock)
}

// hears gives 20 ms of what the leg hears, and whether that is a sound from its
// beginning; nil if it comes from the peer.
func (s *stream) hears(c Codec, now int64) (audio []byte, whole bool) {
	if s.source != nil {
		list, ok := s.source.(*playlist)
		whole = ok && list.at == 0
		if audio = s.source.next(c, now*beatSize, s.shard); audio != nil {
			return audio, whole
		}
		s.sourceEnded()
	}
	switch {
	case s.party != nil:
		audio = s.shard.room(frameSize)
		s.party.fill(audio, c, now)
	case s.peer != nil && s.peer.in != nil:
		audio = s.shard.room(frameSize)
		s.fillFromPeer(audio, c)
	case s.peer == nil:
		audio = c.quiet()
	}
	return audio, false
}

// fills tells whether the peer, whom the leg hears as its packets come, has sent
// none for a while, nor is in the midst of a key: it does not send silence, or holds
// us. The leg is sent silence
// then, since many a phone and carrier takes the end of all packets for that of
// the call.
func (s *stream) fills(now int64) bool {
	return s.source == nil && s.peer != nil && s.peer.in == nil && !s.peer.keyIn.down && !s.keyOut.sounding() && now-s.passed >= fillAfter
}

// fill sends 20 ms of silence, in a codec on the clock of what was passed on: a
// change would make it another stream.
func (s *stream) fill(voice Codec, clock int64) {
	s.keyOut.rest()
	audio := voice.quiet()
	if s.out.clock() != voice.clock() {
		voice, audio = Opus, opusSilence
	}
	number, able := s.terms.number(voice)
	if !able {
		return
	}
	h := s.out.frame(clock)
	h.payloadType = number
	s.sends(&h, audio, voice, clock)
}

// sends sends a packet of audio, and lets those who follow what is sent have it.
func (s *stream) sends(h *header, audio []byte, c Codec, clock int64) {
	if s.tap != nil && c.playable() {
		s.tap.put(sent, c, h.ssrc, h.timestamp, clock, audio)
	}
	s.seam.keep(audio, c)
	s.transmit(h, audio)
}

// smooth gives audio without a click at its beginning, if it is from elsewhere
// than what was sent before.
func (s *stream) smooth(audio []byte, c Codec, whole bool) []byte {
	if s.shard.next-s.spoke > seamGap {
		s.seam.codec = 0 // silence was heard meanwhile
	}
	return s.seam.join(audio, c, whole, s.shard)
}

// transmit sends a packet: at once, or with the others of a shared port.
func (s *stream) transmit(h *header, payload []byte) {
	octets := uint64(len(payload))
	if s.terms.secure != nil {
		var ok bool
		if payload, ok = s.seal(h, payload); !ok {
			s.shard.counts.unsent++
			return
		}
	}
	s.spoke = s.shard.next
	s.counts.PacketsOut++
	s.counts.BytesOut += uint64(headerSize + len(payload))
	s.reports.octets += octets
	s.shard.counts.packetsOut++
	switch {
	case s.socket.open():
		s.transmitAlone(s.socket.rtp, h, payload)
	case s.detour != nil: // the outbox is another shard's, the socket everybody's
		s.transmitAlone(s.seat.port.sockets.rtp, h, payload)
	default:
		s.seat.port.queue(s, h, payload)
	}
}

// seal encrypts a packet and gives what comes behind its header. The payload
// itself, which others may be sent too, stays as it is.
func (s *stream) seal(h *header, payload []byte) ([]byte, bool) {
	frame := s.shard.frame[:headerSize+len(payload)]
	h.put(frame)
	copy(frame[headerSize:], payload)
	sealed, ok := s.terms.secure.seal(frame)
	if !ok {
		return nil, false
	}
	room := s.shard.room(len(sealed) - headerSize)
	copy(room, sealed[headerSize:])
	return room, true
}

// transmitAlone sends a packet at once.
func (s *stream) transmitAlone(fd int, h *header, payload []byte) {
	frame := s.shard.frame[:headerSize+len(payload)]
	h.put(frame)
	copy(frame[headerSize:], payload)
	if !send(fd, frame, &s.to) {
		s.notSent(len(payload))
	}
}

// notSent takes a packet back that was counted as sent.
func (s *stream) notSent(payload int) {
	s.counts.PacketsOut--
	s.counts.BytesOut -= uint64(headerSize + payload)
	if secure := s.terms.secure; secure != nil {
		payload -= secure.suite.tag
	}
	s.reports.octets -= uint64(payload)
	s.shard.counts.packetsOut--
	s.shard.counts.unsent++
}
