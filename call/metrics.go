package call

import "github.com/prometheus/client_golang/prometheus"

// metrics are this room's own; what calls come to is counted from their events.
type metrics struct {
	refused   *prometheus.CounterVec // by reason
	emergency *prometheus.CounterVec // by number
	unhelped  *prometheus.CounterVec // by number and reason
}

func newMetrics() metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bugle_" + name + "_total", Help: help}, labels)
	}
	m := metrics{
		refused:   counter("agent_calls_refused", "Calls and transfers of agents that the site does not allow.", "reason"),
		emergency: counter("emergency_calls", "Agents' calls to emergency numbers.", "number"),
		unhelped:  counter("emergency_calls_failed", "Those of them that were not put through.", "number", "reason"),
	}
	for _, t := range []Termination{UnknownNumber, OutsideOff, OutsideDenied, OutsidePerHour, OutsideAtOnce, OutsideUnknown, OwnAtOnce} {
		m.refused.WithLabelValues(t.Reason)
	}
	return m
}

// Collectors are the metrics of this room, to be registered once.
func (c *Conductor) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.metrics.refused, c.metrics.emergency, c.metrics.unhelped}
}
