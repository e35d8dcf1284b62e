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

// Tone makes a sine of hz at a level in dB below full scale (-10, say), for
// tests and for phones in software. A tone of whole periods loops without a
// click.
func Tone(hz, dbfs float64, length time.Duration) *Clip {
	pcm := make([]int16, length/sampleTime)
	amplitude := math.MaxInt16 * math.Pow(10, min(dbfs, 0)/20)
	for i := range pcm {
		pcm[i] = int16(amplitude * math.Sin(2*math.Pi*hz*float64(i)/sampleRate))
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
