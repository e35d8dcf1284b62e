package media

import (
	"math"
	"math/cmplx"
	"time"
)

// The frequencies of keys sent as tones (ITU-T Q.23): a row and a column sound
// together.
var (
	toneRows    = [4]float64{697, 770, 852, 941}
	toneColumns = [4]float64{1209, 1336, 1477, 1633}
)

// toneKeys gives the event code (an index of keyNames) by row and column.
var toneKeys = [4][4]uint8{
	{1, 2, 3, 12},
	{4, 5, 6, 13},
	{7, 8, 9, 14},
	{10, 0, 11, 15},
}

const (
	toneHop    = 80  // samples between two looks: 10 ms
	toneWindow = 160 // samples looked at: 20 ms
	toneSpan   = toneWindow + toneHop
	tonePiece  = 40 // and the pieces that must be about as loud as each other: 5 ms
	toneMisses = 3  // looks without a tone that end a key: 10 ms of it may be missing

	toneHopTime = toneHop * sampleTime
)

// What is a key, between what Q.24 says must be taken for one (levels of 0 to
// -25 dBm, frequencies 1.5 % and 2 Hz off, the column 4 dB louder to 8 dB
// softer than the row, 40 ms) and what must not (-29 dBm, 3.5 % off, 23 ms).
const (
	toneLeast     = -27. // dBm0 of each of the two
	toneTwistUp   = 5.5  // dB, column over row
	toneTwistDown = -9.5
	toneOffShare  = .015 // of the frequency
	toneOff       = 4.5  // Hz, and that
	toneShare     = .92  // of all that is heard
	tonePieceLow  = .60  // of the mean of the pieces
	toneSwing     = 1.3  // between the powers of two looks
	toneStay      = .30  // of the power with which it began
)

// toneFullScale is the level of the loudest sine that G.711 carries, in dBm0.
const toneFullScale = 3.17

// toneDetector hears the keys that a far end sends as tones among its audio,
// for legs whose far end does not send telephone events. Every 10 ms it looks
// at the last 20 with the eight filters of Goertzel. The phase between two looks
// tells the frequency to a few Hz, which speech seldom holds in two places at
// once; that, and that next to nothing else is to be heard, keeps it from
// taking a voice or music for a key.
type toneDetector struct {
	samples [toneSpan]float64 // the last 30 ms
	filled  int               // of them, from the end
	fresh   int               // since the last look
	pieces  [toneSpan / tonePiece]float64

	before toneLook // the look before
	on     bool     // a key sounds
	code   uint8
	row    float64 // the powers with which it began
	column float64
	looks  int // of 10 ms, that it has sounded
	misses int // since it was last heard
}

// toneLook is what one look sees: the strongest row and column.
type toneLook struct {
	seen        bool
	row, column int
	rowAt       complex128
	columnAt    complex128
	total       float64 // energy in the window
}

// hear takes audio in order and tells the keys in it.
func (d *toneDetector) hear(pcm []int16, tell func(Event)) {
	for len(pcm) > 0 {
		n := min(len(pcm), toneHop-d.fresh)
		copy(d.samples[:], d.samples[n:])
		for i, sample := range pcm[:n] {
			d.samples[toneSpan-n+i] = float64(sample)
		}
		pcm = pcm[n:]
		d.filled = min(d.filled+n, toneSpan)
		if d.fresh += n; d.fresh == toneHop {
			d.fresh = 0
			d.step(tell)
		}
	}
}

// skip says that audio is missing: what comes next is not joined to what was. A
// key that sounds may go on after it.
func (d *toneDetector) skip() {
	d.filled, d.fresh, d.before = 0, 0, toneLook{}
}

// reset forgets all, and ends the key that sounds.
func (d *toneDetector) reset(tell func(Event)) {
	d.finish(tell)
	d.skip()
}

// step takes a look and draws the conclusions.
func (d *toneDetector) step(tell func(Event)) {
	if d.filled < toneWindow {
		return
	}
	look := d.look()
	switch code, begins := d.begins(&look); {
	case begins && !(d.on && d.code == code):
		d.finish(tell)
		d.on, d.code, d.looks, d.misses = true, code, toneSpan/toneHop, 0
		d.row, d.column = norm(look.rowAt), norm(look.columnAt)
		tell(KeyDown{rune(keyNames[code])})
	case d.on && d.stays(&look):
		d.looks += 1 + d.misses
		d.misses = 0
	case d.on:
		if d.misses++; d.misses == toneMisses {
			d.finish(tell)
		}
	}
	d.before = look
}

// finish ends the key that sounds, if one does.
func (d *toneDetector) finish(tell func(Event)) {
	if d.on {
		d.on = false
		tell(Key{Key: rune(keyNames[d.code]), Length: time.Duration(d.looks) * toneHopTime})
	}
}

// toneShape is the window of a look (Hann), which keeps row and column apart.
var toneShape = func() (w [toneWindow]float64) {
	for i := range w {
		w[i] = .5 - .5*math.Cos(2*math.Pi*(float64(i)+.5)/toneWindow)
	}
	return w
}()

// tonePower is what norm gives for a sine of toneLeast.
var tonePower = func() float64 {
	return math.Pow(toneAmplitude(toneLeast)*toneWindow/4, 2)
}()

// toneAmplitude gives the amplitude of a sine of a level in dBm0.
func toneAmplitude(level float64) float64 {
	return muClip * math.Pow(10, (level-toneFullScale)/20)
}

// look filters the window, unless it is too quiet for a key.
func (d *toneDetector) look() toneLook {
	var shaped [toneWindow]float64
	var l toneLook
	for i, sample := range d.samples[toneSpan-toneWindow:] {
		shaped[i] = sample * toneShape[i]
		l.total += shaped[i] * shaped[i]
	}
	if asTone(l.total) < tonePower {
		return l
	}
	l.row, l.rowAt = strongest(&shaped, &toneRows, &rowTurns)
	l.column, l.columnAt = strongest(&shaped, &toneColumns, &columnTurns)
	l.seen = norm(l.rowAt) >= tonePower && norm(l.columnAt) >= tonePower
	return l
}

// asTone gives the power that a window's energy would have, were it all one
// tone.
func asTone(energy float64) float64 { return energy * toneWindow / 3 }

// begins tells whether a key has begun to sound, with this look and the one
// before.
func (d *toneDetector) begins(l *toneLook) (code uint8, ok bool) {
	b := &d.before
	if !l.seen || !b.seen || d.filled < toneSpan || l.row != b.row || l.column != b.column {
		return 0, false
	}
	row, rowTuned := d.tuned(b.rowAt, l.rowAt, toneRows[l.row])
	column, columnTuned := d.tuned(b.columnAt, l.columnAt, toneColumns[l.column])
	if !rowTuned || !columnTuned || row+column < toneShare*asTone(l.total) {
		return 0, false
	}
	if swing(norm(b.rowAt), norm(l.rowAt)) || swing(norm(b.columnAt), norm(l.columnAt)) {
		return 0, false
	}
	if twist := 10 * math.Log10(column/row); twist > toneTwistUp || twist < toneTwistDown {
		return 0, false
	}
	return toneKeys[l.row][l.column], d.steady()
}

// tuned tells whether a tone has its frequency, by how far its phase has turned
// between two looks, and what its power would be on the exact frequency.
func (d *toneDetector) tuned(before, now complex128, hz float64) (power float64, ok bool) {
	turn := cmplx.Phase(now*cmplx.Conj(before)) - 2*math.Pi*hz*toneHop/sampleRate
	off := math.Remainder(turn, 2*math.Pi) / (2 * math.Pi) * sampleRate / toneHop
	bins := off * toneWindow / sampleRate
	loss := 1 - .6*bins*bins // of the window's shape, near its middle
	return norm(now) / (loss * loss), math.Abs(off) <= toneOffShare*hz+toneOff
}

// swing tells whether a tone is not as loud as it was a look before.
func swing(before, now float64) bool {
	return now > toneSwing*before || before > toneSwing*now
}

// steady tells whether the last 30 ms were about as loud throughout: a shorter
// tone is no key.
func (d *toneDetector) steady() bool {
	var sum float64
	for i := range d.pieces {
		var energy float64
		for _, sample := range d.samples[i*tonePiece:][:tonePiece] {
			energy += sample * sample
		}
		d.pieces[i] = energy
		sum += energy
	}
	least := tonePieceLow * sum / float64(len(d.pieces))
	for _, energy := range d.pieces {
		if energy < least {
			return false
		}
	}
	return true
}

// stays tells whether the key that sounds is still to be heard.
func (d *toneDetector) stays(l *toneLook) bool {
	return l.seen && toneKeys[l.row][l.column] == d.code &&
		norm(l.rowAt) >= toneStay*d.row && norm(l.columnAt) >= toneStay*d.column
}

// norm is the square of a complex number's magnitude.
func norm(c complex128) float64 { return real(c)*real(c) + imag(c)*imag(c) }

// The factors of Goertzel's filters.
var (
	rowTurns    = turns(&toneRows)
	columnTurns = turns(&toneColumns)
)

func turns(hz *[4]float64) (c [4]float64) {
	for i := range c {
		c[i] = 2 * math.Cos(2*math.Pi*hz[i]/sampleRate)
	}
	return c
}

// strongest runs four of Goertzel's filters beside each other and gives the one
// that answers most, and its answer, turned by the tone's phase at the window's
// end.
func strongest(x *[toneWindow]float64, hz, turn *[4]float64) (int, complex128) {
	var a1, a2, b1, b2, c1, c2, d1, d2 float64
	ta, tb, tc, td := turn[0], turn[1], turn[2], turn[3]
	for _, sample := range x {
		a1, a2 = sample+ta*a1-a2, a1
		b1, b2 = sample+tb*b1-b2, b1
		c1, c2 = sample+tc*c1-c2, c1
		d1, d2 = sample+td*d1-d2, d1
	}
	last := [4][2]float64{{a1, a2}, {b1, b2}, {c1, c2}, {d1, d2}}
	best, most := 0, -1.
	for i, s := range last {
		if power := s[0]*s[0] + s[1]*s[1] - turn[i]*s[0]*s[1]; power > most {
			best, most = i, power
		}
	}
	sin, cos := math.Sincos(2 * math.Pi * hz[best] / sampleRate)
	s := last[best]
	return best, complex(s[0]-s[1]*cos, s[1]*sin)
}
