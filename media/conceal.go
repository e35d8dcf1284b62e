package media

import "math"

const (
	concealPast  = 320              // samples of what was heard that are kept: 40 ms
	concealMatch = 80               // of them are looked for again further back
	concealShort = 20               // the shortest and the longest repetition: 400 Hz
	concealLong  = 160              // and 50 Hz
	concealHold  = 80               // samples repeated as loud as they were: 10 ms
	concealFade  = 480              // samples after which nothing is left: 60 ms
	blend        = sampleRate / 200 // samples over which one sound becomes another: 5 ms
)

// concealer goes on with a sound that has ceased to come: it repeats the last
// period of it, ever softer.
type concealer struct {
	past   [concealPast]int16 // heard last, the newest at the end
	period [concealLong]int16 // what is repeated
	size   int                // of it; 0: nothing is
	at     int                // samples made of it
}

// heard takes what was heard, whether made here or not.
func (c *concealer) heard(pcm []int16) {
	if len(pcm) >= concealPast {
		copy(c.past[:], pcm[len(pcm)-concealPast:])
		return
	}
	copy(c.past[:], c.past[len(pcm):])
	copy(c.past[concealPast-len(pcm):], pcm)
}

// begin makes ready to go on from what was heard last.
func (c *concealer) begin() {
	c.size, c.at = repeats(c.past[:]), 0
	copy(c.period[:c.size], c.past[concealPast-c.size:])
}

// next gives the next sample.
func (c *concealer) next() int16 {
	if c.size == 0 || c.at >= concealFade {
		return 0
	}
	sample := int(c.period[c.at%c.size])
	if c.at > concealHold {
		sample = sample * (concealFade - c.at) / (concealFade - concealHold)
	}
	c.at++
	return int16(sample)
}

// repeats gives after how many samples the end of a sound is most like itself:
// a period of a voice. 0: it is silent.
func repeats(past []int16) int {
	end := past[len(past)-concealMatch:]
	longest := min(concealLong, len(past)-concealMatch)
	best, most := 0, 0.
	for lag := concealShort; lag <= longest; lag++ {
		like, power := match(end, past[len(past)-concealMatch-lag:])
		if like <= 0 || power == 0 {
			continue
		}
		if score := float64(like) * float64(like) / float64(power); score > most*1.01 {
			best, most = lag, score
		}
	}
	if best == 0 && loudest(end) > 0 {
		return longest
	}
	return best
}

// match gives how alike two sounds are, and the power of the second.
func match(a, b []int16) (like, power int64) {
	b = b[:len(a)]
	for i, x := range a {
		y := int64(b[i])
		like += int64(x) * y
		power += y * y
	}
	return like, power
}

// loudest gives the largest magnitude in a sound.
func loudest(pcm []int16) int {
	most := 0
	for _, sample := range pcm {
		most = max(most, int(sample), -int(sample))
	}
	return most
}

// rise is the weight of a sound that begins, from 0 to 1 over blend.
var rise = func() (w [blend]float32) {
	for i := range w {
		w[i] = float32(.5 - .5*math.Cos(math.Pi*(float64(i)+.5)/blend))
	}
	return w
}()

// fade goes from one sample to another: at is 0 to blend-1.
func fade(from, to int16, at int) int16 {
	return saturate(int32(float32(from)*(1-rise[at]) + float32(to)*rise[at]))
}

// saturate brings a sum of samples into range.
func saturate(sum int32) int16 {
	return int16(max(math.MinInt16, min(math.MaxInt16, sum)))
}
