package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/cert/certtest"
	"github.com/bugle-voice/bugle/config"
)

// tracing is the API of a node, as far as bugle trace asks for it.
func tracing(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame-sesame-sesame" {
			t.Errorf("asked as %q", r.Header.Get("Authorization"))
		}
		switch r.URL.EscapedPath() + "?" + r.URL.RawQuery {
		case "/api/v1/calls/c1/trace?format=text":
			fmt.Fprintln(w, "INVITE")
		case "/api/v1/calls/a%2Fb@192.0.2.7/trace?format=json":
			fmt.Fprintln(w, "{}")
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":"other_node","message":"no trace of that call here: it was on node n2"}}`)
		}
	})
}

func traceSite(t *testing.T, http string) (run func(args ...string) (string, error)) {
	path := filepath.Join(t.TempDir(), "bugle.yaml")
	write(t, path, `node: n1
http: {`+http+`, token: sesame-sesame-sesame}
sip: {listeners: [{network: udp, address: "127.0.0.1:5060"}]}
languages: [en]
numbers: {helpline: {flow: bye, language: en}}
flows: {bye: {start: bye, steps: {bye: {hangup: {}}}}}
`, 0o600)
	return func(args ...string) (string, error) {
		var out, report bytes.Buffer
		err := trace(environment{out: &out, err: &report}, append(args, "-c", path))
		return out.String() + report.String(), err
	}
}

func TestTrace(t *testing.T) {
	s := httptest.NewServer(tracing(t))
	defer s.Close()
	run := traceSite(t, `address: "`+s.Listener.Addr().String()+`"`)
	if said, err := run("c1"); err != nil || said != "INVITE\n" {
		t.Errorf("got %q, %v", said, err)
	}
	if said, err := run("-json", "a/b@192.0.2.7"); err != nil || said != "{}\n" {
		t.Errorf("got %q, %v", said, err)
	}
	if said, err := run("c2"); said != "" || err == nil || err.Error() != "no trace of that call here: it was on node n2" {
		t.Errorf("got %q, %v", said, err)
	}
	elsewhere := traceSite(t, `address: "127.0.0.1:1"`)
	if said, err := elsewhere("c1", "-at", s.URL+"/"); err != nil || said != "INVITE\n" {
		t.Errorf("got %q, %v", said, err)
	}
	if _, err := elsewhere("c1"); err == nil || !strings.HasPrefix(err.Error(), "ask the node at http://127.0.0.1:1 (does it run?): ") {
		t.Errorf("got %v", err)
	}
	for _, args := range [][]string{{}, {"c1", "c2"}, {".."}, {"-x", "c1"}} {
		if _, err := run(args...); !errors.Is(err, errUsage) {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

// The node is believed by its certificate, though that is not good for the address it
// is asked at; nobody else is.
func TestTraceOverHTTPS(t *testing.T) {
	authority := certtest.NewAuthority(t)
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority.Write(t, certificate, key, "desk.example.org")
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(tracing(t))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	defer s.Close()
	site := func(certificate, key string) func(...string) (string, error) {
		return traceSite(t, fmt.Sprintf("address: %q, certificate: %q, key: %q", s.Listener.Addr(), certificate, key))
	}
	if said, err := site(certificate, key)("c1"); err != nil || said != "INVITE\n" {
		t.Errorf("got %q, %v", said, err)
	}
	authority.Write(t, certificate, key, "desk.example.org") // another one
	if said, err := site(certificate, key)("c1"); err == nil {
		t.Errorf("a stranger was believed, and said %q", said)
	}
}

func TestWhoIsNoSecret(t *testing.T) {
	n := &node{roster: &roster{}}
	n.roster.now.Store(&map[string]config.Agent{"anna": {}})
	ours := n.ours(&config.Config{
		Country: "US", Numbers: map[string]config.Number{"helpline": {}, "+18005550100": {}, "+498001112223": {}},
		SIP: config.SIP{Trunks: []config.Trunk{{Country: "DE"}, {Username: "4930123450"}}},
	})
	for user, want := range map[string]bool{
		"anna": true, "helpline": true, "+18005550100": true, "18005550100": true, "8005550100": true, "08001112223": true, "4930123450": true, "*70": true,
		"bert": false, "+18005550101": false, "+4930123456": false, "112": false, "*701": false,
	} {
		if got := ours(user); got != want {
			t.Errorf("%s: %t", user, got)
		}
	}
}
