package sip

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	gosip "github.com/emiago/sipgo/sip"
)

// The border: what of one far end's message may get further than the answer to it,
// that is to the other leg of its call, to a log, an event, a figure or the store.
// This is all:
//
//   - the dialled number and the caller's, as uriUser reads them;
//   - of headers nothing by itself: the room above reads what it asks for by
//     Leg.Header, and may send what passes lets through;
//   - Refer-To and Referred-By, as URIs that cleanURI admits;
//   - what ended a leg: the status, its phrase, a Cause, shortened by shown;
//   - keys of an INFO, by ParseInfoKey; of descriptions nothing: the session reads
//     them and writes its own;
//   - of a REGISTER the Contact, Path, instance and name of a phone, to the store.
//
// CR, LF, NUL and other control characters stop here twice. What comes with one is
// dropped or refused (plausible, safe), but for display names, which are mended. What
// goes out passes encode, the one place where messages are written, which refuses a
// message whose head is not the lines it was made of.

// Limits of what is passed on.
const (
	maxUser  = 128 // of a user part: numbers and agents' names are shorter
	maxName  = 128 // of a display name
	maxWords = 128 // of a phrase or a phone's name, for the record
	maxValue = 1024
)

// passes is the list of headers that rooms above may add to a request.
func passes(name string) bool {
	switch n := strings.ToLower(name); n {
	case "alert-info", "call-info", "p-asserted-identity", "privacy", "geolocation", "geolocation-routing":
		return true
	default:
		return strings.HasPrefix(n, "x-") && len(n) > 2 && len(n) <= maxName && strings.IndexFunc(n, func(r rune) bool {
			return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
		}) < 0
	}
}

// clean reports whether a value can stand in a header line: no control character
// but a tab, and UTF-8.
func clean(s string) bool {
	high := false
	for i := range len(s) {
		if isControl(s[i]) {
			return false
		}
		high = high || s[i] >= utf8.RuneSelf
	}
	return !high || utf8.ValidString(s)
}

func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// shown makes a text from outside fit to be kept and shown: at most n bytes of UTF-8
// without control characters.
func shown(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	for len(s) > n {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}

// displayName makes a name fit for a quoted string.
func displayName(s string) string { return shown(unquoted.Replace(s), maxName) }

// Made once: a replacer is a table of some kilobytes.
var unquoted = strings.NewReplacer(`"`, "", `\`, "")

// quotable reports whether a display name can stand between quotes as it is.
func quotable(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return false
		case '\\':
			if i++; i == len(s) {
				return false
			}
		}
	}
	return clean(s)
}

// parseURI is sipgo's, mended.
func parseURI(text string, u *gosip.Uri) error {
	err := gosip.ParseUri(text, u)
	mendURI(u)
	return err
}

// parseAddress is sipgo's ParseAddressValue, mended.
func parseAddress(text string, u *gosip.Uri, params *gosip.HeaderParams) (name string, err error) {
	name, err = gosip.ParseAddressValue(text, u, params)
	mendURI(u)
	return name, err
}

// mendURI takes a URI's headers out of its last parameter, if that has no value:
// sipgo reads "lr?Route=x" as headers, and as a parameter too.
func mendURI(u *gosip.Uri) {
	if i := len(u.UriParams) - 1; i >= 0 {
		p := &u.UriParams[i]
		if name, _, found := strings.Cut(p.K, "?"); found {
			p.K, p.V = name, ""
		}
	}
}

// cleanURI reports whether a URI can stand in <> or in a request line.
func cleanURI(u *gosip.Uri) bool {
	return cleanPart(u.Scheme) && cleanPart(u.User) && cleanPart(u.Password) && cleanPart(u.Host) && cleanPart(u.Raw()) &&
		cleanParts(u.UriParams) && cleanParts(u.Headers)
}

func cleanPart(s string) bool { return !strings.ContainsAny(s, " \t<>\"") && clean(s) }

func cleanParts(ps gosip.HeaderParams) bool {
	for _, p := range ps {
		if !cleanPart(p.K) || !cleanPart(p.V) {
			return false
		}
	}
	return true
}

// cleanParams reports whether the parameters of a header are its own: what ends a URI
// stands in quotes that are closed.
func cleanParams(ps gosip.HeaderParams) bool {
	for _, p := range ps {
		v, quoted := p.V, len(p.V) > 1 && p.V[0] == '"' && p.V[len(p.V)-1] == '"'
		if quoted {
			v = v[1 : len(v)-1]
		}
		if !cleanPart(p.K) || !quotable(v) || !quoted && strings.ContainsAny(v, "<>") {
			return false
		}
	}
	return true
}

// allCleanURI is clean of each part of a URI: to write it down for that would cost
// more than to read it.
func allCleanURI(u *gosip.Uri) bool {
	return clean(u.Scheme) && clean(u.Raw()) && clean(u.User) && clean(u.Password) && clean(u.Host) &&
		allClean(u.UriParams) && allClean(u.Headers)
}

func allClean(ps gosip.HeaderParams) bool {
	for _, p := range ps {
		if !clean(p.K) || !clean(p.V) {
			return false
		}
	}
	return true
}

// safe reports whether a message has no control character in its head, and UTF-8
// where an answer would repeat it. It is asked after tidy.
func safe(m gosip.Message) bool {
	if req, ok := m.(*gosip.Request); ok && !(clean(string(req.Method)) && allCleanURI(&req.Recipient)) {
		return false
	}
	for _, h := range m.(headed).Headers() {
		ok := true
		switch h := h.(type) {
		case *gosip.FromHeader:
			ok = clean(h.DisplayName) && allCleanURI(&h.Address) && allClean(h.Params)
		case *gosip.ToHeader:
			ok = clean(h.DisplayName) && allCleanURI(&h.Address) && allClean(h.Params)
		case *gosip.ContactHeader:
			ok = clean(h.DisplayName) && allCleanURI(&h.Address) && allClean(h.Params)
		case *gosip.ViaHeader:
			ok = clean(h.ProtocolName) && clean(h.ProtocolVersion) && clean(h.Host) && clean(h.Transport) && allClean(h.Params)
		case *gosip.CSeqHeader:
			ok = clean(string(h.MethodName))
		case *gosip.MaxForwardsHeader, *gosip.ContentLengthHeader:
		case *gosip.CallIDHeader, *gosip.RecordRouteHeader:
			ok = clean(h.Value())
		default: // not repeated: other alphabets may pass, to be ignored
			ok = strings.IndexFunc(h.Value(), func(r rune) bool { return r < 0x80 && isControl(byte(r)) }) < 0
		}
		if !ok {
			return false
		}
	}
	return true
}

// addressed reports whether the addresses of a message can be used in ours.
func addressed(m gosip.Message) bool {
	for _, h := range m.(headed).Headers() {
		ok := true
		switch h := h.(type) {
		case *gosip.FromHeader:
			ok = cleanURI(&h.Address) && cleanParams(h.Params)
		case *gosip.ToHeader:
			ok = cleanURI(&h.Address) && cleanParams(h.Params)
		case *gosip.ContactHeader:
			ok = cleanURI(&h.Address) && cleanParams(h.Params)
		case *gosip.RecordRouteHeader:
			ok = cleanURI(&h.Address)
		}
		if !ok {
			return false
		}
	}
	return true
}

var errUnclean = errors.New("a header of the message would not stay in its line")

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// encode writes a message down and gives it to send, unless something in its head
// would be more than its part of a line. Send must not keep it.
func encode(m gosip.Message, send func([]byte) error) error {
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	m.StringWrite(b)
	if !inLines(b.Bytes(), 1+len(m.(headed).Headers())) {
		return errUnclean
	}
	return send(b.Bytes())
}

// inLines reports whether a message's head is so many lines of UTF-8 without a
// control character.
func inLines(message []byte, lines int) bool {
	head, _, ended := bytes.Cut(message, []byte("\r\n\r\n"))
	if !ended || bytes.Count(head, []byte("\r\n")) != lines-1 || !utf8.Valid(head) {
		return false
	}
	controls := 0
	for _, c := range head {
		if isControl(c) {
			controls++
		}
	}
	return controls == 2*(lines-1) // those of the line ends
}
