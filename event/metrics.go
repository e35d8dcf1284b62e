package event

import "github.com/prometheus/client_golang/prometheus"

// metrics are those of the log itself; what the events add up to is counted in
// room report.
type metrics struct {
	events, bytes, lost, torn, syncErrors prometheus.Counter
	gaps, missing                         *prometheus.CounterVec
	sync                                  prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "bugle_events_" + name, Help: help})
	}
	perReader := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bugle_events_" + name, Help: help}, []string{"reader"})
	}
	return &metrics{
		events:     counter("written_total", "Events written to the node's log."),
		bytes:      counter("written_bytes_total", "Bytes written to the node's event log."),
		lost:       counter("lost_total", "Events that could not be written."),
		torn:       counter("torn_bytes_total", "Bytes cut from the end of the event log when it was opened."),
		syncErrors: counter("sync_errors_total", "Syncs of the event log that failed."),
		gaps:       perReader("gaps_total", "Damaged places a reader of the event log passed over."),
		missing:    perReader("missing_total", "Events a reader did not find because of them."),
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
	full := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bugle_events_full", Help: "1 while the disk is full and events are kept in the reserve.",
	}, func() float64 {
		if l.Full() {
			return 1
		}
		return 0
	})
	return []prometheus.Collector{
		m.events, m.bytes, m.lost, m.torn, m.syncErrors, m.gaps, m.missing, m.sync, full, behind{l},
	}
}

// behind tells how far each reader is behind the log, also one that nobody has
// opened: it holds back the deletion of segments all the same.
type behind struct{ log *Log }

var behindDesc = prometheus.NewDesc("bugle_events_behind", "Events a reader has not committed yet.", []string{"reader"}, nil)

// Describe is prometheus.Collector's.
func (b behind) Describe(out chan<- *prometheus.Desc) { out <- behindDesc }

// Collect is prometheus.Collector's.
func (b behind) Collect(out chan<- prometheus.Metric) {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	for name, o := range b.log.readers {
		out <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, float64(b.log.end.seq-min(o.seq, b.log.end.seq)), name)
	}
}
