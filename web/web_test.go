package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/report"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk keeps agents for tests and remembers what was asked of it.
type desk struct {
	mu     sync.Mutex
	asked  []string
	more   []Agent
	fails  error // for every request
	panics bool
}

func (d *desk) Agents(ctx context.Context) ([]Agent, error) {
	if d.panics {
		panic("the desk broke")
	}
	return append([]Agent{
		{ID: "anna", Name: "Anna", Tier: 1, State: "ready", Since: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), Languages: map[string]int{"en": 5}, Skills: map[string]int{"claims": 3}},
		{ID: "bert", Name: "Bert", Tier: 2, State: "offline"},
	}, d.more...), d.fails
}

func (d *desk) SetState(ctx context.Context, id, state, reason string) error {
	return d.note(fmt.Sprintf("%s %s %q", id, state, reason), id)
}

func (d *desk) WrapUpDone(ctx context.Context, id string) error {
	return d.note(id+" wrap-up done", id)
}

func (d *desk) note(what, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.fails != nil:
		return d.fails
	case id == "eve":
		return fmt.Errorf("desk: %w", ErrUnknownAgent)
	case id == "bert":
		return fmt.Errorf("desk: %w: bert is not registered", ErrNotNow)
	}
	d.asked = append(d.asked, what)
	return nil
}

type lines []report.Line

func (l lines) Lines() []report.Line { return l }

var someLines = lines{
	{Queue: "claims", Language: "en", Waiting: 2, Longest: 1500 * time.Millisecond, Counts: report.Counts{
		Offered: 10, Answered: 6, AnsweredInGoal: 3, Abandoned: 2, ShortAbandoned: 1, Waits: 60 * time.Second,
		Handling: report.Handling{Handled: 2, Talk: 3 * time.Minute, WrapUp: time.Minute},
	}},
	{Queue: "claims", Language: "es"},
}

// serve runs a Server until the test ends and gives it.
func serve(t *testing.T, o Options) *Server {
	t.Helper()
	o.Config.Address = "127.0.0.1:0"
	o.Log = slog.New(slog.DiscardHandler)
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Agents == nil {
		o.Agents = &desk{}
	}
	o.Figures = someLines
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

// code gives the code of an error answer.
func (a answer) code() string {
	var body struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal([]byte(a.body), &body) != nil || body.Error.Message == "" {
		return ""
	}
	return body.Error.Code
}

func ask(t *testing.T, s *Server, method, path, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+s.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

var asJSON = []string{"Content-Type", "application/json"}

func TestAgentState(t *testing.T) {
	for _, test := range []struct {
		name, id, body string
		status         int
		code           string // of the error
		asked          string // of the desk
	}{
		{"ready", "anna", `{"state":"ready"}`, 204, "", `anna ready ""`},
		{"paused", "anna", `{"state":"paused","reason":"lunch"}`, 204, "", `anna paused "lunch"`},
		{"paused without a reason", "anna", `{"state":"paused"}`, 204, "", `anna paused "api"`},
		{"wrap-up done", "anna", `{"state":"wrapup_done"}`, 204, "", `anna wrap-up done`},
		{"id with a slash", "an%2Fna", `{"state":"ready"}`, 404, "unknown_agent", ""},
		{"unknown agent", "eve", `{"state":"ready"}`, 404, "unknown_agent", ""},
		{"not registered", "bert", `{"state":"ready"}`, 409, "not_now", ""},
		{"unknown state", "anna", `{"state":"talking"}`, 400, "bad_state", ""},
		{"no state", "anna", `{}`, 400, "bad_state", ""},
		{"unknown key", "anna", `{"state":"ready","sate":"x"}`, 400, "bad_json", ""},
		{"not JSON", "anna", `state=ready`, 400, "bad_json", ""},
		{"empty", "anna", ``, 400, "bad_json", ""},
		{"two values", "anna", `{"state":"ready"}{"state":"paused"}`, 400, "bad_json", ""},
		{"rubbish behind", "anna", `{"state":"ready"}]`, 400, "bad_json", ""},
		{"wrong type", "anna", `{"state":7}`, 400, "bad_json", ""},
		{"reason with a line break", "anna", `{"state":"paused","reason":"a\nb"}`, 400, "bad_reason", ""},
		{"reason too long", "anna", `{"state":"paused","reason":"` + strings.Repeat("é", 65) + `"}`, 400, "bad_reason", ""},
		{"body too long", "anna", `{"state":"paused","reason":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too_long", ""},
		{"space without end", "anna", `{"state":"ready"}` + strings.Repeat(" ", 2*maxBody), 413, "too_long", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &desk{}
			a := ask(t, serve(t, Options{Agents: d}), "POST", "/api/v1/agents/"+test.id+"/state", test.body, asJSON...)
			if a.status != test.status || a.code() != test.code {
				t.Errorf("answer %d %q, want %d %q: %s", a.status, a.code(), test.status, test.code, a.body)
			}
			if got := strings.Join(d.asked, "; "); got != test.asked {
				t.Errorf("asked: %s, want %s", got, test.asked)
			}
		})
	}
}

func TestFaultsAreNotTold(t *testing.T) {
	s := serve(t, Options{Agents: &desk{fails: errors.New("dial redis at 10.0.0.7: refused")}})
	for _, a := range []answer{
		ask(t, s, "GET", "/api/v1/agents", ""),
		ask(t, s, "POST", "/api/v1/agents/anna/state", `{"state":"ready"}`, asJSON...),
	} {
		if a.status != 503 || a.code() != "unavailable" || strings.Contains(a.body, "10.0.0.7") {
			t.Errorf("answer %d: %s", a.status, a.body)
		}
	}
}

func TestAPanicEndsOneRequest(t *testing.T) {
	s := serve(t, Options{Agents: &desk{panics: true}})
	if a := ask(t, s, "GET", "/api/v1/agents", ""); a.status != 500 || a.code() != "internal" {
		t.Errorf("answer %d: %s", a.status, a.body)
	}
	if a := ask(t, s, "GET", "/healthz", ""); a.status != 200 {
		t.Errorf("and then %d: %s", a.status, a.body)
	}
	if n := testutil.ToFloat64(s.requests.WithLabelValues("/api/v1/agents", "500")); n != 1 {
		t.Errorf("%v requests are counted with 500", n)
	}
}

func TestLists(t *testing.T) {
	s := serve(t, Options{})
	for path, want := range map[string]string{
		"/api/v1/agents": `{"agents":[` +
			`{"id":"anna","name":"Anna","tier":1,"state":"ready","since":"2026-03-01T08:00:00Z","languages":{"en":5},"skills":{"claims":3}},` +
			`{"id":"bert","name":"Bert","tier":2,"state":"offline","languages":null,"skills":null}]}`,
		"/api/v1/queues": `{"queues":[` +
			`{"queue":"claims","language":"en","waiting":2,"longest_wait_seconds":1.5,"offered":10,"answered":6,"answered_in_goal":3,` +
			`"abandoned":2,"abandoned_in_goal":0,"short_abandoned":1,"flowed_out":0,"service_level":0.375,"abandonment":0.25,` +
			`"speed_of_answer_seconds":10,"handle_time_seconds":120},` +
			`{"queue":"claims","language":"es","waiting":0,"longest_wait_seconds":0,"offered":0,"answered":0,"answered_in_goal":0,` +
			`"abandoned":0,"abandoned_in_goal":0,"short_abandoned":0,"flowed_out":0,"service_level":null,"abandonment":null,` +
			`"speed_of_answer_seconds":0,"handle_time_seconds":0}]}`,
	} {
		a := ask(t, s, "GET", path, "")
		if diff := cmp.Diff(want+"\n", a.body); a.status != 200 || diff != "" {
			t.Errorf("%s: %d, want (-), got (+):\n%s", path, a.status, diff)
		}
		if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: header %v", path, a.header)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := serve(t, Options{})
	for _, test := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/", 404, "not_found", ""},
		{"POST", "/api/v1/agents/anna", 405, "wrong_method", "DELETE, GET, PUT"},
		{"POST", "/api/v1/agents", 405, "wrong_method", "GET"},
		{"GET", "/api/v1/agents/anna/state", 405, "wrong_method", "POST"},
		{"DELETE", "/metrics", 405, "wrong_method", "GET"},
		{"HEAD", "/healthz", 200, "", ""},
	} {
		a := ask(t, s, test.method, test.path, "")
		if a.status != test.status || a.code() != test.code || a.header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d %q, Allow %q", test.method, test.path, a.status, a.code(), a.header.Get("Allow"))
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := serve(t, Options{Metrics: registry, Config: config.HTTP{Token: "sesame"}})
	registry.MustRegister(s.Collectors()...)
	ask(t, s, "GET", "/nowhere", "")
	a := ask(t, s, "GET", "/metrics", "") // needs no token: Prometheus has none
	if want := `bugle_http_requests_total{code="404",route="other"} 1`; a.status != 200 || !strings.Contains(a.body, want) {
		t.Errorf("answer %d lacks %s:\n%s", a.status, want, a.body)
	}
}

func TestListenerTaken(t *testing.T) {
	s := serve(t, Options{})
	_, err := New(Options{Config: config.HTTP{Address: s.Addr().String()}, Metrics: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("a listener on a port in use: %v", err)
	}
}

func TestCloseWithoutServe(t *testing.T) {
	s, err := New(Options{Config: config.HTTP{Address: "127.0.0.1:0"}, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr().String()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again, err := New(Options{Config: config.HTTP{Address: addr}, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatalf("the port is not free again: %v", err)
	}
	if err := again.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func FuzzAgentState(f *testing.F) {
	f.Add("anna", "application/json", `{"state":"paused","reason":"lunch"}`)
	f.Add("eve", "application/json; charset=utf-8", `{"state":"ready"} `)
	s := &Server{log: slog.New(slog.DiscardHandler), requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "r"}, []string{"route", "code"})}
	f.Fuzz(func(t *testing.T, id, contentType, body string) {
		h := s.routes(Options{Agents: &desk{}, Metrics: prometheus.NewRegistry(), Figures: someLines})
		r := httptest.NewRequest("POST", "http://127.0.0.1/", strings.NewReader(body))
		r.URL.Path = "/api/v1/agents/" + id + "/state"
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("answer %d: %s", w.Code, w.Body)
		}
	})
}
