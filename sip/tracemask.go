package sip

import (
	"bytes"
	"fmt"
	"strings"
)

// hidden stands where something is not shown.
const hidden = "…"

// masker makes messages fit to be read by who looks for a fault: who calls, what he
// is called, how he proves who he is, the keys of his sound and what he dials or
// writes do not show. It shows what it knows to be harmless and hides the rest, so a
// header nobody has thought of tells nothing.
//
// The numbers it has hidden it remembers, and looks for them once more in all that is
// shown (sweep): a phone may have put its own into a Call-ID.
type masker struct {
	ours   func(user string) bool // numbers of ours, agents: they may be shown
	hidden map[string]bool        // the last digits of each number that is not
}

func newMasker(ours func(string) bool) *masker {
	return &masker{ours: ours, hidden: make(map[string]bool)}
}

// message gives a message's first line in short, its CSeq's method, and its text.
func (m *masker) message(raw []byte) (title, method, text string) {
	head, body := splitMessage(raw)
	lines := unfold(head)
	first, rest := lines[0], lines[1:]
	title, first = m.startLine(first)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", first)
	contentType := ""
	for _, line := range rest {
		name, shown := m.header(line)
		fmt.Fprintf(&b, "%s\n", shown)
		_, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); name {
		case "content-type":
			contentType = value
		case "cseq":
			if f := strings.Fields(value); len(f) == 2 && isMethod(f[1]) {
				method = f[1]
			}
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&b, "\n%s", m.body(contentType, body))
	}
	return title, method, b.String()
}

// splitMessage gives a message's head and body.
func splitMessage(raw []byte) (head string, body []byte) {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if h, b, ok := bytes.Cut(raw, []byte(end)); ok {
			return string(h), b
		}
	}
	return string(raw), nil
}

// unfold gives a head's lines, at least one, those that go on put together (RFC 3261
// section 7.3.1).
func unfold(head string) []string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(head, "\r\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if len(lines) > 1 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			lines[len(lines)-1] += line
		} else {
			lines = append(lines, line)
		}
	}
	return lines
}

// startLine masks the first line, and gives it in short: "INVITE", "200 OK".
func (m *masker) startLine(line string) (title, shown string) {
	if rest, ok := strings.CutPrefix(line, "SIP/2.0 "); ok {
		code, reason, _ := strings.Cut(rest, " ")
		if len(code) != 3 || !only(code, isDigit) {
			return "response", "SIP/2.0 " + hidden
		}
		title = strings.TrimSpace(code + " " + m.phrase(reason))
		return title, "SIP/2.0 " + title
	}
	method, rest, _ := strings.Cut(line, " ")
	if !isMethod(method) {
		return "malformed", fmt.Sprintf("%s (%d bytes that are no first line of SIP)", hidden, len(line))
	}
	uri, version := rest, ""
	if i := strings.LastIndexByte(rest, ' '); i >= 0 && strings.HasPrefix(rest[i+1:], "SIP/") {
		uri, version = rest[:i], rest[i+1:]
		if len(version) > len("SIP/10.10") || !only(version[4:], func(c byte) bool { return isDigit(c) || c == '.' }) {
			version = "SIP/" + hidden
		}
	}
	return method, strings.TrimSpace(method + " " + m.uri(uri) + " " + version)
}

// header masks a header line, and gives its name in full and small letters.
func (m *masker) header(line string) (name, shown string) {
	written, value, ok := strings.Cut(line, ":")
	written = strings.TrimRight(written, " \t")
	if !ok || !isName(written) {
		return "", fmt.Sprintf("%s (%d bytes that are no header)", hidden, len(line))
	}
	name = strings.ToLower(written)
	if full, short := compactNames[name]; short {
		name = full
	}
	mask := headerMasks[name]
	if mask == nil {
		mask = (*masker).nothing
	}
	return name, written + ": " + mask(m, strings.TrimSpace(value))
}

var compactNames = map[string]string{
	"a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding", "f": "from",
	"i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact", "o": "event", "r": "refer-to",
	"s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}

// headerMasks says how a header's value is shown; of any other, nothing is.
var headerMasks = func() map[string]func(*masker, string) string {
	masks := make(map[string]func(*masker, string) string)
	for _, of := range []struct {
		mask  func(*masker, string) string
		names string
	}{
		{(*masker).addresses, `from to contact route record-route path service-route p-asserted-identity p-preferred-identity
			remote-party-id p-called-party-id p-associated-uri diversion history-info refer-to referred-by reply-to`},
		{(*masker).plain, `call-id cseq max-forwards allow supported require proxy-require unsupported content-length expires min-expires
			session-expires min-se rseq rack date retry-after timestamp mime-version refer-sub replaces target-dialog join flow-timer
			x-edge-source`},
		{(*masker).tokens, `content-type content-disposition content-encoding event allow-events subscription-state accept accept-encoding`},
		{(*masker).closed, `priority privacy p-early-media answer-mode request-disposition`},
		{(*masker).languages, `accept-language content-language`},
		{(*masker).product, `user-agent server`},
		{(*masker).reason, `reason`},
		{(*masker).warning, `warning`},
		{(*masker).via, `via`},
		{(*masker).challenge, `www-authenticate proxy-authenticate authorization proxy-authorization authentication-info`},
	} {
		for name := range strings.FieldsSeq(of.names) {
			masks[name] = of.mask
		}
	}
	return masks
}()

// nothing says only that there was something.
func (m *masker) nothing(value string) string {
	if value == "" {
		return ""
	}
	return hidden
}

// plain shows a value that is harmless.
func (m *masker) plain(value string) string { return visible(value) }

// via shows the way a message came: hosts and ports, but no unknown parameters.
func (m *masker) via(value string) string {
	var hops []string
	for hop := range strings.SplitSeq(value, ",") {
		sent, params, _ := strings.Cut(hop, ";")
		fields := strings.Fields(sent)
		for i, f := range fields {
			if i == len(fields)-1 && i > 0 {
				fields[i] = m.host(f)
			} else if !only(f, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '/' || c == '.' }) || countDigits(f) > 3 {
				fields[i] = hidden
			}
		}
		hops = append(hops, strings.Join(fields, " ")+m.params(params))
	}
	return strings.Join(hops, ", ")
}

// challenge shows which proof was asked for or given, and nothing that would help to
// guess a password.
func (m *masker) challenge(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	if !isMethod(scheme) {
		return hidden
	}
	var parts []string
	for part := range splitOutside(rest, ',') {
		name, v, _ := strings.Cut(part, "=")
		name, v = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(v)
		inner := strings.Trim(v, `"`)
		switch name {
		case "realm":
			v = `"` + m.host(inner) + `"`
		case "username":
			v = `"` + m.user(inner) + `"`
		case "uri":
			v = `"` + m.uri(inner) + `"`
		case "algorithm", "qop", "stale", "nc":
			if v = visible(v); len(v) > 16 {
				v = hidden
			}
		case "nonce", "cnonce", "response", "opaque", "nextnonce", "rspauth":
			v = hidden
		default:
			parts = append(parts, hidden)
			continue
		}
		parts = append(parts, name+"="+v)
	}
	return scheme + " " + strings.Join(parts, ", ")
}

// body shows a session description without its keys, and of a fragment of SIP (RFC
// 3420) what a message's head shows. Keys that were pressed, texts and places stay
// where they are: only their length is told.
func (m *masker) body(contentType string, body []byte) string {
	kind, _, _ := strings.Cut(contentType, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case sdpType:
		return m.description(string(body))
	case "message/sipfrag":
		_, _, text := m.message(body)
		return text
	}
	major, minor, ok := strings.Cut(kind, "/")
	if !ok || !isName(major) || !isName(minor) {
		kind = "something"
	}
	return fmt.Sprintf("(%d bytes of %s, not shown)\n", len(body), kind)
}
