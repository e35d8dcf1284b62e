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
	lookupIP = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	goleak.VerifyTestMain(m)
}

const (
	patience = 5 * time.Second       // for what must happen
	quickT1  = 10 * time.Millisecond // so that 64*T1 is 0.64 s
)

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

// start runs a server until the test ends.
func start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.T1 == 0 {
		o.T1 = quickT1
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
		if s.t1 == quickT1 {
			s.Drain()
			for _, l := range s.legs.all() {
				l.Hangup()
			}
			emptied(t, s)
		}
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

// emptied waits until nothing of a server's calls is left of itself. Close
// would throw away whatever leaked.
func emptied(t testing.TB, s *Server) {
	t.Helper()
	eventually(t, func() string {
		var left []string
		for _, tx := range s.serverTxs.all() {
			left = append(left, "server transaction "+tx.key)
		}
		for _, tx := range s.clientTxs.all() {
			left = append(left, "client transaction "+tx.key)
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
	tick := time.NewTicker(quickT1)
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

// wireConn is a UDP socket, a real one or one of an ether.
type wireConn interface {
	Read([]byte) (int, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
	SetReadDeadline(time.Time) error
	LocalAddr() net.Addr
	Close() error
}

// wire is a far end that speaks SIP by hand, over UDP.
type wire struct {
	t    testing.TB
	conn wireConn
	to   netip.AddrPort
	seen []string // received and not asked for yet
}

func newWire(t testing.TB, s *Server) *wire {
	t.Helper()
	ln := s.listenerFor("udp", "")
	if c, ok := ln.udp.PacketConn.(*memConn); ok {
		return &wire{t: t, conn: c.ether.listen(nil), to: ln.addr}
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn, to: ln.addr}
}

func (w *wire) addr() string { return w.conn.LocalAddr().String() }

// send writes a message given as lines, the body after an empty one.
func (w *wire) send(lines ...string) {
	w.t.Helper()
	head, body := lines, ""
	for i, l := range lines {
		if l == "" {
			head, body = lines[:i], strings.Join(lines[i+1:], "\r\n")+"\r\n"
			break
		}
	}
	msg := strings.Join(head, "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	w.raw(msg)
}

func (w *wire) raw(msg string) {
	w.t.Helper()
	if _, err := w.conn.WriteToUDPAddrPort([]byte(msg), w.to); err != nil {
		w.t.Fatal(err)
	}
}

// recv gives the next message that begins so; others are put aside.
func (w *wire) recv(begins string) string {
	w.t.Helper()
	msg, ok := w.within(begins, patience)
	if !ok {
		w.t.Fatalf("nothing beginning %q came; put aside: %q", begins, firstLines(w.seen))
	}
	return msg
}

func (w *wire) within(begins string, d time.Duration) (string, bool) {
	for i, m := range w.seen {
		if strings.HasPrefix(m, begins) {
			w.seen = append(w.seen[:i:i], w.seen[i+1:]...)
			return m, true
		}
	}
	_ = w.conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 65536)
	for {
		n, err := w.conn.Read(buf)
		if err != nil {
			return "", false
		}
		m := string(buf[:n])
		if strings.HasPrefix(m, begins) {
			return m, true
		}
		w.seen = append(w.seen, m)
	}
}

func firstLines(msgs []string) []string {
	var out []string
	for _, m := range msgs {
		l, _, _ := strings.Cut(m, "\r\n")
		out = append(out, l)
	}
	return out
}

// field gives a header of a raw message.
func field(msg, name string) string {
	for line := range strings.SplitSeq(msg, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// caller is a wire that places one call.
type caller struct {
	*wire
	callID, to string // To with the tag once there is one
	branch     int
}

func newCaller(t testing.TB, s *Server, callID string) *caller {
	w := newWire(t, s)
	return &caller{wire: w, callID: callID, to: "<sip:helpline@" + w.to.String() + ">"}
}

// request sends one of the dialog's requests; extra lines are headers, and the
// body after an empty one.
func (c *caller) request(method string, seq int, extra ...string) {
	c.t.Helper()
	if method != "ACK" && method != "CANCEL" {
		c.branch++
	}
	c.resend(method, seq, c.branch, extra...)
}

func (c *caller) resend(method string, seq, branch int, extra ...string) {
	c.t.Helper()
	c.send(append([]string{
		method + " sip:helpline@" + c.wire.to.String() + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%d", c.addr(), c.callID, branch),
		"From: <sip:+15550001@carrier.example>;tag=theirs",
		"To: " + c.to,
		"Call-ID: " + c.callID,
		fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: <sip:caller@" + c.addr() + ">",
		"Max-Forwards: 70",
	}, extra...)...)
}

var offer = []string{"Content-Type: application/sdp", "", "v=0", "s=theirs"}

// dial places a call up to the 200, unacknowledged.
func (c *caller) dial() string {
	c.t.Helper()
	c.request("INVITE", 1, offer...)
	ok := c.recv("SIP/2.0 200")
	c.to = field(ok, "To")
	return ok
}

// answer replies to a request received, by its own headers.
func (w *wire) answer(req, status, toTag string, extra ...string) {
	w.t.Helper()
	to := field(req, "To")
	if toTag != "" && !strings.Contains(to, ";tag=") {
		to += ";tag=" + toTag
	}
	lines := []string{"SIP/2.0 " + status}
	for line := range strings.SplitSeq(req, "\r\n") {
		if strings.HasPrefix(line, "Via:") || strings.HasPrefix(line, "Record-Route:") {
			lines = append(lines, line)
		}
	}
	lines = append(lines, "From: "+field(req, "From"), "To: "+to, "Call-ID: "+field(req, "Call-ID"), "CSeq: "+field(req, "CSeq"))
	if strings.HasPrefix(status, "2") || strings.HasPrefix(status, "18") {
		lines = append(lines, "Contact: <sip:callee@"+w.addr()+">")
	}
	w.send(append(lines, extra...)...)
}
