package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// behindEdge is a server with edge proxies, a carrier and an agent. It answers calls.
func behindEdge(t *testing.T, proxies []netip.Prefix, f func(t *testing.T, s *Server, d *desk, w *wire)) {
	t.Helper()
	virtual(t, func(t *testing.T, e *ether) {
		s, d, w := nodeBehindEdge(t, e, &MemoryBindings{}, nil, proxies...)
		f(t, s, d, w)
	})
}

// nodeBehindEdge is one of several that share bindings and bans.
func nodeBehindEdge(t *testing.T, e *ether, bindings Bindings, bans Bans, proxies ...netip.Prefix) (*Server, *desk, *wire) {
	t.Helper()
	cfg := openConfig("udp")
	cfg.Trunks = []config.Trunk{{Name: "carrier", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
	cfg.Domain, cfg.Edges = "help.example", proxies
	cfg.Limits = config.Limits{Source: 100, Failures: 3, Ban: config.Duration(time.Minute), LongestBan: config.Duration(time.Hour)}
	d := newDesk(nil)
	d.conduct = func(l *Leg) {
		_ = l.Answer(&media{})
		d.legs <- l
		<-l.Done()
	}
	s := startIn(t, e, Options{Config: cfg, Handler: d, Bindings: bindings, Bans: bans, Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
	if !s.spawn(func() { s.edge.share(s.ctx) }) {
		t.Fatal("closed")
	}
	return s, d, newWire(t, s)
}

var carrierSays = "X-Edge-Source: udp:198.51.100.9:5060"

// TestOriginBehindEdge: a caller is who the edge proxy says, and only an edge proxy
// says so.
func TestOriginBehindEdge(t *testing.T) {
	for _, c := range []struct {
		name    string
		proxies []netip.Prefix
		headers []string
		want    string // of the answer; empty: none
		trunk   string
	}{
		{"carrier", []netip.Prefix{loopback}, []string{carrierSays}, "SIP/2.0 200", "carrier"},
		{"carrier over TCP", []netip.Prefix{loopback}, []string{"x-edge-source: tcp:[::ffff:198.51.100.9]:40000"}, "SIP/2.0 200", "carrier"},
		{"stranger", []netip.Prefix{loopback}, []string{"X-Edge-Source: udp:192.0.2.7:5060"}, "SIP/2.0 401", ""},
		{"browser from the carrier's address", []netip.Prefix{loopback}, []string{"X-Edge-Source: wss:198.51.100.9:5060"}, "SIP/2.0 401", ""},
		{"the proxy itself", []netip.Prefix{loopback}, nil, "SIP/2.0 401", ""},
		{"a second word", []netip.Prefix{loopback}, []string{carrierSays, "X-Edge-Source: udp:192.0.2.7:5060"}, "", ""},
		{"no address", []netip.Prefix{loopback}, []string{"X-Edge-Source: udp:carrier"}, "", ""},
		{"no network", []netip.Prefix{loopback}, []string{"X-Edge-Source: 198.51.100.9:5060"}, "", ""},
		{"said by a stranger", nil, []string{carrierSays}, "SIP/2.0 401", ""},
		{"said by another than the edge", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []string{carrierSays}, "SIP/2.0 401", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			behindEdge(t, c.proxies, func(t *testing.T, s *Server, d *desk, w *wire) {
				call := &caller{wire: w, callID: "origin", to: "<sip:helpline@" + w.to.String() + ">"}
				call.request("INVITE", 1, append(append([]string(nil), c.headers...), offer...)...)
				if c.want == "" {
					eventually(t, func() string {
						if got := counted(t, s.metrics.dropped, dropUnanswered); got != 1 {
							return fmt.Sprintf("%v dropped", got)
						}
						return ""
					})
					return
				}
				ok := call.recv(c.want)
				if c.trunk == "" {
					return
				}
				if l := next(t, "call", d.legs); l.Trunk() != c.trunk || l.Caller() != "+15550001" {
					t.Errorf("trunk %q, caller %q", l.Trunk(), l.Caller())
				}
				call.to = field(ok, "To")
				call.request("ACK", 1)
				call.request("BYE", 2, c.headers...)
				call.recv("SIP/2.0 200")
			})
		})
	}
}

// TestTwoOriginsBanNobody: a second X-Edge-Source, which an edge proxy let pass that
// takes off less than it should, is no way to have somebody else banned everywhere.
func TestTwoOriginsBanNobody(t *testing.T) {
	behindEdge(t, []netip.Prefix{loopback}, func(t *testing.T, s *Server, _ *desk, w *wire) {
		for i := range 10 {
			id := fmt.Sprint("two-", i)
			w.send("OPTIONS sip:x@help.example SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bK"+id, "From: <sip:x@y>;tag=1", "To: <sip:x@help.example>",
				"Call-ID: "+id, "CSeq: 1 OPTIONS", "X-Edge-Source: tcp:192.0.2.7:5060", "X-Edge-Source: udp:192.0.2.66:5060")
		}
		eventually(t, func() string {
			if got := counted(t, s.metrics.dropped, dropUnanswered); got != 10 {
				return fmt.Sprintf("%v dropped", got)
			}
			return ""
		})
		if s.edge.banned(netip.MustParseAddr("192.0.2.7"), "tcp") {
			t.Error("one whom a stranger has named is banned")
		}
	})
}

// Two in one office, as an edge proxy names them.
const phone, guesser = "tcp:192.0.2.7:1111", "tcp:192.0.2.7:2222"

// through sends OPTIONS as an edge proxy passes it on, malformed if the CSeq names
// another method, and gives the answer.
func (w *wire) through(n int, from, cseq string) string {
	w.t.Helper()
	id := fmt.Sprintf("%s-%d", from[strings.LastIndex(from, ":")+1:], n)
	w.send("OPTIONS sip:x@help.example SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bK"+id, "From: <sip:x@y>;tag=1", "To: <sip:x@help.example>",
		"Call-ID: "+id, "CSeq: "+cseq, "X-Edge-Source: "+from)
	for {
		if got := w.recv("SIP/2.0 "); field(got, "Call-ID") == id { // not a 200 of a call's
			return got
		}
	}
}

// TestBanAtAnotherNode: a phone that has registered at one node is not kept out by
// another, whose ban its office has.
func TestBanAtAnotherNode(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		bindings, bans := &MemoryBindings{}, &sharedBans{}
		a, _, atA := nodeBehindEdge(t, e, bindings, bans, loopback)
		b, _, atB := nodeBehindEdge(t, e, bindings, bans, loopback)
		if ok := proved(t, a, atA, "phone", 1, "Contact: <sip:anna@10.1.1.1>", "Path: <sip:"+atA.addr()+";lr>", "X-Edge-Source: "+phone); !strings.HasPrefix(ok, "SIP/2.0 200") {
			t.Fatalf("not registered: %.40q", ok)
		}
		for i := range 3 {
			atB.through(i, guesser, "1 INVITE")
		}
		if !b.edge.banned(netip.MustParseAddr("192.0.2.7"), "tcp") {
			t.Fatal("no ban")
		}
		n := 10
		eventually(t, func() string {
			n++
			if got := atB.through(n, phone, "1 OPTIONS"); !strings.HasPrefix(got, "SIP/2.0 200") {
				return fmt.Sprintf("the phone hears %.40q", got)
			}
			return ""
		})
		for _, from := range []string{guesser, "udp:192.0.2.7:1111", "tcp:192.0.2.7:1112"} {
			if got := atB.through(n+1, from, "1 OPTIONS"); !strings.HasPrefix(got, "SIP/2.0 403") {
				t.Errorf("%s hears %.40q", from, got)
			}
		}
	})
}

// TestBanBehindEdge: it strikes who misbehaves, not the proxy and whoever else is
// behind it; the proxy is told for how long. A registered phone of the same address,
// and what belongs to a call, pass.
func TestBanBehindEdge(t *testing.T) {
	behindEdge(t, []netip.Prefix{loopback}, func(t *testing.T, s *Server, _ *desk, w *wire) {
		ask := func(n int, from, cseq string) string { return w.through(n, from, cseq) }
		const other = "udp:192.0.2.8:3333"
		if ok := proved(t, s, w, "phone", 1, "Contact: <sip:anna@10.1.1.1>", "Path: <sip:"+w.addr()+";lr>", "X-Edge-Source: "+phone); !strings.HasPrefix(ok, "SIP/2.0 200") {
			t.Fatalf("not registered: %.40q", ok)
		}
		call := &caller{wire: w, callID: "call", to: "<sip:helpline@" + w.to.String() + ">"}
		call.request("INVITE", 1, append([]string{carrierSays}, offer...)...)
		call.to = field(call.recv("SIP/2.0 200"), "To")

		for i := range 3 {
			if got := ask(i, guesser, "1 INVITE"); !strings.HasPrefix(got, "SIP/2.0 400") {
				t.Fatalf("malformed: %.40q", got)
			}
		}
		if n := s.edge.bannedNow(); n != 1 || s.edge.banned(netip.MustParseAddr("127.0.0.1"), "tcp") {
			t.Errorf("%d banned; the proxy is: %t", n, s.edge.banned(netip.MustParseAddr("127.0.0.1"), "tcp"))
		}
		for from, want := range map[string]string{guesser: "SIP/2.0 403", other: "SIP/2.0 200", phone: "SIP/2.0 200"} {
			got := ask(9, from, "1 OPTIONS")
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: %.40q, want %s", from, got, want)
			}
			if after := field(got, "Retry-After"); from == guesser && after != "60" {
				t.Errorf("the proxy is told to wait %q s, want 60", after)
			}
		}
		call.request("ACK", 1)
		call.request("BYE", 2, "X-Edge-Source: "+guesser)
		for {
			got := call.recv("SIP/2.0 ")
			if field(got, "CSeq") != "2 BYE" {
				continue
			}
			if !strings.HasPrefix(got, "SIP/2.0 200") {
				t.Errorf("BYE of a call of ours: %.40q", got)
			}
			return
		}
	})
}

// TestTooQuickBehindEdge: phones that come all at once, as after a power cut, are not
// told that they may never register.
func TestTooQuickBehindEdge(t *testing.T) {
	behindEdge(t, []netip.Prefix{loopback}, func(t *testing.T, _ *Server, _ *desk, w *wire) {
		const sent = 150 // of 100 a second
		codes := map[string]int{}
		for i := range sent {
			id := fmt.Sprint("quick-", i)
			w.send("OPTIONS sip:help.example SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bK"+id, "From: <sip:anna@help.example>;tag=1", "To: <sip:anna@help.example>",
				"Call-ID: "+id, "CSeq: 1 OPTIONS", "X-Edge-Source: tcp:192.0.2.7:5060")
		}
		for range sent {
			got := w.recv("SIP/2.0 ")
			codes[got[8:11]]++
			if got[8:11] == "500" && field(got, "Retry-After") == "" {
				t.Errorf("no Retry-After: %.60q", got)
			}
		}
		if codes["403"] > 0 || codes["500"] == 0 {
			t.Errorf("answers: %v", codes)
		}
	})
}

// TestDrainingOptions: who asks whether to send calls is told the truth.
func TestDrainingOptions(t *testing.T) {
	behindEdge(t, []netip.Prefix{loopback}, func(t *testing.T, s *Server, _ *desk, w *wire) {
		s.Drain()
		w.send("OPTIONS sip:x@help.example SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bKd", "From: <sip:x@y>;tag=1", "To: <sip:x@help.example>",
			"Call-ID: drain", "CSeq: 1 OPTIONS")
		if got := w.recv("SIP/2.0 "); !strings.HasPrefix(got, "SIP/2.0 503") || field(got, "Retry-After") == "" {
			t.Errorf("OPTIONS while draining: %q", got)
		}
	})
}

// TestRedirect: an edge is told which node a call belongs to; whom no edge stands
// before is not.
func TestRedirect(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		err     error
		want    string
	}{
		{"by the edge", []string{carrierSays}, nil, "SIP/2.0 302"},
		{"straight", nil, ErrCannot, "SIP/2.0 480"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan error, 1)
			cfg := openConfig("udp")
			cfg.Edges = []netip.Prefix{loopback}
			cfg.Trunks = append(cfg.Trunks, config.Trunk{Name: "carrier", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
			d := newDesk(func(l *Leg) {
				told <- l.Redirect(netip.MustParseAddrPort("10.0.0.11:5060"))
				_ = l.Reject(480, "")
			})
			bubble(t, Options{Config: cfg, Handler: d}, func(t *testing.T, s *Server) {
				w := newWire(t, s)
				call := &caller{wire: w, callID: "redirect", to: "<sip:helpline@" + w.to.String() + ">"}
				call.request("INVITE", 1, append(append([]string(nil), c.headers...), offer...)...)
				answer := call.recv(c.want)
				if err := <-told; !errors.Is(err, c.err) {
					t.Errorf("%v, want %v", err, c.err)
				}
				if contact := field(answer, "Contact"); c.err == nil && contact != "<sip:10.0.0.11:5060>" {
					t.Errorf("Contact %q", contact)
				}
			})
		})
	}
}
