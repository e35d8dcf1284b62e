package media

import "github.com/prometheus/client_golang/prometheus"

// measured are the histograms of how legs' sound has travelled, one sample a leg
// at its end, by the codec it spoke last. Each has the figures of both
// directions, as far as they are known.
type measured struct {
	jitter, roundTrip, loss, score *prometheus.HistogramVec
}

func newMeasured() measured {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bugle_media_" + name, Help: help, Buckets: buckets,
		}, append([]string{"codec"}, labels...))
	}
	const direction = "direction" // in: what far ends say; out: what they are sent, by their reports
	return measured{
		jitter: histogram("jitter_seconds", "Mean jitter of a leg's packets (RFC 3550), by direction.",
			[]float64{.001, .002, .005, .01, .02, .03, .05, .1, .2}, direction),
		roundTrip: histogram("round_trip_seconds", "Mean round trip of a leg by RTCP.",
			[]float64{.005, .01, .02, .05, .1, .15, .2, .3, .5, 1, 2}),
		loss: histogram("loss_ratio", "Share of a leg's packets that were lost, by direction.",
			[]float64{0, .001, .002, .005, .01, .02, .03, .05, .1, .2, .5}, direction),
		score: histogram("mos", "Mean opinion score that the E-model (ITU-T G.107) foretells for a leg, by direction.",
			[]float64{1.5, 2, 2.5, 3, 3.1, 3.6, 4, 4.1, 4.2, 4.3, 4.4}, direction),
	}
}

// collectors gives them for registration.
func (m *measured) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.jitter, m.roundTrip, m.loss, m.score}
}

// observe takes the figures of a leg that has ended. One that was never agreed on
// has none.
func (m *measured) observe(s Stats) {
	if s.Codec == 0 {
		return
	}
	codec := s.Codec.String()
	for direction, q := range map[string]Quality{"in": s.Heard, "out": s.Sent} {
		if q.MOS == 0 {
			continue
		}
		m.jitter.WithLabelValues(codec, direction).Observe(q.Jitter.Seconds())
		m.loss.WithLabelValues(codec, direction).Observe(q.Loss)
		m.score.WithLabelValues(codec, direction).Observe(q.MOS)
	}
	if s.RoundTrip > 0 {
		m.roundTrip.WithLabelValues(codec).Observe(s.RoundTrip.Seconds())
	}
}
