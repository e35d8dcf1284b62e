package sip

import "testing"

func TestParseCause(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Cause
		ok    bool
	}{
		{`SIP;cause=200;text="Call completed elsewhere"`, Cause{"SIP", 200, "Call completed elsewhere"}, true},
		{`q.850 ; cause = 16 ; text="a;b, \"c"`, Cause{"Q.850", 16, "a;b, c"}, true},
		{`Q.850;cause=16`, Cause{"Q.850", 16, ""}, true},
		{`SIP;cause=200;location=LN;text=plain`, Cause{"SIP", 200, "plain"}, true},
		{`SIP;cause=x`, Cause{}, false},
		{`SIP;cause=99999999`, Cause{}, false},
		{`SIP`, Cause{}, false},
		{`Preemption;cause=1`, Cause{}, false},
		{``, Cause{}, false},
	} {
		if got, ok := parseCause(c.value); ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %+v %v", c.value, got, ok)
		}
		if h := c.want.header(); c.ok {
			if again, ok := parseCause(h.Value()); !ok || again != c.want {
				t.Errorf("%q written is %q", c.value, h.Value())
			}
		} else if h != nil {
			t.Errorf("nothing written is %q", h.Value())
		}
	}
}

func TestCauses(t *testing.T) {
	t.Run("theirs in BYE", func(t *testing.T) {
		inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
			c.request("BYE", 2, `Reason: X;cause=1, Q.850;cause=31;text="Normal, unspecified"`)
			wantEnd(t, l, 200, ByRemote)
			if got := l.End().Cause; got != (Cause{"Q.850", 31, "Normal, unspecified"}) {
				t.Errorf("%+v", got)
			}
		})
	})
	t.Run("theirs in CANCEL", func(t *testing.T) {
		ringingCall(t, func(t *testing.T, _ *Server, c *caller, legs <-chan *Leg) {
			c.request("INVITE", 1, offer...)
			l := next(t, "leg", legs)
			c.resend("CANCEL", 1, 1, "Reason: SIP;cause=200")
			c.recv("SIP/2.0 487")
			c.resend("ACK", 1, 1)
			wantEnd(t, l, 487, ByRemote)
			if got := l.End().Cause; got != (Cause{"SIP", 200, ""}) {
				t.Errorf("%+v", got)
			}
		})
	})
	t.Run("theirs in a refusal", func(t *testing.T) {
		dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
			w.answer(invite, "486 Busy Here", "callee", "Reason: Q.850;cause=17")
			wantEnd(t, l, 486, ByRemote)
			if got := l.End().Cause; got != (Cause{"Q.850", 17, ""}) {
				t.Errorf("%+v", got)
			}
		})
	})
	t.Run("ours", func(t *testing.T) {
		elsewhere := Cause{"SIP", 200, "Call completed elsewhere"}
		want := `SIP;cause=200;text="Call completed elsewhere"`
		inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
			l.HangupFor(elsewhere)
			bye := c.recv("BYE")
			if got := field(bye, "Reason"); got != want {
				t.Errorf("BYE says %q", got)
			}
			c.wire.answer(bye, "200 OK", "")
			wantEnd(t, l, 200, ByLocal)
		})
		dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
			w.answer(invite, "180 Ringing", "callee")
			wait(t, "ringing", l.Progress())
			l.HangupFor(elsewhere)
			cancel := w.recv("CANCEL")
			if got := field(cancel, "Reason"); got != want {
				t.Errorf("CANCEL says %q", got)
			}
			w.answer(cancel, "200 OK", "")
			w.answer(invite, "487 Request Terminated", "callee")
			wantEnd(t, l, 487, ByLocal)
		})
	})
}
