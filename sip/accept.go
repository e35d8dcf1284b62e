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
	tls *tls.Config // nil: connections are in the clear

	mu    sync.Mutex
	conns map[netip.Addr]int
	total int
}

func newAcceptor(l net.Listener, server *tls.Config) *acceptor {
	return &acceptor{Listener: l, tls: server, conns: make(map[netip.Addr]int)}
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
		ip := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if !a.take(ip) {
			_ = c.Close()
			continue
		}
		c = &countedConn{Conn: c, give: sync.OnceFunc(func() { a.give(ip) })}
		if a.tls != nil {
			c = tls.Server(c, a.tls) // its reader shakes hands
		}
		return c, nil
	}
}

func (a *acceptor) take(ip netip.Addr) bool {
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
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if a.conns[ip]--; a.conns[ip] == 0 {
		delete(a.conns, ip)
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	give func()
}

func (c *countedConn) Close() error {
	c.give()
	return c.Conn.Close()
}
