package sip

import (
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// fault is an answer to a request that cannot be taken as it is.
type fault struct {
	code   int
	reason string
	extra  gosip.Header
}

func (f *fault) Error() string { return f.reason }

// offence is what the request is held against its source as, "" if it is only
// one that we cannot serve.
func (f *fault) offence() offence {
	switch f.code {
	case 400, 416, 505:
		return offenceMalformed
	case 501:
		return offenceMethod
	}
	return ""
}

// knownMethods are those SIP has: one of them that is not handled gets 405, an
// unheard-of one 501.
var knownMethods = map[gosip.RequestMethod]bool{
	gosip.INVITE: true, gosip.ACK: true, gosip.CANCEL: true, gosip.BYE: true, gosip.REGISTER: true,
	gosip.OPTIONS: true, gosip.INFO: true, gosip.UPDATE: true, gosip.REFER: true, gosip.SUBSCRIBE: true,
	gosip.NOTIFY: true, gosip.MESSAGE: true, gosip.PRACK: true, gosip.PUBLISH: true,
}

// answerable reports whether a request has what an answer needs: without these
// nobody would understand one, so the request is dropped.
func answerable(req *gosip.Request) bool {
	via := req.Via()
	return via != nil && via.Host != "" && req.CallID() != nil && req.CSeq() != nil && req.From() != nil && req.To() != nil
}

// validate judges a request by what sipgo's parser lets pass (RFC 3261 section
// 8.2, RFC 4475). It gives nil for a good one.
func validate(req *gosip.Request) *fault {
	switch {
	case req.SipVersion != "SIP/2.0":
		return &fault{code: 505, reason: "Version Not Supported"}
	case req.CSeq().MethodName != req.Method:
		return &fault{code: 400, reason: "CSeq Method Mismatch"}
	}
	if !single(req) {
		return &fault{code: 400, reason: "Repeated Header"}
	}
	if !printable(req) {
		return &fault{code: 400, reason: "Bad Character"}
	}
	if !req.From().Params.Has("tag") {
		return &fault{code: 400, reason: "Missing From Tag"}
	}
	switch req.Recipient.Scheme {
	case "sip", "sips", "tel":
	default:
		return &fault{code: 416, reason: "Unsupported URI Scheme"}
	}
	if mf := req.MaxForwards(); mf != nil && mf.Val() == 0 {
		return &fault{code: 483, reason: "Too Many Hops"}
	}
	if req.Method == gosip.ACK || req.Method == gosip.CANCEL {
		return nil
	}
	if exts := unsupported(req); exts != "" {
		return &fault{420, "Bad Extension", gosip.NewHeader("Unsupported", exts)}
	}
	if !knownMethods[req.Method] {
		return &fault{code: 501, reason: "Not Implemented"}
	}
	return validateBody(req)
}

func validateBody(req *gosip.Request) *fault {
	if len(req.Body()) == 0 {
		return nil
	}
	if enc := header(req, "content-encoding", "e"); enc != "" && !strings.EqualFold(enc, "identity") {
		return &fault{415, "Unsupported Media Type", gosip.NewHeader("Accept-Encoding", "identity")}
	}
	if (req.Method == gosip.INVITE || req.Method == gosip.UPDATE) && mediaType(req) != sdpType {
		return &fault{415, "Unsupported Media Type", acceptHeader}
	}
	return nil
}

// single reports whether each header that may stand once stands once.
func single(req *gosip.Request) bool {
	var from, to, callID, cseq int
	for _, h := range req.Headers() {
		switch h.(type) {
		case *gosip.FromHeader:
			from++
		case *gosip.ToHeader:
			to++
		case *gosip.CallIDHeader:
			callID++
		case *gosip.CSeqHeader:
			cseq++
		}
	}
	return from == 1 && to == 1 && callID == 1 && cseq == 1
}

// printable reports whether no header carries CR, LF or NUL. A bare LF would
// become a line of its own in what we send.
func printable(req *gosip.Request) bool {
	if !clean(req.Recipient.User) || !clean(req.Recipient.Host) || !cleanParams(req.Recipient.UriParams) {
		return false
	}
	for _, h := range req.Headers() {
		ok := true
		switch h := h.(type) {
		case *gosip.FromHeader:
			ok = clean(h.DisplayName) && cleanURI(&h.Address) && cleanParams(h.Params)
		case *gosip.ToHeader:
			ok = clean(h.DisplayName) && cleanURI(&h.Address) && cleanParams(h.Params)
		case *gosip.ContactHeader:
			ok = clean(h.DisplayName) && cleanURI(&h.Address) && cleanParams(h.Params)
		case *gosip.ViaHeader:
			ok = clean(h.Host) && clean(h.Transport) && cleanParams(h.Params)
		case *gosip.RecordRouteHeader:
			ok = cleanURI(&h.Address)
		case *gosip.CSeqHeader, *gosip.MaxForwardsHeader, *gosip.ContentLengthHeader:
		default:
			ok = clean(h.Value())
		}
		if !ok {
			return false
		}
	}
	return true
}

func cleanURI(u *gosip.Uri) bool {
	return clean(u.User) && clean(u.Password) && clean(u.Host) && clean(u.Raw()) &&
		cleanParams(u.UriParams) && cleanParams(u.Headers)
}

func cleanParams(ps gosip.HeaderParams) bool {
	for _, p := range ps {
		if !clean(p.K) || !clean(p.V) {
			return false
		}
	}
	return true
}

// supported are the extensions a request may require (RFC 3261 section 8.2.2.3).
var supported = map[string]bool{"path": true, "outbound": true, "100rel": true, "timer": true, "replaces": true, "norefersub": true}

// unsupported gives the extensions a request requires and we lack, comma-separated.
func unsupported(req *gosip.Request) string {
	var lacking []string
	for _, h := range headersOf(req, "require", "") {
		for ext := range strings.SplitSeq(h.Value(), ",") {
			if ext = strings.TrimSpace(ext); ext != "" && !supported[strings.ToLower(ext)] {
				lacking = append(lacking, ext)
			}
		}
	}
	return strings.Join(lacking, ", ")
}
