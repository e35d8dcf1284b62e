package config

import "testing"

func TestZone(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "UTC",
		"time_zone: Europe/Berlin\n":      "Europe/Berlin",
		"time_zone: America/New_York\n":   "America/New_York",
		"time_zone: \"Asia/Kathmandu\"\n": "Asia/Kathmandu",
	} {
		if got := parse(t, small+text).Zone().String(); got != want {
			t.Errorf("%q: the zone is %s", text, got)
		}
	}
}
