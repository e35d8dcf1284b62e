package media

import "time"

// way is how a key came.
type way uint8

const (
	byEvent way = iota + 1 // as a telephone event
	byTone                 // as a tone
	byInfo                 // in the signalling: SIP INFO
)

// pressBeats is for how long after a key the next must come the same way to be
// believed: some phones send each key two ways.
const pressBeats = int64(5 * time.Second / beatTime)

// presses brings together the keys of a far end, whichever way they come: each
// is told once.
type presses struct {
	event, tone func(Event) // take keys that came so; bound once
	way         way         // of the newest key
	at          int64       // its beat
}

// pressed tells of a key, unless keys come another way, and hands it on.
func (s *stream) pressed(by way, e Event) {
	now := s.shard.next
	if by != s.press.way && s.press.way != 0 && now-s.press.at < pressBeats {
		return
	}
	s.press.way, s.press.at = by, now
	s.tell(e)
	if down, ok := e.(KeyDown); ok && !s.hidden {
		s.handOn(by, keyCode(down.Key))
	}
}

// handOn presses a key anew towards those who hear the stream and whom it does
// not reach as it came: a tone sounds by itself, an event is passed on to a peer
// who takes events.
func (s *stream) handOn(by way, code uint8) {
	if by == byTone {
		return
	}
	if s.party != nil {
		for _, other := range s.party.room.parties {
			if other.hears(s.party) && other.stream.listens() {
				other.stream.pressKey(code)
			}
		}
		return
	}
	if to := s.peer; to != nil && to.listens() && (by == byInfo || s.in != nil || !to.terms.keys()) {
		to.pressKey(code)
	}
}

// pressKey sends a key to the far end, if it takes any.
func (s *stream) pressKey(code uint8) {
	if s.terms.pressable() {
		s.wake()
		s.keyOut.add(code)
	}
}

// keepOut keeps a key, which began at a timestamp and has lasted so many
// samples, out of what is recorded and, if it is hidden, of what others hear.
func (s *stream) keepOut(p *packet, timestamp uint32, size int, now int64) {
	if s.tap != nil && (s.tap.voice || s.hidden) {
		s.tap.note(keyed, p.ssrc, timestamp, now*beatSize, size)
	}
	if s.in != nil && s.hidden {
		s.in.mute(timestamp-uint32(keyLeak), timestamp+uint32(size))
	}
}

// ear listens to a far end's audio for keys that come as tones.
type ear struct {
	toneDetector
	begun bool
	ssrc  uint32
	next  uint32 // timestamp
	heard int64  // beat
}

// listenFor listens for tones if the terms have no telephone events, and no
// longer if they have.
func (s *stream) listenFor(t terms, fresh *ear) {
	switch {
	case t.keys() || t.voice == 0:
		if s.ear != nil {
			s.ear.reset(s.press.tone)
		}
		s.ear = nil
	case s.ear == nil:
		s.ear = fresh
	}
}

// earGap is how much may be missing in the middle of a key, in samples.
const earGap = 3 * frameSize

// take hears a packet in its turn; one that comes late is left out.
func (e *ear) take(p *packet, c Codec, now int64, tell func(Event)) {
	gap := int32(p.timestamp - e.next)
	switch {
	case !e.begun || p.ssrc != e.ssrc || gap > int32(earGap) || gap < -sampleRate:
		e.reset(tell)
	case gap < 0:
		return
	case gap > 0:
		e.skip()
	}
	audio := p.payload()
	e.begun, e.ssrc, e.heard, e.next = true, p.ssrc, now, p.timestamp+uint32(len(audio))
	var pcm [frameSize]int16
	for len(audio) > 0 {
		n := min(len(audio), frameSize)
		decode(pcm[:n], audio[:n], c)
		e.hear(pcm[:n], tell)
		audio = audio[n:]
	}
}

// tick ends a key whose sender has ceased to send.
func (e *ear) tick(now int64, tell func(Event)) {
	if e.on && now-e.heard >= keyBeats {
		e.reset(tell)
	}
}

// listenForTones hears a packet, and keeps what it has of a key to itself if
// keys are hidden: from where the key may have begun, 50 ms ago, to its end.
func (s *stream) listenForTones(p *packet, c Codec, now int64) {
	was := s.ear.on
	s.ear.take(p, c, now, s.press.tone)
	if was || s.ear.on {
		const known = hideReserve - int(keyLeak) // and keyLeak before
		end := p.timestamp + uint32(len(p.payload()))
		s.keepOut(p, end-uint32(known), known, now)
	}
}
