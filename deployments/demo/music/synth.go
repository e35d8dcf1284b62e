package main

import "math"

const rate = 8000 // samples a second

// level is the loop's RMS, against a full-scale square wave: -20 dBFS, where
// the prompts are too.
const level = 0.1

// render plays the notes onto a ring of samples as long as the piece: what
// still sounds at its end goes on at its beginning, which is why the loop has
// no seam.
func render(notes []note, length float64) []float64 {
	ring := make([]float64, int(math.Round(length*rate)))
	for _, n := range notes {
		pluck(ring, n)
	}
	normalise(ring)
	return ring
}

// pluck adds one soft string: a few harmonics, the higher the sooner gone.
func pluck(ring []float64, n note) {
	const attack, release = 0.012, 0.25 // seconds; no click at either end
	freq := 440 * math.Pow(2, float64(n.pitch-69)/12)
	total := n.length + release
	start := int(math.Round(n.at * rate))
	for i := range int(total * rate) {
		t := float64(i) / rate
		env := min(1, t/attack) * min(1, (total-t)/release)
		var s float64
		for h, weight := range []float64{1, 0.42, 0.16, 0.07} {
			f := freq * float64(h+1)
			if f > 3200 { // the line ends at 3400 Hz
				break
			}
			s += weight * math.Exp(-t*(1.1+0.9*float64(h))) * math.Sin(2*math.Pi*f*t)
		}
		ring[(start+i)%len(ring)] += n.level * env * s
	}
}

// normalise brings the samples to the level.
func normalise(samples []float64) {
	var sum float64
	for _, s := range samples {
		sum += s * s
	}
	gain := level / math.Sqrt(sum/float64(len(samples)))
	for i := range samples {
		samples[i] *= gain
	}
}
