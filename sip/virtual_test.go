package sip

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Tests in virtual time: servers and wires on a network in memory, in a bubble of
// testing/synctest, so that minutes of timers cost nothing.

// ether is the network of one bubble. What is sent arrives at once and in order,
// unless wild says otherwise.
type ether struct {
	mu      sync.Mutex
	ports   map[netip.AddrPort]func(from netip.AddrPort, p []byte)
	streams map[netip.AddrPort]*memListener
	last    uint16
	servers []*Server
	panics  float64 // of theirs, that are meant to be
	// wild, if set, says when each copy of a packet arrives; none is a loss.
	wild func() []time.Duration
	// sniff, if set, sees whatever is sent, wherever it goes.
	sniff func(from netip.AddrPort, p []byte)
}

func newEther() *ether {
	return &ether{ports: make(map[netip.AddrPort]func(netip.AddrPort, []byte)), streams: make(map[netip.AddrPort]*memListener), last: 5000}
}

// weather sets how packets fare from now on.
func (e *ether) weather(wild func() []time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wild = wild
}

func (e *ether) send(from, to netip.AddrPort, p []byte) {
	e.mu.Lock()
	wild := e.wild
	e.mu.Unlock()
	copies := []time.Duration{0}
	if wild != nil {
		copies = wild()
	}
	p = append([]byte(nil), p...)
	if e.sniff != nil {
		e.sniff(from, p)
	}
	for _, d := range copies {
		if d == 0 {
			e.deliver(from, to, p)
		} else {
			time.AfterFunc(d, func() { e.deliver(from, to, p) })
		}
	}
}

func (e *ether) deliver(from, to netip.AddrPort, p []byte) {
	e.mu.Lock()
	f := e.ports[netip.AddrPortFrom(to.Addr().Unmap(), to.Port())]
	e.mu.Unlock()
	if f != nil {
		f(from, p)
	}
}

// listen opens a socket of its own address; receive may be nil: then it is read.
func (e *ether) listen(receive func(from netip.AddrPort, p []byte)) *memConn {
	return e.listenAt(netip.MustParseAddrPort("127.0.0.1:0"), receive)
}

// listenAt is listen for an address, or any port of it if that is 0. Who listened there
// before hears nothing any more.
func (e *ether) listenAt(addr netip.AddrPort, receive func(from netip.AddrPort, p []byte)) *memConn {
	e.mu.Lock()
	defer e.mu.Unlock()
	addr = e.port(addr)
	c := &memConn{ether: e, addr: addr, in: make(chan []byte, 4096)}
	if receive == nil {
		receive = func(_ netip.AddrPort, p []byte) {
			select {
			case c.in <- p:
			default:
			}
		}
	}
	e.ports[c.addr] = receive
	return c
}

// port gives an address of no port one; the ether is locked.
func (e *ether) port(addr netip.AddrPort) netip.AddrPort {
	if addr.Port() == 0 {
		e.last++
		return netip.AddrPortFrom(addr.Addr(), e.last)
	}
	return addr
}

// memConn is a socket of the ether.
type memConn struct {
	ether    *ether
	addr     netip.AddrPort
	in       chan []byte
	deadline time.Time
}

func (c *memConn) WriteTo(p []byte, to net.Addr) (int, error) {
	c.ether.send(c.addr, to.(*net.UDPAddr).AddrPort(), p)
	return len(p), nil
}

func (c *memConn) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	c.ether.send(c.addr, to, p)
	return len(p), nil
}

func (c *memConn) Read(p []byte) (int, error) {
	select {
	case m := <-c.in: // what is here comes before the time-out
		return copy(p, m), nil
	default:
	}
	select {
	case m := <-c.in:
		return copy(p, m), nil
	case <-time.After(time.Until(c.deadline)):
		return 0, os.ErrDeadlineExceeded
	}
}

func (c *memConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.LocalAddr(), err
}

func (c *memConn) Close() error                       { return nil }
func (c *memConn) LocalAddr() net.Addr                { return net.UDPAddrFromAddrPort(c.addr) }
func (c *memConn) SetDeadline(time.Time) error        { return nil }
func (c *memConn) SetReadDeadline(t time.Time) error  { c.deadline = t; return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { return nil }

// memListener takes the ether's connections.
type memListener struct {
	addr   netip.AddrPort
	conns  chan net.Conn
	closed chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error   { close(l.closed); return nil }
func (l *memListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// memStream is one end of a connection.
type memStream struct {
	net.Conn
	near, far netip.AddrPort
}

func (s memStream) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(s.near) }
func (s memStream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.far) }

// connect opens a connection, as a net.Dialer does.
func (e *ether) connect(ctx context.Context, _, addr string) (net.Conn, error) {
	to := netip.MustParseAddrPort(addr)
	e.mu.Lock()
	from := e.port(netip.AddrPortFrom(to.Addr(), 0))
	l := e.streams[to]
	e.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.conns <- memStream{far, to, from}:
		return memStream{near, from, to}, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startIn runs a server on an ether, with the timers of RFC 3261, until the test
// ends. It must be called in a bubble.
func startIn(t testing.TB, e *ether, o Options) *Server {
	t.Helper()
	if open := openConfig("udp"); o.Config.Listeners == nil && o.Config.Trunks == nil {
		o.Config = open
	} else if o.Config.Listeners == nil {
		o.Config.Listeners = open.Listeners
	}
	if d, ok := o.Handler.(*desk); ok {
		*d = *newDesk(d.conduct) // its channels are the bubble's: who waits for them lets time pass
	}
	s := newServer(o)
	for _, l := range o.Config.Listeners {
		ln := newListener(l.Network, s.edge, s.arrived)
		e.bind(ln, l.Address)
		s.listeners = append(s.listeners, ln)
	}
	s.settleIn(o.Credentials)
	for _, ln := range slices.Concat(s.listeners, s.dialers) {
		if ln.conns != nil {
			ln.conns.connect = e.connect
		}
	}
	e.servers = append(e.servers, s)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// bind gives a listener its socket.
func (e *ether) bind(ln *listener, addr netip.AddrPort) {
	if ln.reliable() {
		e.mu.Lock()
		l := &memListener{addr: e.port(addr), conns: make(chan net.Conn), closed: make(chan struct{})}
		e.streams[l.addr] = l
		e.mu.Unlock()
		ln.accept, ln.addr = newAcceptor(l, nil, ln.edge), l.addr
		go ln.serve(context.Background())
	} else {
		parser := newParser()
		c := e.listenAt(addr, func(from netip.AddrPort, p []byte) { ln.datagram(parser, from, p) })
		ln.udp, ln.addr = &datagrams{c, ln.seen}, c.addr
	}
	ln.own = contactAt(ln.network, ln.addr)
}

// settled lets an hour pass and complains of whatever is left of a server's calls.
func settled(t testing.TB, s *Server) {
	t.Helper()
	time.Sleep(time.Hour)
	synctest.Wait()
	if n := s.Legs(); n != 0 {
		t.Errorf("%d legs left", n)
	}
	if n := len(s.serverTxs.all()); n != 0 {
		t.Errorf("%d server transactions left", n)
	}
	if n := len(s.clientTxs.all()); n != 0 {
		t.Errorf("%d client transactions left", n)
	}
}

// virtual runs a test in virtual time, and sees that its servers' calls leave nothing and
// nothing panicked.
func virtual(t *testing.T, f func(t *testing.T, e *ether)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEther()
		f(t, e)
		panics := 0.0
		for _, s := range e.servers {
			settled(t, s)
			panics += counter(t, s.metrics.panics)
		}
		if panics != e.panics {
			t.Errorf("%v panics, want %v", panics, e.panics)
		}
	})
}

// bubble is virtual for one server.
func bubble(t *testing.T, o Options, f func(t *testing.T, s *Server)) {
	t.Helper()
	virtual(t, func(t *testing.T, e *ether) { f(t, startIn(t, e, o)) })
}

// endsAfter sees a leg end in exactly d.
func endsAfter(t testing.TB, l *Leg, d time.Duration, code int, by By) {
	t.Helper()
	began := time.Now()
	<-l.Done()
	if took := time.Since(began); took != d {
		t.Errorf("ended after %s, want %s", took, d)
	}
	wantEnd(t, l, code, by)
}
