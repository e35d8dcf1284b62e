package peer

import (
	"math"
	"slices"
	"testing"
	"time"
)

func sine(hertz float64, length time.Duration) []float64 {
	out := make([]float64, int(length.Seconds()*8000))
	for i := range out {
		out[i] = 0.3 * math.Sin(2*math.Pi*hertz*float64(i)/8000)
	}
	return out
}

func TestToneIsFoundOnlyWhereItIs(t *testing.T) {
	gap := append(append(sine(440, time.Second), make([]float64, 400)...), sine(440, 2*time.Second)...)
	longGap := slices.Concat(make([]float64, 8000), sine(440, time.Second), make([]float64, 8000), sine(440, time.Second), make([]float64, 8000))
	for _, c := range []struct {
		name  string
		in    []float64
		hertz float64

		whole, all, loud time.Duration
	}{
		{"whole", sine(440, 3*time.Second), 440, 3 * time.Second, 3 * time.Second, 3 * time.Second},
		{"other tone", sine(440, 3*time.Second), 700, 0, 0, 3 * time.Second},
		{"silence", make([]float64, 24000), 440, 0, 0, 0},
		{"a gap of 50 ms", gap, 440, 2 * time.Second, 3 * time.Second, 3 * time.Second},
		{"a gap of a second", longGap, 440, time.Second, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Sound{Rate: 8000, Channels: [][]float64{c.in}}
			for what, d := range map[string]time.Duration{
				"the tone stands": s.Tone(0, c.hertz) - c.whole, "it is heard": s.Heard(0, c.hertz) - c.all, "there is sound": s.Loud(0) - c.loud,
			} {
				if d.Abs() > 40*time.Millisecond {
					t.Errorf("%s for %v too long", what, d)
				}
			}
		})
	}
}

func TestASpokenPartIsFoundOnlyWhereItIs(t *testing.T) {
	sound := func(parts ...[]float64) Sound {
		return Sound{Rate: 8000, Channels: [][]float64{slices.Concat(parts...)}}
	}
	glide := make([]float64, 24000) // no two parts of it are alike
	for i := range glide {
		glide[i] = 0.3 * math.Sin(float64(i*i)/1e6)
	}
	silence := make([]float64, 8000)
	spoken := sound(silence, glide)
	for _, c := range []struct {
		name string
		in   Sound
		want bool
	}{
		{"whole", sound(silence, silence, glide), true},
		{"with gaps", sound(glide[:3000], silence[:90], glide[3000:9000], silence[:90], glide[9000:]), true},
		{"too little", sound(glide[:3000], silence), false},
		{"silence alone", sound(silence, silence), false},
		{"something else", sound(sine(440, 3*time.Second)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.in.Holds(0, spoken); got != c.want {
				t.Errorf("found: %t, want %t", got, c.want)
			}
		})
	}
}
