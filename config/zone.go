package config

import (
	"fmt"
	"time"
)

// Zone is the site's time zone.
func (c *Config) Zone() *time.Location {
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return time.UTC // the check allows only zones that are known
	}
	return zone
}

func (k *checker) zone() {
	// Go also takes "" for UTC and "Local" for whatever the machine is set to.
	_, err := time.LoadLocation(k.TimeZone)
	if err != nil || k.TimeZone == "" || k.TimeZone == "Local" {
		k.bad(at("time_zone"), fmt.Sprintf("time_zone %q is none that is known", k.TimeZone),
			"write its name in the IANA database, such as Europe/Berlin or America/New_York")
	}
}
