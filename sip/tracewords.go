package sip

import (
	"net/netip"
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

// suffixes are what makers put behind their name without a space.
var suffixes = map[string]bool{"": true, "sdk": true, "mod_sofia": true, "pbx": true, "desktop": true, "mobile": true, "pro": true, "vvx": true, "ua": true}

// Shapes of what a phone writes about itself and not about its owner: a version, a model. Of
// the letters in them none make a word but those that all versions have.
var (
	versionShape = regexp.MustCompile(`^[vV]?\d{1,4}([.~+_-](\d{1,12}|(alpha|beta|dev|git|pre|rc|release)\d{0,8}|g?[0-9a-f]{3,12})[a-z]?){0,8}$`)
	modelShape   = regexp.MustCompile(`^((SIP|CP|IP)-)?[A-Z]{1,3}\d{1,4}[A-Z]{0,3}$`)
)

// product shows what a phone or server calls itself, without what its owner may have
// called it.
func (m *masker) product(text string) string {
	return m.each(text, func(word string) string {
		if likeProduct(strings.Trim(word, "()")) {
			return hideRuns(word, likeNumber)
		}
		return ""
	})
}

func likeProduct(word string) bool {
	name, version, versioned := strings.Cut(word, "/")
	if versioned {
		return ofMaker(name) && versionShape.MatchString(version)
	}
	return makers[strings.ToLower(word)] || strings.Contains(word, ".") && versionShape.MatchString(word) || modelShape.MatchString(word)
}

// ofMaker reports whether a product's name is a maker's: Linphone, LinphoneAndroid,
// FreeSWITCH-mod_sofia. Anybody can call his phone Jane/1.0.
func ofMaker(name string) bool {
	name = strings.ToLower(name)
	for i := 2; i <= len(name); i++ {
		if rest := strings.TrimLeft(name[i:], "-_"); makers[name[:i]] && (suffixes[rest] || ofModels(rest)) {
			return true
		}
	}
	return false
}

// ofModels reports whether what follows a maker's name are models, and nobody's name.
func ofModels(rest string) bool {
	for word := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '-' || r == '_' }) {
		if !suffixes[word] && !makers[word] && !modelShape.MatchString(strings.ToUpper(word)) && (len(word) > 4 || !only(word, isDigit)) {
			return false
		}
	}
	return true
}

// closedWords are what may stand in headers that have registered values only (RFC 3261
// section 20.26, 3323, 3325, 3841, 5009, 5373, 7090).
var closedWords = func() map[string]bool {
	known := make(map[string]bool)
	for word := range strings.FieldsSeq(`emergency urgent normal non-urgent psap-callback header session user none critical id history
		sendrecv sendonly recvonly inactive gated supported auto manual
		proxy redirect cancel no-cancel fork no-fork recurse no-recurse parallel sequential queue no-queue`) {
		known[word] = true
	}
	return known
}()

// closed shows of a list what closedWords has.
func (m *masker) closed(value string) string {
	return m.listedIf(value, func(word string) bool { return closedWords[strings.ToLower(word)] })
}

// languageShape is a language of two letters, and its script and country if they are told
// (RFC 5646).
var languageShape = regexp.MustCompile(`^(\*|[A-Za-z]{2}(-(?i:Latn|Cyrl|Arab|Hans|Hant))?(-([A-Za-z]{2}|\d{3}))?)$`)

// languages shows languages, and nothing longer that somebody may be called.
func (m *masker) languages(value string) string { return m.listedIf(value, languageShape.MatchString) }

// listedIf shows of a list what is known to be harmless, without unknown parameters.
func (m *masker) listedIf(value string, harmless func(word string) bool) string {
	var all []string
	for part := range splitOutside(value, ',') {
		for i, word := range strings.Split(part, ";") {
			word = strings.TrimSpace(word)
			weight, weighs := strings.CutPrefix(word, "q=")
			if i == 0 && !harmless(word) || i > 0 && !harmless(word) && !(weighs && weightShape.MatchString(weight)) {
				m.note(word)
				word = hidden
			}
			if i > 0 {
				all[len(all)-1] += ";" + word
			} else {
				all = append(all, word)
			}
		}
	}
	return strings.Join(all, ", ")
}

var weightShape = regexp.MustCompile(`^[01](\.\d{0,3})?$`)

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

// warning shows a code, the address of who warns, and of what (RFC 3261 section 20.43): he may
// call himself what he likes.
func (m *masker) warning(value string) string {
	var all []string
	for part := range splitOutside(value, ',') {
		code, rest, _ := strings.Cut(strings.TrimSpace(part), " ")
		if len(code) != 3 || !only(code, isDigit) {
			code = hidden
		}
		agent, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
		all = append(all, strings.TrimSpace(code+" "+warner(agent)+` "`+m.phrase(strings.Trim(strings.TrimSpace(text), `"`))+`"`))
	}
	return strings.Join(all, ", ")
}

// warner shows an address, and ourselves. The zone of an address can be any word.
func warner(agent string) string {
	_, noPort := netip.ParseAddr(strings.Trim(agent, "[]"))
	_, withPort := netip.ParseAddrPort(agent)
	if agent == "bugle" || (noPort == nil || withPort == nil) && !strings.Contains(agent, "%") {
		return agent
	}
	return hidden
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
