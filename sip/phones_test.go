package sip

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPreference(t *testing.T) {
	agentsIn(t, "md5", "udp", func(t *testing.T, _ *ether, s *Server, _ *desk, store *MemoryBindings) {
		w := newWire(t, s)
		ok := proved(t, s, w, "a", 1, "Contact: <sip:anna@10.1.1.1>;q=0.25,<sip:anna@10.1.1.2>,<sip:anna@10.1.1.3>;q=0")
		if !strings.Contains(ok, "<sip:anna@10.1.1.1>;q=0.25;expires=600") || !strings.Contains(ok, "<sip:anna@10.1.1.2>;expires=600") || !strings.Contains(ok, "10.1.1.3>;q=0.001;") {
			t.Errorf("bound: %s", ok)
		}
		bs, _ := store.Get(t.Context(), "anna")
		var order []string
		for _, b := range Prefer(bs, "n1") {
			order = append(order, b.Contact)
		}
		if want := "[sip:anna@10.1.1.2 sip:anna@10.1.1.1 sip:anna@10.1.1.3]"; fmt.Sprint(order) != want {
			t.Errorf("order %v", order)
		}
		for _, q := range []string{"2", "-1", "NaN", "much"} {
			if got := proved(t, s, w, "b", 1, "Contact: <sip:anna@10.1.1.4>;q="+q); !strings.HasPrefix(got, "SIP/2.0 400") {
				t.Errorf("q=%s: %.40q", q, got)
			}
		}
	})
}

func TestPreferReachable(t *testing.T) {
	now := time.Now()
	all := []Binding{
		{Contact: "elsewhere", Source: "tls:192.0.2.1:1", Node: "n2", Q: 1000, Expires: now.Add(time.Hour)},
		{Contact: "older", Source: "udp:192.0.2.1:1", Node: "n2", Q: 1000, Expires: now},
		{Contact: "behind the edge", Source: "tcp:192.0.2.9:1", Node: "n2", Path: []string{"<sip:edge;lr>"}, Expires: now.Add(time.Minute)},
		{Contact: "here", Source: "tls:192.0.2.1:2", Node: "n1", Q: 500, Expires: now.Add(time.Hour)},
	}
	var got []string
	for _, b := range Prefer(all, "n1") {
		got = append(got, b.Contact)
	}
	if want := []string{"behind the edge", "older", "here", "elsewhere"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPhoneThatMoved holds that a phone which tells who it is takes the place of
// its own old address, which nobody answers at any more (RFC 5626 section 6).
func TestPhoneThatMoved(t *testing.T) {
	agentsIn(t, "md5", "udp", func(t *testing.T, _ *ether, s *Server, _ *desk, store *MemoryBindings) {
		w := newWire(t, s)
		const me = `;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"`
		ok := proved(t, s, w, "a", 1, "Contact: <sip:anna@10.1.1.1>"+me, "Supported: path, outbound")
		if field(ok, "Require") != "outbound" {
			t.Errorf("Require: %q", field(ok, "Require"))
		}
		proved(t, s, w, "a", 2, "Contact: <sip:anna@10.1.1.9>;reg-id=2"+strings.TrimPrefix(me, ";reg-id=1")) // its second connection
		proved(t, s, w, "b", 1, "Contact: <sip:anna@10.1.1.5>")
		if got := proved(t, s, w, "c", 1, "Contact: <sip:anna@10.1.1.2>"+me); field(got, "Require") != "" {
			t.Errorf("Require: %q", field(got, "Require"))
		}
		bs, _ := store.Get(t.Context(), "anna")
		var got []string
		for _, b := range bs {
			got = append(got, b.Contact)
		}
		slices.Sort(got)
		if want := "[sip:anna@10.1.1.2 sip:anna@10.1.1.5 sip:anna@10.1.1.9]"; fmt.Sprint(got) != want {
			t.Errorf("bound %v", got)
		}
		if n := s.registrar.count(); n != 3 {
			t.Errorf("%d remembered", n)
		}
	})
}

// TestConnectionLost holds that a phone is gone with its connection, after a while
// in which it may come back by another.
func TestConnectionLost(t *testing.T) {
	for _, back := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &MemoryBindings{}
			gone := 0
			r := newRegistrar(store, "n1", time.Hour, func(string, Binding) {}, func(string) { gone++ })
			go r.sweep(t.Context())
			ln := &listener{network: "tls", addr: netip.MustParseAddrPort("192.0.2.10:5061")}
			register := func(seq int, remote string) flow {
				req := parse(t, fmt.Sprintf("REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\nFrom: <sip:anna@h>;tag=1\r\nTo: <sip:anna@h>\r\nCall-ID: c\r\nCSeq: %d REGISTER\r\nContact: <sip:anna@x.invalid>\r\n\r\n", seq))
				f := flow{at: ln, remote: remote}
				if _, fault := r.apply(t.Context(), "anna", req, f); fault != nil {
					t.Fatal(fault)
				}
				return f
			}
			first := register(1, "192.0.2.1:1000")
			r.lost(first)
			time.Sleep(flowGrace / 2)
			want := 1
			if back {
				register(2, "192.0.2.1:1001")
				r.lost(first) // told late
				want = 0
			}
			time.Sleep(flowGrace)
			synctest.Wait()
			bs, _ := store.Get(t.Context(), "anna")
			if gone != want || len(bs) != 1-want || r.count() != 1-want {
				t.Errorf("back %t: gone %d times, %d bindings", back, gone, len(bs))
			}
		})
	}
}

// TestNATIsKeptOpen holds that a phone behind a NAT is sent something before the
// NAT forgets it, and one that is where it says is left alone.
func TestNATIsKeptOpen(t *testing.T) {
	agentsIn(t, "md5", "udp", func(t *testing.T, _ *ether, s *Server, _ *desk, _ *MemoryBindings) {
		behind, open := newWire(t, s), newWire(t, s)
		proved(t, s, behind, "a", 1, "Contact: <sip:anna@10.1.1.1>")
		proved(t, s, open, "b", 1, "Contact: <sip:anna@"+open.addr()+">")
		s.registrar.keepOpen()
		buf := make([]byte, 64)
		_ = behind.conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := behind.conn.Read(buf); err != nil || string(buf[:n]) != "\r\n\r\n" {
			t.Errorf("%q %v", buf[:n], err)
		}
		open.quiet("", time.Minute)
	})
}

// TestPhoneBehindTheEdge holds that a node rings a phone which registered through
// an edge with another node: by the edge, whatever the phone's own transport is.
func TestPhoneBehindTheEdge(t *testing.T) {
	bubble(t, Options{Node: "n1"}, func(t *testing.T, s *Server) {
		edge := newWire(t, s)
		b := &Binding{User: "anna", Contact: "sip:anna@x.invalid;transport=ws", Source: "tls:192.0.2.9:5061", Local: "tls:192.0.2.11:5061",
			Path: []string{"<sip:token@" + edge.addr() + ";transport=udp;lr>"}, Node: "n2"}
		l, err := s.Dial(Target{Binding: b}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		invite := edge.recv("INVITE sip:anna@x.invalid;transport=ws SIP/2.0")
		if got := field(invite, "Route"); got != "<sip:token@"+edge.addr()+";transport=udp;lr>" {
			t.Errorf("Route: %s", got)
		}
		edge.answer(invite, "486 Busy Here", "callee")
		edge.recv("ACK")
		wantEnd(t, l, 486, ByRemote)
	})
}

// TestPhoneOfAnotherNode holds that a phone connected to another node, without an edge
// between, is seen to be so: by a figure, and by a line that tells what to do.
func TestPhoneOfAnotherNode(t *testing.T) {
	for _, c := range []struct {
		what            string
		b               Binding
		elsewhere, gone float64
	}{
		{"connected to another", Binding{Node: "n2", Source: "tcp:127.0.0.1:9"}, 1, 0},
		{"a browser there", Binding{Node: "n2", Source: "wss:127.0.0.1:9"}, 1, 0},
		{"was connected here", Binding{Node: "n1", Source: "tcp:127.0.0.1:9"}, 0, 1},
		{"behind an edge that is away", Binding{Node: "n2", Source: "tcp:127.0.0.1:9", Path: []string{"<sip:127.0.0.1:9;transport=tcp;lr>"}}, 0, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			virtual(t, func(t *testing.T, e *ether) {
				var lines bytes.Buffer
				s := startIn(t, e, Options{Config: openConfig("udp", "tcp"), Node: "n1", Log: slog.New(slog.NewTextHandler(&lines, nil))})
				c.b.User, c.b.Contact = "anna", "sip:anna@192.168.7.7;transport=tcp"
				out, err := s.Dial(Target{Binding: &c.b, From: "+4930123456"}, &media{})
				if err != nil {
					t.Fatal(err)
				}
				wait(t, "the end", out.Done())
				for reason, want := range map[string]float64{phoneElsewhere: c.elsewhere, phoneGone: c.gone} {
					if got := counter(t, s.metrics.unreachable.WithLabelValues(reason)); got != want {
						t.Errorf("%s counted %v times, want %v", reason, got, want)
					}
				}
				if want := c.elsewhere+c.gone > 0; (out.End().Code == 480) != want {
					t.Errorf("ended with %d", out.End().Code)
				}
				_ = s.Close() // nobody writes lines any more
				told := strings.Contains(lines.String(), "agent=anna") && strings.Contains(lines.String(), "connected_to=n2") && strings.Contains(lines.String(), "Path")
				if told != (c.elsewhere > 0) || strings.Contains(lines.String(), "4930123456") {
					t.Errorf("log: %s", &lines)
				}
			})
		})
	}
}
