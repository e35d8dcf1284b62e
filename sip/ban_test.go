package sip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/prometheus/client_golang/prometheus"
)

// sharedBans is Bans in memory.
type sharedBans struct {
	mu sync.Mutex
	m  map[string]time.Duration
}

func (b *sharedBans) PutBan(_ context.Context, source string, d time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[string]time.Duration{}
	}
	b.m[source] = d
	return nil
}

func (b *sharedBans) Bans(context.Context) (map[string]time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.m), nil
}

var strangersLimits = config.Limits{
	Source: 10, Total: 100, Calls: 5, Failures: 20,
	Ban: config.Duration(time.Minute), LongestBan: config.Duration(time.Hour),
	Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
}

func testEdge(bans Bans, phones ...string) *edge {
	s := newServer(Options{Bans: bans, Config: config.SIP{
		Limits: strangersLimits,
		Trunks: []config.Trunk{{Name: "carrier", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}},
	}})
	for _, p := range phones {
		s.registrar.flows["udp:"+p] = 1
	}
	return s.edge
}

var stranger = netip.MustParseAddrPort("192.0.2.7:5060")

func counted(t *testing.T, v *prometheus.CounterVec, label string) float64 {
	t.Helper()
	return counter(t, v.WithLabelValues(label))
}

func entered(e *edge, from netip.AddrPort, n int) (passed int) {
	for range n {
		if e.admit(from, "udp", 500) {
			passed++
		}
	}
	return passed
}

// A long message costs as much as so many short ones, since reading it does; whom one
// would cost more than he has waits until he has all.
func TestLongMessagesCostMore(t *testing.T) {
	for _, c := range []struct{ size, passed int }{
		{0, 10}, {1, 10}, {1500, 10}, {1501, 5}, {4501, 2}, {9000, 1}, {65535, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := testEdge(nil)
			passed := 0
			for range 50 {
				if e.admit(stranger, "udp", c.size) {
					passed++
				}
			}
			if passed != c.passed {
				t.Errorf("%d of %d bytes passed at once, want %d", passed, c.size, c.passed)
			}
			time.Sleep(time.Second)
			if !e.admit(stranger, "udp", c.size) {
				t.Errorf("of %d bytes none passed a second later", c.size)
			}
		})
	}
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(nil, "192.0.2.7:7777")
		if n := entered(e, stranger, 50); n != 10 {
			t.Errorf("%d of one source passed at once, want 10", n)
		}
		for _, free := range []string{"198.51.100.9:5060", "10.1.2.3:5060", "192.0.2.7:7777", "[::ffff:198.51.100.9]:5060"} {
			if n := entered(e, netip.MustParseAddrPort(free), 500); n != 500 {
				t.Errorf("%s: %d of 500 passed", free, n)
			}
		}
		time.Sleep(500 * time.Millisecond)
		if n := entered(e, stranger, 50); n != 5 {
			t.Errorf("%d passed after half a second, want 5", n)
		}
		time.Sleep(time.Hour)
		if n := entered(e, stranger, 50); n != 10 {
			t.Errorf("%d passed after an hour, want 10: time saves nothing up", n)
		}
		time.Sleep(time.Second)
		all := 0
		for i := range 100 {
			all += entered(e, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 5060), 5)
		}
		if all != 100 {
			t.Errorf("%d of all passed at once, want 100", all)
		}
		if got := counted(t, e.metrics.dropped, dropTotal); got != 400 {
			t.Errorf("%v counted against the total, want 400", got)
		}
	})
}

// TestOneHostOfIPv6 holds that the addresses of one network count as one source.
func TestOneHostOfIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(nil)
		passed := 0
		for i := range 100 {
			passed += entered(e, netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%x]:5060", i+1)), 1)
		}
		if passed != 10 {
			t.Errorf("%d passed, want 10", passed)
		}
	})
}

func TestBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(nil, "192.0.2.7:7777")
		fail := func(n int) {
			for range n {
				e.failed(stranger.Addr(), "udp", offenceProof)
			}
		}
		fail(19)
		if !e.admit(stranger, "udp", 500) {
			t.Fatal("banned too early")
		}
		for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
			fail(20)
			if e.admit(stranger, "udp", 500) || !e.banned(stranger.Addr(), "udp") {
				t.Fatal("not banned")
			}
			if !e.admit(netip.MustParseAddrPort("192.0.2.7:7777"), "udp", 500) {
				t.Error("a registered phone at the same address does not pass")
			}
			time.Sleep(want - time.Second)
			if e.admit(stranger, "udp", 500) {
				t.Errorf("ban %d ended before %s", i+1, want)
			}
			time.Sleep(time.Second)
			if !e.admit(stranger, "udp", 500) {
				t.Errorf("ban %d lasts longer than %s", i+1, want)
			}
		}
		for range 20 { // no longer than the longest
			fail(20)
			time.Sleep(time.Hour)
		}
		if !e.admit(stranger, "udp", 500) {
			t.Error("a ban lasts longer than the longest")
		}
		time.Sleep(2 * time.Hour)
		fail(20)
		time.Sleep(time.Minute)
		if !e.admit(stranger, "udp", 500) {
			t.Error("what was long ago still makes the ban longer")
		}
		fail(19)
		time.Sleep(time.Minute)
		fail(19)
		if !e.admit(stranger, "udp", 500) {
			t.Error("failures are not forgotten after a minute")
		}
		for _, free := range []string{"198.51.100.9", "10.1.2.3"} {
			for range 1000 {
				e.failed(netip.MustParseAddr(free), "udp", offenceMalformed)
			}
			if e.banned(netip.MustParseAddr(free), "udp") {
				t.Errorf("%s is banned", free)
			}
		}
	})
}

// TestOfficeIsNotBanned: 500 phones behind one address register, each challenged
// first; who is challenged and never proves anything is banned.
func TestOfficeIsNotBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(nil)
		for range 500 {
			e.failed(stranger.Addr(), "udp", offenceNoAnswer)
			e.proved(stranger.Addr(), "udp")
		}
		if e.banned(stranger.Addr(), "udp") {
			t.Error("an office is banned for registering")
		}
		for range 210 {
			e.failed(stranger.Addr(), "udp", offenceNoAnswer)
		}
		if !e.banned(stranger.Addr(), "udp") {
			t.Error("who only asks is not banned")
		}
	})
}

// TestNobodyFreesHimself: a flood from other addresses, misbehaving ones too,
// takes no banned source off the table, and the table does not grow.
func TestNobodyFreesHimself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(nil)
		e.sources = newSources(4)
		half := netip.MustParseAddr("192.0.2.8")
		for range 20 {
			e.failed(stranger.Addr(), "udp", offenceProof)
		}
		for range 10 {
			e.failed(half, "udp", offenceProof)
		}
		for i := range 100_000 {
			a := netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)})
			e.admit(netip.AddrPortFrom(a, 1), "udp", 500)
			e.failed(a, "udp", offenceMalformed)
		}
		if !e.banned(stranger.Addr(), "udp") {
			t.Error("a banned source was forgotten")
		}
		if s := e.sources.find(half); s == nil || s.proven.failures < 10 {
			t.Error("who had failed more was forgotten for those who had failed less")
		}
		// A table of banned ones: the rest share one bucket.
		for i := range 1000 {
			a := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
			for range 20 {
				e.failed(a, "udp", offenceMalformed)
			}
		}
		if n := e.bannedNow(); n != 4*sourceWays {
			t.Fatalf("%d banned, want the whole table", n)
		}
		time.Sleep(time.Second)
		passed := 0
		for i := range 500 {
			passed += entered(e, netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 1), 1)
		}
		if passed != 10 {
			t.Errorf("%d strangers passed beside a table of banned ones, want one bucket of 10", passed)
		}
	})
}

func TestBansAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sharedBans{}
		one, two := testEdge(store), testEdge(store)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { one.share(ctx) })
		wg.Go(func() { two.share(ctx) })
		for range 20 {
			one.failed(stranger.Addr(), "udp", offenceProof)
		}
		time.Sleep(3 * shareEvery)
		if !two.banned(stranger.Addr(), "udp") {
			t.Error("the other node does not know of the ban")
		}
		if got := counted(t, two.metrics.bans, string(banShared)); got != 1 {
			t.Errorf("%v shared bans counted, want 1", got)
		}
		// A trunk is not banned, whoever says so.
		_ = store.PutBan(ctx, "198.51.100.9", time.Hour)
		time.Sleep(2 * shareEvery)
		if two.banned(netip.MustParseAddr("198.51.100.9"), "udp") {
			t.Error("a trunk was banned by another node")
		}
		cancel()
		wg.Wait()
	})
}

// TestPhonesOfOtherNodes: where they are is asked while somebody is banned, and what was
// heard last holds while the store is away.
func TestPhonesOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEdge(&sharedBans{})
		e.proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}
		var mu sync.Mutex
		var away bool
		asked, phones := 0, "udp:"+stranger.String()
		e.senders = func(context.Context) (func(string) bool, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			if away {
				return nil, errors.New("away")
			}
			now := phones
			return func(flow string) bool { return flow == now }, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { e.share(ctx) })
		expect := func(when string, passes bool) {
			t.Helper()
			synctest.Wait()
			if got := e.admit(stranger, "udp", 500); got != passes {
				t.Errorf("%s: let in %t, want %t", when, got, passes)
			}
		}
		change := func(a bool, p string) {
			mu.Lock()
			defer mu.Unlock()
			away, phones = a, p
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked != 0 {
			t.Errorf("asked %d times while nobody was banned", asked)
		}
		for range 20 {
			e.failed(stranger.Addr(), "udp", offenceMalformed)
		}
		expect("as soon as his office is banned", true)
		change(true, "")
		time.Sleep(2 * shareEvery)
		expect("the store is away", true)
		change(false, "")
		time.Sleep(2 * shareEvery)
		expect("registered no more", false)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := asked
		time.Sleep(time.Minute)
		if asked != before {
			t.Error("still asked after the ban")
		}
		cancel()
		wg.Wait()
	})
}

// TestPhonesOfOtherNodesPassTheRate: an office that sends more than it may, or more than all
// may, does not silence a phone of it that has registered at another node.
func TestPhonesOfOtherNodesPassTheRate(t *testing.T) {
	for name, limit := range map[string]func(*config.Limits){
		"one source": func(l *config.Limits) { l.Total = 0 },
		"all":        func(l *config.Limits) { l.Source, l.Total = 0, 10 },
		"no bans":    func(l *config.Limits) { l.Failures = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEdge(&sharedBans{})
				e.proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}
				limit(&e.limits)
				e.total = full(float64(e.limits.Total), 0)
				e.senders = func(context.Context) (func(string) bool, error) {
					return func(flow string) bool { return flow == "udp:"+stranger.String() }, nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { e.share(ctx) })
				neighbour := netip.AddrPortFrom(stranger.Addr(), 4000)
				for range 10 {
					if !e.admit(neighbour, "udp", 500) {
						t.Error("limited before it has sent too much")
					}
				}
				if e.admit(neighbour, "udp", 500) {
					t.Error("not limited")
				}
				synctest.Wait()
				if !e.admit(stranger, "udp", 500) || e.admit(neighbour, "udp", 500) {
					t.Error("the registered phone is not told from its neighbour")
				}
				time.Sleep(2 * failWindow)
				synctest.Wait()
				if !e.knowsNoPhones() {
					t.Error("phones are still asked for")
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

// TestBannedIsDeaf takes each offence through the door of datagrams: after enough of it
// no datagram is answered any more.
func TestBannedIsDeaf(t *testing.T) {
	cfg := openConfig("udp")
	cfg.Trunks, cfg.Limits, cfg.Domain = cfg.Trunks[:0], strangersLimits, "d"
	cfg.Limits.Source, cfg.Limits.Total = 0, 0
	head := []string{"From: <sip:anna@d>;tag=1", "To: <sip:anna@d>", "Max-Forwards: 70"}
	for _, c := range []struct {
		why   offence
		lines func() []string
		n     int
	}{
		{offenceMalformed, func() []string { return []string{"OPTIONS sip:x SIP/2.0", "CSeq: 1 INVITE"} }, 20},
		{offenceMethod, func() []string { return []string{"DANCE sip:x SIP/2.0", "CSeq: 1 DANCE"} }, 20},
		{offenceNoAnswer, func() []string { return []string{"REGISTER sip:d SIP/2.0", "CSeq: 1 REGISTER"} }, 200},
		{offenceNoAnswer, func() []string { return []string{"INVITE sip:1@d SIP/2.0", "CSeq: 1 INVITE"} }, 200},
	} {
		t.Run(string(c.why), func(t *testing.T) {
			bubble(t, Options{Config: cfg, Handler: newDesk(nil), Credentials: passwords{"d", map[string]string{"anna": "secret"}}}, func(t *testing.T, s *Server) {
				w := newWire(t, s)
				host := netip.MustParseAddr("127.0.0.1")
				for i := range c.n { // no time passes in which some would leak away
					w.send(append(append(c.lines(), fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK%d", w.addr(), i), fmt.Sprintf("Call-ID: ban-%d", i)), head...)...)
					w.recv("SIP/2.0 ")
					if i < c.n-1 && s.edge.banned(host, "udp") {
						t.Fatalf("banned after %d", i+1)
					}
				}
				eventually(t, func() string {
					if !s.edge.banned(host, "udp") {
						return "no ban"
					}
					return ""
				})
				before := counted(t, s.metrics.dropped, dropBanned)
				for range 3 {
					w.send(append([]string{"OPTIONS sip:x SIP/2.0", "CSeq: 1 OPTIONS", "Via: SIP/2.0/UDP " + w.addr() + ";branch=z9hG4bKo", "Call-ID: after"}, head...)...)
				}
				eventually(t, func() string {
					if counted(t, s.metrics.dropped, dropBanned) < before+3 {
						return "not all were dropped for the ban"
					}
					return ""
				})
				w.quiet("SIP/2.0 200", time.Second)
				if got := counted(t, s.metrics.bans, string(c.why)); got != 1 {
					t.Errorf("%v bans counted for %s", got, c.why)
				}
			})
		})
	}
}
