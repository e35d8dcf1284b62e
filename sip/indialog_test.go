package sip

import (
	"strings"
	"testing"
	"time"
)

// over ends a call from the wire.
func (c *caller) over(t *testing.T, l *Leg, seq int) {
	t.Helper()
	c.request("BYE", seq)
	c.recv("SIP/2.0 200")
	wantEnd(t, l, 200, ByRemote)
}

func TestReinvite(t *testing.T) {
	m := &media{}
	inBubble(t, m, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		c.request("INVITE", 2, "Content-Type: application/sdp", "", "v=0", "s=hold")
		ok := c.recv("SIP/2.0 200")
		if field(ok, "CSeq") != "2 INVITE" || !strings.HasSuffix(ok, "s=answer 2\r\n") || field(ok, "Contact") == "" {
			t.Errorf("answer to the re-INVITE: %s", ok)
		}
		c.again(ok) // until
		c.request("ACK", 2)

		// Without a description it asks for our offer; the answer comes with the ACK.
		c.request("INVITE", 3)
		ok = c.recv("SIP/2.0 200")
		if !strings.HasSuffix(ok, "s=offer 1\r\n") {
			t.Errorf("offer in the 200: %s", ok)
		}
		c.again(ok)
		// Meanwhile another change would be glare.
		c.request("INVITE", 4, offer...)
		c.recv("SIP/2.0 491")
		c.resend("ACK", 4, c.branch)
		c.request("UPDATE", 5, offer...)
		c.recv("SIP/2.0 491")
		c.request("ACK", 3, answerSDP...)

		// An old number is out of order.
		c.request("INFO", 2)
		if field(c.recv("SIP/2.0 500"), "Retry-After") == "" {
			t.Error("500 without Retry-After")
		}
		c.over(t, l, 9)
	})
	if len(m.accepted) != 1 || m.answered[1] != "v=0\r\ns=hold\r\n" {
		t.Errorf("session heard %q and accepted %q", m.answered, m.accepted)
	}
}

func TestReinviteRefusedLeavesTheCall(t *testing.T) {
	m := &media{}
	inBubble(t, m, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		m.fail = busy{}
		c.request("INVITE", 2, offer...)
		c.recv("SIP/2.0 486")
		c.resend("ACK", 2, c.branch)
		c.request("UPDATE", 3, offer...)
		c.recv("SIP/2.0 486")
		c.over(t, l, 4)
	})
}

func TestUnacknowledgedReinviteEndsTheCall(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		c.request("INVITE", 2, offer...)
		c.answer(c.after(32*time.Second, "BYE"), "200 OK", "")
		wantEnd(t, l, 408, ByFailure)
	})
}

func TestReinviteCountsAsAck(t *testing.T) {
	answered(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg, _ string) {
		c.request("INVITE", 2, offer...)
		if ok := c.recv("SIP/2.0 200"); field(ok, "CSeq") != "2 INVITE" {
			t.Errorf("the re-INVITE is answered by %s", ok)
		}
		c.request("ACK", 2)
		l.Hangup()
		c.answer(c.after(0, "BYE"), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

func TestOfferlessInvite(t *testing.T) {
	for _, good := range []bool{true, false} {
		m := &media{}
		d := answering(t, m)
		bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
			c := newCaller(t, s, "offerless")
			c.request("INVITE", 1)
			ok := c.recv("SIP/2.0 200")
			c.to = field(ok, "To")
			l := next(t, "leg", d.legs)
			if !strings.HasSuffix(ok, "s=offer 1\r\n") {
				t.Errorf("no offer in the 200: %s", ok)
			}
			if good {
				c.request("ACK", 1, answerSDP...)
				c.over(t, l, 2)
				if m.accepted[0] != "v=0\r\ns=theirs\r\n" {
					t.Errorf("accepted %q", m.accepted)
				}
				return
			}
			c.request("ACK", 1)
			c.answer(c.recv("BYE"), "200 OK", "")
			wantEnd(t, l, 488, ByFailure)
		})
	}
}

func TestInDialogRequests(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, s *Server, c *caller, l *Leg) {
		c.request("OPTIONS", 2)
		if field(c.recv("SIP/2.0 200"), "Allow") == "" {
			t.Error("OPTIONS without Allow")
		}
		c.request("UPDATE", 3)
		c.recv("SIP/2.0 200")
		c.request("UPDATE", 4, offer...)
		if ok := c.recv("SIP/2.0 200"); !strings.HasSuffix(ok, "s=answer 2\r\n") {
			t.Errorf("UPDATE answered %s", ok)
		}
		c.request("REFER", 5, "Refer-To: <sip:x@example.com>")
		c.recv("SIP/2.0 603")
		c.request("MESSAGE", 6)
		if field(c.recv("SIP/2.0 405"), "Allow") == "" {
			t.Error("405 without Allow")
		}
		c.request("INFO", 7, "Content-Type: application/dtmf-relay", "", "Signal=5", "Duration=160")
		c.recv("SIP/2.0 200")
		if key, ok := ParseInfoKey(next(t, "INFO", l.Infos())); !ok || key != '5' {
			t.Errorf("key %q", key)
		}
		c.request("INFO", 8)
		c.recv("SIP/2.0 200")

		// The far end moves: BYE follows it.
		moved := newWire(t, s)
		c.request("UPDATE", 9, "Contact: <sip:caller@"+moved.addr()+">")
		c.recv("SIP/2.0 200")
		right := c.to
		c.to = strings.Split(right, ";")[0] + ";tag=guessed"
		c.request("BYE", 10)
		c.recv("SIP/2.0 481")
		c.to = right
		l.Hangup()
		moved.answer(moved.recv("BYE"), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

func TestOutOfDialog(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		for method, want := range map[string]string{
			"OPTIONS": "200", "BYE": "481", "INFO": "481", "UPDATE": "481", "SUBSCRIBE": "405", "REFER": "405", "FROBNICATE": "501",
		} {
			c := newCaller(t, s, "ood-"+method)
			c.request(method, 1)
			if got := c.recv("SIP/2.0 "); !strings.HasPrefix(got, "SIP/2.0 "+want) {
				t.Errorf("%s got %.40s, want %s", method, got, want)
			}
		}
	})
}

func TestRecordRoute(t *testing.T) {
	d := answering(t, &media{})
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		proxy := newWire(t, s)
		c := newCaller(t, s, "routed")
		rr1, rr2 := "<sip:"+proxy.addr()+";lr>", "<sip:10.9.9.9;lr>"
		c.request("INVITE", 1, append([]string{"Record-Route: " + rr1, "Record-Route: " + rr2}, offer...)...)
		ok := c.recv("SIP/2.0 200")
		c.to = field(ok, "To")
		if !strings.Contains(ok, "Record-Route: "+rr1+"\r\nRecord-Route: "+rr2) {
			t.Errorf("Record-Route not given back: %s", ok)
		}
		c.request("ACK", 1)
		l := next(t, "leg", d.legs)
		l.Hangup()
		bye := proxy.recv("BYE sip:caller@" + c.addr())
		if !strings.Contains(bye, "Route: "+rr1+"\r\nRoute: "+rr2) {
			t.Errorf("routes of %s", bye)
		}
		proxy.answer(bye, "200 OK", "")
		wantEnd(t, l, 200, ByLocal)

		// As the caller: reversed, and a strict router (no lr) goes into the Request-URI.
		w := newWire(t, s)
		out, invite := callWire(t, s, w, Target{}, &media{})
		w.answer(invite, "200 OK", "callee", append([]string{"Record-Route: " + rr2, "Record-Route: <sip:" + proxy.addr() + ">"}, answerSDP...)...)
		ack := proxy.recv("ACK sip:" + proxy.addr())
		if !strings.Contains(ack, "Route: "+rr2+"\r\nRoute: <sip:callee@"+w.addr()+">") {
			t.Errorf("strict routes of %s", ack)
		}
		out.Hangup()
		proxy.answer(proxy.recv("BYE"), "200 OK", "")
		wantEnd(t, out, 200, ByLocal)
	})
}

func TestParseInfoKey(t *testing.T) {
	for _, c := range []struct {
		info Info
		key  rune
		ok   bool
	}{
		{Info{"application/dtmf-relay", []byte("Signal=1\r\nDuration=160\r\n")}, '1', true},
		{Info{"application/dtmf-relay", []byte("signal = #\nDuration=160")}, '#', true},
		{Info{"application/dtmf-relay", []byte("Signal=10")}, '*', true},
		{Info{"application/dtmf-relay", []byte("Duration=160")}, 0, false},
		{Info{"application/dtmf", []byte(" 7\r\n")}, '7', true},
		{Info{"application/dtmf", []byte("d")}, 'D', true},
		{Info{"application/dtmf", []byte("77")}, 0, false},
		{Info{"application/dtmf", nil}, 0, false},
		{Info{"text/plain", []byte("7")}, 0, false},
	} {
		if key, ok := ParseInfoKey(c.info); key != c.key || ok != c.ok {
			t.Errorf("%q %q: %q %v", c.info.ContentType, c.info.Body, key, ok)
		}
	}
}
