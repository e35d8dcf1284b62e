package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProbe(t *testing.T) {
	for _, answer := range []struct {
		status string
		code   int // the leg ends with; 0: it lives
	}{
		{"200 OK", 0}, {"404 Not Found", 0}, {"405 Method Not Allowed", 0}, {"501 Not Implemented", 0},
		{"481 Gone", 481}, {"408 Request Timeout", 408},
	} {
		t.Run(answer.status, func(t *testing.T) {
			inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
				l.Probe()
				l.Probe() // the first is open: there is no second
				probe := c.recv("OPTIONS sip:caller@" + c.addr())
				if field(probe, "From") != c.to || field(probe, "CSeq") != "1 OPTIONS" {
					t.Errorf("not a request of the dialog: %s", probe)
				}
				c.quiet("OPTIONS", 499*time.Millisecond)
				c.answer(probe, answer.status, "")
				if answer.code != 0 {
					wantEnd(t, l, answer.code, ByFailure)
					return
				}
				synctest.Wait()
				l.Probe() // the next one shows that the leg has lived on
				again := c.recv("OPTIONS")
				if field(again, "CSeq") != "2 OPTIONS" {
					t.Errorf("the next: %s", again)
				}
				c.answer(again, "200 OK", "")
				hangUp(t, c.wire, l)
			})
		})
	}
}

func TestProbeWithoutAnswer(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		l.Probe()
		bye := c.after(32*time.Second, "BYE")
		wantEnd(t, l, 408, ByFailure)
		if !strings.HasSuffix(l.End().Reason, "to OPTIONS") {
			t.Errorf("reason %q", l.End().Reason)
		}
		c.answer(bye, "481 Gone", "") // perhaps it hears us after all
	})
}

func TestProbeOutOfTurn(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.request("INVITE", 1, offer...)
		l := next(t, "leg", legs)
		l.Probe()
		l.Hangup()
		c.recv("SIP/2.0 480")
		c.resend("ACK", 1, 1)
		l.Probe()
		c.quiet("OPTIONS", time.Minute) // neither before nor after the dialog
	})
}
