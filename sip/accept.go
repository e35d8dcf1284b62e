package sip

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of stream connections. An office of agents behind one address still
// fits into the smaller one.
const (
	maxConns       = 16384
	maxConnsFromIP = 1024
)

const acceptRetry = 50 * time.Millisecond

// acceptor is a TCP listener that outlives passing errors of Accept (too many
// open files) and caps how many connections one address may hold.
type acceptor struct {
	net.Listener
	tls  *tls.Config // nil: connections are in the clear
	edge *edge

	mu    sync.Mutex
	conns map[netip.Addr]int
	total int
}

func newAcceptor(l net.Listener, server *tls.Config, edge *edge) *acceptor {
	return &acceptor{Listener: l, tls: server, edge: edge, conns: make(map[netip.Addr]int)}
}

// Accept gives the next connection within the limits; others are closed.
func (a *acceptor) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			time.Sleep(acceptRetry)
			continue
		}
		from := c.RemoteAddr().(*net.TCPAddr).AddrPort()
		ip := from.Addr()
		if !a.edge.admit(from, a.network(), 0) || !a.take(ip) { // a connection costs as much as a message, of TLS more
			_ = c.Close()
			continue
		}
		c = &countedConn{Conn: c, edge: a.edge, from: from, network: a.network(), give: sync.OnceFunc(func() { a.give(ip) })}
		if a.tls != nil {
			c = tls.Server(c, a.tls) // its reader shakes hands
		}
		return c, nil
	}
}

func (a *acceptor) network() string {
	if a.tls != nil {
		return "tls"
	}
	return "tcp"
}

// take counts a connection and reports whether there is room for it. Who took gives
// back. Addresses of one IPv6 network count as one, as everywhere (sourceOf).
func (a *acceptor) take(ip netip.Addr) bool {
	ip = sourceOf(ip)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total >= maxConns || a.conns[ip] >= maxConnsFromIP {
		return false
	}
	a.total++
	a.conns[ip]++
	return true
}

func (a *acceptor) give(ip netip.Addr) {
	ip = sourceOf(ip)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if a.conns[ip]--; a.conns[ip] == 0 {
		delete(a.conns, ip)
	}
}

// countedConn gives its place back when it is closed. It ends with the ban of
// its far end.
type countedConn struct {
	net.Conn
	edge    *edge
	from    netip.AddrPort
	network string
	give    func()
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.edge.cuts(c.from, c.network) {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *countedConn) Close() error {
	c.give()
	return c.Conn.Close()
}
