package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/bugle-voice/bugle/store"
	"github.com/google/go-cmp/cmp"
)

// traced is a Traces of one call, and a Trace of it.
type traced struct {
	ID string `json:"id"`
}

func (traced) Trace(id string) Trace {
	switch id {
	case "c1", "+4930123456@192.0.2.7/x":
		return traced{"c1"}
	case "refused":
		return traced{}
	}
	return nil
}

func (traced) NodeOf(_ context.Context, call string) (string, error) {
	switch call {
	case "c2":
		return "n2", nil
	case "c0":
		return "n1", nil
	case "c9":
		return "", errors.New("the database is away")
	}
	return "", store.ErrUnknownCall
}

func (t traced) Call() string { return t.ID }

func (t traced) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, "INVITE\n")
	return err
}

func TestTrace(t *testing.T) {
	for _, test := range []struct {
		path, accept string
		status       int
		kind, want   string // body, or code of the error
		audited      string
	}{
		{"c1", "", 200, "application/json", "{\"id\":\"c1\"}\n", "call c1"},
		{"c1", "application/json", 200, "application/json", "{\"id\":\"c1\"}\n", "call c1"},
		{"c1", "text/plain", 200, "text/plain; charset=utf-8", "INVITE\n", "call c1"},
		{"c1?format=text", "", 200, "text/plain; charset=utf-8", "INVITE\n", "call c1"},
		{"c1?format=json", "text/plain", 200, "application/json", "{\"id\":\"c1\"}\n", "call c1"},
		{"+4930123456@192.0.2.7%2Fx", "", 200, "application/json", "{\"id\":\"c1\"}\n", "call c1"},
		{"refused", "", 200, "application/json", "{\"id\":\"\"}\n", "messages of no call"},
		{"c1?format=pcap", "", 400, "application/json", "bad_format", ""},
		{"c1?whole=yes", "", 400, "application/json", "unknown_parameter", ""},
		{"c2", "", 404, "application/json", "other_node", "call c2"},
		{"c0", "", 404, "application/json", "no_trace", "call c0"},
		{"c9", "", 404, "application/json", "no_trace", "messages of no call"},
		{"+4930999@h", "", 404, "application/json", "no_trace", "messages of no call"},
	} {
		audit := &audited{}
		s := serve(t, Options{Traces: traced{}, Node: "n1", Audit: audit})
		path, query := test.path, ""
		for i := range path {
			if path[i] == '?' {
				path, query = path[:i], path[i:]
				break
			}
		}
		a := ask(t, s, "GET", "/api/v1/calls/"+path+"/trace"+query, "", "Accept", test.accept)
		got := a.body
		if test.status != 200 {
			got = a.code()
		}
		if a.status != test.status || got != test.want || a.header.Get("Content-Type") != test.kind || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %s", test.path, a.status, a.header.Get("Content-Type"), a.body)
		}
		var want []Act
		if test.audited != "" {
			want = []Act{{Actor: "loopback", Action: "call.trace", Object: test.audited, From: "127.0.0.1"}}
			if test.status == 404 {
				want[0].Detail = "nothing kept"
			}
		}
		if diff := cmp.Diff(want, audit.acts); diff != "" {
			t.Errorf("%s: the audit: want (-), got (+):\n%s", test.path, diff)
		}
	}
}

// What the audit can't be told of is not shown.
func TestTraceBehindTheAudit(t *testing.T) {
	s := serve(t, Options{Traces: traced{}, Audit: &audited{err: errors.New("disk full")}})
	for _, call := range []string{"c1", "c2", "c3"} {
		if a := ask(t, s, "GET", "/api/v1/calls/"+call+"/trace", ""); a.status != http.StatusServiceUnavailable || a.code() != "unavailable" {
			t.Errorf("%s: %d %s", call, a.status, a.body)
		}
	}
}
