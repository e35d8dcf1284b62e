package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// The audit can be read, in every format, and that it was read stands in it.
func TestAuditList(t *testing.T) {
	dir, run := storeSite(t)
	s := openSiteStore(t, dir)
	at := time.Date(2026, 3, 1, 8, 0, 0, 5e6, time.UTC)
	for _, e := range []store.Entry{
		{At: at, Actor: "os:root", Action: "agents.import", Object: "agents", Detail: `3 "added", 1 changed`},
		{At: at.Add(time.Minute), Actor: "os:root", Action: "agent.put", Object: "agent anna"},
		{At: at.AddDate(0, 0, 1), Actor: "os:root", Action: "agent.put", Object: "agent ben"},
	} {
		must(t, s.Audit(t.Context(), e))
	}
	list := func(args ...string) string {
		t.Helper()
		out, err := run(audit, append([]string{"list"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	day := []string{"-from", "2026-03-01"}

	const table = "AT                   NODE  ACTOR    ACTION         OBJECT      FROM  DETAIL\n" +
		"2026-03-01 08:01:00  n1    os:root  agent.put      agent anna        \n" +
		"2026-03-01 08:00:00  n1    os:root  agents.import  agents            3 \"added\", 1 changed\n"
	if got := list(day...); got != table {
		t.Errorf("table:\n%s", got)
	}
	rows, err := csv.NewReader(strings.NewReader(list(append(day, "-format", "csv", "-action", "agents.import")...))).ReadAll()
	want := []string{"2026-03-01T08:00:00.005Z", "n1", "1", "os:root", "agents.import", "agents", "", `3 "added", 1 changed`}
	if err != nil || len(rows) != 2 || !slices.Equal(rows[1], want) {
		t.Errorf("CSV: %q, %v", rows, err)
	}
	for object, found := range map[string]int{"agent ben": 1, "agent eve": 0} {
		var got struct{ Entries []store.Entry }
		text := list("-from", "2026-03-01", "-to", "2026-03-31", "-format", "json", "-object", object)
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Entries) != found {
			t.Errorf("JSON: %s, %v", text, err)
		}
	}
	// Later there are the readings alone.
	var later struct{ Entries []store.Entry }
	if err := json.Unmarshal([]byte(list("-from", "2026-03-03", "-to", "9999-12-31", "-format", "json")), &later); err != nil || len(later.Entries) != 5 {
		t.Fatalf("later: %+v, %v", later, err)
	}
	if e := later.Entries[4]; e.Action != "audit.read" || e.Object != "audit" || e.Detail != "from 2026-03-01T00:00:00Z, to 2026-03-02T00:00:00Z" || !strings.HasPrefix(e.Actor, "os:") {
		t.Errorf("the first reading: %+v", e)
	}
	for _, args := range [][]string{{"lits"}, {"list", "-format", "xml"}, {"list", "-from", "yesterday"}} {
		if _, err := run(audit, args...); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
