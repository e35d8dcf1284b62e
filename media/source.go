package media

import "bytes"

// source is what a leg hears when it does not hear a peer. Sources belong to
// one leg and are touched by its shard only. A leg without one hears its peer
// or silence.
type source interface {
	// next puts the next 20 ms in an audio codec into audio. The clock is the
	// engine's, in samples. False: the source has ended.
	next(audio []byte, c Codec, clock int64) bool
}

// playlist plays clips one after the other without a gap.
type playlist struct {
	id    PlayID
	clips []*Clip // what is still to play
	at    int     // position in the first, in samples
}

func (p *playlist) next(audio []byte, c Codec, _ int64) bool {
	p.skip()
	if len(p.clips) == 0 {
		return false
	}
	for len(audio) > 0 && len(p.clips) > 0 {
		n := copy(audio, p.clips[0].in(c)[p.at:])
		audio = audio[n:]
		p.at += n
		p.skip()
	}
	copy(audio, c.quiet())
	return true
}

// skip lets go of clips that have been played.
func (p *playlist) skip() {
	for len(p.clips) > 0 && p.at == len(p.clips[0].mu) {
		p.clips, p.at = p.clips[1:], 0
	}
}

// music plays a clip for ever. Its position is the engine's clock, so that all
// legs hear the same bar and a leg that comes back finds the tune gone on.
type music struct {
	clip *Clip
}

func (m music) next(audio []byte, c Codec, clock int64) bool {
	tune := m.clip.in(c)
	if len(tune) == 0 {
		return false
	}
	for begin := int(clock % int64(len(tune))); len(audio) > 0; begin = 0 {
		audio = audio[copy(audio, tune[begin:]):]
	}
	return true
}

// silentFrames are 20 ms of silence in each codec.
var silentFrames = [...][]byte{
	PCMU: bytes.Repeat([]byte{PCMU.silence()}, frameSize),
	PCMA: bytes.Repeat([]byte{PCMA.silence()}, frameSize),
}

// opusSilence is a packet of 20 ms without a frame in it: the sender has nothing
// to say (RFC 6716, section 3.1).
var opusSilence = []byte{1 << 3}

// quiet gives 20 ms of silence.
func (c Codec) quiet() []byte { return silentFrames[c] }
