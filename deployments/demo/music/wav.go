package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// header is a WAV file's, for G.711 µ-law (format 7) at 8 kHz, one channel.
type header struct {
	Riff      [4]byte
	RiffSize  uint32 // of all that follows
	Wave      [4]byte
	Fmt       [4]byte
	FmtSize   uint32
	Format    uint16
	Channels  uint16
	Rate      uint32
	ByteRate  uint32
	Block     uint16
	Bits      uint16
	Extra     uint16 // size of an extension there is none of
	Fact      [4]byte
	FactSize  uint32
	Samples   uint32
	Data      [4]byte
	DataBytes uint32
}

// writeWAV writes samples between -1 and 1. An odd count gets the padding
// byte the format asks for.
func writeWAV(w io.Writer, samples []float64) error {
	n := uint32(len(samples))
	padding := n % 2
	h := header{
		Riff: [4]byte([]byte("RIFF")), RiffSize: 50 + n + padding, Wave: [4]byte([]byte("WAVE")),
		Fmt: [4]byte([]byte("fmt ")), FmtSize: 18, Format: 7, Channels: 1, Rate: rate, ByteRate: rate, Block: 1, Bits: 8,
		Fact: [4]byte([]byte("fact")), FactSize: 4, Samples: n,
		Data: [4]byte([]byte("data")), DataBytes: n,
	}
	if err := binary.Write(w, binary.LittleEndian, h); err != nil {
		return fmt.Errorf("write header: %w", err)
	}
	data := make([]byte, n+padding)
	for i, s := range samples {
		data[i] = mulaw(int(math.Round(s * math.MaxInt16)))
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write samples: %w", err)
	}
	return nil
}

// mulaw encodes one 16-bit sample (ITU-T G.711, the continuous form): sign,
// three bits of exponent, four of mantissa, all inverted.
func mulaw(s int) byte {
	const bias, clip = 132, 32635
	sign := byte(0)
	if s < 0 {
		sign, s = 0x80, -s
	}
	s = min(s, clip) + bias
	exponent := byte(7)
	for mask := 0x4000; exponent > 0 && s&mask == 0; mask >>= 1 {
		exponent--
	}
	mantissa := byte(s>>(exponent+3)) & 0x0f
	return ^(sign | exponent<<4 | mantissa)
}
