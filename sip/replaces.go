package sip

import (
	"fmt"
	"net/url"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// Replaces names the dialog of somebody whose place a new call takes (RFC 3891):
// by its Call-ID and tags, To being the tag of whoever is asked to replace.
type Replaces struct {
	CallID    string
	ToTag     string
	FromTag   string
	EarlyOnly bool // only as long as it is not answered
}

// String gives the value of a Replaces header.
func (r Replaces) String() string {
	v := r.CallID + ";to-tag=" + r.ToTag + ";from-tag=" + r.FromTag
	if r.EarlyOnly {
		v += ";early-only"
	}
	return v
}

// maxReplaces is the longest Replaces that is read.
const maxReplaces = 512

// ParseReplaces reads the value of a Replaces header, strictly: a Call-ID and each
// tag once, and nothing else that is not a parameter (RFC 3891 section 6.1).
func ParseReplaces(v string) (Replaces, error) {
	if len(v) > maxReplaces || !clean(v) {
		return Replaces{}, fmt.Errorf("Replaces is too long or has a control character")
	}
	id, params, _ := strings.Cut(v, ";")
	r := Replaces{CallID: strings.TrimSpace(id)}
	if !isWord(r.CallID) {
		return Replaces{}, fmt.Errorf("Replaces has no Call-ID")
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		value = strings.TrimSpace(value)
		slot := (*string)(nil)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "to-tag":
			slot = &r.ToTag
		case "from-tag":
			slot = &r.FromTag
		case "early-only":
			r.EarlyOnly = true
		}
		if slot == nil {
			continue
		}
		if *slot != "" || !isWord(value) {
			return Replaces{}, fmt.Errorf("Replaces has a tag twice or an empty one")
		}
		*slot = value
	}
	if r.ToTag == "" || r.FromTag == "" {
		return Replaces{}, fmt.Errorf("Replaces lacks a tag")
	}
	return r, nil
}

// isWord reports whether a string can be a Call-ID or tag: what is left to it by
// the grammar that never needs quoting.
func isWord(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`,;"<>`, r) }) < 0
}

// Dialog names the leg's dialog as a third party has to, that is to take our place
// at the far end: it calls the far end with this as Replaces, perhaps sent there
// by REFER.
func (l *Leg) Dialog() Replaces {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Replaces{CallID: string(l.dlg.callID), ToTag: l.dlg.remoteTag, FromTag: l.dlg.localTag}
}

// Replaces gives the leg whose place an inbound leg asks to take, nil if none
// (RFC 3891). The caller is not proved to be entitled to it: whoever answers
// decides, and then ends the other leg.
func (l *Leg) Replaces() *Leg { return l.who.replaces }

// Find gives the leg a Replaces names, as it came from outside: with our tag as
// to-tag. Nil is none.
func (s *Server) Find(r Replaces) *Leg {
	l := s.legs.get(r.CallID, r.ToTag)
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == legCalling {
		for _, f := range l.out.forks {
			if f.dlg.remoteTag == r.FromTag {
				return l
			}
		}
	}
	if l.dlg.remoteTag != r.FromTag {
		return nil
	}
	return l
}

// replaced finds the leg that a new INVITE wants to replace (RFC 3891 section 3).
func (s *Server) replaced(req *gosip.Request) (*Leg, *fault) {
	hs := headersOf(req, "replaces", "")
	if len(hs) == 0 {
		return nil, nil
	}
	if len(hs) > 1 {
		return nil, refusal(400)
	}
	r, err := ParseReplaces(hs[0].Value())
	if err != nil {
		return nil, refusal(400)
	}
	l := s.Find(r)
	if l == nil {
		return nil, refusal(481)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state >= legEnding:
		return nil, refusal(603)
	case l.state == legOffered || l.state == legAnswering: // early, and not of our making
		return nil, refusal(481)
	case r.EarlyOnly && l.state != legCalling:
		return nil, refusal(486)
	}
	return l, nil
}

// uriReplaces reads the Replaces that a URI brings as a header, escaped.
func uriReplaces(u *gosip.Uri) (*Replaces, error) {
	var found *Replaces
	for _, h := range u.Headers {
		if !strings.EqualFold(h.K, "replaces") {
			continue
		}
		v, err := url.PathUnescape(h.V)
		if err != nil {
			return nil, fmt.Errorf("Replaces is escaped wrongly: %w", err)
		}
		r, err := ParseReplaces(v)
		if err != nil {
			return nil, err
		}
		if found != nil {
			return nil, fmt.Errorf("two Replaces")
		}
		found = &r
	}
	return found, nil
}
