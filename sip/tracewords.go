package sip

import (
	"regexp"
	"strings"
)

// phraseWords are the words of the phrases that the RFCs have for a status and Q.850 for
// the end of a call, and of those that Bugle, its edge, common servers and phones write themselves.
// Any other word of a phrase may be somebody's name.
var phraseWords = func() map[string]bool {
	known := make(map[string]bool)
	for word := range strings.FieldsSeq(`trying ringing call is being forwarded queued session progress ok accepted no notification multiple
		choices moved permanently temporarily use proxy alternative service bad request unauthorized payment required forbidden not found
		method allowed acceptable authentication timeout time-out time out conflict gone length conditional failed entity too large uri
		request-uri long unsupported media type unknown resource-priority extension interval small brief location information identity
		header referrer anonymity disallowed flow max-breadth exceeded info-package unavailable call/transaction transaction does exist
		loop detected hops many address incomplete ambiguous busy here terminated event consent needed pending undecipherable security
		agreement server internal error implemented gateway version supported message precondition failure push everywhere decline
		declined rejected anywhere unwanted refused
		unallocated number route to destination channel unacceptable normal clearing user responding answer answering from subscriber absent
		changed out of order format unspecified circuit network temporary switching equipment congestion access discarded
		resource quality facility subscribed bearer capability authorized presently recovery on timer expiry protocol interworking
		elsewhere completed ended cancelled canceled hangup up hung calls node such scheme mismatch repeated character missing tag scheme
		incompatible available transport multicast unicast insufficient bandwidth attribute understood miscellaneous warning formats
		an record in the or and was with by expired a this at invalid description dropped rtp lost connection emergency transferred`) {
		known[word] = true
	}
	for _, phrase := range reasons {
		for word := range strings.FieldsSeq(strings.ToLower(phrase)) {
			known[word] = true
		}
	}
	return known
}()

// phrase shows of a text what phraseWords has.
func (m *masker) phrase(text string) string {
	return m.each(text, func(word string) string {
		if phraseWords[strings.ToLower(strings.Trim(word, ".,:;!"))] {
			return word
		}
		return ""
	})
}

// each shows the words of a text as show has them, and one mark where it has nothing.
func (m *masker) each(text string, show func(word string) string) string {
	var shown []string
	for word := range strings.FieldsSeq(text) {
		if as := show(word); as != "" {
			shown = append(shown, as)
			continue
		}
		m.note(word)
		if len(shown) == 0 || shown[len(shown)-1] != hidden {
			shown = append(shown, hidden)
		}
	}
	return strings.Join(shown, " ")
}

// makers are words without a version that servers and phones call themselves by.
var makers = func() map[string]bool {
	known := make(map[string]bool)
	for name := range strings.FieldsSeq(`acme asterisk audiocodes avaya avm baresip bria bugle cisco counterpath freepbx freeswitch grandstream
		gigaset jitsi kamailio linphone mediant metaswitch microsip mitel openser opensips oracle ovh patton pbx pjsua polycom poly ribbon sangoma sbc
		sems sip sipp sipura snom softphone sonus spectralink telephone telnyx twilio voip yealink zoiper
		android debian ios ipad iphone linux macos phone release ubuntu windows`) {
		known[name] = true
	}
	return known
}()

// Shapes of what a phone writes about itself and not about its owner: a version, a model,
// a product with its version.
var (
	versionShape = regexp.MustCompile(`^[vV]?\d{1,4}(\.[0-9A-Za-z_~+-]{1,12}){1,5}$`)
	modelShape   = regexp.MustCompile(`^[A-Z][A-Z-]{0,7}\d{1,4}[A-Z]{0,3}$`)
	productShape = regexp.MustCompile(`^[A-Za-z][A-Za-z_.+-]{0,30}/[vV]?\d{1,4}([.~+_-][0-9A-Za-z]{1,12}){0,8}$`)
)

// product shows what a phone or server calls itself, without what its owner may have
// called it.
func (m *masker) product(text string) string {
	return m.each(text, func(word string) string {
		if bare := strings.Trim(word, "()"); makers[strings.ToLower(bare)] || likeProduct(bare) {
			return hideRuns(word, likeNumber)
		}
		return ""
	})
}

func likeProduct(word string) bool {
	return versionShape.MatchString(word) || modelShape.MatchString(word) || productShape.MatchString(word)
}

// reason shows why a request was sent (RFC 3326).
func (m *masker) reason(value string) string {
	return m.listed(value, func(name, v string) string {
		switch text, quoted := strings.CutPrefix(v, `"`); {
		case name == "text" && quoted:
			return `"` + m.phrase(strings.TrimSuffix(text, `"`)) + `"`
		case name == "text":
			return m.phrase(v)
		}
		return hidden
	})
}

// warning shows a code, who warns, and of what (RFC 3261 section 20.43).
func (m *masker) warning(value string) string {
	var all []string
	for part := range splitOutside(value, ',') {
		code, rest, _ := strings.Cut(strings.TrimSpace(part), " ")
		if len(code) != 3 || !only(code, isDigit) {
			code = hidden
		}
		agent, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
		all = append(all, strings.TrimSpace(code+" "+m.host(agent)+` "`+m.phrase(strings.Trim(strings.TrimSpace(text), `"`))+`"`))
	}
	return strings.Join(all, ", ")
}

// tokens shows a list of words, or of types of content, with the parameters that say
// nothing about a person.
func (m *masker) tokens(value string) string {
	return m.listed(value, func(string, string) string { return hidden })
}

// listed is tokens, but for the parameters that are not known to be harmless.
func (m *masker) listed(value string, other func(name, value string) string) string {
	var all []string
	for part := range splitOutside(value, ',') {
		main, params, _ := strings.Cut(part, ";")
		main = strings.TrimSpace(main)
		major, minor, typed := strings.Cut(main, "/")
		if main != "" && (!isName(major) || typed && !isName(minor)) {
			m.note(main)
			main = hidden
		}
		all = append(all, main+m.paramsOr(params, other))
	}
	return strings.Join(all, ", ")
}
