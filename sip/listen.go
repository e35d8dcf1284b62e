package sip

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	udpReadBuffer = 4 << 20 // a burst of INVITEs must fit while the reader is descheduled
	reopenDelay   = 100 * time.Millisecond
)

var errFlowGone = errors.New("the connection is gone")

// listener is one socket that takes SIP: a message is known to have come by it,
// and what answers it leaves by the same. Datagrams are read in datagram.go,
// connections in stream.go and websocket.go.
type listener struct {
	network string               // udp, tcp, tls, ws, wss
	addr    netip.AddrPort       // bound to; invalid for one that only dials, and for WebSockets
	own     *gosip.ContactHeader // our Contact there; nil for the same two
	edge    *edge                // who may send there
	receive func(inbound)        // takes what is let in

	// of UDP
	packets PacketConn
	udp     *datagrams

	// of the others
	conns  *connections
	accept *acceptor   // nil for one that only dials, and for WebSockets
	client *tls.Config // how TLS connections are opened
}

// listen binds a socket of packets or connections. Whatever arrives from whom the edge
// lets in is given to receive, on the goroutine that read it. A network of tls needs how
// to serve it, one of udp how a socket is bound.
func listen(network string, addr netip.AddrPort, bind func(netip.AddrPort) (PacketConn, error), server *tls.Config, edge *edge, receive func(inbound)) (*listener, error) {
	ln := newListener(network, edge, receive)
	switch network {
	case "udp":
		pc, err := bind(addr)
		if err != nil {
			return nil, err
		}
		ln.packets = pc
		ln.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		ln.udp = &datagrams{pc, ln.seen}
	case "tcp", "tls":
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			return nil, err
		}
		ln.accept = newAcceptor(l, server, edge)
		ln.addr = l.Addr().(*net.TCPAddr).AddrPort()
	default:
		return nil, fmt.Errorf("network %q is not one of udp, tcp, tls", network)
	}
	ln.addr = netip.AddrPortFrom(ln.addr.Addr().Unmap(), ln.addr.Port())
	ln.own = contactAt(network, ln.addr)
	return ln, nil
}

// seen is told of every message, as it comes in and goes out.
func (ln *listener) seen(out bool, peer netip.AddrPort, raw []byte) {
	ln.edge.metrics.message(ln.network, out)
	ln.edge.trace.saw(ln.network, out, peer, raw)
}

// whenGone has f called with each flow whose connection ends.
func (ln *listener) whenGone(f func(flow)) {
	if ln.conns != nil {
		ln.conns.gone = func(remote string) { f(flow{at: ln, remote: remote}) }
	}
}

// newListener makes what a socket's messages pass, without the socket. A
// listener of connections can dial without one.
func newListener(network string, edge *edge, receive func(inbound)) *listener {
	ln := &listener{network: network, edge: edge, receive: receive}
	if ln.reliable() {
		ln.conns = newConnections(ln)
	}
	return ln
}

func contactAt(network string, addr netip.AddrPort) *gosip.ContactHeader {
	uri := gosip.Uri{Scheme: "sip", User: "bugle", Host: addr.Addr().String(), Port: int(addr.Port())}
	switch network {
	case "udp":
	case "wss":
		uri.UriParams = gosip.HeaderParams{{K: "transport", V: "ws"}} // RFC 7118 section 5.2 has no other
	default:
		uri.UriParams = gosip.HeaderParams{{K: "transport", V: network}}
	}
	return &gosip.ContactHeader{Address: uri}
}

// serve reads until the socket is closed. A reader that ends for any other
// reason is started again: a listener must not go silent.
func (ln *listener) serve(ctx context.Context) {
	for ctx.Err() == nil {
		var err error
		if ln.packets != nil {
			err = ln.readPackets()
		} else {
			err = ln.conns.serve(ln.accept)
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(reopenDelay):
		}
	}
}

// close closes the socket and every connection of it.
func (ln *listener) close() {
	if ln.packets != nil {
		_ = ln.packets.Close()
	}
	if ln.accept != nil && ln.accept.Listener != nil {
		_ = ln.accept.Close()
	}
	if ln.conns != nil {
		ln.conns.close()
	}
}

// family is of the addresses that can be reached from there: ip4, ip6, or ip for both.
func (ln *listener) family() string {
	switch {
	case ln == nil || !ln.addr.IsValid():
		return "ip"
	case ln.addr.Addr().Is4():
		return "ip4"
	}
	return "ip6"
}

// name is how a binding remembers the socket.
func (ln *listener) name() string {
	if !ln.addr.IsValid() {
		return ln.network
	}
	return ln.network + ":" + ln.addr.String()
}

// reliable reports whether the transport itself repeats what was lost.
func (ln *listener) reliable() bool { return ln.network != "udp" }

// flow is where a message came from or goes to: one of our sockets and an
// address at its far end (the flow of RFC 5626).
type flow struct {
	at     *listener
	remote string // ip:port
	origin origin // who sent a request to the edge proxy at the far end
}

func (f flow) String() string { return f.at.network + ":" + f.remote }

// sender is the flow a request began its way with: an edge proxy's, if there is one
// between.
func (f flow) sender() string {
	if f.origin.known() {
		return flowName(f.origin.addr, f.origin.network)
	}
	return f.String()
}

// network is the transport a request began its way by.
func (f flow) network() string {
	if f.origin.known() {
		return f.origin.network
	}
	return f.at.network
}

// addr is the address a request comes from, before an edge proxy of ours, without a
// zone or an IPv4-in-IPv6 wrapping.
func (f flow) addr() netip.Addr {
	if f.origin.known() {
		return f.origin.addr.Addr()
	}
	ap, err := netip.ParseAddrPort(f.remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// conn gives the flow's connection if it still stands. The caller owes it a
// TryClose.
func (f flow) conn() (gosip.Connection, error) {
	if f.at.udp != nil {
		return f.at.udp, nil
	}
	if c := f.at.conns.get(f.remote); c != nil {
		return c, nil
	}
	return nil, errFlowGone
}

// dial gives a connection to the flow's far end, opening one if there is none,
// and completes the request's Via from it.
func (f flow) dial(ctx context.Context, req *gosip.Request) (c gosip.Connection, err error) {
	switch f.at.network {
	case "udp":
		return f.at.udp, nil
	case "tcp":
		c, err = f.at.conns.dial(ctx, f.remote, nil)
	case "tls":
		c, err = f.at.conns.dial(ctx, f.remote, named(f.at.client, hopOf(req).Host))
	default:
		return nil, errFlowGone // a browser cannot be called back
	}
	if err != nil {
		return nil, err
	}
	completeVia(req, c)
	return c, nil
}

// hopOf gives the URI a finished request goes to: its first Route, unless that
// is a strict router's, which stands in the Request-URI.
func hopOf(req *gosip.Request) *gosip.Uri {
	if r := req.Route(); r != nil && r.Address.UriParams.Has("lr") {
		return &r.Address
	}
	return &req.Recipient
}

// named gives a client's configuration for a far end that must have a
// certificate for that name or address.
func named(c *tls.Config, host string) *tls.Config {
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c = c.Clone()
	c.ServerName = strings.Trim(host, "[]")
	return c
}

// contact gives our Contact for messages over the flow to a URI of that scheme:
// the listener's, or, if we only dialled, our end of the connection. To sips it is
// sips (RFC 3261 section 12.1).
func (f flow) contact(scheme string) *gosip.ContactHeader {
	c := f.ownContact()
	if scheme != "sips" {
		return c
	}
	uri := c.Address
	uri.Scheme = "sips"
	if f.at.network == "tls" {
		uri.UriParams = nil // of sips, TLS is the transport
	}
	return &gosip.ContactHeader{Address: uri}
}

func (f flow) ownContact() *gosip.ContactHeader {
	if f.at.own != nil {
		return f.at.own
	}
	if c, err := f.conn(); err == nil {
		defer func() { _, _ = c.TryClose() }()
		if ap, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
			return contactAt(f.at.network, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
		}
	}
	return contactAt(f.at.network, f.at.addr)
}

// keepOpen sends what keeps a NAT from forgetting a phone behind it.
func (f flow) keepOpen() {
	if to, err := netip.ParseAddrPort(f.remote); err == nil && f.at.udp != nil {
		_, _ = f.at.udp.WriteTo([]byte("\r\n\r\n"), net.UDPAddrFromAddrPort(to))
	}
}

// send writes one message whose destination is set.
func (f flow) send(m gosip.Message) error {
	c, err := f.conn()
	if err != nil {
		return err
	}
	err = c.WriteMsg(m)
	_, _ = c.TryClose()
	return err
}

// plausible reports whether a datagram begins like a SIP message and its head
// has nothing that could smuggle a header line past the parser: a bare CR or LF, or
// another control character that is not quoted (RFC 3261 section 25.1, quoted-pair). Nor
// is it crowded.
func plausible(data []byte) bool {
	if len(data) < 20 || data[0] <= ' ' || data[0] >= 0x7f || crowded(data) {
		return false
	}
	first := true
	for i := 1; i < len(data); i++ {
		c := data[i]
		if !isControl(c) || c != '\r' && c != '\n' && data[i-1] == '\\' {
			continue
		}
		if c != '\r' || i+1 == len(data) || data[i+1] != '\n' {
			return false
		}
		if first && !isStartLine(data[:i]) {
			return false
		}
		if first = false; bytes.HasPrefix(data[i+2:], []byte("\r\n")) {
			return true // the body is the session's to judge
		}
		i++
	}
	return !first // its head does not end: that can be answered
}

// maxParams is far more parameters than any head has, and few enough to be read in a
// millisecond.
const maxParams = 1000

// crowded tells whether a message's head has so many parameters that reading them would
// cost too much: sipgo holds each against all that stand before it.
func crowded(data []byte) bool {
	head, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	return bytes.Count(head, []byte(";"))+bytes.Count(head, []byte("&")) > maxParams
}

func isStartLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("SIP/2.0 ")) || bytes.Contains(line, []byte(" SIP/")) || bytes.Contains(line, []byte(" sip/"))
}
