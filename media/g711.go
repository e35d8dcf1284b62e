package media

import "math/bits"

// G.711 in both laws. Samples are linear 16-bit; µ-law uses the upper 14 bits
// of them, A-law the upper 13. Everything runs through tables but the encoding
// of linear samples, which happens only when a clip is loaded.
var (
	muDecode = table(decodeMu)
	aDecode  = table(decodeA)
	muToA    = table(func(b byte) byte { return encodeA(decodeMu(b)) })
	aToMu    = table(func(b byte) byte { return encodeMu(decodeA(b)) })
)

// table tabulates a function of one byte.
func table[T any](f func(byte) T) (t [256]T) {
	for i := range t {
		t[i] = f(byte(i))
	}
	return t
}

// muBias moves every µ-law segment to a power of two, so that the segment's
// number is the position of the highest bit. muClip is the largest magnitude
// that survives the move.
const (
	muBias = 0x84
	muClip = 1<<15 - 1 - muBias
)

// encodeMu gives the µ-law byte of a linear sample. On the wire all bits are
// inverted.
func encodeMu(sample int16) byte {
	magnitude, sign := int(sample), byte(0)
	if sample < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	magnitude = min(magnitude, muClip) + muBias
	segment := bits.Len(uint(magnitude)>>7) - 1
	step := byte(magnitude>>(segment+3)) & 0x0F
	return ^(sign | byte(segment)<<4 | step)
}

// decodeMu gives the linear sample of a µ-law byte: the middle of its step.
func decodeMu(b byte) int16 {
	b = ^b
	segment, step := int(b>>4)&7, int(b&0x0F)
	magnitude := (step<<3+muBias)<<segment - muBias
	if b&0x80 != 0 {
		return int16(-magnitude)
	}
	return int16(magnitude)
}

// encodeA gives the A-law byte of a linear sample. On the wire every other bit
// is inverted.
func encodeA(sample int16) byte {
	magnitude, sign := int(sample), byte(0x80)
	if sample < 0 {
		magnitude, sign = -magnitude-1, 0
	}
	code := byte(magnitude >> 4) // the two lowest segments share their step
	if segment := bits.Len(uint(magnitude) >> 8); segment > 0 {
		code = byte(segment)<<4 | byte(magnitude>>(segment+3))&0x0F
	}
	return (sign | code) ^ 0x55
}

// decodeA gives the linear sample of an A-law byte: the middle of its step.
func decodeA(b byte) int16 {
	b ^= 0x55
	segment, step := int(b>>4)&7, int(b&0x0F)
	magnitude := step<<4 + 8
	if segment > 0 {
		magnitude = (magnitude + 0x100) << (segment - 1)
	}
	if b&0x80 == 0 {
		return int16(-magnitude)
	}
	return int16(magnitude)
}

// decode writes the linear samples of audio into pcm, which is as long.
func decode(pcm []int16, audio []byte, c Codec) {
	table := c.linear()
	for i, b := range audio {
		pcm[i] = table[b]
	}
}

// linear gives the linear samples of a codec of G.711.
func (c Codec) linear() *[256]int16 {
	if c == PCMA {
		return &aDecode
	}
	return &muDecode
}

// encode writes linear samples into audio, which is as long.
func encode(audio []byte, pcm []int16, c Codec) {
	if c == PCMA {
		for i, sample := range pcm {
			audio[i] = encodeA(sample)
		}
		return
	}
	for i, sample := range pcm {
		audio[i] = encodeMu(sample)
	}
}
