package ivr

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bugle-voice/bugle/config"
)

// staff looks for queues whose callers would wait for nobody. That no agent at
// all can serve a queue is a fault; that one language lacks an agent is a
// warning, since a helpline may open before everyone is hired.
func (c *check) staff() {
	if len(c.Agents) == 0 {
		if len(c.queues) > 0 {
			c.warn(c.KeyProblem("there are no agents, so callers would wait for nobody", "add some under agents", "agents"))
		}
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.Queues)) {
		languages, used := c.queues[id]
		if !used {
			c.warn(c.KeyProblem(fmt.Sprintf("no flow leads to queue %q", id), "let a step lead to it, or remove it", "queues", id))
			continue
		}
		lacking := languages.sorted()
		lacking = slices.DeleteFunc(lacking, func(language string) bool { return c.served(id, language) })
		if len(lacking) == 0 {
			continue
		}
		p := c.KeyProblem(
			fmt.Sprintf("no agent can serve queue %q in %s: it takes the language%s",
				id, strings.Join(lacking, ", "), requirement(c.Queues[id])),
			"give an agent what it takes", "queues", id)
		p.Warning = len(lacking) < len(languages)
		c.found = append(c.found, p)
	}
}

func (c *check) warn(p config.Problem) {
	p.Warning = true
	c.found = append(c.found, p)
}

// served says whether some agent has the language and every skill.
func (c *check) served(queue, language string) bool {
	for _, a := range c.Agents {
		fits := a.Languages[language] >= 1
		for skill, level := range c.Queues[queue].Requires {
			fits = fits && a.Skills[skill] >= level
		}
		if fits {
			return true
		}
	}
	return false
}

// requirement writes what a queue asks for beside the language:
// ", claims 2, eligibility 1".
func requirement(q config.Queue) string {
	var b strings.Builder
	for _, skill := range slices.Sorted(maps.Keys(q.Requires)) {
		fmt.Fprintf(&b, ", %s %d", skill, q.Requires[skill])
	}
	return b.String()
}
