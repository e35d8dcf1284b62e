package media

import (
	"fmt"
	"time"
)

// Codec is a payload format of RTP (RFC 3551). The zero Codec is none.
type Codec uint8

// The audio codecs Bugle speaks, one byte a sample at 8 kHz.
const (
	PCMU Codec = iota + 1 // G.711 µ-law
	PCMA                  // G.711 A-law

	// telephoneEvent is how keys travel (RFC 4733). In SDP it is a payload
	// format like the others; nobody chooses it as audio.
	telephoneEvent
)

const (
	sampleRate = 8000                                       // samples a second, and RTP timestamp units
	frameTime  = 20 * time.Millisecond                      // what one packet of ours lasts
	frameSize  = int(sampleRate * frameTime / time.Second)  // samples, and bytes, in it
	beatSize   = int64(sampleRate * beatTime / time.Second) // samples of one beat of a shard
	sampleTime = time.Second / time.Duration(sampleRate)    // one sample
)

// Preferring gives every audio codec, the given one first: the order in which
// to offer them to somebody who is to talk with a leg of that codec. For the
// zero Codec it is our usual order.
func Preferring(first Codec) []Codec {
	if first == PCMA {
		return []Codec{PCMA, PCMU}
	}
	return []Codec{PCMU, PCMA}
}

// String gives the codec's encoding name as SDP writes it.
func (c Codec) String() string {
	switch c {
	case PCMU:
		return "PCMU"
	case PCMA:
		return "PCMA"
	case telephoneEvent:
		return "telephone-event"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// payloadType gives the number under which our own offers list the codec:
// static where RFC 3551 has one.
func (c Codec) payloadType() uint8 {
	switch c {
	case PCMU:
		return 0
	case PCMA:
		return 8
	}
	return 101
}

// silence gives the byte of a silent sample.
func (c Codec) silence() byte {
	if c == PCMA {
		return 0xD5
	}
	return 0xFF
}

// translate rewrites audio of codec from, in place, as codec to.
func translate(audio []byte, from, to Codec) {
	if from == to {
		return
	}
	table := &muToA
	if from == PCMA {
		table = &aToMu
	}
	for i, b := range audio {
		audio[i] = table[b]
	}
}
