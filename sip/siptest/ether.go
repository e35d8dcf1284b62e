// Package siptest is for tests of what talks SIP: a network in memory, by which they run
// in virtual time.
package siptest

import (
	"net"
	"net/netip"
	"sync"

	"github.com/bugle-voice/bugle/sip"
)

// Ether is the network of a bubble of testing/synctest: what is sent arrives at once and
// in order, and is lost if nobody listens there.
type Ether struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*socket
	last    uint16
}

// NewEther gives an empty network. It must be made in the bubble.
func NewEther() *Ether { return &Ether{sockets: map[netip.AddrPort]*socket{}, last: 5060} }

// Bind opens a socket at the address given, with a port of its own; it is what
// sip.Options.BindUDP wants.
func (e *Ether) Bind(at netip.AddrPort) (sip.PacketConn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	s := &socket{ether: e, at: netip.AddrPortFrom(at.Addr(), e.last), in: make(chan datagram, 1024), closed: make(chan struct{})}
	e.sockets[s.at] = s
	return s, nil
}

// socket is a UDP socket of an Ether.
type socket struct {
	net.PacketConn // what sip does not use
	ether          *Ether
	at             netip.AddrPort
	in             chan datagram
	once           sync.Once // closes the next
	closed         chan struct{}
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

func (s *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.in:
		return copy(b, d.data), d.from, nil
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.ether.mu.Lock()
	far := s.ether.sockets[to.(*net.UDPAddr).AddrPort()]
	s.ether.mu.Unlock()
	if far != nil {
		select {
		case far.in <- datagram{s.at, append([]byte(nil), b...)}:
		case <-far.closed:
		}
	}
	return len(b), nil
}

func (s *socket) Close() error        { s.once.Do(func() { close(s.closed) }); return nil }
func (s *socket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }
