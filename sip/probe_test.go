package sip

import (
	"strings"
	"testing"
	"time"
)

// standing places a call by hand and gives the leg once it stands.
func standing(t *testing.T, s *Server, d *desk, callID string) (*caller, *Leg) {
	t.Helper()
	c := newCaller(t, s, callID)
	c.dial()
	l := next(t, "leg", d.legs)
	c.request("ACK", 1)
	c.request("OPTIONS", 2) // its answer says that the ACK has been heard
	for field(c.recv("SIP/2.0 200"), "CSeq") != "2 OPTIONS" {
	}
	return c, l
}

func TestProbe(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	for _, answer := range []struct {
		status string
		code   int // the leg ends with; 0: it lives
	}{
		{"200 OK", 0}, {"404 Not Found", 0}, {"405 Method Not Allowed", 0}, {"501 Not Implemented", 0},
		{"481 Gone", 481}, {"408 Request Timeout", 408},
	} {
		t.Run(answer.status, func(t *testing.T) {
			c, l := standing(t, s, d, "probe-"+answer.status[:3])
			l.Probe()
			l.Probe() // the first is open: there is no second
			probe := c.recv("OPTIONS sip:caller@" + c.addr())
			if field(probe, "From") != c.to || field(probe, "CSeq") != "1 OPTIONS" {
				t.Errorf("not a request of the dialog: %s", probe)
			}
			c.answer(probe, answer.status, "")
			if answer.code != 0 {
				wantEnd(t, l, answer.code, ByFailure)
				return
			}
			for { // the next one shows that the leg has lived on
				l.Probe()
				if again, ok := c.within("OPTIONS", 5*quickT1); ok && field(again, "CSeq") != "1 OPTIONS" {
					c.answer(again, "200 OK", "")
					break
				}
			}
			l.Hangup()
			c.answer(c.recv("BYE"), "200 OK", "")
			wantEnd(t, l, 200, ByLocal)
		})
	}
}

func TestProbeWithoutAnswer(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c, l := standing(t, s, d, "probe-lost")
	began := time.Now()
	l.Probe()
	wantEnd(t, l, 408, ByFailure)
	if took := time.Since(began); took < 60*quickT1 || took > 120*quickT1 {
		t.Errorf("ended after %v", took)
	}
	if !strings.HasSuffix(l.End().Reason, "to OPTIONS") {
		t.Errorf("reason %q", l.End().Reason)
	}
	c.answer(c.recv("BYE"), "481 Gone", "") // perhaps it hears us after all
}

func TestProbeOutOfTurn(t *testing.T) {
	d := newDesk(nil)
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "probe-early")
	c.request("INVITE", 1, offer...)
	l := next(t, "leg", d.legs)
	l.Probe()
	l.Hangup()
	c.recv("SIP/2.0 480")
	c.resend("ACK", 1, 1)
	l.Probe()
	if _, ok := c.within("OPTIONS", 50*time.Millisecond); ok {
		t.Error("OPTIONS before or after the dialog")
	}
}
