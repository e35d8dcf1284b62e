package report

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var someDay = time.Date(2026, 11, 22, 2, 43, 0, 0, time.UTC)

func TestParseSpan(t *testing.T) {
	for _, test := range []struct{ zone, from, to, wantFrom, wantTo string }{
		{"UTC", "", "", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"America/New_York", "", "", "2026-11-21T00:00:00-05:00", "2026-11-22T00:00:00-05:00"}, // not yet the 22nd there
		{"Europe/Berlin", "2026-03-29", "", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"Europe/Berlin", "2026-03-01", "2026-03-31", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"},
		{"Europe/Berlin", "2026-03-01T08:30", "", "2026-03-01T08:30:00+01:00", "2026-03-02T00:00:00+01:00"},
		{"Europe/Berlin", "2026-03-01 08:30", "2026-03-01T09:00:30", "2026-03-01T08:30:00+01:00", "2026-03-01T09:00:30+01:00"},
		{"Europe/Berlin", "2025-10-26T02:30:00+01:00", "2025-10-26T03:00", "2025-10-26T02:30:00+01:00", "2025-10-26T03:00:00+01:00"},
		{"America/Havana", "2026-03-08", "", "2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"},
		{"UTC", "1970-01-01", "9999-12-31", "1970-01-01T00:00:00Z", "10000-01-01T00:00:00Z"},
	} {
		from, to, err := ParseSpan(test.from, test.to, zone(t, test.zone), someDay)
		if err != nil {
			t.Errorf("%q to %q: %v", test.from, test.to, err)
			continue
		}
		got := [2]string{from.Format(time.RFC3339), to.Format(time.RFC3339)}
		if diff := cmp.Diff([2]string{test.wantFrom, test.wantTo}, got); diff != "" {
			t.Errorf("%q to %q in %s: want (-), got (+):\n%s", test.from, test.to, test.zone, diff)
		}
	}
}

func TestBadRequests(t *testing.T) {
	for _, r := range []Request{
		{From: "yesterday"}, {From: "2026-02-30"}, {From: "2026-03-01T25:00"}, {From: "0001-01-01"},
		{From: "2026-03-02", To: "2026-03-01"}, {From: "2026-03-01T08:00", To: "2026-03-01T08:00"},
		{Interval: "7m"}, {By: "queue,colour"},
	} {
		if _, err := r.Query(time.UTC, someDay); !errors.Is(err, ErrRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestRequest(t *testing.T) {
	got, err := Request{From: "2026-03-01", Interval: "1h", By: " queue, language,queue,", Resolution: true}.Query(time.UTC, someDay)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	want := Query{From: day, To: day.AddDate(0, 0, 1), Interval: Hour, By: []Dimension{ByQueue, ByLanguage}, Resolution: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for i := range intervalNames {
		if back, err := ParseInterval(Interval(i).String()); err != nil || back != Interval(i) {
			t.Errorf("%v is read back as %v, %v", Interval(i), back, err)
		}
	}
}

func FuzzParseSpan(f *testing.F) {
	f.Add("2026-03-01", "2026-03-31T08:30")
	f.Add("2025-10-26T02:30:00+01:00", "")
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, from, to string) {
		a, b, err := ParseSpan(from, to, berlin, someDay)
		if err == nil && !a.Before(b) || err != nil && !errors.Is(err, ErrRequest) {
			t.Errorf("%v to %v, %v", a, b, err)
		}
	})
}
