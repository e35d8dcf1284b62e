package queue

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Skills are abilities with their levels, 1 to 5: those an agent has, or the
// least ones a visit needs. A language is one of them.
type Skills map[string]int

// String writes skills in the one form that equal skills share, which names
// an agent's profile and a visit's requirement in Redis: "claims:2,es:1".
func (s Skills) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(url.QueryEscape(name))
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(s[name]))
	}
	return b.String()
}

// group names the line a visit stands in: visits that any agent either fits
// all or none of, and that are counted together.
func group(v Visit) string {
	return url.QueryEscape(v.Queue) + "|" + url.QueryEscape(v.Language) + "|" + v.Requires.String()
}

// splitGroup gives the queue and the language of a group.
func splitGroup(group string) (queue, language string) {
	queue, rest, _ := strings.Cut(group, "|")
	language, _, _ = strings.Cut(rest, "|")
	queue, _ = url.QueryUnescape(queue)
	language, _ = url.QueryUnescape(language)
	return queue, language
}
