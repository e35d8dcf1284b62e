package media

// speech tells speech from silence by its energy, 20 ms at a time. What counts
// as loud follows the noise of the line between two limits, since one caller
// whispers in a quiet room and another stands in the street. Speech begins
// with three loud frames, so that a click is none, and goes on for a while after
// the last, so that it does not end with each syllable.
type speech struct {
	frames int // with speech
	quiet  int // since the last loud frame of speech

	floor float64 // the noise of the line, as a mean square
	loud  int     // loud frames in a row
}

const (
	speechOnset    = 3  // frames
	speechHangover = 10 // frames

	fullScale = 1 << 30 // mean square of the loudest square wave
	// Mean squares by level: below the first nothing is loud, above the second
	// everything.
	neverLoud  = fullScale * 3.2e-6 // -55 dB
	alwaysLoud = fullScale * 1.6e-4 // -38 dB
	aboveFloor = 8                  // 9 dB
	floorRise  = 1.0093             // 2 dB a second: noise that sets in is got used to
)

// listen takes the next 20 ms, in µ-law.
func (s *speech) listen(mu []byte) {
	if !s.isLoud(energy(mu)) {
		s.loud = 0
		s.quiet++
		if s.frames > 0 && s.quiet <= speechHangover {
			s.frames++
		}
		return
	}
	switch s.loud++; {
	case s.loud > speechOnset:
		s.frames++
		s.quiet = 0
	case s.loud == speechOnset:
		s.frames += speechOnset
		s.quiet = 0
	default:
		s.quiet++
	}
}

// isLoud judges a frame against the noise of the line, of which it may be part.
func (s *speech) isLoud(e float64) bool {
	if e > 0 { // else nothing was sent, which says nothing of the line
		switch {
		case s.floor == 0 || e < s.floor:
			s.floor = max(e, neverLoud/aboveFloor)
		default:
			s.floor *= floorRise
		}
	}
	return e > min(max(s.floor*aboveFloor, neverLoud), alwaysLoud)
}

// energy is the mean square of a frame, without a constant offset, which is
// not to be heard.
func energy(mu []byte) float64 {
	var sum, squares int64
	for _, b := range mu {
		sample := int64(muDecode[b])
		sum += sample
		squares += sample * sample
	}
	n := float64(len(mu))
	mean := float64(sum) / n
	return max(0, float64(squares)/n-mean*mean)
}
