package sip

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (m *media) Hold(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = on
}

func (m *media) onHold() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

// talking is an inbound leg in a bubble, up, with the wire that called.
func talking(t *testing.T, s *Server, d *desk, callID string) (*caller, *Leg) {
	t.Helper()
	c := newCaller(t, s, callID)
	c.request("INVITE", 1, append([]string{"Allow: INVITE, UPDATE"}, offer...)...)
	c.to = field(c.recv("SIP/2.0 200"), "To")
	c.request("ACK", 1)
	synctest.Wait()
	c.seen = nil
	return c, next(t, "leg", d.legs)
}

// inBubble runs a test on a leg that is up, which the far end ends at last unless
// the test did.
func inBubble(t *testing.T, m Session, f func(t *testing.T, s *Server, c *caller, l *Leg)) {
	t.Helper()
	d := newDesk(nil)
	d.conduct = func(l *Leg) {
		if err := l.Answer(m); err != nil {
			t.Error(err)
		}
		d.legs <- l
		<-l.Done()
	}
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		c, l := talking(t, s, d, "bubble")
		f(t, s, c, l)
		select {
		case <-l.Done():
		default:
			c.request("BYE", 99)
			c.recv("SIP/2.0 200")
			wantEnd(t, l, 200, ByRemote)
		}
	})
}

// later runs what waits for the far end, and gives its error.
func later(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func TestOurChange(t *testing.T) {
	ctx := context.Background()
	for _, how := range []struct {
		method string
		do     func(*Leg) error
	}{
		{"INVITE", func(l *Leg) error { return l.Reinvite(ctx) }},
		{"UPDATE", func(l *Leg) error { return l.Update(ctx) }},
	} {
		t.Run(how.method, func(t *testing.T) {
			m := &media{}
			inBubble(t, m, func(t *testing.T, s *Server, c *caller, l *Leg) {
				done := later(func() error { return how.do(l) })
				req := c.recv(how.method)
				if !strings.HasSuffix(req, "s=offer 1\r\n") || field(req, "CSeq") != "1 "+how.method || field(req, "Contact") == "" {
					t.Errorf("change: %s", req)
				}
				moved := newWire(t, s)
				moved.answer(req, "200 OK", "", answerSDP...)
				if how.method == "INVITE" {
					ack := moved.recv("ACK") // to the new Contact
					if field(ack, "CSeq") != "1 ACK" {
						t.Errorf("ACK %s", ack)
					}
					moved.answer(req, "200 OK", "", answerSDP...)
					moved.again(ack)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if len(m.accepted) != 1 || m.accepted[0] != "v=0\r\ns=theirs\r\n" {
					t.Errorf("session took %q", m.accepted)
				}
				l.Hangup()
				moved.answer(moved.recv("BYE"), "200 OK", "")
				wantEnd(t, l, 200, ByLocal)
			})
		})
	}
}

func TestHoldAndResume(t *testing.T) {
	m := &media{}
	inBubble(t, m, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		done := later(func() error { return l.Hold(t.Context()) })
		req := c.recv("INVITE")
		if !m.onHold() {
			t.Error("the session was not told before its offer")
		}
		if err := l.Reinvite(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("a second change: %v", err)
		}
		c.wire.answer(req, "200 OK", "", answerSDP...)
		c.recv("ACK")
		if err := <-done; err != nil {
			t.Error(err)
		}
		// Refused, it leaves the session as it was.
		done = later(func() error { return l.Resume(t.Context()) })
		c.wire.answer(c.recv("INVITE"), "488 Not Acceptable Here", "")
		c.recv("ACK")
		if err := <-done; err == nil || !strings.Contains(err.Error(), "488") {
			t.Errorf("refused: %v", err)
		}
		if !m.onHold() {
			t.Error("the session was resumed by a refused change")
		}
		if len(m.accepted) != 1 {
			t.Errorf("the session took %q", m.accepted)
		}
	})
}

type plainMedia struct{ Session }

func TestHoldNeedsAHolder(t *testing.T) {
	inBubble(t, plainMedia{&media{}}, func(t *testing.T, _ *Server, _ *caller, l *Leg) {
		if err := l.Hold(t.Context()); !errors.Is(err, ErrCannot) {
			t.Error(err)
		}
	})
}

// TestGlare holds that after a 491 ours comes again by itself, and that theirs can
// be taken meanwhile.
func TestGlare(t *testing.T) {
	m := &media{}
	inBubble(t, m, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		done := later(func() error { return l.Reinvite(t.Context()) })
		ours := c.recv("INVITE")
		c.request("INVITE", 2, offer...)
		c.recv("SIP/2.0 491")
		c.resend("ACK", 2, c.branch)
		c.request("UPDATE", 3, offer...)
		c.recv("SIP/2.0 491")
		began := time.Now()
		c.wire.answer(ours, "491 Request Pending", "")
		c.recv("ACK")
		c.request("UPDATE", 4, offer...)
		c.recv("SIP/2.0 200")
		ours = c.recv("INVITE")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("tried again after %s, not within 2 s: we did not make the Call-ID", took)
		}
		c.wire.answer(ours, "200 OK", "", answerSDP...)
		c.recv("ACK")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestGlareForEver(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		done := later(func() error { return l.Reinvite(t.Context()) })
		for range maxTries {
			c.wire.answer(c.recv("INVITE"), "491 Request Pending", "")
			c.recv("ACK")
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "491") {
			t.Error(err)
		}
	})
}

func TestChangeAnswers(t *testing.T) {
	for _, test := range []struct {
		name, method, status string
		headers              []string
		again, over          bool
	}{
		{name: "too early", method: "INVITE", status: "500 Later", headers: []string{"Retry-After: 3"}, again: true},
		{name: "much too early", method: "INVITE", status: "500 Later", headers: []string{"Retry-After: 300"}},
		{name: "failed", method: "INVITE", status: "500 Failed"},
		{name: "longer interval", method: "UPDATE", status: "422 Too Small", headers: []string{"Min-SE: 3600"}, again: true},
		{name: "no longer interval", method: "UPDATE", status: "422 Too Small"},
		{name: "unknown method", method: "UPDATE", status: "501 What"},
		{name: "no dialog", method: "INVITE", status: "481 Gone", over: true},
		{name: "no dialog for UPDATE", method: "UPDATE", status: "481 Gone", over: true},
		{name: "gone", method: "INVITE", status: "408 Timeout", over: true},
		{name: "silence", method: "INVITE", over: true},
		{name: "silence to UPDATE", method: "UPDATE", over: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
				done := later(func() error {
					if test.method == "UPDATE" {
						return l.Update(t.Context())
					}
					return l.Reinvite(t.Context())
				})
				answer := func(req, status string, extra ...string) {
					c.wire.answer(req, status, "", extra...)
					if test.method == "INVITE" {
						c.recv("ACK")
					}
				}
				req := c.recv(test.method)
				if test.status != "" {
					answer(req, test.status, test.headers...)
				}
				if test.again {
					answer(c.recv(test.method), "200 OK", answerSDP...)
				}
				err := <-done
				if test.again != (err == nil) || test.over != errors.Is(err, ErrOver) {
					t.Errorf("error %v", err)
				}
				if test.over {
					wantEnd(t, l, map[bool]int{true: 481, false: 408}[strings.HasPrefix(test.status, "481")], ByFailure)
				}
			})
		})
	}
}

// TestWithdrawnChange holds that a change nobody waits for is cancelled, and that
// what is agreed nevertheless counts.
func TestWithdrawnChange(t *testing.T) {
	for _, agreed := range []bool{true, false} {
		m := &media{}
		inBubble(t, m, func(t *testing.T, _ *Server, c *caller, l *Leg) {
			ctx, cancel := context.WithCancel(t.Context())
			done := later(func() error { return l.Hold(ctx) })
			req := c.recv("INVITE")
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			c.wire.answer(req, "100 Trying", "")
			cancelled := c.recv("CANCEL")
			c.wire.answer(cancelled, "200 OK", "")
			if agreed {
				c.wire.answer(req, "200 OK", "", answerSDP...)
			} else {
				c.wire.answer(req, "487 Request Terminated", "")
			}
			c.recv("ACK")
			synctest.Wait()
			if m.onHold() != agreed || (len(m.accepted) == 1) != agreed {
				t.Errorf("agreed %v, held %v, took %q", agreed, m.onHold(), m.accepted)
			}
		})
	}
}

// TestUnansweredAfterTrying is a re-INVITE that gets a 100 and nothing more.
func TestUnansweredAfterTrying(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		done := later(func() error { return l.Reinvite(t.Context()) })
		c.wire.answer(c.recv("INVITE"), "100 Trying", "")
		if err := <-done; !errors.Is(err, ErrOver) {
			t.Error(err)
		}
		wantEnd(t, l, 408, ByFailure)
	})
}

// TestChangeWaitsForAck holds that no INVITE of ours is sent while theirs is not
// acknowledged (RFC 3261 section 14.1).
func TestChangeWaitsForAck(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		c.request("INVITE", 2, offer...)
		c.recv("SIP/2.0 200")
		done := later(func() error { return l.Reinvite(t.Context()) })
		c.quiet("INVITE", 10*time.Second) // not before the ACK
		c.request("ACK", 2)
		c.wire.answer(c.recv("INVITE"), "200 OK", "", answerSDP...)
		c.recv("ACK")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestBadAnswerToReinvite ends the call: the far end thinks it is agreed.
func TestBadAnswerToReinvite(t *testing.T) {
	for name, sdp := range map[string][]string{"refused": answerSDP, "missing": nil} {
		t.Run(name, func(t *testing.T) {
			m := &media{}
			inBubble(t, m, func(t *testing.T, _ *Server, c *caller, l *Leg) {
				done := later(func() error { return l.Reinvite(t.Context()) })
				req := c.recv("INVITE")
				if sdp != nil {
					m.mu.Lock()
					m.fail = busy{}
					m.mu.Unlock()
				}
				c.wire.answer(req, "200 OK", "", sdp...)
				c.recv("ACK")
				bye := c.recv("BYE")
				if !strings.HasPrefix(field(bye, "Reason"), "SIP;cause=48") {
					t.Errorf("Reason %q", field(bye, "Reason"))
				}
				c.wire.answer(bye, "200 OK", "")
				if err := <-done; err == nil {
					t.Error("no error")
				}
				<-l.Done()
			})
		})
	}
}

// TestHangupDuringChange sends the BYE at once; the change ends with the leg.
func TestHangupDuringChange(t *testing.T) {
	for _, answer := range []string{"487 Request Terminated", "200 OK", "100 Trying", ""} {
		inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
			done := later(func() error { return l.Reinvite(t.Context()) })
			req := c.recv("INVITE")
			l.Hangup()
			c.wire.answer(c.recv("BYE"), "200 OK", "")
			if answer != "" {
				c.wire.answer(req, answer, "", answerSDP...)
			}
			if answer != "" && answer != "100 Trying" { // which leaves a transaction waiting
				c.recv("ACK")
			}
			if err := <-done; !errors.Is(err, ErrOver) {
				t.Error(err)
			}
			wantEnd(t, l, 200, ByLocal)
		})
	}
}
