package media

import "net/netip"

// terms is what an offer and its answer agreed on: all that the running side of
// a leg knows of SDP. The zero terms say that nothing is agreed yet.
type terms struct {
	secure  *secure       // nil: plain RTP
	send    bool          // the far end wants to hear us
	hear    bool          // it will speak
	codec   Codec         // the first agreed on: what it would have
	voice   Codec         // the one in which we play; 0: it takes none that we can make
	takes   [codecs]uint8 // the number of each codec with the far end, and one; 0: it does not take it
	receive [128]Codec    // what each payload type that may come in stands for

	far  netip.AddrPort // where the far end expects us; not valid on an old-style hold
	rtcp netip.AddrPort // and our RTCP
	mux  bool           // that is one port
}

// agreed tells whether there has been an offer and an answer.
func (t *terms) agreed() bool { return t.codec != 0 }

// add lets a format be sent to the far end. The first that is audio is the
// codec, the first in which we can play the voice; of two numbers for one codec
// the first counts.
func (t *terms) add(f format) {
	if t.takes[f.codec] == 0 {
		t.takes[f.codec] = f.number + 1
	}
	if t.codec == 0 && !f.codec.isKeys() {
		t.codec = f.codec
	}
	if t.voice == 0 && f.codec.playable() {
		t.voice = f.codec
	}
}

// number gives the payload type of a codec with the far end. False: it does not
// take it.
func (t *terms) number(c Codec) (uint8, bool) { return t.takes[c] - 1, t.takes[c] != 0 }

// keysFor gives the telephone events to send beside audio on a clock: on the same,
// or, to a far end that has them on another alone, on that. Zero: it takes none.
func (t *terms) keysFor(clock int) Codec {
	keys := [...]Codec{telephoneEvent, telephoneEvent48}
	for _, k := range keys {
		if t.takes[k] != 0 && k.clock() == clock {
			return k
		}
	}
	for _, k := range keys {
		if t.takes[k] != 0 {
			return k
		}
	}
	return 0
}

// keys tells whether telephone events may be sent.
func (t *terms) keys() bool { return t.keysFor(sampleRate) != 0 }

// pressable tells whether keys may be sent, as telephone events or as tones.
func (t *terms) pressable() bool { return t.keys() || t.voice != 0 }
