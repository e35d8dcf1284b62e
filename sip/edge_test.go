package sip

import (
	"bufio"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

func TestPlausible(t *testing.T) {
	for raw, want := range map[string]bool{
		"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n":            true,
		"SIP/2.0 200 OK\r\nVia: x\r\n\r\n":                     true,
		"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\nv=0\no=\x00":  true, // the body is not ours
		"INVITE sip:a@b SIP/7.0\r\nVia: x\r\n\r\n":             true, // gets a 505
		"INVITE sip:a@b SIP/2.0\nVia: x\r\n\r\n":               false,
		"INVITE sip:a@b SIP/2.0\r\nTo: x\nVia: y\r\n\r\n":      false,
		"INVITE sip:a@b SIP/2.0\r\nTo: x\x00\r\n\r\n":          false,
		"INVITE sip:a@b SIP/2.0\r\nTo: \"\\\x00\" <x>\r\n\r\n": true, // quoted
		"INVITE sip:a@b SIP/2.0\r\nTo: \"\\\n\" <x>\r\n\r\n":   false,
		"INVITE sip:a@b SIP/2.0\r\nTo: x\rVia: y\r\n\r\n":      false,
		"INVITE sip:a@b SIP/2.0\r\nTo: x\r\n":                  true, // gets a 400
		"GET / HTTP/1.1\r\nHost: x and more of it\r\n\r\n":     false,
		"\r\n\r\n":                  false,
		"":                          false,
		strings.Repeat("\x00", 100): false,
		"INVITE sip:a@b SIP/2.0\r\nVia: x" + strings.Repeat(";a", maxParams) + "\r\n\r\n;":  true,
		"INVITE sip:a@b SIP/2.0\r\nVia: x" + strings.Repeat(";a", maxParams+1) + "\r\n\r\n": false,
		"INVITE sip:a@b?a" + strings.Repeat("&a", maxParams+1) + " SIP/2.0\r\n":             false,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls hello":                            false,
	} {
		if got := plausible([]byte(raw)); got != want {
			t.Errorf("%.40q: %v", raw, got)
		}
	}
}

func TestValidate(t *testing.T) {
	base := []string{
		"INVITE sip:a@b SIP/2.0", "Via: SIP/2.0/UDP h:5060;branch=z9hG4bKx", "From: <sip:c@d>;tag=1", "To: <sip:a@b>",
		"Call-ID: id", "CSeq: 1 INVITE", "Max-Forwards: 70",
	}
	for _, c := range []struct {
		what string
		edit func([]string) []string
		code int // 0: fine, -1: cannot even be answered
	}{
		{"good", func(m []string) []string { return m }, 0},
		{"version", set(0, "INVITE sip:a@b SIP/3.0"), 505},
		{"method of CSeq", set(5, "CSeq: 1 BYE"), 400},
		{"two To", add("To: <sip:x@y>"), 400},
		{"two From", add("From: <sip:x@y>;tag=2"), 400},
		{"two Call-ID", add("Call-ID: other"), 400},
		{"two CSeq", add("CSeq: 1 INVITE"), 400},
		{"no From tag", set(2, "From: <sip:c@d>"), 400},
		{"LF in a value", add("Subject: a\nb"), 400},
		{"LF in a name", set(2, "From: \"a\nb\" <sip:c@d>;tag=1"), 400},
		{"LF in a parameter", set(2, "From: <sip:c@d>;tag=1;x=a\nb"), 400},
		{"NUL in a user", set(0, "INVITE sip:a\x00@b SIP/2.0"), 400},
		{"scheme", set(0, "INVITE http://a SIP/2.0"), 416},
		{"telephone", set(0, "INVITE tel:+1 SIP/2.0"), 0},
		{"no hops left", set(6, "Max-Forwards: 0"), 483},
		{"required", add("Require: path, 100rel, x"), 420},
		{"required and had", add("Require: path, 100rel, Timer, replaces, norefersub"), 0},
		{"required nothing", add("Require: "), 0},
		{"method", func(m []string) []string {
			m[0], m[5] = "DANCE sip:a@b SIP/2.0", "CSeq: 1 DANCE"
			return m
		}, 501},
		{"body of another type", add("Content-Type: text/plain", "", "x"), 415},
		{"body without a type", add("", "x"), 415},
		{"version in small letters", set(0, "INVITE sip:a@b sip/2.0"), 0},
		{"blanks in CSeq", set(5, "CSeq: 1 \t INVITE"), 0},
		{"a blank before a parameter", set(2, "From: Jo <sip:c@d> ; tag=1"), 0},
		{"a parameter in large letters", set(2, "From: <sip:c@d>;Tag=1"), 0},
		{"body of another type that need not be read", add("Content-Type: text/plain", "Content-Disposition: render;Handling=optional", "", "x"), 0},
		{"parts", parts("Content-Type: application/sdp\r\n\r\nv=0\r\n", "Content-Type: application/pidf+xml\r\nContent-ID: <x>\r\n\r\n<p/>"), 0},
		{"a part that must be read", parts("Content-Type: application/sdp\r\n\r\nv=0\r\n", "Content-Type: application/isup\r\nContent-Disposition: signal; handling=required\r\n\r\n\x01"), 415},
		{"parts without a boundary", add("Content-Type: multipart/mixed", "", "x"), 415},
		{"parts that do not end", add("Content-Type: multipart/mixed;boundary=b", "", "--b", "Content-Type: application/sdp", "", "v=0"), 415},
		{"packed body", add("Content-Type: application/sdp", "Content-Encoding: gzip", "", "x"), 415},
		{"session", add("Content-Type: application/SDP;charset=x", "", "v=0"), 0},
		{"no Via", set(1, "X: y"), -1},
		{"no Call-ID", set(4, "X: y"), -1},
		{"no To", set(3, "X: y"), -1},
		{"no From", set(2, "X: y"), -1},
	} {
		t.Run(c.what, func(t *testing.T) {
			lines := c.edit(append([]string(nil), base...))
			raw := strings.Join(lines, "\r\n") + "\r\n"
			if !strings.Contains(raw, "\r\n\r\n") {
				raw += "\r\n"
			}
			req := parse(t, raw)
			if c.code == 0 { // else it is shown what tidy may leave
				tidy(req)
			}
			if !answerable(req) {
				if c.code != -1 {
					t.Fatal("cannot be answered")
				}
				return
			}
			code := 0
			if f := validate(req); f != nil {
				code = f.code
			}
			if code != c.code {
				t.Errorf("%d, want %d", code, c.code)
			}
		})
	}
}

func set(i int, line string) func([]string) []string {
	return func(m []string) []string { m[i] = line; return m }
}

func add(lines ...string) func([]string) []string {
	return func(m []string) []string { return append(m, lines...) }
}

func TestUnsupportedIsNamed(t *testing.T) {
	bubble(t, Options{Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
		c := newCaller(t, s, "bad-extension")
		c.request("INVITE", 1, append([]string{"Require: 100rel, tdialog"}, offer...)...)
		if got := field(c.recv("SIP/2.0 420"), "Unsupported"); got != "tdialog" {
			t.Errorf("Unsupported: %q", got)
		}
		c.resend("ACK", 1, 1)
	})
}

func TestStream(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		s := startIn(t, e, Options{Config: openConfig("tcp"), Handler: newDesk(nil)})
		conn, err := e.connect(t.Context(), "tcp", s.Addrs()[0].Address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		options := func(id string) string {
			return "OPTIONS sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h:1;branch=z9hG4bK" + id + "\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: " + id + "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
		}
		// Two messages and a half in one piece, the rest after, a keep-alive between.
		third := options("c")
		if _, err := conn.Write([]byte(options("a") + options("b") + third[:40])); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(third[40:])); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		got := map[string]bool{}
		for len(got) < 3 {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if id, ok := strings.CutPrefix(line, "Call-ID: "); ok {
				got[strings.TrimSpace(id)] = true
			}
		}
		// A bare LF within a header is refused, not passed on.
		if _, err := conn.Write([]byte(strings.Replace(options("d"), "To: ", "Subject: a\nX-Evil: b\r\nTo: ", 1))); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, "SIP/2.0 400") {
				return
			}
		}
	})
}

func TestAcceptorCapsAddresses(t *testing.T) {
	a := newAcceptor(nil, nil, nil)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range maxConnsFromIP {
		if !a.take(one) {
			t.Fatal("refused too early")
		}
	}
	if a.take(one) {
		t.Error("one address holds too many")
	}
	if !a.take(two) {
		t.Error("another address suffers")
	}
	for range maxConnsFromIP {
		a.give(one)
	}
	a.give(two)
	for i := range maxConnsFromIP + 1 {
		host := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))
		if got, want := a.take(host), i < maxConnsFromIP; got != want {
			t.Fatalf("connection %d of one IPv6 network: %v, want %v", i+1, got, want)
		}
	}
	for range maxConnsFromIP {
		a.give(netip.MustParseAddr("2001:db8::1"))
	}
	if len(a.conns) != 0 || a.total != 0 {
		t.Errorf("left: %v, %d", a.conns, a.total)
	}
}

func TestLanesKeepOrder(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	c := newCrew()
	defer c.close()
	ls := newLanes(c, func(in inbound) {
		mu.Lock()
		defer mu.Unlock()
		id := in.msg.CallID().Value()
		got[id] = append(got[id], in.flow.remote)
	})
	for i := range 30 {
		for _, id := range []string{"a", "b"} {
			h := gosip.CallIDHeader(id)
			req := gosip.NewRequest(gosip.INFO, gosip.Uri{})
			req.AppendHeader(&h)
			if !ls.put(id, inbound{msg: req, flow: flow{remote: fmt.Sprint(i)}}) {
				t.Fatal("no room")
			}
		}
	}
	ls.close()
	for id, seq := range got {
		for i, v := range seq {
			if v != fmt.Sprint(i) {
				t.Fatalf("%s: %v", id, seq)
			}
		}
		if len(seq) != 30 {
			t.Errorf("%s: %d handled", id, len(seq))
		}
	}
	if ls.put("a", inbound{}) {
		t.Error("a closed lane took a message")
	}
}

func TestLanesAreBounded(t *testing.T) {
	gate := make(chan struct{})
	c := newCrew()
	defer c.close()
	ls := newLanes(c, func(inbound) { <-gate })
	took := 0
	for range 2 * maxLaneRest {
		if ls.put("a", inbound{}) {
			took++
		}
	}
	if took != maxLaneRest+1 {
		t.Errorf("%d waiting in one lane", took)
	}
	for i := range maxLanes {
		ls.put(fmt.Sprint(i), inbound{})
	}
	if ls.put("one more", inbound{}) {
		t.Error("too many lanes")
	}
	close(gate)
	ls.close()
}

func TestOrphansAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := orphans{life: 32 * time.Second}
		for i := range 2 * maxOrphans {
			o.add(fmt.Sprint(i))
			o.add("0")
		}
		if len(o.m) > maxOrphans || len(o.order) > maxOrphans {
			t.Errorf("%d remembered", len(o.m))
		}
		time.Sleep(31 * time.Second)
		first, again := o.has("0"), o.has("0")
		if !first || !again || o.has("no") {
			t.Error("a CANCEL counts for each repetition of its INVITE, and for no other")
		}
		time.Sleep(time.Second)
		if o.has("0") || len(o.m) != 0 || len(o.order) != 0 {
			t.Errorf("%d remembered for too long", len(o.m))
		}
	})
}

func TestWhereAnswersGo(t *testing.T) {
	udp, tcp := &listener{network: "udp"}, &listener{network: "tcp"}
	for _, c := range []struct {
		via  string
		at   *listener
		want string
		sent string
	}{
		{"SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx", udp, "192.0.2.9:5070", "received=192.0.2.9"},
		{"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", udp, "192.0.2.9:5060", "received=192.0.2.9"},
		{"SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;rport", udp, "192.0.2.9:777", "rport=777"},
		{"SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKx", udp, "192.0.2.9:5070", "branch=z9hG4bKx"},
		{"SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bKx", tcp, "192.0.2.9:777", "received=192.0.2.9"},
	} {
		req := parse(t, "OPTIONS sip:a@b SIP/2.0\r\nVia: "+c.via+"\r\nVia: SIP/2.0/UDP far\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 OPTIONS\r\n\r\n")
		res := response(req, flow{at: c.at, remote: "192.0.2.9:777"}, 200, "OK", "tag")
		if res.Destination() != c.want || !strings.Contains(res.Via().Value(), c.sent) {
			t.Errorf("%s: to %s with %s", c.via, res.Destination(), res.Via().Value())
		}
		if len(res.GetHeaders("via")) != 2 || strings.Contains(req.Via().Value(), "received") {
			t.Error("the request was changed, or a Via lost")
		}
	}
}

func TestEscapeUser(t *testing.T) {
	for plain, wire := range map[string]string{"+1555": "+1555", "a b": "a%20b", "x@y;z": "x%40y%3Bz", "*72": "*72", "#1": "%231", "é\r\n": "%C3%A9%0D%0A"} {
		if got := escapeUser(plain); got != wire {
			t.Errorf("%q: %q", plain, got)
		}
	}
	u := gosip.Uri{Scheme: "sip", User: "%231;isub=3"}
	if got := uriUser(&u); got != "#1" {
		t.Errorf("read back %q", got)
	}
}

// FuzzReceive takes any bytes the way of a datagram: filter, parser, lane,
// validation, transactions, legs.
func FuzzReceive(f *testing.F) {
	call := []string{"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKf", "From: <sip:c@d>;tag=1", "To: <sip:a@b>", "Call-ID: fuzz", "Max-Forwards: 70"}
	for _, method := range []string{"INVITE", "ACK", "CANCEL", "BYE", "REGISTER", "OPTIONS", "INFO", "UPDATE", "REFER"} {
		f.Add([]byte(strings.Join(append([]string{method + " sip:a@b SIP/2.0", "CSeq: 1 " + method}, call...), "\r\n") + "\r\nContact: <sip:x@127.0.0.1:9>\r\n\r\n"))
	}
	f.Add([]byte("SIP/2.0 200 OK\r\n" + strings.Join(call, "\r\n") + "\r\nCSeq: 1 INVITE\r\n\r\n"))
	f.Add([]byte("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=x\r\nf: <sip:c@d>;tag=1\r\nt: <sip:a@b>\r\ni: j\r\nCSeq: 1 INVITE\r\nRecord-Route: <sip:h>\r\nc: application/sdp\r\n\r\nv=0\r\n"))
	d := newDesk(func(l *Leg) { _ = l.Answer(&media{}) })
	s := start(f, Options{Config: openConfig("udp"), Handler: d, Credentials: passwords{"127.0.0.1", map[string]string{"c": "x"}}, T1: 10 * time.Millisecond})
	fl := flow{at: s.listeners[0], remote: "127.0.0.1:9"}
	parser := newParser()
	f.Fuzz(func(t *testing.T, data []byte) {
		if !plausible(data) {
			return
		}
		m, err := parser.ParseSIP(data)
		if err != nil || m.CallID() == nil || m.Via() == nil || m.CSeq() == nil {
			if answer := badRequest(data); strings.ContainsAny(string(answer), "\x00\x1b\x7f") {
				t.Errorf("%q is answered %q", data, answer)
			}
			return
		}
		m.SetSource(fl.remote)
		panics := counter(t, s.metrics.panics)
		s.handle(inbound{msg: m, flow: fl})
		if counter(t, s.metrics.panics) != panics {
			t.Error("a panic was caught")
		}
	})
}

// TestFullIsCheap holds that a call which is refused for want of room has not been looked
// at closer than it takes to refuse it: numbers are not brought into a form first.
func TestFullIsCheap(t *testing.T) {
	cost := func(country string) (n float64) {
		cfg := openConfig("udp")
		cfg.Trunks[0].Country = country
		bubble(t, Options{Config: cfg, Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
			s.maxCalls = 0
			req := parse(t, "INVITE sip:0049301234567@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKfull\r\nFrom: <sip:030123456@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\r\n")
			f := flow{at: s.listeners[0], remote: "127.0.0.1:9"}
			const calls = 1000 // the race detector has pools forget some of what they are given
			n = testing.AllocsPerRun(1, func() {
				for range calls {
					s.invite(req, f)
				}
			}) / calls
		})
		return n
	}
	if plain, converted := cost(""), cost("DE"); converted > plain+1 {
		t.Errorf("%v allocations to refuse a call of a trunk with a country, %v without", converted, plain)
	}
}

// TestStrangersCancels holds that nobody but who may call leaves a CANCEL behind: 1024 of
// them, and that of a trunk which overtakes its INVITE is forgotten.
func TestStrangersCancels(t *testing.T) {
	for trusted, want := range map[bool]int{true: 1, false: 0} {
		cfg := openConfig("udp")
		if !trusted {
			cfg.Trunks = cfg.Trunks[:0]
		}
		bubble(t, Options{Config: cfg, Handler: newDesk(nil)}, func(t *testing.T, s *Server) {
			c := newCaller(t, s, "strange")
			c.request("CANCEL", 1)
			c.recv("SIP/2.0 481")
			s.orphans.mu.Lock()
			if got := len(s.orphans.m); got != want {
				t.Errorf("trusted %v: %d remembered, want %d", trusted, got, want)
			}
			s.orphans.mu.Unlock()
		})
	}
}
