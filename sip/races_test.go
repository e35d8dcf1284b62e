package sip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The races of RFC 5407 and SIPGO.md, made by hand from the caller's side.

func answering(t *testing.T, m *media) *desk {
	d := newDesk(nil)
	d.conduct = func(l *Leg) {
		if err := l.Answer(m); err != nil {
			t.Log(err)
		}
		d.legs <- l
		<-l.Done()
	}
	return d
}

// answered is a call in a bubble that has been answered and not acknowledged.
func answered(t *testing.T, m *media, f func(t *testing.T, s *Server, c *caller, l *Leg, ok string)) {
	t.Helper()
	d := answering(t, m)
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "answered")
		ok := c.dial()
		f(t, s, c, next(t, "leg", d.legs), ok)
	})
}

func TestLostAckEndsWithBye(t *testing.T) {
	answered(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg, ok string) {
		c.again(ok)
		bye := c.after(63*500*time.Millisecond, "BYE") // 64*T1 after the 200
		c.answer(bye, "200 OK", "")
		wantEnd(t, l, 408, ByFailure)
		if l.End().Reason != "no ACK" {
			t.Errorf("reason %q", l.End().Reason)
		}
	})
}

func TestAckStopsRepetition(t *testing.T) {
	answered(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg, _ string) {
		c.request("ACK", 1)
		c.request("ACK", 1)
		c.quiet("", time.Minute)
		l.Hangup()
		bye := c.recv("BYE")
		if !strings.HasPrefix(bye, "BYE sip:caller@"+c.addr()+" SIP/2.0\r\n") {
			t.Errorf("BYE not to the Contact: %s", bye)
		}
		if field(bye, "To") != "<sip:+15550001@carrier.example>;tag=theirs" || field(bye, "From") != c.to {
			t.Errorf("BYE from %s to %s", field(bye, "From"), field(bye, "To"))
		}
		c.answer(bye, "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

func TestHangupBeforeAckWaitsForIt(t *testing.T) {
	answered(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg, ok string) {
		l.Hangup()
		c.again(ok) // still repeating
		c.quiet("BYE", 20*time.Second)
		c.request("ACK", 1)
		c.answer(c.after(0, "BYE"), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

func TestByeBeforeAck(t *testing.T) {
	answered(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg, _ string) {
		c.request("BYE", 2)
		wantEnd(t, l, 200, ByRemote)
		if ok := c.recv("SIP/2.0 200"); field(ok, "CSeq") != "2 BYE" {
			t.Errorf("BYE answered by %s", ok)
		}
		c.request("ACK", 1) // comes after all: nobody minds
	})
}

func TestByeWhileRinging(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.request("INVITE", 1, offer...)
		l := next(t, "leg", legs)
		if err := l.Ringing(); err != nil {
			t.Fatal(err)
		}
		c.to = field(c.recv("SIP/2.0 180"), "To")
		c.request("BYE", 2)
		wantEnd(t, l, 200, ByRemote)
		c.recv("SIP/2.0 200")
		c.recv("SIP/2.0 487")
		c.resend("ACK", 1, 1)
	})
}

func TestLostByeAnswer(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		// Ours is lost: the far end repeats its BYE and hears the same again.
		c.request("BYE", 2)
		first := c.recv("SIP/2.0 200")
		wantEnd(t, l, 200, ByRemote)
		c.resend("BYE", 2, c.branch)
		c.again(first)
		// A new BYE for what is gone.
		c.request("BYE", 3)
		c.recv("SIP/2.0 481")
	})
}

// Theirs is lost: ours is repeated, then given up.
func TestByeWithoutAnswer(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		l.Hangup()
		bye := c.recv("BYE")
		c.again(bye)
		endsAfter(t, l, 63*500*time.Millisecond, 200, ByLocal)
	})
}

func TestOrphanCancel(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "orphan")
		c.resend("CANCEL", 1, 1)
		c.recv("SIP/2.0 481")
		c.resend("INVITE", 1, 1, offer...)
		refusal := c.recv("SIP/2.0 487")
		c.resend("INVITE", 1, 1, offer...) // the 487 was lost
		c.again(refusal)
		c.resend("ACK", 1, 1)
		if n := s.Legs(); n != 0 {
			t.Errorf("%d legs", n)
		}
	})
}

// TestCancelIsAnsweredAsItsInvite: by the tag of what answers it a caller's phone may
// go, also when CANCEL has come too late.
func TestCancelIsAnsweredAsItsInvite(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.request("INVITE", 1, offer...)
		l := next(t, "leg", legs)
		c.resend("CANCEL", 1, 1)
		cancelled := c.recv("SIP/2.0 200")
		if got, want := field(cancelled, "To"), field(c.recv("SIP/2.0 487"), "To"); got != want {
			t.Errorf("CANCEL was answered by %s, INVITE by %s", got, want)
		}
		c.resend("ACK", 1, 1)
		wantEnd(t, l, 487, ByRemote)
	})
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		c.resend("CANCEL", 1, 1)
		if got := field(c.recv("SIP/2.0 200"), "To"); got != c.to {
			t.Errorf("CANCEL after the answer was answered by %s, INVITE by %s", got, c.to)
		}
		l.Hangup()
		c.wire.answer(c.recv("BYE"), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
}

// TestAnswersFollowTheInvite holds that the INVITE is answered where it came
// from, whatever else came within its early dialog, and from where.
func TestAnswersFollowTheInvite(t *testing.T) {
	ringingCall(t, func(t *testing.T, s *Server, c *caller, legs <-chan *Leg) {
		c.send("INVITE sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP h:5060;rport;branch=z9hG4bK-elsewhere-0",
			"From: <sip:+15550001@carrier.example>;tag=theirs", "To: "+c.to, "Call-ID: elsewhere", "CSeq: 1 INVITE", "Contact: <sip:caller@"+c.addr()+">")
		l := next(t, "leg", legs)
		if err := l.Ringing(); err != nil {
			t.Fatal(err)
		}
		ringing := c.recv("SIP/2.0 180")
		c.to = field(ringing, "To")
		other := newWire(t, s)
		other.send("INFO sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP "+other.addr()+";branch=z9hG4bK-other",
			"From: <sip:+15550001@carrier.example>;tag=theirs", "To: "+c.to, "Call-ID: elsewhere", "CSeq: 2 INFO")
		other.recv("SIP/2.0 200")
		if err := l.Ringing(); err != nil {
			t.Fatal(err)
		}
		c.again(ringing)
		if err := l.Reject(486, ""); err != nil {
			t.Fatal(err)
		}
		c.recv("SIP/2.0 486")
		c.send("ACK sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP h:5060;rport;branch=z9hG4bK-elsewhere-0",
			"From: <sip:+15550001@carrier.example>;tag=theirs", "To: "+c.to, "Call-ID: elsewhere", "CSeq: 1 ACK")
	})
}

// TestByesCross holds that a leg is over with the far end's BYE, if ours has
// crossed it and is never answered.
func TestByesCross(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		l.Hangup()
		c.recv("BYE")
		c.request("BYE", 2)
		endsAfter(t, l, 0, 200, ByLocal)
	})
}

func TestRepeatedInviteIsOneCall(t *testing.T) {
	ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
		c.resend("INVITE", 1, 1, offer...)
		l := next(t, "leg", legs)
		if err := l.Ringing(); err != nil {
			t.Fatal(err)
		}
		ringing := c.recv("SIP/2.0 180")
		c.resend("INVITE", 1, 1, offer...)
		c.again(ringing)
		c.resend("INVITE", 1, 2, offer...) // by another way
		c.recv("SIP/2.0 482")
		c.resend("CANCEL", 1, 1)
		c.recv("SIP/2.0 200")
		refusal := c.recv("SIP/2.0 487")
		c.again(refusal)
		c.to = field(refusal, "To")
		c.resend("ACK", 1, 1)
		wantEnd(t, l, 487, ByRemote)
	})
}

// TestAnyOrder throws a call's messages at the server in many orders; whatever
// comes of it, nothing may stay.
func TestAnyOrder(t *testing.T) {
	d := newDesk(func(l *Leg) {
		if err := l.Answer(&media{}); err != nil {
			t.Log(err)
		}
		<-l.Done()
	})
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		steps := []func(c *caller){
			func(c *caller) { c.resend("INVITE", 1, 1, offer...) },
			func(c *caller) { c.resend("CANCEL", 1, 1) },
			func(c *caller) { c.resend("ACK", 1, 3) },
			func(c *caller) { c.resend("BYE", 2, 4) },
			func(c *caller) { c.resend("INVITE", 3, 5, offer...) },
		}
		n := 0
		permute(len(steps), func(order []int) {
			n++
			c := newCaller(t, s, fmt.Sprintf("order-%d", n))
			for _, i := range order {
				steps[i](c)
			}
		})
		settled(t, s)
		if n := remembered(s); n != 0 {
			t.Errorf("%d cancelled INVITEs are remembered", n)
		}
	})
}

// remembered counts the INVITEs whose CANCEL is still remembered.
func remembered(s *Server) int {
	s.orphans.has("")
	s.orphans.mu.Lock()
	defer s.orphans.mu.Unlock()
	return len(s.orphans.m)
}

func permute(n int, f func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var rec func(k int)
	rec = func(k int) {
		if k == n {
			f(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			rec(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	rec(0)
}
