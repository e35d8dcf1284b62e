package sip

import (
	"strings"
	"testing"
	"testing/synctest"
)

// What each request of the far end gets in each state of a leg: the table of
// docs/sip.md. 0 is no answer, and what follows a slash is the INVITE's.
var reactions = map[string]map[string]string{
	//          ringing   early       answered (no ACK)  up          changing (our re-INVITE is out)  ending (our BYE is out)
	"INVITE":   {"ringing": "500", "early": "500", "answered": "200", "up": "200", "changing": "491", "ending": "481"},
	"UPDATE":   {"ringing": "500", "early": "200", "answered": "200", "up": "200", "changing": "491", "ending": "481"},
	"refresh":  {"ringing": "200", "early": "200", "answered": "200", "up": "200", "changing": "200", "ending": "200"},
	"ACK":      {"ringing": "", "early": "", "answered": "", "up": "", "changing": "", "ending": ""},
	"PRACK":    {"ringing": "481", "early": "481", "answered": "481", "up": "481", "changing": "481", "ending": "481"},
	"BYE":      {"ringing": "200 487", "early": "200 487", "answered": "200", "up": "200", "changing": "200", "ending": "200"},
	"CANCEL":   {"ringing": "200 487", "early": "200 487", "answered": "200", "up": "200", "changing": "200", "ending": "200"},
	"INFO":     {"ringing": "200", "early": "200", "answered": "200", "up": "200", "changing": "200", "ending": "200"},
	"OPTIONS":  {"ringing": "200", "early": "200", "answered": "200", "up": "200", "changing": "200", "ending": "200"},
	"REFER":    {"ringing": "500", "early": "500", "answered": "603", "up": "603", "changing": "603", "ending": "481"},
	"NOTIFY":   {"ringing": "481", "early": "481", "answered": "481", "up": "481", "changing": "481", "ending": "481"},
	"MESSAGE":  {"ringing": "405", "early": "405", "answered": "405", "up": "405", "changing": "405", "ending": "405"},
	"stale":    {"ringing": "500", "early": "500", "answered": "500", "up": "500", "changing": "500", "ending": "500"},
	"stranger": {"ringing": "481", "early": "481", "answered": "481", "up": "481", "changing": "481", "ending": "481"},
}

// into brings a leg into a state, from its INVITE on.
func into(t *testing.T, c *caller, l *Leg, state string) {
	m := &media{}
	if state == "ringing" {
		_ = l.Ringing()
		c.to = field(c.recv("SIP/2.0 180"), "To")
		return
	}
	if state == "early" {
		_ = l.AnswerEarly(m)
		res := c.recv("SIP/2.0 183")
		c.to = field(res, "To")
		c.prack(2, res)
		c.recv("SIP/2.0 200")
		return
	}
	if err := l.Answer(m); err != nil {
		t.Fatal(err)
	}
	c.to = field(c.recv("SIP/2.0 200"), "To")
	if state == "answered" {
		return
	}
	c.request("ACK", 1)
	synctest.Wait()
	switch state {
	case "changing":
		go func() { _ = l.Reinvite(t.Context()) }()
		c.recv("INVITE")
	case "ending":
		l.Hangup()
		c.recv("BYE")
	}
}

func TestEveryRequestInEveryState(t *testing.T) {
	for event, states := range reactions {
		for state, want := range states {
			t.Run(event+" "+state, func(t *testing.T) {
				d := newDesk(nil)
				bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
					c := newCaller(t, s, "table")
					c.request("INVITE", 1, append([]string{"Supported: 100rel"}, offer...)...)
					l := next(t, "leg", d.legs)
					into(t, c, l, state)
					synctest.Wait()
					c.seen = nil
					switch event {
					case "INVITE", "UPDATE":
						c.request(event, 5, offer...)
					case "refresh":
						c.request("UPDATE", 5)
					case "ACK", "CANCEL":
						c.resend(event, 1, 1)
					case "stale":
						c.request("OPTIONS", 1)
					case "stranger":
						c.send("INFO sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP "+c.addr()+";branch=z9hG4bK-s", "From: <sip:x@h>;tag=other", "To: "+c.to, "Call-ID: table", "CSeq: 9 INFO")
					case "PRACK":
						c.request("PRACK", 5, "RAck: 77 1 INVITE")
					case "REFER":
						c.request("REFER", 5, "Refer-To: <sip:200@h>")
					default:
						c.request(event, 5)
					}
					synctest.Wait()
					var got []string
					for {
						m, ok := c.within("SIP/2.0", 0)
						if !ok {
							break
						}
						got = append(got, strings.Fields(m)[1])
					}
					if strings.Join(got, " ") != want {
						t.Errorf("%q, want %q", got, want)
					}
					// A leg is ended right from wherever that left it.
					l.Hangup()
					c.resend("ACK", 1, 1)
					c.resend("ACK", 5, c.branch)
					<-l.Done()
				})
			})
		}
	}
}
