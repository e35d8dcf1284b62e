package call

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bugle-voice/bugle/sip"
)

// virtual runs a test in virtual time: its minutes cost nothing, and a machine that
// stands still changes nothing. Signalling goes by a network in memory, Redis is the
// embedded one, and the sockets of media are not Go's, so that a bubble does not mind
// them. Tests so run are parallel.
func virtual(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// ether is the network of a bubble: what is sent arrives at once and in order.
type ether struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*etherSocket
	last    uint16
}

func newEther() *ether { return &ether{sockets: map[netip.AddrPort]*etherSocket{}, last: 5060} }

// bind is sip.Options.BindUDP; each socket gets a port of its own.
func (e *ether) bind(at netip.AddrPort) (sip.PacketConn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	s := &etherSocket{ether: e, at: netip.AddrPortFrom(at.Addr(), e.last), in: make(chan datagram, 1024), closed: make(chan struct{})}
	e.sockets[s.at] = s
	return s, nil
}

// etherSocket is a UDP socket of the ether.
type etherSocket struct {
	net.PacketConn // what sip does not use
	ether          *ether
	at             netip.AddrPort
	in             chan datagram
	once           sync.Once
	closed         chan struct{}
}

type datagram struct {
	from netip.AddrPort
	data []byte
}

func (s *etherSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.in:
		return copy(b, d.data), d.from, nil
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *etherSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.ether.mu.Lock()
	far := s.ether.sockets[to]
	s.ether.mu.Unlock()
	if far != nil {
		select {
		case far.in <- datagram{s.at, append([]byte(nil), b...)}:
		case <-far.closed:
		}
	}
	return len(b), nil
}

func (s *etherSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	return s.WriteToUDPAddrPort(b, to.(*net.UDPAddr).AddrPort())
}

func (s *etherSocket) Close() error        { s.once.Do(func() { close(s.closed) }); return nil }
func (s *etherSocket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }
