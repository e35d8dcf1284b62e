package ivr

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bugle-voice/bugle/config"
)

// Check looks for what would go wrong with the flows of a configuration while
// a caller is in them: a step nobody reaches, a way round in circles, a prompt
// there is no recording of in a language it can be asked for, a queue nobody
// can serve. Problems that are Warnings leave the helpline usable; the others
// should keep it from starting. Without prompts (nil) these are not looked at.
func Check(cfg *config.Config, prompts *Prompts) config.Problems {
	c := &check{Config: cfg, prompts: prompts, queues: map[string]set{}}
	for _, flow := range slices.Sorted(maps.Keys(cfg.Flows)) {
		c.flow(flow)
	}
	c.staff()
	c.found.Sort()
	return c.found
}

// set is a set of names: mostly the languages something can be asked for in.
type set map[string]bool

func (s set) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// check is one look over a configuration.
type check struct {
	*config.Config
	prompts *Prompts
	queues  map[string]set // by name: the languages its callers can have
	found   config.Problems
}

// flow follows every way through a flow.
func (c *check) flow(id string) {
	reached := c.reach(id)
	flow := c.Flows[id]
	silent := set{} // steps whose ways without keys are known to end
	for _, name := range slices.Sorted(maps.Keys(flow.Steps)) {
		languages, ok := reached[name]
		if !ok {
			c.found = append(c.found, c.KeyProblem(
				fmt.Sprintf("step %q of flow %q is never reached", name, id),
				"let another step lead to it, or remove it", "flows", id, "steps", name))
			continue
		}
		step := flow.Steps[name]
		c.circle(id, name, nil, silent)
		c.spoken(id, name, step, languages)
		if step.Queue != nil {
			if c.queues[step.Queue.Name] == nil {
				c.queues[step.Queue.Name] = set{}
			}
			maps.Copy(c.queues[step.Queue.Name], languages)
		}
	}
}

// way is one way on from a step; no language means the caller's stays.
type way struct{ next, language string }

// ways lists how a step can go on.
func ways(s config.Step) []way {
	var all []way
	switch {
	case s.Play != nil:
		all = append(all, way{next: s.Play.Next})
	case s.Menu != nil:
		for _, choice := range s.Menu.Keys {
			all = append(all, way{choice.Next, choice.Language})
		}
		all = append(all, way{next: s.Menu.Else})
	case s.Collect != nil:
		all = append(all, way{next: s.Collect.Next}, way{next: s.Collect.Else})
	case s.Record != nil:
		all = append(all, way{next: s.Record.Next}, way{next: s.Record.Else})
	}
	return all
}

// unpressed is how a step goes on for a caller who presses nothing; nothing if
// the flow ends there. A line nobody speaks on may sound as if somebody did.
func unpressed(s config.Step) []string {
	switch {
	case s.Play != nil:
		return []string{s.Play.Next}
	case s.Menu != nil:
		return []string{s.Menu.Else}
	case s.Collect != nil:
		return []string{s.Collect.Else}
	case s.Record != nil:
		return []string{s.Record.Else, s.Record.Next}
	}
	return nil
}

// reach gives the steps of a flow that can be reached, each with the languages
// the caller can have there.
func (c *check) reach(id string) map[string]set {
	flow, reached := c.Flows[id], map[string]set{}
	type arrival struct{ step, language string }
	var open []arrival
	for _, language := range c.entered(id) {
		open = append(open, arrival{flow.Start, language})
	}
	for len(open) > 0 {
		a := open[len(open)-1]
		open = open[:len(open)-1]
		step, exists := flow.Steps[a.step]
		if !exists || reached[a.step][a.language] {
			continue
		}
		if reached[a.step] == nil {
			reached[a.step] = set{}
		}
		reached[a.step][a.language] = true
		for _, w := range ways(step) {
			language := a.language
			if w.language != "" {
				language = w.language
			}
			open = append(open, arrival{w.next, language})
		}
	}
	return reached
}

// entered gives the languages of the numbers that lead into a flow. A flow
// without a number is looked at in every language, since it may be given one
// any time.
func (c *check) entered(id string) []string {
	languages := set{}
	for _, n := range c.Numbers {
		if n.Flow == id {
			languages[n.Language] = true
		}
	}
	if len(languages) > 0 {
		return languages.sorted()
	}
	p := c.KeyProblem(fmt.Sprintf("flow %q has no number, so nobody can call it", id),
		fmt.Sprintf("add it under numbers: NUMBER: {flow: %s, language: %s}", id, strings.Join(c.Languages, "|")), "flows", id)
	p.Warning = true
	c.found = append(c.found, p)
	return c.Languages
}

// circle follows the ways of a caller who presses nothing, from a step that he
// reached by a trail of others. They have to end, so that a line nobody speaks
// on is not held for ever; then each step also has a way to the end. ends
// remembers what is known already, so that a circle is reported once.
func (c *check) circle(id, at string, trail []string, ends set) {
	step, exists := c.Flows[id].Steps[at]
	if !exists || ends[at] {
		return
	}
	if i := slices.Index(trail, at); i >= 0 {
		round := append(slices.Clone(trail[i:]), at)
		c.found = append(c.found, c.Problem(
			fmt.Sprintf("who presses nothing goes round in circles: %s", strings.Join(round, " → ")),
			"let one of these steps lead to a queue or a hangup", "flows", id, "steps", at))
		return
	}
	for _, next := range unpressed(step) {
		c.circle(id, next, append(trail, at), ends)
	}
	ends[at] = true
}

// spoken looks for prompts there is no recording of.
func (c *check) spoken(flow, name string, s config.Step, languages set) {
	if c.prompts == nil {
		return
	}
	at := func(verb, key string, refs []string) {
		for i, ref := range refs {
			c.recorded(ref, languages, "flows", flow, "steps", name, verb, key, strconv.Itoa(i))
		}
	}
	switch {
	case s.Play != nil:
		at("play", "prompts", s.Play.Prompts)
	case s.Menu != nil:
		at("menu", "prompts", s.Menu.Prompts)
		at("menu", "no_input", s.Menu.NoInput)
		at("menu", "no_match", s.Menu.NoMatch)
	case s.Collect != nil:
		at("collect", "prompts", s.Collect.Prompts)
		at("collect", "no_input", s.Collect.NoInput)
		at("collect", "no_match", s.Collect.NoMatch)
	case s.Record != nil:
		at("record", "prompts", s.Record.Prompts)
		at("record", "no_input", s.Record.NoInput)
	case s.Queue != nil:
		at("queue", "announce", s.Queue.Announce)
	case s.Hangup != nil:
		at("hangup", "prompts", s.Hangup.Prompts)
	}
}

// recorded notes a reference to a prompt that lacks some of its recordings.
func (c *check) recorded(ref string, languages set, path ...string) {
	missing := set{}
	for language := range languages {
		for _, p := range Resolve([]string{ref}, language) {
			if !c.prompts.Has(p) {
				missing[p.String()+".wav"] = true
			}
		}
	}
	if len(missing) == 0 {
		return
	}
	var known []string
	for _, p := range c.prompts.All() {
		known = append(known, p.Name)
	}
	remedy := "record it, or have it rendered"
	_, name := config.PromptRef(ref, "")
	if near := config.Nearest(name, known); near != "" && near != name {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	c.found = append(c.found, c.Problem(
		fmt.Sprintf("prompt %q has no recording: %s", ref, strings.Join(missing.sorted(), ", ")), remedy, path...))
}
