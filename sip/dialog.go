package sip

import (
	"context"
	"net/netip"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// dialog is what two ends of a leg share (RFC 3261 section 12), seen from ours,
// and what is needed to send requests within it. Its leg's lock guards it.
type dialog struct {
	callID    gosip.CallIDHeader
	localTag  string
	remoteTag string
	from      *gosip.FromHeader // us, with our tag
	to        *gosip.ToHeader   // them, with theirs
	localSeq  uint32            // CSeq of our last request
	remoteSeq uint32            // CSeq of their last request
	seqKnown  bool              // whether they have sent one
	routes    []gosip.Uri       // the proxies to pass, nearest first
	target    gosip.Uri         // their Contact
	via       flow              // the flow the dialog came to be over
	sticky    bool              // requests go back over that flow whatever the Contact says
}

// dialogFromInvite begins the dialog of an INVITE we received.
func dialogFromInvite(req *gosip.Request, f flow, localTag string) dialog {
	remoteTag, _ := req.From().Params.Get("tag")
	d := dialog{
		callID:    *req.CallID(),
		localTag:  localTag,
		remoteTag: remoteTag,
		from: &gosip.FromHeader{DisplayName: displayName(req.To().DisplayName), Address: req.To().Address,
			Params: gosip.HeaderParams{{K: "tag", V: localTag}}},
		to:        &gosip.ToHeader{DisplayName: displayName(req.From().DisplayName), Address: req.From().Address, Params: req.From().Params},
		remoteSeq: req.CSeq().SeqNo,
		seqKnown:  true,
		routes:    recordRoutes(req),
		target:    req.From().Address,
		via:       f,
	}
	d.refresh(req)
	d.sticky = behindNAT(&d.target, f)
	return d
}

// accepted completes the dialog of an INVITE of ours with the 2xx it got.
func (d *dialog) accepted(res *gosip.Response) {
	d.remoteTag, _ = res.To().Params.Get("tag")
	d.to = res.To()
	d.routes = recordRoutes(res)
	for i, j := 0, len(d.routes)-1; i < j; i, j = i+1, j-1 {
		d.routes[i], d.routes[j] = d.routes[j], d.routes[i]
	}
	d.refresh(res)
}

// refresh takes the far end's new Contact (section 12.2.1.2).
func (d *dialog) refresh(m interface{ Contact() *gosip.ContactHeader }) {
	if c := m.Contact(); c != nil && !c.Address.Wildcard {
		d.target = c.Address
	}
}

// inOrder notes the CSeq of a request and reports whether it is a new one.
func (d *dialog) inOrder(seq uint32) bool {
	if d.seqKnown && seq <= d.remoteSeq {
		return false
	}
	d.remoteSeq, d.seqKnown = seq, true
	return true
}

// request builds a request within the dialog (section 12.2.1.1). ACK and
// CANCEL take the number of the INVITE they belong to; others the next one.
func (d *dialog) request(method gosip.RequestMethod, seq uint32) *gosip.Request {
	target, routes := d.target, d.routes
	if len(routes) > 0 && !routes[0].UriParams.Has("lr") {
		// The first proxy is a strict router (RFC 2543): it goes into the
		// Request-URI and the target to the end of the list.
		target, routes = routes[0], append(routes[1:len(routes):len(routes)], d.target)
	}
	req := gosip.NewRequest(method, target)
	req.Recipient.Headers = nil
	req.AppendHeader(viaOf(d.via.at))
	for _, r := range routes {
		req.AppendHeader(&gosip.RouteHeader{Address: r})
	}
	mf := maxForwards
	req.AppendHeader(&mf)
	req.AppendHeader(d.from)
	req.AppendHeader(d.to)
	id := d.callID
	req.AppendHeader(&id)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: seq, MethodName: method})
	req.SetTransport(strings.ToUpper(d.via.at.network))
	return req
}

// next gives the number of our next request.
func (d *dialog) next() uint32 {
	d.localSeq++
	return d.localSeq
}

// hop gives the URI a request of the dialog is sent to.
func (d *dialog) hop() *gosip.Uri {
	if len(d.routes) > 0 {
		return &d.routes[0]
	}
	return &d.target
}

// connect finds the way for a request of the dialog: the flow it came over
// while that stands, else the address of the next hop.
func (d *dialog) connect(ctx context.Context, req *gosip.Request) (gosip.Connection, error) {
	if d.sticky || d.via.at.reliable() && len(d.routes) == 0 {
		req.SetDestination(d.via.remote)
		c, err := d.via.conn()
		if err == nil || d.sticky && len(d.routes) == 0 { // else the proxy can be connected to
			completeVia(req, c)
			return c, err
		}
	}
	addr, err := resolve(ctx, d.hop(), d.via.at)
	if err != nil {
		return nil, err
	}
	req.SetDestination(addr)
	return flow{at: d.via.at, remote: addr}.dial(ctx, req)
}

// completeVia writes the connection's own address into the Via of a request
// of a server without a listener for that transport.
func completeVia(req *gosip.Request, c gosip.Connection) {
	via := req.Via()
	if via.Host != "" || c == nil {
		return
	}
	if ap, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		via.Host, via.Port = ap.Addr().Unmap().String(), int(ap.Port())
	}
}

// behindNAT reports whether nobody answers at a Contact: it names a private
// address that is not the one the message came from, or, from who has no address
// to be called at, a name that cannot be (RFC 7118 section 5.1).
func behindNAT(contact *gosip.Uri, f flow) bool {
	if strings.HasSuffix(strings.ToLower(contact.Host), ".invalid") || f.at.network == "ws" || f.at.network == "wss" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(contact.Host, "[]"))
	return err == nil && ip.IsPrivate() && ip != f.addr()
}

func recordRoutes(m headed) []gosip.Uri {
	var routes []gosip.Uri
	for _, h := range headersOf(m, "record-route", "") {
		if rr, ok := h.(*gosip.RecordRouteHeader); ok {
			routes = append(routes, rr.Address)
		}
	}
	return routes
}

// transportOf gives the transport a URI asks for, or the fallback if it says
// nothing we have. sips: is TLS, or a WebSocket over it (RFC 3261 section 26.2.2,
// RFC 7118 section 5.2).
func transportOf(u *gosip.Uri, fallback string) string {
	t, _ := u.UriParams.Get("transport")
	switch t = strings.ToLower(t); {
	case u.Scheme == "sips" && (t == "ws" || t == "wss"):
		return "wss"
	case u.Scheme == "sips":
		return "tls"
	case t == "udp" || t == "tcp" || t == "tls" || t == "ws" || t == "wss":
		return t
	}
	return fallback
}
