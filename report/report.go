package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
)

// Source is what has been written down. *store.Store is one. Each sequence ends
// with its error, if there is one.
type Source interface {
	Visits(ctx context.Context, from, to time.Time) iter.Seq2[store.Visit, error]
	StateChanges(ctx context.Context, from, to time.Time) iter.Seq2[store.StateChange, error]
	Surveys(ctx context.Context, from, to time.Time) iter.Seq2[store.Survey, error]
	FollowUps(ctx context.Context, from, to time.Time) iter.Seq2[store.FollowUp, error]
	AgentTime(ctx context.Context, from, to time.Time, each bool) iter.Seq2[store.AgentTime, error]
	FirstContacts(ctx context.Context, from, to time.Time, within time.Duration) iter.Seq2[store.FirstContact, error]
	AgentsNow(ctx context.Context) iter.Seq2[store.StateChange, error]
}

// Reporter makes reports. It is safe for concurrent use.
type Reporter struct {
	Source  Source
	Queues  map[string]config.Queue // whose goals count for visits that were not told theirs
	Zone    *time.Location          // of the site; nil is UTC
	Workers int                     // how much is read at a time; 0 for one for each core. Media on this machine wants it small
}

// Report is figures by interval and by whatever else was asked for.
//
// A visit, with its talk and the caller's answers to a survey, belongs to the
// interval in which it joined; an agent's time to the one in which it passed; a
// promise to the one in which its window ended. Agents' time is no queue's, and a
// promise nobody's until it is kept: split up by what they don't have, they
// are left out.
type Report struct {
	From, To time.Time // in the site's time zone
	Interval Interval
	By       []Dimension
	Rows     []Row  // by time, then in the order of their values
	Total    Counts // of all rows
}

// Row is the figures of an interval. Where a report is split up, only what
// has anything to show has one.
type Row struct {
	From, To time.Time
	Values   []string // of each dimension
	Counts
}

// MaxRows is the longest report that is made.
const MaxRows = 200_000

var errTooLong = fmt.Errorf("%w: it would have more than %d lines: ask for less time, a longer interval or less detail", ErrRequest, MaxRows)

// Report makes a report. ErrRequest if that is to blame.
func (r *Reporter) Report(ctx context.Context, q Query) (*Report, error) {
	zone := r.zone()
	// Bounds between milliseconds would be others for the database than here.
	q.From, q.To = q.From.Truncate(time.Millisecond).In(zone), q.To.Truncate(time.Millisecond).In(zone)
	q.By = slices.Clone(q.By)
	if !q.From.Before(q.To) {
		return nil, fmt.Errorf("%w: it ends before it begins", ErrRequest)
	}
	if l := q.Interval.length(); l > 0 && q.To.Sub(q.From)/l > MaxRows {
		return nil, errTooLong
	}
	g := r.gathering(q, time.Now())
	tally, err := g.run(ctx)
	if err != nil {
		if errors.Is(err, ErrRequest) {
			return nil, err
		}
		return nil, fmt.Errorf("report: %w", err)
	}
	report := &Report{From: q.From, To: q.To, Interval: q.Interval, By: q.By, Rows: tally.list()}
	for i := range report.Rows {
		report.Total = report.Total.Plus(report.Rows[i].Counts)
	}
	return report, nil
}

func (r *Reporter) zone() *time.Location {
	if r.Zone == nil {
		return time.UTC
	}
	return r.Zone
}

func (r *Reporter) gathering(q Query, now time.Time) *gathering {
	return &gathering{Reporter: r, q: q, now: now, calendar: calendar{r.zone(), q.Interval, span{q.From, q.To}}}
}

// values are those of a query's dimensions, in their order.
type values [6]string

// slot is what one row counts.
type slot struct {
	from int64 // nanoseconds since 1970
	values
}

// tally is the rows as they are being counted. It is not safe for concurrent
// use.
type tally struct {
	calendar
	dims    int
	rows    map[slot]*Row
	current span // the interval that was last asked for: what is read comes in order
}

func newTally(c calendar, dims int) *tally {
	return &tally{calendar: c, dims: dims, rows: make(map[slot]*Row)}
}

// row gives where to count what belongs to a moment.
func (t *tally) row(at time.Time, v values) *Row {
	if !t.current.has(at) {
		t.current = t.calendar.at(at)
	}
	return t.slot(t.current, v)
}

func (t *tally) slot(s span, v values) *Row {
	key := slot{s.from.UnixNano(), v}
	row := t.rows[key]
	if row == nil {
		row = &Row{From: s.from, To: s.to}
		if t.dims > 0 {
			row.Values = slices.Clone(v[:t.dims])
		}
		t.rows[key] = row
	}
	return row
}

// add takes over what another tally of the same report counted.
func (t *tally) add(o *tally) error {
	for key, row := range o.rows {
		if mine := t.rows[key]; mine != nil {
			mine.Counts = mine.Counts.Plus(row.Counts)
		} else {
			t.rows[key] = row
		}
	}
	if len(t.rows) > MaxRows {
		return errTooLong
	}
	return nil
}

// list gives the rows in order.
func (t *tally) list() []Row {
	if t.dims == 0 {
		for s := range t.calendar.all {
			t.slot(s, values{})
		}
	}
	rows := make([]Row, 0, len(t.rows))
	for row := range maps.Values(t.rows) {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(a.From.Compare(b.From), slices.CompareFunc(a.Values, b.Values, strings.Compare))
	})
	return rows
}
