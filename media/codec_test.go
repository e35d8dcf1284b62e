package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpusUnits(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		ms      float64
	}{
		{[]byte{0 << 3}, 10}, {[]byte{3 << 3}, 60}, {[]byte{9 << 3, 0}, 20}, {[]byte{12 << 3}, 10}, {[]byte{15 << 3}, 20},
		{[]byte{16 << 3}, 2.5}, {[]byte{31 << 3}, 20}, {[]byte{31<<3 | 1}, 40}, {[]byte{31<<3 | 2}, 40},
		{[]byte{31<<3 | 3, 6}, 120}, {[]byte{31<<3 | 3, 7}, 0}, {[]byte{31<<3 | 3}, 0}, {nil, 0}, {[]byte{3<<3 | 3, 0xC2}, 120},
	} {
		if got := Opus.units(c.payload); got != int(c.ms*48) {
			t.Errorf("%x lasts %d units, want %v ms", c.payload, got, c.ms)
		}
	}
}

// passing makes a leg whose far end has agreed on a codec that is passed on,
// and, if wished, G.711 and keys on both clocks beside it.
func passing(t *testing.T, e *Engine, c Codec, number uint8, near *Leg, more ...string) (*Leg, *farEnd) {
	t.Helper()
	leg, err := e.NewLeg(LegOptions{Prefer: []Codec{c, PCMU}, Near: near})
	if err != nil {
		t.Fatal(err)
	}
	far := newFarEnd(t)
	formats, extra := fmt.Sprint(number), []string{fmt.Sprintf("a=rtpmap:%d %s", number, c.rtpmap())}
	for _, f := range more {
		formats += " " + f
	}
	offer := farBody(append([]string{fmt.Sprintf("m=audio %d RTP/AVP %s", far.address.Port(), formats), "c=IN IP4 127.0.0.1",
		"a=rtpmap:101 telephone-event/8000", "a=rtpmap:110 telephone-event/48000"}, extra...)...)
	if _, err := leg.Answer(offer); err != nil {
		t.Fatal(err)
	}
	if leg.Codec() != c {
		t.Fatalf("agreed on %v, want %v", leg.Codec(), c)
	}
	far.to.set(leg.LocalAddr())
	return leg, far
}

// What two far ends have agreed on in common passes byte for byte, under each
// one's payload type, on the codec's own clock.
func TestBridgePassesCodecsUntouched(t *testing.T) {
	for _, c := range []struct {
		codec  Codec
		packet func(n int) []byte
		units  uint32
	}{
		{G722, func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 160) }, 160},
		{Opus, func(n int) []byte { return append([]byte{31 << 3}, bytes.Repeat([]byte{byte(n)}, 20+n%60)...) }, 960},
		{Opus, func(n int) []byte { return append([]byte{31<<3 | 1}, bytes.Repeat([]byte{byte(n)}, 100)...) }, 1920},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := testEngine(t)
			a, farA := passing(t, e, c.codec, 96, nil)
			b, farB := passing(t, e, c.codec, 120, a)
			if err := a.Bridge(b); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			farA.hear(0)
			farB.hear(0)
			const packets = 60
			for n := range packets {
				farA.send(header{payloadType: 96, timestamp: farA.timestamp}, c.packet(n))
				farA.timestamp += c.units
				time.Sleep(time.Duration(c.units) * time.Second / time.Duration(c.codec.clock()))
			}
			time.Sleep(2 * frameTime)
			synctest.Wait()
			heard := farB.hear(packets)
			if len(heard) != packets {
				t.Fatalf("%v: heard %d packets of %d", c.codec, len(heard), packets)
			}
			for n, p := range heard {
				if !bytes.Equal(p.payload(), c.packet(n)) || p.payloadType != 120 {
					t.Fatalf("%v: packet %d came as %d %x", c.codec, n, p.payloadType, p.payload())
				}
				if n > 0 && (p.timestamp-heard[n-1].timestamp != c.units || p.sequence-heard[n-1].sequence != 1 || p.ssrc != heard[0].ssrc) {
					t.Fatalf("%v: packet %d is numbered %+v after %+v", c.codec, n, p, heard[n-1])
				}
			}
		})
	}
}

// A leg in Opus that has G.711 beside it hears a prompt in G.711, as a stream of
// its own on that clock, and then its peer in Opus again.
func TestPromptWithinOpus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		a, farA := passing(t, e, Opus, 96, nil, "0")
		b, farB := passing(t, e, Opus, 96, a, "0")
		if err := a.Bridge(b); err != nil {
			t.Fatal(err)
		}
		speak := func(packets int) []packet {
			synctest.Wait()
			farB.hear(0)
			for range packets {
				farA.send(header{payloadType: 96, timestamp: farA.timestamp}, []byte{31 << 3, 1, 2, 3})
				farA.timestamp += 960
				time.Sleep(frameTime)
			}
			synctest.Wait()
			return farB.hear(0)
		}
		if !b.CanPlay() {
			t.Fatal("G.711 was agreed on, and cannot be played")
		}
		before := speak(10)
		clip := count(0, 10*frameSize)
		playing := b.Play(clip)
		during := speak(10)
		if done := next(t, b); done != (PlayDone{playing}) {
			t.Errorf("told %#v", done)
		}
		after := speak(10)
		for name, heard := range map[string][]packet{"before": before, "after": after} {
			if len(heard) < 8 {
				t.Fatalf("%s the prompt %d packets were heard", name, len(heard))
			}
			for _, p := range heard {
				if p.payloadType != 96 || !bytes.Equal(p.payload(), []byte{31 << 3, 1, 2, 3}) {
					t.Errorf("%s the prompt came %d %x", name, p.payloadType, p.payload())
				}
			}
		}
		prompt := slices.DeleteFunc(slices.Clone(during), func(p packet) bool { return p.payloadType != 0 })
		if !bytes.Contains(audio(t, prompt), clip.mu) {
			t.Error("the prompt was not heard whole")
		}
		if ssrc := prompt[0].ssrc; ssrc == before[0].ssrc || ssrc == after[len(after)-1].ssrc {
			t.Error("one SSRC on two clocks")
		}
	})
}

// A leg in Opus alone cannot be played to: nothing is sent, and the end is told in
// time. Nor does it hear a peer that speaks G.711.
func TestNothingIsSentThatCannotBeHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		opus, far := passing(t, e, Opus, 96, nil)
		if opus.CanPlay() {
			t.Error("Opus alone, and can be played")
		}
		began := time.Now()
		playing := opus.Play(Tone(440, time.Second))
		if done := next(t, opus); done != (PlayDone{playing}) || time.Since(began) < time.Second {
			t.Errorf("told %#v after %v", done, time.Since(began))
		}
		plain, speaker := call(t, e, PCMU, LegOptions{Near: opus})
		if err := opus.Bridge(plain); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			speaker.say(PCMU, make([]byte, frameSize))
			time.Sleep(frameTime)
		}
		synctest.Wait()
		if heard := far.hear(0); len(heard) > 0 {
			t.Errorf("heard %d packets in a codec never agreed on", len(heard))
		}
		if got := plain.Stats().Unheard; got != 10 {
			t.Errorf("%d packets counted as not to be heard, want 10", got)
		}
	})
}

// A key goes over from one payload type and clock rate to another, in both
// directions, and is heard here with its length.
func TestKeysChangeTheirClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		narrow, farNarrow := call(t, e, PCMU, LegOptions{}) // keys as 97, 8 kHz
		wide, farWide := passing(t, e, Opus, 96, narrow, "110")
		if err := narrow.Bridge(wide); err != nil {
			t.Fatal(err)
		}
		farWide.send(header{payloadType: 96, timestamp: farWide.timestamp}, []byte{31 << 3, 1})
		time.Sleep(3 * frameTime)
		synctest.Wait()
		farNarrow.hear(0)
		farWide.hear(0)
		press := func(far *farEnd, payloadType uint8, rate int) {
			for n := range 5 {
				p := eventPacket(0, 0, 7, n == 4, (n+1)*rate/50)
				far.send(header{payloadType: payloadType, timestamp: far.timestamp, marker: n == 0}, p.payload())
				time.Sleep(frameTime)
			}
			far.timestamp += uint32(rate)
			synctest.Wait()
		}
		keysOf := func(heard []packet, payloadType uint8) (durations []int) {
			for _, p := range heard {
				if p.payloadType == payloadType {
					durations = append(durations, int(binary.BigEndian.Uint16(p.payload()[2:])))
					if p.timestamp != heard[0].timestamp && p.payloadType == heard[0].payloadType {
						t.Errorf("one key bears several timestamps")
					}
				}
			}
			return durations
		}
		press(farWide, 110, 48000)
		if got := keysOf(farNarrow.hear(5), 97); !slices.Equal(got, []int{160, 320, 480, 640, 800}) {
			t.Errorf("48 kHz to 8 kHz: durations %v", got)
		}
		press(farNarrow, 97, 8000)
		if got := keysOf(farWide.hear(5), 110); !slices.Equal(got, []int{960, 1920, 2880, 3840, 4800}) {
			t.Errorf("8 kHz to 48 kHz: durations %v", got)
		}
		for _, leg := range []*Leg{wide, narrow} {
			if e := next(t, leg); e != (KeyDown{'7'}) {
				t.Errorf("told %#v", e)
			}
			if e := next(t, leg); e != (Key{'7', 100 * time.Millisecond}) {
				t.Errorf("told %#v, want a key of 100 ms", e)
			}
		}
		// Our own key, on the wide leg's clock.
		if err := wide.SendKeys("5"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := keysOf(farWide.hear(5), 110); len(got) != keyPackets+keyEnds-1 || got[len(got)-1] != 5*960 {
			t.Errorf("our own key on 48 kHz: durations %v", got)
		}
	})
}

// TestLongKeyOnAnotherClock holds a key for so long that it takes several events on
// the phone's clock, and lets packets of the press before come late: to the far end on
// the other clock each press is one.
func TestLongKeyOnAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEngine(t)
		narrow, farNarrow := call(t, e, PCMU, LegOptions{}) // keys as 97, 8 kHz
		wide, farWide := passing(t, e, Opus, 96, narrow, "110")
		if err := narrow.Bridge(wide); err != nil {
			t.Fatal(err)
		}
		farWide.send(header{payloadType: 96, timestamp: farWide.timestamp}, []byte{31 << 3, 1})
		at := farWide.timestamp
		say := func(code uint8, timestamp uint32, marker, end bool, length int) {
			farWide.send(header{payloadType: 110, timestamp: timestamp, marker: marker}, eventPacket(0, 0, code, end, length).payload())
			time.Sleep(frameTime)
		}
		say(3, at, true, false, 960)
		say(3, at, false, true, 1920)
		seven, length := at+9600, 0
		for n := range 150 { // three seconds
			if length += 960; length > int(keyMaximum) {
				say(7, seven, false, false, int(keyMaximum))
				seven, length = seven+keyMaximum, length-int(keyMaximum)
			}
			say(7, seven, n == 0, n >= 149, length)
			if n < 2 {
				say(3, at, false, true, 1920)
			}
			if n == 70 {
				say(7, at+9600, false, false, int(keyMaximum))
			}
		}
		say(7, seven, false, true, length)
		synctest.Wait()
		var far keyReader
		var heard []Event
		for _, p := range farNarrow.hear(0) {
			if p.payloadType == 97 {
				far.read(&p, sampleRate, 0, func(e Event) { heard = append(heard, e) })
			}
		}
		want := []Event{KeyDown{'3'}, Key{'3', 40 * time.Millisecond}, KeyDown{'7'}, Key{'7', 3 * time.Second}}
		if !slices.Equal(heard, want) {
			t.Errorf("the far end reads %v, want %v", heard, want)
		}
		for _, w := range want {
			if e := next(t, wide); e != w {
				t.Errorf("told %v, want %v", e, w)
			}
		}
	})
}

func TestKeyTooLongForItsClock(t *testing.T) {
	payload := []byte{5, 0x8A, 0x40, 0} // 16384 units of 8 kHz
	keyOnClock(payload, 0, 8000, 48000)
	if got := binary.BigEndian.Uint16(payload[2:]); got != 65535 || payload[1] != 0x8A {
		t.Errorf("became %x", payload)
	}
}
