package sip

import (
	gosip "github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the technical figures of this room; those of the business are
// made from events, in room report.
type metrics struct {
	requests      *prometheus.CounterVec
	responses     *prometheus.CounterVec
	rejected      *prometheus.CounterVec
	retransmitted prometheus.Counter
	sendFailed    prometheus.Counter
	dropped       *prometheus.CounterVec
	bans          *prometheus.CounterVec
	banned        prometheus.GaugeFunc
	panics        prometheus.Counter
	trunkFailures *prometheus.CounterVec
	trunks        trunkCollector
	registrations prometheus.GaugeFunc
	legs          prometheus.GaugeFunc

	byMethod map[gosip.RequestMethod]prometheus.Counter
	byClass  [7]prometheus.Counter
}

// reasons an INVITE or REGISTER is refused at the door.
const (
	refusedMalformed = "malformed"
	refusedCapacity  = "capacity"
	refusedDraining  = "draining"
	refusedProof     = "wrong_proof"
	refusedRate      = "rate" // of new calls
	refusedTrunk     = "trunk_full"
)

func newMetrics(s *Server) *metrics {
	const ns, sub = "bugle", "sip"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string, f func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, f)
	}
	m := &metrics{
		requests:      vec("requests_total", "SIP requests received, without repetitions.", "method"),
		responses:     vec("responses_total", "SIP responses sent, with repetitions.", "class"),
		rejected:      vec("rejected_total", "Requests refused at the door.", "reason"),
		retransmitted: counter("retransmissions_total", "Requests and 2xx answers sent again."),
		sendFailed:    counter("send_failures_total", "Messages that could not be sent."),
		dropped:       vec("dropped_total", "Messages dropped without an answer.", "reason"),
		bans:          vec("bans_total", "Sources banned, by the last of what they did.", "reason"),
		banned:        gauge("banned_sources", "Sources that are banned.", func() float64 { return float64(s.edge.bannedNow()) }),
		panics:        counter("panics_total", "Panics caught; each ended one call."),
		registrations: gauge("registrations", "Bindings registered over this node.", func() float64 { return float64(s.registrar.count()) }),
		legs:          gauge("legs", "Dialogs that are not over.", func() float64 { return float64(s.legs.count()) }),
		trunkFailures: newTrunkFailures(s.trunks),
		trunks:        trunkCollector{s},
		byMethod:      make(map[gosip.RequestMethod]prometheus.Counter),
	}
	for method := range knownMethods {
		m.byMethod[method] = m.requests.WithLabelValues(string(method))
	}
	for i, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx", "6xx"} {
		m.byClass[i+1] = m.responses.WithLabelValues(class)
	}
	for _, reason := range []string{refusedMalformed, refusedCapacity, refusedDraining, refusedProof, refusedRate, refusedTrunk} {
		m.rejected.WithLabelValues(reason)
	}
	for _, reason := range []string{dropBanned, dropRate, dropTotal, dropImplausib, dropUnparsable, dropUnanswered, dropBusy} {
		m.dropped.WithLabelValues(reason)
	}
	for _, o := range []offence{offenceMalformed, offenceMethod, offenceProof, offenceNoAnswer, banShared} {
		m.bans.WithLabelValues(string(o))
	}
	return m
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

func (m *metrics) request(method gosip.RequestMethod) {
	if c, ok := m.byMethod[method]; ok {
		c.Inc()
		return
	}
	m.requests.WithLabelValues("other").Inc()
}

func (m *metrics) response(res *gosip.Response) {
	if class := res.StatusCode / 100; class >= 1 && class <= 6 {
		m.byClass[class].Inc()
	}
}

// Collectors gives the room's metrics, for a registry to collect.
func (s *Server) Collectors() []prometheus.Collector {
	m := s.metrics
	return []prometheus.Collector{
		m.requests, m.responses, m.rejected, m.retransmitted, m.sendFailed, m.dropped, m.bans, m.banned, m.panics, m.registrations, m.legs,
		m.trunkFailures, m.trunks,
	}
}
