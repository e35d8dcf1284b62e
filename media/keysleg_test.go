package media

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTenThousandKeysThroughALeg sends presses to a leg whose packets are lost, come
// twice, late, and after the beginning of the next press: each press of which
// anything comes before the next is told once, in order, and no other ever. The peer's
// far end, to whom they are passed on, reads no other either.
func TestTenThousandKeysThroughALeg(t *testing.T) {
	const presses = 10_000
	random := rand.New(rand.NewPCG(47, 33))
	type arrival struct {
		turn  int
		press int // -1: audio
		raw   []byte
	}
	sh, streams, ends := standing(t, 1)
	leg, far := streams[0], ends[0]
	var arrivals []arrival
	codes := make([]uint8, presses)
	turn, sequence := 0, uint16(65000)
	say := func(press, late int, h header, payload []byte) {
		sequence++
		h.sequence, h.ssrc = sequence, far.ssrc
		raw := make([]byte, headerSize, headerSize+len(payload))
		h.put(raw)
		raw = append(raw, payload...)
		for random.IntN(3) > 0 { // else lost; some come twice or more often
			arrivals = append(arrivals, arrival{turn + random.IntN(late+1), press, raw})
			if random.IntN(2) == 0 {
				break
			}
		}
	}
	stamp := func() uint32 { return uint32(1<<32 - 1000 + turn*frameSize) }
	for press := range presses {
		codes[press] = uint8(random.IntN(16))
		packets, at := 2+random.IntN(6), stamp()
		for n := range packets + 2 { // the end is said three times
			p := eventPacket(0, 0, codes[press], n+1 >= packets, min(n+1, packets)*frameSize)
			say(press, 8, header{payloadType: 97, timestamp: at, marker: n == 0}, p.payload())
			turn++
		}
		for range 1 + random.IntN(5) { // shorter than packets are late
			say(-1, 2, header{timestamp: stamp()}, make([]byte, frameSize))
			turn++
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.turn - b.turn })
	var want []rune
	newest, crossed := -1, 0
	for _, a := range arrivals {
		switch {
		case a.press > newest:
			newest = a.press
			want = append(want, rune(keyNames[codes[a.press]]))
		case a.press >= 0 && a.press < newest:
			crossed++
		}
	}

	var downs, keys []rune
	hear := func() {
		for {
			select {
			case e := <-leg.events:
				switch e := e.(type) {
				case KeyDown:
					if len(downs) != len(keys) {
						t.Fatalf("%c comes down before the last key is over", e.Key)
					}
					downs = append(downs, e.Key)
				case Key:
					keys = append(keys, e.Key)
				}
			default:
				return
			}
		}
	}
	var passed keyReader // of the far end on the other side
	var heard []rune
	note := func(e Event) {
		if key, ok := e.(Key); ok {
			heard = append(heard, key.Key)
		}
	}
	beat := int64(0)
	for now := 0; now < turn+20; now++ {
		for len(arrivals) > 0 && arrivals[0].turn == now {
			if !send(far.fd, arrivals[0].raw, &far.to) {
				t.Fatal("the far end cannot send")
			}
			arrivals = arrivals[1:]
		}
		for range phases {
			sh.due(sh.deadline(beat))
			beat++
		}
		hear()
		for _, p := range ends[1].hear(0) {
			if p.payloadType == 97 {
				passed.read(&p, sampleRate, beat, note)
			}
		}
		passed.tick(beat, note)
	}
	if !slices.Equal(downs, want) || !slices.Equal(keys, want) {
		t.Errorf("of %d presses %d came down and %d were told, or in another order", len(want), len(downs), len(keys))
	}
	// What comes late after a silence, from before it, isn't passed on.
	invented, rest := 0, want
	for _, key := range heard {
		at := slices.Index(rest, key)
		if at < 0 {
			invented++
			continue
		}
		rest = rest[at+1:]
	}
	if invented > 0 || len(heard) < len(want)*99/100 {
		t.Errorf("of %d presses the other side heard %d, and %d that were none", len(want), len(heard), invented)
	}
	if len(want) < presses*9/10 || crossed < presses/10 {
		t.Errorf("%d presses, %d packets after the next press: too easy", len(want), crossed)
	}
	t.Logf("%d presses told, %d packets came after the next press", len(want), crossed)
}
