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

func TestLostAckEndsWithBye(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "lost-ack")
	first := c.dial()
	l := next(t, "leg", d.legs)
	if again := c.recv("SIP/2.0 200"); again != first {
		t.Errorf("the repeated 200 differs:\n%s\n%s", first, again)
	}
	bye := c.recv("BYE")
	c.answer(bye, "200 OK", "")
	wantEnd(t, l, 408, ByFailure)
	if l.End().Reason != "no ACK" {
		t.Errorf("reason %q", l.End().Reason)
	}
}

func TestAckStopsRepetition(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "ack")
	c.dial()
	l := next(t, "leg", d.legs)
	c.request("ACK", 1)
	c.request("ACK", 1)
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
}

func TestHangupBeforeAckWaitsForIt(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "early-hangup")
	c.dial()
	l := next(t, "leg", d.legs)
	l.Hangup()
	c.recv("SIP/2.0 200") // still repeating, no BYE yet
	for _, m := range c.seen {
		if strings.HasPrefix(m, "BYE") {
			t.Error("BYE before ACK")
		}
	}
	c.request("ACK", 1)
	c.answer(c.recv("BYE"), "200 OK", "")
	wantEnd(t, l, 200, ByLocal)
}

func TestByeBeforeAck(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "bye-before-ack")
	c.dial()
	l := next(t, "leg", d.legs)
	c.request("BYE", 2)
	wantEnd(t, l, 200, ByRemote)
	for { // the 200 of the BYE, after repeated ones of the INVITE
		if field(c.recv("SIP/2.0 200"), "CSeq") == "2 BYE" {
			break
		}
	}
	c.request("ACK", 1) // comes after all: nobody minds
}

func TestByeWhileRinging(t *testing.T) {
	t.Parallel()
	d := newDesk(nil)
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "bye-early")
	c.request("INVITE", 1, offer...)
	l := next(t, "leg", d.legs)
	if err := l.Ringing(); err != nil {
		t.Fatal(err)
	}
	c.to = field(c.recv("SIP/2.0 180"), "To")
	c.request("BYE", 2)
	wantEnd(t, l, 200, ByRemote)
	c.recv("SIP/2.0 200")
	c.recv("SIP/2.0 487")
	c.resend("ACK", 1, 1)
}

func TestLostByeAnswer(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d, T1: time.Second}) // nothing comes again by itself
	c := newCaller(t, s, "lost-bye-answer")
	c.dial()
	l := next(t, "leg", d.legs)
	c.request("ACK", 1)
	// Ours is lost: the far end repeats its BYE and hears the same again.
	c.request("BYE", 2)
	first := c.recv("SIP/2.0 200")
	wantEnd(t, l, 200, ByRemote)
	c.resend("BYE", 2, c.branch)
	if again := c.recv("SIP/2.0 200"); again != first {
		t.Errorf("second answer to a BYE differs:\n%s", again)
	}
	// A new BYE for what is gone.
	c.request("BYE", 3)
	c.recv("SIP/2.0 481")
}

// Theirs is lost: ours is repeated, then given up.
func TestByeWithoutAnswer(t *testing.T) {
	t.Parallel()
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "bye-without-answer")
	c.dial()
	l := next(t, "leg", d.legs)
	c.request("ACK", 1)
	l.Hangup()
	if first := c.recv("BYE"); c.recv("BYE") != first {
		t.Error("the repeated BYE differs")
	}
	wantEnd(t, l, 200, ByLocal)
}

func TestOrphanCancel(t *testing.T) {
	d := newDesk(nil)
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "orphan")
	c.resend("CANCEL", 1, 1)
	c.recv("SIP/2.0 481")
	c.resend("INVITE", 1, 1, offer...)
	c.recv("SIP/2.0 487")
	c.resend("INVITE", 1, 1, offer...) // the 487 was lost
	c.recv("SIP/2.0 487")
	c.resend("ACK", 1, 1)
	if n := s.Legs(); n != 0 {
		t.Errorf("%d legs", n)
	}
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
	t.Parallel()
	d := newDesk(nil)
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "elsewhere")
	c.send("INVITE sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP h:5060;rport;branch=z9hG4bK-elsewhere-0",
		"From: <sip:+15550001@carrier.example>;tag=theirs", "To: "+c.to, "Call-ID: elsewhere", "CSeq: 1 INVITE", "Contact: <sip:caller@"+c.addr()+">")
	l := next(t, "leg", d.legs)
	if err := l.Ringing(); err != nil {
		t.Fatal(err)
	}
	c.to = field(c.recv("SIP/2.0 180"), "To")
	other := newWire(t, s)
	other.send("INFO sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP "+other.addr()+";branch=z9hG4bK-other",
		"From: <sip:+15550001@carrier.example>;tag=theirs", "To: "+c.to, "Call-ID: elsewhere", "CSeq: 2 INFO")
	other.recv("SIP/2.0 200")
	if err := l.Ringing(); err != nil {
		t.Fatal(err)
	}
	c.recv("SIP/2.0 180")
	if err := l.Reject(486, ""); err != nil {
		t.Fatal(err)
	}
	c.recv("SIP/2.0 486")
	c.send("ACK sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP h:5060;rport;branch=z9hG4bK-elsewhere-0",
		"From: <sip:+15550001@carrier.example>;tag=theirs", "To: "+c.to, "Call-ID: elsewhere", "CSeq: 1 ACK")
}

// TestByesCross holds that a leg is over with the far end's BYE, if ours has
// crossed it and is never answered.
func TestByesCross(t *testing.T) {
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d, T1: 2 * time.Second})
	c := newCaller(t, s, "byes-cross")
	c.dial()
	l := next(t, "leg", d.legs)
	c.request("ACK", 1)
	l.Hangup()
	c.recv("BYE")
	c.request("BYE", 2)
	wantEnd(t, l, 200, ByLocal)
}

func TestRepeatedInviteIsOneCall(t *testing.T) {
	d := newDesk(nil)
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
	c := newCaller(t, s, "twice")
	c.resend("INVITE", 1, 1, offer...)
	l := next(t, "leg", d.legs)
	if err := l.Ringing(); err != nil {
		t.Fatal(err)
	}
	first := c.recv("SIP/2.0 180")
	c.resend("INVITE", 1, 1, offer...)
	if again := c.recv("SIP/2.0 180"); again != first {
		t.Error("the repeated 180 differs")
	}
	c.resend("INVITE", 1, 2, offer...) // by another way
	c.recv("SIP/2.0 482")
	c.resend("CANCEL", 1, 1)
	c.recv("SIP/2.0 200")
	refusal := c.recv("SIP/2.0 487")
	if again := c.recv("SIP/2.0 487"); again != refusal {
		t.Error("the repeated 487 differs")
	}
	c.to = field(refusal, "To")
	c.resend("ACK", 1, 1)
	wantEnd(t, l, 487, ByRemote)
}

// The same from the callee's side.

// TestAnyOrder throws a call's messages at the server in many orders; whatever
// comes of it, nothing may stay.
func TestAnyOrder(t *testing.T) {
	d := answering(t, &media{})
	s := start(t, Options{Config: openConfig("udp"), Handler: d})
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
	deadline := time.After(patience)
	for s.Legs() > 0 {
		select {
		case <-d.legs:
		case <-s.legs.empty():
		case <-deadline:
			t.Fatalf("%d legs left", s.Legs())
		}
	}
	emptied(t, s)
	eventually(t, func() string { return leftovers("cancelled INVITEs", remembered(s)) })
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
