package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Query says what a report is about.
type Query struct {
	From, To time.Time // visits that joined from, until before
	Interval Interval
	By       []Dimension // each line is of one value of each of them

	// Resolution asks for first-contact resolution too: the database looks up the
	// calls of each caller in the 7 days before and after.
	Resolution bool
}

// Dimension is something by which a report can be split up.
type Dimension string

// The dimensions. Agent is who answered, also of a talk that he handed on, and tier
// the highest that the caller reached; both are empty for visits that nobody answered.
const (
	ByQueue    Dimension = "queue"
	ByLanguage Dimension = "language"
	ByTier     Dimension = "tier"
	ByNumber   Dimension = "number" // dialled
	ByAgent    Dimension = "agent"
	ByClass    Dimension = "class" // subject class: routine, clinical
)

var dimensions = []Dimension{ByQueue, ByLanguage, ByTier, ByNumber, ByAgent, ByClass}

// ErrRequest is a report that cannot be made as it is asked for; the message
// says what to change.
var ErrRequest = errors.New("bad request")

// Request is a Query as people write it, on a command line or in a URL.
type Request struct {
	From, To string // see ParseSpan
	Interval string // as ParseInterval reads it; default 15m
	By       string // "queue,language"; default: nothing

	Resolution bool
}

// Query reads a request in a site's time zone. ErrRequest.
func (r Request) Query(zone *time.Location, now time.Time) (Query, error) {
	q := Query{Interval: Quarter, Resolution: r.Resolution}
	var err error
	if q.From, q.To, err = ParseSpan(r.From, r.To, zone, now); err != nil {
		return Query{}, err
	}
	if r.Interval != "" {
		if q.Interval, err = ParseInterval(r.Interval); err != nil {
			return Query{}, err
		}
	}
	for name := range strings.SplitSeq(r.By, ",") {
		d := Dimension(strings.TrimSpace(name))
		switch {
		case d == "":
			continue
		case !slices.Contains(dimensions, d):
			return Query{}, fmt.Errorf("%w: it can't be split by %q: it can by queue, language, tier, number, agent and class", ErrRequest, d)
		case !slices.Contains(q.By, d):
			q.By = append(q.By, d)
		}
	}
	return q, nil
}

// Layouts of a moment in the site's time zone.
var layouts = []string{"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"}

// ParseSpan reads from when until when. A date alone means all of that day, as
// the beginning and as the end: "2026-03-01" to "2026-03-31" is March. A time
// of day (2026-03-01T08:30) is the site's, unless it says its offset as RFC 3339
// does; an end with a time of day is not part of the span. Without a beginning it
// is today, without an end the whole of the day that it begins on. ErrRequest.
func ParseSpan(from, to string, zone *time.Location, now time.Time) (time.Time, time.Time, error) {
	first, err := parseMoment("from", from, zone, dayOf(now, zone))
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	last, err := parseMoment("to", to, zone, dayOf(first.from, zone))
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if !last.to.After(first.from) {
		return time.Time{}, time.Time{}, fmt.Errorf("%w: it ends %s before it begins %s", ErrRequest,
			last.to.Format(time.RFC3339), first.from.Format(time.RFC3339))
	}
	return first.from, last.to, nil
}

// parseMoment gives the day that a date means, or a moment as a span of nothing.
func parseMoment(name, s string, zone *time.Location, otherwise span) (span, error) {
	if s == "" {
		return otherwise, nil
	}
	day, err := time.Parse(time.DateOnly, s)
	if err == nil && day.Year() >= 1970 {
		y, m, d := day.Date()
		return dayOf(midnight(y, m, d, zone), zone), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	for _, layout := range layouts {
		if err == nil {
			break
		}
		t, err = time.ParseInLocation(layout, s, zone)
	}
	if err != nil || t.Year() < 1970 {
		return span{}, fmt.Errorf("%w: %s is %q: write it as 2026-03-01 or 2026-03-01T08:30", ErrRequest, name, s)
	}
	return span{t.In(zone), t.In(zone)}, nil
}
