package media

// listener gives the peer, if it hears this stream just now.
func (s *stream) listener() *stream {
	if p := s.peer; p != nil && p.listens() && !p.keyOut.sounding() {
		return p
	}
	return nil
}

// listens tells whether the stream hears others, and is not played something.
func (s *stream) listens() bool {
	return s.source == nil && s.terms.send && s.gate.target().IsValid()
}

// passAudio sends audio on, into the buffer if there is one, or to the listener:
// untouched if it takes the codec, or translated from one law of G.711 to the
// other. What it cannot take is dropped: better nothing than noise.
func (s *stream) passAudio(p *packet, c Codec, now int64) {
	if s.in != nil {
		if c.playable() {
			s.in.put(p.ssrc, p.timestamp, p.payload(), c)
		} else {
			s.counts.Unheard++
		}
		return
	}
	to := s.listener()
	if to == nil {
		return
	}
	out := c
	if c.playable() && to.terms.voice != 0 {
		out = to.terms.voice
	}
	number, able := to.terms.number(out)
	if !able {
		s.counts.Unheard++
		return
	}
	to.tune(out, now)
	clock := now * beatSize
	h, ok := to.out.pass(p, clock, out.units(p.payload()))
	if !ok {
		return
	}
	if out != c {
		translate(p.payload(), c, out)
	}
	h.payloadType = number
	to.passed = now
	to.smooth(p.payload(), out, false)
	to.sends(&h, p.body, out, clock)
}

// passKey sends a telephone event on to the listener, if it takes them, counted on
// the clock on which it takes them. Who hears us through a buffer, or takes
// none, has the key pressed anew (see presses). What is left of a key that is over
// goes on with the stream it was in, and begins none, where it were another key.
func (s *stream) passKey(p *packet, c Codec, fresh bool, now int64) {
	to := s.listener()
	if to == nil || !to.terms.keys() || s.hidden || s.in != nil {
		return
	}
	if !fresh && !to.out.follows(p, now*beatSize, false) {
		return
	}
	keys := to.terms.keysFor(to.out.clock())
	// On another clock a press is one event, however many its segments are here, and
	// nobody can tell what time there is that of a press before the newest.
	began, ok, sameClock := p.timestamp, true, c.clock() == to.out.clock()
	if !sameClock {
		began, ok = s.keyIn.began(p)
	}
	if !ok {
		return
	}
	h, ok := to.out.passKey(p, began, now*beatSize, sameClock)
	if !ok {
		return
	}
	keyOnClock(p.payload(), int(p.timestamp-began), c.clock(), keys.clock())
	h.payloadType, _ = to.terms.number(keys)
	to.passed = now
	to.transmit(&h, p.body)
}

// play makes a source what the stream hears; nil goes back to the peer, or to
// silence.
func (s *stream) play(source source) {
	s.source = source
	s.switched()
}

// switched says that what the leg hears next comes from elsewhere.
func (s *stream) switched() {
	s.out.switched()
	s.seam.open = true
	s.passed = s.shard.next
	s.wake()
}

// sourceEnded takes away a source that has played to its end.
func (s *stream) sourceEnded() {
	if list, ok := s.source.(*playlist); ok {
		s.tell(PlayDone{list.id})
	}
	s.play(nil)
}

// bridge makes two streams hear each other, and nothing else. From now on each
// is expected to speak, even if it was silent before, as a phone that rings is.
func (s *stream) bridge(peer *stream) {
	for _, st := range []*stream{s, peer} {
		if st.peer != nil {
			st.unbridge()
		}
		st.leave()
	}
	s.peer, peer.peer = peer, s
	for _, st := range []*stream{s, peer} {
		st.unbuffer()
		st.play(nil)
		st.heard, st.lost = st.shard.next, false
	}
}

// unbridge parts the stream from its peer.
func (s *stream) unbridge() {
	if peer := s.peer; peer != nil {
		s.peer, peer.peer = nil, nil
		s.switched()
		peer.switched()
		s.unbuffer()
		peer.unbuffer()
	}
}
