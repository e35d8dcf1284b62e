package media

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A text telephone (TTY) sends five-bit characters by frequency shift (ITU-T V.18 annex A,
// TIA-825): a 1 is 1400 Hz, a 0 is 1800 Hz, each bit 22 ms (20 ms in some countries).
// Between what is typed the carrier goes on for a moment, and then drops.
const (
	ttyMark, ttySpace = 1400., 1800. // Hz
	ttyHold           = 200 * time.Millisecond
)

// tty is how one sounds.
type tty struct {
	baud  float64
	level float64 // dBm0
	off   float64 // Hz beside the frequencies
}

// types gives the sound of so many characters, as they are typed in one go.
func (y tty) types(random *rand.Rand, characters int) []int16 {
	var pcm []int16
	phase, ends := 0., 0.
	tone := func(hz, samples float64) {
		for ends += samples; float64(len(pcm)) < ends; {
			phase += 2 * math.Pi * (hz + y.off) / sampleRate
			pcm = append(pcm, int16(toneAmplitude(y.level)*math.Sin(phase)))
		}
	}
	bit := sampleRate / y.baud
	tone(ttyMark, ttyHold.Seconds()*sampleRate)
	for range characters {
		tone(ttySpace, bit) // the start
		for code, n := random.IntN(32), 0; n < 5; n++ {
			tone([]float64{ttySpace, ttyMark}[code>>n&1], bit)
		}
		tone(ttyMark, 2*bit) // the stop
	}
	tone(ttyMark, ttyHold.Seconds()*sampleRate)
	return pcm
}

// inFrames encodes sound to whole packets, silence at its end.
func inFrames(pcm []int16, c Codec) (frames [][]byte) {
	for len(pcm) > 0 {
		frame := bytes.Clone(c.quiet())
		n := min(len(pcm), frameSize)
		encode(frame[:n], pcm[:n], c)
		frames, pcm = append(frames, frame), pcm[n:]
	}
	return frames
}

// conversation is what one side of a talk of TTYs sends, packet by packet; nil is 20 ms
// without a packet. It begins with silence, as phones do, and drops its carrier as
// silence, and last by sending nothing, as a phone does that suppresses silence. In its
// midst every byte there is comes, both zeros of the law among them, and a packet is lost.
func conversation(y tty, seed uint64, c Codec) (frames [][]byte, lost int) {
	random := rand.New(rand.NewPCG(seed, seed))
	quiet := func(n int) (q [][]byte) {
		for range n {
			q = append(q, c.quiet())
		}
		return q
	}
	every := make([]byte, 2*frameSize)
	for i := range every {
		every[i] = byte(i)
	}
	frames = append(quiet(5), inFrames(y.types(random, 10), c)...)
	frames = append(frames, quiet(20)...)
	frames = append(frames, every[:frameSize], every[frameSize:])
	lost = len(frames) + 15
	frames = append(frames, inFrames(y.types(random, 10), c)...)
	frames = append(frames, make([][]byte, 20)...)
	return append(frames, inFrames(y.types(random, 5), c)...), lost
}

// TestTTYPassesUnaltered holds that what a text telephone, or a relay service, says
// in G.711 arrives as it was said when both sides have the same law: each byte, in
// order and in its place, no packet made up for a lost one. Only where nothing is sent
// for a while silence stands.
func TestTTYPassesUnaltered(t *testing.T) {
	for _, c := range []Codec{PCMU, PCMA} {
		for _, shared := range []bool{false, true} {
			for _, events := range []bool{true, false} { // without, tones are listened to for keys
				t.Run(c.String()+" shared "+strconv.FormatBool(shared)+" events "+strconv.FormatBool(events), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { ttyTalk(t, c, shared, events) })
				})
			}
		}
	}
}

func ttyTalk(t *testing.T, c Codec, shared, events bool) {
	e := sharingEngine(t, 1, 2)
	a, farA := ttyLeg(t, e, c, shared, events)
	b, farB := ttyLeg(t, e, c, shared, events)
	if a.shares() != shared || b.shares() != shared {
		t.Fatalf("legs share ports: %v, %v", a.shares(), b.shares())
	}
	if err := a.Bridge(b); err != nil {
		t.Fatal(err)
	}
	if !shared { // and recorded
		recording, err := b.Record(tape(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := recording.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	synctest.Wait()
	farA.hear(0)
	farB.hear(0)
	saysA, lost := conversation(tty{baud: 45.45, level: -10}, 1, c)
	saysB, _ := conversation(tty{baud: 45.45, level: -10}, 2, c)
	for i := range saysA {
		for far, says := range map[*farEnd][][]byte{farA: saysA, farB: saysB} {
			switch {
			case says[i] == nil:
				far.timestamp += uint32(frameSize)
			case i == lost:
				far.sequence++
				far.timestamp += uint32(frameSize)
			default:
				far.say(c, says[i])
			}
		}
		time.Sleep(frameTime)
	}
	time.Sleep(frameTime)
	synctest.Wait()
	for far, says := range map[*farEnd][][]byte{farA: saysB, farB: saysA} {
		hearsTTY(t, far.hear(0), says, lost, c)
	}
	quietLeg(t, a)
	quietLeg(t, b)
}

// ttyLeg is a leg whose far end has been heard, with or without telephone events.
func ttyLeg(t *testing.T, e *Engine, c Codec, shared, events bool) (*Leg, *farEnd) {
	leg, err := e.NewLeg(LegOptions{Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	far := newFarEnd(t)
	offer := string(far.offer(c))
	if !events {
		head, _, _ := strings.Cut(offer, " 97\r\n")
		offer = head + "\r\n"
	}
	if _, err := leg.Answer([]byte(offer)); err != nil {
		t.Fatal(err)
	}
	far.to.set(leg.LocalAddr())
	heard(leg, far)
	return leg, far
}

// hearsTTY holds what a far end heard against what the other said: bytes, order, and
// each packet's distance from the one before.
func hearsTTY(t *testing.T, heard []packet, says [][]byte, lost int, c Codec) {
	t.Helper()
	var before packet
	at, silence := -1, 0 // at: in says, where before is; -1: not to be compared
	for i, said := range says {
		if said == nil || i == lost {
			continue
		}
		if says[max(0, i-1)] == nil { // silence of ours, and no more of it than nothing was sent
			for len(heard) > 0 && bytes.Equal(heard[0].payload(), c.quiet()) {
				heard = heard[1:]
				silence++
			}
			if unsent := i - 1 - at; silence == 0 || silence > unsent {
				t.Errorf("%d packets of silence while nothing was sent for %d", silence, unsent)
			}
			at = -1
		}
		if len(heard) == 0 || !bytes.Equal(heard[0].payload(), said) {
			t.Fatalf("packet %d of %d is not heard as it was said", i, len(says))
		}
		p := heard[0]
		if apart := i - at; at >= 0 && (int(p.sequence-before.sequence) != apart || int(p.timestamp-before.timestamp) != apart*frameSize) {
			t.Errorf("packet %d: sequence %d timestamp %d after %d %d", i, p.sequence, p.timestamp, before.sequence, before.timestamp)
		}
		at, before, heard = i, p, heard[1:]
	}
	if len(heard) > 0 {
		t.Errorf("%d packets more than were said", len(heard))
	}
}

// TestTTYIsNoKey listens to text telephones, loud and soft, a little off their
// frequencies, and over noise of the line.
func TestTTYIsNoKey(t *testing.T) {
	for _, baud := range []float64{45.45, 50} {
		for _, level := range []float64{0, -10, -25} {
			for _, off := range []float64{-21, 0, 21} { // 1.5 %
				random := rand.New(rand.NewPCG(uint64(baud), uint64(off+100)))
				pcm := tty{baud, level, off}.types(random, 40)
				for i := range pcm {
					pcm[i] = muDecode[encodeMu(pcm[i]+int16(random.NormFloat64()*toneAmplitude(level-25)))]
				}
				if downs, _ := detect(pcm); len(downs) > 0 {
					t.Errorf("%v baud at %v dBm0, %v Hz off: %v", baud, level, off, downs)
				}
			}
		}
	}
}
