package sip

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSessionTimerAsCallee checks what is agreed for an INVITE of theirs, and who
// does what when (RFC 4028, table 2).
func TestSessionTimerAsCallee(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		granted string // Session-Expires of the 200; "": none
		due     time.Duration
		acts    string // what we send when it is due; "": nothing
	}{
		{"knows nothing of it", nil, "", 0, ""},
		{"knows", []string{"Supported: timer"}, "1800;refresher=uas", 15 * time.Minute, "INVITE"},
		{"knows, and UPDATE", []string{"Supported: timer", "Allow: INVITE,UPDATE"}, "1800;refresher=uas", 15 * time.Minute, "UPDATE"},
		{"asks", []string{"Supported: timer", "Session-Expires: 600", "Allow: UPDATE"}, "600;refresher=uas", 5 * time.Minute, "UPDATE"},
		{"compact", []string{"k: timer", "x: 600", "Allow: UPDATE"}, "600;refresher=uas", 5 * time.Minute, "UPDATE"},
		{"will refresh", []string{"Require: timer", "Session-Expires: 600;refresher=uac"}, "600;refresher=uac", 568 * time.Second, "BYE"},
		{"will refresh soon", []string{"Supported: timer", "Session-Expires: 90 ; refresher=uac"}, "90;refresher=uac", 60 * time.Second, "BYE"},
		{"asks too much", []string{"Supported: timer", "Session-Expires: 7200"}, "1800;refresher=uas", 15 * time.Minute, "INVITE"},
		{"will not have less", []string{"Supported: timer", "Session-Expires: 7200", "Min-SE: 3600"}, "3600;refresher=uas", 30 * time.Minute, "INVITE"},
		{"a proxy asks", []string{"Session-Expires: 600"}, "600;refresher=uas", 5 * time.Minute, "INVITE"},
		{"a proxy asks too little", []string{"Session-Expires: 30"}, "", 0, ""},
		{"nonsense", []string{"Session-Expires: soon"}, "", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := answering(t, &media{})
			bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
				w := newCaller(t, s, "timer")
				w.request("INVITE", 1, append(c.headers, offer...)...)
				ok := w.recv("SIP/2.0 200")
				if got := field(ok, "Session-Expires"); got != c.granted {
					t.Fatalf("granted %q, want %q", got, c.granted)
				}
				w.to = field(ok, "To")
				w.request("ACK", 1)
				began := time.Now()
				l := next(t, "leg", d.legs)
				if c.acts == "" {
					time.Sleep(3 * time.Hour)
					w.request("BYE", 2)
					wantEnd(t, l, 200, ByRemote)
					return
				}
				req, ok2 := w.within(c.acts, 2*time.Hour)
				if took := time.Since(began).Round(time.Second); !ok2 || took != c.due {
					t.Fatalf("%s came %v after %s, want %s", c.acts, ok2, took, c.due)
				}
				w.answer2xx(req)
				if c.acts == "BYE" {
					if field(req, "Reason") == "" {
						t.Error("no reason")
					}
					wantEnd(t, l, 408, ByFailure)
					return
				}
				if want := strings.Split(c.granted, ";")[0] + ";refresher=uac"; field(req, "Session-Expires") != want {
					t.Errorf("refresh asks for %q, want %q", field(req, "Session-Expires"), want)
				}
				if c.acts == "UPDATE" && strings.Contains(req, "v=0") {
					t.Error("a refresh with a description")
				}
				w.request("BYE", 9)
				wantEnd(t, l, 200, ByRemote)
			})
		})
	}
}

// answer2xx answers a request of an established dialog.
func (w *wire) answer2xx(req string, extra ...string) {
	if strings.HasPrefix(req, "INVITE") {
		extra = append(extra, answerSDP...)
	}
	w.answer(req, "200 OK", "", extra...)
	if strings.HasPrefix(req, "INVITE") {
		w.recv("ACK")
	}
}

func TestIntervalTooSmall(t *testing.T) {
	d := answering(t, &media{})
	bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "brief")
		c.request("INVITE", 1, append([]string{"Supported: timer", "Session-Expires: 60"}, offer...)...)
		if got := field(c.recv("SIP/2.0 422"), "Min-SE"); got != "90" {
			t.Errorf("Min-SE %q", got)
		}
		c.request("INVITE", 2, append([]string{"Supported: timer", "Session-Expires: 90", "Min-SE: 90"}, offer...)...)
		c.to = field(c.recv("SIP/2.0 200"), "To")
		c.request("ACK", 2)
		for seq, method := range []string{"UPDATE", "INVITE"} {
			c.request(method, seq+3, "Supported: timer", "Session-Expires: 10")
			c.recv("SIP/2.0 422")
			if method == "INVITE" {
				c.resend("ACK", seq+3, c.branch)
			}
		}
		c.request("BYE", 9)
		wantEnd(t, next(t, "leg", d.legs), 200, ByRemote)
	})
}

func TestSessionTimerAsCaller(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string // of the 200
		due     time.Duration
		acts    string
	}{
		{"knows nothing of it", nil, 0, ""},
		{"leaves it to us", []string{"Session-Expires: 600;refresher=uac", "Allow: UPDATE"}, 5 * time.Minute, "UPDATE"},
		{"says nothing of who", []string{"Session-Expires: 600"}, 5 * time.Minute, "INVITE"},
		{"will refresh", []string{"Session-Expires: 600;refresher=uas"}, 568 * time.Second, "BYE"},
		{"haste", []string{"Session-Expires: 1;refresher=uac", "Allow: UPDATE"}, 45 * time.Second, "UPDATE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
				if got := field(invite, "Session-Expires"); got != "1800" {
					t.Errorf("asked for %q", got)
				}
				w.answer(invite, "200 OK", "callee", append(c.headers, answerSDP...)...)
				w.recv("ACK")
				began := time.Now()
				if c.acts == "" {
					time.Sleep(3 * time.Hour)
				} else {
					req, ok := w.within(c.acts, 2*time.Hour)
					if took := time.Since(began); !ok || took != c.due {
						t.Fatalf("%s came %v after %s, want %s", c.acts, ok, took, c.due)
					}
					w.answer2xx(req)
				}
				if c.acts == "BYE" {
					wantEnd(t, l, 408, ByFailure)
					return
				}
				l.Hangup()
				w.answer2xx(w.recv("BYE"))
				wantEnd(t, l, 200, ByLocal)
			})
		})
	}
}

// TestInviteAgainAfter422 asks for the longer interval, once or twice.
func TestInviteAgainAfter422(t *testing.T) {
	dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
		for i, least := range []string{"3600", "7200"} {
			w.answer(invite, "422 Session Interval Too Small", "callee", "Min-SE: "+least)
			w.recv("ACK")
			again := w.recv("INVITE")
			if field(again, "Session-Expires") != least || field(again, "Min-SE") != least || field(again, "CSeq") != string(rune('2'+i))+" INVITE" {
				t.Errorf("again: %s", again)
			}
			if field(again, "Call-ID") != field(invite, "Call-ID") {
				t.Error("another Call-ID")
			}
			invite = again
		}
		w.answer(invite, "422 Session Interval Too Small", "callee", "Min-SE: 9000")
		w.recv("ACK")
		wantEnd(t, l, 422, ByRemote)
	})
}

// TestRefreshes follows a talk of a day: they are refreshed by us, by them, or end.
func TestRefreshes(t *testing.T) {
	t.Run("ours", func(t *testing.T) {
		dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
			expires := "Session-Expires: 600;refresher=uac"
			w.answer(invite, "200 OK", "callee", append([]string{expires, "Allow: UPDATE"}, answerSDP...)...)
			w.recv("ACK")
			for range 24 * 12 {
				w.answer2xx(w.after(300*time.Second, "UPDATE"), expires)
			}
			// A refusal that may pass is tried again before the end, then it is over.
			tries := 0
			for {
				req, ok := w.within("UPDATE", 301*time.Second)
				if !ok {
					break
				}
				tries++
				w.answer(req, "503 Overloaded", "")
			}
			if tries < 4 {
				t.Errorf("%d tries", tries)
			}
			w.answer2xx(w.recv("BYE"))
			wantEnd(t, l, 408, ByFailure)
		})
	})
	t.Run("theirs", func(t *testing.T) {
		d := answering(t, &media{})
		bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
			c := newCaller(t, s, "theirs")
			expires := []string{"Supported: timer", "Session-Expires: 600;refresher=uac"}
			c.request("INVITE", 1, append(expires, offer...)...)
			c.to = field(c.recv("SIP/2.0 200"), "To")
			c.request("ACK", 1)
			for i := range 10 {
				time.Sleep(500 * time.Second)
				if i%2 == 0 {
					c.request("UPDATE", 2+i, expires...)
					c.recv("SIP/2.0 200")
				} else {
					c.request("INVITE", 2+i, append(expires, offer...)...)
					c.recv("SIP/2.0 200")
					c.request("ACK", 2+i)
				}
			}
			l := next(t, "leg", d.legs)
			select {
			case <-l.Done():
				t.Error("over")
			default:
			}
			// A refresh that no longer asks for one ends the watch.
			c.request("UPDATE", 90)
			c.recv("SIP/2.0 200")
			time.Sleep(2 * time.Hour)
			c.request("BYE", 99)
			wantEnd(t, l, 200, ByRemote)
		})
	})
	t.Run("theirs, whom we called", func(t *testing.T) {
		dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
			w.answer(invite, "200 OK", "callee", append([]string{"Require: timer", "Session-Expires: 600;refresher=uas"}, answerSDP...)...)
			w.recv("ACK")
			for i := range 10 {
				time.Sleep(500 * time.Second)
				w.send("UPDATE sip:bugle@"+w.to.String()+" SIP/2.0", fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-refresh-%d", w.addr(), i),
					"From: "+field(invite, "To")+";tag=callee", "To: "+field(invite, "From"), "Call-ID: "+field(invite, "Call-ID"), fmt.Sprintf("CSeq: %d UPDATE", i+1),
					"Contact: <sip:agent@"+w.addr()+">", "Supported: timer", "Session-Expires: 600;refresher=uac")
				if got := field(w.recv("SIP/2.0 200"), "Session-Expires"); got != "600;refresher=uac" {
					t.Errorf("granted %q", got)
				}
			}
			w.answer2xx(w.after(568*time.Second, "BYE"))
			wantEnd(t, l, 408, ByFailure)
		})
	})
	t.Run("method refused", func(t *testing.T) {
		dialling(t, Target{}, &media{}, func(t *testing.T, s *Server, w *wire, l *Leg, invite string) {
			w.answer(invite, "200 OK", "callee", append([]string{"Session-Expires: 600;refresher=uac", "Allow: UPDATE"}, answerSDP...)...)
			w.recv("ACK")
			w.answer(w.after(300*time.Second, "UPDATE"), "405 Method Not Allowed", "")
			w.answer2xx(w.after(150*time.Second, "INVITE"))
			l.Hangup()
			w.answer2xx(w.recv("BYE"))
		})
	})
	t.Run("none wanted", func(t *testing.T) {
		bubble(t, Options{SessionExpires: -1}, func(t *testing.T, s *Server) {
			w := newWire(t, s)
			l, err := s.Dial(Target{URI: "sip:x@" + w.addr(), From: "x"}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			if got := field(w.recv("INVITE"), "Session-Expires"); got != "" {
				t.Errorf("asked for %q", got)
			}
			l.Hangup()
		})
	})
}
