// Package report turns what happened into figures: what was offered, answered
// and abandoned, how long callers waited and agents were busy.
//
// It owns the formulas (counts.go) and how facts are counted (tally.go), each
// written once for all that Go shows. Prometheus cannot call Go, so the rules and
// dashboard in deployments/ write a few formulas again; a test holds them to
// counts.go (promql_test.go). Two things count: the running node
// its events (this file), which Prometheus scrapes (collector.go) and the API
// lists, and a report what room store has written down of all nodes (report.go),
// by interval of the site's time zone (calendar.go), as CSV, JSON or a table. It
// knows nothing of how calls are made, and keeps nothing. A node counts its own
// events only, so a sum over nodes is the domain's total.
//
// Start with counts.go for what the figures mean, report.go for how a report is
// made.
package report

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
)

// Figures counts this node's events since it started. It is safe for concurrent
// use.
type Figures struct {
	goals goals

	mu        sync.Mutex
	lines     map[lineKey]*line
	visits    map[string]visit // waiting
	calls     map[string]bool  // under way, by call id
	ended     map[termination]uint64
	offers    map[offerKey]uint64
	transfers map[transferKey]uint64
	agents    map[string]string // state, by agent; those offline are not kept
	staff     Counts            // agents' time, which is no queue's
	unmatched uint64
}

// Line is what is known of one queue in one language.
type Line struct {
	Queue    string
	Language string
	Counts
	Waiting int           // visits waiting now
	Longest time.Duration // how long the first of them has waited
	Expect  time.Duration // estimated wait of who joins now; 0 if nothing is known
}

type (
	lineKey     struct{ queue, language string }
	termination struct{ class, reason string }
	offerKey    struct {
		queue  string
		result event.OfferResult
	}
	transferKey struct {
		kind       event.TransferKind
		to, result string
	}
)

// line is the state behind a Line.
type line struct {
	Counts
	expect                          estimator
	waiting                         map[string]time.Time // when each visit joined
	answer, off, talk, hold, wrapUp histogram
}

// visit is one that waits.
type visit struct {
	line     *line
	limits   limits
	estimate time.Duration // of its wait; 0 for none
	ahead    int           // in line when it joined
}

// New makes Figures for the queues of a configuration, whose goals they need,
// in its languages. Every combination shows from the start, at 0: a rate over a
// counter that appears with its first count would miss that count.
func New(queues map[string]config.Queue, languages []string) *Figures {
	f := &Figures{
		goals:  queues,
		lines:  make(map[lineKey]*line),
		visits: make(map[string]visit),
		calls:  make(map[string]bool),
		ended:  make(map[termination]uint64),
		offers: make(map[offerKey]uint64),

		transfers: make(map[transferKey]uint64),
		agents:    make(map[string]string),
	}
	for queue := range queues {
		for _, language := range languages {
			f.line(queue, language)
		}
		for _, result := range []event.OfferResult{event.OfferAnswered, event.OfferDeclined, event.OfferTimedOut, event.OfferWithdrawn} {
			f.offers[offerKey{queue, result}] = 0
		}
	}
	return f
}

// Total adds up the figures of all queues, with agents' time.
func (f *Figures) Total() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := f.staff
	for _, l := range f.lines {
		total = total.Plus(l.Counts)
	}
	return total
}

// Observe counts one event. It is a sink for event.Log.Subscribe.
func (f *Figures) Observe(ev event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch fact := ev.Fact.(type) {
	case event.CallStarted:
		f.calls[ev.Call] = true
	case event.CallEnded:
		delete(f.calls, ev.Call)
		f.ended[termination{fact.Class, fact.Reason}]++
	case event.VisitJoined:
		f.visitJoined(fact, ev.At)
	case event.VisitEnded:
		f.visitEnded(fact, ev.At)
	case event.OfferEnded:
		f.offers[offerKey{fact.Queue, fact.Result}]++
	case event.Transferred:
		f.transfers[transferKey{fact.How, fact.To, fact.Result}]++
	case event.TalkEnded:
		l := f.line(fact.Queue, fact.Language)
		l.talked(f.goals[fact.Queue].Class, fact.Tier, fact.Talk, fact.Hold)
		l.talk.observe(fact.Talk)
		l.hold.observe(fact.Hold)
	case event.WrapUpEnded:
		l := f.line(fact.Queue, fact.Language)
		l.wrappedUp(f.goals[fact.Queue].Class, fact.Took)
		l.wrapUp.observe(fact.Took)
	case event.SurveyAnswered:
		f.line(fact.Queue, fact.Language).surveyed(fact.Question, fact.Answer)
	case event.AgentChanged:
		f.staff.staffed(fact.From, fact.After)
		if fact.To == offline {
			delete(f.agents, fact.Agent)
		} else {
			f.agents[fact.Agent] = fact.To
		}
	}
}

// A visit joins once and ends once: what is said a second time, or ends without
// a beginning, would break O = A + B + C + F + waiting, and only adds to a counter of
// its own.

func (f *Figures) visitJoined(fact event.VisitJoined, at time.Time) {
	if _, waits := f.visits[fact.Visit]; waits {
		f.unmatched++
		return
	}
	l := f.line(fact.Queue, fact.Language)
	l.joined()
	f.visits[fact.Visit] = visit{l, f.goals.of(fact.Queue, fact.Goal, fact.Short), fact.Estimate, len(l.waiting)}
	l.waiting[fact.Visit] = at
}

func (f *Figures) visitEnded(fact event.VisitEnded, at time.Time) {
	v, waits := f.visits[fact.Visit]
	if !waits {
		// A visit of the node's last life is ended in this one, as called back or
		// flowed out.
		if fact.Result == event.Answered || fact.Result == event.Abandoned {
			f.unmatched++
		}
		return
	}
	delete(f.visits, fact.Visit)
	l, answered := v.line, fact.Result == event.Answered
	delete(l.waiting, fact.Visit)
	l.left(v.limits, v.estimate, fact.Result, fact.Waited)
	l.expect.leaves(at, answered, fact.Waited, v.ahead, len(l.waiting))
	if answered {
		l.answer.observe(fact.Waited)
	}
	if answered && v.estimate > 0 {
		l.off.observe((v.estimate - fact.Waited).Abs())
	}
}

// Lines gives the figures of every queue in every language, in that order.
func (f *Figures) Lines() []Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	lines := make([]Line, 0, len(f.lines))
	for key, l := range f.lines {
		lines = append(lines, Line{
			Queue: key.queue, Language: key.language,
			Counts: l.Counts, Waiting: len(l.waiting), Longest: l.longest(now), Expect: l.expect.estimate(len(l.waiting)),
		})
	}
	slices.SortFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Language, b.Language))
	})
	return lines
}

// line gives the state of a queue in a language. The caller holds mu, unless it
// is New.
func (f *Figures) line(queue, language string) *line {
	key := lineKey{queue, language}
	l := f.lines[key]
	if l == nil {
		l = &line{
			waiting: make(map[string]time.Time),
			answer:  newHistogram(answerBuckets),
			off:     newHistogram(answerBuckets),
			talk:    newHistogram(handleBuckets),
			hold:    newHistogram(handleBuckets),
			wrapUp:  newHistogram(handleBuckets),
		}
		f.lines[key] = l
	}
	return l
}

// longest gives how long the visit that joined first has waited.
func (l *line) longest(now time.Time) time.Duration {
	var longest time.Duration
	for _, joined := range l.waiting {
		longest = max(longest, now.Sub(joined))
	}
	return longest
}
