package media

import (
	"math"
	"time"
)

// The E-model (ITU-T G.107) foretells from what can be measured on the way how
// people would judge a talk. The formulas are those of the recommendation; all
// that is not measured has its default value, so that what is left is
//
//	R = 93.2 - Id(delay) - Ie,eff(codec, loss)
//
// and the mean opinion score, 1 (bad) to 4.41 (as good as a telephone can be),
// follows from R.
const (
	// R with the defaults of G.107 and no delay: Ro - Is, which are 93.36, less 0.15
	// for the listener's echo.
	cleanR = 93.2
	// Ie and Bpl by ITU-T G.113, appendix I, for G.711 with concealment of lost
	// packets, which every phone of today has. For G.722 and Opus, G.113 has no values
	// on this, the narrowband scale: they are reckoned as G.711, which they beat
	// without loss and Opus with it too. The figure then tells of the network.
	equipmentIe  = 0
	equipmentBpl = 25.1
	// What a far end adds to the way: the packet itself and its jitter buffer,
	// which is taken to hold twice the jitter and at least two packets.
	packetDelay = frameTime
	leastBuffer = 2 * frameTime
)

// mouthToEar gives the delay that is reckoned with for a round trip and jitter.
func mouthToEar(roundTrip, jitter time.Duration) time.Duration {
	return roundTrip/2 + packetDelay + max(leastBuffer, 2*jitter)
}

// meanOpinion gives the score for a delay from mouth to ear, a share of packets lost,
// and how much burstier than by chance (1) they were lost.
func meanOpinion(delay time.Duration, loss, burstiness float64) float64 {
	return opinionOf(cleanR - delayImpairment(delay) - lossImpairment(loss, burstiness))
}

// lossImpairment is Ie,eff (G.107, 7.5).
func lossImpairment(loss, burstiness float64) float64 {
	percent := 100 * min(max(loss, 0), 1)
	return equipmentIe + (95-equipmentIe)*percent/(percent/max(1, burstiness)+equipmentBpl)
}

// delayImpairment is Id (G.107, 7.4) without the listener's echo: what comes of
// the delay as such (Idd), and of the talker's echo (Idte) with the default
// loudness of 65 dB.
func delayImpairment(delay time.Duration) float64 {
	const (
		telr = 65     // talker echo loudness rating, dB
		rlr  = 2      // receive loudness rating, dB
		no   = -61.18 // sum of noise with the defaults, dBm0p
	)
	t := float64(delay) / float64(time.Millisecond)
	var pure float64
	if t > 100 {
		x := math.Log2(t / 100)
		pure = 25 * (math.Pow(1+math.Pow(x, 6), 1./6) - 3*math.Pow(1+math.Pow(x/3, 6), 1./6) + 2)
	}
	terv := telr - 40*math.Log10((1+t/10)/(1+t/150)) + 6*math.Exp(-.3*t*t)
	re := 80 + 2.5*(terv-14)
	roe := -1.5 * (no - rlr)
	echo := ((roe-re)/2 + math.Sqrt((roe-re)*(roe-re)/4+100) - 1) * (1 - math.Exp(-t))
	return pure + max(0, echo)
}

// opinionOf turns R into a score (G.107, annex B).
func opinionOf(r float64) float64 {
	r = min(max(r, 0), 100)
	return max(1, 1+.035*r+r*(r-60)*(100-r)*7e-6)
}

// burstiness tells how much longer the runs of lost packets were than chance
// would have them: BurstR of G.107.
func burstiness(loss float64, lost, runs uint64) float64 {
	if lost == 0 || runs == 0 {
		return 1
	}
	return max(1, float64(lost)/float64(runs)*(1-loss))
}

// transit follows the jitter of one stream (RFC 3550, appendix A.8).
type transit struct {
	begun  bool
	ssrc   uint32
	clock  int64   // of its timestamps, in Hz
	last   uint32  // arrival less timestamp, in timestamp units
	jitter float64 // in the same
}

// note takes a packet's timestamp and the time it arrived, since any fixed one.
func (t *transit) note(ssrc, timestamp uint32, clock int64, arrival time.Duration) {
	now := uint32(int64(arrival)/1000*clock/1_000_000) - timestamp
	if !t.begun || ssrc != t.ssrc || clock != t.clock {
		*t = transit{begun: true, ssrc: ssrc, clock: clock, last: now}
		return
	}
	step := math.Abs(float64(int32(now - t.last)))
	t.last = now
	if step > 2*float64(clock) {
		return // another stream in all but name
	}
	t.jitter += (step - t.jitter) / 16
}

// time gives the jitter as a time.
func (t *transit) time() time.Duration {
	if t.clock == 0 {
		return 0
	}
	return time.Duration(t.jitter * float64(time.Second) / float64(t.clock))
}

// mean is a running mean of times.
type mean struct {
	sum time.Duration
	n   int64
}

func (m *mean) add(d time.Duration) { m.sum, m.n = m.sum+d, m.n+1 }

func (m *mean) value() time.Duration {
	if m.n == 0 {
		return 0
	}
	return m.sum / time.Duration(m.n)
}
