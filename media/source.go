package media

// source is what a leg hears when it does not hear a peer. Sources belong to
// one leg and are touched by its shard only. A leg without one hears its peer
// or silence.
type source interface {
	// fill writes the next 20 ms in an audio codec. The clock is the engine's,
	// in samples. False: the source has ended and wrote nothing.
	fill(frame []byte, c Codec, clock int64) bool
}

// playlist plays clips one after the other without a gap.
type playlist struct {
	id    PlayID
	clips []*Clip // what is still to play
	at    int     // position in the first, in samples
}

func (p *playlist) fill(frame []byte, c Codec, _ int64) bool {
	rest := frame
	for len(rest) > 0 && len(p.clips) > 0 {
		audio := p.clips[0].in(c)
		n := copy(rest, audio[p.at:])
		rest = rest[n:]
		if p.at += n; p.at == len(audio) {
			p.clips, p.at = p.clips[1:], 0
		}
	}
	if len(rest) == len(frame) {
		return false
	}
	quiet(rest, c)
	return true
}

// music plays a clip for ever. Its position is the engine's clock, so that all
// legs hear the same bar and a leg that comes back finds the tune gone on.
type music struct {
	clip *Clip
}

func (m music) fill(frame []byte, c Codec, clock int64) bool {
	audio := m.clip.in(c)
	if len(audio) == 0 {
		return false
	}
	at := int(clock % int64(len(audio)))
	for len(frame) > 0 {
		n := copy(frame, audio[at:])
		frame, at = frame[n:], 0
	}
	return true
}

// quiet fills a frame with silence.
func quiet(frame []byte, c Codec) {
	b := c.silence()
	for i := range frame {
		frame[i] = b
	}
}
