package media

import (
	"math"
	"time"
)

// Clip is a piece of audio, encoded once in every codec, so that playing it is
// copying. It never changes and may be played by any number of legs at once.
type Clip struct {
	mu, a []byte
}

// NewClip makes a clip of linear samples at 8 kHz.
func NewClip(pcm []int16) *Clip {
	c := &Clip{mu: make([]byte, len(pcm)), a: make([]byte, len(pcm))}
	for i, sample := range pcm {
		c.mu[i], c.a[i] = encodeMu(sample), encodeA(sample)
	}
	return c
}

// toneLevel is how loud tones are, in dB of full scale: as loud as speech.
const toneLevel = -13

// Tone makes a sine of hz, for signals to agents, tests, and phones in
// software. Zero hz is silence. A tone of whole periods loops without a click.
func Tone(hz float64, length time.Duration) *Clip {
	pcm := make([]int16, length/sampleTime)
	amplitude := math.MaxInt16 * math.Pow(10, toneLevel/20.)
	for i := range pcm {
		pcm[i] = int16(math.Round(amplitude * math.Sin(2*math.Pi*hz*float64(i)/sampleRate)))
	}
	return NewClip(pcm)
}

// Duration is how long the clip plays.
func (c *Clip) Duration() time.Duration {
	return time.Duration(len(c.mu)) * sampleTime
}

// in gives the clip's bytes in an audio codec.
func (c *Clip) in(codec Codec) []byte {
	if codec == PCMA {
		return c.a
	}
	return c.mu
}
