package sip

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestCloseWhileCallsCome closes servers at the moment calls come in.
func TestCloseWhileCallsCome(t *testing.T) {
	for round := range 10 {
		s := start(t, Options{Config: openConfig("udp"), Handler: newDesk(func(l *Leg) { <-l.Done() }), T1: time.Minute})
		var callers sync.WaitGroup
		begun := make(chan struct{}, 1)
		for n := range 4 {
			c := newCaller(t, s, "")
			callers.Go(func() {
				for m := range 40 {
					c.callID = fmt.Sprintf("closing-%d-%d", n, m)
					c.request("INVITE", 1, offer...)
					if m == 3*round {
						select {
						case begun <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		<-begun
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		callers.Wait()
		if n := len(s.serverTxs.all()); n != 0 || s.Legs() != 0 {
			t.Errorf("%d transactions and %d legs after Close", n, s.Legs())
		}
	}
}

// TestNoLegOnceClosed holds that an INVITE refused because the server is closed
// leaves nothing.
func TestNoLegOnceClosed(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		s.legs.close()
		c := newCaller(t, s, "closed")
		c.request("INVITE", 1, offer...)
		c.recv("SIP/2.0 503")
		if n := len(s.serverTxs.all()); n != 0 {
			t.Errorf("%d transactions left", n)
		}
	})
}

// TestCloseWaitsForTimers holds that Close returns after the last timer's
// callback.
func TestCloseWaitsForTimers(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		begun, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
		s.after(0, func() { close(begun); <-release })
		<-begun
		go func() {
			_ = s.Close()
			close(closed)
		}()
		time.Sleep(time.Minute)
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(release)
		<-closed
	})
}

// TestReaderOutlivesAPanic holds that what a message does to a socket's reader
// does not end the process.
func TestReaderOutlivesAPanic(t *testing.T) {
	s := newServer(Options{})
	s.arrived(inbound{})
	if got := counter(t, s.metrics.panics); got != 1 {
		t.Errorf("%v panics counted", got)
	}
}
