package sip

import (
	"maps"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

// newParser makes a parser of messages: sipgo's, but for quoted strings in Via. An answer
// has to repeat those as they came (RFC 3261 section 8.2.6.2), and sipgo ends one at an escaped
// quote, and a Via at a comma within one.
func newParser() *gosip.Parser { return gosip.NewParser(gosip.WithHeadersParsers(headerParsers)) }

var headerParsers = func() gosip.HeadersParser {
	all := maps.Clone(gosip.DefaultHeadersParser())
	for _, name := range []string{"via", "v"} {
		theirs := all[name]
		all[name] = func(name []byte, text string) (gosip.Header, error) { return parseVia(theirs, name, text) }
	}
	return all
}()

// Marks stand for quoted strings while sipgo reads a Via: no message has them.
const (
	firstMark = 14
	maxMarks  = 18
)

// parseVia reads a Via, with tidy parameters. Its error is sipgo's: it may say where the next Via
// of the line begins.
func parseVia(read gosip.HeaderParser, name []byte, text string) (gosip.Header, error) {
	marked, quoted := markQuoted(text)
	h, err := read(name, marked)
	via, ok := h.(*gosip.ViaHeader)
	if !ok {
		return h, err
	}
	tidyParams(&via.Params)
	if len(quoted) == 0 {
		return h, err
	}
	for i, p := range via.Params {
		if p.V == "" || p.V[0] < firstMark || int(p.V[0]) >= firstMark+len(quoted) {
			continue
		}
		was := quoted[p.V[0]-firstMark]
		if len(p.V) != len(was) {
			continue // something stands beside it
		}
		if strings.ContainsAny(was, " \t") {
			was = was[1 : len(was)-1] // sipgo writes the quotes again
		}
		via.Params[i].V = was
	}
	if strings.ContainsFunc(via.Value(), func(r rune) bool { return r >= firstMark && r < firstMark+maxMarks }) {
		h, err = read(name, text) // quotes where none may stand are sipgo's to judge
		if via, ok := h.(*gosip.ViaHeader); ok {
			tidyParams(&via.Params)
		}
	}
	return h, err
}

// markQuoted puts marks of the same length in the place of the quoted strings of a text's first
// Via, and gives these with their quotes. What follows its comma is cut off: that is read by
// itself, and a line of thousands is not to be gone through for each. A Via without such strings, or
// with what may stand in none, is left alone.
func markQuoted(text string) (marked string, quoted []string) {
	end, open := len(text), -1
	for i := 0; i < end; i++ {
		switch c := text[i]; {
		case c < ' ' && c != '\t', open < 0 && (c == '\\' || c == '"' && len(quoted) == maxMarks):
			return text, nil
		case c == '\\':
			i++
		case c == '"' && open < 0:
			open = i
		case c == '"':
			quoted, open = append(quoted, text[open:i+1]), -1
		case c == ',' && open < 0:
			end = i + 1
		}
	}
	if open >= 0 || len(quoted) == 0 {
		return text, nil
	}
	marked = text[:end]
	for i, s := range quoted { // each is the first that is left
		marked = strings.Replace(marked, s, strings.Repeat(string(rune(firstMark+i)), len(s)), 1)
	}
	return marked, quoted
}
