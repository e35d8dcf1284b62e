package sip

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkCall sets a call up and ends it between two servers of one process:
// one leg as callee and one as caller, which is what a bridged call costs a node.
func BenchmarkCall(b *testing.B) {
	for _, network := range []string{"udp", "tcp"} {
		b.Run(network, func(b *testing.B) {
			d := newDesk(func(l *Leg) {
				_ = l.Ringing()
				if err := l.Answer(&media{}); err != nil {
					b.Error(err)
				}
				<-l.Done()
			})
			callee := start(b, Options{Config: openConfig(network), Handler: d, T1: 500 * time.Millisecond})
			caller := start(b, Options{Config: openConfig("udp"), T1: 500 * time.Millisecond})
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

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
