package sip

import (
	"bufio"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// TestOwnAddressIsNoWay holds that a far end cannot have our requests sent to
// somebody else's connection by naming our own address: sipgo's pool knows
// connections by both ends.
func TestOwnAddressIsNoWay(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		d := answering(t, &media{})
		s := startIn(t, e, Options{Config: openConfig("tcp"), Handler: d})
		own := s.Addrs()[0].Address.String()
		attacker, err := e.connect(t.Context(), "tcp", own)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = attacker.Close() }()
		send := func(method, seq, to, body string) {
			t.Helper()
			_, err := attacker.Write([]byte(method + " sip:x@" + own + " SIP/2.0\r\nVia: SIP/2.0/TCP h:1;branch=z9hG4bK" + seq + "\r\nFrom: <sip:a@b>;tag=1\r\nTo: " + to +
				"\r\nCall-ID: own\r\nCSeq: " + seq + " " + method + "\r\nContact: <sip:x@h:1>\r\nRecord-Route: <sip:" + own + ";transport=tcp;lr>\r\n" + body))
			if err != nil {
				t.Fatal(err)
			}
		}
		send("INVITE", "1", "<sip:x@h>", "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n")
		_ = attacker.SetReadDeadline(time.Now().Add(patience))
		to := ""
		for r := bufio.NewReader(attacker); to == ""; {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := strings.CutPrefix(line, "To: "); ok && strings.Contains(v, "tag=") {
				to = strings.TrimSpace(v)
			}
		}
		l := next(t, "leg", d.legs)
		send("ACK", "1", to, "Content-Length: 0\r\n\r\n")
		go func() { _, _ = io.Copy(io.Discard, attacker) }()
		victim, err := e.connect(t.Context(), "tcp", own)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = victim.Close() }()
		if _, err := victim.Write([]byte("OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h:1;branch=z9hG4bKv\r\nFrom: <sip:v@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: v\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = victim.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 4096)
		if n, err := victim.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "SIP/2.0 200") {
			t.Fatalf("%q %v", buf[:n], err)
		}
		l.Hangup()
		wantEnd(t, l, 200, ByLocal)
		_ = victim.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := victim.Read(buf); err == nil {
			t.Errorf("the victim got %.60q", buf[:n])
		}
	})
}

// TestTCPFlowIsReused holds that requests of a dialog over TCP go back over its
// connection, wherever the Contact points.
func TestTCPFlowIsReused(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		d := newDesk(nil)
		caller, callee := pair(t, e, "tcp", d) // which dials TCP without a listener
		out, err := caller.Dial(Target{URI: callee.uri("x", "tcp")}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		in := next(t, "INVITE", d.legs)
		if err := in.Answer(&media{}); err != nil {
			t.Fatal(err)
		}
		wait(t, "answered", out.Answered())
		conns := callee.listeners[0].accept.open()
		in.Hangup()
		wantEnd(t, out, 200, ByRemote)
		if got := callee.listeners[0].accept.open(); got != conns {
			t.Errorf("%d connections, %d before", got, conns)
		}
	})
}

// open gives the number of connections that stand.
func (a *acceptor) open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}

// TestFrom holds that nobody's name chooses the host we say a call is from.
func TestFrom(t *testing.T) {
	cfg := openConfig("udp")
	cfg.Domain = "help.example"
	bubble(t, Options{Config: cfg}, func(t *testing.T, s *Server) {
		for _, c := range []struct{ user, host, want string }{
			{"+15550001", "", "<sip:+15550001@help.example>"},
			{"evil@bank.example", "", "<sip:evil%40bank.example@help.example>"},
			{"x>\r\nX-Evil: 1", "", "<sip:x%3E%0D%0AX-Evil%3A%201@help.example>"},
			{"anna", "127.0.0.1", "<sip:anna@127.0.0.1>"},
			{"anna", "::1", "<sip:anna@[::1]>"},
			{"anna", "[2001:db8::1]", "<sip:anna@[2001:db8::1]>"},
		} {
			w := newWire(t, s)
			l, err := s.Dial(Target{URI: "sip:agent@" + w.addr(), From: c.user, FromHost: c.host}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			invite := w.recv("INVITE")
			if got, _, _ := strings.Cut(field(invite, "From"), ";tag="); got != c.want {
				t.Errorf("from %q at %q: %s, want %s", c.user, c.host, got, c.want)
			}
			w.answer(invite, "486 Busy Here", "callee")
			w.recv("ACK")
			wantEnd(t, l, 486, ByRemote)
		}
		for _, host := range []string{"a b", "a@b", "a>", "a\r\nb", "[::1", "fe80::1%eth0", "[x]", "a:5060"} {
			if _, err := s.Dial(Target{URI: "sip:agent@127.0.0.1:9", From: "x", FromHost: host}, &media{}); err == nil {
				t.Errorf("called from host %q", host)
			}
		}
	})
}

func TestCallOverIPv6(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Trunks[0].Addresses = []netip.Prefix{netip.MustParsePrefix("::1/128")}
	cfg.Listeners = []config.Listener{{Network: "udp", Address: netip.MustParseAddrPort("[::1]:0")}}
	d := answering(t, &media{})
	callee, caller := start(t, Options{Config: cfg, Handler: d}), start(t, Options{Config: cfg})
	out, err := caller.Dial(Target{URI: "sip:helpline@" + callee.Addrs()[0].Address.String(), From: "x"}, &media{})
	if err != nil {
		t.Fatal(err)
	}
	in := next(t, "leg", d.legs)
	wait(t, "answered", out.Answered())
	if from := out.Header("From"); !strings.HasPrefix(from, "<sip:x@[::1]>") {
		t.Errorf("from %s", from)
	}
	in.Hangup()
	wantEnd(t, in, 200, ByLocal)
	wantEnd(t, out, 200, ByRemote)
}

// TestPrivateErrors holds that what cannot be dialled is not quoted: it may be
// somebody's number.
func TestPrivateErrors(t *testing.T) {
	const private = "4930123456"
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		for _, uri := range []string{"sip:" + private, "tel:" + private, private, "sip:" + private + "@", "sip:+" + private + "@a b"} {
			if _, err := s.Dial(Target{URI: uri}, &media{}); err != nil && strings.Contains(err.Error(), private) {
				t.Errorf("Dial: %v", err)
			}
			if _, err := (ReferTo{URI: uri}).header(); err != nil && strings.Contains(err.Error(), private) {
				t.Errorf("Refer: %v", err)
			}
		}
	})
}

// TestContactOfEverything: an INVITE with the Contact that stands for all is answered,
// and its caller reached where he is.
func TestContactOfEverything(t *testing.T) {
	req := parse(t, "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nContact: *\r\n\r\n")
	ln := newListener("udp", newServer(Options{}).edge, nil)
	if d := dialogFromInvite(req, flow{at: ln, remote: "192.0.2.1:5060"}, "tag"); d.target.Host != "d" {
		t.Errorf("target %q", d.target.String())
	}
}
