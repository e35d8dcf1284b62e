package store

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	applied prometheus.Counter
	apply   prometheus.Histogram
	failed  prometheus.Counter
	waiting prometheus.Gauge
	purged  *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		applied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bugle_store_events_total", Help: "Events taken into the history.",
		}),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bugle_store_apply_seconds", Help: "Time to take one batch of events into the history.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bugle_store_apply_failures_total", Help: "Batches that could not be taken in and are tried again.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "bugle_store_history_waiting", Help: "1 while the history waits for a database or disk that fails.",
		}),
		purged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bugle_store_purged_total", Help: "Rows deleted because their time was over.",
		}, []string{"class"}),
	}
	for _, c := range Classes() {
		m.purged.WithLabelValues(string(c))
	}
	return m
}

// Collectors gives the store's own figures.
func (s *Store) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.applied, s.metrics.apply, s.metrics.failed, s.metrics.waiting, s.metrics.purged}
}
