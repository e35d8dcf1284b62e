package media

import (
	"math"
	"testing"
)

func TestG711KeepsItsOwnLevels(t *testing.T) {
	for i := range 256 {
		b := byte(i)
		if got := encodeMu(decodeMu(b)); got != b && b != 0x7F { // 0x7F is a second, negative zero
			t.Errorf("µ-law %#02x decodes to %d, which encodes to %#02x", b, decodeMu(b), got)
		}
		if got := encodeA(decodeA(b)); got != b {
			t.Errorf("A-law %#02x decodes to %d, which encodes to %#02x", b, decodeA(b), got)
		}
	}
}

// The values are those of ITU-T G.711's tables, scaled to 16 bits.
func TestG711KnownValues(t *testing.T) {
	for _, c := range []struct {
		name   string
		encode func(int16) byte
		sample int16
		want   byte
	}{
		{"µ-law zero", encodeMu, 0, 0xFF},
		{"µ-law loudest", encodeMu, math.MaxInt16, 0x80},
		{"µ-law most negative", encodeMu, math.MinInt16, 0x00},
		{"µ-law first step", encodeMu, 8, 0xFE},
		{"µ-law second segment", encodeMu, 132, 0xEF},
		{"A-law zero", encodeA, 0, 0xD5},
		{"A-law just below zero", encodeA, -1, 0x55},
		{"A-law loudest", encodeA, math.MaxInt16, 0xAA},
		{"A-law most negative", encodeA, math.MinInt16, 0x2A},
		{"A-law third segment", encodeA, 512, 0xF5},
	} {
		if got := c.encode(c.sample); got != c.want {
			t.Errorf("%s: %d is %#02x, want %#02x", c.name, c.sample, got, c.want)
		}
	}
}

func TestG711IsNearest(t *testing.T) {
	for _, law := range []struct {
		name   string
		encode func(int16) byte
		decode func(byte) int16
		coarse int // half the widest step
	}{
		{"µ-law", encodeMu, decodeMu, 644},
		{"A-law", encodeA, decodeA, 512},
	} {
		last := math.MinInt
		for sample := math.MinInt16; sample <= math.MaxInt16; sample++ {
			got := int(law.decode(law.encode(int16(sample))))
			if got < last {
				t.Fatalf("%s: not monotone at %d", law.name, sample)
			}
			last = got
			if off := max(got-sample, sample-got); off > max(8, min(law.coarse, max(sample, -sample)/16)) {
				t.Fatalf("%s: %d becomes %d", law.name, sample, got)
			}
		}
	}
}

func TestG711KeepsTheSignalToNoiseRatio(t *testing.T) {
	tone := Tone(1004, clipLength)
	want := sine(1004, len(tone.mu))
	both := append([]byte(nil), tone.mu...)
	translate(both, PCMU, PCMA)
	for _, c := range []struct {
		name  string
		audio []byte
		codec Codec
		least float64
	}{
		{"PCMU", tone.in(PCMU), PCMU, 36},
		{"PCMA", tone.in(PCMA), PCMA, 36},
		{"PCMU to PCMA", both, PCMA, 33},
	} {
		pcm := make([]int16, len(c.audio))
		decode(pcm, c.audio, c.codec)
		if got := snr(want, pcm); got < c.least {
			t.Errorf("%s: signal to noise %.1f dB, want at least %.0f", c.name, got, c.least)
		}
	}
}

// sine gives the samples of Tone before they are encoded.
func sine(hz float64, n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = math.MaxInt16 * math.Pow(10, toneLevel/20.) * math.Sin(2*math.Pi*hz*float64(i)/sampleRate)
	}
	return s
}

// snr gives the signal to noise ratio of got, in dB, want being the signal.
func snr(want []float64, got []int16) float64 {
	var signal, noise float64
	for i, w := range want {
		signal += w * w
		noise += (w - float64(got[i])) * (w - float64(got[i]))
	}
	return 10 * math.Log10(signal/noise)
}
