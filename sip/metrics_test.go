package sip

import (
	"strings"
	"testing"

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
	a, b := pair(t, "udp", d)
	out, err := a.Dial(Target{URI: b.uri("x", "udp")}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	wantEnd(t, out, 404, ByRemote)
	reg := prometheus.NewPedanticRegistry()
	for _, c := range b.Collectors() {
		if err := reg.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	if got := counter(t, b.metrics.requests.WithLabelValues("INVITE")); got != 1 {
		t.Errorf("%v INVITEs counted", got)
	}
	if got := counter(t, b.metrics.responses.WithLabelValues("4xx")); got != 1 {
		t.Errorf("%v refusals counted", got)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}
