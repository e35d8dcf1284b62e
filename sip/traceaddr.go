package sip

import (
	"iter"
	"net/netip"
	"net/url"
	"strings"
)

// shownParams are parameters of addresses, of headers that carry addresses, and of
// Via, whose values say nothing about a person.
var shownParams = func() map[string]bool {
	shown := make(map[string]bool)
	for name := range strings.FieldsSeq(`tag to-tag from-tag branch rport received maddr ttl alias transport lr ob user method comp q expires
		reg-id reason counter privacy screen party index early-only limit cause refresher id handling charset version`) {
		shown[name] = true
	}
	return shown
}()

// wordParams are those of them whose values are words or small numbers: what is more like
// a telephone number is not what they are for.
var wordParams = func() map[string]bool {
	words := make(map[string]bool)
	for name := range strings.FieldsSeq(`user method reason privacy screen party limit cause refresher handling charset version`) {
		words[name] = true
	}
	return words
}()

// shownUsers are user parts that every system has.
var shownUsers = map[string]bool{"": true, "bugle": true, anonymousUser: true, "unknown": true, "restricted": true, "unavailable": true, "*": true}

// addresses masks a header that is a list of addresses, with display names and
// parameters (RFC 3261 section 20.10), whatever stands in it.
func (m *masker) addresses(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); {
		rest := value[i:]
		n := 1
		switch c := rest[0]; c {
		case ' ', '\t', ',':
			b.WriteByte(c)
		case '"':
			n = quotedEnd(rest)
			m.note(rest[:n])
			b.WriteString(`"` + hidden + `"`)
		case '<':
			if n = strings.IndexByte(rest, '>') + 1; n == 0 {
				n = len(rest)
			}
			b.WriteString("<" + m.uri(strings.Trim(rest[:n], "<>")) + ">")
		case ';':
			n = outside(rest, ",")
			b.WriteString(m.params(rest[1:n]))
		default:
			n = max(1, outside(rest, "<;, \t"))
			b.WriteString(m.word(rest[:n]))
		}
		i += n
	}
	return b.String()
}

// word masks what stands outside of brackets and quotes: an address, or a part of a
// display name.
func (m *masker) word(w string) string {
	switch {
	case w == "*":
		return w
	case strings.Contains(w, ":"):
		return m.uri(w)
	}
	m.note(w)
	return hidden
}

// uri masks an address: who, unless it is somebody of ours, but not where.
func (m *masker) uri(uri string) string {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(uri), ":")
	lower := strings.ToLower(scheme)
	switch {
	case !ok || !only(lower, isLetter):
		m.note(uri)
		return hidden
	case lower == "tel":
		number, params, _ := strings.Cut(rest, ";")
		return scheme + ":" + m.user(number) + m.params(params)
	case lower == "urn" && strings.HasPrefix(rest, "service:") && only(rest, func(c byte) bool { return isLetter(c) || c == ':' || c == '.' }):
		return scheme + ":" + rest // of an emergency (RFC 5031)
	case lower != "sip" && lower != "sips":
		m.note(rest)
		return hidden
	}
	var b strings.Builder
	b.WriteString(scheme + ":")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		b.WriteString(m.user(rest[:i]) + "@")
		rest = rest[i+1:]
	}
	rest, headers, _ := strings.Cut(rest, "?")
	host, params, _ := strings.Cut(rest, ";")
	b.WriteString(m.host(host) + m.params(params))
	if headers != "" {
		b.WriteString("?" + hidden)
	}
	return b.String()
}

// user masks the user part of an address: of a number that is not ours the last two
// digits are left, as in the log.
func (m *masker) user(user string) string {
	name, _, _ := strings.Cut(user, ";")
	name, _, _ = strings.Cut(name, ":") // a password follows
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	if shownUsers[strings.ToLower(name)] || m.ours(name) {
		if name == user {
			return visible(name)
		}
		return visible(name) + hidden
	}
	m.note(user)
	n := len(name)
	if n > 4 && only(name, func(c byte) bool { return isDigit(c) || strings.IndexByte("+-.()*#", c) >= 0 }) && only(name[n-2:], isDigit) {
		return hidden + name[n-2:]
	}
	return hidden
}

// host shows a host with its port, unless it is rather a number.
func (m *masker) host(host string) string {
	host = strings.TrimSpace(host)
	if _, err := netip.ParseAddrPort(host); err == nil {
		return host
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && !strings.Contains(host, "%") {
		return host
	}
	named := strings.ContainsFunc(host, func(r rune) bool { return r < 0x80 && isLetter(byte(r)) })
	if !named || !only(host, func(c byte) bool { return isLetter(c) || isDigit(c) || strings.IndexByte(".-_:[]", c) >= 0 }) {
		m.note(host)
		return m.nothing(host)
	}
	return hideRuns(host, likeNumber)
}

// params masks parameters, and puts the semicolons back.
func (m *masker) params(params string) string {
	return m.paramsOr(params, func(string, string) string { return hidden })
}

// paramsOr is params, with the values of those that are not known to be harmless as
// other has them.
func (m *masker) paramsOr(params string, other func(name, value string) string) string {
	if params == "" {
		return ""
	}
	var b strings.Builder
	for p := range splitOutside(params, ';') {
		name, value, has := strings.Cut(strings.TrimSpace(p), "=")
		name = strings.TrimSpace(name)
		switch {
		case !isName(name):
			b.WriteString(";" + m.nothing(name))
		case !has:
			b.WriteString(";" + name)
		case wordParams[strings.ToLower(name)] && !isName(strings.TrimSpace(value)):
			m.note(value)
			b.WriteString(";" + name + "=" + hidden)
		case shownParams[strings.ToLower(name)] && !strings.Contains(value, `"`):
			b.WriteString(";" + name + "=" + visible(value))
		default:
			b.WriteString(";" + name + "=" + other(strings.ToLower(name), strings.TrimSpace(value)))
		}
	}
	return b.String()
}

// Of a number that is hidden so many digits are noted, its last.
const (
	fewestNoted = 5
	mostNoted   = 7
)

// note remembers the digits of what is hidden, for sweep.
func (m *masker) note(s string) {
	eachRun(s, func(digits string, _, _ int) {
		if len(digits) >= fewestNoted {
			m.hidden[digits[max(0, len(digits)-mostNoted):]] = true
		}
	})
}

// sweep hides every run of digits in a text that ends like a number that was hidden
// elsewhere, or has such an end within it.
func (m *masker) sweep(text string) string {
	if len(m.hidden) == 0 {
		return text
	}
	return hideRuns(text, func(digits, _ string) bool {
		for n := fewestNoted; n <= mostNoted; n++ {
			for i := 0; i+n <= len(digits); i++ {
				if m.hidden[digits[i:i+n]] {
					return true
				}
			}
		}
		return false
	})
}

// likeNumber tells a telephone number from a version or a date: five digits in a row,
// or ten in all.
func likeNumber(digits, written string) bool {
	row, longest := 0, 0
	for i := range len(written) {
		if row++; !isDigit(written[i]) {
			row = 0
		}
		longest = max(longest, row)
	}
	return longest >= 5 || len(digits) >= 10
}

// hideRuns hides the runs of digits that hide says, which is given the digits alone
// and the run as it is written.
func hideRuns(text string, hide func(digits, written string) bool) string {
	var b strings.Builder
	done := 0
	eachRun(text, func(digits string, from, to int) {
		if hide(digits, text[from:to]) {
			b.WriteString(text[done:from] + hidden)
			done = to
		}
	})
	if done == 0 {
		return text
	}
	return b.String() + text[done:]
}

// eachRun finds runs of digits, with what people and URIs write within a number: dots,
// hyphens, brackets, blanks, and digits escaped as %34.
func eachRun(s string, found func(digits string, from, to int)) {
	var digits []byte
	from, to := 0, 0
	end := func() {
		if len(digits) > 0 {
			found(string(digits), from, to)
		}
		digits = digits[:0]
	}
	for i := 0; i < len(s); i++ {
		c, start := s[i], i
		if c == '%' && i+2 < len(s) && s[i+1] == '3' && isDigit(s[i+2]) {
			i += 2
			c = s[i]
		}
		switch {
		case isDigit(c):
			if len(digits) == 0 {
				from = start
			}
			digits = append(digits, c)
			to = i + 1
		case strings.IndexByte(" -.()/", c) < 0:
			end()
		}
	}
	end()
}

// visible writes what cannot be printed, and what is not ASCII, as \x1b.
func visible(s string) string {
	if only(s, func(c byte) bool { return c >= ' ' && c < 0x7f }) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			const hex = "0123456789abcdef"
			b.WriteString(`\x` + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// quotedEnd gives the length of the quoted string at the beginning of s, to the end
// of s if it has none.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// outside gives the place of the first of these characters that is not within quotes,
// the length of s if there is none.
func outside(s, chars string) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			i += quotedEnd(s[i:]) - 1
		case strings.IndexByte(chars, s[i]) >= 0:
			return i
		}
	}
	return len(s)
}

// splitOutside splits at a character where it is not within quotes.
func splitOutside(s string, at byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			i := outside(s, string(at))
			if !yield(s[:i]) || i >= len(s) {
				return
			}
			s = s[i+1:]
		}
	}
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isMethod reports whether a word may be a method or the name of a scheme of proof.
func isMethod(s string) bool {
	return s != "" && len(s) <= 32 && only(s, func(c byte) bool { return isLetter(c) || c == '-' || c == '_' })
}

// isName reports whether a word may be the name of a header, parameter or attribute,
// and is no number.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && countDigits(s) < 5 && only(s, func(c byte) bool {
		return isLetter(c) || isDigit(c) || strings.IndexByte("-.!%*_+`'~", c) >= 0
	})
}

func only(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func countDigits(s string) int {
	n := 0
	for i := range len(s) {
		if isDigit(s[i]) {
			n++
		}
	}
	return n
}
