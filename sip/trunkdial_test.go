package sip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// lines runs a test in virtual time with a trunk of n hosts, each a wire, tried in
// their order.
func lines(t *testing.T, n int, edit func(*config.Trunk), f func(t *testing.T, s *Server, hosts []*wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEther()
		line := config.Trunk{Name: "carrier", Transport: "udp", Timeout: config.Duration(4 * time.Second), Rest: config.Duration(30 * time.Second),
			DownAfter: 3, Trusted: true, Domain: "carrier.example"}
		var hosts []*wire
		for i := range n {
			w := &wire{t: t, conn: e.listen(nil)}
			at := netip.MustParseAddrPort(w.addr())
			line.Hosts = append(line.Hosts, config.TrunkHost{Host: at.Addr().String(), Port: int(at.Port()), Priority: i})
			hosts = append(hosts, w)
		}
		if edit != nil {
			edit(&line)
		}
		s := startIn(t, e, Options{Config: config.SIP{Trunks: []config.Trunk{line}}, Handler: newDesk(nil)})
		for _, w := range hosts {
			w.to = s.listeners[0].addr
		}
		f(t, s, hosts)
		_ = s.Close()
		if got := counter(t, s.metrics.panics); got != 0 {
			t.Errorf("%v panics", got)
		}
		if got := s.trunks[0].atOnce(); got != 0 {
			t.Errorf("%d calls counted after the end", got)
		}
	})
}

func dialTrunk(t *testing.T, s *Server, c TrunkCall) *Leg {
	t.Helper()
	c.Trunk = "carrier"
	if c.Number == "" {
		c.Number = "+15550100"
	}
	l, err := s.DialTrunk(c, &media{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var sdp = []string{"Content-Type: application/sdp", "", "v=0", "s=theirs"}

// picksUp answers an INVITE and takes its ACK.
func (w *wire) picksUp(invite string) {
	w.t.Helper()
	w.answer(invite, "200 OK", "callee", sdp...)
	w.recv("ACK ")
}

// TestFailover: which answers lead a call to the next host, and how it ends when
// there is none.
func TestFailover(t *testing.T) {
	for _, test := range []struct {
		name   string
		hosts  []string // what each says; "" nothing
		code   int      // of the end; 0: the last host takes the call
		by     By
		within time.Duration
	}{
		{"silent, unwilling, good", []string{"", "503 Busy", "200"}, 0, "", 4 * time.Second},
		{"good at once", []string{"200", "200"}, 0, "", 0},
		{"refused for good", []string{"404 Not Found", "200"}, 404, ByRemote, 0},
		{"busy", []string{"486 Busy Here", "200"}, 486, ByRemote, 0},
		{"declined everywhere", []string{"503 Busy", "503 Full"}, 503, ByRemote, 0},
		{"silent everywhere", []string{"", ""}, 408, ByFailure, 8 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines(t, len(test.hosts), nil, func(t *testing.T, s *Server, hosts []*wire) {
				begun := time.Now()
				l := dialTrunk(t, s, TrunkCall{})
				for i, says := range test.hosts {
					if says == "" {
						hosts[i].recv("INVITE ")
						time.Sleep(4 * time.Second)
						continue
					}
					invite := hosts[i].recv("INVITE ")
					if says == "200" {
						hosts[i].picksUp(invite)
						break
					}
					hosts[i].answer(invite, says, "x")
					if !strings.HasPrefix(says, "503") {
						break
					}
				}
				if test.code == 0 {
					wait(t, "answer", l.Answered())
				} else {
					wantEnd(t, l, test.code, test.by)
				}
				if took := time.Since(begun); took != test.within {
					t.Errorf("took %s, want %s", took, test.within)
				}
				l.Hangup()
				time.Sleep(time.Hour)
				if n := len(s.clientTxs.all()); n != 0 {
					t.Errorf("%d client transactions left", n)
				}
			})
		})
	}
}

// TestLateHost: a host that answers after the call has gone on is told so, and the
// call stays with the next.
func TestLateHost(t *testing.T) {
	lines(t, 2, nil, func(t *testing.T, s *Server, hosts []*wire) {
		l := dialTrunk(t, s, TrunkCall{})
		first := hosts[0].recv("INVITE ")
		time.Sleep(4 * time.Second)
		second := hosts[1].recv("INVITE ")
		if field(first, "CSeq") == field(second, "CSeq") {
			t.Error("the second INVITE has the first one's CSeq: behind one core it would be merged with it")
		}
		hosts[0].answer(first, "180 Ringing", "late")
		cancel := hosts[0].recv("CANCEL ")
		hosts[1].picksUp(second)
		wait(t, "answer", l.Answered())
		hosts[0].answer(first, "200 OK", "late", sdp...) // it crossed the CANCEL
		if ack := hosts[0].recv("ACK "); field(ack, "CSeq") != "1 ACK" {
			t.Errorf("ACK with CSeq %s", field(ack, "CSeq"))
		}
		bye := hosts[0].recv("BYE ")
		hosts[0].answer(cancel, "200 OK", "late")
		hosts[0].answer(bye, "200 OK", "")
		if to := field(bye, "To"); !strings.Contains(to, "tag=late") {
			t.Errorf("BYE to %s", to)
		}
		if l.End() != (End{}) {
			t.Errorf("the call ended: %v", l.End())
		}
		l.Hangup()
		hosts[1].answer(hosts[1].recv("BYE "), "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
		time.Sleep(time.Hour)
		if n := len(s.clientTxs.all()); n != 0 {
			t.Errorf("%d client transactions left", n)
		}
	})
}

// TestHangupWhileHunting: a call that was hung up goes to no further host.
func TestHangupWhileHunting(t *testing.T) {
	lines(t, 2, nil, func(t *testing.T, s *Server, hosts []*wire) {
		l := dialTrunk(t, s, TrunkCall{})
		hosts[0].recv("INVITE ")
		l.Hangup()
		wantEnd(t, l, 487, ByLocal)
		if _, called := hosts[1].within("INVITE ", time.Minute); called {
			t.Error("the next host was called")
		}
	})
}

// TestRest: a host is left alone for as long as it asked, one that was silent for
// as long as is configured, and tried before nobody is.
func TestRest(t *testing.T) {
	lines(t, 2, nil, func(t *testing.T, s *Server, hosts []*wire) {
		call := func(host int, says string, extra ...string) {
			t.Helper()
			l := dialTrunk(t, s, TrunkCall{})
			hosts[host].answer(hosts[host].recv("INVITE "), says, "x", extra...)
			if strings.HasPrefix(says, "503") {
				return
			}
			wait(t, "end", l.Done())
		}
		call(0, "503 Later", "Retry-After: 20 (moving)")
		hosts[1].answer(hosts[1].recv("INVITE "), "486 Busy", "x")
		time.Sleep(10 * time.Second)
		call(1, "486 Busy")
		time.Sleep(11 * time.Second)
		call(0, "503 Later", "Retry-After: 20")
		hosts[1].answer(hosts[1].recv("INVITE "), "503 Later", "x", "Retry-After: 10")
		synctest.Wait()
		if s.trunks[0].up() {
			t.Error("the trunk is up while both hosts rest")
		}
		l := dialTrunk(t, s, TrunkCall{}) // both asked for rest
		wantEnd(t, l, 503, ByFailure)
		time.Sleep(11 * time.Second)
		call(1, "486 Busy")

		// Without a Retry-After a host that failed is still better than none.
		time.Sleep(time.Minute)
		call(0, "503 Later")
		hosts[1].answer(hosts[1].recv("INVITE "), "503 Later", "x")
		synctest.Wait()
		call(0, "486 Busy")
		if !s.trunks[0].up() {
			t.Error("the trunk is down after its host answered")
		}
		time.Sleep(time.Hour)
	})
}

// TestTrunkLimits: calls at once and calls a second, in and out.
func TestTrunkLimits(t *testing.T) {
	lines(t, 1, func(c *config.Trunk) { c.MaxCalls = 2; c.Addresses = []netip.Prefix{loopback} }, func(t *testing.T, s *Server, hosts []*wire) {
		out := dialTrunk(t, s, TrunkCall{})
		hosts[0].picksUp(hosts[0].recv("INVITE "))
		wait(t, "answer", out.Answered())
		c := newCaller(t, s, "in-1")
		c.request("INVITE", 1, offer...)
		in := next(t, "inbound leg", s.handler.(*desk).legs)
		if in.Trunk() != "carrier" || out.Trunk() != "carrier" {
			t.Errorf("trunks %q and %q", in.Trunk(), out.Trunk())
		}
		if _, err := s.DialTrunk(TrunkCall{Trunk: "carrier", Number: "1"}, &media{}); !errors.Is(err, ErrTrunkFull) {
			t.Errorf("third call: %v", err)
		}
		d := newCaller(t, s, "in-2")
		d.request("INVITE", 1, offer...)
		if got := field(d.recv("SIP/2.0 503"), "Retry-After"); got != "10" {
			t.Errorf("Retry-After %q", got)
		}
		if got := counter(t, s.metrics.rejected.WithLabelValues(refusedTrunk)); got != 2 {
			t.Errorf("%v refusals counted", got)
		}
		if err := in.Reject(486, ""); err != nil {
			t.Fatal(err)
		}
		wait(t, "end", in.Done())
		again := dialTrunk(t, s, TrunkCall{})
		hosts[0].answer(hosts[0].recv("INVITE "), "486 Busy", "x")
		wantEnd(t, again, 486, ByRemote)
		out.Hangup()
		hosts[0].answer(hosts[0].recv("BYE "), "200 OK", "")
		wantEnd(t, out, 200, ByLocal)
		time.Sleep(time.Hour)
	})
	lines(t, 1, func(c *config.Trunk) { c.CallsPerSecond = 2; c.Addresses = []netip.Prefix{loopback} }, func(t *testing.T, s *Server, hosts []*wire) {
		dial := func() error {
			l, err := s.DialTrunk(TrunkCall{Trunk: "carrier", Number: "1"}, &media{})
			if err == nil {
				hosts[0].answer(hosts[0].recv("INVITE "), "486 Busy", "x")
				wait(t, "end", l.Done())
			}
			return err
		}
		for i, want := range []error{nil, nil, ErrTrunkFull} {
			if err := dial(); !errors.Is(err, want) {
				t.Errorf("call %d: %v, want %v", i, err, want)
			}
		}
		time.Sleep(500 * time.Millisecond)
		if err := dial(); err != nil {
			t.Errorf("half a second later: %v", err)
		}
		if err := dial(); !errors.Is(err, ErrTrunkFull) {
			t.Errorf("and another: %v", err)
		}
		c := newCaller(t, s, "in-1") // inbound has a rate of its own
		c.request("INVITE", 1, offer...)
		_ = next(t, "inbound leg", s.handler.(*desk).legs).Reject(486, "")
		time.Sleep(time.Hour)
	})
}

// TestTrunkProof: a challenge to the INVITE is answered once, and a stale nonce does
// not count.
func TestTrunkProof(t *testing.T) {
	account := func(c *config.Trunk) { c.Username, c.Password = "bugle", "secret" }
	lines(t, 1, account, func(t *testing.T, s *Server, hosts []*wire) {
		l := dialTrunk(t, s, TrunkCall{})
		w := hosts[0]
		w.answer(w.recv("INVITE "), "407 Proof", "x", `Proxy-Authenticate: Digest realm="r", nonce="n1", algorithm=MD5, qop="auth"`,
			`Proxy-Authenticate: Digest realm="r", nonce="n1", algorithm=SHA-256, qop="auth"`)
		invite := w.recv("INVITE ")
		wantProof(t, invite, "Proxy-Authorization", "INVITE", "SHA-256", "n1")
		w.answer(invite, "407 Stale", "x", `Proxy-Authenticate: Digest realm="r", nonce="n2", stale=TRUE`)
		invite = w.recv("INVITE ")
		wantProof(t, invite, "Proxy-Authorization", "INVITE", "MD5", "n2")
		w.picksUp(invite)
		wait(t, "answer", l.Answered())
		l.Hangup()
		bye := w.recv("BYE ")
		w.answer(bye, "200 OK", "")
		wantEnd(t, l, 200, ByLocal)
	})
	lines(t, 1, account, func(t *testing.T, s *Server, hosts []*wire) {
		l := dialTrunk(t, s, TrunkCall{})
		for range 2 {
			hosts[0].answer(hosts[0].recv("INVITE "), "401 No", "x", `WWW-Authenticate: Digest realm="r", nonce="n"`)
		}
		wantEnd(t, l, 401, ByRemote)
	})
}

// wantProof checks the digest in a request against the password "secret".
func wantProof(t *testing.T, req, name, method, algorithm, nonce string) {
	t.Helper()
	p, err := parseDigest(field(req, name))
	if err != nil {
		t.Fatalf("%s: %v in %q", name, err, req)
	}
	if want := proofOf(algorithm, HA1(algorithm, "bugle", "r", "secret"), method, p); p["response"] != want || p["nonce"] != nonce || p["algorithm"] != algorithm {
		t.Errorf("proof %v, want %s by %s for %s", p, want, algorithm, nonce)
	}
}

// TestDialTrunkErrors: what cannot be dialled is said at once, and takes no room.
func TestDialTrunkErrors(t *testing.T) {
	lines(t, 1, func(c *config.Trunk) { c.MaxCalls = 1 }, func(t *testing.T, s *Server, _ []*wire) {
		for name, c := range map[string]TrunkCall{
			"unknown":   {Trunk: "other", Number: "1"},
			"no number": {Trunk: "carrier"},
			"header":    {Trunk: "carrier", Number: "1", Headers: map[string]string{"Via": "x"}},
			"line":      {Trunk: "carrier", Number: "1", Headers: map[string]string{"X-A": "x\r\nVia: y"}},
		} {
			if _, err := s.DialTrunk(c, &media{}); err == nil {
				t.Errorf("%s: dialled", name)
			}
		}
		if _, err := s.DialTrunk(TrunkCall{Trunk: "carrier", Number: "1"}, &media{fail: errors.New("no port")}); err == nil {
			t.Error("dialled without an offer")
		}
		if n := s.trunks[0].atOnce(); n != 0 {
			t.Errorf("%d calls counted", n)
		}
	})
}

// TestUnreachableHost: a TCP host nobody listens at loses the call at once.
func TestUnreachableHost(t *testing.T) {
	virtual(t, func(t *testing.T, e *ether) {
		d := newDesk(func(l *Leg) {
			if err := l.Answer(&media{}); err == nil {
				<-l.Done()
			}
		})
		b := startIn(t, e, Options{Config: openConfig("tcp"), Handler: d})
		at := b.listenerFor("tcp", "").addr
		cfg := config.SIP{Trunks: []config.Trunk{{Name: "carrier", Transport: "tcp", Hosts: []config.TrunkHost{
			{Host: "127.0.0.1", Port: 1, Priority: 1}, {Host: "127.0.0.1", Port: int(at.Port()), Priority: 2}}}}}
		a := startIn(t, e, Options{Config: cfg})
		l := dialTrunk(t, a, TrunkCall{})
		wait(t, "answer", l.Answered())
		if got := counter(t, a.metrics.trunkFailures.WithLabelValues("carrier", failedUnreachable)); got != 1 {
			t.Errorf("%v unreachable hosts counted", got)
		}
		l.Hangup()
		wait(t, "end", l.Done())
	})
}

// TestWithheldTarget: a phone that is rung for a caller who withholds his number is
// told none.
func TestWithheldTarget(t *testing.T) {
	lines(t, 1, nil, func(t *testing.T, s *Server, hosts []*wire) {
		l, err := s.Dial(Target{URI: "sip:agent@" + hosts[0].addr(), Display: "general en", From: "+15550001", Withheld: true}, &media{})
		if err != nil {
			t.Fatal(err)
		}
		invite := hosts[0].recv("INVITE ")
		if got, _, _ := strings.Cut(field(invite, "From"), ";tag"); got != `"general en" <sip:anonymous@anonymous.invalid>` {
			t.Errorf("From %s", got)
		}
		hosts[0].answer(invite, "486 Busy", "x")
		wantEnd(t, l, 486, ByRemote)
		time.Sleep(time.Minute)
	})
}
