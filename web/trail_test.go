package web

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/store"
	"github.com/google/go-cmp/cmp"
)

// trailBook gives one entry and remembers what was looked for.
type trailBook struct {
	asked store.EntrySearch
	fails error
}

func (b *trailBook) Trail(_ context.Context, q store.EntrySearch) (store.EntryPage, error) {
	b.asked = q
	return store.EntryPage{Next: "more", Entries: []store.Entry{{Node: "n1", Seq: 7, At: time.Date(2026, 3, 1, 8, 0, 0, 5e6, time.UTC),
		Actor: "os:root", Action: "recording.export", Object: "recording r1"}}}, b.fails
}

func TestAuditIsReadAndThatIsAudited(t *testing.T) {
	b, audit := &trailBook{}, &audited{}
	s := serve(t, Options{Trail: b, Audit: audit, Zone: newYork})
	a := ask(t, s, "GET", "/api/v1/audit?from=2026-03-01&to=2026-03-01T12:00&actor=os:root&action=recording.export&object=agent+15550100999&limit=5&after=mark", "")
	want := store.EntrySearch{From: time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 1, 17, 0, 0, 0, time.UTC),
		Actor: "os:root", Action: "recording.export", Object: "agent 15550100999", Limit: 5, After: "mark"}
	if diff := cmp.Diff(want, b.asked); diff != "" {
		t.Errorf("asked: want (-), got (+):\n%s", diff)
	}
	const shown = `{"entries":[{"node":"n1","seq":7,"at":"2026-03-01T08:00:00.005Z","actor":"os:root","action":"recording.export","object":"recording r1"}],"next":"more"}` + "\n"
	if a.status != 200 || a.body != shown {
		t.Errorf("%d %s", a.status, a.body)
	}
	// What was asked for may be anything, and stands in no audit.
	told := Act{Actor: "loopback", Action: "audit.read", Object: "audit", From: "127.0.0.1",
		Detail: "from 2026-03-01T05:00:00Z, of one action, of one actor, of one object, to 2026-03-01T17:00:00Z"}
	if diff := cmp.Diff([]Act{told}, audit.acts); diff != "" {
		t.Errorf("the audit: want (-), got (+):\n%s", diff)
	}
}

func TestAuditThatCantBeRead(t *testing.T) {
	for _, test := range []struct {
		name, query string
		trail       Trail
		audit       error
		code        string
	}{
		{"no database", "", nil, nil, "no_store"},
		{"unknown parameter", "?caller=x", &trailBook{}, nil, "unknown_parameter"},
		{"limit", "?limit=0", &trailBook{}, nil, "bad_limit"},
		{"moment", "?to=tomorrow", &trailBook{}, nil, "bad_request"},
		{"page", "?after=x", &trailBook{fails: store.ErrBadPage}, nil, "bad_after"},
		{"fault", "", &trailBook{fails: errors.New("dial 10.0.0.7: refused")}, nil, "unavailable"},
		{"behind the audit", "", &trailBook{}, errors.New("the disk is gone"), "unavailable"},
	} {
		a := ask(t, serve(t, Options{Trail: test.trail, Audit: &audited{err: test.audit}}), "GET", "/api/v1/audit"+test.query, "")
		if a.code() != test.code || strings.Contains(a.body, "10.0.0.7") {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
		if b, ok := test.trail.(*trailBook); ok && test.audit != nil && b.asked != (store.EntrySearch{}) {
			t.Error("read behind the audit's back")
		}
	}
}
