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
		setup connection group mid ice-lite candidate end-of-candidates fingerprint silencesupp tool minptime`) {
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
			if user, rest, _ := strings.Cut(value, " "); user == "-" {
				value = "- " + visible(rest)
			} else {
				value = hidden + " " + visible(rest)
			}
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
	case shownAttributes[lower]:
		return name + ":" + visible(v)
	}
	return name + ":" + hidden
}
