package report

import (
	"sort"
	"time"
)

// Upper bounds in seconds. Those of answer times lie close around the usual
// goals, those of handling times around what calls take: routine ones 8 to 12
// minutes, clinical ones 20 to 30.
var (
	answerBuckets = []float64{1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600}
	handleBuckets = []float64{5, 15, 30, 60, 120, 180, 240, 300, 480, 600, 720, 900, 1200, 1500, 1800, 2700, 3600}
)

// histogram counts durations by bucket.
type histogram struct {
	bounds []float64 // ascending
	counts []uint64  // of each bound alone, not of those below it
	n      uint64
	sum    time.Duration
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]uint64, len(bounds))}
}

func (h *histogram) observe(d time.Duration) {
	h.n++
	h.sum += d
	if i := sort.SearchFloat64s(h.bounds, d.Seconds()); i < len(h.counts) {
		h.counts[i]++
	}
}

// cumulative gives the counts as Prometheus has them: those up to each bound.
func (h *histogram) cumulative() map[float64]uint64 {
	m := make(map[float64]uint64, len(h.bounds))
	total := uint64(0)
	for i, bound := range h.bounds {
		total += h.counts[i]
		m[bound] = total
	}
	return m
}
