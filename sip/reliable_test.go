package sip

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ringingCall is an inbound leg in a bubble that nobody has answered.
func ringingCall(t *testing.T, f func(t *testing.T, s *Server, c *caller, legs <-chan *Leg)) {
	t.Helper()
	d := newDesk(nil)
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		f(t, s, newCaller(t, s, "reliable"), d.legs)
	})
}

// prack acknowledges a provisional answer.
func (c *caller) prack(seq int, res string, extra ...string) {
	c.t.Helper()
	c.request("PRACK", seq, append([]string{"RAck: " + field(res, "RSeq") + " 1 INVITE"}, extra...)...)
}

func TestEarlyAnswer(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		m := &media{}
		c.request("INVITE", 1, append([]string{"Supported: 100rel"}, offer...)...)
		l := next(t, "leg", legs)
		if err := l.Ringing(); err != nil { // need not be reliable
			t.Fatal(err)
		}
		ringing := c.recv("SIP/2.0 180")
		if field(ringing, "Require") != "" {
			t.Errorf("reliable without need: %s", ringing)
		}
		if err := l.AnswerEarly(m); err != nil {
			t.Fatal(err)
		}
		wait(t, "early media", l.EarlyMedia())
		res := c.recv("SIP/2.0 183")
		c.to = field(res, "To")
		if field(res, "Require") != "100rel" || !strings.HasSuffix(res, "s=answer 1\r\n") || field(res, "RSeq") == "" {
			t.Errorf("early answer: %s", res)
		}
		c.again(res) // after T1
		answered := later(func() error { return l.Answer(m) })
		c.quiet("SIP/2.0 200", 10*time.Second) // not before the PRACK
		c.prack(2, strings.Replace(res, "RSeq: ", "RSeq: 9", 1))
		c.recv("SIP/2.0 481")
		c.prack(3, res)
		c.recv("SIP/2.0 200")
		if err := <-answered; err != nil {
			t.Error(err)
		}
		ok := c.recv("SIP/2.0 200")
		if strings.Contains(ok, "s=answer") || field(ok, "CSeq") != "1 INVITE" {
			t.Errorf("the 200 after a settled description: %s", ok)
		}
		c.request("ACK", 1)
		c.request("BYE", 4)
		wantEnd(t, l, 200, ByRemote)
		if len(m.answered) != 1 {
			t.Errorf("the session answered %q", m.answered)
		}
	})
}

// TestEarlyAnswerUnreliably repeats the description in the 200.
func TestEarlyAnswerUnreliably(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		m := &media{}
		c.request("INVITE", 1, offer...)
		l := next(t, "leg", legs)
		if err := l.AnswerEarly(m); err != nil {
			t.Fatal(err)
		}
		if err := l.AnswerEarly(m); !errors.Is(err, ErrState) {
			t.Errorf("twice: %v", err)
		}
		if res := c.recv("SIP/2.0 183"); !strings.HasSuffix(res, "s=answer 1\r\n") || field(res, "RSeq") != "" {
			t.Errorf("early answer: %s", res)
		}
		if err := l.Answer(m); err != nil {
			t.Fatal(err)
		}
		ok := c.recv("SIP/2.0 200")
		if !strings.HasSuffix(ok, "s=answer 1\r\n") {
			t.Errorf("answer: %s", ok)
		}
		c.to = field(ok, "To")
		c.request("ACK", 1)
		c.request("BYE", 2)
		wantEnd(t, l, 200, ByRemote)
	})
}

// TestEarlyOffer is an INVITE without a description: ours goes with the 183, the
// answer comes with the PRACK, and an UPDATE may change it before the 200.
func TestEarlyOffer(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		m := &media{}
		c.request("INVITE", 1, "Require: 100rel")
		l := next(t, "leg", legs)
		if err := l.AnswerEarly(m); err != nil {
			t.Fatal(err)
		}
		res := c.recv("SIP/2.0 183")
		c.to = field(res, "To")
		if !strings.HasSuffix(res, "s=offer 1\r\n") {
			t.Errorf("no offer: %s", res)
		}
		c.request("UPDATE", 2, offer...)
		c.recv("SIP/2.0 491") // ours waits for its answer
		if err := l.Ringing(); err != nil {
			t.Fatal(err)
		}
		c.quiet("SIP/2.0 180", 10*time.Second) // not before the first is acknowledged
		c.prack(3, res, answerSDP...)
		c.recv("SIP/2.0 200")
		ringing := c.recv("SIP/2.0 180")
		if a, _ := strconv.Atoi(field(res, "RSeq")); field(ringing, "RSeq") != fmt.Sprint(a+1) {
			t.Errorf("RSeq %s after %s", field(ringing, "RSeq"), field(res, "RSeq"))
		}
		c.prack(4, ringing)
		c.recv("SIP/2.0 200")
		c.request("UPDATE", 5, offer...)
		if ok := c.recv("SIP/2.0 200"); !strings.HasSuffix(ok, "s=answer 1\r\n") {
			t.Errorf("early UPDATE: %s", ok)
		}
		if err := l.Answer(m); err != nil {
			t.Fatal(err)
		}
		if ok := c.recv("SIP/2.0 200"); strings.Contains(ok, "v=0") {
			t.Errorf("a description again: %s", ok)
		}
		c.request("ACK", 1)
		c.request("BYE", 6)
		wantEnd(t, l, 200, ByRemote)
		if len(m.accepted) != 1 || m.offers != 1 {
			t.Errorf("accepted %q of %d offers", m.accepted, m.offers)
		}
	})
}

func TestEarlyOfferNeedsPrack(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.request("INVITE", 1)
		l := next(t, "leg", legs)
		if err := l.AnswerEarly(&media{}); !errors.Is(err, ErrCannot) {
			t.Error(err)
		}
		l.Hangup()
		c.recv("SIP/2.0 480")
		c.resend("ACK", 1, 1)
	})
}

func TestLostPrack(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.request("INVITE", 1, append([]string{"Require: 100rel"}, offer...)...)
		l := next(t, "leg", legs)
		began := time.Now()
		if err := l.AnswerEarly(&media{}); err != nil {
			t.Fatal(err)
		}
		answered := later(func() error { return l.Answer(&media{}) })
		if err := <-answered; !errors.Is(err, ErrOver) {
			t.Error(err)
		}
		if took := time.Since(began); took != 32*time.Second {
			t.Errorf("given up after %s", took)
		}
		c.recv("SIP/2.0 504")
		c.resend("ACK", 1, 1)
		wantEnd(t, l, 504, ByFailure)
	})
}

// TestEndsWhileUnacknowledged ends a call whose Answer waits for a PRACK.
func TestEndsWhileUnacknowledged(t *testing.T) {
	for name, end := range map[string]func(c *caller, l *Leg, early string){
		"cancel": func(c *caller, _ *Leg, _ string) { c.resend("CANCEL", 1, 1) },
		"bye":    func(c *caller, _ *Leg, _ string) { c.request("BYE", 2) },
		"hangup": func(_ *caller, l *Leg, _ string) { l.Hangup() },
		"bad answer": func(c *caller, _ *Leg, early string) { // the PRACK brings an offer that fails
			c.prack(2, early, "Content-Type: application/sdp", "", "v=0", "s=bad")
		},
	} {
		t.Run(name, func(t *testing.T) {
			ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
				m := &media{}
				c.request("INVITE", 1, append([]string{"Supported: 100rel"}, offer...)...)
				l := next(t, "leg", legs)
				if err := l.AnswerEarly(m); err != nil {
					t.Fatal(err)
				}
				early := c.recv("SIP/2.0 183")
				c.to = field(early, "To")
				answered := later(func() error { return l.Answer(m) })
				synctest.Wait()
				m.mu.Lock()
				m.fail = busy{}
				m.mu.Unlock()
				end(c, l, early)
				if err := <-answered; !errors.Is(err, ErrOver) {
					t.Error(err)
				}
				c.recv("SIP/2.0 4")
				c.resend("ACK", 1, 1)
				<-l.Done()
			})
		})
	}
}

// TestStillRinging says a provisional answer again each minute.
func TestStillRinging(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.request("INVITE", 1, offer...)
		l := next(t, "leg", legs)
		if err := l.Ringing(); err != nil {
			t.Fatal(err)
		}
		ringing := c.recv("SIP/2.0 180")
		for range 3 {
			c.quiet("SIP/2.0 180", time.Minute-1)
			c.again(ringing)
		}
		l.Hangup()
		c.recv("SIP/2.0 480")
		c.resend("ACK", 1, 1)
	})
}

// The other role: the far end sends its 1xx reliably.

func dialling(t *testing.T, target Target, m Session, f func(t *testing.T, s *Server, w *wire, l *Leg, invite string)) {
	t.Helper()
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		w := newWire(t, s)
		l, invite := callWire(t, s, w, target, m)
		f(t, s, w, l, invite)
	})
}

func callWire(t *testing.T, s *Server, w *wire, target Target, m Session) (*Leg, string) {
	t.Helper()
	target.URI, target.From = "sip:agent@"+w.addr(), "bugle"
	l, err := s.Dial(target, m)
	if err != nil {
		t.Fatal(err)
	}
	return l, w.recv("INVITE")
}

func reliably(rseq int, extra ...string) []string {
	return append([]string{"Require: 100rel", fmt.Sprintf("RSeq: %d", rseq)}, extra...)
}

func TestWePrack(t *testing.T) {
	m := &media{}
	dialling(t, Target{}, m, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		if !strings.Contains(field(invite, "Supported"), "100rel") {
			t.Errorf("Supported: %s", field(invite, "Supported"))
		}
		w.answer(invite, "183 Session Progress", "callee", reliably(7, answerSDP...)...)
		prack := w.recv("PRACK")
		if field(prack, "RAck") != "7 1 INVITE" || field(prack, "CSeq") != "2 PRACK" || !strings.HasSuffix(field(prack, "To"), ";tag=callee") {
			t.Errorf("PRACK: %s", prack)
		}
		wait(t, "early media", l.EarlyMedia())
		w.answer(prack, "200 OK", "")
		w.answer(invite, "183 Session Progress", "callee", reliably(7, answerSDP...)...) // ours was lost to them
		w.answer(invite, "180 Ringing", "callee", reliably(9)...)                        // 8 is missing
		w.quiet("PRACK", time.Minute)
		w.answer(invite, "180 Ringing", "callee", reliably(8)...)
		next := w.recv("PRACK")
		if field(next, "RAck") != "8 1 INVITE" || field(next, "CSeq") != "3 PRACK" {
			t.Errorf("PRACK: %s", next)
		}
		w.answer(next, "200 OK", "")
		// Their description may be changed now.
		w.send("UPDATE sip:bugle@"+w.to.String()+" SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bK-u",
			"From: "+field(prack, "To"), "To: "+field(invite, "From"), "Call-ID: "+field(invite, "Call-ID"), "CSeq: 1 UPDATE",
			"Contact: <sip:callee@"+w.addr()+">", "Content-Type: application/sdp", "", "v=0", "s=new")
		if ok := w.recv("SIP/2.0 200"); !strings.HasSuffix(ok, "s=answer 1\r\n") {
			t.Errorf("early UPDATE: %s", ok)
		}
		w.answer(invite, "200 OK", "callee")
		ack := w.recv("ACK")
		if field(ack, "CSeq") != "1 ACK" {
			t.Errorf("ACK %s", ack)
		}
		wait(t, "answered", l.Answered())
		l.Hangup()
		bye := w.recv("BYE")
		if field(bye, "CSeq") != "4 BYE" {
			t.Errorf("BYE %s", field(bye, "CSeq"))
		}
		w.answer(bye, "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
		if len(m.accepted) != 1 {
			t.Errorf("accepted %q", m.accepted)
		}
	})
}

// TestLateOffer sends no description: the far end offers, in a reliable 183 or in
// its 200.
func TestLateOffer(t *testing.T) {
	for _, early := range []bool{true, false} {
		m := &media{}
		dialling(t, Target{AskOffer: true}, m, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
			if strings.Contains(invite, "v=0") {
				t.Errorf("an offer: %s", invite)
			}
			w.answer(invite, "183 Session Progress", "callee", answerSDP...) // no offer: it is not reliable
			if early {
				w.answer(invite, "183 Session Progress", "callee", reliably(1, answerSDP...)...)
				prack := w.recv("PRACK")
				if !strings.HasSuffix(prack, "s=answer 1\r\n") {
					t.Errorf("no answer: %s", prack)
				}
				w.answer(prack, "200 OK", "")
				w.answer(invite, "200 OK", "callee")
				if ack := w.recv("ACK"); strings.Contains(ack, "v=0") {
					t.Errorf("an answer again: %s", ack)
				}
			} else {
				w.answer(invite, "200 OK", "callee", answerSDP...)
				if ack := w.recv("ACK"); !strings.HasSuffix(ack, "s=answer 1\r\n") {
					t.Errorf("no answer: %s", ack)
				}
			}
			wait(t, "answered", l.Answered())
			if len(m.answered) != 1 || m.offers != 0 {
				t.Errorf("answered %q, offered %d", m.answered, m.offers)
			}
			l.Hangup()
			w.answer(w.recv("BYE"), "200 OK", "")
		})
	}
}
