package sip

import (
	"maps"
	"slices"
	"strconv"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the technical figures of this room; those of the business are
// made from events, in room report.
type metrics struct {
	requests      *exchange // received
	asked         *exchange // sent
	responses     *exchange // sent
	answers       *exchange // received
	messages      *prometheus.CounterVec
	stun          *prometheus.CounterVec
	repeated      prometheus.Counter
	timedOut      *exchange
	ended         *prometheus.CounterVec
	rejected      *prometheus.CounterVec
	retransmitted prometheus.Counter
	sendFailed    prometheus.Counter
	dropped       *prometheus.CounterVec
	bans          *prometheus.CounterVec
	banned        prometheus.GaugeFunc
	panics        prometheus.Counter
	unreachable   *prometheus.CounterVec
	trunkFailures *prometheus.CounterVec
	trunks        trunkCollector
	registrations prometheus.GaugeFunc
	legs          prometheus.GaugeFunc
	traced        prometheus.GaugeFunc

	byNetwork map[string][2]prometheus.Counter // messages in and out
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

// reasons a phone cannot be rung.
const (
	phoneElsewhere = "other_node" // has the connection, and there is no Path
	phoneGone      = "gone"       // is the connection
)

func newMetrics(s *Server) *metrics {
	const ns, sub = "bugle", "sip"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, f func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, f)
	}
	m := &metrics{
		requests:      newExchange("requests_total", "SIP requests received, without repetitions.", false),
		asked:         newExchange("requests_sent_total", "SIP requests sent, without repetitions.", false),
		responses:     newExchange("responses_total", "SIP responses sent, with repetitions.", true),
		answers:       newExchange("responses_received_total", "SIP responses received, with repetitions.", true),
		messages:      vec("messages_total", "Messages let in, whatever they were, and sent.", "direction", "transport"),
		stun:          vec("stun_requests_total", "STUN let in on the UDP ports, by what became of it.", "result"),
		repeated:      counter("repetitions_total", "Requests received again: our answer was lost or late."),
		timedOut:      newExchange("transactions_timed_out_total", "Requests of ours that nobody answered.", false),
		ended:         vec("legs_ended_total", "Legs that ended, by who ended them and the SIP status that tells how.", "class", "reason"),
		rejected:      vec("rejected_total", "Requests refused at the door.", "reason"),
		retransmitted: counter("retransmissions_total", "Requests and 2xx answers sent again."),
		sendFailed:    counter("send_failures_total", "Messages that could not be sent."),
		dropped:       vec("dropped_total", "Messages dropped without an answer.", "reason"),
		bans:          vec("bans_total", "Sources banned, by the last of what they did.", "reason"),
		banned:        gauge("banned_sources", "Sources that are banned.", func() float64 { return float64(s.edge.bannedNow()) }),
		panics:        counter("panics_total", "Panics caught; each ended one call."),
		unreachable:   vec("unreachable_phones_total", "Agents' phones that could not be rung, as this node has no connection to them.", "reason"),
		registrations: gauge("registrations", "Bindings registered over this node.", func() float64 { return float64(s.registrar.count()) }),
		legs:          gauge("legs", "Dialogs that are not over.", func() float64 { return float64(s.legs.count()) }),
		traced:        gauge("trace_bytes", "Memory that the messages kept for a trace take.", func() float64 { return float64(s.edge.trace.size()) }),
		trunkFailures: newTrunkFailures(s.trunks),
		trunks:        trunkCollector{s},
		byNetwork:     make(map[string][2]prometheus.Counter),
	}
	for _, network := range networks {
		m.byNetwork[network] = [2]prometheus.Counter{m.messages.WithLabelValues("in", network), m.messages.WithLabelValues("out", network)}
	}
	for _, reason := range []string{refusedMalformed, refusedCapacity, refusedDraining, refusedProof, refusedRate, refusedTrunk} {
		m.rejected.WithLabelValues(reason)
	}
	for _, reason := range []string{dropBanned, dropRate, dropTotal, dropImplausib, dropUnparsable, dropUnanswered, dropBusy} {
		m.dropped.WithLabelValues(reason)
	}
	for _, result := range []string{stunAnswered, stunRefused, stunIgnored} {
		m.stun.WithLabelValues(result)
	}
	for _, reason := range []string{phoneElsewhere, phoneGone} {
		m.unreachable.WithLabelValues(reason)
	}
	for _, o := range []offence{offenceMalformed, offenceMethod, offenceProof, offenceNoAnswer, banShared} {
		m.bans.WithLabelValues(string(o))
	}
	return m
}

func (m *metrics) drop(reason string) { m.dropped.WithLabelValues(reason).Inc() }

func (m *metrics) request(method gosip.RequestMethod) { m.requests.count(method, 0) }

func (m *metrics) response(res *gosip.Response) { m.responses.of(res) }

// networks a message may come by.
var networks = []string{"udp", "tcp", "tls", "ws", "wss"}

// message counts one, whatever it says.
func (m *metrics) message(network string, out bool) {
	if c := m.byNetwork[network]; out {
		c[1].Inc()
	} else {
		c[0].Inc()
	}
}

// over counts a leg that has ended.
func (m *metrics) over(end End) { m.ended.WithLabelValues(string(end.By), statusLabel(end.Code)).Inc() }

// statusLabel gives a status as a label: those the far end has thought of itself by
// their class, so that nobody can make labels without end.
func statusLabel(code int) string {
	if _, known := reasons[code]; !known && code != 200 {
		return strconv.Itoa(code/100) + "xx"
	}
	return strconv.Itoa(code)
}

// exchange counts messages of one kind by their method, and responses by their class
// as well. Which methods there are is known, others count as one.
type exchange struct {
	*prometheus.CounterVec
	known map[gosip.RequestMethod]*[7]prometheus.Counter
}

const otherMethod = "other"

func newExchange(name, help string, responses bool) *exchange {
	labels, first, last := []string{"method"}, 0, 0
	if responses {
		labels, first, last = append(labels, "class"), 1, 6
	}
	e := &exchange{
		CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bugle", Subsystem: "sip", Name: name, Help: help}, labels),
		known:      make(map[gosip.RequestMethod]*[7]prometheus.Counter),
	}
	for _, method := range append(slices.Collect(maps.Keys(knownMethods)), otherMethod) {
		e.known[method] = new([7]prometheus.Counter)
		for class := first; class <= last; class++ {
			values := []string{string(method)}
			if responses {
				values = append(values, strconv.Itoa(class)+"xx")
			}
			e.known[method][class] = e.WithLabelValues(values...)
		}
	}
	return e
}

// of counts a response, if its status is one.
func (e *exchange) of(res *gosip.Response) {
	if class := res.StatusCode / 100; class >= 1 && class <= 6 && res.CSeq() != nil {
		e.count(res.CSeq().MethodName, class)
	}
}

// count counts a message; of requests the class is 0.
func (e *exchange) count(method gosip.RequestMethod, class int) {
	c, ok := e.known[method]
	if !ok {
		c = e.known[otherMethod]
	}
	c[class].Inc()
}

// Collectors gives the room's metrics, for a registry to collect.
func (s *Server) Collectors() []prometheus.Collector {
	m := s.metrics
	return []prometheus.Collector{
		m.requests, m.asked, m.responses, m.answers, m.messages, m.stun, m.repeated, m.timedOut, m.ended, m.rejected, m.retransmitted, m.sendFailed, m.dropped, m.bans, m.banned, m.panics, m.unreachable, m.registrations, m.legs, m.traced,
		m.trunkFailures, m.trunks,
	}
}
