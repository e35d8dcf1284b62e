package report

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// gathering is the making of one report. What is read is cut into slices of
// time; each is counted by itself, several at once, and then added up.
type gathering struct {
	*Reporter
	q        Query
	now      time.Time
	calendar calendar
	answers  map[string][]store.Survey // by visit; complete before visits are read
}

// part reads some rows into a tally of its own.
type part func(ctx context.Context, t *tally) error

// surveyedWithin is for how long after a visit joined an answer to a survey can come:
// it is asked for after the talk.
const surveyedWithin = 24 * time.Hour

func (g *gathering) run(ctx context.Context) (*tally, error) {
	if err := g.readSurveys(ctx); err != nil {
		return nil, err
	}
	var parts []part
	for _, s := range g.slices() {
		parts = append(parts, g.visits(s))
	}
	after := func(*tally) {}
	if g.splitOnly(ByAgent) {
		var shifts []part
		shifts, after = g.shifts()
		parts = append(parts, shifts...)
	}
	if g.splitOnly(ByQueue, ByLanguage, ByClass) {
		parts = append(parts, g.promises)
	}
	if g.q.Resolution {
		parts = append(parts, g.resolution)
	}
	total := newTally(g.calendar, len(g.q.By))
	if err := g.each(ctx, parts, total); err != nil {
		return nil, err
	}
	after(total)
	return total, nil
}

// splitOnly says whether the report is split by nothing but these.
func (g *gathering) splitOnly(by ...Dimension) bool {
	return !slices.ContainsFunc(g.q.By, func(d Dimension) bool { return !slices.Contains(by, d) })
}

// workers is how much is read at a time.
func (g *gathering) workers() int {
	if g.Workers > 0 {
		return g.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// slices cuts the report's time into about equal pieces. There are more of
// them than workers, since calls come unevenly.
func (g *gathering) slices() []span { return cut(g.calendar.whole, 4*g.workers()) }

func cut(s span, pieces int) []span {
	length := max(s.to.Sub(s.from)/time.Duration(pieces), time.Millisecond).Round(time.Millisecond)
	var all []span
	for from := s.from; from.Before(s.to); from = from.Add(length) {
		all = append(all, span{from, from.Add(length)}.within(s))
	}
	return all
}

// each does the parts and adds up what they counted. The first error ends all.
func (g *gathering) each(ctx context.Context, parts []part, total *tally) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var adding sync.Mutex
	free := make(chan struct{}, g.workers())
	for _, p := range parts {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			t := newTally(g.calendar, len(g.q.By))
			err := p(ctx, t)
			adding.Lock()
			defer adding.Unlock()
			if err == nil {
				err = total.add(t)
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// read hands each of a sequence to f, until there is an error.
func read[T any](all iter.Seq2[T, error], f func(T)) error {
	for v, err := range all {
		if err != nil {
			return err
		}
		f(v)
	}
	return nil
}

func (g *gathering) readSurveys(ctx context.Context) error {
	g.answers = make(map[string][]store.Survey)
	return read(g.Source.Surveys(ctx, g.q.From, g.q.To.Add(surveyedWithin)), func(a store.Survey) {
		g.answers[a.Visit] = append(g.answers[a.Visit], a)
	})
}

// visits counts those of a slice, their talks, and what callers said of them.
func (g *gathering) visits(s span) part {
	return func(ctx context.Context, t *tally) error {
		return read(g.Source.Visits(ctx, s.from, s.to), func(v store.Visit) {
			g.visit(&t.row(v.Joined, g.valuesOf(v)).Counts, v)
		})
	}
}

func (g *gathering) visit(c *Counts, v store.Visit) {
	c.joined()
	if v.Result != "" {
		c.left(goals(g.Queues).of(v.Queue, v.Goal, v.Short), v.Estimate, v.Result, v.Waited)
	}
	if !v.TalkEnded.IsZero() {
		c.talked(v.Class, v.Tier, v.Talk, v.Hold)
	}
	if !v.WrappedUp.IsZero() {
		c.wrappedUp(v.Class, v.WrapUp)
	}
	for _, a := range g.answers[v.ID] {
		c.surveyed(a.Question, a.Answer)
	}
}

func (g *gathering) valuesOf(v store.Visit) values {
	var of values
	for i, d := range g.q.By {
		switch d {
		case ByQueue:
			of[i] = v.Queue
		case ByLanguage:
			of[i] = v.Language
		case ByNumber:
			of[i] = v.Number
		case ByAgent:
			of[i] = v.Agent
		case ByClass:
			of[i] = v.Class
		case ByTier:
			if v.Tier > 0 {
				of[i] = strconv.Itoa(v.Tier)
			}
		}
	}
	return of
}

// never is later than any promise.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// promises counts follow-ups whose window has ended, kept or not.
func (g *gathering) promises(ctx context.Context, t *tally) error {
	// One that is tried again begins to be due later, even later than it
	// should be done: so only its end is asked for, and they come in that order.
	for f, err := range g.Source.FollowUps(ctx, g.q.From, never) {
		if err != nil {
			return err
		}
		if !f.DueTo.Before(g.q.To) {
			return nil
		}
		over := !f.Settled.IsZero() || !f.DueTo.After(g.now)
		if f.DueTo.Before(g.q.From) || !over {
			continue
		}
		row := t.row(f.DueTo, g.valuesOf(store.Visit{Queue: f.Queue, Language: f.Language, Class: g.Queues[f.Queue].Class}))
		row.promised(f.Result, f.Settled, f.DueTo)
	}
	return nil
}
