package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	udpReadBuffer   = 4 << 20          // a burst of INVITEs must fit while the reader is descheduled
	tcpIdle         = 20 * time.Minute // longer than two refreshes of a registration
	tcpWriteTimeout = 5 * time.Second
	tcpDialTimeout  = 5 * time.Second
	reopenDelay     = 100 * time.Millisecond
)

var errFlowGone = errors.New("the connection is gone")

func init() {
	// sipgo refuses UDP messages over its MTU less 200 bytes, responses too. An
	// INVITE with a real SDP and a few Vias is longer than that, and IP
	// fragments it without harm.
	gosip.UDPMTUSize = 65507 + 200
}

// listener is one socket that takes SIP, on a sipgo transport layer of its own:
// so a message is known to have come by this socket, and what answers it leaves
// by the same.
type listener struct {
	network string         // udp, tcp
	addr    netip.AddrPort // bound to; invalid for the TCP side of a server that only dials
	layer   *gosip.TransportLayer
	packets *net.UDPConn
	udp     *gosip.UDPConnection
	accept  *acceptor
	own     *gosip.ContactHeader // our Contact there
}

// listen binds a socket. Whatever arrives is given to receive, on the
// goroutine that read it.
func listen(network string, addr netip.AddrPort, log *slog.Logger, receive func(inbound)) (*listener, error) {
	ln := newListener(network, log, receive)
	switch network {
	case "udp":
		pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return nil, err
		}
		_ = pc.SetReadBuffer(udpReadBuffer) // the kernel caps it at its own limit
		ln.packets = pc
		ln.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		ln.udp = &gosip.UDPConnection{PacketConn: pc, PacketAddr: pc.LocalAddr().String(), Listener: true}
	case "tcp":
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			return nil, err
		}
		ln.accept = newAcceptor(l)
		ln.addr = l.Addr().(*net.TCPAddr).AddrPort()
	default:
		return nil, fmt.Errorf("network %q is not one of udp, tcp", network)
	}
	ln.addr = netip.AddrPortFrom(ln.addr.Addr().Unmap(), ln.addr.Port())
	ln.own = contactAt(network, ln.addr)
	return ln, nil
}

// newListener makes the transport layer of a socket, without the socket.
func newListener(network string, log *slog.Logger, receive func(inbound)) *listener {
	ln := &listener{network: network}
	ln.layer = gosip.NewTransportLayer(net.DefaultResolver, gosip.NewParser(), nil,
		gosip.WithTransportLayerLogger(log),
		gosip.WithTransportLayerReadFilter(filter),
		gosip.WithTransportLayerTransports(gosip.TransportsConfig{
			TCP: &gosip.TransportTCP{ReadTimeout: tcpIdle, WriteTimeout: tcpWriteTimeout},
		}))
	ln.layer.OnMessage(func(m gosip.Message) {
		receive(inbound{m, flow{ln, m.Source()}})
	})
	return ln
}

func contactAt(network string, addr netip.AddrPort) *gosip.ContactHeader {
	uri := gosip.Uri{Scheme: "sip", User: "bugle", Host: addr.Addr().String(), Port: int(addr.Port())}
	if network != "udp" {
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
			err = ln.layer.ServeUDP(ln.packets)
		} else {
			err = ln.layer.ServeTCP(ln.accept)
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
	if ln.accept != nil {
		_ = ln.accept.Close()
	}
	_ = ln.layer.Close()
}

// name is how a binding remembers the socket.
func (ln *listener) name() string { return ln.network + ":" + ln.addr.String() }

// reliable reports whether the transport itself repeats what was lost.
func (ln *listener) reliable() bool { return ln.network != "udp" }

// flow is where a message came from or goes to: one of our sockets and an
// address at its far end (the flow of RFC 5626).
type flow struct {
	at     *listener
	remote string // ip:port
}

func (f flow) String() string { return f.at.network + ":" + f.remote }

// addr is the far end's address without a zone or an IPv4-in-IPv6 wrapping.
func (f flow) addr() netip.Addr {
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
	c, err := f.at.layer.GetConnection(f.at.network, f.remote)
	if err != nil {
		return nil, errFlowGone
	}
	return f.verify(c)
}

// verify makes sure that a connection leads to the flow's far end. sipgo finds
// connections by their near end too, so that a Contact or Record-Route naming
// an address of ours would lead to whoever connected to it last.
func (f flow) verify(c gosip.Connection) (gosip.Connection, error) {
	if peer, ok := c.(interface{ RemoteAddr() net.Addr }); ok && peer.RemoteAddr().String() != f.remote {
		_, _ = c.TryClose()
		return nil, fmt.Errorf("%s is our own address", f.remote)
	}
	return c, nil
}

// dial gives a connection to the flow's far end, opening one if there is none.
// It needs the request because sipgo completes its Via from the connection.
func (f flow) dial(ctx context.Context, req *gosip.Request) (gosip.Connection, error) {
	if f.at.udp != nil {
		return f.at.udp, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tcpDialTimeout)
	defer cancel()
	c, err := f.at.layer.ClientRequestConnection(ctx, req)
	if err != nil {
		return nil, err
	}
	return f.verify(c)
}

// contact gives our Contact for messages over the flow: the listener's, or, if
// we only dialled, our end of the connection.
func (f flow) contact() *gosip.ContactHeader {
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

// filter drops, before sipgo parses it or remembers its source, what cannot be
// SIP. It returns no error: sipgo would end the listener.
func filter(p gosip.TransportReadProps, data []byte) ([]byte, error) {
	if p.Transport != "UDP" {
		return data, nil // a piece of a stream; validate sees the whole message
	}
	if !plausible(data) {
		return nil, nil
	}
	return data, nil
}

// plausible reports whether a datagram begins like a SIP message and its head
// has nothing that could smuggle a header line past the parser: a bare LF, or NUL.
func plausible(data []byte) bool {
	if len(data) < 20 || data[0] < 'A' || data[0] > 'Z' {
		return false
	}
	eol := -1
	for i, c := range data {
		switch c {
		case 0:
			return false
		case '\n':
			if i == 0 || data[i-1] != '\r' {
				return false
			}
			if eol < 0 {
				eol = i - 1
				line := string(data[:eol])
				if !strings.HasPrefix(line, "SIP/2.0 ") && !strings.Contains(line, " SIP/") {
					return false
				}
			}
			if i+2 < len(data) && data[i+1] == '\r' && data[i+2] == '\n' {
				return true // the body is the session's to judge
			}
		}
	}
	return false
}
