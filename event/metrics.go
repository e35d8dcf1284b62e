package event

import "github.com/prometheus/client_golang/prometheus"

// metrics are those of the log itself; what the events add up to is counted in
// room report.
type metrics struct {
	events, bytes, lost, torn, syncErrors prometheus.Counter
	sync                                  prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "bugle_events_" + name, Help: help})
	}
	return &metrics{
		events:     counter("written_total", "Events written to the node's log."),
		bytes:      counter("written_bytes_total", "Bytes written to the node's event log."),
		lost:       counter("lost_total", "Events that could not be written."),
		torn:       counter("torn_bytes_total", "Bytes cut from the end of the event log when it was opened."),
		syncErrors: counter("sync_errors_total", "Syncs of the event log that failed."),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bugle_events_sync_seconds",
			Help:    "Time a sync of the event log took.",
			Buckets: []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5},
		}),
	}
}

// Collectors gives the log's own metrics, to be registered with Prometheus.
func (l *Log) Collectors() []prometheus.Collector {
	m := l.metrics
	return []prometheus.Collector{m.events, m.bytes, m.lost, m.torn, m.syncErrors, m.sync}
}
