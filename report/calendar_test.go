package report

import (
	"testing"
	"time"
)

// Each moment of a day is in one interval, and the day has the intervals that
// its clocks say.
func TestIntervalsOfDays(t *testing.T) {
	for _, test := range []struct {
		zone, day string
		length    time.Duration
		quarters  int
	}{
		{"Europe/Berlin", "2025-06-01", 24 * time.Hour, 96},
		{"Europe/Berlin", "2025-03-30", 23 * time.Hour, 92},
		{"Europe/Berlin", "2025-10-26", 25 * time.Hour, 100},
		{"America/New_York", "2025-03-09", 23 * time.Hour, 92},
		{"America/New_York", "2025-11-02", 25 * time.Hour, 100},
		{"UTC", "2025-10-26", 24 * time.Hour, 96},
		{"Asia/Kathmandu", "2025-10-26", 24 * time.Hour, 96}, // +05:45
		{"Australia/Lord_Howe", "2025-04-06", 24*time.Hour + 30*time.Minute, 98},
		{"Asia/Beirut", "2025-03-30", 23 * time.Hour, 92},       // 00:00 is never
		{"America/Havana", "2025-03-09", 23 * time.Hour, 92},    // 00:00 is never
		{"America/Havana", "2025-11-02", 25 * time.Hour, 100},   // 00:00 is twice
		{"America/Santiago", "2025-04-05", 25 * time.Hour, 100}, // the hour before midnight is twice
		{"America/St_Johns", "2010-11-06", 25 * time.Hour, 100}, // as of 00:01, the first minute of the 7th too
	} {
		z := zone(t, test.zone)
		from, to, err := ParseSpan(test.day, "", z, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := to.Sub(from); got != test.length {
			t.Errorf("%s %s has %v: %v to %v", test.zone, test.day, got, from, to)
		}
		for interval, want := range map[Interval]int{Quarter: test.quarters, Half: (test.quarters + 1) / 2, Hour: (test.quarters + 3) / 4, Day: 1, Whole: 1} {
			n, next := 0, from
			for s := range (calendar{z, interval, span{from, to}}).all {
				if !s.from.Equal(next) || !s.to.After(s.from) {
					t.Fatalf("%s %s by %v: %v follows %v", test.zone, test.day, interval, s, next)
				}
				n, next = n+1, s.to
			}
			if n != want || !next.Equal(to) {
				t.Errorf("%s %s by %v: %d intervals until %v, want %d", test.zone, test.day, interval, n, next, want)
			}
		}
	}
}

// The hour that comes twice has two sets of intervals, the one that never comes
// has none.
func TestIntervalsWhereClocksChange(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		moment   string // UTC
		interval Interval
		from, to string // local
	}{
		{"2025-10-26T00:07:00Z", Quarter, "2025-10-26T02:00:00+02:00", "2025-10-26T02:15:00+02:00"},
		{"2025-10-26T00:59:59Z", Quarter, "2025-10-26T02:45:00+02:00", "2025-10-26T02:00:00+01:00"},
		{"2025-10-26T01:00:00Z", Quarter, "2025-10-26T02:00:00+01:00", "2025-10-26T02:15:00+01:00"},
		{"2025-10-26T00:30:00Z", Hour, "2025-10-26T02:00:00+02:00", "2025-10-26T02:00:00+01:00"},
		{"2025-10-26T01:30:00Z", Hour, "2025-10-26T02:00:00+01:00", "2025-10-26T03:00:00+01:00"},
		{"2025-10-26T22:59:59Z", Day, "2025-10-26T00:00:00+02:00", "2025-10-27T00:00:00+01:00"},
		{"2025-03-30T00:59:59Z", Half, "2025-03-30T01:30:00+01:00", "2025-03-30T03:00:00+02:00"},
		{"2025-03-30T01:00:00Z", Half, "2025-03-30T03:00:00+02:00", "2025-03-30T03:30:00+02:00"},
	} {
		moment, err := time.Parse(time.RFC3339, test.moment)
		if err != nil {
			t.Fatal(err)
		}
		c := calendar{z, test.interval, span{moment.AddDate(0, 0, -7), moment.AddDate(0, 0, 7)}}
		s := c.at(moment)
		if from, to := s.from.Format(time.RFC3339), s.to.Format(time.RFC3339); from != test.from || to != test.to {
			t.Errorf("%s by %v is in %s to %s", test.moment, test.interval, from, to)
		}
	}
}

// Whatever a zone did in these years, days follow each other without gap or
// overlap. Samoa skipped a day, Santiago and Havana change at midnight.
func TestDaysFollowEachOther(t *testing.T) {
	for _, name := range []string{
		"Europe/Berlin", "America/New_York", "America/Havana", "America/Santiago", "America/St_Johns", "America/Sao_Paulo", "Asia/Beirut",
		"Asia/Gaza", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kwajalein", "Asia/Pyongyang", "Antarctica/Troll",
	} {
		z := zone(t, name)
		from, to := time.Date(1990, 1, 1, 12, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		previous := dayOf(from, z)
		for previous.to.Before(to) {
			day := dayOf(previous.to, z)
			last := dayOf(day.to.Add(-time.Millisecond), z)
			if length := day.to.Sub(day.from); !day.from.Equal(previous.to) || last != day || length < 20*time.Hour || length > 28*time.Hour {
				t.Fatalf("%s: %v follows %v; its last moment is in %v", name, day, previous, last)
			}
			previous = day
		}
	}
}

// Intervals are cut to what is asked for.
func TestIntervalsAreCut(t *testing.T) {
	at := func(h, m int) time.Time { return time.Date(2026, 3, 1, h, m, 0, 0, time.UTC) }
	var got []span
	for s := range (calendar{time.UTC, Quarter, span{at(8, 7), at(8, 40)}}).all {
		got = append(got, s)
	}
	want := []span{{at(8, 7), at(8, 15)}, {at(8, 15), at(8, 30)}, {at(8, 30), at(8, 40)}}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}
