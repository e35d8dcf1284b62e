package report

import (
	"context"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// longestShift bounds what is believed of an agent nothing more is heard of: a
// node that died can't tell of his going.
const longestShift = 12 * time.Hour

// shifts is agents' time in each state, counted in the interval in which it
// passed. A change tells of the state that it ends; of the state each agent was
// in at last, the report's end cuts off the rest.
type shifts struct {
	g    *gathering
	mu   sync.Mutex
	last map[string]store.StateChange // by agent
}

func newShifts(g *gathering) *shifts {
	return &shifts{g: g, last: make(map[string]store.StateChange)}
}

// slices begin early enough before a short report to learn of who was ready all
// the time.
func (s *shifts) slices() []span {
	whole := s.g.calendar.whole
	whole.from = whole.from.Add(-max(0, longestShift-whole.to.Sub(whole.from)))
	return cut(whole, 4*s.g.workers())
}

func (s *shifts) read(of span) part {
	return func(ctx context.Context, t *tally) error {
		last := make(map[string]store.StateChange)
		err := read(s.g.Source.StateChanges(ctx, of.from, of.to), func(c store.StateChange) {
			s.spend(t, c.Agent, c.Previous, span{c.At.Add(-c.After), c.At})
			last[c.Agent] = c
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		for agent, c := range last {
			if !c.At.Before(s.last[agent].At) {
				s.last[agent] = c
			}
		}
		return err
	}
}

// unfinished counts the states that nothing has ended.
func (s *shifts) unfinished(t *tally) {
	for agent, c := range s.last {
		until := c.At.Add(longestShift)
		if s.g.now.Before(until) {
			until = s.g.now
		}
		s.spend(t, agent, c.State, span{c.At, until})
	}
}

// spend counts time in a state, in each interval that it reaches into.
func (s *shifts) spend(t *tally, agent, state string, over span) {
	if !new(Counts).staffed(state, 0) {
		return
	}
	var of values
	for i := range s.g.q.By { // by agent, if by anything
		of[i] = agent
	}
	over = over.within(t.whole)
	for over.from.Before(over.to) {
		row := t.row(over.from, of)
		until := over.within(t.current).to
		row.staffed(state, until.Sub(over.from))
		over.from = until
	}
}
