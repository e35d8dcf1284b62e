package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// pair is two servers on an ether, one calling the other.
func pair(t *testing.T, e *ether, network string, d *desk) (caller, callee *Server) {
	return startIn(t, e, Options{}), startIn(t, e, Options{Config: openConfig(network), Handler: d})
}

func eachNetwork(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) { f(t, network) })
	}
}

// eachVirtual is eachNetwork in virtual time.
func eachVirtual(t *testing.T, f func(t *testing.T, e *ether, network string)) {
	eachNetwork(t, func(t *testing.T, network string) {
		virtual(t, func(t *testing.T, e *ether) { f(t, e, network) })
	})
}

func TestCall(t *testing.T) {
	for _, hangsUp := range []string{"caller", "callee"} {
		eachVirtual(t, func(t *testing.T, e *ether, network string) {
			d := newDesk(nil)
			a, b := pair(t, e, network, d)
			ours, theirs := &media{}, &media{}
			out, err := a.Dial(Target{URI: b.uri("helpline", network), From: "+15550001", Call: "call1",
				Headers: map[string]string{"X-Bugle-Call": "call1"}}, ours)
			if err != nil {
				t.Fatal(err)
			}
			in := next(t, "INVITE", d.legs)
			if in.Number() != "helpline" || in.Caller() != "+15550001" || in.Trunk() != "loop" || in.Agent() != "" {
				t.Errorf("leg is %q from %q over %q agent %q", in.Number(), in.Caller(), in.Trunk(), in.Agent())
			}
			if in.Header("X-Bugle-Call") != "call1" || out.ID() != "call1" || len(in.ID()) != 16 || in.SIPCallID() != out.SIPCallID() {
				t.Errorf("ids: %q %q %q", in.Header("X-Bugle-Call"), out.ID(), in.ID())
			}
			if err := in.Ringing(); err != nil {
				t.Fatal(err)
			}
			wait(t, "ringing", out.Progress())
			if err := in.Answer(theirs); err != nil {
				t.Fatal(err)
			}
			wait(t, "inbound answered", in.Answered())
			wait(t, "outbound answered", out.Answered())
			if theirs.answered[0] != "v=0\r\ns=offer 1\r\n" || ours.accepted[0] != "v=0\r\ns=answer 1\r\n" {
				t.Errorf("descriptions: %q, %q", theirs.answered, ours.accepted)
			}
			if err := in.Answer(theirs); !errors.Is(err, ErrState) {
				t.Errorf("answering twice: %v", err)
			}
			if hangsUp == "caller" {
				out.Hangup()
				wantEnd(t, out, 200, ByLocal)
				wantEnd(t, in, 200, ByRemote)
			} else {
				in.Hangup()
				wantEnd(t, in, 200, ByLocal)
				wantEnd(t, out, 200, ByRemote)
			}
			out.Hangup()
			if err := in.Ringing(); !errors.Is(err, ErrOver) {
				t.Errorf("ringing afterwards: %v", err)
			}
		})
	}
}

func TestReject(t *testing.T) {
	eachVirtual(t, func(t *testing.T, e *ether, network string) {
		d := newDesk(func(l *Leg) {
			if err := l.Reject(200, ""); err == nil {
				t.Error("200 taken for a refusal")
			}
			if err := l.Reject(486, ""); err != nil {
				t.Error(err)
			}
		})
		a, b := pair(t, e, network, d)
		out, err := a.Dial(Target{URI: b.uri("x", network)}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, out, 486, ByRemote)
		if out.End().Reason != "Busy Here" {
			t.Errorf("reason %q", out.End().Reason)
		}
	})
}

func TestCancel(t *testing.T) {
	eachVirtual(t, func(t *testing.T, e *ether, network string) {
		for _, rung := range []bool{true, false} {
			d := newDesk(nil)
			a, b := pair(t, e, network, d)
			out, err := a.Dial(Target{URI: b.uri("x", network)}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			in := next(t, "INVITE", d.legs)
			if rung {
				if err := in.Ringing(); err != nil {
					t.Fatal(err)
				}
				wait(t, "ringing", out.Progress())
			}
			out.Hangup()
			wantEnd(t, in, 487, ByRemote)
			wantEnd(t, out, 487, ByLocal)
			if err := in.Answer(&media{}); !errors.Is(err, ErrOver) {
				t.Errorf("answering a cancelled call: %v", err)
			}
		}
	})
}

func TestHangupBeforeInviteLeaves(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		for range 50 {
			out, err := s.Dial(Target{URI: "sip:x@127.0.0.1:9"}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			out.Hangup()
			<-out.Done()
			wantEnd(t, out, 487, ByLocal)
		}
	})
}

func TestInboundHangupWhileRinging(t *testing.T) {
	for name, conduct := range map[string]func(*Leg){"hangs up": func(l *Leg) { l.Hangup() }, "forgets": func(*Leg) {}} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, e *ether) {
				a, b := pair(t, e, "udp", newDesk(conduct))
				out, _ := a.Dial(Target{URI: b.uri("x", "udp")}, &media{})
				wantEnd(t, out, 480, ByRemote)
			})
		})
	}
}

func TestSessionRefuses(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{{errors.New("cannot"), 488}, {fmt.Errorf("wrapped: %w", busy{}), 486}} {
		virtual(t, func(t *testing.T, e *ether) {
			refused := make(chan error, 1)
			a, b := pair(t, e, "udp", newDesk(func(l *Leg) { refused <- l.Answer(&media{fail: c.err}) }))
			out, err := a.Dial(Target{URI: b.uri("x", "udp")}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			wantEnd(t, out, c.code, ByRemote)
			if err := next(t, "refusal", refused); !errors.Is(err, c.err) {
				t.Errorf("Answer gave %v", err)
			}
		})
	}
	// The dialled side: 200 is acknowledged all the same, then BYE.
	virtual(t, func(t *testing.T, e *ether) {
		d := newDesk(nil)
		a, b := pair(t, e, "udp", d)
		refuser := &acceptFails{}
		out, err := a.Dial(Target{URI: b.uri("x", "udp")}, refuser)
		if err != nil {
			t.Fatal(err)
		}
		in := next(t, "INVITE", d.legs)
		if err := in.Answer(&media{}); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, in, 200, ByRemote)
		wantEnd(t, out, 488, ByFailure)
	})
}

type acceptFails struct{ media }

func (*acceptFails) Accept([]byte) error { return errors.New("no") }

func TestPanicEndsOneCall(t *testing.T) {
	d := newDesk(func(l *Leg) {
		if l.Number() == "answered" {
			if err := l.Answer(&media{}); err != nil {
				t.Error(err)
			}
		}
		panic("in a flow")
	})
	virtual(t, func(t *testing.T, e *ether) {
		e.panics = 2
		a, b := pair(t, e, "udp", d)
		out, _ := a.Dial(Target{URI: b.uri("ringing", "udp")}, &media{})
		wantEnd(t, out, 500, ByRemote)
		out, _ = a.Dial(Target{URI: b.uri("answered", "udp")}, &media{})
		wantEnd(t, out, 200, ByRemote)
	})
}

func TestDialRefusesWhatWouldBreakAMessage(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, a *Server) {
		for _, target := range []Target{
			{URI: ""}, {URI: "tel:+1555"}, {URI: "sip:x@127.0.0.1\r\nX: y"},
			{URI: "sip:x@127.0.0.1", Headers: map[string]string{"Contact": "x"}},
			{URI: "sip:x@127.0.0.1", Headers: map[string]string{"X-A": "b\nVia: c"}},
			{URI: "sip:x@127.0.0.1", Headers: map[string]string{"X-A:b": "c"}},
			{Binding: &Binding{Contact: "sip:x@h", Path: []string{"nonsense"}}},
		} {
			if _, err := a.Dial(target, &media{}); err == nil {
				t.Errorf("%+v was dialled", target)
			}
		}
	})
}

func TestDialUnreachable(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, s *Server) {
		for _, c := range []struct {
			target Target
			code   int
			after  time.Duration
		}{
			{Target{URI: "sip:x@127.0.0.1:9"}, 408, 32 * time.Second},
			{Target{URI: "sip:x@127.0.0.1:9;transport=tcp"}, 503, 0},
			{Target{Binding: &Binding{Contact: "sip:x@192.168.7.7:5060;transport=tcp", Source: "tcp:127.0.0.1:9"}}, 480, 0},
		} {
			out, err := s.Dial(c.target, &media{})
			if err != nil {
				t.Fatal(err)
			}
			endsAfter(t, out, c.after, c.code, ByFailure)
		}
	})
}

// TestMaxForwards: a call that goes on by another leg may go one hop less far, so that
// one which comes back ends. To an agent's phone it has them all: a caller who left none
// for the edge would have each agent refuse him, and be paused.
func TestMaxForwards(t *testing.T) {
	for came, want := range map[string]string{"Max-Forwards: 7": "6", "Max-Forwards: 1": "0", "Max-Forwards: 255": "70", "X: no word": "70"} {
		d := newDesk(nil)
		bubble(t, Options{Handler: d}, func(t *testing.T, s *Server) {
			w, callee := newWire(t, s), newWire(t, s)
			w.send("INVITE sip:helpline@h SIP/2.0", "Via: SIP/2.0/UDP "+w.addr()+";branch=z9hG4bKhops", "From: <sip:a@b>;tag=1", "To: <sip:helpline@h>",
				"Call-ID: hops", "CSeq: 1 INVITE", "Contact: <sip:a@"+w.addr()+">", came)
			in := next(t, "INVITE", d.legs)
			if _, err := s.Dial(Target{URI: "sip:on@" + callee.addr(), Call: in.ID()}, &media{}); err != nil {
				t.Fatal(err)
			}
			if got := field(callee.recv("INVITE "), "Max-Forwards"); got != want {
				t.Errorf("%s: goes on with %q, want %q", came, got, want)
			}
			phone := Binding{Contact: "sip:anna@" + callee.addr(), Source: "udp:" + callee.addr()}
			if _, err := s.Dial(Target{Binding: &phone, Call: in.ID()}, &media{}); err != nil {
				t.Fatal(err)
			}
			if got := field(callee.recv("INVITE sip:anna@"), "Max-Forwards"); got != "70" {
				t.Errorf("%s: an agent is rung with %q", came, got)
			}
			in.Hangup()
		})
	}
}

// TestAgentsCallsTakeRoom: callers are refused while agents' own calls fill the node, and
// agents never are.
func TestAgentsCallsTakeRoom(t *testing.T) {
	cfg := openConfig("udp")
	cfg.MaxCalls, cfg.Domain = 1, "help.example"
	d := newDesk(nil)
	virtual(t, func(t *testing.T, e *ether) {
		a, b := startIn(t, e, Options{}), startIn(t, e, Options{Config: cfg, Handler: d, Credentials: passwords{"help.example", map[string]string{"anna": "secret"}}})
		dial := func(from Target) *Leg {
			from.URI = b.uri("112", "udp")
			l, err := a.Dial(from, &media{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		agent := Target{From: "anna", FromHost: "help.example", Auth: &Auth{"anna", "secret"}}
		first := dial(agent)
		if in := next(t, "INVITE", d.legs); in.Agent() != "anna" {
			t.Fatalf("the call is %q's", in.Agent())
		}
		wantEnd(t, dial(Target{}), 503, ByRemote)
		second := dial(agent)
		next(t, "INVITE", d.legs)
		second.Hangup()
		first.Hangup()
		wantEnd(t, first, 487, ByLocal)
		wantEnd(t, second, 487, ByLocal)
		synctest.Wait()
		if n := b.legs.calling(); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestCapacityAndDrain(t *testing.T) {
	cfg := openConfig("udp")
	cfg.MaxCalls = 1
	d := newDesk(nil)
	virtual(t, func(t *testing.T, e *ether) {
		a, b := startIn(t, e, Options{}), startIn(t, e, Options{Config: cfg, Handler: d})
		dial := func() *Leg {
			l, err := a.Dial(Target{URI: b.uri("x", "udp")}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		first := dial()
		in := next(t, "INVITE", d.legs)
		wantEnd(t, dial(), 503, ByRemote)
		first.Hangup()
		wantEnd(t, in, 487, ByRemote)
		second := dial()
		in = next(t, "INVITE", d.legs)
		b.Drain()
		if err := in.Answer(&media{}); err != nil { // what is here goes on
			t.Fatal(err)
		}
		wait(t, "answered", second.Answered())
		second.Hangup()
		wantEnd(t, second, 200, ByLocal)
		wantEnd(t, dial(), 503, ByRemote)
		for reason, want := range map[string]float64{refusedCapacity: 1, refusedDraining: 1} {
			if got := counter(t, b.metrics.rejected.WithLabelValues(reason)); got != want {
				t.Errorf("rejected for %s: %v", reason, got)
			}
		}
	})
}

func TestCloseEndsCalls(t *testing.T) {
	eachVirtual(t, func(t *testing.T, e *ether, network string) {
		d := newDesk(nil)
		a, b := pair(t, e, network, d)
		out, err := a.Dial(Target{URI: b.uri("x", network)}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		in := next(t, "INVITE", d.legs)
		if err := in.Answer(&media{}); err != nil {
			t.Fatal(err)
		}
		wait(t, "answered", out.Answered())
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, in, 200, ByLocal)
		wantEnd(t, out, 200, ByRemote)
		if _, err := b.Dial(Target{URI: a.uri("x", "udp")}, &media{}); !errors.Is(err, ErrClosed) && err == nil {
			t.Error("a closed server dialled")
		}
	})
}

func TestNewNamesTheListener(t *testing.T) {
	a := start(t, Options{Config: openConfig("udp")})
	taken := a.Addrs()[0]
	cfg := config.SIP{Listeners: []config.Listener{{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:0")}, {Network: taken.Network, Address: taken.Address}}}
	_, err := New(Options{Config: cfg})
	if err == nil || !contains(err.Error(), "udp "+taken.Address.String()) {
		t.Errorf("error %v does not name the listener", err)
	}
	if _, err := New(Options{Config: config.SIP{Listeners: []config.Listener{{Network: "sctp"}}}}); err == nil {
		t.Error("an unknown network was taken")
	}
}

// TestRejectForWantOfRoom holds that a 503 says when to try again, whoever gave
// it, and that no other refusal does.
func TestRejectForWantOfRoom(t *testing.T) {
	for code, want := range map[int]string{503: "10", 486: ""} {
		bubble(t, Options{Handler: newDesk(func(l *Leg) { _ = l.Reject(code, "Storage Full") })}, func(t *testing.T, s *Server) {
			c := newCaller(t, s, "full")
			c.request("INVITE", 1, offer...)
			if got := field(c.recv(fmt.Sprintf("SIP/2.0 %d", code)), "Retry-After"); got != want {
				t.Errorf("%d with Retry-After %q, want %q", code, got, want)
			}
		})
	}
}
