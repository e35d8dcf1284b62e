package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Races, refusals and rare ways of a call, with sipp as the other side. Which scenario
// shows what is in docs/sip.md.

// keeps takes a request and keeps its Via, From, To and CSeq in $4 to $7, to be
// answered after other messages.
func keeps(method string) step {
	var take strings.Builder
	for i, name := range []string{"Via", "From", "To", "CSeq"} {
		fmt.Fprintf(&take, "<ereg regexp=\".*\" search_in=\"hdr\" header=\"%s:\" assign_to=\"%d\"/>", name, i+4)
	}
	return step(fmt.Sprintf("<recv request=%q><action>%s</action></recv>\n", method, take.String()))
}

// answersKept answers what was kept; tag is what the To of a first request gets.
func answersKept(status, tag string, extra ...string) step {
	return sends(append([]string{"SIP/2.0 " + status, "Via:[$4]", "From:[$5]", "To:[$6]" + tag, "[last_Call-ID:]", "CSeq:[$7]",
		"Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>"}, extra...)...)
}

// ackRefused acknowledges the refusal of a re-INVITE of the callee's.
func ackRefused(seq int) step {
	return sends("ACK sip:bugle@[remote_ip]:[remote_port] SIP/2.0", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]",
		fmt.Sprintf("CSeq: %d ACK", seq), "Content-Length: 0", "")
}

const checks = `<recv request="%s"><action><ereg regexp="%s" search_in="hdr" header="%s:" check_it="true" assign_to="9"/></action></recv>` +
	"<Reference variables=\"9\"/>\n"

// hearsWith is hears for a request that must have a header.
func hearsWith(method, header, like string) step {
	return step(fmt.Sprintf(checks, method, like, header))
}

// getsWith is gets for an answer that must have a header.
func getsWith(code int, header, like string) step {
	return step(strings.Replace(fmt.Sprintf(checks, fmt.Sprint(code), like, header), "request=", "response=", 1))
}

func TestSippCallerRarely(t *testing.T) {
	opening := []step{request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1)}
	closing := func(seq int) []step { return []step{pauses(50 * time.Millisecond), request("BYE", seq), gets(200)} }
	callUs(t, []callerCase{
		{name: "early-media", code: 200, by: ByRemote, early: true, steps: append([]step{
			request("INVITE", 1), gets(100, optional), gets(183), gets(200, keepsRR), request("ACK", 1)}, closing(2)...),
			act: func(_ *testing.T, l *Leg) error {
				m := &media{}
				if err := l.AnswerEarly(m); err != nil {
					return err
				}
				return l.Answer(m)
			}},
		{name: "no-offer", code: 200, by: ByRemote, steps: append([]step{
			sends("INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:+15550001@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]", "To: <sip:[service]@[remote_ip]:[remote_port]>", "Call-ID: [call_id]", "CSeq: 1 INVITE",
				"Contact: <sip:+15550001@[local_ip]:[local_port];transport=[transport]>", "Content-Length: 0", ""),
			gets(100, optional), gets(180, optional), getsWith(200, "Content-Type", "application/sdp"),
			sends(joined([]string{"ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:+15550001@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]", "To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]", "Call-ID: [call_id]", "CSeq: 1 ACK"}, withBody)...)},
			closing(2)...)},
		{name: "cancel-too-late", code: 200, by: ByRemote, steps: append([]step{
			request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("CANCEL", 1), gets(200), request("ACK", 1)}, closing(2)...)},
		{name: "changes-cross", code: 200, by: ByRemote, steps: append(append(opening,
			keeps("INVITE"), answersKept("100 Trying", "", noBody...), request("INVITE", 2), gets(100, optional), gets(491), ackFailed(2),
			answersKept("200 OK", "", withBody...), hears("ACK")), closing(3)...),
			act: func(t *testing.T, l *Leg) error { return l.Reinvite(t.Context()) }},
		{name: "we-update", code: 200, by: ByRemote, steps: append([]step{
			request("INVITE", 1, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1),
			hears("UPDATE"), says("200 OK", withBody...)}, closing(2)...),
			act: func(t *testing.T, l *Leg) error { return l.Update(t.Context()) }},
		{name: "it-refreshes", code: 200, by: ByRemote, steps: append([]step{
			supporting("timer", "Session-Expires: 600;refresher=uac"), gets(100, optional), gets(180, optional),
			getsWith(200, "Session-Expires", "600;refresher=uac"), request("ACK", 1),
			request("UPDATE", 2, "Supported: timer", "Session-Expires: 600;refresher=uac"), getsWith(200, "Session-Expires", "600;refresher=uac")}, closing(3)...)},
		{name: "replaces-nobody", steps: []step{
			request("INVITE", 1, "Replaces: none;to-tag=a;from-tag=b"), gets(481), ackFailed(1)}},
	})
}

func TestSippCalleeRarely(t *testing.T) {
	up := []step{hears("INVITE"), saysFirst("180 Ringing", noBody...), saysFirst("200 OK", withBody...), hearsAck()}
	closing := func(seq int) []step {
		return []step{pauses(50 * time.Millisecond), within("BYE", seq, noBody...), gets(200)}
	}
	callSipp(t, []calleeCase{
		// Over UDP sipp takes our second ACK for the first one, repeated.
		{name: "lost-ack", over: "tcp", code: 200, by: ByRemote, steps: append([]step{
			keeps("INVITE"), answersKept("200 OK", ";tag=[pid]SIPp[call_number]", withBody...), hears("ACK"),
			answersKept("200 OK", ";tag=[pid]SIPp[call_number]", withBody...), hearsAck()}, closing(1)...)},
		{name: "forks", code: 200, by: ByRemote, steps: []step{
			keeps("INVITE"), answersKept("180 Ringing", ";tag=one", noBody...), answersKept("183 Session Progress", ";tag=two", withBody...),
			answersKept("200 OK", ";tag=two", withBody...), hearsWith("ACK", "To", "tag=two"),
			answersKept("200 OK", ";tag=one", withBody...), hearsWith("ACK", "To", "tag=one"), hearsWith("BYE", "To", "tag=one"), closes(),
			sends("BYE sip:bugle@[remote_ip]:[remote_port] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From:[$6];tag=two", "To:[$5]", "[last_Call-ID:]", "CSeq: 1 BYE", "Content-Length: 0", ""), gets(200)}},
		{name: "glare", code: 200, by: ByRemote, steps: append(append(up,
			hears("INVITE"), says("491 Request Pending", noBody...), hears("ACK"), hears("INVITE"), says("200 OK", withBody...), hears("ACK")), closing(1)...),
			act: reinvited},
		{name: "changes-cross", code: 200, by: ByRemote, steps: append(append(up,
			keeps("INVITE"), answersKept("100 Trying", "", noBody...), within("INVITE", 1, withBody...), gets(100, optional), gets(491), ackRefused(1),
			answersKept("200 OK", "", withBody...), hears("ACK")), closing(2)...),
			act: reinvited},
		{name: "we-change-and-are-refused", code: 200, by: ByRemote, steps: append(append(up,
			hears("INVITE"), says("488 Not Acceptable Here", noBody...), hears("ACK")), closing(1)...),
			act: func(t *testing.T, l *Leg) error { return wanted(reinvited(t, l), "488") }},
		{name: "challenged-in-mid-call", target: Target{Auth: &Auth{"bugle", "secret"}}, code: 200, by: ByRemote, steps: append(append(up,
			hears("INVITE"), says("407 Proof", append([]string{
				`Proxy-Authenticate: Digest realm="pbx", nonce="47364c23432d2e131a5fb210812c", algorithm=SHA-256, qop="auth"`}, noBody...)...), hears("ACK"),
			hearsWith("INVITE", "Proxy-Authorization", "SHA-256"), says("200 OK", withBody...), hears("ACK")), closing(1)...),
			act: reinvited},
		{name: "we-end-what-is-gone", code: 481, by: ByFailure, steps: append(up[:3:3],
			hears("ACK"), hears("INVITE"), says("481 No Such Call", noBody...), hears("ACK")),
			act: func(t *testing.T, l *Leg) error { return wanted(reinvited(t, l), "over") }},
		{name: "it-refreshes", code: 200, by: ByRemote, steps: append([]step{
			hears("INVITE"), saysFirst("200 OK", append([]string{"Require: timer", "Session-Expires: 600;refresher=uas"}, withBody...)...), hearsAck(),
			within("UPDATE", 1, append([]string{"Supported: timer", "Session-Expires: 600;refresher=uac"}, noBody...)...), getsWith(200, "Session-Expires", "600;refresher=uac")}, closing(2)...)},
		{name: "we-transfer", code: 200, by: ByRemote, steps: append(append(up,
			hearsWith("REFER", "Refer-To", "200@other"), says("202 Accepted", noBody...),
			within("NOTIFY", 1, append([]string{"Event: refer", "Subscription-State: terminated;reason=noresource"}, noBody...)...), gets(200)), closing(2)...),
			act: func(t *testing.T, l *Leg) error {
				wait(t, "answered", l.Answered())
				r, err := l.Refer(ReferTo{URI: "sip:200@other.example"})
				if err != nil {
					return err
				}
				last := ReferStep{}
				for last = range r.Steps() {
				}
				if !last.Final {
					return errors.New("no end of the transfer was told")
				}
				return nil
			}},
		{name: "moved", code: 302, by: ByRemote, steps: []step{
			hears("INVITE"), saysFirst("302 Moved Temporarily", noBody...), hears("ACK")}},
		{name: "cancelled", code: 487, by: ByLocal, steps: []step{
			keeps("INVITE"), answersKept("180 Ringing", ";tag=x", noBody...), hearsWith("CANCEL", "CSeq", "1 CANCEL"), closes(),
			answersKept("487 Request Terminated", ";tag=x", noBody...), hears("ACK")},
			act: func(t *testing.T, l *Leg) error {
				wait(t, "ringing", l.Progress())
				l.Hangup()
				return nil
			}},
		{name: "it-ends-with-a-reason", code: 200, by: ByRemote, steps: append(up,
			within("BYE", 1, append([]string{`Reason: Q.850;cause=17;text="busy"`}, noBody...)...), gets(200)),
			act: func(t *testing.T, l *Leg) error {
				wait(t, "over", l.Done())
				if c := l.End().Cause; c.Protocol != "Q.850" || c.Code != 17 {
					return fmt.Errorf("ended for %+v", c)
				}
				return nil
			}},
	})
}

func reinvited(t *testing.T, l *Leg) error {
	wait(t, "answered", l.Answered())
	return l.Reinvite(t.Context())
}

// TestSippOverload: who finds no room is told when to come again, and the call that is
// there goes on.
func TestSippOverload(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		t.Parallel()
		cfg := openConfig(network)
		cfg.MaxCalls = 1
		d := answering(t, &media{})
		s := start(t, Options{Config: cfg, Handler: d})
		to, port := s.Addrs()[0].Address.String(), freePort(t)
		first := sipp(t, network, "first", []step{request("INVITE", 1), gets(100, optional), gets(180, optional), gets(200, keepsRR), request("ACK", 1), hears("BYE"), closes()},
			"-p", fmt.Sprint(port), "-s", "helpline", to)
		l := next(t, "call", d.legs)
		succeeds(t, sipp(t, network, "one-more", []step{request("INVITE", 1), getsWith(503, "Retry-After", "10"), ackFailed(1)},
			"-p", fmt.Sprint(freePort(t)), "-s", "helpline", to))
		eventually(t, func() string { return unsaved(l) })
		l.Hangup()
		wantEnd(t, l, 200, ByLocal)
		succeeds(t, first)
	})
}

// TestSippStranger: a name nobody has and a wrong password are answered alike, and a
// call of a stranger's is asked for proof.
func TestSippStranger(t *testing.T) {
	for _, user := range []string{"anna", "nobody"} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			s, _, _ := agents(t, "md5", "udp")
			reg := func(seq int, auth string) step {
				return sends("REGISTER sip:help.example SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
					"From: <sip:"+user+"@help.example>;tag=[pid]SIPp[call_number]", "To: <sip:"+user+"@help.example>", "Call-ID: [call_id]",
					fmt.Sprintf("CSeq: %d REGISTER", seq), "Contact: <sip:"+user+"@[local_ip]:[local_port]>", auth+"Content-Length: 0", "")
			}
			to := s.Addrs()[0].Address.String()
			succeeds(t, sipp(t, "udp", "guesses", []step{
				reg(1, ""), gets(401, asksAuth), reg(2, "[authentication username="+user+" password=guess]\n"), gets(403)}, "-p", fmt.Sprint(freePort(t)), to))
			succeeds(t, sipp(t, "udp", "calls", []step{request("INVITE", 1), gets(401), ackFailed(1)}, "-p", fmt.Sprint(freePort(t)), "-s", "helpline", to))
		})
	}
}

// TestSippPath: a phone registers through a proxy, and is called through it, with the
// phone's own Contact in the request's address.
func TestSippPath(t *testing.T) {
	eachNetwork(t, func(t *testing.T, network string) {
		t.Parallel()
		s, d, store := agents(t, "md5", network)
		proxy := freePort(t)
		path := fmt.Sprintf("<sip:127.0.0.1:%d;transport=%s;lr>", proxy, network)
		reg := func(seq int, auth string) step {
			return sends("REGISTER sip:help.example SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
				"From: <sip:anna@help.example>;tag=[pid]SIPp[call_number]", "To: <sip:anna@help.example>", "Call-ID: [call_id]", fmt.Sprintf("CSeq: %d REGISTER", seq),
				`Contact: <sip:anna@10.9.8.7:5060>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"`, "Path: "+path,
				"Supported: path, outbound", auth+"Content-Length: 0", "")
		}
		succeeds(t, sipp(t, network, "register", []step{reg(1, ""), gets(401, asksAuth), reg(2, "[authentication username=anna password=secret]\n"),
			getsWith(200, "Path", fmt.Sprint(proxy))}, "-p", fmt.Sprint(freePort(t)), s.Addrs()[0].Address.String()))
		next(t, "registration", d.events)
		bs, _ := store.Get(t.Context(), "anna")
		if len(bs) != 1 || len(bs[0].Path) != 1 {
			t.Fatalf("bindings %+v", bs)
		}
		done := sipp(t, network, "proxy", []step{hearsWith("INVITE", "Route", fmt.Sprint(proxy)), saysFirst("200 OK", append([]string{"Record-Route: " + path}, withBody...)...),
			hearsWith("ACK", "Route", fmt.Sprint(proxy)), hearsWith("BYE", "Route", fmt.Sprint(proxy)), closes()}, "-p", fmt.Sprint(proxy))
		l := ring(t, s, network, proxy, Target{Binding: &bs[0], From: "caller"})
		if got := l.invite.Recipient.String(); !strings.HasPrefix(got, "sip:anna@10.9.8.7:5060") {
			t.Errorf("called %s", got)
		}
		wait(t, "answered", l.Answered())
		l.Hangup()
		wantEnd(t, l, 200, ByLocal)
		succeeds(t, done)
	})
}

// TestSippSilentHost: a host of a trunk that says nothing loses the call to the next;
// when it wakes up, its answer is acknowledged and ended.
func TestSippSilentHost(t *testing.T) {
	t.Parallel()
	silent, good := freePort(t), freePort(t)
	wakes := sipp(t, "udp", "wakes", []step{keeps("INVITE"), hears("INFO"), answersKept("200 OK", ";tag=late", withBody...), hears("ACK"), hears("BYE"), closes()},
		"-p", fmt.Sprint(silent))
	takes := sipp(t, "udp", "takes", []step{hears("INVITE"), answers("180 Ringing", false), answers("200 OK", true), hears("ACK"), hears("BYE"), closes()}, "-p", fmt.Sprint(good))
	listened(t, "udp", silent, good)
	s := sippTrunk(t, nil, silent, good)
	l := dialTrunk(t, s, TrunkCall{Number: "+15550100", From: "+15550199"})
	l.silent(asked(t, s, gosip.INVITE))
	wait(t, "answer", l.Answered())
	waker := newWire(t, s)
	waker.to = netip.AddrPortFrom(waker.to.Addr(), uint16(silent))
	waker.send("INFO sip:x@127.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP "+waker.addr()+";branch=z9hG4bKwake", "From: <sip:a@b>;tag=1", "To: <sip:c@d>",
		"Call-ID: "+l.SIPCallID(), "CSeq: 1 INFO")
	succeeds(t, wakes)
	l.Hangup()
	wantEnd(t, l, 200, ByLocal)
	succeeds(t, takes)
}

// TestSippHealth: a host is up while it answers OPTIONS with anything but 503.
func TestSippHealth(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	reply := func(status string) step {
		return sends("SIP/2.0 "+status, "[last_Via:]", "[last_From:]", "[last_To:];tag=[pid]SIPp[call_number]", "[last_Call-ID:]", "[last_CSeq:]", "Content-Length: 0", "")
	}
	s := sippTrunk(t, nil, port)
	line := s.trunks[0]
	ask := func(name, status string, up bool) {
		t.Helper()
		done := sipp(t, "udp", name, []step{hears("OPTIONS"), reply(status)}, "-p", fmt.Sprint(port))
		listened(t, "udp", port)
		line.ask()
		succeeds(t, done)
		if line.up() != up {
			t.Errorf("after %s up is %t", status, !up)
		}
	}
	ask("asked", "404 Not Found", true)
	silence := later(func() error { line.ask(); return nil }) // nobody is there any more
	asked(t, s, gosip.OPTIONS).timeout()
	<-silence
	if line.up() {
		t.Error("up without an answer")
	}
	ask("asked-again", "200 OK", true)
	ask("asked-when-full", "503 Full", false)
}
