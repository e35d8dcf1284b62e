package sip

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	gosip "github.com/emiago/sipgo/sip"
)

const (
	webPing = 25 * time.Second // proxies end what is silent for a minute
	webPong = 10 * time.Second
)

// WebSocket gives the handler that takes SIP over WebSocket (RFC 7118), for an
// HTTP server to serve: WSS where that one serves TLS, else WS. Pages of its own
// host may connect, and those of sip.websocket.origins; what is no browser says no
// origin. After Close it refuses everybody.
func (s *Server) WebSocket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ln := s.webs[0]
		if r.TLS != nil {
			ln = s.webs[1]
		}
		far, err := netip.ParseAddrPort(r.RemoteAddr)
		local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if err != nil || !ok || !speaksSIP(r) {
			http.Error(w, "this is SIP over WebSocket (RFC 7118): ask for the subprotocol sip", http.StatusBadRequest)
			return
		}
		if !ln.edge.admit(far, ln.network, 0) || !ln.accept.take(far.Addr()) {
			http.Error(w, "no connection for you now", http.StatusServiceUnavailable)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"sip"}, OriginPatterns: s.cfg.WebSocket.Origins})
		if err != nil { // which it has answered
			ln.accept.give(far.Addr())
			return
		}
		c := &webConn{of: ln.conns, ws: ws, ctx: s.ctx, local: local, remote: r.RemoteAddr}
		if !ln.conns.add(c.remote, c, func() {
			defer ln.accept.give(far.Addr())
			c.read(ln.conns, func() bool { return ln.edge.cuts(far, ln.network) })
		}) {
			ln.accept.give(far.Addr())
			_ = c.Close()
		}
	})
}

// speaksSIP reports whether a client offers the subprotocol of SIP.
func speaksSIP(r *http.Request) bool {
	for _, h := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(h, ",") {
			if strings.TrimSpace(p) == "sip" {
				return true
			}
		}
	}
	return false
}

// newWebListener makes what messages over WebSockets pass.
func newWebListener(network string, edge *edge, receive func(inbound)) *listener {
	ln := newListener(network, edge, receive)
	ln.accept = newAcceptor(nil, nil, edge) // it only counts
	return ln
}

// webConn is a WebSocket: a gosip.Connection.
type webConn struct {
	of     *connections
	ws     *websocket.Conn
	ctx    context.Context // the server's
	local  net.Addr
	remote string
}

// LocalAddr gives our end of the connection.
func (c *webConn) LocalAddr() net.Addr { return c.local }

// Ref does nothing, as a stream's.
func (c *webConn) Ref(int) int { return 1 }

// TryClose does nothing, as a stream's.
func (c *webConn) TryClose() (int, error) { return 1, nil }

// Close ends the connection at once.
func (c *webConn) Close() error { return c.ws.CloseNow() }

// WriteMsg sends a message in a frame of its own.
func (c *webConn) WriteMsg(m gosip.Message) error {
	return encode(m, func(b []byte) error {
		c.of.seen(true, c.remote, b)
		return c.send(b)
	})
}

func (c *webConn) send(b []byte) error {
	kind := websocket.MessageText
	if !utf8.Valid(b) {
		kind = websocket.MessageBinary // RFC 7118 section 5
	}
	ctx, cancel := context.WithTimeout(c.ctx, strangerTimeout) // as a stream's
	defer cancel()
	if err := c.ws.Write(ctx, kind, b); err != nil {
		_ = c.Close()
		return fmt.Errorf("sending to %s: %w", c.remote, err)
	}
	return nil
}

// read takes messages, one a frame, until the connection ends or is silent for
// too long, or what comes is no SIP, or the far end is banned.
func (c *webConn) read(cs *connections, cut func() bool) {
	ctx, cancel := context.WithCancel(c.ctx)
	pinged := make(chan struct{})
	go func() { defer close(pinged); c.ping(ctx) }()
	defer func() { cancel(); <-pinged }()
	c.ws.SetReadLimit(int64(gosip.ParseMaxMessageLength))
	first, spoken := time.Now().Add(streamFirst), false
	for {
		limit := streamIdle
		if !spoken {
			limit = time.Until(first)
		}
		data, err := c.next(ctx, limit)
		if err != nil || cut() {
			return
		}
		if len(bytes.Trim(data, "\r\n")) == 0 {
			if string(data) == "\r\n\r\n" && c.send([]byte("\r\n")) != nil {
				return
			}
			continue
		}
		if !plausible(data) {
			cs.garbage(c.remote, dropImplausib, data)
			return
		}
		m, err := cs.parser.ParseSIP(data)
		if err != nil {
			cs.garbage(c.remote, dropUnparsable, data)
			return
		}
		spoken = true
		cs.receive(m, c.remote, data)
	}
}

func (c *webConn) next(ctx context.Context, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, data, err := c.ws.Read(ctx)
	return data, err
}

// ping keeps what lies between from forgetting the connection, and ends it when
// the far end does not answer.
func (c *webConn) ping(ctx context.Context) {
	tick := time.NewTicker(webPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pong, cancel := context.WithTimeout(ctx, webPong)
		err := c.ws.Ping(pong)
		cancel()
		if err != nil {
			_ = c.Close()
			return
		}
	}
}
