package sip

import (
	"net"
	"net/netip"

	gosip "github.com/emiago/sipgo/sip"
)

// readPackets reads a UDP socket until it fails. It is ours rather than sipgo's,
// which remembers every address it ever heard from, and lets nobody look at a
// datagram before it has made a string of where that came from.
func (ln *listener) readPackets() error {
	buf := make([]byte, 65535)
	parser := gosip.NewParser()
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
			ln.edge.garbage(from, dropUnparsable)
		}
	}()
	if !ln.edge.admit(from, ln.network) {
		return
	}
	ln.seen(false, from, data)
	if !plausible(data) {
		ln.edge.garbage(from, dropImplausib)
		return
	}
	m, err := parser.ParseSIP(data)
	if err != nil {
		ln.edge.garbage(from, dropUnparsable)
		return
	}
	remote := from.String()
	m.SetTransport("UDP")
	m.SetSource(remote)
	ln.receive(inbound{m, flow{at: ln, remote: remote}})
}

// watched is a UDP socket whose datagrams are seen as they leave.
type watched struct {
	net.PacketConn
	seen func(out bool, peer netip.AddrPort, raw []byte)
}

// WriteTo sends a datagram.
func (w watched) WriteTo(p []byte, to net.Addr) (int, error) {
	if to, ok := to.(*net.UDPAddr); ok {
		at := to.AddrPort()
		w.seen(true, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), p)
	}
	return w.PacketConn.WriteTo(p, to)
}

// garbage counts what could not be read, and holds it against its source.
func (e *edge) garbage(from netip.AddrPort, reason string) {
	e.metrics.drop(reason)
	e.failed(from.Addr(), offenceMalformed)
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
