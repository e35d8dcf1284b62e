package web

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/report"
	"github.com/google/go-cmp/cmp"
)

// reporter makes reports of nothing and remembers what it was asked for.
type reporter struct {
	asked report.Query
	fails error
	hangs bool // until the request is given up
}

func (r *reporter) Report(ctx context.Context, q report.Query) (*report.Report, error) {
	r.asked = q
	if r.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	row := report.Row{From: q.From, To: q.To, Values: make([]string, len(q.By)), Counts: report.Counts{Offered: 3, Answered: 2, AnsweredInGoal: 1}}
	return &report.Report{From: q.From, To: q.To, Interval: q.Interval, By: q.By, Rows: []report.Row{row}, Total: row.Counts}, r.fails
}

var newYork = func() *time.Location {
	z, err := time.LoadLocation("America/New_York")
	if err != nil {
		panic(err)
	}
	return z
}()

func TestReport(t *testing.T) {
	r := &reporter{}
	s := serve(t, Options{Reports: r, Zone: newYork})
	a := ask(t, s, "GET", "/api/v1/report?from=2026-03-08&interval=60m&by=queue,language&resolution=true", "")
	day := time.Date(2026, 3, 8, 0, 0, 0, 0, newYork)
	want := report.Query{From: day, To: day.AddDate(0, 0, 1), Interval: report.Hour, By: []report.Dimension{report.ByQueue, report.ByLanguage}, Resolution: true}
	if diff := cmp.Diff(want, r.asked); diff != "" {
		t.Errorf("asked: want (-), got (+):\n%s", diff)
	}
	const head = `{"from":"2026-03-08T00:00:00-05:00","to":"2026-03-09T00:00:00-04:00","time_zone":"America/New_York","interval":"60m","by":["queue","language"],"total":{"offered":3,`
	if a.status != 200 || !strings.HasPrefix(a.body, head) || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("answer %d %v:\n%s", a.status, a.header, a.body)
	}
	a = ask(t, s, "GET", "/api/v1/report?from=2026-03-08&format=csv", "")
	if lines := strings.Split(a.body, "\n"); a.status != 200 || len(lines) != 3 || !strings.HasPrefix(lines[0], "from,to,offered,") ||
		!strings.HasPrefix(a.header.Get("Content-Type"), "text/csv") {
		t.Errorf("answer %d %v:\n%s", a.status, a.header, a.body)
	}
}

func TestReportsThatCantBe(t *testing.T) {
	for _, test := range []struct {
		name, query string
		reports     Reports
		status      int
		code        string
	}{
		{"no database", "", nil, 503, "no_store"},
		{"unknown parameter", "?form=2026-03-01", &reporter{}, 400, "unknown_parameter"},
		{"given twice", "?by=queue&by=language", &reporter{}, 400, "given_twice"},
		{"no query string", "?by=%zz", &reporter{}, 400, "bad_query"},
		{"moment", "?from=yesterday", &reporter{}, 400, "bad_request"},
		{"interval", "?interval=7m", &reporter{}, 400, "bad_request"},
		{"dimension", "?by=colour", &reporter{}, 400, "bad_request"},
		{"format", "?format=table", &reporter{}, 400, "bad_format"},
		{"resolution", "?resolution=yes", &reporter{}, 400, "bad_resolution"},
		{"too long", "", &reporter{fails: report.ErrRequest}, 400, "bad_request"},
		{"fault", "", &reporter{fails: errors.New("dial 10.0.0.7: refused")}, 503, "unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := ask(t, serve(t, Options{Reports: test.reports}), "GET", "/api/v1/report"+test.query, "")
			if a.status != test.status || a.code() != test.code || strings.Contains(a.body, "10.0.0.7") {
				t.Errorf("answer %d %q, want %d %q: %s", a.status, a.code(), test.status, test.code, a.body)
			}
		})
	}
}

// A report whose asker went away ends, and lets the next begin.
func TestReportIsGivenUp(t *testing.T) {
	a := newReportAPI(Options{Reports: &reporter{hangs: true}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 2 {
		if w := serveDirectly(a.show, ctx, "/api/v1/report"); w.Code != 503 {
			t.Errorf("answer %d: %s", w.Code, w.Body)
		}
	}
}
