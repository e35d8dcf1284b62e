package sip

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func counter(t testing.TB, c prometheus.Collector) float64 {
	t.Helper()
	return testutil.ToFloat64(c)
}

func contains(s, sub string) bool { return strings.Contains(s, sub) }

func TestCollectors(t *testing.T) {
	d := newDesk(func(l *Leg) { _ = l.Reject(404, "") })
	virtual(t, func(t *testing.T, e *ether) {
		a, b := pair(t, e, "udp", d)
		out, err := a.Dial(Target{URI: b.uri("x", "udp")}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, out, 404, ByRemote)
		synctest.Wait()
		reg := prometheus.NewPedanticRegistry()
		for _, c := range b.Collectors() {
			if err := reg.Register(c); err != nil {
				t.Fatal(err)
			}
		}
		if got := counter(t, b.metrics.requests.WithLabelValues("INVITE")); got != 1 {
			t.Errorf("%v INVITEs counted", got)
		}
		if got := counter(t, b.metrics.responses.WithLabelValues("INVITE", "4xx")); got != 1 {
			t.Errorf("%v refusals counted", got)
		}
		for what, of := range map[string]struct {
			s    *Server
			c    func(*metrics) prometheus.Counter
			want float64
		}{
			"INVITEs sent":          {a, func(m *metrics) prometheus.Counter { return m.asked.WithLabelValues("INVITE") }, 1},
			"refusals received":     {a, func(m *metrics) prometheus.Counter { return m.answers.WithLabelValues("INVITE", "4xx") }, 1},
			"ACKs sent":             {a, func(m *metrics) prometheus.Counter { return m.asked.WithLabelValues("ACK") }, 1},
			"messages in":           {a, func(m *metrics) prometheus.Counter { return m.messages.WithLabelValues("in", "udp") }, 1},
			"messages out":          {b, func(m *metrics) prometheus.Counter { return m.messages.WithLabelValues("out", "udp") }, 1},
			"legs refused by b":     {b, func(m *metrics) prometheus.Counter { return m.ended.WithLabelValues("local", "404") }, 1},
			"legs refused to a":     {a, func(m *metrics) prometheus.Counter { return m.ended.WithLabelValues("remote", "404") }, 1},
			"transactions too late": {a, func(m *metrics) prometheus.Counter { return m.timedOut.WithLabelValues("INVITE") }, 0},
		} {
			if got := counter(t, of.c(of.s.metrics)); got != of.want {
				t.Errorf("%v %s, want %v", got, what, of.want)
			}
		}
		if _, err := reg.Gather(); err != nil {
			t.Error(err)
		}
	})
}

// What a far end makes up is counted, and makes no label.
func TestNoLabelOfAStranger(t *testing.T) {
	m := newServer(Options{}).metrics
	m.request("4930123456")
	if got := counter(t, m.requests.WithLabelValues("other")); got != 1 {
		t.Errorf("%v unknown methods counted", got)
	}
	for code, want := range map[int]string{200: "200", 486: "486", 499: "4xx", 678: "6xx", 302: "3xx"} {
		if got := statusLabel(code); got != want {
			t.Errorf("%d is counted as %s", code, got)
		}
	}
}

// A repeated request and one that nobody answers are counted.
func TestLostMessagesAreCounted(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "again")
		c.request("INVITE", 1, offer...)
		c.resend("INVITE", 1, 1, offer...)
		c.recv("SIP/2.0 100")
		if got := counter(t, s.metrics.repeated); got != 1 {
			t.Errorf("%v repetitions counted", got)
		}
		c.request("CANCEL", 1)
		l, err := s.Dial(Target{URI: "sip:x@127.0.0.1:9"}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		<-l.Done()
		if got := counter(t, s.metrics.timedOut.WithLabelValues("INVITE")); got != 1 {
			t.Errorf("%v INVITEs timed out", got)
		}
	})
}
