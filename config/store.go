package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Store is where lasts what must last. Without postgres it is an SQLite file
// in data_dir, which serves one node; nodes of one domain share a PostgreSQL.
type Store struct {
	Postgres  string    `yaml:"postgres" secret:"yes"` // postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full
	Retention Retention `yaml:"retention"`
}

// Retention is for how long each class of what is stored is kept. What is
// older is deleted.
type Retention struct {
	Records    Period `yaml:"records"`    // calls and all that belongs to them; default 7y
	Callers    Period `yaml:"callers"`    // the caller's number in those; default: as long as the records
	Recordings Period `yaml:"recordings"` // what callers said and we kept; default 7y
	FollowUps  Period `yaml:"follow_ups"` // calls we owed someone, once they are settled; default 7y
	Audit      Period `yaml:"audit"`      // who did what; default 7y
}

func (s *Store) defaults() {
	seven := Period{Years: 7}
	s.Retention = Retention{Records: seven, Recordings: seven, FollowUps: seven, Audit: seven}
}

// Period is a length of time on the calendar: whole years or days, written
// "7y" or "90d". The zero Period has not been set.
type Period struct{ Years, Days int }

// Before gives the moment that lies the period before another.
func (p Period) Before(t time.Time) time.Time { return t.AddDate(-p.Years, 0, -p.Days) }

var period = regexp.MustCompile(`^([0-9]{1,5})([yd])$`)

// UnmarshalText reads "7y" or "90d".
func (p *Period) UnmarshalText(b []byte) error {
	m := period.FindSubmatch(b)
	if m == nil {
		return fmt.Errorf("read period %q: not whole years or days", b)
	}
	n, _ := strconv.Atoi(string(m[1])) // at most five digits
	if *p = (Period{Days: n}); m[2][0] == 'y' {
		*p = Period{Years: n}
	}
	return nil
}

// String writes the period as it is written in the file.
func (p Period) String() string {
	if p.Years > 0 {
		return fmt.Sprintf("%dy", p.Years)
	}
	return fmt.Sprintf("%dd", p.Days)
}

func (k *checker) store() {
	s := k.Store
	if s.Postgres != "" && !strings.HasPrefix(s.Postgres, "postgres://") && !strings.HasPrefix(s.Postgres, "postgresql://") {
		k.bad(at("store", "postgres"), "store.postgres is not the address of a database",
			"write it as postgres://USER:PASSWORD@HOST/DATABASE") // the value is a secret
	}
	for _, r := range []struct {
		class string
		kept  Period
	}{{"records", s.Retention.Records}, {"recordings", s.Retention.Recordings}, {"follow_ups", s.Retention.FollowUps}, {"audit", s.Retention.Audit}} {
		if r.kept == (Period{}) {
			k.bad(at("store", "retention", r.class), fmt.Sprintf("store.retention.%s is nothing at all", r.class), "write for how long: 7y or 90d")
		}
	}
}
