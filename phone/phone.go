// Package phone is a caller or an agent in software: what `bugle call` and
// `bugle agent` are, and what tests and loads use for ears.
//
// It owns nothing of signalling or sound, which are sip's and media's; it only
// behaves like a person with a telephone. Read call.go for the caller, agent.go
// for the agent.
package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// Options say where a phone stands.
type Options struct {
	Address   netip.Addr       // its own; see AddressToward
	Network   string           // udp (default), tcp
	Ports     config.PortRange // of its RTP; default 30000-39999
	User      string           // user part of its own address
	Log       *slog.Logger     // default: none
	OnInvite  func(*sip.Leg)   // a call for it; nil refuses with 486
	Telephone config.SIP       // further settings of its signalling; may be empty

	bindUDP func(netip.AddrPort) (sip.PacketConn, error) // for tests: see sip.Options
}

// Phone is a telephone with as many lines as are needed.
type Phone struct {
	sip   *sip.Server
	media *media.Engine
	user  string
	host  string
	quit  context.CancelFunc
	ended chan error
}

// New starts a phone: signalling on a free port of its address, media beside it.
func New(o Options) (*Phone, error) {
	if o.Network == "" {
		o.Network = "udp"
	}
	if o.Ports == (config.PortRange{}) {
		o.Ports = config.PortRange{First: 30000, Last: 39999}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.User == "" {
		o.User = "caller"
	}
	engine, err := media.New(config.Media{Address: o.Address, Ports: o.Ports, Shards: 1}, o.Log)
	if err != nil {
		return nil, fmt.Errorf("start the phone's media: %w", err)
	}
	settings := o.Telephone
	settings.Listeners = []config.Listener{{Network: o.Network, Address: netip.AddrPortFrom(o.Address, 0)}}
	settings.Trunks = []config.Trunk{{Name: "anyone", Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}}
	settings.MaxCalls = 10_000
	server, err := sip.New(sip.Options{Config: settings, Handler: handler{o.OnInvite}, Log: o.Log, BindUDP: o.bindUDP})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the phone's signalling: %w", err), engine.Close())
	}
	ctx, quit := context.WithCancel(context.Background())
	p := &Phone{sip: server, media: engine, user: o.User, host: server.Addrs()[0].Address.String(), quit: quit, ended: make(chan error, 1)}
	go func() { p.ended <- server.Serve(ctx) }()
	return p, nil
}

// Close ends all its calls and stops the phone.
func (p *Phone) Close() error {
	p.quit()
	return errors.Join(<-p.ended, p.media.Close())
}

// AddressToward gives the address from which this machine reaches a host, such
// as "192.0.2.7:5060" or "helpline.example".
func AddressToward(host string) (netip.Addr, error) {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, "5060")
	}
	conn, err := net.Dial("udp", host) // sends nothing
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the way to %s: %w", host, err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// handler takes the calls for a phone.
type handler struct{ invite func(*sip.Leg) }

func (h handler) Invite(leg *sip.Leg) {
	if h.invite == nil {
		_ = leg.Reject(486, "Busy Here")
		return
	}
	h.invite(leg)
}

func (handler) Registered(string, sip.Binding) {}
func (handler) Unregistered(string)            {}
