package report

import (
	"context"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// Agents' time is counted in the interval in which it passed. The store has it
// summed up by quarter of an hour; only where an interval does not begin with one,
// every change of a state has to be read (changes). Of a state that nothing has
// ended yet, what has passed of it counts.

// longestShift bounds what is believed of an agent nothing more is heard of: a
// node that died can't tell of his going.
const longestShift = 12 * time.Hour

// shifts gives the parts that count agents' time, and what has to be done after them.
func (g *gathering) shifts() (parts []part, after func(*tally)) {
	if g.calendar.quarters() {
		for _, s := range g.slices() {
			parts = append(parts, g.agentTime(s))
		}
		return append(parts, g.agentsNow), func(*tally) {}
	}
	c := &changes{g: g, last: make(map[string]store.StateChange)}
	for _, s := range c.slices() {
		parts = append(parts, c.read(s))
	}
	return parts, c.unfinished
}

// agentTime counts the sums of a slice.
func (g *gathering) agentTime(s span) part {
	return func(ctx context.Context, t *tally) error {
		return read(g.Source.AgentTime(ctx, s.from, s.to, len(g.q.By) > 0), func(a store.AgentTime) {
			if new(Counts).staffed(a.State, 0) {
				t.row(a.Quarter, g.agent(a.Agent)).staffed(a.State, a.Spent)
			}
		})
	}
}

// agentsNow counts the states that nothing has ended.
func (g *gathering) agentsNow(ctx context.Context, t *tally) error {
	return read(g.Source.AgentsNow(ctx), func(c store.StateChange) { g.unfinished(t, c) })
}

func (g *gathering) unfinished(t *tally, c store.StateChange) {
	until := c.At.Add(longestShift)
	if g.now.Before(until) {
		until = g.now
	}
	g.spend(t, c.Agent, c.State, span{c.At, until})
}

// spend counts time in a state, in each interval that it reaches into.
func (g *gathering) spend(t *tally, agent, state string, over span) {
	if !new(Counts).staffed(state, 0) {
		return
	}
	over = over.within(t.whole)
	for over.from.Before(over.to) {
		row := t.row(over.from, g.agent(agent))
		until := over.within(t.current).to
		row.staffed(state, until.Sub(over.from))
		over.from = until
	}
}

// agent is the values of an agent's row: by agent, if by anything.
func (g *gathering) agent(id string) (of values) {
	for i := range g.q.By {
		of[i] = id
	}
	return of
}

// changes reads every change. A change tells of the state that it ends; of the state
// each agent was in at last, the report's end cuts off the rest.
type changes struct {
	g    *gathering
	mu   sync.Mutex
	last map[string]store.StateChange // by agent
}

// slices begin early enough before a short report to learn of who was ready all
// the time.
func (c *changes) slices() []span {
	whole := c.g.calendar.whole
	whole.from = whole.from.Add(-max(0, longestShift-whole.to.Sub(whole.from)))
	return cut(whole, 4*c.g.workers())
}

func (c *changes) read(of span) part {
	return func(ctx context.Context, t *tally) error {
		last := make(map[string]store.StateChange)
		err := read(c.g.Source.StateChanges(ctx, of.from, of.to), func(s store.StateChange) {
			c.g.spend(t, s.Agent, s.Previous, span{s.At.Add(-s.After), s.At})
			last[s.Agent] = s
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		for agent, s := range last {
			if !s.At.Before(c.last[agent].At) {
				c.last[agent] = s
			}
		}
		return err
	}
}

func (c *changes) unfinished(t *tally) {
	for _, s := range c.last {
		c.g.unfinished(t, s)
	}
}
