package store

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bugle-voice/bugle/config"
)

// Vocabulary is what an agent is held against: the languages and skills of the
// configuration, and the numbers it answers.
type Vocabulary struct{ Languages, Skills, Numbers []string }

// VocabularyOf gives that of a configuration.
func VocabularyOf(c *config.Config) Vocabulary {
	return Vocabulary{Languages: c.Languages, Skills: c.Skills, Numbers: slices.Sorted(maps.Keys(c.Numbers))}
}

// BadAgent is every mistake in what is said of an agent.
type BadAgent []string

// Error gives the mistakes, separated by semicolons.
func (b BadAgent) Error() string { return strings.Join(b, "; ") }

// Check says what keeps an agent from being put: a BadAgent, or nil.
func (v Vocabulary) Check(id string, a config.Agent) error {
	var bad BadAgent
	if what, remedy := v.id(id); what != "" {
		bad = append(bad, what+": "+remedy)
	}
	if a.Tier < 1 || a.Tier > 3 {
		bad = append(bad, fmt.Sprintf("tier is %d: it must be from 1 to 3", a.Tier))
	}
	if len(a.Languages) == 0 {
		bad = append(bad, "an agent who speaks no language fits no call")
	}
	bad = append(bad, checkLevels("language", a.Languages, v.Languages)...)
	bad = append(bad, checkLevels("skill", a.Skills, v.Skills)...)
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// ReadLevels reads skills and their levels as WriteLevels writes them; commas
// separate them too.
func ReadLevels(written string) (map[string]int, error) {
	m := map[string]int{}
	for _, word := range strings.FieldsFunc(written, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, level, _ := strings.Cut(word, ":")
		n, err := strconv.Atoi(level)
		if _, twice := m[name]; err != nil || twice {
			return nil, fmt.Errorf("%q: write each once, with a level: en:5,es:2", written)
		}
		m[name] = n
	}
	return m, nil
}

func checkLevels(kind string, levels map[string]int, known []string) (bad BadAgent) {
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		if !slices.Contains(known, name) {
			bad = append(bad, fmt.Sprintf("unknown %s %q", kind, name))
		}
		if level := levels[name]; level < 1 || level > 5 {
			bad = append(bad, fmt.Sprintf("%s %q at level %d: levels are 1 to 5", kind, name, level))
		}
	}
	return bad
}

// An agent's id is part of a SIP address and of Redis keys; as in the
// configuration.
var agentID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// id says what is wrong with an agent's id; "" if nothing is.
func (v Vocabulary) id(id string) (what, remedy string) {
	switch {
	case !agentID.MatchString(id):
		return fmt.Sprintf("agent %q cannot be a name", id), "use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first"
	case slices.Contains(v.Numbers, id):
		return fmt.Sprintf("agent %q is also a number", id), "take another id: both are dialled as sip:" + id
	}
	return "", ""
}
