package sip

import (
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// Info is the content of a SIP INFO.
type Info struct {
	ContentType string // lower-case, without parameters
	Body        []byte
}

// info hands an INFO to the room above. Who does not listen loses it: the
// dialog is not the poorer.
func (l *Leg) info(tx *serverTx, req *gosip.Request) {
	l.reply(tx, req, 200, nil)
	if len(req.Body()) == 0 {
		return
	}
	select {
	case l.infos <- Info{mediaType(req), req.Body()}:
	default:
		l.s.metrics.drop(dropBusy)
	}
}

// ParseInfoKey reads the key of an INFO, as phones send it: the body is
// "Signal=5" and more (application/dtmf-relay), or just the key
// (application/dtmf). Keys are 0-9, *, #, A-D.
func ParseInfoKey(i Info) (rune, bool) {
	body := string(i.Body)
	switch i.ContentType {
	case "application/dtmf":
		return infoKey(strings.TrimSpace(body))
	case "application/dtmf-relay":
		for line := range strings.Lines(body) {
			name, value, ok := strings.Cut(line, "=")
			if ok && strings.EqualFold(strings.TrimSpace(name), "signal") {
				return infoKey(strings.TrimSpace(value))
			}
		}
	}
	return 0, false
}

func infoKey(s string) (rune, bool) {
	switch s {
	case "10":
		return '*', true // as RFC 4733 numbers them
	case "11":
		return '#', true
	}
	if len(s) != 1 || !strings.Contains("0123456789*#ABCDabcd", s) {
		return 0, false
	}
	return rune(strings.ToUpper(s)[0]), true
}
