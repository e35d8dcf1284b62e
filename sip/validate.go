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
	case req.SipVersion != version:
		return &fault{code: 505, reason: "Version Not Supported"}
	case !knownMethods[req.Method]:
		return &fault{501, "Not Implemented", allowHeader}
	case !strings.EqualFold(string(req.CSeq().MethodName), string(req.Method)): // sipgo writes one of them large
		return &fault{code: 400, reason: "CSeq Method Mismatch"}
	}
	if !single(req) {
		return &fault{code: 400, reason: "Repeated Header"}
	}
	if !safe(req) {
		return &fault{code: 400, reason: "Bad Character"}
	}
	if !addressed(req) || !cleanURI(&req.Recipient) {
		return &fault{code: 400, reason: "Bad URI"}
	}
	if !req.From().Params.Has("tag") && !old(req) {
		return &fault{code: 400, reason: "Missing From Tag"}
	}
	switch req.Recipient.Scheme {
	case "sip", "sips", "tel":
	default:
		return &fault{code: 416, reason: "Unsupported URI Scheme"}
	}
	if mf := req.MaxForwards(); mf != nil && mf.Val() == 0 && req.Method == gosip.INVITE {
		return &fault{code: 483, reason: "Too Many Hops"} // it goes on by a call of ours; all else ends here (RFC 4475 section 3.3.11)
	}
	if req.Method == gosip.REGISTER && !isSIP(&req.To().Address) {
		return &fault{code: 400, reason: "Not an Address of Record"} // RFC 3261 section 10.2
	}
	if req.Method == gosip.ACK || req.Method == gosip.CANCEL {
		return nil
	}
	if exts := unsupported(req); exts != "" {
		return &fault{420, "Bad Extension", gosip.NewHeader("Unsupported", exts)}
	}
	if req.Method == gosip.INVITE && !acceptsSDP(req) {
		return &fault{code: 406, reason: "Not Acceptable"}
	}
	return validateBody(req)
}

// acceptsSDP reports whether an answer may bring a description: without Accept it may
// (RFC 3261 section 20.1).
func acceptsSDP(req *gosip.Request) bool {
	all := headersOf(req, "accept", "")
	for _, h := range all {
		for t := range strings.SplitSeq(h.Value(), ",") {
			t, _, _ = strings.Cut(t, ";")
			switch strings.ToLower(strings.TrimSpace(t)) {
			case sdpType, "application/*", "*/*":
				return true
			}
		}
	}
	return len(all) == 0
}

func validateBody(req *gosip.Request) *fault {
	if len(req.Body()) == 0 {
		return nil
	}
	if enc := header(req, "content-encoding", "e"); enc != "" && !strings.EqualFold(enc, "identity") {
		return &fault{415, "Unsupported Media Type", gosip.NewHeader("Accept-Encoding", "identity")}
	}
	if (req.Method == gosip.INVITE || req.Method == gosip.UPDATE) && contentOf(req).foreign {
		return &fault{415, "Unsupported Media Type", acceptHeader}
	}
	return nil
}

// old reports whether a request comes from a phone of RFC 2543, which has no tag
// in From (RFC 3261 section 12.1.1 has us take that for an empty one).
func old(req *gosip.Request) bool {
	branch, _ := req.Via().Params.Get("branch")
	return !strings.HasPrefix(branch, "z9hG4bK")
}

// tidy takes away the white space that the grammar allows around the parts of a
// header and sipgo keeps: "; tag = x" has a tag. Display names are mended where
// they could not be repeated, URIs where sipgo does not end them.
func tidy(m gosip.Message) {
	for _, h := range m.(headed).Headers() {
		switch h := h.(type) {
		case *gosip.FromHeader:
			tidyAddress(&h.DisplayName, &h.Address, &h.Params)
		case *gosip.ToHeader:
			tidyAddress(&h.DisplayName, &h.Address, &h.Params)
		case *gosip.ContactHeader:
			tidyAddress(&h.DisplayName, &h.Address, &h.Params)
		case *gosip.RecordRouteHeader:
			mendURI(&h.Address)
		case *gosip.ReferToHeader:
			mendURI(&h.Address)
		case *gosip.ReferredByHeader:
			mendURI(&h.Address)
		case *gosip.CSeqHeader:
			h.MethodName = gosip.RequestMethod(strings.Trim(string(h.MethodName), " \t"))
		}
	}
	if req, ok := m.(*gosip.Request); ok {
		if strings.EqualFold(req.SipVersion, version) {
			req.SipVersion = version
		}
		mendURI(&req.Recipient)
	}
}

func tidyAddress(name *string, u *gosip.Uri, ps *gosip.HeaderParams) {
	if !quotable(*name) {
		*name = displayName(*name)
	}
	u.Host = strings.Trim(u.Host, " \t")
	mendURI(u)
	tidyParams(ps)
}

// tidyParams also writes names small, as we ask for them, and drops what has none.
func tidyParams(ps *gosip.HeaderParams) {
	kept := (*ps)[:0]
	for _, p := range *ps {
		k, v := strings.ToLower(strings.Trim(p.K, " \t;")), strings.Trim(p.V, " \t")
		if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' && strings.ContainsAny(v, " \t") {
			v = v[1 : len(v)-1] // sipgo writes the quotes again
		}
		if name, _, quoted := strings.Cut(k, "="); quoted { // in Via sipgo takes all that follows for the name
			k = strings.TrimRight(name, " \t")
			if strings.ContainsAny(v, `;,<>="`) && !strings.ContainsAny(v, " \t") {
				v = `"` + v + `"`
			}
		}
		if k != "" {
			kept = append(kept, gosip.HeaderKV{K: k, V: v})
		}
	}
	*ps = kept
}

// single reports whether each header that may stand once stands once.
func single(req *gosip.Request) bool {
	var from, to, callID, cseq, hops, length int
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
		case *gosip.MaxForwardsHeader:
			hops++
		case *gosip.ContentLengthHeader:
			length++
		}
	}
	return from == 1 && to == 1 && callID == 1 && cseq == 1 && hops <= 1 && length <= 1
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
