package sip

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bugle-voice/bugle/cert"
	"github.com/bugle-voice/bugle/config"
	gosip "github.com/emiago/sipgo/sip"
)

func init() {
	// sipgo logs what it cannot parse, whole, at level Error: a stranger's bytes
	// and a caller's number alike. None of it may reach a log.
	gosip.SetDefaultLogger(slog.New(slog.DiscardHandler))
}

// Options is what a Server is made of. A server that only dials needs nothing
// but Config.Listeners, with one of port 0.
type Options struct {
	Config       config.SIP
	Node         string        // this node's name, kept in bindings
	Handler      Handler       // nil: calls are refused with 404
	Credentials  Credentials   // nil: there are no agents
	Bindings     Bindings      // nil: in memory
	Bans         Bans          // nil: each node bans for itself
	Certificates *cert.Store   // of TLS listeners; nil: read once
	Log          *slog.Logger  // nil: none
	T1           time.Duration // RFC 3261's estimate of a round trip; default 500ms. Tests set another

	// SessionExpires is the interval within which the ends of a call assure each
	// other that they are there (RFC 4028); default Config.SessionExpires, or 30
	// minutes; none if negative.
	SessionExpires time.Duration
	// Resolver looks up the hosts of trunks; nil: the system's.
	Resolver Resolver
	// BindUDP binds the socket of a UDP listener; nil: the system's. A test in virtual
	// time has a network in memory.
	BindUDP func(netip.AddrPort) (PacketConn, error)

	// For tests: how long Close waits for the far ends to confirm the BYEs, and trunks that
	// our registration ends; default one second.
	closeGrace time.Duration
}

// Server is one node's SIP endpoint.
//
// It stops in this order: no new calls, and trunks told so where we are registered;
// every leg hung up and given a moment;
// sockets closed, so that nothing more comes in; lanes, timers and conductors
// waited for.
type Server struct {
	cfg      config.SIP
	node     string
	domain   string
	handler  Handler
	log      *slog.Logger
	t1       time.Duration
	minSE    time.Duration // the smallest session interval taken
	metrics  *metrics
	tagger   tagger
	hosts    map[string]bool // what may stand in From as ours, lower-case
	trunks   []*trunk
	maxCalls int

	sessionExpires, ringLimit, closeGrace time.Duration

	listeners []*listener
	dialers   []*listener  // TCP and TLS without a listener
	webs      [2]*listener // WS and WSS, see WebSocket
	tlsClient *tls.Config  // how we open TLS connections

	crew      *crew
	lanes     *lanes
	serverTxs txStore[*serverTx]
	clientTxs txStore[*clientTx]
	legs      legTable
	orphans   orphans
	edge      *edge
	guard     *guard
	registrar *registrar
	resolver  resolver

	draining atomic.Bool
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	closing  <-chan struct{}
	mu       sync.Mutex // guards closed, against enter
	closed   bool
	wg       sync.WaitGroup
	closeRun sync.Once
	leaving  chan struct{}  // closed as Close begins
	accounts sync.WaitGroup // registrations of ours at trunks
}

// New binds every listener. A port of 0 takes a free one: see Addrs. The error
// names the listener that could not be bound.
func New(o Options) (*Server, error) {
	s := newServer(o)
	if o.Config.TrustedCA != "" {
		var err error
		if s.tlsClient.RootCAs, err = cert.Authorities(o.Config.TrustedCA); err != nil {
			return nil, fmt.Errorf("sip.trusted_ca: %w", err)
		}
	}
	for _, l := range o.Config.Listeners {
		ln, err := s.listen(l, &o)
		if err != nil {
			s.closeSockets()
			return nil, fmt.Errorf("SIP listener %s %s: %w", l.Network, l.Address, err)
		}
		s.listeners = append(s.listeners, ln)
	}
	s.settleIn(o.Credentials)
	return s, nil
}

// settleIn gives the server what depends on where its listeners are: the names it goes by,
// its guard, and ways to dial where there is no listener.
func (s *Server) settleIn(c Credentials) {
	for _, ln := range s.listeners {
		ln.whenGone(s.registrar.lost)
		s.hosts[ln.addr.Addr().String()] = true
	}
	if s.domain == "" && len(s.listeners) > 0 {
		s.domain = s.listeners[0].addr.Addr().String()
	}
	s.hosts[strings.ToLower(s.domain)] = true
	s.guard = newGuard(c, s.domain, s.cfg.Digest)
	for _, network := range []string{"tcp", "tls"} {
		if s.listenerFor(network, "") == nil {
			ln := newListener(network, s.edge, s.arrived)
			ln.client = s.tlsClient
			ln.whenGone(s.registrar.lost)
			s.dialers = append(s.dialers, ln)
		}
	}
}

// listen binds one listener of the configuration.
func (s *Server) listen(l config.Listener, o *Options) (*listener, error) {
	bind := o.BindUDP
	if bind == nil {
		bind = bindUDP
	}
	if l.Network != "tls" {
		return listen(l.Network, l.Address, bind, nil, s.edge, s.arrived)
	}
	certificates := o.Certificates
	if certificates == nil {
		certificates = &cert.Store{Log: s.log}
	}
	kept, err := certificates.Open(cert.Files{Certificate: l.Certificate, Key: l.Key, ClientCA: l.ClientCA})
	if err != nil {
		return nil, err
	}
	ln, err := listen(l.Network, l.Address, bind, kept.Server(), s.edge, s.arrived)
	if err != nil {
		return nil, err
	}
	ln.client = s.tlsClient.Clone()
	ln.client.GetClientCertificate = kept.Own
	return ln, nil
}

func newServer(o Options) *Server {
	s := &Server{
		cfg: o.Config, node: o.Node, domain: o.Config.Domain, handler: o.Handler, log: o.Log, t1: o.T1,
		maxCalls: o.Config.MaxCalls, leaving: make(chan struct{}),
		tagger: tagger{maphash.MakeSeed()}, hosts: make(map[string]bool),
		tlsClient: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.t1 <= 0 {
		s.t1 = 500 * time.Millisecond
	}
	s.sessionExpires = cmp.Or(o.SessionExpires, o.Config.SessionExpires.D(), defaultSessionExpires)
	s.ringLimit = cmp.Or(o.Config.RingLimit.D(), defaultRingLimit)
	s.minSE = cmp.Or(o.Config.MinSE.D(), defaultMinSE)
	s.closeGrace = cmp.Or(o.closeGrace, time.Second)
	if s.maxCalls <= 0 {
		s.maxCalls = 2000
	}
	s.orphans.life = 64 * s.t1
	bindings := o.Bindings
	if bindings == nil {
		bindings = &MemoryBindings{}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.closing = s.ctx.Done()
	s.crew = newCrew()
	s.lanes = newLanes(s.crew, s.handle)
	s.registrar = newRegistrar(bindings, s.node, s.cfg.RegisterExpires.D(), s.registered, s.unregistered)
	s.resolver.ask = o.Resolver
	if o.Resolver == nil {
		s.resolver.ask = net.DefaultResolver
	}
	s.trunks = s.newTrunks(o.Config.Trunks)
	s.metrics = newMetrics(s)
	s.edge = newEdge(s.cfg, o.Bans, s.metrics, func(from netip.AddrPort, network string) bool {
		return s.registrar.holdsAt(from, network) || s.isTrunkHost(from, network)
	})
	s.edge.caught = s.panicked
	s.edge.senders = bindings.Senders
	for i, network := range []string{"ws", "wss"} {
		s.webs[i] = newWebListener(network, s.edge, s.arrived)
		s.webs[i].whenGone(s.registrar.lost)
	}
	return s
}

// t2 and t4 are RFC 3261's other timers, in its proportion to T1.
func (s *Server) t2() time.Duration { return 8 * s.t1 }
func (s *Server) t4() time.Duration { return 10 * s.t1 }

// Serve reads the listeners until ctx ends or Close is called, and then closes
// the server. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	for _, ln := range s.listeners {
		if !s.spawn(func() { ln.serve(s.ctx) }) {
			return ErrClosed
		}
	}
	if !s.spawn(func() { s.registrar.sweep(s.ctx) }) || !s.spawn(func() { s.edge.share(s.ctx) }) {
		return ErrClosed
	}
	s.tendTrunks()
	select {
	case <-ctx.Done():
	case <-s.closing:
	}
	return s.Close()
}

// Addr is a listener's transport and the address it is bound to.
type Addr struct {
	Network string // udp, tcp, tls
	Address netip.AddrPort
}

// Addrs gives the listeners in the order of the configuration.
func (s *Server) Addrs() []Addr {
	addrs := make([]Addr, len(s.listeners))
	for i, ln := range s.listeners {
		addrs[i] = Addr{ln.network, ln.addr}
	}
	return addrs
}

// Drain refuses new calls from trunks with 503 and Retry-After. Calls that are
// up, registrations and agents' own calls go on.
func (s *Server) Drain() { s.draining.Store(true) }

// Legs gives the number of legs that are not over.
func (s *Server) Legs() int { return s.legs.count() }

// Close ends every leg and returns when nothing of the server is left, the
// conductors' goroutines included.
func (s *Server) Close() error {
	s.closeRun.Do(func() {
		s.Drain()
		close(s.leaving)
		for _, l := range s.legs.all() {
			l.Hangup()
		}
		select {
		case <-s.legs.empty():
		case <-time.After(s.closeGrace):
		}
		s.awaitAccounts()
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.cancel()
		s.closeSockets()
		s.lanes.close()
		for _, l := range s.legs.close() {
			l.abandon()
		}
		for _, t := range s.serverTxs.all() {
			t.terminate()
		}
		for _, t := range s.clientTxs.all() {
			t.terminate()
		}
	})
	s.wg.Wait()
	s.crew.close()
	return nil
}

func (s *Server) closeSockets() {
	for _, ln := range s.listeners {
		ln.close()
	}
	for _, ln := range slices.Concat(s.dialers, s.webs[:]) {
		ln.close()
	}
}

// listenerFor gives the listener of that name, else the first one of the
// network, else, for TCP and TLS, the one that only dials.
func (s *Server) listenerFor(network, name string) *listener {
	var first *listener
	for _, ln := range slices.Concat(s.listeners, s.dialers, s.webs[:]) {
		if ln.network != network {
			continue
		}
		if ln.name() == name {
			return ln
		}
		if first == nil {
			first = ln
		}
	}
	return first
}

func (s *Server) registered(user string, b Binding) {
	if s.handler != nil {
		defer s.recovered("Registered", nil)
		s.handler.Registered(user, b)
	}
}

func (s *Server) unregistered(user string) {
	if s.handler != nil {
		defer s.recovered("Unregistered", nil)
		s.handler.Unregistered(user)
	}
}

// reply answers a request without keeping a transaction: what is asked again
// is answered again, the same way.
func (s *Server) reply(req *gosip.Request, f flow, code int, reason string, extra ...gosip.Header) {
	if req.Method == gosip.ACK {
		return
	}
	res := response(req, f, code, reason, s.tagger.tag(req))
	for _, h := range extra {
		if h != nil {
			res.AppendHeader(h)
		}
	}
	s.write(res, f)
}

// write sends an answer that nobody keeps.
func (s *Server) write(res *gosip.Response, f flow) {
	s.metrics.response(res)
	if err := f.send(res); err != nil {
		s.metrics.sendFailed.Inc()
	}
}
