package sip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// nobody is ours.
func nobody(string) bool { return false }

// story gives a trace's messages in short: "in INVITE", "out 200 INVITE".
func story(tr *Trace) []string {
	var s []string
	for _, m := range tr.Messages {
		title := m.Title
		if code, _, answer := strings.Cut(title, " "); answer {
			title = code + " " + m.Method
		}
		s = append(s, fmt.Sprint(m.Direction, " ", title))
	}
	return s
}

func wantStory(t *testing.T, s *Server, id string, want ...string) *Trace {
	t.Helper()
	var tr *Trace
	eventually(t, func() string {
		var ok bool
		if tr, ok = s.Trace(id, nobody); !ok {
			return "no trace of " + id
		}
		if got := story(tr); strings.Join(got, ", ") != strings.Join(want, ", ") {
			return fmt.Sprintf("traced %q, want %q", got, want)
		}
		return ""
	})
	return tr
}

func TestTraceOfACall(t *testing.T) {
	eachVirtual(t, func(t *testing.T, e *ether, network string) {
		d := newDesk(nil)
		caller, node := pair(t, e, network, d)
		agents := newDesk(func(l *Leg) { _ = l.Answer(&media{}); <-l.Done() })
		agent := startIn(t, e, Options{Config: openConfig(network), Handler: agents})

		out, err := caller.Dial(Target{URI: node.uri("helpline", network), From: "+4930123456", Display: "Maria"}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		in := next(t, "the call", d.legs)
		if err := in.Answer(&media{}); err != nil {
			t.Fatal(err)
		}
		wait(t, "answer", out.Answered())
		wantStory(t, node, in.ID(), "in INVITE", "out 200 INVITE", "in ACK")
		second, err := node.Dial(Target{URI: agent.uri("anna", network), From: "+4930123456", Call: in.ID()}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		wait(t, "the agent's answer", second.Answered())
		second.Hangup()
		wait(t, "the agent's leg over", second.Done())
		out.Hangup()
		wait(t, "the caller's leg over", in.Done())

		want := []string{
			"in INVITE", "out 200 INVITE", "in ACK",
			"out INVITE", "in 200 INVITE", "out ACK", "out BYE", "in 200 BYE",
			"in BYE", "out 200 BYE",
		}
		tr := wantStory(t, node, in.ID(), want...)
		for _, callID := range []string{in.SIPCallID(), second.SIPCallID()} {
			wantStory(t, node, callID, want...)
		}
		if len(tr.Dialogs) != 2 || tr.Dialogs[0].With != "caller, loop" || tr.Dialogs[1].With != "callee" || tr.Messages[3].Dialog != 1 {
			t.Errorf("the legs are %+v", tr.Dialogs)
		}
		for _, m := range tr.Messages {
			if m.Transport != network {
				t.Errorf("%s came by %s", m.Title, m.Transport)
			}
			if strings.Contains(m.Text, "30123456") || strings.Contains(m.Text, "Maria") {
				t.Errorf("who calls is told:\n%s", m.Text)
			}
			if !strings.Contains(m.Text, "…56@") {
				t.Errorf("not even the last two digits of the caller are told:\n%s", m.Text)
			}
		}
		if tr.Messages[0].Peer == tr.Messages[3].Peer || !strings.HasPrefix(tr.Messages[0].Peer, "127.0.0.1:") {
			t.Errorf("peers %s and %s", tr.Messages[0].Peer, tr.Messages[3].Peer)
		}
	})
}

func TestTraceOfABrowser(t *testing.T) {
	s := start(t, Options{Config: openConfig("udp"), Handler: newDesk(nil)})
	b := open(t, browse(t, s, false))
	b.send("OPTIONS sip:x@h SIP/2.0", "Via: SIP/2.0/WS x.invalid;branch=z9hG4bK1", "From: <sip:a@b>;tag=1", "To: <sip:x@h>", "Call-ID: web", "CSeq: 1 OPTIONS")
	b.recv("SIP/2.0 200")
	if tr := wantStory(t, s, "web", "in OPTIONS", "out 200 OPTIONS"); tr.Messages[1].Transport != "ws" {
		t.Errorf("came by %s", tr.Messages[1].Transport)
	}
}

func TestTraceWithoutALeg(t *testing.T) {
	bubble(t, Options{Credentials: passwords{"127.0.0.1", map[string]string{"anna": "x"}}, Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "refused")
		head := []string{"Via: SIP/2.0/UDP " + c.addr() + ";branch=z9hG4bK9", "From: <sip:anna@127.0.0.1>;tag=1", "To: <sip:+4930123456@127.0.0.1>", "Call-ID: refused", "CSeq: 1 INVITE"}
		c.send(append([]string{"INVITE sip:x@127.0.0.1 SIP/2.0"}, head...)...)
		c.recv("SIP/2.0 401")
		c.send(append([]string{"INVITE sip:x@127.0.0.1 SIP/2.0"}, head...)...)
		c.recv("SIP/2.0 401")

		var tr *Trace
		eventually(t, func() string {
			tr, _ = s.Trace("refused", nobody)
			if tr == nil || len(tr.Messages) < 2 || tr.Messages[0].Repeated != 1 {
				return fmt.Sprintf("the repetition does not show: %+v", tr)
			}
			return ""
		})
		if len(tr.Calls) != 0 || tr.Messages[0].Last.Before(tr.Messages[0].Time) {
			t.Errorf("%+v", tr)
		}
		if text := tr.Messages[1].Text; !strings.Contains(text, `nonce=…`) || !strings.Contains(text, `realm="127.0.0.1"`) {
			t.Errorf("the challenge reads\n%s", text)
		}

		c.raw("INVITE sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKu\r\ni : torn\r\nFrom: Ma\x1b[2Jria <sip:+4930123456@h>\x00\r\n\r\n")
		tr = wantStory(t, s, "torn", "in INVITE")
		if text := tr.Messages[0].Text; strings.Contains(text, "\x1b") || strings.Contains(text, "123456") || strings.Contains(text, "ria") {
			t.Errorf("what could not be read is shown as\n%q", text)
		}
	})
}

// A proof is shown as one, and nothing of it that would help to guess the password.
func TestTraceOfAProof(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		node := startIn(t, e, Options{Credentials: passwords{"127.0.0.1", map[string]string{"anna": "secret"}},
			Handler: newDesk(func(l *Leg) { _ = l.Reject(404, "") })})
		phone := startIn(t, e, Options{})
		out, err := phone.Dial(Target{URI: node.uri("+4930123456", "udp"), From: "anna", FromHost: "127.0.0.1", Auth: &Auth{"anna", "secret"}}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, out, 404, ByRemote)
		tr := wantStory(t, node, out.SIPCallID(), "in INVITE", "out 401 INVITE", "in ACK", "in INVITE", "out 404 INVITE", "in ACK")
		if tr.Dialogs[0].With != "agent anna" || len(tr.Calls) != 1 {
			t.Errorf("%+v", tr)
		}
		kept, _ := node.edge.trace.get(out.SIPCallID())
		proof, err := parseDigest(field(string(kept.messages[3].raw), "Authorization"))
		if err != nil || len(proof["response"]) != 32 {
			t.Fatal(err, proof)
		}
		var b strings.Builder
		if err := tr.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{proof["response"], proof["nonce"], proof["cnonce"], "30123456"} {
			if strings.Contains(b.String(), secret) {
				t.Errorf("%s is shown", secret)
			}
		}
		if !strings.Contains(b.String(), `Digest username="…"`) || !strings.Contains(b.String(), "response=…") {
			t.Errorf("that there was a proof is not shown:\n%s", b.String())
		}
	})
}

func TestNoTrace(t *testing.T) {
	s := newServer(Options{})
	s.edge.trace.saw("udp", false, netip.AddrPort{}, []byte("OPTIONS x SIP/2.0\r\nCall-ID: a\r\n\r\n"))
	s.edge.trace.join("a", "b", "c")
	if tr, ok := s.Trace("a", nobody); ok || s.edge.trace.size() != 0 {
		t.Errorf("%+v is kept", tr)
	}
}

// told tells a tracer of a message of about so many bytes.
func told(tr *tracer, callID string, seq, size int) {
	tr.saw("udp", false, netip.MustParseAddrPort("192.0.2.1:5060"),
		fmt.Appendf(nil, "INFO x SIP/2.0\r\nCall-ID: %s\r\nCSeq: %d INFO\r\nX: %s\r\n\r\n", callID, seq, strings.Repeat("x", size)))
}

func TestTraceIsBounded(t *testing.T) {
	const limit = 1 << 20
	tr := newTracer(limit)
	held := func(ids ...string) {
		t.Helper()
		if n := tr.size(); n > limit {
			t.Fatalf("%d bytes are kept", n)
		}
		for _, id := range ids {
			if _, ok := tr.get(id); !ok {
				t.Errorf("%s is gone", id)
			}
		}
	}
	tr.join("leg", "call", "caller")
	told(tr, "leg", 1, 100)
	for i := range 2000 { // strangers do not push a call out
		told(tr, fmt.Sprint("stranger", i), 1, 1000)
	}
	held("leg", "call", "stranger1999")
	if _, ok := tr.get("stranger0"); ok {
		t.Error("all strangers are kept")
	}
	for i := range 2000 { // nor do calls that one that goes on
		id := fmt.Sprint(i)
		tr.join("leg"+id, "call"+id, "caller")
		told(tr, "leg"+id, 1, 1000)
		told(tr, "leg", i+2, 1)
	}
	held("leg", "call", "call1999", "leg1999")
	if _, ok := tr.get("call0"); ok {
		t.Error("all calls are kept")
	}
	c, _ := tr.get("call")
	if len(c.messages)+c.left != 2001 || len(c.messages) > mostOfCall {
		t.Errorf("%d messages are kept, %d are not", len(c.messages), c.left)
	}
	if first, last := string(c.messages[0].raw), string(c.messages[len(c.messages)-1].raw); !strings.Contains(first, "CSeq: 1 ") || !strings.Contains(last, "CSeq: 2001 ") {
		t.Errorf("from %q to %q", first, last)
	}
	for i := range 100 { // not even one that talks without end
		told(tr, "leg", 3000+i, 60000)
	}
	held("leg", "call1999")
	told(tr, strings.Repeat("x", 2000), 1, 1)
	told(tr, "huge", 1, 1<<20)
	held("call")
	if len(tr.dialogs)+len(tr.byCall) > 4000 {
		t.Errorf("%d dialogs, %d calls are remembered", len(tr.dialogs), len(tr.byCall))
	}
	for len(tr.byCall) > 0 { // all that is counted is given back
		oldest := tr.calls.Front().Value.(*traced)
		tr.calls.limit = tr.calls.bytes - 1
		tr.trim(oldest)
	}
	if tr.calls.bytes != 0 || tr.calls.Len() != 0 {
		t.Errorf("%d bytes of nothing", tr.calls.bytes)
	}
}

// A Call-ID is known before its leg is, and one leg may turn out to be of a call that
// is there.
func TestTraceJoins(t *testing.T) {
	tr := newTracer(1 << 20)
	told(tr, "a", 1, 1)
	tr.join("a", "call", "caller")
	told(tr, "b", 1, 1)
	told(tr, "a", 2, 1)
	tr.join("b", "call", "agent anna")
	told(tr, "b", 2, 1)
	for _, id := range []string{"a", "b", "call"} {
		c, _ := tr.get(id)
		var got []string
		for _, m := range c.messages {
			got = append(got, c.dialogs[m.dialog].callID)
		}
		if strings.Join(got, "") != "abab" || c.dialogs[1].with != "agent anna" {
			t.Errorf("%s: %q, %+v", id, got, c.dialogs)
		}
	}
	tr.join("a", "call again", "caller") // it came back to us by a proxy, or its caller has one Call-ID for all
	if c, _ := tr.get("call again"); len(c.messages) != 4 || len(c.ids) != 2 {
		t.Errorf("%+v", c)
	}
	tr.join("c", "third", "caller")
	tr.join("c", "call", "caller")
	if c, _ := tr.get("third"); len(c.messages) != 4 || len(c.ids) != 3 {
		t.Errorf("%+v", c)
	}
	if n := tr.calls.Len() + tr.others.Len(); n != 1 || tr.others.bytes != 0 {
		t.Errorf("%d calls are kept, %d bytes of others", n, tr.others.bytes)
	}
}

// BenchmarkTrace keeps the messages of a leg: 7 of 700 bytes, and what it is joined with.
func BenchmarkTrace(b *testing.B) {
	tr := newTracer(64 << 20)
	peer := netip.MustParseAddrPort("192.0.2.1:5060")
	body := strings.Repeat("x", 600)
	b.ReportAllocs()
	before := cpu(b)
	defer func() { b.ReportMetric(float64(cpu(b)-before)/float64(time.Microsecond)/float64(b.N), "cpu-µs/leg") }()
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("leg", i)
		message := fmt.Appendf(nil, "INVITE sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=1\r\nCall-ID: %s\r\nX: 0%s\r\n\r\n", id, body)
		at := len(message) - 605
		for j := range 7 {
			message[at] = byte('0' + j)
			tr.saw("udp", j%2 == 0, peer, message)
			if j == 0 {
				tr.join(id, id, "caller")
			}
		}
	}
}
