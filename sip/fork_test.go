package sip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestForks holds that each phone a proxy rings is a dialog of its own, that the
// first to answer wins, and that its way is the one it named.
func TestForks(t *testing.T) {
	m := &media{}
	dialling(t, Target{}, m, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		one, two := newWire(t, s), newWire(t, s)
		one.answer(invite, "183 Session Progress", "one", reliably(10, "Content-Type: application/sdp", "", "v=0", "s=one")...)
		two.answer(invite, "183 Session Progress", "two", reliably(5, "Content-Type: application/sdp", "", "v=0", "s=two")...)
		for i, phone := range []*wire{one, two} {
			prack := phone.recv("PRACK sip:callee@" + phone.addr())
			if want := []string{"10 1 INVITE", "5 1 INVITE"}[i]; field(prack, "RAck") != want || field(prack, "CSeq") != "2 PRACK" {
				t.Errorf("PRACK %s %s, want %s", field(prack, "RAck"), field(prack, "CSeq"), want)
			}
			phone.answer(prack, "200 OK", "")
		}
		two.answer(invite, "200 OK", "two", "Content-Type: application/sdp", "", "v=0", "s=two")
		two.recv("ACK")
		wait(t, "answered", l.Answered())
		one.answer(invite, "200 OK", "one", "Content-Type: application/sdp", "", "v=0", "s=one")
		ack, bye := one.recv("ACK"), one.recv("BYE")
		if field(ack, "CSeq") != "1 ACK" || field(bye, "CSeq") != "3 BYE" || field(bye, "Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
			t.Errorf("end of the other: %s\n%s", ack, bye)
		}
		one.answer(invite, "200 OK", "one", "Content-Type: application/sdp", "", "v=0", "s=one")
		one.again(ack)
		one.answer(bye, "200 OK", "")
		one.quiet("BYE", time.Minute)
		if got := fmt.Sprint(m.accepted); got != "[v=0\r\ns=one\r\n v=0\r\ns=two\r\n]" {
			t.Errorf("the session took %q", m.accepted)
		}
		l.Hangup()
		bye = two.recv("BYE")
		if field(bye, "CSeq") != "3 BYE" {
			t.Errorf("BYE %s", field(bye, "CSeq"))
		}
		two.answer(bye, "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

// TestTooManyForks holds that a far end with ever new tags is not remembered.
func TestTooManyForks(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		for i := range 3 * maxForks {
			w.answer(invite, "183 Session Progress", fmt.Sprint("tag", i), reliably(1)...)
		}
		for range maxForks {
			w.recv("PRACK")
		}
		l.mu.Lock()
		n := len(l.out.forks)
		l.mu.Unlock()
		if n != maxForks {
			t.Errorf("%d branches", n)
		}
		w.answer(invite, "486 Busy Here", "tag0")
		wantEnd(t, l, 486, ByRemote)
	})
}

// TestByeOfOneBranch leaves the others ringing.
func TestByeOfOneBranch(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		for _, tag := range []string{"one", "two"} {
			w.answer(invite, "180 Ringing", tag, reliably(1)...)
			w.answer(w.recv("PRACK"), "200 OK", "")
		}
		w.send("BYE sip:bugle@"+w.to.String()+" SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bK-one",
			"From: "+field(invite, "To")+";tag=one", "To: "+field(invite, "From"), "Call-ID: "+field(invite, "Call-ID"), "CSeq: 1 BYE")
		w.recv("SIP/2.0 200")
		time.Sleep(time.Minute)
		w.answer(invite, "200 OK", "two", answerSDP...)
		if ack := w.recv("ACK"); !strings.HasSuffix(field(ack, "To"), "two") {
			t.Errorf("ACK %s", ack)
		}
		wait(t, "answered", l.Answered())
		l.Hangup()
		w.answer(w.recv("BYE"), "200 OK", "")
	})
}

// TestRingLimit is Timer C.
func TestRingLimit(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		w.answer(invite, "180 Ringing", "callee")
		cancel := w.after(defaultRingLimit, "CANCEL")
		if field(cancel, "Reason") != `SIP;cause=408;text="Request Timeout"` {
			t.Errorf("Reason %q", field(cancel, "Reason"))
		}
		w.answer(cancel, "200 OK", "")
		w.answer(invite, "487 Request Terminated", "callee")
		wantEnd(t, l, 408, ByFailure)
	})
}
