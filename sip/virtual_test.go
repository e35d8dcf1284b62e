package sip

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Tests in virtual time: servers and wires on a network in memory, in a bubble of
// testing/synctest, so that minutes of timers cost nothing.

// ether is the network of one bubble. What is sent arrives at once and in order,
// unless wild says otherwise.
type ether struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]func(from netip.AddrPort, p []byte)
	last  uint16
	// wild, if set, says when each copy of a packet arrives; none is a loss.
	wild func() []time.Duration
	// sniff, if set, sees whatever is sent, wherever it goes.
	sniff func(from netip.AddrPort, p []byte)
}

func newEther() *ether {
	return &ether{ports: make(map[netip.AddrPort]func(netip.AddrPort, []byte)), last: 5000}
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
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	c := &memConn{ether: e, addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), e.last), in: make(chan []byte, 4096)}
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

// startIn runs a server on an ether, with the timers of RFC 3261, until the test
// ends. It must be called in a bubble.
func startIn(t testing.TB, e *ether, o Options) *Server {
	t.Helper()
	if o.Config.Trunks == nil {
		o.Config = openConfig()
	}
	s := newServer(o)
	ln := newListener("udp", s.edge, s.arrived)
	parser := newParser()
	conn := e.listen(func(from netip.AddrPort, p []byte) {
		ln.datagram(parser, from, p)
	})
	ln.addr = conn.addr
	ln.udp = &datagrams{conn, ln.seen}
	ln.own = contactAt("udp", conn.addr)
	s.listeners = []*listener{ln}
	s.domain = "127.0.0.1"
	s.guard = newGuard(nil, s.domain, "")
	s.dialers = []*listener{newListener("tcp", s.edge, s.arrived)}
	t.Cleanup(func() { _ = s.Close() })
	return s
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

// bubble runs a test in virtual time, with one server and its desk.
func bubble(t *testing.T, o Options, f func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := startIn(t, newEther(), o)
		f(t, s)
		settled(t, s)
		if got := counter(t, s.metrics.panics); got != 0 {
			t.Errorf("%v panics", got)
		}
	})
}
