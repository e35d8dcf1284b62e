package web

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadiness(t *testing.T) {
	well := func(context.Context) error { return nil }
	ill := func(context.Context) error { return errors.New("write /var/lib/bugle/events: disk full") }
	for _, test := range []struct {
		name   string
		checks []Check
		status int
		want   string
	}{
		{"nothing to check", nil, 200, `{"ready":true,"checks":{}}`},
		{"all well", []Check{{"redis", well}, {"events", well}}, 200, `{"ready":true,"checks":{"events":"ok","redis":"ok"}}`},
		{"one ill", []Check{{"redis", well}, {"events", ill}}, 503, `{"ready":false,"checks":{"events":"failing","redis":"ok"}}`},
		{"one panics", []Check{{"redis", func(context.Context) error { panic("oh") }}}, 503, `{"ready":false,"checks":{"redis":"failing"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, Options{Checks: test.checks})
			a := ask(t, s, "GET", "/readyz", "")
			if diff := cmp.Diff(test.want+"\n", a.body); a.status != test.status || diff != "" {
				t.Errorf("%d, want %d (-), got (+):\n%s", a.status, test.status, diff)
			}
			if a := ask(t, s, "GET", "/healthz", ""); a.status != 200 {
				t.Errorf("alive: %d", a.status)
			}
		})
	}
}

// A check that hangs costs the answer 2 s, not more, and not once for each.
func TestReadinessDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		h := &readiness{checks: []Check{{"a", hangs}, {"b", hangs}}, log: slog.New(slog.DiscardHandler)}
		began := time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if took := time.Since(began); w.Code != 503 || took != checkTimeout {
			t.Errorf("%d after %v", w.Code, took)
		}
	})
}

// Load balancers ask every second; the log has the changes only, with the
// details that the answer keeps from whoever asks.
func TestReadinessLogsChanges(t *testing.T) {
	var log bytes.Buffer
	var now error
	h := &readiness{
		checks: []Check{{"redis", func(context.Context) error { return now }}},
		log:    slog.New(slog.NewTextHandler(&log, nil)),
	}
	for _, err := range []error{nil, nil, errors.New("gone"), errors.New("gone"), nil, nil} {
		now = err
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/readyz", nil))
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "err=gone") || !strings.Contains(log.String(), "well again") {
		t.Errorf("the log:\n%s", &log)
	}
}
