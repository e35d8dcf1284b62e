package sip

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	trunkUp         = prometheus.NewDesc("bugle_sip_trunk_up", "1 if a host of the trunk is well, as far as is known; 0 if none is.", []string{"trunk"}, nil)
	trunkCalls      = prometheus.NewDesc("bugle_sip_trunk_calls", "Calls at once with the trunk, in and out.", []string{"trunk"}, nil)
	trunkRegistered = prometheus.NewDesc("bugle_sip_trunk_registered", "1 if we are registered at the trunk.", []string{"trunk"}, nil)
)

// trunkCollector tells how the trunks are as it is asked.
type trunkCollector struct{ s *Server }

// Describe implements prometheus.Collector.
func (c trunkCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- trunkUp
	ch <- trunkCalls
	ch <- trunkRegistered
}

// Collect implements prometheus.Collector. A trunk that only calls us is neither up
// nor down.
func (c trunkCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, t *trunk) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, t.Name)
	}
	for _, t := range c.s.trunks {
		gauge(trunkCalls, float64(t.atOnce()), t)
		if len(t.Hosts) > 0 {
			gauge(trunkUp, truth(t.up()), t)
		}
		if t.Register {
			gauge(trunkRegistered, truth(t.registered()), t)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func newTrunkFailures(trunks []*trunk) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bugle", Subsystem: "sip", Name: "trunk_host_failures_total",
		Help: "Calls and OPTIONS that a host of the trunk did not take."}, []string{"trunk", "reason"})
	for _, t := range trunks {
		for _, why := range []string{failedSilent, failedUnavailable, failedUnreachable} {
			if len(t.Hosts) > 0 {
				v.WithLabelValues(t.Name, why)
			}
		}
	}
	return v
}
