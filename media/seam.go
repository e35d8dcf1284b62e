package media

// seamHush is the loudest sample of a sound that need not be faded out: both
// laws' silence is.
const seamHush = 32

// seam joins what a far end hears from different sources, so that none begins
// or ends with a click: what was heard last goes on for 5 ms, ever softer, under
// the beginning of what comes now. It can do so in G.711; other codecs pass as
// they are.
type seam struct {
	open  bool            // the next audio is another source's
	codec Codec           // of G.711, of what was sent last; 0: nothing was, or nothing we can read
	past  [frameSize]byte // that; the newest at the end
}

// keep remembers audio as it was sent.
func (s *seam) keep(audio []byte, c Codec) {
	if !c.playable() {
		s.codec = 0
		return
	}
	if s.codec != c {
		s.codec = c
		copy(s.past[:], c.quiet())
	}
	if len(audio) < frameSize {
		copy(s.past[:], s.past[len(audio):])
	}
	copy(s.past[max(0, frameSize-len(audio)):], audio[max(0, len(audio)-frameSize):])
}

// heard gives the linear samples of what was sent last.
func (s *seam) heard(pcm *[frameSize]int16) {
	if s.codec != 0 {
		decode(pcm[:], s.past[:], s.codec)
	}
}

// join blends the first 5 ms of another source's audio, in place, with what was
// heard before. Whole says that the sound has its own beginning, and need not be
// faded in.
func (s *seam) join(audio []byte, c Codec, whole bool) {
	if !s.open {
		return
	}
	s.open = false
	if !c.playable() {
		return
	}
	var past [frameSize]int16
	s.heard(&past)
	fading := loudest(past[frameSize-concealMatch:]) > seamHush
	if !fading && whole {
		return
	}
	size := 1
	if fading {
		size = max(1, repeats(past[:]))
	} else {
		clear(past[:])
	}
	table, n := c.linear(), min(blend, len(audio))
	var mixed [blend]int16
	for i := range n {
		old, next := past[frameSize-size+i%size], table[audio[i]]
		if whole {
			mixed[i] = saturate(int32(next) + int32(fade(old, 0, i)))
		} else {
			mixed[i] = fade(old, next, i)
		}
	}
	encode(audio[:n], mixed[:n], c)
}
