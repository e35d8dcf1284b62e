package sip

import (
	"testing"
)

// fragileMedia is a Session that panics where it is told to.
type fragileMedia struct {
	media
	in string
}

func (m *fragileMedia) Offer() ([]byte, error) {
	m.burst("offer")
	return m.media.Offer()
}

func (m *fragileMedia) Answer(offer []byte) ([]byte, error) {
	m.burst("answer")
	return m.media.Answer(offer)
}

func (m *fragileMedia) Accept(answer []byte) error {
	m.burst("accept")
	return m.media.Accept(answer)
}

func (m *fragileMedia) burst(where string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.in == where {
		panic("in the session's " + where)
	}
}

func (m *fragileMedia) breakIn(where string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.in = where
}

// TestSessionPanics holds that a session's panic is one failure of one call,
// wherever the session is asked: the far end is answered, the leg ends or goes
// on as after any error, and no transaction stays.
func TestSessionPanics(t *testing.T) {
	tests := map[string]func(*testing.T, *Server, *desk, *fragileMedia){
		"answer to the INVITE": func(t *testing.T, s *Server, d *desk, m *fragileMedia) {
			m.breakIn("answer")
			c := newCaller(t, s, "p-answer")
			c.request("INVITE", 1, offer...)
			c.recv("SIP/2.0 500")
			c.resend("ACK", 1, 1)
			wantEnd(t, next(t, "leg", d.legs), 500, ByFailure)
		},
		"answer in the ACK": func(t *testing.T, s *Server, d *desk, m *fragileMedia) {
			m.breakIn("accept")
			c := newCaller(t, s, "p-ack")
			c.request("INVITE", 1)
			c.to = field(c.recv("SIP/2.0 200"), "To")
			c.request("ACK", 1, answerSDP...)
			c.answer(c.recv("BYE"), "200 OK", "")
			wantEnd(t, next(t, "leg", d.legs), 500, ByFailure)
		},
		"answer to our INVITE": func(t *testing.T, s *Server, _ *desk, m *fragileMedia) {
			m.breakIn("accept")
			w := newWire(t, s)
			l, invite := callWire(t, s, w, Target{}, m)
			w.answer(invite, "200 OK", "callee", answerSDP...)
			w.recv("ACK")
			w.answer(w.recv("BYE"), "200 OK", "")
			wantEnd(t, l, 500, ByFailure)
		},
		"offer in our INVITE": func(t *testing.T, s *Server, _ *desk, m *fragileMedia) {
			m.breakIn("offer")
			if _, err := s.Dial(Target{URI: "sip:agent@127.0.0.1:9"}, m); err == nil {
				t.Error("no error")
			}
		},
		"re-INVITE": func(t *testing.T, s *Server, d *desk, m *fragileMedia) {
			c, l := talking(t, s, d, "p-reinvite")
			m.breakIn("answer")
			c.request("INVITE", 3, offer...)
			c.recv("SIP/2.0 500")
			c.resend("ACK", 3, c.branch)
			c.over(t, l, 4)
		},
		"re-INVITE without description": func(t *testing.T, s *Server, d *desk, m *fragileMedia) {
			c, l := talking(t, s, d, "p-reoffer")
			m.breakIn("offer")
			c.request("INVITE", 3)
			c.recv("SIP/2.0 500")
			c.resend("ACK", 3, c.branch)
			c.over(t, l, 4)
		},
		"UPDATE": func(t *testing.T, s *Server, d *desk, m *fragileMedia) {
			c, l := talking(t, s, d, "p-update")
			m.breakIn("answer")
			c.request("UPDATE", 3, offer...)
			c.recv("SIP/2.0 500")
			c.over(t, l, 4)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := &fragileMedia{}
			d := newDesk(nil)
			d.conduct = func(l *Leg) {
				_ = l.Answer(m)
				d.legs <- l
				<-l.Done()
			}
			virtual(t, func(t *testing.T, e *ether) {
				e.panics = 1
				test(t, startIn(t, e, Options{Handler: d}), d, m)
			})
		})
	}
}
