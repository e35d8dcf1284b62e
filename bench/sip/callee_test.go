//go:build bench

package sip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/sip"
	gosip "github.com/emiago/sipgo/sip"
)

// Two of those called are this test's binary once more, told by its environment
// whom to be and where to listen.
const addressVariable = "BUGLE_BENCH_ADDRESS"

// description is what everyone answers with.
var description = strings.Join([]string{
	"v=0", "o=callee 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", "m=audio 6000 RTP/AVP 0 101",
	"a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv", "",
}, "\r\n")

// serve is the main of one who is called. It ends with SIGTERM.
func serve(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	address := os.Getenv(addressVariable)
	switch role {
	case room:
		return serveRoom(ctx, address)
	case bareSipgo:
		return serveSipgo(ctx, address)
	}
	return fmt.Errorf("nobody is called %q", role)
}

// serveRoom answers by room sip alone.
func serveRoom(ctx context.Context, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	s, err := sip.New(sip.Options{
		Config: config.SIP{
			Listeners: []config.Listener{{Network: "udp", Address: at}, {Network: "tcp", Address: at}},
			Trunks:    []config.Trunk{{Name: "loop", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
			MaxCalls:  100000,
		},
		Handler: answering{},
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// answering conducts calls by answering them.
type answering struct{}

func (answering) Invite(l *sip.Leg) {
	if l.Answer(fixed{}) == nil {
		<-l.Done()
	}
}
func (answering) Registered(string, sip.Binding) {}
func (answering) Unregistered(string)            {}

// fixed is a session that reads nothing.
type fixed struct{}

func (fixed) Offer() ([]byte, error)        { return []byte(description), nil }
func (fixed) Answer([]byte) ([]byte, error) { return []byte(description), nil }
func (fixed) Accept([]byte) error           { return nil }

// serveSipgo answers by the library that room sip stands on: its grammar,
// transactions and transports, and nothing else.
func serveSipgo(ctx context.Context, address string) error {
	gosip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	contact := &gosip.ContactHeader{Address: gosip.Uri{Scheme: "sip", User: "callee", Host: at.Addr().String(), Port: int(at.Port())}}
	sdp := gosip.NewHeader("Content-Type", "application/sdp")
	transport := gosip.NewTransportLayer(net.DefaultResolver, gosip.NewParser(), nil)
	gosip.NewTransactionLayer(transport).OnRequest(func(req *gosip.Request, tx *gosip.ServerTx) {
		switch req.Method {
		case gosip.INVITE:
			res := gosip.NewResponseFromRequest(req, 200, "OK", []byte(description))
			res.AppendHeader(contact)
			res.AppendHeader(sdp)
			_ = tx.Respond(res)
		case gosip.BYE:
			_ = tx.Respond(gosip.NewResponseFromRequest(req, 200, "OK", nil))
		}
		if tx != nil {
			tx.TerminateGracefully()
		}
	})
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := transport.ServeUDP(conn); ctx.Err() == nil {
		return err
	}
	return nil
}
