package sip

import (
	"errors"
	"fmt"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Target is whom to call, and as whom.
type Target struct {
	URI     string   // "sip:helpline@127.0.0.1:5060;transport=tcp"; a transport of udp is understood
	Binding *Binding // instead of URI: a registered phone, called over the flow it registered by

	From     string            // the caller's user part; what is no part of one is escaped
	FromHost string            // the host that goes with it; default: the server's domain
	Display  string            // name shown to the callee
	Call     string            // the call this leg belongs to: becomes the leg's id; made if empty
	Headers  map[string]string // further headers: X-…, Alert-Info, Call-Info, P-Asserted-Identity
	Auth     *Auth             // answers a digest challenge
	Replaces *Replaces         // the dialog of the callee's whose place the call takes (RFC 3891)
	Withheld bool              // the caller withholds his number: From is anonymous (RFC 3323), whatever it would be
	AskOffer bool              // send no description: the far end makes the offer, the ACK brings our answer
}

// Auth is a user and how he proves to be one.
type Auth struct{ User, Password string }

// outgoing is what a leg we dial has beside the rest; the leg's lock guards it.
type outgoing struct {
	target    Target
	dest      string    // where the INVITE goes, if the binding says so; else the URI decides
	tx        *clientTx // of the INVITE, once it is sent
	rung      bool      // a provisional answer has come: CANCEL is allowed
	cancelled bool      // CANCEL is sent
	proofs    int       // challenges answered
	intervals int       // session intervals found too small
	auth      gosip.Header
	hunt      *hunt          // for a host of a trunk; nil: there is one place to call
	forks     []*fork        // early dialogs, and those that lost
	took      []byte         // the description the session took last
	ack       *gosip.Request // of the 2xx that won
	limit     *time.Timer    // how long it may ring
	giveUp    *time.Timer    // a final answer that does not come after CANCEL or BYE
}

// end stops what would happen later.
func (o *outgoing) end() {
	stop(o.limit)
	stop(o.giveUp)
	if o.hunt != nil {
		stop(o.hunt.silent)
	}
}

const (
	maxProofs    = 2 // the second for a nonce that went stale
	maxIntervals = 2 // 422s

	// defaultRingLimit is Timer C (RFC 3261 section 16.8): whoever dials hangs up
	// long before, unless he forgets.
	defaultRingLimit = 4 * time.Minute
)

// Dial calls somebody. The session makes the offer before Dial returns; the
// INVITE is sent afterwards, so how the call fares is told by the leg's channels
// alone. How long it may ring is the caller's to say, by Hangup.
func (s *Server) Dial(t Target, session Session) (*Leg, error) { return s.dial(t, session, nil) }

// dial is Dial, and, with a hunt, DialTrunk.
func (s *Server) dial(t Target, session Session, h *hunt) (*Leg, error) {
	if t.Withheld {
		t.From, t.FromHost = anonymousUser, anonymousHost
	}
	uri, routes, err := t.parse()
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	ln, dest, err := s.wayTo(t, uri, routes)
	if err != nil {
		return nil, fmt.Errorf("dialling: %w", err)
	}
	session = guarded{s, session}
	var sdp []byte
	if !t.AskOffer {
		if sdp, err = session.Offer(); err != nil {
			return nil, fmt.Errorf("dialling: making the offer: %w", err)
		}
	}
	id := t.Call
	if id == "" {
		id = newCallID()
	}
	l := newLeg(s, id, false)
	l.state = legCalling
	l.session = session
	l.out.target = t
	l.out.dest = dest
	l.dlg = s.dialogTo(t, uri, routes, ln)
	l.dlg.sticky = dest != "" && len(routes) == 0
	l.who = identity{number: uriUser(uri), caller: t.From}
	if h != nil {
		l.out.hunt, l.who.line = h, h.t
	}
	l.invite = l.buildInvite(sdp)
	if !s.legs.add(l) {
		return nil, ErrClosed
	}
	if !s.spawn(l.start) {
		s.legs.remove(l)
		return nil, ErrClosed
	}
	return l, nil
}

// parse reads the target's addresses and refuses what would break a message.
func (t *Target) parse() (*gosip.Uri, []gosip.Uri, error) {
	text := t.URI
	var path []string
	if t.Binding != nil {
		text, path = t.Binding.Contact, t.Binding.Path
	}
	var uri gosip.Uri
	if err := parseURI(text, &uri); err != nil {
		return nil, nil, errors.New("the callee's address cannot be read") // which is private, as err may quote it
	}
	if !isSIP(&uri) || uri.Host == "" || !cleanURI(&uri) {
		return nil, nil, errors.New("the callee's address is not a sip: or sips: URI with a host")
	}
	uri.Headers = nil
	var routes []gosip.Uri
	for _, p := range path {
		var hop gosip.Uri
		if _, err := parseAddress(p, &hop, nil); err != nil {
			return nil, nil, fmt.Errorf("path %q: %w", p, err)
		}
		if !isSIP(&hop) || !cleanURI(&hop) {
			return nil, nil, fmt.Errorf("path %q is not a sip: or sips: URI", p)
		}
		routes = append(routes, hop)
	}
	if t.FromHost != "" && !isHost(t.FromHost) {
		return nil, nil, fmt.Errorf("%q is not a host to call from", t.FromHost)
	}
	for name, value := range t.Headers {
		if !passes(name) || !clean(value) || len(value) > maxValue {
			return nil, nil, fmt.Errorf("header %q may not be sent", name)
		}
	}
	return &uri, routes, nil
}

// wayTo picks the socket to send from and, for a binding without a path, the
// far end of the flow it registered by.
func (s *Server) wayTo(t Target, uri *gosip.Uri, routes []gosip.Uri) (*listener, string, error) {
	network, local, dest := transportOf(uri, "udp"), "", ""
	if len(routes) > 0 {
		network = transportOf(&routes[0], "udp")
	}
	if b := t.Binding; b != nil {
		n, addr, ok := strings.Cut(b.Source, ":")
		switch {
		case ok && len(routes) > 0: // the proxy is reached at its own address, from any node
			network = transportOf(&routes[0], n)
		case ok:
			network, local, dest = n, b.Local, addr
		}
	}
	ln := s.listenerFor(network, local)
	if ln == nil {
		return nil, "", fmt.Errorf("no listener for %s", network)
	}
	return ln, dest, nil
}

// dialogTo begins the dialog of an INVITE of ours.
func (s *Server) dialogTo(t Target, uri *gosip.Uri, routes []gosip.Uri, ln *listener) dialog {
	host := t.FromHost
	if host == "" {
		host = s.domain
	}
	callee := *uri
	callee.UriParams = nil
	tag := token()
	return dialog{
		callID:   gosip.CallIDHeader(token() + token()),
		localTag: tag,
		from: &gosip.FromHeader{DisplayName: displayName(t.Display),
			Address: gosip.Uri{Scheme: "sip", User: escapeUser(t.From), Host: host},
			Params:  gosip.HeaderParams{{K: "tag", V: tag}}},
		to:     &gosip.ToHeader{Address: callee},
		routes: routes,
		target: *uri,
		via:    flow{at: ln},
	}
}

// buildInvite makes the next INVITE: the first, or one with proof.
func (l *Leg) buildInvite(sdp []byte) *gosip.Request {
	req := l.dlg.request(gosip.INVITE, l.dlg.next())
	if l.out.target.Binding == nil { // to an agent's phone no caller's word is passed on: the edge would refuse, as if he had
		*req.MaxForwards() = l.s.legs.hopsOf(l.id)
	}
	req.AppendHeader(allowHeader)
	req.AppendHeader(supportedHeader)
	req.AppendHeader(agentHeader)
	l.timer.propose(l.s, req)
	if r := l.out.target.Replaces; r != nil {
		req.AppendHeader(gosip.NewHeader("Replaces", r.String()))
	}
	for name, value := range l.out.target.Headers {
		req.AppendHeader(gosip.NewHeader(name, value))
	}
	if l.out.auth != nil {
		req.AppendHeader(l.out.auth)
	}
	withSDP(req, sdp)
	return req
}

// start sends the INVITE, from a goroutine of its own: a connection may have to
// be opened, a name looked up.
func (l *Leg) start() {
	l.mu.Lock()
	if l.endUnsent() {
		l.mu.Unlock()
		return
	}
	req, dest, dlg := l.invite, l.out.dest, l.dlg
	l.mu.Unlock()

	conn, err := l.route(&dlg, req, dest)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.out.hunt != nil {
		l.finish(l.out.hunt.end(err))
		return
	}
	if err != nil {
		code := 503
		if errors.Is(err, errFlowGone) {
			code = 480 // a phone behind NAT cannot be called back
			l.outOfReach(l.out.target.Binding)
		}
		l.finish(failure(code, err.Error()))
		return
	}
	if l.endUnsent() {
		_, _ = conn.TryClose()
		return
	}
	l.dlg.via.remote = req.Destination()
	if l.out.hunt != nil {
		l.dlg.target = req.Recipient
	}
	req.AppendHeader(l.dlg.via.contact(l.dlg.target.Scheme))
	l.sendInvite(req, conn)
}

// outOfReach tells of a phone that we have no connection to: it has gone, or is
// connected to another node, which no further try from here mends.
func (l *Leg) outOfReach(b *Binding) {
	switch {
	case b == nil:
	case b.reach(l.s.node) == 0:
		l.s.metrics.unreachable.WithLabelValues(phoneElsewhere).Inc()
		l.log.Warn("an agent cannot be rung from this node, as the phone is connected to another: put an edge proxy that adds Path before the nodes",
			"agent", b.User, "connected_to", b.Node)
	default:
		l.s.metrics.unreachable.WithLabelValues(phoneGone).Inc()
	}
}

// endUnsent ends the leg if it was hung up before its INVITE left.
func (l *Leg) endUnsent() bool {
	if l.hangup != nil && l.state == legCalling {
		l.finish(l.hungUp(487))
	}
	return l.state == legOver
}

// route finds the connection for an INVITE and sets its destination.
func (l *Leg) route(dlg *dialog, req *gosip.Request, dest string) (gosip.Connection, error) {
	if h := l.out.hunt; h != nil {
		return h.route(l.s.ctx, dlg.via.at, req)
	}
	if dest != "" {
		req.SetDestination(dest)
		c, err := flow{at: dlg.via.at, remote: dest}.conn()
		completeVia(req, c)
		return c, err
	}
	addr, err := resolve(l.s.ctx, dlg.hop(), dlg.via.at)
	if err != nil {
		return nil, err
	}
	req.SetDestination(addr)
	return flow{at: dlg.via.at, remote: addr}.dial(l.s.ctx, req)
}

// sendInvite begins the INVITE's transaction; l.mu is held.
func (l *Leg) sendInvite(req *gosip.Request, conn gosip.Connection) {
	l.invite = req
	tx, err := l.s.request(req, conn, l.responded, func(err error) { l.unanswered(req, err) })
	if err != nil {
		if end := failure(503, err.Error()); !l.elsewhere(end, failedUnreachable, 0) {
			l.finish(end)
		}
		return
	}
	l.out.tx = tx
	l.out.rung = false
	l.hunting()
	if l.out.limit == nil {
		l.out.limit = l.s.after(l.s.ringLimit, l.rangOut)
	}
}

// rangOut is Timer C.
func (l *Leg) rangOut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legCalling {
		l.hangupAs(failure(408, "rang too long"))
	}
}

// cancelInvite gives up an INVITE, now or with its first provisional answer:
// before that CANCEL is forbidden (RFC 3261 section 9.1). l.mu is held.
func (l *Leg) cancelInvite() {
	if l.out.tx == nil || !l.out.rung || l.out.cancelled {
		return
	}
	l.out.cancelled = true
	conn := l.out.tx.conn
	conn.Ref(1)
	cancel := cancelOf(l.invite)
	l.hangup.explain(cancel)
	// What is said to the CANCEL itself does not matter: the INVITE's answer does.
	if _, err := l.s.request(cancel, conn, func(*gosip.Response) {}, func(error) {}); err != nil {
		l.log.Debug("CANCEL could not be sent", "error", err)
	}
	l.waitFinal(l.hungUp(487))
}

// waitFinal ends the leg if the INVITE gets no final answer in time.
func (l *Leg) waitFinal(end End) {
	stop(l.out.giveUp)
	l.out.giveUp = l.s.after(64*l.s.t1, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.state == legCalling {
			l.out.tx.terminate() // since its provisional answer it waits without end
			l.finish(end)
		}
	})
}
