package media

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Codec is a payload format of RTP. The zero Codec is none.
type Codec uint8

// The audio codecs Bugle knows. It plays, translates, records and mixes in the
// two of G.711 (RFC 3551); the others it passes on untouched between two legs
// that have agreed on them.
const (
	PCMU Codec = iota + 1 // G.711 µ-law
	PCMA                  // G.711 A-law
	G722                  // 64 kbit/s; sampled at 16 kHz, though its clock in RTP is of 8 kHz (RFC 3551, section 4.5.2)
	Opus                  // RFC 7587

	// telephoneEvent is how keys travel (RFC 4733). In SDP it is a payload
	// format like the others, one for each clock rate; nobody chooses it as audio.
	telephoneEvent   // on the clock of 8 kHz
	telephoneEvent48 // on that of Opus
	codecs           // how many there are, and one
)

const (
	sampleRate = 8000                                       // samples a second of G.711, and of the engine's clock
	frameTime  = 20 * time.Millisecond                      // what one packet of ours lasts
	frameSize  = int(sampleRate * frameTime / time.Second)  // samples, and bytes, in it
	beatSize   = int64(sampleRate * beatTime / time.Second) // samples of one beat of a shard
	sampleTime = time.Second / time.Duration(sampleRate)    // one sample
)

// encodings is what SDP says of each codec.
var encodings = [codecs]struct {
	name       string // of RFC 3551 and its successors
	clock      int    // RTP timestamp units a second
	channels   int
	number     uint8  // the payload type our offers begin with: static where RFC 3551 has one
	parameters string // our fmtp
}{
	PCMU:             {"PCMU", 8000, 1, 0, ""},
	PCMA:             {"PCMA", 8000, 1, 8, ""},
	G722:             {"G722", 8000, 1, 9, ""},
	Opus:             {"opus", 48000, 2, 111, ""},
	telephoneEvent:   {"telephone-event", 8000, 1, 101, "0-15"},
	telephoneEvent48: {"telephone-event", 48000, 1, 110, "0-15"},
}

// Preferring gives the codecs in which we can play, the given one first: the
// order in which to offer them to somebody who is to talk with a leg of that
// codec. For one that we cannot play, and the zero Codec, it is our usual order.
func Preferring(first Codec) []Codec {
	if first == PCMA {
		return []Codec{PCMA, PCMU}
	}
	return []Codec{PCMU, PCMA}
}

// Bridging gives what to offer to somebody who is to talk with the far end of a
// leg: what that far end takes among the allowed codecs, best first, so that the
// sound can pass untouched; and, behind, the codecs in which we can play.
func Bridging(peer *Leg, allowed []Codec) []Codec {
	var offer []Codec
	for _, c := range slices.Concat(peer.Takes(), Preferring(peer.Codec())) {
		if (c.playable() || slices.Contains(allowed, c)) && !slices.Contains(offer, c) {
			offer = append(offer, c)
		}
	}
	return offer
}

// ParseCodec gives the audio codec of a name as SDP has it, in any case.
func ParseCodec(name string) (Codec, bool) {
	for c := PCMU; c < telephoneEvent; c++ {
		if strings.EqualFold(name, encodings[c].name) {
			return c, true
		}
	}
	return 0, false
}

// codecNamed gives the codec of an rtpmap's value, "PCMU/8000" or
// "opus/48000/2"; zero if it is none of ours.
func codecNamed(name string) Codec {
	for c := PCMU; c < codecs; c++ {
		rtpmap := c.rtpmap()
		if strings.EqualFold(name, rtpmap) || encodings[c].channels == 1 && strings.EqualFold(name, rtpmap+"/1") {
			return c
		}
	}
	return 0
}

// rtpmap gives what SDP's attribute of that name says of the codec.
func (c Codec) rtpmap() string {
	e := &encodings[c]
	if e.channels > 1 {
		return fmt.Sprintf("%s/%d/%d", e.name, e.clock, e.channels)
	}
	return fmt.Sprintf("%s/%d", e.name, e.clock)
}

// String gives the codec's encoding name as SDP writes it.
func (c Codec) String() string {
	if c == 0 || c >= codecs {
		return fmt.Sprintf("codec %d", uint8(c))
	}
	return encodings[c].name
}

// playable tells whether we can make sound in the codec, and read what comes in
// it.
func (c Codec) playable() bool { return c == PCMU || c == PCMA }

// isKeys tells the telephone events from audio.
func (c Codec) isKeys() bool { return c == telephoneEvent || c == telephoneEvent48 }

// clock gives the RTP timestamp units of a second.
func (c Codec) clock() int { return encodings[c].clock }

// keysOf gives the telephone events on the codec's clock.
func (c Codec) keysOf() Codec {
	if c.clock() == encodings[telephoneEvent48].clock {
		return telephoneEvent48
	}
	return telephoneEvent
}

// payloadType gives the number under which our own offers list the codec first.
func (c Codec) payloadType() uint8 { return encodings[c].number }

// units gives how much of a stream's time a packet's payload takes, in
// timestamp units; of keys, whose timestamps stand still, nothing.
func (c Codec) units(payload []byte) int {
	switch {
	case c == Opus:
		return opusUnits(payload)
	case c.isKeys():
		return 0
	}
	return len(payload) // one byte a unit, also of G.722
}

// opusUnits reads the length of an Opus packet from its first two bytes
// (RFC 6716, section 3); 0 if they make no sense.
func opusUnits(payload []byte) int {
	if len(payload) == 0 {
		return 0
	}
	const ms = 48
	config := payload[0] >> 3
	var frame int
	switch {
	case config < 12: // SILK
		frame = [...]int{10 * ms, 20 * ms, 40 * ms, 60 * ms}[config%4]
	case config < 16: // hybrid
		frame = [...]int{10 * ms, 20 * ms}[config%2]
	default: // CELT
		frame = [...]int{ms * 5 / 2, 5 * ms, 10 * ms, 20 * ms}[config%4]
	}
	switch payload[0] & 3 {
	case 0:
		return frame
	case 1, 2:
		return 2 * frame
	}
	const longest = 120 * ms
	if len(payload) < 2 || int(payload[1]&0x3F)*frame > longest {
		return 0
	}
	return int(payload[1]&0x3F) * frame
}

// silence gives the byte of a silent sample.
func (c Codec) silence() byte {
	if c == PCMA {
		return 0xD5
	}
	return 0xFF
}

// translate rewrites audio of codec from, in place, as codec to: both of G.711.
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
