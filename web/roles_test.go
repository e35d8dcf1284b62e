package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/store"
	"github.com/google/go-cmp/cmp"
)

// people are users by their token.
type people map[string]store.User

func (p people) UserByToken(_ context.Context, token string) (store.User, error) {
	u, ok := p[token]
	switch {
	case token == "broken":
		return u, errors.New("the database is away")
	case !ok:
		return u, store.ErrUnknownUser
	}
	return u, nil
}

var everybody = people{
	"sue-token": {ID: "sue", Roles: []store.Role{store.RoleSupervisor}},
	"ann-token": {ID: "ann", Agent: "anna", Roles: []store.Role{store.RoleAgent}},
	"joe-token": {ID: "joe", Roles: []store.Role{store.RoleAgent}}, // is no agent
	"tom-token": {ID: "tom", Roles: []store.Role{store.RoleAuditor}},
	"max-token": {ID: "max", Roles: []store.Role{store.RoleAdmin}},
	"nil-token": {ID: "nil"},
}

// cabinet keeps agents and follow-ups for tests.
type cabinet struct{ done []string }

func (c *cabinet) note(by By, id, what string) error {
	if id == "eve" {
		return ErrUnknownAgent
	}
	c.done = append(c.done, by.Actor+" "+what)
	return nil
}

func (c *cabinet) Put(_ context.Context, by By, id string, a config.Agent) error {
	if a.Tier > 3 {
		return BadRequest("tier is 4: it must be from 1 to 3")
	}
	return c.note(by, id, "put "+id+" "+a.Name)
}
func (c *cabinet) Remove(_ context.Context, by By, id string) error {
	return c.note(by, id, "remove "+id)
}

var someFollowUps = []store.FollowUp{
	{ID: "f1", Kind: store.Callback, Queue: "claims", Caller: "+15550100"},
	{ID: "f2", Kind: store.Callback, Queue: "claims", Settled: time.Unix(1, 0).UTC(), Result: store.FollowUpDone},
}

func (c *cabinet) Owed(_ context.Context, q store.FollowUpSearch) (store.FollowUpPage, error) {
	switch {
	case q.After == "x":
		return store.FollowUpPage{}, store.ErrBadPage
	case q.Limit == 1:
		return store.FollowUpPage{FollowUps: someFollowUps[:1], Next: "more"}, nil
	case q.Settled.IsZero():
		return store.FollowUpPage{FollowUps: someFollowUps[:1]}, nil
	}
	return store.FollowUpPage{FollowUps: someFollowUps}, nil
}

func (c *cabinet) Claim(_ context.Context, by By, id string, hold time.Duration) (store.FollowUp, error) {
	switch id {
	case "f1":
		return someFollowUps[0], c.note(by, id, "claim f1 "+hold.String())
	case "f2":
		return store.FollowUp{}, store.ErrNotHeld
	}
	return store.FollowUp{}, store.ErrUnknownFollowUp
}

func (c *cabinet) Settle(_ context.Context, by By, id string, result store.FollowUpResult) error {
	if id == "f9" {
		return errors.New("the database is away")
	}
	return c.note(by, id, "settle "+id+" "+string(result))
}

// Who may do what: each role against each kind of route.
func TestRoles(t *testing.T) {
	files := &cabinet{}
	s := serve(t, Options{Config: config.HTTP{Token: "sesame"}, Users: everybody, Agents: &desk{more: []Agent{{ID: "cleo"}}}, Staff: files, FollowUps: files, Traces: traced{},
		Trail: &trailBook{}, Callers: &callerBook{}, Hash: hashSome})
	const good = `{"name":"A","languages":{"en":5}}`
	for _, test := range []struct {
		method, path, body string
		may                string // users who may, by the first letter of their tokens
	}{
		{"GET", "/api/v1/agents", "", "sajm"},
		{"GET", "/api/v1/agents/anna", "", "sajm"},
		{"PUT", "/api/v1/agents/anna", good, "m"},
		{"DELETE", "/api/v1/agents/anna", "", "m"},
		{"POST", "/api/v1/agents/anna/state", `{"state":"ready"}`, "sam"},
		{"POST", "/api/v1/agents/cleo/state", `{"state":"ready"}`, "sm"},
		{"GET", "/api/v1/queues", "", "sajm"},
		{"GET", "/api/v1/calls/c1/trace", "", "sm"},
		{"GET", "/api/v1/audit", "", "tm"},
		{"POST", "/api/v1/callers/export", `{"caller":"+1 555 010 0999"}`, "m"},
		{"GET", "/api/v1/followups", "", "sm"},
		{"POST", "/api/v1/followups/f1/claim", "{}", "sm"},
		{"POST", "/api/v1/followups/f1/settle", `{"result":"done"}`, "sm"},
	} {
		for token := range everybody {
			a := ask(t, s, test.method, test.path, test.body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
			want := strings.Contains(test.may, token[:1])
			if got := a.status < 300; got != want || !want && (a.status != http.StatusForbidden || a.code() != "forbidden") {
				t.Errorf("%s %s by %s: %d %s", test.method, test.path, token, a.status, a.body)
			}
		}
		if a := ask(t, s, test.method, test.path, test.body, "Authorization", "Bearer sesame", "Content-Type", "application/json"); a.status >= 300 {
			t.Errorf("%s %s by the token of the configuration: %d", test.method, test.path, a.status)
		}
		if a := ask(t, s, test.method, test.path, test.body, "Authorization", "Bearer nobody"); a.status != http.StatusUnauthorized {
			t.Errorf("%s %s by nobody: %d", test.method, test.path, a.status)
		}
		if a := ask(t, s, test.method, test.path, test.body, "Authorization", "Bearer broken"); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s %s while users can't be read: %d", test.method, test.path, a.status)
		}
	}
}

// A user's token is good beside a loopback that needs none, and a wrong one is
// refused even there.
func TestTokenWithoutConfiguredOne(t *testing.T) {
	files := &cabinet{}
	s := serve(t, Options{Users: everybody, Staff: files})
	for header, want := range map[string]int{"": 204, "Bearer max-token": 204, "Bearer sue-token": 403, "Bearer wrong": 401, "Basic x": 401} {
		headers := []string{"Authorization", header}
		if header == "" {
			headers = nil
		}
		if a := ask(t, s, "DELETE", "/api/v1/agents/anna", "", headers...); a.status != want {
			t.Errorf("%q: %d, want %d", header, a.status, want)
		}
	}
	sameActs(t, files.done, "loopback remove anna", "user:max remove anna")
}

func sameActs(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPutAndRemoveAgents(t *testing.T) {
	for _, test := range []struct {
		method, id, body string
		status           int
		code, done       string
	}{
		{"PUT", "anna", `{"name":"Anna","tier":2,"languages":{"en":5},"skills":{}}`, 204, "", "loopback put anna Anna"},
		{"PUT", "anna", `{"tier":4}`, 400, "bad_agent", ""},
		{"PUT", "anna", `{"nmae":"Anna"}`, 400, "bad_json", ""},
		{"DELETE", "anna", "", 204, "", "loopback remove anna"},
		{"DELETE", "eve", "", 404, "unknown_agent", ""},
		{"GET", "eve", "", 404, "unknown_agent", ""},
		{"GET", "anna", "", 200, "", ""},
	} {
		files := &cabinet{}
		a := ask(t, serve(t, Options{Staff: files}), test.method, "/api/v1/agents/"+test.id, test.body, asJSON...)
		if a.status != test.status || a.code() != test.code || strings.Join(files.done, ";") != test.done {
			t.Errorf("%s %s %s: %d %s, done %q", test.method, test.id, test.body, a.status, a.body, files.done)
		}
	}
}

func TestFollowUps(t *testing.T) {
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string // of the error, or in the answer
		done               string
	}{
		{"GET", "", "", 200, `"id":"f1"`, ""},
		{"GET", "?all=true&days=30", "", 200, `"result":"done"`, ""},
		{"GET", "?days=x", "", 400, "bad_days", ""},
		{"GET", "?limit=1", "", 200, `"next":"more"`, ""},
		{"GET", "?limit=1001", "", 400, "bad_limit", ""},
		{"GET", "?after=x", "", 400, "bad_after", ""},
		{"POST", "/f1/claim", `{}`, 200, `"number":"+15550100"`, "loopback claim f1 30m0s"},
		{"POST", "/f1/claim", `{"for":"2h"}`, 200, `"number":"+15550100"`, "loopback claim f1 2h0m0s"},
		{"POST", "/f1/claim", `{"for":"25h"}`, 400, "bad_for", ""},
		{"POST", "/f2/claim", `{}`, 409, "not_held", ""},
		{"POST", "/f3/claim", `{}`, 404, "unknown_followup", ""},
		{"POST", "/f1/settle", `{"result":"failed"}`, 204, "", "loopback settle f1 failed"},
		{"POST", "/f1/settle", `{"result":"erased"}`, 400, "bad_result", ""},
		{"POST", "/f9/settle", `{"result":"done"}`, 503, "unavailable", ""},
	} {
		files := &cabinet{}
		a := ask(t, serve(t, Options{FollowUps: files}), test.method, "/api/v1/followups"+test.path, test.body, asJSON...)
		if a.status != test.status || !strings.Contains(a.body, test.want) || strings.Join(files.done, ";") != test.done {
			t.Errorf("%s %s %s: %d %s, done %q", test.method, test.path, test.body, a.status, a.body, files.done)
		}
	}
	a := ask(t, serve(t, Options{FollowUps: &cabinet{}}), "GET", "/api/v1/followups?all=true", "")
	if strings.Contains(a.body, "15550100") {
		t.Error("the list shows a number")
	}
}
