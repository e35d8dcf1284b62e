package sip

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// vanish ends a server as a crash would: without a word.
func vanish(s *Server) {
	for _, l := range s.legs.all() {
		l.abandon()
	}
	_ = s.Close()
}

func saved(t *testing.T, l *Leg) []byte {
	t.Helper()
	state, err := l.State()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestRestore lets a second server on the same address go on with a call: in both
// roles, in both directions, through a proxy.
func TestRestore(t *testing.T) {
	for _, inbound := range []bool{true, false} {
		t.Run(fmt.Sprintf("inbound %v", inbound), func(t *testing.T) {
			virtual(t, func(t *testing.T, e *ether) {
				d := answering(t, &media{})
				first := startIn(t, e, Options{Handler: d})
				far := newWire(t, first)
				var l *Leg
				var from, to, callID string // as the far end says them
				routes := []string{"Record-Route: <sip:" + far.addr() + ";lr>", "Record-Route: <sip:10.9.9.9;lr;x=y>"}
				if inbound {
					c := &caller{wire: far, callID: "takeover", to: "<sip:helpline@" + far.to.String() + ">"}
					c.request("INVITE", 1, append(append(routes, "Allow: UPDATE", "Supported: timer"), offer...)...)
					c.to = field(c.recv("SIP/2.0 200"), "To")
					c.request("ACK", 1)
					l = next(t, "leg", d.legs)
					from, to, callID = "<sip:+15550001@carrier.example>;tag=theirs", c.to, "takeover"
				} else {
					var invite string
					l, invite = callWire(t, first, far, Target{Display: "Help, \"line\""}, &media{})
					slices.Reverse(routes)
					far.answer(invite, "200 OK", "callee", append(append(routes, "Session-Expires: 600;refresher=uac", "Allow: UPDATE"), answerSDP...)...)
					far.recv("ACK")
					wait(t, "answered", l.Answered())
					from, to, callID = field(invite, "To")+";tag=callee", field(invite, "From"), field(invite, "Call-ID")
				}
				synctest.Wait()
				state := saved(t, l)
				cfg := openConfig("udp")
				cfg.Listeners[0].Address = far.to
				vanish(first)
				second := startIn(t, e, Options{Config: cfg})
				m := &media{}
				l2, err := second.Restore(state, m, nil)
				if err != nil {
					t.Fatal(err)
				}
				if l2.ID() != l.ID() || l2.Caller() != l.Caller() || l2.Number() != l.Number() || l2.SIPCallID() != callID || l2.Header("To") != "" {
					t.Error("not the same leg")
				}
				if _, err := second.Restore(state, m, nil); err == nil {
					t.Error("restored twice")
				}
				if again := saved(t, l2); !strings.Contains(string(again), callID) {
					t.Errorf("state of a restored leg: %s", again)
				}
				// Ours.
				done := later(func() error { return l2.Reinvite(t.Context()) })
				req := far.recv("INVITE")
				if field(req, "From") != to || field(req, "To") != from || !strings.Contains(req, "Route: <sip:"+far.addr()+";lr>\r\n") {
					t.Errorf("re-INVITE: %s", req)
				}
				far.answer(req, "200 OK", "", answerSDP...)
				far.recv("ACK")
				if err := <-done; err != nil {
					t.Error(err)
				}
				if len(m.accepted) != 1 {
					t.Errorf("accepted %q", m.accepted)
				}
				// Theirs.
				within := func(method string, seq int) {
					far.send(method+" sip:bugle@"+far.to.String()+" SIP/2.0", fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%d", far.addr(), method, seq),
						"From: "+from, "To: "+to, "Call-ID: "+callID, fmt.Sprintf("CSeq: %d %s", seq, method), "Contact: <sip:far@"+far.addr()+">")
				}
				within("OPTIONS", 2)
				far.recv("SIP/2.0 200")
				if inbound {
					within("OPTIONS", 1) // as old as the INVITE
					far.recv("SIP/2.0 500")
					l2.Hangup()
					far.answer(far.recv("BYE"), "200 OK", "")
					wantEnd(t, l2, 200, ByLocal)
					return
				}
				within("BYE", 3)
				far.recv("SIP/2.0 200")
				wantEnd(t, l2, 200, ByRemote)
			})
		})
	}
}

func TestStateNeedsATalk(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		if _, err := l.State(); !errors.Is(err, ErrState) {
			t.Error(err)
		}
		w.answer(invite, "486 Busy Here", "callee")
		<-l.Done()
		if _, err := l.State(); !errors.Is(err, ErrState) {
			t.Error(err)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, s *Server, c *caller, l *Leg) {
		state := saved(t, l)
		for name, edit := range map[string]func(*savedLeg){
			"version":      func(s *savedLeg) { s.Version = 2 },
			"no dialog":    func(s *savedLeg) { s.CallID = "" },
			"no tag":       func(s *savedLeg) { s.Us = "<sip:a@b>" },
			"no target":    func(s *savedLeg) { s.Target = "" },
			"bad route":    func(s *savedLeg) { s.Routes = []string{"x"} },
			"line feed":    func(s *savedLeg) { s.Them = "<sip:a\n@b>;tag=x" },
			"no transport": func(s *savedLeg) { s.Network = "sctp" },
			"it is here":   func(*savedLeg) {},
		} {
			var v savedLeg
			if err := json.Unmarshal(state, &v); err != nil {
				t.Fatal(err)
			}
			edit(&v)
			bad, _ := json.Marshal(v)
			if _, err := s.Restore(bad, &media{}, nil); err == nil {
				t.Errorf("%s: restored", name)
			}
		}
		if _, err := s.Restore([]byte("{"), &media{}, nil); err == nil {
			t.Error("half a state restored")
		}
	})
}

// TestRestoredTimer holds that the far end of a restored leg is asked before it is
// given up, though its interval was over meanwhile.
func TestRestoredTimer(t *testing.T) {
	d := answering(t, &media{})
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "outage")
		c.request("INVITE", 1, append([]string{"Supported: timer", "Session-Expires: 600", "Allow: UPDATE"}, offer...)...)
		c.to = field(c.recv("SIP/2.0 200"), "To")
		c.request("ACK", 1)
		l := next(t, "leg", d.legs)
		synctest.Wait()
		state := saved(t, l)
		l.abandon()
		time.Sleep(time.Hour)
		l, err := s.Restore(state, &media{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.answer2xx(c.after(150*time.Second, "UPDATE"), "Session-Expires: 600;refresher=uac")
		time.Sleep(200 * time.Second)
		c.request("BYE", 2)
		wantEnd(t, l, 200, ByRemote)
	})
}

// TestRestoredEncryption holds that a leg over TLS is known to be encrypted after it
// was taken over: else its keys would not be told, or its sound sent in the clear.
func TestRestoredEncryption(t *testing.T) {
	bubble(t, Options{Handler: answering(t, &media{})}, func(t *testing.T, s *Server) {
		for network, want := range map[string]bool{"tls": true, "wss": true, "tcp": false, "udp": false} {
			state, err := json.Marshal(savedLeg{Version: stateVersion, ID: "x", CallID: "c-" + network, Us: "<sip:us@h>;tag=1", Them: "<sip:them@h>;tag=2",
				Target: "sip:them@192.0.2.1", Network: network, Remote: "192.0.2.1:5061"})
			if err != nil {
				t.Fatal(err)
			}
			l, err := s.Restore(state, &media{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if l.Encrypted() != want {
				t.Errorf("%s: encrypted %v, want %v", network, l.Encrypted(), want)
			}
			l.abandon()
		}
	})
}
