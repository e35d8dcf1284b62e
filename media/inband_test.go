package media

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// dtmf is a key as a far end may sound it.
type dtmf struct {
	code             uint8
	level            float64 // dBm0 of the row
	twist            float64 // dB of the column over the row
	rowOff, columOff float64 // Hz beside the frequencies
	length           time.Duration
	noise            float64 // dBm0; 0: none
}

// sound adds the key to pcm, which is as long as it sounds, and passes it
// through µ-law.
func (k dtmf) sound(random *rand.Rand) []int16 {
	row, column := toneOf(k.code)
	low, high := toneAmplitude(k.level), toneAmplitude(k.level+k.twist)
	p1, p2 := random.Float64()*2*math.Pi, random.Float64()*2*math.Pi
	pcm := make([]int16, k.length/sampleTime)
	for i := range pcm {
		at := 2 * math.Pi * float64(i) / sampleRate
		v := low*math.Sin(p1+at*(row+k.rowOff)) + high*math.Sin(p2+at*(column+k.columOff))
		if k.noise != 0 {
			v += random.NormFloat64() * toneAmplitude(k.noise) / math.Sqrt2
		}
		pcm[i] = muDecode[encodeMu(int16(max(-32768, min(32767, v))))]
	}
	return pcm
}

// detect gives the keys in pcm, fed in packets of 20 ms.
func detect(pcm []int16) (downs, keys []Event) {
	var d toneDetector
	tell := func(e Event) {
		switch e := e.(type) {
		case KeyDown:
			downs = append(downs, e)
		case Key:
			keys = append(keys, e)
		}
	}
	for len(pcm) > 0 {
		n := min(len(pcm), frameSize)
		d.hear(pcm[:n], tell)
		pcm = pcm[n:]
	}
	d.reset(tell)
	return downs, keys
}

// TestTonesAtTheLimitsOfQ24 holds that all sixteen keys are heard, once each, at
// the limits that ITU-T Q.24 (table A.1, with AT&T's twist) sets to level, twist,
// frequency, length and pause, however they lie to the packets; and that what lies
// beyond the limits is no key.
func TestTonesAtTheLimitsOfQ24(t *testing.T) {
	off := func(hz, share, and float64) float64 { return hz*share + and }
	for _, c := range []struct {
		name  string
		share float64 // of the frequency that it is off
		and   float64 // Hz
		level float64
		twist float64
		long  time.Duration
		noise float64
		taken bool
	}{
		{name: "usual", level: -9, twist: 2, long: 100 * time.Millisecond, taken: true},
		{name: "loudest", level: -3, twist: 0, long: 40 * time.Millisecond, taken: true},
		{name: "softest", level: -25, twist: 0, long: 40 * time.Millisecond, taken: true},
		{name: "column loud", level: -25, twist: 4, long: 40 * time.Millisecond, taken: true},
		{name: "column soft", level: -10, twist: -8, long: 40 * time.Millisecond, taken: true},
		{name: "column soft and softest", level: -17, twist: -8, long: 40 * time.Millisecond, taken: true},
		{name: "high", share: .015, and: 2, level: -15, long: 40 * time.Millisecond, taken: true},
		{name: "low", share: -.015, and: -2, level: -15, long: 40 * time.Millisecond, taken: true},
		{name: "high, column soft", share: .015, and: 2, level: -15, twist: -8, long: 40 * time.Millisecond, taken: true},
		{name: "low, column loud", share: -.015, and: -2, level: -20, twist: 4, long: 40 * time.Millisecond, taken: true},
		{name: "noisy", level: -10, long: 60 * time.Millisecond, noise: -25, taken: true},
		{name: "too soft", level: -29, long: 100 * time.Millisecond},
		{name: "too high", share: .035, level: -10, long: 100 * time.Millisecond},
		{name: "too low", share: -.035, level: -10, long: 100 * time.Millisecond},
		{name: "too short", level: -10, long: 23 * time.Millisecond},
		{name: "column too loud", level: -15, twist: 8, long: 100 * time.Millisecond},
		{name: "column too soft", level: -5, twist: -13, long: 100 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			wrong := 0
			rounds := amount(50, 5)
			for code := range uint8(16) {
				for range rounds {
					row, column := toneOf(code)
					key := dtmf{code: code, level: c.level, twist: c.twist, length: c.long, noise: c.noise,
						rowOff: off(row, c.share, c.and), columOff: off(column, c.share, c.and)}
					pcm := make([]int16, 400+random.IntN(160))
					pcm = append(pcm, key.sound(random)...)
					pcm = append(pcm, make([]int16, 320)...) // 40 ms: the shortest pause
					pcm = append(pcm, key.sound(random)...)
					pcm = append(pcm, make([]int16, 800)...)
					downs, keys := detect(pcm)
					name := rune(keyNames[code])
					right := len(downs) == 0 && len(keys) == 0
					if c.taken {
						right = slices.Equal(downs, []Event{KeyDown{name}, KeyDown{name}}) && len(keys) == 2
						for _, k := range keys {
							length := k.(Key).Length
							right = right && k.(Key).Key == name && length >= c.long-15*time.Millisecond && length <= c.long+25*time.Millisecond
						}
					}
					if !right {
						if wrong++; wrong < 3 {
							t.Errorf("key %c: told %v, %v", name, downs, keys)
						}
					}
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d wrong", wrong, 16*rounds)
			}
		})
	}
}

// TestToneWithAHoleIsOneKey holds that a key goes on over 10 ms of silence, and
// over a packet that is lost.
func TestToneWithAHoleIsOneKey(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for at := 40 * 8; at < 80*8; at += 7 {
		for name, hole := range map[string]func(d *toneDetector, pcm []int16, tell func(Event)){
			"10 ms of silence": func(d *toneDetector, pcm []int16, tell func(Event)) {
				clear(pcm[at : at+80])
				d.hear(pcm, tell)
			},
			"a packet lost": func(d *toneDetector, pcm []int16, tell func(Event)) {
				d.hear(pcm[:at], tell)
				d.skip()
				d.hear(pcm[at+frameSize:], tell)
			},
		} {
			var d toneDetector
			var got []Event
			tell := func(e Event) { got = append(got, e) }
			pcm := append(dtmf{code: 5, level: -10, length: 160 * time.Millisecond}.sound(random), make([]int16, 800)...)
			hole(&d, pcm, tell)
			if len(got) != 2 || got[0] != (KeyDown{'5'}) || got[1].(Key).Key != '5' {
				t.Fatalf("%s at %d: told %v", name, at, got)
			}
		}
	}
}

// synthVoice makes speech of a kind: a voice of changing pitch through changing
// formants, with pauses, hisses and plosives.
func synthVoice(seed uint64, seconds int) []int16 {
	random := rand.New(rand.NewPCG(seed, 9))
	pcm := make([]int16, 0, seconds*sampleRate)
	var y [3][2]float64
	phase := 0.
	for len(pcm) < seconds*sampleRate {
		pitch := 80 + random.Float64()*300
		glide := (random.Float64() - .5) * 40
		formants := [3]float64{250 + random.Float64()*650, 900 + random.Float64()*1500, 2200 + random.Float64()*1000}
		if random.IntN(4) == 0 { // the nearest to a key that a voice comes
			formants = [3]float64{toneRows[random.IntN(4)], toneColumns[random.IntN(4)], 3000}
		}
		kind, n := random.IntN(8), 400+random.IntN(2400)
		loud := 1000 + random.Float64()*12000
		for i := range n {
			var x float64
			switch {
			case kind == 0: // a pause
			case kind == 1:
				x = random.NormFloat64() * .3
			default:
				phase += (pitch + glide*float64(i)/float64(n)) / sampleRate
				if phase >= 1 {
					phase--
					x = 3
				}
				x += random.NormFloat64() * .02
			}
			var sum float64
			for f, hz := range formants {
				const r = .97
				v := x + 2*r*math.Cos(2*math.Pi*hz/sampleRate)*y[f][0] - r*r*y[f][1]
				y[f][1], y[f][0] = y[f][0], v
				sum += v / float64(f+1)
			}
			edge := min(1, float64(i)/80, float64(n-i)/80)
			pcm = append(pcm, int16(max(-32000, min(32000, sum*loud*edge*.15))))
		}
	}
	return pcm[:seconds*sampleRate]
}

// synthMusic makes chords and tunes on the tempered scale, with overtones. Without
// them some chords of two notes are keys, such as A sharp with E, by any measure.
func synthMusic(seed uint64, seconds int) []int16 {
	random := rand.New(rand.NewPCG(seed, 10))
	pcm := make([]int16, seconds*sampleRate)
	for at := 0; at < len(pcm); {
		n := 800 + random.IntN(4000)
		for range 1 + random.IntN(4) {
			hz := 110 * math.Pow(2, float64(random.IntN(44))/12)
			loud, overtones := 1500+random.Float64()*4000, 2+random.IntN(5)
			for i := range min(n, len(pcm)-at) {
				edge := min(1, float64(i)/40, float64(n-i)/40)
				var v float64
				for o := range overtones {
					if f := hz * float64(o+1); f < 3400 {
						v += math.Sin(2*math.Pi*f*float64(i)/sampleRate) / float64(o+1)
					}
				}
				pcm[at+i] = int16(max(-32000, min(32000, float64(pcm[at+i])+v*loud*edge)))
			}
		}
		at += n
	}
	return pcm
}

// TestVoicesAndMusicAreNoKeys listens to half an hour of each.
func TestVoicesAndMusicAreNoKeys(t *testing.T) {
	minutes := amount(30, 2)
	for name, make := range map[string]func(seed uint64, seconds int) []int16{"voice": synthVoice, "music": synthMusic} {
		t.Run(name, func(t *testing.T) {
			var false_ []Event
			for minute := range minutes {
				downs, _ := detect(make(uint64(minute), 60))
				false_ = append(false_, downs...)
			}
			if len(false_) > 0 {
				t.Errorf("%d keys in %d minutes: %v", len(false_), minutes, false_)
			}
		})
	}
}

// TestPromptsAreNoKeys listens to the demo's prompts and music.
func TestPromptsAreNoKeys(t *testing.T) {
	files, err := filepath.Glob("../deployments/demo/*/*/*.wav")
	if err != nil || len(files) == 0 {
		t.Fatal("no prompts found", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		clip, err := LoadClip(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		pcm := make([]int16, len(clip.mu))
		decode(pcm, clip.mu, PCMU)
		if downs, _ := detect(pcm); len(downs) > 0 {
			t.Errorf("%s: %v", name, downs)
		}
	}
}

func BenchmarkToneDetector(b *testing.B) {
	for name, pcm := range map[string][]int16{"voice": synthVoice(1, 10), "silence": make([]int16, 10*sampleRate),
		"key": dtmf{code: 7, level: -10, length: 10 * time.Second}.sound(rand.New(rand.NewPCG(1, 1)))} {
		b.Run(name, func(b *testing.B) {
			var d toneDetector
			at := 0
			b.ReportAllocs()
			began := processorTime(b)
			for b.Loop() {
				d.hear(pcm[at:at+frameSize], func(Event) {})
				if at += frameSize; at+frameSize > len(pcm) {
					at = 0
				}
			}
			b.ReportMetric(float64((processorTime(b)-began).Nanoseconds())/1000/float64(b.N), "CPU-µs/frame")
		})
	}
}
