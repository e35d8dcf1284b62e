package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
)

type audited struct {
	acts []Act
	err  error
}

func (a *audited) Audit(_ context.Context, act Act) error {
	a.acts = append(a.acts, act)
	return a.err
}

func TestAuditIsToldWhoDidWhatFromWhere(t *testing.T) {
	to := &audited{}
	a := &auditing{to: to, log: slog.New(slog.DiscardHandler)}
	r := httptest.NewRequest("POST", "/api/v1/agents/anna/state", nil)
	r = r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{actor: "token"}))
	r.RemoteAddr = "192.0.2.7:4711"
	if !a.tell(r, "agent.state", "agent anna", "paused") {
		t.Fatal("the audit was not told")
	}
	want := Act{Actor: "token", Action: "agent.state", Object: "agent anna", From: "192.0.2.7", Detail: "paused"}
	if len(to.acts) != 1 || to.acts[0] != want {
		t.Errorf("told %+v, want %+v", to.acts, want)
	}
	to.err = errors.New("the database is away")
	if a.tell(r, "calls.search", "calls", "") {
		t.Error("it says the audit was told although it was not")
	}
}

// Free text of who asks never stands in the audit.
func TestTheAuditNamesAgentsAndStatesAlone(t *testing.T) {
	to := &audited{}
	s := serve(t, Options{Audit: to})
	for path, body := range map[string]string{
		"/api/v1/agents/15550100999/state": `{"state":"ready"}`,
		"/api/v1/agents/anna/state":        `{"state":"called 15550100999"}`,
	} {
		if a := ask(t, s, "POST", path, body, "Content-Type", "application/json"); a.status/100 != 4 {
			t.Errorf("%s %s: %d", path, body, a.status)
		}
	}
	if len(to.acts) != 0 {
		t.Errorf("the audit has %+v", to.acts)
	}
}

// What the audit can't be told of is not done.
func TestNothingIsDoneBehindTheAudit(t *testing.T) {
	d := &desk{}
	s := serve(t, Options{Agents: d, Audit: &audited{err: errors.New("the disk is gone")}})
	if a := ask(t, s, "POST", "/api/v1/agents/anna/state", `{"state":"paused"}`, "Content-Type", "application/json"); a.status != 503 || a.code() != "unavailable" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if len(d.asked) != 0 {
		t.Errorf("done all the same: %v", d.asked)
	}
}
