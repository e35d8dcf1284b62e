package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keypad is what a caller can press.
const Keypad = "0123456789*#"

var (
	promptName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	valueName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	recordName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`) // part of a file's name
)

// stepChecker checks one step: that it does one thing and names only what
// exists. Whether the flow as a whole makes sense is room ivr's to say.
type stepChecker struct {
	*checker
	subject string   // step "welcome" of flow "helpline"
	path    []string // of the verb
	steps   []string // the flow's
}

func (k *checker) flows() {
	for id, f := range sorted(k.Flows) {
		path := at("flows", id)
		k.nameAt("flow", path)
		steps := slices.Collect(maps.Keys(f.Steps))
		k.known(fmt.Sprintf("flow %q starts at", id), "step", f.Start, steps, extend(path, "start"))
		for name, s := range sorted(f.Steps) {
			stepPath := extend(path, "steps", name)
			k.nameAt("step", stepPath)
			c := &stepChecker{checker: k, subject: fmt.Sprintf("step %q of flow %q", name, id), steps: steps}
			c.check(s, stepPath)
		}
	}
}

func (k *stepChecker) check(s Step, path []string) {
	verbs := s.verbs()
	switch len(verbs) {
	case 1:
		k.path = extend(path, verbs[0])
	case 0:
		k.bad(path, k.subject+" does nothing", "give it one of play, menu, collect, record, queue, hangup")
		return
	default:
		k.bad(path, fmt.Sprintf("%s does several things: %s", k.subject, strings.Join(verbs, ", ")), "make a step of each")
		return
	}
	switch {
	case s.Play != nil:
		k.spoken(s.Play.Prompts)
		k.next(s.Play.Next, "next")
	case s.Menu != nil:
		k.menu(s.Menu)
	case s.Collect != nil:
		k.collect(s.Collect)
	case s.Record != nil:
		k.record(s.Record)
	case s.Queue != nil:
		k.known(k.subject+" leads to", "queue", s.Queue.Name, slices.Collect(maps.Keys(k.Queues)), extend(k.path, "name"))
		k.prompts(s.Queue.Announce, "announce")
	case s.Hangup != nil:
		k.prompts(s.Hangup.Prompts, "prompts")
	}
}

// verbs names what a step does, in the order of the manual.
func (s Step) verbs() []string {
	var verbs []string
	for _, v := range []struct {
		name string
		set  bool
	}{
		{"play", s.Play != nil}, {"menu", s.Menu != nil}, {"collect", s.Collect != nil},
		{"record", s.Record != nil}, {"queue", s.Queue != nil}, {"hangup", s.Hangup != nil},
	} {
		if v.set {
			verbs = append(verbs, v.name)
		}
	}
	return verbs
}

func (k *stepChecker) menu(m *Menu) {
	k.spoken(m.Prompts)
	k.positive(m.Timeout, extend(k.path, "timeout"))
	k.between(m.Tries, 1, 10, extend(k.path, "tries"))
	if len(m.Keys) == 0 {
		k.bad(k.path, k.subject+" offers no keys", `add keys: {1: {next: STEP}}`)
	}
	for key, choice := range sorted(m.Keys) {
		path := at("keys", key)
		if len(key) != 1 || !strings.Contains(Keypad, key) {
			k.badKey(extend(k.path, path...), fmt.Sprintf("%s offers key %q, which no telephone has", k.subject, key),
				`a key is one of 0 to 9, "*" and "#"`)
		}
		if choice.Language != "" {
			k.known(k.subject+" speaks", "language", choice.Language, k.Languages, extend(k.path, "keys", key, "language"))
		}
		k.next(choice.Next, "keys", key, "next")
	}
	k.prompts(m.NoInput, "no_input")
	k.prompts(m.NoMatch, "no_match")
	k.next(m.Else, "else")
}

func (k *stepChecker) collect(c *Collect) {
	k.spoken(c.Prompts)
	if !valueName.MatchString(c.Name) {
		k.bad(extend(k.path, "name"), fmt.Sprintf("%s collects into %q", k.subject, c.Name),
			"give it a name of lower-case letters, digits and underscores")
	}
	k.between(c.Min, 0, 32, extend(k.path, "min"))
	k.between(c.Max, max(1, c.Min), 32, extend(k.path, "max"))
	if c.Finish != "" && c.Finish != "#" && c.Finish != "*" {
		k.bad(extend(k.path, "finish"), fmt.Sprintf("%s ends its entry with %q", k.subject, c.Finish), `write "#", "*", or "" for no such key`)
	}
	k.positive(c.Timeout, extend(k.path, "timeout"))
	k.positive(c.InterDigit, extend(k.path, "inter_digit"))
	k.between(c.Tries, 1, 10, extend(k.path, "tries"))
	k.prompts(c.NoInput, "no_input")
	k.prompts(c.NoMatch, "no_match")
	k.next(c.Next, "next")
	k.next(c.Else, "else")
}

// longestRecording bounds what one step may keep.
const longestRecording = time.Hour

func (k *stepChecker) record(r *Record) {
	k.spoken(r.Prompts)
	if !recordName.MatchString(r.Name) {
		k.bad(extend(k.path, "name"), fmt.Sprintf("%s records as %q", k.subject, r.Name),
			"give it a name of at most 32 lower-case letters, digits and underscores")
	}
	k.notNegative(r.Min, extend(k.path, "min"))
	if least := max(r.Min.D(), time.Second); r.Max.D() < least || r.Max.D() > longestRecording {
		k.bad(extend(k.path, "max"), fmt.Sprintf("%s records for at most %s", k.subject, r.Max),
			fmt.Sprintf("it must be from %s to %s", Duration(least), Duration(longestRecording)))
	}
	k.positive(r.Silence, extend(k.path, "silence"))
	if i := strings.IndexFunc(r.Finish, func(key rune) bool { return !strings.ContainsRune(Keypad, key) }); i >= 0 {
		k.bad(extend(k.path, "finish"), fmt.Sprintf("%s ends its recording with %q", k.subject, r.Finish),
			`write the keys that end it, such as "#" or "0123456789*#", or "" for none`)
	}
	k.between(r.Tries, 1, 10, extend(k.path, "tries"))
	k.prompts(r.NoInput, "no_input")
	k.next(r.Next, "next")
	k.next(r.Else, "else")
}

// next checks that a step leads on to one that exists.
func (k *stepChecker) next(step string, path ...string) {
	if step == "" {
		what := strings.Join(path, ".")
		k.bad(extend(k.path, path...), fmt.Sprintf("%s has no %s, so the call would end in nothing", k.subject, what), "name the step that follows")
		return
	}
	k.known(k.subject+" leads to", "step", step, k.steps, extend(k.path, path...))
}

// spoken checks the prompts of a step that has to say something.
func (k *stepChecker) spoken(refs []string) {
	if len(refs) == 0 {
		k.bad(extend(k.path, "prompts"), k.subject+" says nothing", "add prompts: [NAME]")
	}
	k.prompts(refs, "prompts")
}

// prompts checks the form of references to prompts, and their language.
func (k *stepChecker) prompts(refs []string, key string) {
	for i, ref := range refs {
		path := extend(k.path, key, strconv.Itoa(i))
		language, name := PromptRef(ref, "")
		if strings.Contains(ref, "/") {
			k.known(k.subject+" speaks", "language", language, k.Languages, path)
		}
		if !promptName.MatchString(name) {
			k.bad(path, fmt.Sprintf("%s speaks %q, which cannot be a prompt", k.subject, ref),
				"write NAME or LANGUAGE/NAME, with letters, digits, hyphens and underscores")
		}
	}
}
