package sip

import (
	"fmt"
	"strings"
)

// shownAttributes of a session description are those that say how sound is sent.
// Keys, passwords and names are in others.
var shownAttributes = func() map[string]bool {
	shown := make(map[string]bool)
	for name := range strings.FieldsSeq(`rtpmap fmtp ptime maxptime sendrecv sendonly recvonly inactive rtcp rtcp-mux rtcp-fb rtcp-rsize
		setup connection group mid ice-lite candidate end-of-candidates fingerprint silencesupp minptime`) {
		shown[name] = true
	}
	return shown
}()

// description masks a session description (RFC 8866).
func (m *masker) description(sdp string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(sdp, "\r\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		kind, value, ok := strings.Cut(line, "=")
		switch {
		case !ok || len(kind) != 1 || !isLetter(kind[0]):
			fmt.Fprintf(&b, "%s (%d bytes)\n", hidden, len(line))
			continue
		case strings.Contains("vtrzbcm", kind):
			value = visible(value)
		case kind == "o":
			value = m.origin(value)
		case kind == "a":
			value = m.attribute(value)
		case value != "-" && value != "":
			value = hidden
		}
		fmt.Fprintf(&b, "%s=%s\n", kind, value)
	}
	return b.String()
}

func (m *masker) attribute(value string) string {
	name, v, has := strings.Cut(value, ":")
	switch lower := strings.ToLower(name); {
	case !isName(name):
		return hidden
	case !has:
		return name
	case lower == "crypto": // RFC 4568: tag, suite, key
		shown := strings.Fields(v)
		for i := range shown {
			if i >= 2 {
				shown[i] = "inline:" + hidden
			} else {
				shown[i] = visible(shown[i])
			}
		}
		return name + ":" + strings.Join(shown[:min(3, len(shown))], " ")
	case lower == "tool":
		return name + ":" + m.product(v)
	case shownAttributes[lower]:
		return name + ":" + visible(v)
	}
	return name + ":" + hidden
}

// origin masks who has made a description, and of its numbers, which may be anybody's,
// what is not needed to tell one from the next.
func (m *masker) origin(value string) string {
	fields := strings.Fields(visible(value))
	for i, f := range fields {
		switch {
		case i == 0 && f != "-":
			fields[i] = hidden
		case (i == 1 || i == 2) && len(f) > 4:
			m.note(f)
			fields[i] = hidden + f[len(f)-2:]
		}
	}
	return strings.Join(fields, " ")
}
