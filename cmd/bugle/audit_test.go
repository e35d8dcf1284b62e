package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"github.com/bugle-voice/bugle/web"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// auditOf gives what stands in the audit of a site, as "action object".
func auditOf(t *testing.T, dir string) (acts []string) {
	t.Helper()
	s := openSiteStore(t, dir)
	for e, err := range s.Entries(t.Context(), time.UnixMilli(0), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Actor, "os:") && !strings.HasPrefix(e.Actor, "api:") {
			t.Errorf("%s: done by %q", e.Action, e.Actor)
		}
		acts = append(acts, e.Action+" "+e.Object)
	}
	return acts
}

// openLog opens the event log of a site as its node does.
func openLog(t *testing.T, dir string) *event.Log {
	t.Helper()
	data := filepath.Join(dir, "data")
	keys, err := vault.Inspect(t.Context(), config.Vault{}, data)
	if err != nil {
		t.Fatal(err)
	}
	l, err := event.Open(event.Options{Dir: filepath.Join(data, eventDir), Node: "n1", Seal: keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// What a tool does that touches something private stands in the audit.
func TestToolsAreAudited(t *testing.T) {
	dir, run := storeSite(t)
	if err := openLog(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "agents.csv")
	write(t, file, "id,name,tier,languages,skills\nanna,Anna Reed,1,en:5,claims:4\n", 0o600)
	typing := func(e environment, args []string) error {
		e.in = strings.NewReader("secret\n")
		return passwd(e, args)
	}
	for _, step := range []struct {
		command func(environment, []string) error
		args    []string
	}{
		{staff, []string{"import", file}},
		{typing, []string{"anna"}},
		{events, nil},
		{events, []string{"-call", "c1"}},
		{keyset, []string{"rotate"}},
		{keyset, []string{"rotate", "-out", filepath.Join(dir, "next.json")}},
	} {
		if said, err := run(step.command, step.args...); err != nil {
			t.Fatalf("%v: %v\n%s", step.args, err, said)
		}
	}
	if _, err := run(typing, "nobody"); err == nil {
		t.Error("nobody got a password")
	}
	want := []string{"agents.import agents", "agent.password agent anna", "events.read events of all calls", "events.read events of call c1", "vault.rotate keyset", "vault.rotate keyset"}
	if got := auditOf(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A keyset is made before there is an audit, which has it first.
func TestVaultInitIsAudited(t *testing.T) {
	dir, run := vaultSite(t, "node: n1\n")
	if _, err := run("init"); err != nil {
		t.Fatal(err)
	}
	if got := auditOf(t, dir); !slices.Equal(got, []string{"vault.init keyset"}) {
		t.Errorf("got %q", got)
	}
}

// Over the API an act is in the event log before it is done, needs no database
// for that, and is refused where the log can't be written.
func TestApiActsAreAuditedThroughTheLog(t *testing.T) {
	dir, run := storeSite(t)
	log := openLog(t, dir)
	a := auditor{log}
	act := web.Act{Actor: "token", Action: "agent.state", Object: "agent anna", From: "192.0.2.7", Detail: "paused"}
	if err := a.Audit(t.Context(), act); err != nil {
		t.Fatal(err)
	}
	reader, err := log.Reader("history")
	if err != nil {
		t.Fatal(err)
	}
	told, err := reader.Next(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	want := event.Audited{Actor: "api:token", Action: "agent.state", Object: "agent anna", From: "192.0.2.7", Detail: "paused"}
	if got := told[len(told)-1].Fact; got != want {
		t.Errorf("the log has %+v, want %+v", got, want)
	}
	s := openSiteStore(t, dir)
	if err := s.History(nil).Apply(t.Context(), store.Origin{Node: "n1", Log: log.ID()}, told); err != nil {
		t.Fatal(err)
	}
	if got := auditOf(t, dir); !slices.Equal(got, []string{"agent.state agent anna"}) {
		t.Errorf("got %q", got)
	}

	// The head goes into the log, and an emptied audit is found by it.
	v := &voucher{store: s, events: log}
	for range 3 {
		if err := v.vouch(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(log.Collectors()[0]); n != 3 {
		t.Errorf("%v events, want the start, the act and one head", n)
	}
	if said, err := run(audit, "verify"); err != nil || said != "1 entries of 1 nodes, 0 anchors, 1 heads in the event log: well\n" {
		t.Errorf("got %q, %v", said, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(filepath.Join(dir, "data", "bugle.db"+end)) // the latter two need not be there
	}
	empty := openSiteStore(t, dir)
	if said, err := run(audit, "verify"); err == nil || !strings.Contains(said, "node n1, entry 1: missing, as is the whole chain: event 3 of the log vouches for it\n") {
		t.Errorf("of an emptied audit: %q, %v", said, err)
	}
	v.store = empty
	if err := v.vouch(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if said, err := run(audit, "verify"); err == nil || !strings.Contains(said, "found broken at entry 1: is gone, as the event log knows it") {
		t.Errorf("after the next head: %q, %v", said, err)
	}

	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Audit(context.Background(), act); err == nil {
		t.Error("the audit was told through a closed log")
	}
}

func openSiteStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	data := filepath.Join(dir, "data")
	keys, err := vault.Inspect(t.Context(), config.Vault{}, data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{DataDir: data, Node: "n1", Sealer: keys, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
