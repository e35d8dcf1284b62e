package media

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// How a key of ours sounds, in packets of 20 ms.
const (
	keyPackets  = 5  // 100 ms of tone
	keyEnds     = 3  // the last packet is sent three times (RFC 4733, section 2.5.1.4)
	keyPause    = 3  // and 60 ms of audio before the next key
	keySize     = 4  // bytes of a packet's payload
	keyLoudness = 10 // dB below 1 mW, as phones send it
)

// How a key sounds as a tone, for a far end that takes no telephone events: as
// phones send it, the column a little louder.
const (
	toneRowLevel    = -10. // dBm0
	toneColumnLevel = -8.
)

// keyWriter sends keys as telephone events or as tones, one packet a turn.
type keyWriter struct {
	codes     []uint8 // still to be sent
	turn      int     // of the first of them
	timestamp uint32  // of its event
}

// keyCodes turns keys into event codes.
func keyCodes(keys string) ([]uint8, error) {
	codes := make([]uint8, 0, len(keys))
	for _, key := range strings.ToUpper(keys) {
		code := strings.IndexRune(keyNames, key)
		if code < 0 {
			return nil, fmt.Errorf("media: no such key: %q", key)
		}
		codes = append(codes, uint8(code))
	}
	return codes, nil
}

// keyCode gives the event code of a key, which is one of the sixteen.
func keyCode(key rune) uint8 { return uint8(strings.IndexRune(keyNames, key)) }

// keyRoom is how many keys may wait to be sent.
const keyRoom = 64

// add sends a key after those that wait, if they are not too many. It allocates
// nothing.
func (w *keyWriter) add(code uint8) {
	if len(w.codes) < cap(w.codes) {
		w.codes = append(w.codes, code)
	}
}

// stop forgets the keys that wait.
func (w *keyWriter) stop() { w.codes, w.turn = w.codes[:0], 0 }

// waiting tells whether there is a key to be sent, or a pause after one.
func (w *keyWriter) waiting() bool { return len(w.codes) > 0 }

// sounding tells whether this turn belongs to a key, so that audio is
// withheld.
func (w *keyWriter) sounding() bool {
	return len(w.codes) > 0 && w.turn < keyPackets+keyEnds-1
}

// rest counts a turn in which audio is sent.
func (w *keyWriter) rest() {
	if len(w.codes) == 0 {
		return
	}
	if w.turn++; w.turn >= keyPackets+keyEnds-1+keyPause {
		w.turn = 0
		w.codes = w.codes[:copy(w.codes, w.codes[1:])]
	}
}

// write makes this turn's packet: its payload into the first four bytes of
// payload, its length counted on the clock of keys, its numbers from the sender.
func (w *keyWriter) write(payload []byte, keys Codec, out *sender, clock int64) header {
	marker := w.turn == 0
	if marker {
		w.timestamp = out.stamp(clock, keyPackets*frameSize)
	}
	w.turn++
	payload[0], payload[1] = w.codes[0], keyLoudness
	if w.turn >= keyPackets {
		payload[1] |= 0x80
	}
	binary.BigEndian.PutUint16(payload[2:], uint16(min(w.turn, keyPackets)*frameSize*keys.clock()/sampleRate))
	out.spurt = true
	return out.own(w.timestamp, marker)
}

// keyOnClock rewrites the length in an event's payload from one clock to
// another, in place, with that of the segments before. One too long to be written
// there stays at the longest: the key ends all the same.
func keyOnClock(payload []byte, before, from, to int) {
	if from == to || len(payload) < 4 {
		return
	}
	length := (before + int(binary.BigEndian.Uint16(payload[2:]))) * to / from
	binary.BigEndian.PutUint16(payload[2:], uint16(min(length, int(keyMaximum))))
}

// sound makes this turn's 20 ms of the key as a tone, in a codec of G.711; after
// it comes some silence.
func (w *keyWriter) sound(audio []byte, c Codec) {
	var pcm [frameSize]int16
	if w.turn < keyPackets {
		row, column := toneOf(w.codes[0])
		low, high := toneAmplitude(toneRowLevel), toneAmplitude(toneColumnLevel)
		for i := range pcm {
			at := float64(w.turn*frameSize + i)
			edge := min(1, (at+1)/blend, (keyPackets*float64(frameSize)-at)/blend)
			at *= 2 * math.Pi / sampleRate
			pcm[i] = int16(edge * (low*math.Sin(at*row) + high*math.Sin(at*column)))
		}
	}
	w.turn++
	encode(audio, pcm[:], c)
}

// toneOf gives the frequencies of a key.
func toneOf(code uint8) (row, column float64) {
	for r := range toneKeys {
		for c := range toneKeys[r] {
			if toneKeys[r][c] == code {
				return toneRows[r], toneColumns[c]
			}
		}
	}
	return 0, 0
}
