package media

// hideReserve is how long the audio of a leg whose keys are hidden is kept
// back, in samples: 50 ms, longer than it takes to recognise a tone.
const hideReserve = 400

// A bridge passes packets on as they come. Where their sound must be in hand,
// because it is mixed or keys are to be kept out of it, it goes through a
// jitter buffer, from which whoever hears it is served on its own turns.

// buffer puts a jitter buffer behind what the far end says, unless there is
// one. Who hears it goes on from what has been heard of it so far.
func (s *stream) buffer(fresh *jitter) {
	if s.in != nil {
		s.in.draining = false
		return
	}
	if to := s.listener(); to != nil {
		var past [frameSize]int16
		to.seam.heard(&past)
		fresh.conceal.heard(past[:])
		to.switched()
	}
	s.in = fresh
	s.keep()
}

// keep sets how much the buffer holds back.
func (s *stream) keep() {
	if s.in == nil {
		return
	}
	s.in.reserve = 0
	if s.hides() {
		s.in.reserve = hideReserve
	}
}

// unbuffer takes the jitter buffer away, unless it is needed: at once if nobody
// hears what is in it, else as soon as that has been heard.
func (s *stream) unbuffer() {
	switch {
	case s.in == nil || s.hides() || s.party != nil:
	case s.peer == nil:
		s.in = nil
	default:
		s.in.draining = true
	}
	s.keep()
}

// fillFromPeer gives the stream what its peer's buffer has for it.
func (s *stream) fillFromPeer(audio []byte, c Codec) {
	var pcm [frameSize]int16
	s.peer.in.pull(&pcm)
	encode(audio, pcm[:], c)
}

// passAgain says that the peer's packets pass as they come from now on, if the
// buffer that was to run empty has, and the last of it is sent: the next that is
// heard has to be joined to that.
func (s *stream) passAgain() {
	if p := s.peer; p != nil && p.in != nil && p.in.drained() && s.source == nil && s.party == nil {
		p.in = nil
		s.switched()
	}
}

// hides tells whether what the far end says has to be in hand, so that hidden
// keys can be kept out of it.
func (s *stream) hides() bool { return s.hidden && s.terms.codec.playable() }

// muffle puts a jitter buffer behind what the far end says if hidden keys want
// one, or takes it away: when keys are hidden or shown, and when another codec is
// agreed on.
func (s *stream) muffle(fresh *jitter) {
	if s.hides() {
		s.buffer(fresh)
		s.keep()
	} else {
		s.unbuffer()
	}
}
