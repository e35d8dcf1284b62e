package media

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// event makes a telephone event's packet.
func eventPacket(ssrc, timestamp uint32, code uint8, end bool, duration int) *packet {
	body := make([]byte, headerSize+4)
	body[headerSize] = code
	if end {
		body[headerSize+1] = 0x80
	}
	binary.BigEndian.PutUint16(body[headerSize+2:], uint16(duration))
	return &packet{ssrc: ssrc, timestamp: timestamp, body: body}
}

func TestKeyReader(t *testing.T) {
	type arrival struct {
		at int64 // beat
		p  *packet
	}
	press := func(code uint8, at int64, timestamp uint32) []arrival {
		return []arrival{
			{at, eventPacket(1, timestamp, code, false, 160)},
			{at + 2, eventPacket(1, timestamp, code, false, 320)},
			{at + 4, eventPacket(1, timestamp, code, true, 480)},
			{at + 6, eventPacket(1, timestamp, code, true, 480)},
			{at + 8, eventPacket(1, timestamp, code, true, 480)},
		}
	}
	one := []Event{KeyDown{'1'}, Key{'1', 60 * time.Millisecond}}
	twice := press(1, 0, 1000)
	for _, c := range []struct {
		name     string
		arrivals []arrival
		want     []Event
	}{
		{"a press", press(1, 0, 1000), one},
		{"its end alone", press(1, 0, 1000)[4:], one},
		{"its end first", slices.Concat(twice[2:3], twice[:2], twice[3:]), one},
		{"all twice", slices.Concat(twice, twice), one},
		{"the end lost", press(1, 0, 1000)[:2], []Event{KeyDown{'1'}, Key{'1', 40 * time.Millisecond}}},
		{"the end long after", []arrival{{0, eventPacket(1, 9, 1, false, 480)}, {40, eventPacket(1, 9, 1, true, 480)}}, one},
		{"the next key ends the one before", slices.Concat(press(1, 0, 1000)[:1], press(11, 4, 3000)),
			[]Event{KeyDown{'1'}, Key{'1', 20 * time.Millisecond}, KeyDown{'#'}, Key{'#', 60 * time.Millisecond}}},
		{"the same key twice", slices.Concat(press(1, 0, 1000), press(1, 20, 3000)), slices.Concat(one, one)},
		{"timestamps wrap", slices.Concat(press(1, 0, 1<<32-10), press(1, 20, 2000)), slices.Concat(one, one)},
		{"a late packet of the key before", slices.Concat(press(2, 0, 1000)[:3], press(1, 10, 3000), press(2, 0, 1000)[3:]),
			slices.Concat([]Event{KeyDown{'2'}, Key{'2', 60 * time.Millisecond}}, one)},
		{"a packet three seconds late", slices.Concat(press(2, 0, 50000)[:3], press(1, 10, 74000), press(2, 0, 50000)[3:]),
			slices.Concat([]Event{KeyDown{'2'}, Key{'2', 60 * time.Millisecond}}, one)},
		{"timestamps restart", slices.Concat(press(1, 0, 100000), press(1, 20, 5000), press(1, 40, 9000)), slices.Concat(one, one, one)},
		{"timestamps restart beyond a wrap", slices.Concat(press(1, 0, 1000), press(1, 20, 1<<32-100000)), slices.Concat(one, one)},
		{"another source", slices.Concat(press(1, 0, 1000), []arrival{{20, eventPacket(2, 1000, 1, true, 480)}}), slices.Concat(one, one)},
		{"flash is no key", []arrival{{0, eventPacket(1, 1, 16, true, 480)}}, nil},
		{"too short", []arrival{{0, &packet{body: make([]byte, headerSize+3)}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r keyReader
			var got []Event
			tell := func(e Event) { got = append(got, e) }
			var now int64
			for _, a := range c.arrivals {
				for ; now < a.at; now++ {
					r.tick(now, tell)
				}
				r.read(a.p, sampleRate, now, tell)
			}
			r.tick(now+keyBeats, tell)
			if !slices.Equal(got, c.want) {
				t.Errorf("told %v, want %v", got, c.want)
			}
		})
	}
}

func TestKeyReaderJoinsTheSegmentsOfALongPress(t *testing.T) {
	var r keyReader
	var got []Event
	tell := func(e Event) { got = append(got, e) }
	r.read(eventPacket(1, 500, 5, false, 160), sampleRate, 0, tell)
	r.read(eventPacket(1, 500, 5, false, 65535), sampleRate, 800, tell)
	r.read(eventPacket(1, 500+65535, 5, false, 160), sampleRate, 802, tell)
	r.read(eventPacket(1, 500, 5, false, 65535), sampleRate, 803, tell) // late, of the segment before
	r.read(eventPacket(1, 500+65535, 5, true, 8000), sampleRate, 900, tell)
	want := []Event{KeyDown{'5'}, Key{'5', (65535 + 8000) * sampleTime}}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// Ten thousand presses lose, repeat and reorder their packets: each of which
// any packet arrives is told once, no other ever.
func TestKeyReaderUnderLossRepetitionAndReordering(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	type arrival struct {
		at int
		p  *packet
	}
	var arrivals []arrival
	var want []rune
	at, timestamp := 0, random.Uint32()
	for range 10000 {
		code, packets := uint8(random.IntN(16)), 3+random.IntN(10)
		any := false
		for n := range packets + 2 {
			if random.IntN(3) == 0 {
				continue // lost
			}
			any = true
			duration := min(n+1, packets) * frameSize
			for range 1 + random.IntN(2) { // repeated
				late := random.IntN(4)
				arrivals = append(arrivals, arrival{at + n + late, eventPacket(1, timestamp, code, n+1 >= packets, duration)})
			}
		}
		if any {
			want = append(want, rune(keyNames[code]))
		}
		length := packets + 2 + 4 + random.IntN(10)
		at += length
		timestamp += uint32(length * frameSize)
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.at - b.at })

	var r keyReader
	var downs, keys []rune
	tell := func(e Event) {
		switch e := e.(type) {
		case KeyDown:
			downs = append(downs, e.Key)
		case Key:
			keys = append(keys, e.Key)
		}
	}
	now := 0
	for _, a := range arrivals {
		for ; now < a.at; now++ {
			r.tick(int64(now*phases), tell)
		}
		r.read(a.p, sampleRate, int64(now*phases), tell)
	}
	r.tick(int64(now*phases)+keyBeats, tell)
	if !slices.Equal(downs, want) || !slices.Equal(keys, want) {
		t.Errorf("%d presses: %d KeyDown, %d Key, or in another order", len(want), len(downs), len(keys))
	}
}

func TestKeyWriterIsReadBack(t *testing.T) {
	codes, err := keyCodes("15#d")
	if err != nil {
		t.Fatal(err)
	}
	w, out := keyWriter{codes: codes}, newSender(0)
	var r keyReader
	var got []Event
	packets := map[uint32]int{}
	var last header
	for turn := int64(0); turn < 60; turn++ {
		clock := turn * int64(frameSize)
		if !w.sounding() {
			w.rest()
			last = out.frame(clock)
			continue
		}
		body := make([]byte, headerSize+4)
		h := w.write(body[headerSize:], telephoneEvent, &out, clock)
		if turn > 0 && h.sequence != last.sequence+1 {
			t.Errorf("turn %d: sequence %d after %d", turn, h.sequence, last.sequence)
		}
		if first := packets[h.timestamp] == 0; h.marker != first {
			t.Errorf("turn %d: marker %v", turn, h.marker)
		}
		packets[h.timestamp]++
		last = h
		r.read(&packet{ssrc: h.ssrc, timestamp: h.timestamp, body: body}, sampleRate, turn*int64(phases), func(e Event) { got = append(got, e) })
	}
	var want []Event
	for _, key := range "15#D" {
		want = append(want, KeyDown{key}, Key{key, 100 * time.Millisecond})
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	for timestamp, n := range packets {
		if n != keyPackets+keyEnds-1 {
			t.Errorf("event at %d has %d packets, want %d", timestamp, n, keyPackets+keyEnds-1)
		}
	}
}

func TestKeyCodesRefusesOtherCharacters(t *testing.T) {
	if _, err := keyCodes("1x"); err == nil || err.Error() != `media: no such key: 'X'` {
		t.Errorf("error %v", err)
	}
}

// FuzzKeyReader throws telephone events at the reader: keys come down and end in
// turn, and each is over in the end.
func FuzzKeyReader(f *testing.F) {
	f.Add([]byte{5, 0, 1, 0, 5, 0, 1, 0, 5, 0x80, 2, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		var r keyReader
		var down rune
		tell := func(e Event) {
			switch e := e.(type) {
			case KeyDown:
				if down != 0 {
					t.Fatalf("%c comes down while %c is", e.Key, down)
				}
				down = e.Key
			case Key:
				if down != e.Key || e.Length < 0 {
					t.Fatalf("%c ends after %v, %c was down", e.Key, e.Length, down)
				}
				down = 0
			}
		}
		now, timestamp := int64(0), uint32(0)
		for ; len(script) >= 4; script = script[4:] {
			timestamp += uint32(int32(int8(script[2]))) * 160
			p := eventPacket(uint32(script[1]&1), timestamp, script[0], script[1]&0x80 != 0, int(script[3])*257)
			p.marker = script[1]&2 != 0
			r.read(p, sampleRate, now, tell)
			for range script[1] >> 2 & 15 {
				now++
				r.tick(now, tell)
			}
		}
		r.tick(now+keyBeats, tell)
		if down != 0 {
			t.Fatalf("%c never ends", down)
		}
	})
}
