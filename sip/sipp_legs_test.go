package sip

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// What a leg can do beside being set up and ended, with sipp as the other side.

// within is a request of sipp's as the callee, in a call whose first ACK it kept
// From of in $1.
func within(method string, seq int, extra ...string) step {
	return sends(append([]string{
		method + " sip:bugle@[remote_ip]:[remote_port] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
		"From: <sip:agent@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]", "To:[$1]", "[last_Call-ID:]", fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>", "Max-Forwards: 70",
	}, extra...)...)
}

// hearsAck takes the first ACK and keeps whom it is from.
func hearsAck() step {
	return `<recv request="ACK"><action><ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/></action></recv>` + "\n"
}

// says answers the last request, which had a tag, with headers and perhaps the
// description.
func says(status string, extra ...string) step {
	return sends(append([]string{"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]",
		"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>"}, extra...)...)
}

// saysFirst is says for the INVITE that makes the dialog.
func saysFirst(status string, extra ...string) step {
	return sends(append([]string{"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "CSeq: 1 INVITE",
		"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>"}, extra...)...)
}

var (
	noBody   = []string{"Content-Length: 0", ""}
	withBody = []string{"Content-Type: application/sdp", "Content-Length: [len]", "", "v=0", "o=- 1 1 IN IP4 [local_ip]", "s=-",
		"c=IN IP4 [local_ip]", "t=0 0", "m=audio 40000 RTP/AVP 0"}
)

func joined(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// TestSippCaller has sipp call us.
func TestSippCaller(t *testing.T) {
	opening := []step{request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1)}
	callUs(t, []callerCase{
		{name: "we-change", code: 200, by: ByRemote, steps: append(opening,
			hears("INVITE"), says("200 OK", withBody...), hears("ACK"), pauses(100*time.Millisecond), request("BYE", 2), gets(200)),
			act: func(t *testing.T, l *Leg) error { return l.Hold(t.Context()) }},
		{name: "we-change-and-are-refused", code: 200, by: ByRemote, steps: append(opening,
			hears("INVITE"), says("488 Not Acceptable Here", noBody...), hears("ACK"), pauses(100*time.Millisecond), request("BYE", 2), gets(200)),
			act: func(t *testing.T, l *Leg) error { return wanted(l.Reinvite(t.Context()), "488") }},
		{name: "glare", code: 200, by: ByRemote, steps: append(opening,
			hears("INVITE"), says("491 Request Pending", noBody...), hears("ACK"), hears("INVITE"), says("200 OK", withBody...), hears("ACK"),
			pauses(100*time.Millisecond), request("BYE", 2), gets(200)),
			act: func(t *testing.T, l *Leg) error { return l.Reinvite(t.Context()) }},
		{name: "we-end-what-is-gone", code: 481, by: ByFailure, steps: append(opening,
			hears("INVITE"), says("481 No Such Call", noBody...), hears("ACK")),
			act: func(t *testing.T, l *Leg) error { return wanted(l.Reinvite(t.Context()), "over") }},
		{name: "prack", code: 200, by: ByRemote, early: true, steps: []step{
			supporting("100rel"), gets(100, optional),
			`<recv response="183" rrs="true"><action><ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" assign_to="2"/></action></recv>` + "\n",
			request("PRACK", 2, "RAck: [$2] 1 INVITE"), gets(200), gets(200, keepsRR), request("ACK", 1),
			pauses(50 * time.Millisecond), request("BYE", 3), gets(200)},
			act: func(_ *testing.T, l *Leg) error {
				m := &media{}
				if err := l.AnswerEarly(m); err != nil {
					return err
				}
				return l.Answer(m)
			}},
		{name: "no-prack", code: 504, by: ByFailure, early: true, steps: []step{
			supporting("100rel"), gets(100, optional), gets(183, keepsRR), "<label id=\"1\"/>\n", gets(183, optional, `next="1"`), gets(504),
			sends("ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "CSeq: 1 ACK", "Content-Length: 0", "")},
			act: func(_ *testing.T, l *Leg) error {
				if err := l.AnswerEarly(&media{}); err != nil {
					return err
				}
				answered := later(func() error { return l.Answer(&media{}) })
				unheard(l)
				return wanted(<-answered, "over")
			}},
		{name: "we-refresh", code: 200, by: ByRemote, steps: []step{
			supporting("timer", "Session-Expires: 600;refresher=uas"), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1),
			hears("INVITE"), says("200 OK", append([]string{"Session-Expires: 600;refresher=uac"}, withBody...)...), hears("ACK"),
			hears("INVITE"), says("200 OK", append([]string{"Session-Expires: 600;refresher=uac"}, withBody...)...), hears("ACK"),
			request("BYE", 2), gets(200)},
			act: refreshedTwice},
		{name: "it-forgets-to-refresh", code: 408, by: ByFailure, steps: []step{
			supporting("timer", "Session-Expires: 600;refresher=uac"), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1),
			hears("BYE"), closes()},
			act: notRefreshed},
		{name: "interval-too-small", code: 200, by: ByRemote, steps: []step{
			supporting("timer", "Session-Expires: 30"), gets(100, optional), gets(422), ackFailed(1),
			sends(joined([]string{"INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:+15550001@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]", "To: <sip:[service]@[remote_ip]:[remote_port]>", "Call-ID: [call_id]", "CSeq: 2 INVITE",
				"Contact: <sip:+15550001@[local_ip]:[local_port];transport=[transport]>", "Supported: timer", "Session-Expires: 90", "Min-SE: 90"}, withBody)...),
			gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 2), pauses(50 * time.Millisecond), request("BYE", 3), gets(200)}},
		{name: "it-transfers", code: 200, by: ByRemote, steps: append(opening,
			request("REFER", 2, "Refer-To: <sip:200@help.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>"), gets(202),
			hears("NOTIFY"), closes(), hears("NOTIFY"), closes(), pauses(50*time.Millisecond), request("BYE", 3), gets(200)),
			act: func(t *testing.T, l *Leg) error {
				r := next(t, "REFER", l.Refers())
				if r.User != "200" || r.Replaces == nil || r.Replaces.CallID != "a" {
					t.Errorf("%+v", r)
				}
				if err := r.Accept(); err != nil {
					return err
				}
				return r.Notify(200)
			}},
		{name: "we-transfer", code: 200, by: ByRemote, steps: append(opening, hears("REFER"), says("202 Accepted", noBody...),
			request("NOTIFY", 2, "Event: refer", "Subscription-State: terminated;reason=noresource"), gets(200), request("BYE", 3), gets(200)),
			act: func(t *testing.T, l *Leg) error {
				r, err := l.Refer(ReferTo{URI: "sip:200@other.example"})
				if err != nil {
					return err
				}
				var steps []ReferStep
				for s := range r.Steps() {
					steps = append(steps, s)
				}
				if fmt.Sprint(steps) != "[{100 false} {487 true}]" {
					t.Errorf("told %v", steps)
				}
				return nil
			}},
		{name: "unknown-extension", steps: []step{
			requiring("tdialog"), gets(420), ackFailed(1)}},
		{name: "update", code: 200, by: ByRemote, steps: append(opening,
			request("UPDATE", 2), gets(200), request("OPTIONS", 2), gets(500), request("BYE", 3), gets(200))},
	})
}

// callerCase is a call of sipp's.
type callerCase struct {
	name  string
	steps []step
	act   func(t *testing.T, l *Leg) error // in place of answering, if early, else after it
	early bool
	code  int
	by    By
}

// callUs has sipp place each call, over each network.
func callUs(t *testing.T, cases []callerCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachNetwork(t, func(t *testing.T, network string) {
				d := newDesk(nil)
				d.conduct = func(l *Leg) {
					if !c.early {
						if err := l.Answer(&media{}); err != nil {
							t.Error(err)
						}
					}
					if c.act != nil {
						l.Refers()
						if !c.early {
							eventually(t, func() string { return unsaved(l) })
						}
						if err := c.act(t, l); err != nil {
							t.Error(err)
						}
					}
					d.legs <- l
					<-l.Done()
				}
				s := start(t, Options{Config: openConfig(network), Handler: d})
				done := sipp(t, network, c.name, c.steps, "-p", fmt.Sprint(freePort(t)), "-s", "helpline", s.Addrs()[0].Address.String())
				if c.code != 0 {
					wantEnd(t, next(t, "call", d.legs), c.code, c.by)
				}
				succeeds(t, done)
			})
		})
	}
}

// unsaved says why a leg cannot be written down yet: it is not acknowledged.
func unsaved(l *Leg) string {
	if _, err := l.State(); err != nil {
		return err.Error()
	}
	return ""
}

// wanted turns the error that is wanted into none.
func wanted(err error, want string) error {
	if err != nil && strings.Contains(err.Error(), want) {
		return nil
	}
	return fmt.Errorf("%v, want %s", err, want)
}

func supporting(ext string, extra ...string) step {
	return request("INVITE", 1, append([]string{"Supported: " + ext}, extra...)...)
}

func requiring(ext string) step { return request("INVITE", 1, "Require: "+ext) }

// ackFailed acknowledges a refused INVITE.
func ackFailed(seq int) step {
	return sends("ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]",
		fmt.Sprintf("CSeq: %d ACK", seq), "Content-Length: 0", "")
}

// TestSippCallee has us call sipp.
func TestSippCallee(t *testing.T) {
	up := []step{hears("INVITE"), saysFirst("180 Ringing", noBody...), saysFirst("200 OK", withBody...), hearsAck()}
	callSipp(t, []calleeCase{
		{name: "early-media", code: 200, by: ByLocal, steps: []step{
			hears("INVITE"), saysFirst("183 Session Progress", withBody...), pauses(50 * time.Millisecond), saysFirst("200 OK", noBody...), hears("ACK"), hears("BYE"), closes()},
			act: func(t *testing.T, l *Leg) error {
				wait(t, "early media", l.EarlyMedia())
				wait(t, "answered", l.Answered())
				l.Hangup()
				return nil
			}},
		{name: "reliable", code: 200, by: ByLocal, steps: []step{
			`<recv request="INVITE"><action><ereg regexp=".*" search_in="hdr" header="Via:" assign_to="4"/></action></recv>` + "\n",
			saysFirst("183 Session Progress", append([]string{"Require: 100rel", "RSeq: 5"}, withBody...)...), hears("PRACK"), closes(),
			sends(append([]string{"SIP/2.0 200 OK", "Via:[$4]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "CSeq: 1 INVITE",
				"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>"}, noBody...)...),
			hears("ACK"), hears("BYE"), closes()},
			act: hangUpOnceUp},
		{name: "late-offer", target: Target{AskOffer: true}, code: 200, by: ByLocal, steps: []step{
			hears("INVITE"), saysFirst("180 Ringing", noBody...), saysFirst("200 OK", withBody...), hears("ACK"), hears("BYE"), closes()}, act: hangUpOnceUp},
		{name: "it-changes", code: 200, by: ByRemote, steps: append(up,
			within("INVITE", 1, withBody...), gets(100, optional), gets(200), within("ACK", 1, noBody...),
			within("UPDATE", 2, withBody...), gets(200), within("BYE", 3, noBody...), gets(200))},
		{name: "we-change", code: 200, by: ByRemote, steps: append(up,
			hears("INVITE"), says("200 OK", withBody...), hears("ACK"), hears("INVITE"), says("200 OK", withBody...), hears("ACK"),
			pauses(50*time.Millisecond), within("BYE", 1, noBody...), gets(200)),
			act: func(t *testing.T, l *Leg) error {
				wait(t, "answered", l.Answered())
				if err := l.Hold(t.Context()); err != nil {
					return err
				}
				return l.Resume(t.Context())
			}},
		{name: "we-update", code: 200, by: ByRemote, steps: []step{
			hears("INVITE"), saysFirst("200 OK", append([]string{"Allow: INVITE, UPDATE"}, withBody...)...), hearsAck(),
			hears("UPDATE"), says("200 OK", withBody...), pauses(50 * time.Millisecond), within("BYE", 1, noBody...), gets(200)},
			act: func(t *testing.T, l *Leg) error {
				wait(t, "answered", l.Answered())
				return l.Update(t.Context())
			}},
		{name: "we-refresh", code: 200, by: ByRemote, act: refreshedTwice, steps: []step{
			hears("INVITE"), saysFirst("200 OK", append([]string{"Session-Expires: 600;refresher=uac", "Allow: INVITE, UPDATE"}, withBody...)...), hearsAck(),
			hears("UPDATE"), says("200 OK", append([]string{"Session-Expires: 600;refresher=uac"}, noBody...)...),
			hears("UPDATE"), says("200 OK", append([]string{"Session-Expires: 600;refresher=uac"}, noBody...)...), within("BYE", 1, noBody...), gets(200)}},
		{name: "it-forgets-to-refresh", code: 408, by: ByFailure, act: notRefreshed, steps: []step{
			hears("INVITE"), saysFirst("200 OK", append([]string{"Session-Expires: 600;refresher=uas"}, withBody...)...), hears("ACK"), hears("BYE"), closes()}},
		{name: "longer-interval", code: 200, by: ByLocal, steps: []step{
			hears("INVITE"), saysFirst("422 Session Interval Too Small", append([]string{"Min-SE: 3600"}, noBody...)...), hears("ACK"),
			`<recv request="INVITE"><action><ereg regexp="3600" search_in="hdr" header="Session-Expires:" check_it="true" assign_to="3"/></action></recv><Reference variables="3"/>` + "\n",
			sends(append([]string{"SIP/2.0 200 OK", "[last_Via:]", "[last_From:]", "[last_To:];tag=again", "[last_Call-ID:]", "[last_CSeq:]",
				"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>"}, withBody...)...),
			hears("ACK"), hears("BYE"), closes()}, act: hangUpOnceUp},
		{name: "ring-limit", code: 408, by: ByFailure, act: rungTooLong, steps: []step{
			hears("INVITE"), saysFirst("180 Ringing", noBody...), hears("CANCEL"), closes(),
			sends(append([]string{"SIP/2.0 487 Request Terminated", "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "CSeq: 1 INVITE"}, noBody...)...),
			hears("ACK")}},
		{name: "it-transfers", code: 200, by: ByRemote, steps: append(up,
			within("REFER", 1, append([]string{"Refer-To: <sip:200@help.example>"}, noBody...)...), gets(202), hears("NOTIFY"), closes(), hears("NOTIFY"), closes(),
			within("BYE", 2, noBody...), gets(200)),
			act: func(t *testing.T, l *Leg) error {
				r := next(t, "REFER", l.Refers())
				if err := r.Accept(); err != nil {
					return err
				}
				return r.Notify(486)
			}},
	})
}

// calleeCase is a call of ours to sipp.
type calleeCase struct {
	name   string
	over   string // the one network; else both
	target Target
	steps  []step
	act    func(*testing.T, *Leg) error
	code   int
	by     By
}

// callSipp places each call, over each network.
func callSipp(t *testing.T, cases []calleeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachNetwork(t, func(t *testing.T, network string) {
				if c.over != "" && network != c.over {
					return
				}
				s := start(t, Options{Config: openConfig("udp")})
				port := freePort(t)
				done := sipp(t, network, c.name, c.steps, "-p", fmt.Sprint(port))
				c.target.URI, c.target.From = fmt.Sprintf("sip:agent@127.0.0.1:%d;transport=%s", port, network), "bugle"
				l := ring(t, s, network, port, c.target)
				l.Refers()
				if c.act != nil {
					if err := c.act(t, l); err != nil {
						t.Error(err)
					}
				}
				wantEnd(t, l, c.code, c.by)
				succeeds(t, done)
			})
		})
	}
}

// refreshedTwice has the session's timer run out two times.
func refreshedTwice(t *testing.T, l *Leg) error {
	wait(t, "answered", l.Answered())
	for range 2 {
		began := time.Now()
		l.sessionDue()
		eventually(t, func() string {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.change != nil || l.timer.until.Before(began.Add(l.timer.every)) {
				return "the session is not refreshed"
			}
			return ""
		})
	}
	return nil
}

// notRefreshed has the time run out in which the far end should have refreshed.
func notRefreshed(t *testing.T, l *Leg) error {
	wait(t, "answered", l.Answered())
	l.sessionDue()
	return nil
}

func rungTooLong(_ *testing.T, l *Leg) error {
	l.rangOut()
	return nil
}

func hangUpOnceUp(t *testing.T, l *Leg) error {
	wait(t, "answered", l.Answered())
	l.Hangup()
	return nil
}

// TestSippTakeOver has a second server at the same address go on with sipp's call.
func TestSippTakeOver(t *testing.T) {
	d := answering(t, &media{})
	first := start(t, Options{Config: openConfig("udp"), Handler: d})
	at := first.Addrs()[0].Address
	done := sipp(t, "udp", "takeover", []step{request("INVITE", 1), gets(100, optional), gets(200, keepsRR), request("ACK", 1),
		hears("INVITE"), says("200 OK", withBody...), hears("ACK"), hears("BYE"), closes()},
		"-p", fmt.Sprint(freePort(t)), "-s", "helpline", at.String())
	l := next(t, "call", d.legs)
	eventually(t, func() string { return unsaved(l) })
	state := saved(t, l)
	vanish(first)
	cfg := openConfig()
	cfg.Listeners = []config.Listener{{Network: "udp", Address: at}}
	second := start(t, Options{Config: cfg})
	l, err := second.Restore(state, &media{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reinvite(context.Background()); err != nil {
		t.Error(err)
	}
	l.Hangup()
	wantEnd(t, l, 200, ByLocal)
	succeeds(t, done)
}
