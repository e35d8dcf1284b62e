package config

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checker looks for what is well-formed YAML and still cannot be served.
type checker struct {
	*Config
	problems Problems
}

// check holds the whole configuration against itself. Flows have a file of
// their own, check_flow.go.
func (c *Config) check() Problems {
	k := &checker{Config: c}
	k.node()
	k.zone()
	k.vault()
	k.events()
	k.store()
	k.sip()
	k.media()
	k.ports()
	k.vocabulary()
	k.queues()
	k.agents()
	k.numbers()
	k.flows()
	k.calls()
	return k.problems
}

// bad notes a problem with the value at a path.
func (k *checker) bad(path []string, what, remedy string) {
	k.problems = append(k.problems, k.Problem(what, remedy, path...))
}

// odd warns of the value at a path.
func (k *checker) odd(path []string, what, remedy string) {
	p := k.Problem(what, remedy, path...)
	p.Warning = true
	k.problems = append(k.problems, p)
}

// badKey notes a problem with the last key of a path.
func (k *checker) badKey(path []string, what, remedy string) {
	k.problems = append(k.problems, k.KeyProblem(what, remedy, path...))
}

// at makes a path.
func at(path ...string) []string { return path }

// A name becomes a Redis key, a metric's label, a file or part of a SIP
// address, so it is made of what means nothing special in any of them.
var (
	plainName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	dialled    = regexp.MustCompile(`^\+?[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	country    = regexp.MustCompile(`^[A-Z]{2}$`)
	languageID = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
)

const nameRemedy = "use up to 64 letters, digits, dots, hyphens and underscores, a letter or digit first"

// nameIn checks a name that is the value at path.
func (k *checker) nameIn(kind, name string, path []string) {
	if !plainName.MatchString(name) {
		k.bad(path, fmt.Sprintf("%s %q cannot be a name", kind, name), nameRemedy)
	}
}

// nameAt checks a name that is the last key of path.
func (k *checker) nameAt(kind string, path []string) {
	if name := path[len(path)-1]; !plainName.MatchString(name) {
		k.badKey(path, fmt.Sprintf("%s %q cannot be a name", kind, name), nameRemedy)
	}
}

func (k *checker) oneOf(value string, path []string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		k.bad(path, fmt.Sprintf("%s is %q", name(path), value), Suggest(value, allowed))
	}
}

// known notes a name that refers to nothing.
func (k *checker) known(subject, kind, value string, all []string, path []string) {
	if !slices.Contains(all, value) {
		k.bad(path, fmt.Sprintf("%s unknown %s %q", subject, kind, value), Suggest(value, all))
	}
}

// between notes a number out of its range.
func (k *checker) between(value, low, high int, path []string) {
	if value < low || value > high {
		k.bad(path, fmt.Sprintf("%s is %d", name(path), value), fmt.Sprintf("it must be from %d to %d", low, high))
	}
}

func (k *checker) positive(d Duration, path []string) {
	if d <= 0 {
		k.bad(path, fmt.Sprintf("%s is %s", name(path), d), "it must be longer than nothing")
	}
}

func (k *checker) notNegative(d Duration, path []string) {
	if d < 0 {
		k.bad(path, fmt.Sprintf("%s is %s", name(path), d), "it cannot be negative")
	}
}

func (k *checker) node() {
	k.nameIn("domain", k.Domain, at("domain"))
	k.nameIn("node", k.Node, at("node"))
	if k.DataDir == "" {
		k.bad(at("data_dir"), "data_dir is empty", "name a folder that is this node's alone")
	}
	k.notNegative(k.Drain, at("drain"))
	if k.Country != "" && !country.MatchString(k.Country) {
		k.bad(at("country"), fmt.Sprintf("country is %q", k.Country), "write its two letters: DE")
	}
	k.oneOf(k.Log.Level, at("log", "level"), "debug", "info", "warn", "error")
	k.oneOf(k.Log.Format, at("log", "format"), "text", "json")
	k.hostPort(k.HTTP.Address, at("http", "address"))
	if (k.HTTP.Certificate == "") != (k.HTTP.Key == "") {
		k.bad(at("http"), "http has one of certificate and key, and needs both for HTTPS", "add the other, or remove it")
	}
	if k.Redis.Addr != "" {
		k.hostPort(k.Redis.Addr, at("redis", "addr"))
	}
	k.between(k.Redis.DB, 0, 1<<16, at("redis", "db"))
}

func (k *checker) vault() {
	v := k.Vault
	k.notNegative(v.Refresh, at("vault", "refresh"))
	if v.Keyset != "" && len(v.Command) > 0 {
		k.bad(at("vault", "command"), "vault.keyset is given too, and a keyset has one source", "remove one")
	}
	if len(v.Command) > 0 && v.Command[0] == "" {
		k.bad(at("vault", "command"), "vault.command begins with no program", `write it as ["/usr/local/bin/unwrap", "keyset.enc"]`)
	}
	if kind, place, ok := strings.Cut(v.Keyset, ":"); v.Keyset != "" && (!ok || place == "" || kind != "file" && kind != "env") {
		// Not quoted: it may be the keyset itself, put there by mistake.
		k.bad(at("vault", "keyset"), "vault.keyset does not say where the keyset is", "write file:PATH or env:NAME")
	}
}

func (k *checker) hostPort(address string, path []string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		k.bad(path, fmt.Sprintf("%s is %q, not a host with a port", name(path), address), "write HOST:PORT")
	}
}

func (k *checker) vocabulary() {
	if len(k.Languages) == 0 {
		k.bad(at("languages"), "languages is missing: the helpline speaks none", "list them: [en, es]")
	}
	seen := map[string]string{}
	for i, l := range k.Languages {
		path := at("languages", strconv.Itoa(i))
		if !languageID.MatchString(l) {
			k.bad(path, fmt.Sprintf("%q is not a language tag", l), `write it as "en" or "en-GB"`)
		}
		k.once(seen, "language", l, path)
	}
	for i, s := range k.Skills {
		path := at("skills", strconv.Itoa(i))
		k.nameIn("skill", s, path)
		k.once(seen, "skill", s, path)
	}
}

// once notes a word given twice. Languages and skills share their names: a
// language is a skill.
func (k *checker) once(seen map[string]string, kind, word string, path []string) {
	if before := seen[word]; before != "" {
		k.bad(path, fmt.Sprintf("%s %q is already a %s", kind, word, before), "remove or rename one")
	}
	seen[word] = kind
}

func (k *checker) queues() {
	if len(k.Queues) == 0 && len(k.Numbers) > 0 {
		k.odd(at("queues"), "queues is missing: no caller could reach an agent", "add one, and a step that leads to it")
	}
	for id, q := range sorted(k.Queues) {
		path := at("queues", id)
		k.nameAt("queue", path)
		k.levels(fmt.Sprintf("queue %q requires", id), "skill", q.Requires, k.Skills, extend(path, "requires"))
		k.positive(q.Goal, extend(path, "goal"))
		k.positive(q.Ring, extend(path, "ring"))
		k.notNegative(q.ShortAbandon, extend(path, "short_abandon"))
		k.notNegative(q.HeadStart, extend(path, "head_start"))
		if q.WrapUp != nil {
			k.notNegative(*q.WrapUp, extend(path, "wrap_up"))
		}
		k.oneOf(q.Class, extend(path, "class"), "routine", "clinical")
	}
}

// levels checks a mapping of skills or languages to levels.
func (k *checker) levels(subject, kind string, levels map[string]int, known []string, path []string) {
	for id, level := range sorted(levels) {
		if !slices.Contains(known, id) {
			k.badKey(extend(path, id), fmt.Sprintf("%s unknown %s %q", subject, kind, id), Suggest(id, known))
		}
		if level < 1 || level > 5 {
			k.bad(extend(path, id), fmt.Sprintf("%s %s %q at level %d", subject, kind, id, level), "levels are 1 to 5")
		}
	}
}

func (k *checker) agents() {
	for id, a := range sorted(k.Agents) {
		path := at("agents", id)
		k.nameAt("agent", path)
		k.between(a.Tier, 1, 3, extend(path, "tier"))
		if len(a.Languages) == 0 {
			k.bad(path, fmt.Sprintf("agent %q speaks no language, so no call fits", id), "add languages: {en: 5}")
		}
		k.levels(fmt.Sprintf("agent %q has", id), "language", a.Languages, k.Languages, extend(path, "languages"))
		k.levels(fmt.Sprintf("agent %q has", id), "skill", a.Skills, k.Skills, extend(path, "skills"))
	}
}

func (k *checker) numbers() {
	if len(k.Numbers) == 0 {
		k.bad(at("numbers"), "numbers is missing: nobody could call", "add one that can be dialled: NUMBER: {flow: FLOW, language: en}")
	}
	for id, n := range sorted(k.Numbers) {
		path := at("numbers", id)
		if !dialled.MatchString(id) {
			k.badKey(path, fmt.Sprintf("number %q cannot be dialled", id),
				"use letters, digits, dots, hyphens and underscores; a plus may come first")
		}
		if _, clash := k.Agents[id]; clash {
			k.badKey(path, fmt.Sprintf("number %q is also an agent", id), "rename one: both are dialled as sip:"+id)
		}
		subject := fmt.Sprintf("number %q", id)
		k.known(subject+" leads to", "flow", n.Flow, slices.Collect(maps.Keys(k.Flows)), extend(path, "flow"))
		k.known(subject+" speaks", "language", n.Language, k.Languages, extend(path, "language"))
	}
}

// sorted walks a map in the order of its keys, so that the same file always
// gives the same problems.
func sorted[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
