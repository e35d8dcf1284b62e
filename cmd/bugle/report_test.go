package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
)

// oneCall writes a call into a site's database, with a callback that is owed.
func oneCall(t *testing.T, dir string) {
	t.Helper()
	ctx, data := context.Background(), filepath.Join(dir, "data")
	v, err := vault.Inspect(ctx, config.Vault{}, data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(ctx, store.Options{DataDir: data, Node: "n1", Sealer: v})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	err = s.History(nil).Apply(ctx, store.Origin{Node: "n1", Log: "log"}, []event.Event{
		{Seq: 1, At: at, Call: "c1", Fact: event.CallStarted{Number: "helpline"}},
		{Seq: 2, At: at, Call: "c1", Fact: event.VisitJoined{Visit: "v1", Queue: "claims", Language: "en"}},
		{Seq: 3, At: at.Add(9 * time.Second), Call: "c1", Fact: event.VisitEnded{Visit: "v1", Queue: "claims", Language: "en", Result: event.Answered, Agent: "anna", Waited: 9 * time.Second}},
	})
	if err != nil {
		t.Fatal(err)
	}
	owed := store.FollowUp{ID: "v0", Kind: store.Promised, Queue: "claims", Caller: "+15550100", Place: at, DueFrom: at, DueTo: at.Add(time.Hour)}
	if _, err := s.AddFollowUp(ctx, owed); err != nil {
		t.Fatal(err)
	}
}

func TestReport(t *testing.T) {
	dir, run := storeSite(t)
	oneCall(t, dir)
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"-from", "2026-03-01"}, []string{
			"2026-03-01 00:00 until before 2026-03-02 00:00, UTC\n",
			"service level              100.0 %   (100.0 % of those answered, 100.0 % without short abandons, 100.0 % with abandons in time)\n",
			"promises kept                0.0 %   (1 due)\n", "2026-03-01 08:30        1         1 ", "2026-03-01 09:30        0 ",
		}},
		{[]string{"-from", "2026-03-01", "-to", "2026-03-31", "-interval", "day", "-by", "queue,language", "-format", "csv"}, []string{
			"\n2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,claims,en,1,1,1,0,",
		}},
		{[]string{"-from", "2026-03-01T08:30", "-interval", "none", "-format", "json", "-resolution"}, []string{
			`{"from":"2026-03-01T08:30:00Z","to":"2026-03-02T00:00:00Z","time_zone":"UTC","interval":"none",`, `"promises_due":1`,
		}},
		{nil, []string{"service level                    –"}}, // today
	} {
		said, err := run(reportOn, test.args...)
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
		}
		for _, want := range test.want {
			if !strings.Contains(said, want) {
				t.Errorf("%v lacks %q:\n%s", test.args, want, said)
			}
		}
		if strings.Contains(said, "15550100") {
			t.Errorf("%v shows a number", test.args)
		}
	}
	for _, args := range [][]string{{"-from", "yesterday"}, {"-format", "xml"}, {"-by", "colour"}, {"-interval", "7m"}, {"today"}} {
		if _, err := run(reportOn, args...); !errors.Is(err, errUsage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
