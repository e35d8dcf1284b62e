package sip

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPanicInAReader holds that bytes which make the reading itself panic end, of
// UDP, nothing but themselves, and of a stream its connection alone.
func TestPanicInAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(Options{})
		boom := func(inbound) { panic("in the parser") }
		message := strings.Replace(streamed, "Content-Length", "Call-ID: a\r\nCSeq: 1 OPTIONS\r\nContent-Length", 1)
		newListener("udp", s.edge, boom).datagram(newParser(), stranger, []byte(message))

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

// TestCrowdOnAConnection holds that parameters without end close a connection before
// anybody has looked at each, whether their line ends or not.
func TestCrowdOnAConnection(t *testing.T) {
	for what, end := range map[string]string{"a line": "\r\n", "no end": ""} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(Options{})
				far, _ := pipedTo(t, newListener("tcp", s.edge, func(inbound) {}).conns, false)
				go func() {
					_, _ = io.WriteString(far, "OPTIONS sip:a@b SIP/2.0\r\nVia: x"+strings.Repeat(";a", maxParams+1)+end)
				}()
				if _, err := far.Read(make([]byte, 1)); err == nil {
					t.Error("the connection stands on")
				}
				synctest.Wait()
				if got := counter(t, s.metrics.dropped.WithLabelValues(dropImplausib)); got != 1 {
					t.Errorf("%v counted as implausible, want 1", got)
				}
			})
		})
	}
}

// TestFarEndThatDoesNotRead holds that writers do not wait for each other, nor for
// a far end that has stopped reading or reads a little now and then: each would keep a
// goroutine that handles messages.
func TestFarEndThatDoesNotRead(t *testing.T) {
	for what, sip := range map[string]time.Duration{"never": 0, "drop by drop": strangerTimeout / 2} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far, s := pipedTo(t, newListener("tcp", newServer(Options{}).edge, nil).conns, false)
				var reader, writers sync.WaitGroup
				if sip > 0 {
					reader.Go(func() {
						for one := make([]byte, 3); ; time.Sleep(sip) {
							if _, err := far.Read(one); err != nil {
								return
							}
						}
					})
				}
				waiting, most := new(atomic.Int64), int64(0)
				for range 1000 {
					writers.Go(func() {
						waiting.Add(1)
						defer waiting.Add(-1)
						_ = s.send([]byte("abc"))
					})
					time.Sleep(10 * time.Millisecond)
					most = max(most, waiting.Load())
				}
				if limit := int64(2*strangerTimeout/(10*time.Millisecond)) + 2; most > limit {
					t.Errorf("%d goroutines waited at once, want at most %d", most, limit)
				}
				writers.Wait()
				if _, err := far.Write([]byte("x")); err == nil {
					t.Error("the connection stands on")
				}
				reader.Wait()
			})
		})
	}
}

// TestStreamOverItsRate holds that a far end which sends more than it may is read
// no faster than it takes to refuse it politely, and that what is no SIP counts.
func TestStreamOverItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, heard := testEdge(nil), 0
		far, _ := pipedTo(t, newListener("tcp", e, func(inbound) { heard++ }).conns, false)
		_ = far.SetWriteDeadline(time.Now().Add(10 * time.Second))
		sent := 0
		for ; ; sent++ {
			if _, err := io.WriteString(far, streamed); err != nil {
				break
			}
		}
		synctest.Wait()
		if heard < 90 || heard > 115 || sent > 220 {
			t.Errorf("%d of %d messages were heard in ten seconds, want about 110 of not many more", heard, sent)
		}
		_ = far.Close()
		for range strangersLimits.Failures {
			far, _ := pipedTo(t, newListener("tcp", e, nil).conns, false)
			if _, err := io.WriteString(far, "GET / HTTP/1.1\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if !e.banned(stranger.Addr(), "tcp") {
			t.Error("who sends no SIP is not banned")
		}
	})
}
