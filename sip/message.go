package sip

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"hash/maphash"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	magicCookie = "z9hG4bK"
	sdpType     = "application/sdp"
	version     = "SIP/2.0"
	maxForwards = gosip.MaxForwardsHeader(70)
	userAgent   = "Bugle"
)

// Headers that never change are shared by all messages.
var (
	allowHeader          = gosip.NewHeader("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY, REGISTER")
	acceptHeader         = gosip.NewHeader("Accept", sdpType+", multipart/mixed")
	agentHeader          = gosip.NewHeader("User-Agent", userAgent)
	supportedHeader      = gosip.NewHeader("Supported", "100rel, timer, replaces, norefersub")
	againSupportedHeader = gosip.NewHeader("Supported", "timer, replaces, norefersub") // of a re-INVITE: nobody rings
	requireTimerHeader   = gosip.NewHeader("Require", "timer")
	serverHeader         = gosip.NewHeader("Server", userAgent)
)

// token gives a random string for tags, branches and Call-IDs.
func token() string { return rand.Text()[:16] }

// newCallID makes Bugle's own id of a call: 80 random bits, lower-case.
func newCallID() string { return strings.ToLower(token()) }

// response builds an answer to req (RFC 3261 section 8.2.6), to be sent over
// f. Headers are shared with the request, which nobody changes any more; only
// those that differ are copied.
func response(req *gosip.Request, f flow, code int, reason, toTag string) *gosip.Response {
	res := gosip.NewResponse(code, reason)
	top := true
	for _, h := range req.Headers() {
		switch h := h.(type) {
		case *gosip.ViaHeader:
			if top {
				h, top = returnVia(h, f), false
				res.SetDestination(returnAddr(h, f))
			}
			res.AppendHeader(h)
		case *gosip.RecordRouteHeader:
			if code > 100 && code < 300 && req.Method == gosip.INVITE {
				res.AppendHeader(h)
			}
		case *gosip.ToHeader:
			if code > 100 && toTag != "" && !h.Params.Has("tag") {
				h = &gosip.ToHeader{DisplayName: h.DisplayName, Address: h.Address,
					Params: append(h.Params.Clone(), gosip.HeaderKV{K: "tag", V: toTag})}
			}
			res.AppendHeader(h)
		case *gosip.FromHeader, *gosip.CallIDHeader, *gosip.CSeqHeader:
			res.AppendHeader(h)
		}
	}
	res.SetTransport(strings.ToUpper(f.at.network))
	res.SetBody(nil) // a stream needs Content-Length in every message
	return res
}

// returnVia notes in the top Via where the request really came from (RFC 3261
// section 18.2.1, RFC 3581 section 4).
func returnVia(via *gosip.ViaHeader, f flow) *gosip.ViaHeader {
	host, port, err := net.SplitHostPort(f.remote)
	if err != nil {
		return via
	}
	rport, asked := via.Params.Get("rport")
	asked = asked && rport == ""
	if !asked && via.Host == host {
		return via
	}
	via = via.Clone()
	via.Params.Add("received", host)
	if asked {
		via.Params.Add("rport", port)
	}
	return via
}

// returnAddr says where the answer goes: to the source's address, and to its
// port if it asked for that, else to the port it wrote (RFC 3261 18.2.2).
func returnAddr(via *gosip.ViaHeader, f flow) string {
	if f.at.reliable() || via.Params.Has("rport") {
		return f.remote
	}
	host, _, err := net.SplitHostPort(f.remote)
	if err != nil {
		return f.remote
	}
	port := via.Port
	if port <= 0 {
		port = gosip.DefaultUdpPort
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// withSDP puts a session description into a message.
func withSDP(m gosip.Message, sdp []byte) {
	if len(sdp) > 0 {
		ct := gosip.ContentTypeHeader(sdpType)
		m.AppendHeader(&ct)
	}
	m.SetBody(sdp)
}

// sdpOf gives the session description a message carries, or nil.
func sdpOf(m bodied) []byte { return contentOf(m).sdp }

// mediaType gives a message's Content-Type, lower-case, without parameters.
func mediaType(m headed) string {
	t, _, _ := strings.Cut(header(m, "content-type", "c"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// ackFailure builds the ACK of a failed INVITE, which belongs to the INVITE's own
// transaction (RFC 3261 section 17.1.1.3).
func ackFailure(invite *gosip.Request, res *gosip.Response) *gosip.Request {
	req := sameHop(gosip.ACK, invite)
	if to := res.To(); to != nil {
		req.AppendHeader(to)
	}
	req.SetBody(nil)
	return req
}

// cancelOf builds the CANCEL of an INVITE (RFC 3261 section 9.1).
func cancelOf(invite *gosip.Request) *gosip.Request {
	req := sameHop(gosip.CANCEL, invite)
	req.AppendHeader(invite.To())
	req.SetBody(nil)
	return req
}

// sameHop begins a request that goes where the INVITE went, with its branch.
func sameHop(method gosip.RequestMethod, invite *gosip.Request) *gosip.Request {
	req := gosip.NewRequest(method, invite.Recipient)
	req.AppendHeader(invite.Via())
	for _, h := range headersOf(invite, "route", "") {
		req.AppendHeader(h)
	}
	mf := maxForwards
	req.AppendHeader(&mf)
	req.AppendHeader(invite.From())
	req.AppendHeader(invite.CallID())
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: method})
	req.SetTransport(invite.Transport())
	req.SetDestination(invite.Destination())
	return req
}

// proven is a request of a dialog anew, with the answer to a challenge: a new
// transaction, which takes its CSeq as it leaves (RFC 3261 section 22.2).
func proven(req *gosip.Request, proof gosip.Header) *gosip.Request {
	again := gosip.NewRequest(req.Method, req.Recipient)
	for _, h := range req.Headers() {
		switch h := h.(type) {
		case *gosip.ViaHeader:
			via := h.Clone()
			via.Params.Add("branch", magicCookie+token())
			again.AppendHeader(via)
		case *gosip.CSeqHeader:
			again.AppendHeader(&gosip.CSeqHeader{MethodName: req.Method})
		case *gosip.ContentLengthHeader: // SetBody writes it
		default:
			if !isNamed(h, "authorization", "") && !isNamed(h, "proxy-authorization", "") {
				again.AppendHeader(h)
			}
		}
	}
	again.AppendHeader(proof)
	again.SetTransport(req.Transport())
	again.SetBody(req.Body())
	return again
}

// viaOf makes the Via of a request leaving by ln, with a new branch.
func viaOf(ln *listener) *gosip.ViaHeader {
	via := &gosip.ViaHeader{
		ProtocolName:    "SIP",
		ProtocolVersion: "2.0",
		Transport:       strings.ToUpper(ln.network),
		Params:          gosip.HeaderParams{{K: "branch", V: magicCookie + token()}, {K: "rport"}},
	}
	if ln.addr.IsValid() {
		via.Host = ln.addr.Addr().String()
		via.Port = int(ln.addr.Port())
	}
	return via
}

// tagger makes the To tags of answers sent without keeping anything: the same
// request repeated gets the same tag (RFC 3261 section 8.2.7).
type tagger struct{ seed maphash.Seed }

func (t tagger) tag(req *gosip.Request) string {
	var h maphash.Hash
	h.SetSeed(t.seed)
	if id := req.CallID(); id != nil {
		_, _ = h.WriteString(id.Value())
	}
	if via := req.Via(); via != nil {
		branch, _ := via.Params.Get("branch")
		_, _ = h.WriteString(branch)
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h.Sum64())
	return base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

// headed is a request or a response.
type headed interface{ Headers() []gosip.Header }

// headersOf gives the headers of a name or its compact form, whatever their case.
// sipgo's own ways of asking make a string of each header they pass.
func headersOf(m headed, name, compact string) []gosip.Header {
	var found []gosip.Header
	for _, h := range m.Headers() {
		if isNamed(h, name, compact) {
			found = append(found, h)
		}
	}
	return found
}

func isNamed(h gosip.Header, name, compact string) bool {
	n := h.Name()
	return len(n) == len(name) && strings.EqualFold(n, name) || compact != "" && strings.EqualFold(n, compact)
}

// header gives the value of a header by its name or compact form.
func header(m headed, name, compact string) string {
	for _, h := range m.Headers() {
		if isNamed(h, name, compact) {
			return h.Value()
		}
	}
	return ""
}

// lists reports whether a header that is a list of tokens has one of them.
func lists(m headed, name, compact, token string) bool {
	for _, h := range m.Headers() {
		if !isNamed(h, name, compact) {
			continue
		}
		for t := range strings.SplitSeq(h.Value(), ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// uriUser gives the user part of a URI as people write it: without parameters
// and escapes. For a tel URI it is the number.
func uriUser(u *gosip.Uri) string {
	user := u.User
	if u.Scheme == "tel" {
		user = u.Raw()
	}
	user, _, _ = strings.Cut(user, ";")
	if plain, err := url.PathUnescape(user); err == nil && plain == shown(plain, len(plain)) {
		user = plain
	}
	return shown(user, maxUser)
}

// escapeUser writes a user part into a URI (RFC 3261 section 25.1, user).
func escapeUser(user string) string {
	const plain = "-_.!~*'()&=+$,/"
	var b strings.Builder
	for i := range len(user) {
		c := user[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		const hex = "0123456789ABCDEF"
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// isHost reports whether a string can stand as the host of a URI: a name or an
// IP address, of version 6 with its brackets or without (RFC 3261 section 25.1).
func isHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return ok && err == nil && ip.Is6() && ip.Zone() == ""
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Zone() == ""
	}
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r != '-' && r != '.' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}
