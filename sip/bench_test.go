package sip

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkCall sets a call up and ends it between two servers of one process:
// one leg as callee and one as caller, which is what a bridged call costs a node.
func BenchmarkCall(b *testing.B) {
	for _, of := range []struct {
		what, network string
		trace         int
	}{{"udp", "udp", 64 << 20}, {"udp, no trace", "udp", 0}, {"tcp", "tcp", 64 << 20}, {"tcp, no trace", "tcp", 0}} {
		network := of.network
		b.Run(of.what, func(b *testing.B) {
			d := newDesk(func(l *Leg) {
				_ = l.Ringing()
				if err := l.Answer(&media{}); err != nil {
					b.Error(err)
				}
				<-l.Done()
			})
			server := func(network string, h Handler) *Server {
				cfg := openConfig(network)
				cfg.Trace.Memory = of.trace
				return start(b, Options{Config: cfg, Handler: h, T1: 500 * time.Millisecond})
			}
			callee, caller := server(network, d), server("udp", nil)
			target := Target{URI: callee.uri("helpline", network), From: "+15550001"}
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				l, err := caller.Dial(target, &media{})
				if err != nil {
					b.Fatal(err)
				}
				<-l.Answered()
				l.Hangup()
				<-l.Done()
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(time.Millisecond)/float64(b.N), "cpu-ms/call")
		})
	}
}

func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
