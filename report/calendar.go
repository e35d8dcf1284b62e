package report

import (
	"fmt"
	"time"
)

// Interval is what a report's lines stand for.
type Interval uint8

// The intervals. A day has 23, 24 or 25 hours; the shorter ones are counted from
// its midnight.
const (
	Whole   Interval = iota // all of the time asked for, in one
	Quarter                 // 15 minutes
	Half                    // 30 minutes
	Hour
	Day
)

var intervalNames = [...]string{Whole: "none", Quarter: "15m", Half: "30m", Hour: "60m", Day: "day"}

// String gives the interval as ParseInterval reads it.
func (i Interval) String() string { return intervalNames[i] }

// ParseInterval reads 15m, 30m, 60m (1h), day or none. ErrRequest.
func ParseInterval(s string) (Interval, error) {
	for i, name := range intervalNames {
		if s == name {
			return Interval(i), nil
		}
	}
	if s == "1h" {
		return Hour, nil
	}
	return 0, fmt.Errorf("%w: interval %q: it is 15m, 30m, 60m, day or none", ErrRequest, s)
}

// length is 0 for what has none of its own.
func (i Interval) length() time.Duration {
	switch i {
	case Quarter:
		return 15 * time.Minute
	case Half:
		return 30 * time.Minute
	case Hour:
		return time.Hour
	}
	return 0
}

// span is a stretch of time, from one moment until before another.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// within cuts off what lies outside of another span; none may be left.
func (s span) within(o span) span {
	if s.from.Before(o.from) {
		s.from = o.from
	}
	if s.to.After(o.to) {
		s.to = o.to
	}
	return s
}

// calendar cuts time into intervals in a time zone. Whatever the zone does, each
// moment is in exactly one interval.
type calendar struct {
	zone     *time.Location
	interval Interval
	whole    span // what is asked for; intervals are cut to it
}

// at gives the interval that holds a moment of the whole.
func (c calendar) at(t time.Time) span {
	if c.interval == Whole {
		return c.whole
	}
	day := dayOf(t, c.zone)
	length := c.interval.length()
	if length == 0 {
		return day.within(c.whole)
	}
	from := day.from.Add(t.Sub(day.from) / length * length)
	return span{from, from.Add(length)}.within(day).within(c.whole)
}

// all gives the intervals in order.
func (c calendar) all(yield func(span) bool) {
	for t := c.whole.from; t.Before(c.whole.to); {
		s := c.at(t)
		if !yield(s) {
			return
		}
		t = s.to
	}
}

// quarters says whether every interval begins with a quarter of an hour, as the store
// sums them up. In the time zones of today all do that are asked for by the quarter.
func (c calendar) quarters() bool {
	begins := func(t time.Time) bool { return t.UnixMilli()%(15*time.Minute).Milliseconds() == 0 }
	for s := range c.all {
		if !begins(s.from) {
			return false
		}
	}
	return begins(c.whole.to)
}

// dayOf gives the day that holds a moment in a zone.
func dayOf(t time.Time, zone *time.Location) span {
	y, m, d := t.In(zone).Date()
	from, to := midnight(y, m, d, zone), midnight(y, m, d+1, zone)
	// Where clocks go back over midnight the date alone doesn't tell, and where
	// a zone changed sides of the date line a day is missing.
	for i := 1; !t.Before(to); i++ {
		from, to = to, midnight(y, m, d+1+i, zone)
	}
	for i := 1; t.Before(from); i++ {
		from, to = midnight(y, m, d-i, zone), from
	}
	return span{from.In(zone), to.In(zone)}
}

// midnight gives the first moment of a day. time.Date does not where clocks
// change at midnight: 00:00 may then come twice, or never.
func midnight(y int, m time.Month, d int, zone *time.Location) time.Time {
	noon := time.Date(y, m, d, 12, 0, 0, 0, zone)
	at := noon.Add(-12 * time.Hour) // if nothing changes in the morning
	changed, _ := noon.ZoneBounds()
	if changed.IsZero() || changed.Before(at) {
		return at
	}
	_, offset := changed.Add(-time.Nanosecond).Zone()
	before := time.Date(y, m, d, 0, 0, 0, 0, time.FixedZone("", offset))
	if before.Before(changed) {
		return before.In(zone)
	}
	if at.After(changed) {
		return at
	}
	return changed // the change jumps over midnight
}
