package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	names = noNames{}
	goleak.VerifyTestMain(m)
}

// noNames is a Resolver that knows no name.
type noNames struct{}

func (noNames) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (noNames) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// patience is for what must happen, however long the machine stands still.
const patience = 30 * time.Second

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// media is a Session that remembers what it was told.
type media struct {
	mu       sync.Mutex
	offers   int
	answered []string
	accepted []string
	fail     error
	held     bool
}

func (m *media) Offer() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offers++
	return []byte(fmt.Sprintf("v=0\r\ns=offer %d\r\n", m.offers)), m.fail
}

func (m *media) Answer(offer []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answered = append(m.answered, string(offer))
	return []byte(fmt.Sprintf("v=0\r\ns=answer %d\r\n", len(m.answered))), m.fail
}

func (m *media) Accept(answer []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepted = append(m.accepted, string(answer))
	return m.fail
}

// busy is a session error that chooses its status.
type busy struct{}

func (busy) Error() string { return "no codec" }
func (busy) SIPCode() int  { return 486 }

// desk is a Handler that gives inbound legs to the test, or conducts them.
type desk struct {
	legs    chan *Leg
	conduct func(*Leg)
	events  chan string
}

func newDesk(conduct func(*Leg)) *desk {
	return &desk{legs: make(chan *Leg, 64), conduct: conduct, events: make(chan string, 64)}
}

func (d *desk) Invite(l *Leg) {
	if d.conduct != nil {
		d.conduct(l)
		return
	}
	d.legs <- l
	<-l.Done()
}

func (d *desk) Registered(agent string, _ Binding) { d.events <- "registered " + agent }
func (d *desk) Unregistered(agent string)          { d.events <- "unregistered " + agent }

// passwords are Credentials from plain passwords.
type passwords struct {
	realm string
	of    map[string]string
}

func (p passwords) HA1(user, algorithm string) (string, bool) {
	pw, ok := p.of[user]
	return HA1(algorithm, user, p.realm, pw), ok
}

// everyone is a trunk, as in the demo.
func openConfig(networks ...string) config.SIP {
	cfg := config.SIP{Trunks: []config.Trunk{{Name: "loop", Addresses: []netip.Prefix{loopback}, Trusted: true}}, Trace: config.Trace{Memory: 1 << 20}}
	for _, n := range networks {
		cfg.Listeners = append(cfg.Listeners, config.Listener{Network: n, Address: netip.MustParseAddrPort("127.0.0.1:0")})
	}
	return cfg
}

// start runs a server until the test ends, with a T1 by which nothing is repeated or given
// up meanwhile.
func start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.T1 == 0 {
		o.T1 = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		s.Drain()
		for _, l := range s.legs.all() {
			l.Hangup()
		}
		emptied(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if n := s.Legs(); n != 0 {
			t.Errorf("%d legs left after Close", n)
		}
	})
	return s
}

// emptied waits until nothing of a server's calls is left but what its timers end. Close
// would throw away whatever leaked.
func emptied(t testing.TB, s *Server) {
	t.Helper()
	eventually(t, func() string {
		var left []string
		for _, tx := range s.serverTxs.all() {
			if tx.mu.Lock(); tx.state < txCompleted {
				left = append(left, "server transaction "+tx.key)
			}
			tx.mu.Unlock()
		}
		for _, tx := range s.clientTxs.all() {
			if tx.mu.Lock(); tx.invite() && tx.state == txProceeding {
				left = append(left, "client transaction "+tx.key)
			}
			tx.mu.Unlock()
		}
		return strings.Join(left, "\n") + leftovers("legs", s.Legs())
	})
}

func leftovers(what string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}

// eventually waits until what finds nothing to complain of.
func eventually(t testing.TB, what func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		complaint := what()
		if complaint == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("left after %s: %s", patience, complaint)
			return
		}
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// uri is where a server listens.
func (s *Server) uri(user, network string) string {
	ln := s.listenerFor(network, "")
	u := "sip:" + user + "@" + ln.addr.String()
	if network != "udp" {
		u += ";transport=" + network
	}
	return u
}

func wait(t testing.TB, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
	}
}

func next[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
		panic("unreachable")
	}
}

func wantEnd(t testing.TB, l *Leg, code int, by By) {
	t.Helper()
	wait(t, "leg over", l.Done())
	if e := l.End(); e.Code != code || e.By != by {
		t.Errorf("leg ended %d by %s (%s), want %d by %s", e.Code, e.By, e.Reason, code, by)
	}
}
