package config

import (
	"testing"
	"time"
)

func TestStoreDefaults(t *testing.T) {
	s := parse(t, small+"store: {retention: {callers: 90d, audit: 10y}}\n").Store
	want := Store{Retention: Retention{
		Records: Period{Years: 7}, Callers: Period{Days: 90}, Recordings: Period{Years: 7}, FollowUps: Period{Years: 7}, Audit: Period{Years: 10},
	}}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

// A period is of the calendar: leap days count.
func TestPeriodBefore(t *testing.T) {
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"7y":  time.Date(2019, 11, 22, 2, 0, 0, 0, time.UTC),
		"30d": time.Date(2026, 10, 23, 2, 0, 0, 0, time.UTC),
	} {
		var p Period
		if err := p.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := p.Before(now); !got.Equal(want) || p.String() != text {
			t.Errorf("%s, written %s, before %v: %v, want %v", text, p, now, got, want)
		}
	}
	for _, text := range []string{"", "7", "y", "-1d", "1.5y", "7y90d", "7m"} {
		if err := new(Period).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
