package peer

import (
	"math"
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
	for _, c := range []struct {
		name  string
		in    []float64
		hertz float64
		want  time.Duration
	}{
		{"whole", sine(440, 3*time.Second), 440, 3 * time.Second},
		{"other tone", sine(440, 3*time.Second), 700, 0},
		{"silence", make([]float64, 24000), 440, 0},
		{"a gap of 50 ms", gap, 440, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Sound{Rate: 8000, Channels: [][]float64{c.in}}.Tone(0, c.hertz)
			if d := got - c.want; d < -40*time.Millisecond || d > 40*time.Millisecond {
				t.Errorf("tone stands %v, want %v", got, c.want)
			}
		})
	}
}
