package sip

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answeredTrunk gives a leg to a far end that answered without asking for proof; there
// is one, should it ask later.
func answeredTrunk(t *testing.T, s *Server, w *wire) *Leg {
	t.Helper()
	l, err := s.Dial(Target{URI: "sip:trunk@" + w.addr(), From: "x", Auth: &Auth{"user", "pass"}}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	w.answer(w.recv("INVITE"), "200 OK", "trunk", answerSDP...)
	w.recv("ACK")
	wait(t, "answered", l.Answered())
	return l
}

// TestChangeIsChallenged answers a trunk's digest in mid-call.
func TestChangeIsChallenged(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		w := newWire(t, s)
		l := answeredTrunk(t, s, w)
		done := later(func() error { return l.Reinvite(t.Context()) })
		w.answer(w.recv("INVITE"), "407 Who", "", `Proxy-Authenticate: Digest realm="r",nonce="n",algorithm=MD5,qop="auth"`)
		w.recv("ACK")
		again := w.recv("INVITE")
		if !strings.Contains(field(again, "Proxy-Authorization"), `username="user"`) {
			t.Errorf("no proof: %s", again)
		}
		w.answer(again, "200 OK", "", answerSDP...)
		w.recv("ACK")
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.Hangup()
		w.answer(w.recv("BYE"), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

// TestRequestsAreChallenged holds that whatever we ask within a call is asked again
// with proof, once: a BYE refused by a trunk's proxy would leave the call standing there.
func TestRequestsAreChallenged(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		w := newWire(t, s)
		l := answeredTrunk(t, s, w)
		challenged := func(method string) string {
			t.Helper()
			const ask = `Proxy-Authenticate: Digest realm="r",algorithm=MD5,qop="auth",nonce=`
			first := w.recv(method)
			w.answer(first, "407 Who", "", ask+`"n1"`)
			second := w.recv(method)
			w.answer(second, "407 Stale", "", ask+`"n2",stale=true`)
			third := w.recv(method)
			for was, is := range map[string]string{first: second, second: third} {
				if field(is, "Via") == field(was, "Via") || field(is, "CSeq") == field(was, "CSeq") || field(is, "Call-ID") != field(was, "Call-ID") {
					t.Errorf("not a new request of the dialog: %s\nafter %s", is, was)
				}
			}
			if n := strings.Count(third, "Authorization:"); n != 1 || !strings.Contains(field(third, "Proxy-Authorization"), `nonce="n2"`) || strings.Count(third, "Content-Length:") != 1 {
				t.Errorf("%d proofs, or not of the last challenge: %s", n, third)
			}
			return third
		}
		l.Probe()
		w.answer(challenged("OPTIONS"), "200 OK", "")
		synctest.Wait()
		if _, err := l.Refer(ReferTo{URI: "sip:other@h"}); err != nil {
			t.Fatal(err)
		}
		refer := challenged("REFER")
		if field(refer, "Refer-To") != "<sip:other@h>" {
			t.Errorf("REFER %s", refer)
		}
		w.answer(refer, "603 No", "")
		synctest.Wait()
		l.Hangup()
		bye := challenged("BYE")
		w.answer(bye, "407 Who", "", `Proxy-Authenticate: Digest realm="r",nonce="n3",stale=true`) // enough is enough
		wantEnd(t, l, 200, ByLocal)
	})
}

// TestNoCancelBeforeAnAnswer: what was said to the try before allows no CANCEL of the
// next one (RFC 3261 section 9.1).
func TestNoCancelBeforeAnAnswer(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, s *Server, c *caller, l *Leg) {
		ctx, withdraw := context.WithCancel(t.Context())
		done := later(func() error { return l.Reinvite(ctx) })
		first := c.recv("INVITE")
		c.answer(first, "100 Trying", "")
		c.answer(first, "491 Not Now", "")
		c.recv("ACK")
		second := c.recv("INVITE")
		withdraw()
		<-done
		c.quiet("CANCEL", 10*time.Second) // not before any answer
		c.answer(second, "100 Trying", "")
		c.answer(c.recv("CANCEL"), "200 OK", "")
		c.answer(second, "487 Gone", "")
		c.recv("ACK")
	})
}
