package sip

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadRefer(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		want    Refer
		code    int
	}{
		{"plain", []string{"Refer-To: <sip:200@help.example>"}, Refer{To: "sip:200@help.example", User: "200"}, 0},
		{"compact", []string{"r: sip:200@help.example", "b: <sip:anna@help.example>"}, Refer{To: "sip:200@help.example", User: "200", By: "sip:anna@help.example"}, 0},
		{"telephone", []string{"Refer-To: <tel:+15550001>"}, Refer{To: "tel:+15550001", User: "+15550001"}, 0},
		{"with parameters", []string{"Refer-To: \"A, B\" <sip:200@h:5070;transport=tcp;method=INVITE>;x=y"},
			Refer{To: "sip:200@h:5070;transport=tcp;method=INVITE", User: "200"}, 0},
		{"attended", []string{"Refer-To: <sip:200@h?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>"},
			Refer{To: "sip:200@h", User: "200", Replaces: &Replaces{CallID: "a@b", ToTag: "1", FromTag: "2"}}, 0},
		{"attended, early", []string{"Refer-To: <sip:200@h?x=y&replaces=a;from-tag%3D2;early-only;to-tag%3D1>"},
			Refer{To: "sip:200@h", User: "200", Replaces: &Replaces{CallID: "a", ToTag: "1", FromTag: "2", EarlyOnly: true}}, 0},
		{"none", nil, Refer{}, 400},
		{"two", []string{"Refer-To: <sip:a@h>", "Refer-To: <sip:b@h>"}, Refer{}, 400},
		{"no host", []string{"Refer-To: <sip:a@>"}, Refer{}, 416},
		{"another scheme", []string{"Refer-To: <http://h/>"}, Refer{}, 416},
		{"another method", []string{"Refer-To: <sip:a@h;method=BYE>"}, Refer{}, 603},
		{"bad escape", []string{"Refer-To: <sip:a@h?Replaces=a%4>"}, Refer{}, 400},
		{"bad Replaces", []string{"Refer-To: <sip:a@h?Replaces=a%3Bto-tag%3D1>"}, Refer{}, 400},
		{"two Replaces", []string{"Refer-To: <sip:a@h?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&replaces=b%3Bto-tag%3D1%3Bfrom-tag%3D2>"}, Refer{}, 400},
		{"CR in Replaces", []string{"Refer-To: <sip:a@h?Replaces=a%0D%3Bto-tag%3D1%3Bfrom-tag%3D2>"}, Refer{}, 400},
		{"too long", []string{"Refer-To: <sip:" + strings.Repeat("a", maxReferTo) + "@h>"}, Refer{}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := strings.Join(append([]string{"REFER sip:a@b SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bKx", "From: <sip:c@d>;tag=1",
				"To: <sip:a@b>;tag=2", "Call-ID: id", "CSeq: 1 REFER"}, c.headers...), "\r\n") + "\r\n\r\n"
			r, fault := readRefer(parse(t, raw))
			if fault != nil || c.code != 0 {
				if fault == nil || fault.code != c.code {
					t.Errorf("%+v, want %d", fault, c.code)
				}
				return
			}
			if r.To != c.want.To || r.User != c.want.User || r.By != c.want.By || (r.Replaces == nil) != (c.want.Replaces == nil) ||
				r.Replaces != nil && *r.Replaces != *c.want.Replaces {
				t.Errorf("%+v %+v, want %+v", r, r.Replaces, c.want)
			}
		})
	}
}

func TestRefer(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, c *caller, l *Leg) {
		c.request("REFER", 2, "Refer-To: <sip:200@help.example>")
		c.recv("SIP/2.0 603") // nobody asked for them
		refers := l.Refers()
		c.request("REFER", 3, "Refer-To: <sip:200@help.example>", "Referred-By: <sip:anna@help.example>")
		r := next(t, "REFER", refers)
		if r.User != "200" || r.By != "sip:anna@help.example" {
			t.Errorf("%+v", r)
		}
		if err := r.Notify(180); !errors.Is(err, ErrState) {
			t.Errorf("news before it is accepted: %v", err)
		}
		c.request("REFER", 4, "Refer-To: <sip:201@help.example>")
		c.recv("SIP/2.0 603") // one at a time
		if err := r.Accept(); err != nil {
			t.Fatal(err)
		}
		c.recv("SIP/2.0 202")
		if err := r.Accept(); !errors.Is(err, ErrState) {
			t.Errorf("accepting twice: %v", err)
		}
		for _, code := range []int{180, 486} {
			if err := r.Notify(code); err != nil {
				t.Error(err)
			}
		}
		for i, want := range []struct{ frag, state string }{
			{"SIP/2.0 100 Trying\r\n", "active;expires=180"},
			{"SIP/2.0 180 Ringing\r\n", "active;expires=180"},
			{"SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource"},
		} {
			n := c.recv("NOTIFY")
			if !strings.HasSuffix(n, "\r\n\r\n"+want.frag) || field(n, "Subscription-State") != want.state || field(n, "Event") != "refer;id=3" ||
				field(n, "CSeq") != fmt.Sprintf("%d NOTIFY", i+1) || field(n, "Content-Type") != "message/sipfrag;version=2.0" {
				t.Errorf("news %d: %s", i, n)
			}
			c.quiet("NOTIFY", 499*time.Millisecond) // the next only after the last is answered
			c.wire.answer(n, "200 OK", "")
		}
		if err := r.Notify(200); !errors.Is(err, ErrState) {
			t.Errorf("news after the end: %v", err)
		}
		// The next one, without news.
		c.request("REFER", 5, "Refer-To: <sip:200@help.example>", "Refer-Sub: false")
		r = next(t, "REFER", refers)
		if err := r.Accept(); err != nil {
			t.Fatal(err)
		}
		if got := field(c.recv("SIP/2.0 202"), "Refer-Sub"); got != "false" {
			t.Errorf("Refer-Sub %q", got)
		}
		if err := r.Notify(200); err != nil {
			t.Error(err)
		}
		// And ones refused, by us and by time.
		c.request("REFER", 6, "Refer-To: <sip:200@help.example>")
		if err := next(t, "REFER", refers).Reject(200); err == nil {
			t.Error("200 taken for a refusal")
		}
		c.after(referPatience, "SIP/2.0 603") // nobody answers it
		c.request("REFER", 7, "Refer-To: <sip:200@help.example>")
		if err := next(t, "REFER", refers).Reject(404); err != nil {
			t.Error(err)
		}
		c.recv("SIP/2.0 404")
		c.quiet("NOTIFY", time.Minute)
		// One that is open when the leg ends is answered.
		c.request("REFER", 8, "Refer-To: <sip:200@help.example>")
		r = next(t, "REFER", refers)
		l.Hangup()
		c.wire.answer(c.recv("BYE"), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
		c.recv("SIP/2.0 481")
		if err := r.Accept(); !errors.Is(err, ErrOver) {
			t.Errorf("accepted afterwards: %v", err)
		}
	})
}

// TestNotifyAnswers holds that a phone without a subscription keeps its call, and
// one that is gone does not.
func TestNotifyAnswers(t *testing.T) {
	for _, c := range []struct {
		status string
		over   bool
	}{{"481 No Subscription", false}, {"489 Bad Event", false}, {"500 Oops", false}, {"408 Gone", true}, {"", true}} {
		t.Run(c.status, func(t *testing.T) {
			inBubble(t, &media{}, func(t *testing.T, _ *Server, w *caller, l *Leg) {
				refers := l.Refers()
				w.request("REFER", 2, "Refer-To: <sip:200@help.example>")
				r := next(t, "REFER", refers)
				if err := r.Accept(); err != nil {
					t.Fatal(err)
				}
				n := w.recv("NOTIFY")
				if c.status != "" {
					w.wire.answer(n, c.status, "")
				}
				if c.over {
					<-l.Done()
					wantEnd(t, l, 408, ByFailure)
					return
				}
				synctest.Wait()
				if err := r.Notify(200); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestOurRefer(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string
		extra  []string
		news   [][]string // headers and body of NOTIFYs
		want   []ReferStep
		over   bool
	}{
		{"success", "202 Accepted", nil, [][]string{
			{"Event: refer", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag", "", "SIP/2.0 180 Ringing"},
			{"Event: refer;id=1", "Subscription-State: terminated;reason=noresource", "Content-Type: message/sipfrag;version=2.0", "", "SIP/2.0 200 OK"},
		}, []ReferStep{{100, false}, {180, false}, {200, true}}, false},
		{"busy", "202 Accepted", nil, [][]string{
			{"Event: refer", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag", "", "SIP/2.0 486 Busy"},
		}, []ReferStep{{100, false}, {486, true}}, false},
		{"ends silently", "202 Accepted", nil, [][]string{
			{"Event: refer", "Subscription-State: terminated;reason=timeout"},
		}, []ReferStep{{100, false}, {487, true}}, false},
		{"tells nothing", "202 Accepted", []string{"Refer-Sub: false"}, nil, []ReferStep{{100, true}}, false},
		{"refused", "603 Decline", nil, nil, []ReferStep{{603, true}}, false},
		{"gone", "481 Gone", nil, nil, []ReferStep{{487, true}}, true},
		{"hangs up", "202 Accepted", nil, nil, []ReferStep{{100, false}, {487, true}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, &media{}, func(t *testing.T, _ *Server, w *caller, l *Leg) {
				r, err := l.Refer(ReferTo{URI: "sip:200@other.example", Replaces: &Replaces{CallID: "a@b", ToTag: "1", FromTag: "2"}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := l.Refer(ReferTo{URI: "sip:200@other.example"}); !errors.Is(err, ErrBusy) {
					t.Errorf("a second one: %v", err)
				}
				req := w.recv("REFER")
				if field(req, "Refer-To") != "<sip:200@other.example?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>" ||
					field(req, "Referred-By") != "<sip:helpline@"+w.wire.to.String()+">" {
					t.Errorf("REFER: %s", req)
				}
				w.wire.answer(req, c.answer, "", c.extra...)
				for i, n := range c.news {
					w.request("NOTIFY", 2+i, n...)
					w.recv("SIP/2.0 200")
				}
				if c.over {
					<-l.Done()
				} else if len(c.news) == 0 {
					synctest.Wait()
					w.request("BYE", 5)
					wantEnd(t, l, 200, ByRemote)
				}
				for _, want := range c.want {
					if got := next(t, "news", r.Steps()); got != want {
						t.Errorf("%+v, want %+v", got, want)
					}
				}
				if _, more := <-r.Steps(); more {
					t.Error("more news after the last")
				}
				if len(c.news) > 0 {
					w.request("NOTIFY", 9, "Event: refer", "Subscription-State: active", "Content-Type: message/sipfrag", "", "SIP/2.0 100 Trying")
					w.recv("SIP/2.0 481")
				}
			})
		})
	}
}

func TestReferTargets(t *testing.T) {
	for _, uri := range []string{"", "http://x", "sip:", "sip:a@b>", "sip:a b@c", "sip:a@b\r\nX: y", "sip:a@b?Subject=x"} {
		if v, err := (ReferTo{URI: uri}).header(); err == nil {
			t.Errorf("%q became %q", uri, v)
		}
	}
	if v, err := (ReferTo{URI: "tel:+15550001"}).header(); err != nil || v != "<tel:+15550001>" {
		t.Errorf("%q %v", v, err)
	}
}

func TestNotifyWithoutSense(t *testing.T) {
	inBubble(t, &media{}, func(t *testing.T, _ *Server, w *caller, l *Leg) {
		w.request("NOTIFY", 2, "Event: refer", "Subscription-State: active")
		w.recv("SIP/2.0 481")
		if _, err := l.Refer(ReferTo{URI: "sip:200@h"}); err != nil {
			t.Fatal(err)
		}
		w.wire.answer(w.recv("REFER"), "202 Accepted", "")
		w.request("NOTIFY", 3, "Event: presence", "Subscription-State: active")
		w.recv("SIP/2.0 481")
		for i, body := range []string{"SIP/2.0 9999", "SIP/2.0 abc", "HTTP/1.1 200 OK", "SIP/2.0 099 x", ""} {
			w.request("NOTIFY", 4+i, "Event: refer", "Subscription-State: active", "Content-Type: message/sipfrag", "", body)
			w.recv("SIP/2.0 400")
		}
	})
}
