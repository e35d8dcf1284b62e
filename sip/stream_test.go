package sip

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"

	gosip "github.com/emiago/sipgo/sip"
)

// TestPanicInAReader holds that bytes which make the reading itself panic end, of
// UDP, nothing but themselves, and of a stream its connection alone.
func TestPanicInAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(Options{})
		boom := func(inbound) { panic("in the parser") }
		message := strings.Replace(streamed, "Content-Length", "Call-ID: a\r\nCSeq: 1 OPTIONS\r\nContent-Length", 1)
		newListener("udp", s.edge, boom).datagram(gosip.NewParser(), stranger, []byte(message))

		far, _ := pipedTo(t, newListener("tcp", s.edge, boom).conns, false)
		if _, err := io.WriteString(far, message); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("the connection stands on")
		}
		synctest.Wait()
		if got := counter(t, s.metrics.panics); got != 2 {
			t.Errorf("%v panics counted, want 2", got)
		}
	})
}
