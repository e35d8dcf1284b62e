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
	var b body
	whole := false
	switch {
	case s.fills(now):
		s.fill(voice, clock)
		return
	case !s.keyOut.sounding():
		s.keyOut.rest()
		if s.relayed() {
			return
		}
		b = s.shard.room(frameSize)
		var heard bool
		if heard, whole = s.hears(b.payload(), voice, now); !heard {
			return
		}
		if !able {
			s.passAgain()
			return
		}
	case s.terms.keys():
		keys := s.terms.keysFor(s.out.clock())
		b = s.shard.room(keySize)
		h := s.keyOut.write(b.payload(), keys, &s.out, clock)
		h.payloadType, _ = s.terms.number(keys)
		s.transmit(&h, b)
		s.seam.open, s.seam.codec = true, 0 // of the sound before nothing is heard any more
		return
	default:
		b = s.shard.room(frameSize)
		s.seam.open = s.seam.open || s.keyOut.turn == 0
		s.keyOut.sound(b.payload(), voice)
		whole = true
		defer s.keySounded()
	}
	s.smooth(b.payload(), voice, whole)
	s.tune(voice, now)
	h := s.out.frame(clock)
	h.payloadType = number
	s.sends(&h, b, voice, clock)
	s.passAgain()
}

// keySounded has what is heard after a key begin softly, once the key's tone is sent.
func (s *stream) keySounded() {
	if !s.keyOut.sounding() {
		s.seam.open = true
	}
}

// relayed tells whether what the stream hears is passed on as its peer's packets
// come.
func (s *stream) relayed() bool {
	return s.source == nil && s.party == nil && s.peer != nil && s.peer.in == nil
}

// hears puts together 20 ms of what the leg hears, and tells whether that is a
// sound from its beginning. Nothing is heard if that comes as the peer's packets
// do.
func (s *stream) hears(audio []byte, c Codec, now int64) (heard, whole bool) {
	if s.source != nil {
		list, ok := s.source.(*playlist)
		whole = ok && list.at == 0
		if s.source.next(audio, c, now*beatSize) {
			return true, whole
		}
		s.sourceEnded()
	}
	switch {
	case s.relayed():
		return false, false
	case s.party != nil:
		s.party.fill(audio, c, now)
	case s.peer != nil:
		s.fillFromPeer(audio, c)
	default:
		copy(audio, c.quiet())
	}
	return true, false
}

// fills tells whether the peer, whom the leg hears as its packets come, has sent
// none for a while, nor is in the midst of a key: it does not send silence, or holds
// us. The leg is sent silence
// then, since many a phone and carrier takes the end of all packets for that of
// the call.
func (s *stream) fills(now int64) bool {
	return s.relayed() && !s.peer.keyIn.down && !s.keyOut.sounding() && now-s.passed >= fillAfter
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
	b := s.shard.room(len(audio))
	copy(b.payload(), audio)
	h := s.out.frame(clock)
	h.payloadType = number
	s.sends(&h, b, voice, clock)
}

// sends sends a packet of audio, and lets those who follow what is sent have it.
func (s *stream) sends(h *header, b body, c Codec, clock int64) {
	audio := b.payload()
	if s.tap != nil && c.playable() {
		s.tap.put(sent, c, h.ssrc, h.timestamp, clock, audio)
	}
	s.seam.keep(audio, c)
	s.transmit(h, b)
}

// smooth takes the click from the beginning of audio that is from elsewhere than
// what was sent before.
func (s *stream) smooth(audio []byte, c Codec, whole bool) {
	if s.shard.next-s.spoke > seamGap {
		s.seam.codec = 0 // silence was heard meanwhile
	}
	s.seam.join(audio, c, whole)
}

// transmit sends a payload behind a header: at once, or with the others of a
// shared port. The packet is made, and encrypted, where the payload lies.
func (s *stream) transmit(h *header, b body) {
	h.put(b)
	raw := []byte(b)
	if secure := s.terms.secure; secure != nil {
		var ok bool
		if raw, ok = secure.seal(raw); !ok {
			s.shard.counts.unsent++
			return
		}
	}
	s.spoke = s.shard.next
	s.counts.PacketsOut++
	s.counts.BytesOut += uint64(len(raw))
	s.counts.octets += uint64(len(b.payload()))
	s.shard.counts.packetsOut++
	switch {
	case s.socket.open():
		s.transmitAlone(s.socket.rtp, raw)
	case s.detour != nil: // the outbox is another shard's, the socket everybody's
		s.transmitAlone(s.seat.port.sockets.rtp, raw)
	default:
		s.seat.port.queue(s, raw)
	}
}

// transmitAlone sends a packet at once.
func (s *stream) transmitAlone(fd int, raw []byte) {
	if !send(fd, raw, &s.to) {
		s.notSent(len(raw))
	}
}

// notSent takes a packet of some size back that was counted as sent.
func (s *stream) notSent(size int) {
	s.counts.PacketsOut--
	s.counts.BytesOut -= uint64(size)
	if secure := s.terms.secure; secure != nil {
		size -= secure.suite.tag
	}
	s.counts.octets -= uint64(size - headerSize)
	s.shard.counts.packetsOut--
	s.shard.counts.unsent++
}
