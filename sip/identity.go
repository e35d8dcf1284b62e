package sip

import (
	"strconv"
	"strings"

	"github.com/bugle-voice/bugle/number"
	gosip "github.com/emiago/sipgo/sip"
)

// anonymous is how a caller who withholds his number is written (RFC 3323 section
// 4.1).
const (
	anonymousUser = "anonymous"
	anonymousHost = "anonymous.invalid"
	anonymousName = "Anonymous"
)

// callerOf tells the calling number of a trunk's INVITE: what a trusted trunk
// asserts (RFC 3325), else the user part of From; in the international form, where
// the trunk's country is known. It is empty if the caller withholds it.
func (t *trunk) callerOf(req *gosip.Request) (caller string, withheld bool) {
	if isWithheld(req) {
		return "", true
	}
	caller = uriUser(&req.From().Address)
	if asserted := assertedCaller(req); asserted != "" && t.Trusted {
		caller = asserted
	}
	return number.International(caller, t.Country), false
}

// numberOf tells the number a trunk's INVITE is for. A trunk we are registered with
// may call our Contact, and tell the number in To alone.
func (t *trunk) numberOf(req *gosip.Request) string {
	dialled := uriUser(&req.Recipient)
	if t.Register && dialled == t.Username {
		dialled = uriUser(&req.To().Address)
	}
	return number.International(dialled, t.Country)
}

// isWithheld reports whether a caller does not want his number shown: by Privacy
// (RFC 3323 section 4.2, RFC 3325 section 9.3), or by a From that says nothing.
func isWithheld(req *gosip.Request) bool {
	for v := range strings.FieldsFuncSeq(header(req, "privacy", ""), func(r rune) bool { return strings.ContainsRune(";, \t", r) }) {
		switch strings.ToLower(v) {
		case "id", "user", "header":
			return true
		case "none":
			return false
		}
	}
	from := &req.From().Address
	return strings.EqualFold(from.User, anonymousUser) || strings.EqualFold(from.Host, anonymousHost)
}

// assertedCaller reads P-Asserted-Identity, which only a trunk is trusted with
// (RFC 3325).
func assertedCaller(req *gosip.Request) string {
	value := header(req, "p-asserted-identity", "")
	if value == "" {
		return ""
	}
	first, _, _ := strings.Cut(value, ">,")
	if first != value {
		first += ">"
	}
	var uri gosip.Uri
	if _, err := parseAddress(first, &uri, nil); err != nil {
		return ""
	}
	return uriUser(&uri)
}

// written gives a number as the trunk wants it in an address.
func (t *trunk) written(n string) string {
	full := number.International(n, t.Country)
	switch t.Dial {
	case "national":
		return number.National(full, t.Country)
	case "e164":
		return strings.TrimPrefix(full, "+")
	default:
		return full
	}
}

// identify writes who calls into a target: a caller who withholds his number is
// anonymous to everybody, and known to a trunk that is trusted.
func (t *trunk) identify(target *Target, from string, withheld bool) {
	if from == "" {
		from = t.Username
	} else {
		from = t.written(from)
	}
	if t.Trusted && from != "" {
		id := gosip.Uri{Scheme: "sip", User: escapeUser(from), Host: t.ourHost()}
		target.Headers["P-Asserted-Identity"] = "<" + id.String() + ">"
	}
	target.From, target.FromHost = from, t.ourHost()
	if withheld {
		target.Display, target.From, target.FromHost = anonymousName, anonymousUser, anonymousHost
		target.Headers["Privacy"] = "id"
	}
}

// user is who we are to a trunk when nobody calls.
func (t *trunk) user() string {
	if t.Username != "" {
		return t.Username
	}
	return "bugle"
}

// ourHost is the host part of the addresses we call from.
func (t *trunk) ourHost() string {
	if t.Domain != "" {
		return t.Domain
	}
	return t.s.domain
}

// uri gives the address of a user at a trunk, or of the trunk itself, as it is
// written in a request to one of its hosts.
func (t *trunk) uri(user string, p hop) gosip.Uri {
	uri := gosip.Uri{Scheme: "sip", User: escapeUser(user), Host: t.Domain}
	if uri.Host == "" {
		uri.Host, uri.Port = p.host, p.port
		if strings.Contains(uri.Host, ":") {
			uri.Host = "[" + uri.Host + "]"
		}
	}
	if t.Transport != "udp" {
		uri.UriParams = gosip.HeaderParams{{K: "transport", V: t.Transport}}
	}
	return uri
}

// wait says how long a trunk's caller who found no room is asked to wait.
func (t *trunk) wait() gosip.Header {
	secs := busyRetry
	if t.MaxCalls == 0 {
		secs = 1 // only calls a second are limited
	}
	return gosip.NewHeader("Retry-After", strconv.Itoa(secs))
}
