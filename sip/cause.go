package sip

import (
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// Cause says why something ended, as a Reason header does (RFC 3326). The zero
// Cause says nothing.
type Cause struct {
	Protocol string // "SIP", where Code is a status, or "Q.850", a cause of the telephone network
	Code     int
	Text     string // in words; may be empty
}

// maxCauseText keeps what a stranger wrote short.
const maxCauseText = 64

// header gives the Reason header that says it, nil for the zero Cause.
func (c Cause) header() gosip.Header {
	if c.Protocol == "" {
		return nil
	}
	v := c.Protocol + ";cause=" + strconv.Itoa(c.Code)
	if c.Text != "" {
		v += `;text="` + displayName(c.Text) + `"`
	}
	return gosip.NewHeader("Reason", v)
}

// explain tells the far end, in the BYE or CANCEL that ends a leg so, why. What
// failed says so by itself.
func (e End) explain(req *gosip.Request) {
	cause := e.Cause
	if cause == (Cause{}) && e.By == ByFailure {
		cause = Cause{"SIP", e.Code, reasonOf(e.Code)}
	}
	if h := cause.header(); h != nil {
		req.AppendHeader(h)
	}
}

// causeOf reads the first cause a message gives by a protocol we know.
func causeOf(m headed) Cause {
	for _, h := range headersOf(m, "reason", "") {
		for _, v := range splitOutsideQuotes(h.Value(), ',') {
			if c, ok := parseCause(v); ok {
				return c
			}
		}
	}
	return Cause{}
}

func parseCause(v string) (Cause, bool) {
	parts := splitOutsideQuotes(v, ';')
	c := Cause{Protocol: strings.ToUpper(parts[0])}
	if c.Protocol != "SIP" && c.Protocol != "Q.850" {
		return Cause{}, false
	}
	known := false
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(p, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "cause":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return Cause{}, false
			}
			c.Code, known = int(n), true
		case "text":
			c.Text = shown(displayName(value), maxCauseText)
		}
	}
	return c, known
}

// splitOutsideQuotes splits a header's value at a separator that is not part of
// a quoted string, and trims the pieces.
func splitOutsideQuotes(s string, sep byte) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}
