package media

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// arriving is one packet on its way to a jitter buffer.
type arriving struct {
	at        float64 // ms
	timestamp uint32
	audio     []byte
}

// packets cuts a tone into packets that arrive every 20 ms.
func packetsOf(hz float64, n int) (list []arriving) {
	pcm := make([]int16, n*frameSize)
	for i, v := range sine(hz, len(pcm)) {
		pcm[i] = int16(v)
	}
	for i := range n {
		audio := make([]byte, frameSize)
		encode(audio, pcm[i*frameSize:][:frameSize], PCMU)
		list = append(list, arriving{float64(i) * 20, uint32(i*frameSize) - 5000, audio})
	}
	return list
}

// through plays packets through a jitter buffer and gives what comes out.
func through(j *jitter, list []arriving) (out []int16) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b arriving) int { return int(1000 * (a.at - b.at)) })
	last := list[len(list)-1].at
	for now := 3.; now < last+300; now += 20 {
		for len(list) > 0 && list[0].at <= now {
			j.put(1, list[0].timestamp, list[0].audio, PCMU)
			list = list[1:]
		}
		var frame [frameSize]int16
		j.pull(&frame)
		out = append(out, frame[:]...)
	}
	return out
}

// bend gives the sharpest bend of a waveform (its second difference), which a
// click is: for a sine of our level of hz it is known.
func bend(pcm []int16) (most float64, at int) {
	for i := 2; i < len(pcm); i++ {
		if d := math.Abs(float64(pcm[i]) - 2*float64(pcm[i-1]) + float64(pcm[i-2])); d > most {
			most, at = d, i
		}
	}
	return most, at
}

// bendOf is that of a sine at the level of Tone, after G.711.
func bendOf(hz float64) float64 {
	tone := Tone(hz, 10*frameTime*50)
	pcm := make([]int16, len(tone.mu))
	decode(pcm, tone.mu, PCMU)
	most, _ := bend(pcm)
	return most
}

// loudness is the level of the softest 10 ms of a piece, in dB below another's.
func softest(pcm []int16) float64 {
	least := math.Inf(1)
	for i := 0; i+80 <= len(pcm); i += 40 {
		var e float64
		for _, s := range pcm[i : i+80] {
			e += float64(s) * float64(s)
		}
		least = min(least, e/80)
	}
	return math.Sqrt(least)
}

// sounding gives the part of a waveform from its first to its last sound.
func soundingPart(pcm []int16) []int16 {
	first, last := 0, len(pcm)-1
	for first < len(pcm) && pcm[first] == 0 {
		first++
	}
	for last > first && pcm[last] == 0 {
		last--
	}
	return pcm[first : last+1]
}

func TestJitterGivesBackWhatComes(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	const n, hz = 500, 437
	want := sine(hz, n*frameSize)
	for _, c := range []struct {
		name    string
		disturb func([]arriving) []arriving
		least   float64 // dB signal to noise of the whole; 0: not the same in time
		after   int     // samples from which it is so
	}{
		{"in order", func(l []arriving) []arriving { return l }, 36, 0},
		{"jittered by 15 ms", func(l []arriving) []arriving {
			for i := range l {
				l[i].at += random.Float64() * 15
			}
			return l
		}, 36, 0},
		{"each twice", func(l []arriving) []arriving { return append(l, l...) }, 36, 0},
		{"neighbours swapped", func(l []arriving) []arriving {
			for i := 2; i+1 < len(l); i += 4 {
				l[i].at, l[i+1].at = l[i+1].at, l[i].at
			}
			return l
		}, 36, 0},
		{"one of twenty lost", func(l []arriving) []arriving {
			return slices.DeleteFunc(l, func(a arriving) bool { return a.timestamp/uint32(frameSize)%20 == 7 })
		}, 10, 0},
		{"of 10 ms", func(l []arriving) (short []arriving) {
			for _, a := range l {
				short = append(short, arriving{a.at, a.timestamp, a.audio[:80]}, arriving{a.at + 10, a.timestamp + 80, a.audio[80:]})
			}
			return short
		}, 36, 0},
		{"of 60 ms", func(l []arriving) (long []arriving) {
			for i := 0; i+2 < len(l); i += 3 {
				long = append(long, arriving{l[i+2].at, l[i].timestamp, slices.Concat(l[i].audio, l[i+1].audio, l[i+2].audio)})
			}
			return long
		}, 0, 0},
		{"jittered by 100 ms", func(l []arriving) []arriving {
			for i := range l {
				if random.IntN(40) == 0 {
					l[i].at += 100
				}
			}
			for i := len(l) - 2; i >= 0; i-- { // a queue: none overtakes
				l[i+1].at = max(l[i+1].at, l[i].at)
			}
			for i := range l[1:] {
				l[i+1].at = max(l[i+1].at, l[i].at)
			}
			return l
		}, 0, 0},
		{"a clock 300 ppm fast", func(l []arriving) []arriving {
			for i := range l {
				l[i].at *= 1 - 300e-6
			}
			return l
		}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJitter()
			out := soundingPart(through(j, c.disturb(packetsOf(hz, n))))
			if most, at := bend(out[:len(out)-concealFade]); most > 1.6*bendOf(hz) {
				t.Errorf("bends by %.0f at %d of %d; the tone by %.0f", most, at, len(out), bendOf(hz))
			}
			if c.least > 0 {
				ratio := -99.
				for shift := range 8 { // what is silent at the beginning was cut off
					ratio = max(ratio, snr(want[shift+frameSize:(n-5)*frameSize], out[frameSize:]))
				}
				if ratio < c.least {
					t.Errorf("%.1f dB signal to noise", ratio)
				}
			}
			t.Logf("%d packets dropped, %d samples concealed, %d came out of %d", j.dropped, j.concealed, len(out), n*frameSize)
		})
	}
}

// TestJitterFollowsAnotherClock holds for five minutes, and clocks far worse than
// phones have, that nothing clicks, nothing falls silent and the delay stays.
func TestJitterFollowsAnotherClock(t *testing.T) {
	const hz = 437
	n := amount(15000, 10000) // either is long enough for the clocks to part by more than any depth
	for _, ppm := range []float64{-500, -50, 50, 500} {
		list := packetsOf(hz, n)
		for i := range list {
			list[i].at *= 1 - ppm*1e-6
		}
		j := newJitter()
		out := soundingPart(through(j, list))
		out = out[:len(out)-concealFade]
		most, at := bend(out)
		if most > 1.6*bendOf(hz) {
			t.Errorf("%v ppm: bends by %.0f at %d", ppm, most, at)
		}
		if soft := softest(out[800:]); soft < 3000 {
			t.Errorf("%v ppm: falls to %.0f", ppm, soft)
		}
		// What is played lasts as long as it took to send, and what was kept back.
		sent := int((1 - ppm*1e-6) * float64(n*frameSize))
		if kept := len(out) - sent; kept < -2*frameSize || kept > int(jitterMost) {
			t.Errorf("%v ppm: %d samples more came out than there was time for", ppm, kept)
		}
		if j.dropped > 0 {
			t.Errorf("%v ppm: %d packets too late", ppm, j.dropped)
		}
		t.Logf("%v ppm: %d samples concealed, length %+d", ppm, j.concealed, len(out)-n*frameSize)
	}
}

func TestJitterAfterAPauseBeginsAnew(t *testing.T) {
	list := packetsOf(437, 200)
	for name, c := range map[string]struct{ gap, jump uint32 }{
		"the sender's clock went on":   {3000, 3000 * 8},
		"its clock stood still":        {3000, 0},
		"another beginning":            {200, 1 << 30},
		"a beginning before":           {200, 1 << 31},
		"a short pause":                {100, 800},
		"a pause of as much as fits":   {180, 180 * 8},
		"the clock went on, and a bit": {3000, 3500 * 8},
	} {
		t.Run(name, func(t *testing.T) {
			l := slices.Clone(list)
			for i := 100; i < len(l); i++ {
				l[i].at += float64(c.gap)
				l[i].timestamp += c.jump
			}
			j := newJitter()
			out := soundingPart(through(j, l))
			// Both halves are heard: nothing but fades is missing.
			heard := 0
			for i := 0; i+80 <= len(out); i += 80 {
				if loudest(out[i:i+80]) > 6000 {
					heard += 80
				}
			}
			if heard < 196*frameSize || heard > 205*frameSize {
				t.Errorf("%d samples sound, of %d", heard, 200*frameSize)
			}
			if most, _ := bend(out); most > 1.6*bendOf(437) {
				t.Errorf("bends by %.0f", most)
			}
		})
	}
}

// TestJitterRunsEmpty holds that a buffer that is drained is empty soon, and
// that nothing of the sound is left out by more than a period of it.
func TestJitterRunsEmpty(t *testing.T) {
	j := newJitter()
	list := packetsOf(250, 100)
	var out []int16
	for i, p := range list {
		j.put(1, p.timestamp, p.audio, PCMU)
		j.draining = i > 50
		var frame [frameSize]int16
		j.pull(&frame)
		out = append(out, frame[:]...)
		if j.drained() {
			if i > 55 {
				t.Errorf("drained after %d turns", i-50)
			}
			if most, _ := bend(out); most > 1.6*bendOf(250) {
				t.Errorf("bends by %.0f", most)
			}
			return
		}
	}
	t.Error("never drained")
}

// TestJitterKeepsBack holds that what is muted in time is not heard.
func TestJitterKeepsBack(t *testing.T) {
	j := newJitter()
	j.reserve = 400
	list := packetsOf(250, 100)
	var out []int16
	for i, p := range list {
		j.put(1, p.timestamp, p.audio, PCMU)
		if i >= 50 && i < 60 { // found out 50 ms after it was said
			j.mute(p.timestamp+uint32(frameSize)-400, p.timestamp+uint32(frameSize))
		}
		var frame [frameSize]int16
		j.pull(&frame)
		out = append(out, frame[:]...)
	}
	silent := 0
	for i := 2000; i < 12000; i++ {
		if out[i] == 0 && (out[i-1] == 0 || out[i+1] == 0) { // not where the tone goes through zero
			silent++
		}
	}
	if want := 9*frameSize + 400; silent < want || silent > want+200 {
		t.Errorf("%d samples silent, want %d", silent, want)
	}
	for range 20 { // what is kept back comes out when nothing follows
		var frame [frameSize]int16
		j.pull(&frame)
		out = append(out, frame[:]...)
	}
	if n := len(soundingPart(out)); n < 100*frameSize-blend {
		t.Errorf("%d samples came out of %d", n, 100*frameSize)
	}
}

func FuzzJitter(f *testing.F) {
	f.Add([]byte{1, 0, 160, 0, 2, 160, 160, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		j := newJitter()
		timestamp := uint32(0)
		for ; len(script) >= 4; script = script[4:] {
			timestamp += uint32(int32(int8(script[0]))) * uint32(script[1]) * 8
			j.put(uint32(script[3]&1), timestamp, make([]byte, 1+int(script[2])*8), PCMA)
			j.reserve, j.draining = int32(script[3]&2)*200, script[3]&4 != 0
			if script[3]&8 != 0 {
				j.mute(timestamp-uint32(script[2]), timestamp+uint32(script[1]))
			}
			var frame [frameSize]int16
			for range script[3] >> 6 {
				j.pull(&frame)
			}
			if held := int32(j.end - j.play); held < 0 || held > jitterSize {
				t.Fatalf("holds %d samples", held)
			}
		}
	})
}

func BenchmarkJitter(b *testing.B) {
	list := packetsOf(437, 50)
	j := newJitter()
	var frame [frameSize]int16
	b.ReportAllocs()
	timestamp := uint32(0)
	for i := 0; b.Loop(); i++ {
		j.put(1, timestamp, list[i%50].audio, PCMU)
		j.pull(&frame)
		timestamp += uint32(frameSize)
	}
}
