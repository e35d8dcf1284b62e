package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/store"
	"github.com/google/go-cmp/cmp"
)

const someHash = "0123456789abcdef0123456789abcdef"

// callBook gives one call and remembers what was looked for.
type callBook struct {
	asked store.CallSearch
	fails error
}

func (b *callBook) Calls(_ context.Context, q store.CallSearch) (store.CallPage, error) {
	b.asked = q
	started := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	return store.CallPage{Next: "more", Calls: []store.Call{{
		ID: "c1", Node: "n1", Number: "helpline", Trunk: "carrier", Caller: "+1555…", CallerHash: "ab12", Flow: "main", Step: "claims", Language: "en",
		Started: started, Answered: started.Add(time.Second), Class: "caller", Reason: "hung_up", Duration: 90 * time.Second,
		Legs: []store.Leg{{Side: "agent", Agent: "maria", Codec: "PCMU", Suite: "AEAD_AES_128_GCM", Ended: started.Add(91 * time.Second), PacketsIn: 5, PacketsOut: 6, Lost: 1,
			Heard: event.Travel{Loss: .25, Jitter: 3 * time.Millisecond, MOS: 4.25}, RoundTrip: 20 * time.Millisecond}},
	}}}, b.fails
}

// serveDirectly has a handler answer a request without a network.
func serveDirectly(h http.HandlerFunc, ctx context.Context, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h(w, httptest.NewRequest(http.MethodGet, target, nil).WithContext(ctx))
	return w
}

func TestCalls(t *testing.T) {
	b := &callBook{}
	audit := &audited{}
	s := serve(t, Options{Calls: b, Zone: newYork, Audit: audit, Numbers: []string{"helpline"}})
	a := ask(t, s, "GET", "/api/v1/calls?from=2026-03-01&to=2026-03-01T12:00&caller_hash=0123456789abcdef0123456789abcdef&number=helpline&agent=anna&queue=claims&result=answered&termination=completed&limit=5&after=mark", "")
	want := store.CallSearch{
		From: time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 1, 17, 0, 0, 0, time.UTC),
		CallerHash: someHash, Number: "helpline", Agent: "anna", Queue: "claims", Result: event.Answered, Termination: "completed", Limit: 5, After: "mark",
	}
	if diff := cmp.Diff(want, b.asked); diff != "" {
		t.Errorf("asked: want (-), got (+):\n%s", diff)
	}
	const shown = `{"calls":[{"id":"c1","node":"n1","number":"helpline","trunk":"carrier","caller":"+1555…","caller_hash":"ab12","language":"en",` +
		`"flow":"main","step":"claims","started":"2026-03-01T08:00:00Z","answered":"2026-03-01T08:00:01Z","class":"caller","reason":"hung_up","duration_seconds":90,` +
		`"legs":[{"side":"agent","agent":"maria","codec":"PCMU","suite":"AEAD_AES_128_GCM","ended":"2026-03-01T08:01:31Z","packets_in":5,"packets_out":6,"lost":1,` +
		`"heard":{"loss":0.25,"jitter_seconds":0.003,"mos":4.25},"round_trip_seconds":0.02}]}],"next":"more"}`
	if diff := cmp.Diff(shown+"\n", a.body); a.status != 200 || diff != "" {
		t.Errorf("answer %d, want (-), got (+):\n%s", a.status, diff)
	}

	ask(t, s, "GET", "/api/v1/calls?caller_hash="+someHash, "") // a repeated caller, whenever he called
	if diff := cmp.Diff(store.CallSearch{CallerHash: someHash}, b.asked); diff != "" {
		t.Errorf("asked: want (-), got (+):\n%s", diff)
	}
	ask(t, s, "GET", "/api/v1/calls?from=2026-03-01", "") // and until whenever
	if b.asked.To.Year() < 9999 {
		t.Errorf("asked until %v", b.asked.To)
	}
}

// A caller is looked for by number; the number goes no further than its hash.
func TestCallsOfANumber(t *testing.T) {
	b, audit := &callBook{}, &audited{}
	s := serve(t, Options{Calls: b, Audit: audit, Hash: hashSome, Numbers: []string{"helpline"}})
	asJSON := []string{"Content-Type", "application/json"}
	a := ask(t, s, "POST", "/api/v1/calls/search", `{"caller":"+1 555 010 0999","number":"helpline","result":"answered","limit":5}`, asJSON...)
	want := store.CallSearch{CallerHash: someHash, Number: "helpline", Result: event.Answered, Limit: 5}
	if diff := cmp.Diff(want, b.asked); a.status != 200 || diff != "" || !strings.Contains(a.body, `"id":"c1"`) {
		t.Errorf("answer %d %s; asked: want (-), got (+):\n%s", a.status, a.body, diff)
	}
	if len(audit.acts) != 1 || audit.acts[0].Action != "calls.search" || audit.acts[0].Detail != "caller_hash="+someHash+"&number=helpline&result=answered" {
		t.Errorf("the audit has %+v", audit.acts)
	}
	for body, code := range map[string]string{
		`{}`:                     "bad_caller",
		`{"caller":"anonymous"}`: "bad_caller",
		`{"caller_hash":"x"}`:    "bad_json",
		`{"caller":"+1 555 010 0999","limit":-1}`:             "bad_limit",
		`{"caller":"+1 555 010 0999","number":"15550100999"}`: "bad_number",
	} {
		if a := ask(t, s, "POST", "/api/v1/calls/search", body, asJSON...); a.status != 400 || a.code() != code {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if len(audit.acts) != 1 {
		t.Errorf("the audit has %+v", audit.acts)
	}
}

func TestCallsThatCantBeFound(t *testing.T) {
	for _, test := range []struct {
		name, query string
		calls       Calls
		status      int
		code        string
	}{
		{"no database", "", nil, 503, "no_store"},
		{"unknown parameter", "?caller=15550100", &callBook{}, 400, "unknown_parameter"},
		{"result", "?result=talked", &callBook{}, 400, "bad_result"},
		{"number as hash", "?caller_hash=%2B15550100999", &callBook{}, 400, "bad_caller_hash"},
		{"caller's number as ours", "?number=%2B15550100999", &callBook{}, 400, "bad_number"},
		{"caller's number as agent", "?agent=15550100999", &callBook{}, 400, "bad_agent"},
		{"words as agent", "?agent=the%20sick%20Mr%20Smith", &callBook{}, 400, "bad_agent"},
		{"caller's number as queue", "?queue=1-555-010-0999", &callBook{}, 400, "bad_queue"},
		{"caller's number as termination", "?termination=15550100999", &callBook{}, 400, "bad_termination"},
		{"limit", "?limit=1001", &callBook{}, 400, "bad_limit"},
		{"moment", "?from=yesterday", &callBook{}, 400, "bad_request"},
		{"page", "?after=rubbish", &callBook{fails: store.ErrBadPage}, 400, "bad_after"},
		{"fault", "", &callBook{fails: errors.New("dial 10.0.0.7: refused")}, 503, "unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			audit := &audited{}
			a := ask(t, serve(t, Options{Calls: test.calls, Audit: audit}), "GET", "/api/v1/calls"+test.query, "")
			for _, act := range audit.acts {
				if strings.Contains(act.Detail+act.Object, "5550100999") {
					t.Errorf("the audit has %+v", act)
				}
			}
			if a.status != test.status || a.code() != test.code || strings.Contains(a.body, "10.0.0.7") {
				t.Errorf("answer %d %q, want %d %q: %s", a.status, a.code(), test.status, test.code, a.body)
			}
		})
	}
}

// Who may use the API may use this part of it, and nobody else.
func TestRecordsAreGuarded(t *testing.T) {
	o := Options{Calls: &callBook{}, Reports: &reporter{}}
	o.Config.Token = "sesame"
	s := serve(t, o)
	for _, path := range []string{"/api/v1/calls", "/api/v1/report"} {
		if a := ask(t, s, "GET", path, ""); a.status != 401 {
			t.Errorf("%s: %d", path, a.status)
		}
		if a := ask(t, s, "GET", path, "", "Authorization", "Bearer sesame"); a.status != 200 {
			t.Errorf("%s with the token: %d %s", path, a.status, a.body)
		}
	}
}
