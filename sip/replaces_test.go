package sip

import (
	"testing"
)

func TestParseReplaces(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Replaces
		ok    bool
	}{
		{"a@b;to-tag=1;from-tag=2", Replaces{"a@b", "1", "2", false}, true},
		{" a@b ; From-Tag = 2 ;early-only; x=y ;TO-TAG=1", Replaces{"a@b", "1", "2", true}, true},
		{"a@b;to-tag=1", Replaces{}, false},
		{"a@b;from-tag=1", Replaces{}, false},
		{"a@b;to-tag=1;to-tag=1;from-tag=2", Replaces{}, false},
		{"a@b;to-tag=;from-tag=2", Replaces{}, false},
		{";to-tag=1;from-tag=2", Replaces{}, false},
		{"a b;to-tag=1;from-tag=2", Replaces{}, false},
		{"a,b;to-tag=1;from-tag=2", Replaces{}, false},
		{"a@b;to-tag=1\r\n;from-tag=2", Replaces{}, false},
		{"", Replaces{}, false},
	} {
		got, err := ParseReplaces(c.value)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %+v %v", c.value, got, err)
		}
		if c.ok {
			if again, err := ParseReplaces(got.String()); err != nil || again != got {
				t.Errorf("%q written is %q", c.value, got.String())
			}
		}
	}
}

func TestReplaces(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, s *Server, c *caller, l *Leg) {
		id := l.Dialog() // as a third party has to say it to the far end: tags the other way round for us
		mine := Replaces{CallID: id.CallID, ToTag: id.FromTag, FromTag: id.ToTag}
		if s.Find(mine) != l || s.Find(id) != nil {
			t.Error("not found by its own name, or found by another")
		}
		desk := s.handler.(*desk)
		desk.conduct = nil
		try := func(want string, replaces ...string) *caller {
			t.Helper()
			other := newCaller(t, s, "other-"+want+replaces[0])
			lines := []string{"Require: replaces"}
			for _, r := range replaces {
				lines = append(lines, "Replaces: "+r)
			}
			other.request("INVITE", 1, append(lines, offer...)...)
			if want != "" {
				other.recv("SIP/2.0 " + want)
				other.resend("ACK", 1, 1)
			}
			return other
		}
		try("400", "nonsense")
		try("400", mine.String(), mine.String())
		try("481", Replaces{CallID: "bubble", ToTag: "x", FromTag: "y"}.String())
		early := mine
		early.EarlyOnly = true
		try("486", early.String())
		other := try("", mine.String())
		in := next(t, "leg", desk.legs)
		if in.Replaces() != l {
			t.Error("not told whose place it takes")
		}
		if err := in.Answer(&media{}); err != nil {
			t.Fatal(err)
		}
		other.to = field(other.recv("SIP/2.0 200"), "To")
		other.request("ACK", 1)
		l.Hangup()
		bye := c.recv("BYE")
		try("603", mine.String()) // it is about to end
		c.wire.answer(bye, "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
		try("481", mine.String())
		other.request("BYE", 2)
		wantEnd(t, in, 200, ByRemote)
	})
}

// TestReplacesEarly finds a dialog of ours that rings, but none of theirs.
func TestReplacesEarly(t *testing.T) {
	d := newDesk(nil)
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		w := newWire(t, s)
		out, err := s.Dial(Target{URI: "sip:agent@" + w.addr(), From: "x"}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		invite := w.recv("INVITE")
		w.answer(invite, "180 Ringing", "callee", reliably(1)...)
		w.answer(w.recv("PRACK"), "200 OK", "")
		c := newCaller(t, s, "taker")
		r := Replaces{CallID: out.SIPCallID(), ToTag: out.dlg.localTag, FromTag: "callee", EarlyOnly: true}
		c.request("INVITE", 1, append([]string{"Replaces: " + r.String()}, offer...)...)
		in := next(t, "leg", d.legs)
		if in.Replaces() != out {
			t.Error("the ringing leg is not found")
		}
		// in itself is early and not of our making.
		late := newCaller(t, s, "late")
		r = Replaces{CallID: "taker", ToTag: in.dlg.localTag, FromTag: "theirs"}
		late.request("INVITE", 1, append([]string{"Replaces: " + r.String()}, offer...)...)
		late.recv("SIP/2.0 481")
		late.resend("ACK", 1, 1)
		in.Hangup()
		c.recv("SIP/2.0 480")
		c.resend("ACK", 1, 1)
		w.answer(invite, "486 Busy Here", "callee")
		wantEnd(t, out, 486, ByRemote)
	})
}

// TestDialReplaces takes somebody's place at the callee.
func TestDialReplaces(t *testing.T) {
	dialling(t, Target{Replaces: &Replaces{CallID: "a@b", ToTag: "1", FromTag: "2"}}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		if got := field(invite, "Replaces"); got != "a@b;to-tag=1;from-tag=2" {
			t.Errorf("Replaces: %q", got)
		}
		w.answer(invite, "481 Gone", "callee")
		wantEnd(t, l, 481, ByRemote)
	})
}
