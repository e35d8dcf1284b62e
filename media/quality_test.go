package media

import (
	"math"
	"testing"
	"time"
)

// Values of ITU-T G.107, its implementations and G.113 for the default line.
func TestEModel(t *testing.T) {
	for _, c := range []struct {
		name           string
		delay          time.Duration
		loss, bursts   float64
		least, most    float64 // R
		score, scoring float64
	}{
		{"a perfect line", 0, 0, 1, 93.2, 93.2, 4.41, .01},
		{"100 ms", 100 * time.Millisecond, 0, 1, 90, 91.5, 4.35, .04},
		{"200 ms", 200 * time.Millisecond, 0, 1, 85, 88, 4.25, .06},
		{"400 ms", 400 * time.Millisecond, 0, 1, 60, 70, 3.3, .2},
		{"1 % lost", 0, .01, 1, 89.5, 89.7, 4.33, .02}, // Ie,eff = 95/26.1 = 3.64
		{"5 % lost", 0, .05, 1, 77.3, 77.5, 3.92, .02}, // 475/30.1 = 15.8
		{"5 % lost in bursts of two", 0, .05, 2, 75.9, 76.1, 3.88, .03},
		{"all lost", 0, 1, 1, 17.2, 17.3, 1.1, .2},
	} {
		r := cleanR - delayImpairment(c.delay) - lossImpairment(c.loss, c.bursts)
		if r < c.least-.05 || r > c.most+.05 {
			t.Errorf("%s: R %.2f, want %v to %v", c.name, r, c.least, c.most)
		}
		if got := meanOpinion(c.delay, c.loss, c.bursts); math.Abs(got-c.score) > c.scoring {
			t.Errorf("%s: score %.3f, want %v", c.name, got, c.score)
		}
	}
	if got := opinionOf(50); math.Abs(got-2.58) > .01 { // G.107, table B.1
		t.Errorf("R 50 is a score of %.3f, want 2.58", got)
	}
	if opinionOf(-20) != 1 || opinionOf(5) < 1 || opinionOf(120) > 4.51 {
		t.Error("a score beyond the scale")
	}
}

// Longer delay, more loss or longer bursts never make a talk better.
func TestEModelOnlyFalls(t *testing.T) {
	last := 5.
	for d := time.Duration(0); d < time.Second; d += 10 * time.Millisecond {
		got := meanOpinion(d, .02, 1)
		if got > last {
			t.Fatalf("%v scores %.3f, less delay %.3f", d, got, last)
		}
		last = got
	}
	last = 5
	for loss := 0.; loss <= 1; loss += .01 {
		got := meanOpinion(0, loss, 1)
		if got > last {
			t.Fatalf("%.2f lost scores %.3f, less %.3f", loss, got, last)
		}
		last = got
	}
}

// The jitter of a stream whose packets come alternately d early and late
// settles at 2d (RFC 3550, appendix A.8), whatever its clock.
func TestJitter(t *testing.T) {
	for _, clock := range []int64{8000, 48000} {
		var j transit
		const d = 3 * time.Millisecond
		for n := range 2000 {
			arrival := time.Duration(n)*frameTime + d
			if n%2 == 1 {
				arrival -= 2 * d
			}
			j.note(1, uint32(int64(n)*clock/50)+1<<31, clock, time.Hour+arrival)
		}
		if got := j.time(); got < 5900*time.Microsecond || got > 6100*time.Microsecond {
			t.Errorf("clock %d: jitter %v, want 6ms", clock, got)
		}
		j.note(1, 0, clock, 0) // timestamps begun anew are no jitter
		if got := j.time(); got > 6100*time.Microsecond {
			t.Errorf("clock %d: a leap made the jitter %v", clock, got)
		}
		j.note(2, 0, clock, 0)
		if got := j.time(); got != 0 {
			t.Errorf("another stream begins with jitter %v", got)
		}
	}
}

func TestSequenceCountReports(t *testing.T) {
	var c sequenceCount
	for _, n := range []uint16{65533, 65534, 65535, 2, 3} { // 0 and 1 lost
		c.note(9, n)
	}
	var r reception
	c.report(&r)
	want := reception{ssrc: 9, highest: 1<<16 + 3, lost: 2, fraction: 2 * 256 / 7}
	if r != want {
		t.Errorf("reported %+v, want %+v", r, want)
	}
	if got := burstiness(c.loss(), c.missing(), c.gaps); math.Abs(got-2*5/7.) > 1e-9 {
		t.Errorf("burstiness %v of one gap of two in seven", got)
	}
	for n := uint16(4); n < 14; n++ {
		c.note(9, n)
	}
	r = reception{}
	c.report(&r)
	if r.fraction != 0 || r.lost != 2 {
		t.Errorf("a clean interval reported as %+v", r)
	}
	c.note(10, 500) // another stream
	r = reception{}
	c.report(&r)
	if r != (reception{ssrc: 10, highest: 500}) {
		t.Errorf("another stream reported as %+v", r)
	}
	if c.missing() != 2 || c.loss() != 2/18. {
		t.Errorf("%d missing, %v of all, in all", c.missing(), c.loss())
	}
}
