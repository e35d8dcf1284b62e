package sip

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Time limits of connections.
const (
	streamFirst     = 15 * time.Second       // for the handshake and the first message
	streamRest      = 30 * time.Second       // for the rest of a message
	streamIdle      = 20 * time.Minute       // between messages; longer than two refreshes of a registration
	writeTimeout    = 5 * time.Second        // to a trunk, or whoever we have dialled
	strangerTimeout = 250 * time.Millisecond // to anybody else: see send
	dialTimeout     = 5 * time.Second
	refusedPause    = 100 * time.Millisecond // after a message that came too fast, or from who is banned
	streamBuffer    = 4 << 10
)

// connections are a listener's, by the address of their far end. sipgo's pool is
// not used: it finds a connection by its near end too, opens one without a word
// when it is gone, and verifies certificates for addresses only.
type connections struct {
	at      *listener
	connect func(ctx context.Context, network, addr string) (net.Conn, error) // of what is not TLS, as net.Dialer does
	gone    func(remote string)                                               // told of each that ends; may be nil
	parser  *gosip.Parser

	mu     sync.Mutex
	m      map[string]gosip.Connection
	closed bool
	wg     sync.WaitGroup // readers
}

func newConnections(at *listener) *connections {
	return &connections{at: at, connect: (&net.Dialer{}).DialContext, parser: newParser(), m: make(map[string]gosip.Connection)}
}

// patience is for how long a far end that has connected may not read.
func (cs *connections) patience(remote string) time.Duration {
	if cs.at.edge.trusts(flow{at: cs.at, remote: remote}.addr()) {
		return writeTimeout
	}
	return strangerTimeout
}

// seen is told of a message of a connection.
func (cs *connections) seen(out bool, remote string, raw []byte) {
	if peer, err := netip.ParseAddrPort(remote); err == nil {
		cs.at.seen(out, netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), raw)
	}
}

// receive takes a message. One that its source may not send now is dropped, and the
// reader told to slow down: what is not read is not sent either.
func (cs *connections) receive(m gosip.Message, remote string, raw []byte) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil || !cs.at.edge.admit(from, cs.at.network, len(raw)) {
		time.Sleep(refusedPause)
		return
	}
	cs.seen(false, remote, raw)
	m.SetTransport(strings.ToUpper(cs.at.network))
	m.SetSource(remote)
	cs.at.receive(inbound{m, flow{at: cs.at, remote: remote}, len(raw)})
}

// garbage counts what was no SIP, and holds it against the far end.
func (cs *connections) garbage(remote, reason string, raw []byte) {
	cs.seen(false, remote, raw)
	if from, err := netip.ParseAddrPort(remote); err == nil {
		cs.at.edge.garbage(from, cs.at.network, reason)
	}
}

// serve takes connections until their listener is closed.
func (cs *connections) serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		s := newStream(cs, c, c.RemoteAddr().String(), cs.patience(c.RemoteAddr().String()))
		if !cs.add(s.remote, s, func() { s.read(cs) }) {
			_ = c.Close()
		}
	}
}

// add keeps a connection for as long as read runs, which is a goroutine of its
// own, and reports false if everything is closed.
func (cs *connections) add(remote string, c gosip.Connection, read func()) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed {
		return false
	}
	cs.m[remote] = c
	cs.wg.Go(func() {
		defer cs.drop(remote, c)
		defer func() {
			if r := recover(); r != nil {
				cs.at.edge.caught("connection", r) // and no other connection ends
				cs.garbage(remote, dropUnparsable, nil)
			}
		}()
		read()
	})
	return true
}

// drop closes a connection and forgets it, unless another has taken its place.
func (cs *connections) drop(remote string, c gosip.Connection) {
	cs.mu.Lock()
	last := cs.m[remote] == c
	if last {
		delete(cs.m, remote)
	}
	cs.mu.Unlock()
	_ = c.Close()
	if last && cs.gone != nil {
		cs.gone(remote)
	}
}

// get gives the connection to a far end, or nil.
func (cs *connections) get(remote string) gosip.Connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.m[remote] // a missing one is nil
}

// dial gives a connection to a far end, opening one if there is none. With a
// client's configuration it is one of TLS, and the far end's certificate is good
// for the name in it, also when the connection was there already.
func (cs *connections) dial(ctx context.Context, remote string, client *tls.Config) (gosip.Connection, error) {
	if c := cs.get(remote); c != nil {
		return c, verified(c, client)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	connect := cs.connect
	if client != nil {
		connect = (&tls.Dialer{Config: client}).DialContext
	}
	c, err := connect(ctx, "tcp", remote)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", remote, err)
	}
	if before := cs.get(remote); before != nil { // somebody else was quicker
		_ = c.Close()
		return before, verified(before, client)
	}
	s := newStream(cs, c, remote, writeTimeout)
	s.dialled = true
	if !cs.add(remote, s, func() { s.read(cs) }) {
		_ = c.Close()
		return nil, ErrClosed
	}
	return s, nil
}

// verified makes sure that the far end of a connection has a certificate for the
// name that is asked for.
func verified(c gosip.Connection, client *tls.Config) error {
	s, ok := c.(*stream)
	if client == nil || !ok {
		return nil
	}
	secure, ok := s.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	shown := secure.ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return fmt.Errorf("%s has shown no certificate", s.remote)
	}
	return shown[0].VerifyHostname(client.ServerName)
}

// close closes every connection and waits for their readers.
func (cs *connections) close() {
	cs.mu.Lock()
	cs.closed = true
	for _, c := range cs.m {
		_ = c.Close()
	}
	cs.mu.Unlock()
	cs.wg.Wait()
}

// stream is a connection of TCP or TLS: a gosip.Connection.
type stream struct {
	net.Conn
	of       *connections
	remote   string        // as it is known by
	dialled  bool          // by us
	half     bool          // of a ping has come
	patience time.Duration // for a far end that does not read
	turn     chan struct{} // holds whoever writes
}

func newStream(cs *connections, c net.Conn, remote string, patience time.Duration) *stream {
	return &stream{Conn: c, of: cs, remote: remote, patience: patience, turn: make(chan struct{}, 1)}
}

// Ref does nothing: who sends is no reason for a connection to stand, or to end.
func (s *stream) Ref(int) int { return 1 }

// TryClose does nothing, see Ref.
func (s *stream) TryClose() (int, error) { return 1, nil }

// WriteMsg sends a message. One that was not sent in full ends the connection.
func (s *stream) WriteMsg(m gosip.Message) error {
	return encode(m, func(b []byte) error {
		s.of.seen(true, s.remote, b)
		return s.send(b)
	})
}

// send writes, once whoever else writes is through. The goroutine that waits here
// handles messages of all the world (lanes.go), so a far end that does not read is
// not waited for: strangers would stop the node by connecting and never reading. The
// system holds more than a phone can fail to read in honesty.
func (s *stream) send(b []byte) error {
	if err := s.await(); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	_ = s.SetWriteDeadline(time.Now().Add(s.patience))
	if _, err := s.Write(b); err != nil {
		s.cut()
		return fmt.Errorf("sending to %s: %w", s.remote, err)
	}
	return nil
}

// await waits for the turn to write.
func (s *stream) await() error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	limit := time.NewTimer(s.patience)
	defer limit.Stop()
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-limit.C:
		s.cut()
		return fmt.Errorf("sending to %s: it does not read", s.remote)
	}
}

// cut ends the connection without the farewell of TLS, which would have to be
// written too.
func (s *stream) cut() {
	if secure, ok := s.Conn.(*tls.Conn); ok {
		_ = secure.NetConn().Close()
		return
	}
	_ = s.Close()
}

// read takes messages until the connection ends, breaks the rules or is too
// slow. What is no SIP has no end that could be found, so it ends the connection.
func (s *stream) read(cs *connections) {
	parser := cs.parser.NewSIPStream()
	defer parser.Close()
	buf := make([]byte, streamBuffer)
	var raw bytes.Buffer // what the parser was given and has not made a message of
	deadline := time.Now().Add(streamFirst)
	if s.dialled {
		deadline = time.Now().Add(streamIdle)
	}
	spoken, between := s.dialled, true
	for {
		if s.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := s.Conn.Read(buf)
		if err != nil {
			return
		}
		_, _ = parser.Write(buf[:n])
		_, _ = raw.Write(buf[:n])
		before := between
		got := 0
		for {
			if between {
				if s.keepAlive(parser.Buffer()) != nil {
					return
				}
				raw.Next(raw.Len() - parser.Buffer().Len())
			}
			if rest := parser.Buffer().Bytes(); between && (len(rest) == 0 || string(rest) == "\r") {
				break
			}
			if crowded(raw.Bytes()) {
				cs.garbage(s.remote, dropImplausib, raw.Bytes())
				return
			}
			m, size, err := parser.ParseNext()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				between = false
				break
			}
			if err != nil {
				cs.garbage(s.remote, dropUnparsable, raw.Bytes())
				return
			}
			between = true
			got++
			cs.receive(m, s.remote, raw.Next(size))
		}
		spoken = spoken || got > 0
		switch {
		case between && spoken:
			deadline = time.Now().Add(streamIdle)
		case !between && spoken && (before || got > 0):
			deadline = time.Now().Add(streamRest)
		}
	}
}

// keepAlive takes the line ends off that stand before a message (RFC 3261 section
// 7.5). Two in a row are a ping, and are answered with one (RFC 5626 section
// 3.5.1); where we have dialled, the pings are ours and one is the answer.
func (s *stream) keepAlive(b *bytes.Buffer) error {
	for bytes.HasPrefix(b.Bytes(), []byte("\r\n")) {
		b.Next(2)
		if s.half && !s.dialled {
			if err := s.send([]byte("\r\n")); err != nil {
				return err
			}
		}
		s.half = !s.half
	}
	if b.Len() > 0 && b.Bytes()[0] != '\r' {
		s.half = false
	}
	return nil
}
