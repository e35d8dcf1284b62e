package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// callerBook exports what is held about a caller for tests.
type callerBook struct {
	by          By
	hash        string
	away, fails error // before, and while, it is written
}

func (b *callerBook) Export(_ context.Context, by By, hash string) (func(io.Writer) error, error) {
	b.by, b.hash = by, hash
	return func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("PK", 4096))
		return errors.Join(err, b.fails)
	}, b.away
}

func hashSome(number string) string {
	if number != "+1 555 010 0999" {
		return ""
	}
	return someHash
}

func TestExportOfACaller(t *testing.T) {
	const caller = `{"caller":"+1 555 010 0999"}`
	for _, test := range []struct {
		name, body string
		callers    *callerBook
		status     int
		code       string
	}{
		{"whole", caller, &callerBook{}, 200, ""},
		{"no number", `{"caller":"anonymous"}`, &callerBook{}, 400, "bad_caller"},
		{"unknown key", `{"hash":"x"}`, &callerBook{}, 400, "bad_json"},
		{"database away", caller, &callerBook{away: errors.New("dial 10.0.0.7: refused")}, 503, "unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := ask(t, serve(t, Options{Callers: test.callers, Hash: hashSome}), "POST", "/api/v1/callers/export", test.body, asJSON...)
			if a.status != test.status || strings.Contains(a.body, "10.0.0.7") {
				t.Fatalf("%d %s", a.status, a.body)
			}
			switch {
			case test.code != "":
				if a.code() != test.code {
					t.Errorf("%s", a.body)
				}
			case a.header.Get("Content-Type") != "application/zip" || len(a.body) != 8192 || test.callers.hash != someHash || test.callers.by != By{"loopback", "127.0.0.1"}:
				t.Errorf("%v, %d bytes, of %+v", a.header, len(a.body), test.callers)
			}
		})
	}
	if a := ask(t, serve(t, Options{Hash: hashSome}), "POST", "/api/v1/callers/export", caller, asJSON...); a.code() != "no_store" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A client is not left to think that it has all.
func TestExportThatBreaksOffIsNoAnswer(t *testing.T) {
	s := serve(t, Options{Callers: &callerBook{fails: errors.New("the disk is broken")}, Hash: hashSome})
	resp, err := http.Post("http://"+s.Addr().String()+"/api/v1/callers/export", "application/json", strings.NewReader(`{"caller":"+1 555 010 0999"}`))
	if err == nil {
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err == nil {
		t.Error("it looks like a whole answer")
	}
	if n := testutil.ToFloat64(s.requests.WithLabelValues("/api/v1/callers/export", "aborted")); n != 1 {
		t.Errorf("%v requests are counted as broken off", n)
	}
}
