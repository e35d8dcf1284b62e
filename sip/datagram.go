package sip

import (
	"fmt"
	"net"
	"net/netip"

	gosip "github.com/emiago/sipgo/sip"
)

// PacketConn is a UDP socket; *net.UDPConn is one. Its local address is a *net.UDPAddr.
type PacketConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
}

// bindUDP binds a socket of the system's.
func bindUDP(at netip.AddrPort) (PacketConn, error) {
	pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	_ = pc.SetReadBuffer(udpReadBuffer) // the kernel caps it at its own limit
	return pc, nil
}

// readPackets reads a UDP socket until it fails. It is ours rather than sipgo's,
// which remembers every address it ever heard from, and lets nobody look at a
// datagram before it has made a string of where that came from.
func (ln *listener) readPackets() error {
	buf := make([]byte, 65535)
	parser := newParser()
	for {
		n, from, err := ln.packets.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		if data := buf[:n]; !keepAlive(data) {
			ln.datagram(parser, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), data)
		}
	}
}

// datagram takes one datagram, if its source may send one and it looks like SIP.
// One that makes the parser panic does not end the reader.
func (ln *listener) datagram(parser *gosip.Parser, from netip.AddrPort, data []byte) {
	defer func() {
		if r := recover(); r != nil {
			ln.edge.caught("datagram", r)
			ln.edge.garbage(from, ln.network, dropUnparsable)
		}
	}()
	if !ln.edge.admit(from, ln.network, len(data)) {
		return
	}
	if isSTUN(data) {
		answer := stunAnswer(data, from)
		ln.edge.metrics.stun.WithLabelValues(stunResult(answer)).Inc()
		if answer != nil {
			_, _ = ln.udp.WriteTo(answer, net.UDPAddrFromAddrPort(from)) // lost, it is asked for again
		}
		return
	}
	ln.seen(false, from, data)
	if !plausible(data) {
		ln.edge.garbage(from, ln.network, dropImplausib)
		return
	}
	m, err := parser.ParseSIP(data)
	if err != nil {
		ln.edge.garbage(from, ln.network, dropUnparsable)
		ln.refuse(from, data)
		return
	}
	if !isWhole(m) {
		ln.edge.garbage(from, ln.network, dropUnanswered)
		ln.refuse(from, data)
		return
	}
	remote := from.String()
	m.SetTransport("UDP")
	m.SetSource(remote)
	ln.receive(inbound{m, flow{at: ln, remote: remote}, len(data)})
}

// garbage counts what could not be read, and holds it against its source.
func (e *edge) garbage(from netip.AddrPort, network, reason string) {
	e.metrics.drop(reason)
	e.failed(from.Addr(), network, offenceMalformed)
}

// keepAlive reports whether a datagram is empty lines or zeros, which phones send
// to keep a NAT open (RFC 5626 section 3.5.1).
func keepAlive(data []byte) bool {
	if len(data) > 4 {
		return false
	}
	for _, c := range data {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

// datagrams is a UDP socket as a gosip.Connection. sipgo's refuses what is longer than
// a packet of Ethernet, responses too; IP fragments it without harm.
type datagrams struct {
	net.PacketConn
	seen func(out bool, peer netip.AddrPort, raw []byte)
}

// Ref does nothing: the socket stands as long as its listener.
func (d *datagrams) Ref(int) int { return 1 }

// TryClose does nothing, see Ref.
func (d *datagrams) TryClose() (int, error) { return 1, nil }

// WriteMsg sends a message to its destination, an ip:port.
func (d *datagrams) WriteMsg(m gosip.Message) error {
	to, err := netip.ParseAddrPort(m.Destination())
	if err != nil {
		return fmt.Errorf("sending to %q: %w", m.Destination(), err)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	return encode(m, func(b []byte) error {
		d.seen(true, to, b)
		_, err := d.WriteTo(b, net.UDPAddrFromAddrPort(to))
		return err
	})
}
