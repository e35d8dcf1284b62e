package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"github.com/bugle-voice/bugle/web"
	"github.com/google/go-cmp/cmp"
)

// said runs a subcommand and holds what it printed, or its error, against what is
// wanted.
func said(t *testing.T, run func(func(environment, []string) error, ...string) (string, error),
	command func(environment, []string) error, want string, args ...string) string {
	t.Helper()
	out, err := run(command, args...)
	if err != nil {
		out += err.Error()
	}
	if !strings.Contains(out, want) || want == "" && out != "" {
		t.Errorf("%v: got %q, want %q", args, out, want)
	}
	return out
}

func TestAgentsOneByOne(t *testing.T) {
	dir, run := storeSite(t)
	said(t, run, staff, "speaks no language", "put", "anna")
	said(t, run, staff, `unknown skill "clams"`, "put", "anna", "-languages", "en:5", "-skills", "clams:2")
	said(t, run, staff, "is also a number", "put", "helpline", "-languages", "en:5")
	said(t, run, staff, "write each once", "put", "anna", "-languages", "en")
	said(t, run, staff, "", "put", "anna", "-name", "Anna", "-languages", "en:5,es:1", "-skills", "claims:2")
	said(t, run, staff, "", "put", "anna", "-tier", "2")
	said(t, run, staff, "anna  Anna  2     en:5 es:1  claims:2", "list")
	said(t, run, staff, "", "put", "ben", "-languages", "en:1")
	said(t, run, staff, "", "remove", "anna")
	said(t, run, staff, "no such agent", "remove", "anna")

	file := filepath.Join(dir, "agents.csv")
	write(t, file, "id,languages\nmia,en:2\n", 0o600)
	said(t, run, staff, "1 agents added, 0 changed, 0 as they were, 0 removed", "import", file)
	said(t, run, staff, "0 agents added, 0 changed, 1 as they were, 1 removed", "import", "-all", file)
	if out := said(t, run, staff, "mia", "list"); strings.Contains(out, "ben") {
		t.Errorf("ben is still there: %s", out)
	}
}

func TestUsersFromNameToToken(t *testing.T) {
	dir, run := storeSite(t)
	said(t, run, users, "cannot be a name", "put", "a b")
	said(t, run, users, "no such role", "put", "sue", "-roles", "king")
	said(t, run, users, "", "put", "sue", "-name", "Sue", "-roles", "supervisor, auditor", "-agent", "anna")
	said(t, run, users, "sue  Sue   auditor,supervisor  anna   none", "list")
	token := strings.TrimSpace(said(t, run, users, "bugle_", "token", "sue"))
	said(t, run, users, "", "put", "sue", "-name", "Sue Day")
	said(t, run, users, "sue  Sue Day  auditor,supervisor  anna   yes", "list")
	s := openStoreOf(t, dir)
	if u, err := s.UserByToken(t.Context(), token); err != nil || u.ID != "sue" {
		t.Errorf("got %v, %v", u, err)
	}
	said(t, run, users, "", "remove", "sue")
	if out := said(t, run, users, "ID", "list"); strings.Contains(out, "sue") {
		t.Errorf("sue is still there: %s", out)
	}
	said(t, run, users, "no such user", "token", "sue")
	said(t, run, users, "was removed; -again", "put", "sue", "-name", "Sue")
	said(t, run, users, "no such user", "token", "sue")
	said(t, run, users, "", "put", "sue", "-again")
	said(t, run, users, "sue  Sue Day  auditor,supervisor  anna   none", "list")
	for _, args := range [][]string{{}, {"list", "x"}, {"put"}, {"fire", "sue"}} {
		said(t, run, users, "usage", args...)
	}
}

func TestFollowUpsFromListToEnd(t *testing.T) {
	dir, run := storeSite(t)
	s := openStoreOf(t, dir)
	now := time.Now()
	if _, err := s.AddFollowUp(t.Context(), store.FollowUp{
		ID: "f1", Kind: store.Callback, Queue: "claims", Language: "en", Caller: "+15550100",
		Place: now, DueFrom: now.Add(-time.Minute), DueTo: now.Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	if out := said(t, run, followUps, "f1  callback  claims", "list"); strings.Contains(out, "15550100") {
		t.Error("the list shows a number")
	}
	said(t, run, followUps, "call +15550100, claims, language en", "claim", "f1", "-for", "1h")
	said(t, run, followUps, operator().Actor, "list")
	said(t, run, followUps, "usage", "settle", "f1", "erased")
	said(t, run, followUps, "", "settle", "f1", "done")
	said(t, run, followUps, "", "settle", "f1", "done") // again, after an answer that was lost
	said(t, run, followUps, "settled", "settle", "f1", "failed")
	if out := said(t, run, followUps, "ID", "list"); strings.Contains(out, "f1") {
		t.Errorf("what is settled is listed: %s", out)
	}
	said(t, run, followUps, "done", "list", "-all")
	said(t, run, audit, "2 entries", "verify")
}

// What is settled over the API is a fact, so that the metrics know of the promise.
func TestSettlingOverTheAPITellsOfThePromise(t *testing.T) {
	dir, _ := storeSite(t)
	s := openStoreOf(t, dir)
	due := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	if _, err := s.AddFollowUp(t.Context(), store.FollowUp{ID: "f1", Kind: store.Callback, Queue: "claims", Language: "es", DueFrom: due.Add(-2 * time.Hour), DueTo: due}); err != nil {
		t.Fatal(err)
	}
	var told noted
	o := owed{s, &told}
	for range 2 { // the first answer got lost, perhaps before the fact was told
		if err := o.Settle(t.Context(), web.By{Actor: "tess"}, "f1", store.FollowUpDone); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]error{"f1": store.ErrNotHeld, "f2": store.ErrUnknownFollowUp} {
		if err := o.Settle(t.Context(), web.By{Actor: "tess"}, id, store.FollowUpFailed); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	fact := event.FollowUpSettled{FollowUp: "f1", Queue: "claims", Language: "es", Result: "done", DueTo: due}
	want := noted{fact, fact}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

// noted is the facts emitted.
type noted []event.Fact

func (n *noted) Emit(_ string, f event.Fact) { *n = append(*n, f) }

func openStoreOf(t *testing.T, dir string) *store.Store {
	t.Helper()
	data := filepath.Join(dir, "data")
	v, err := vault.Inspect(t.Context(), config.Vault{}, data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{DataDir: data, Node: "n1", Sealer: v})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
