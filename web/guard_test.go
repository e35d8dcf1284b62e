package web

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/config"
)

func TestWhoMayUseTheAPI(t *testing.T) {
	for _, test := range []struct {
		name, token    string // token of the configuration
		remote, host   string
		header, value  string
		method, wanted string // code of the error, "" if admitted
	}{
		{name: "a program here", remote: "127.0.0.1:5000", host: "127.0.0.1:8080"},
		{name: "by name", remote: "127.0.0.1:5000", host: "LocalHost:8080"},
		{name: "IPv6", remote: "[::1]:5000", host: "[::1]:8080"},
		{name: "IPv6 without a port", remote: "[::1]:5000", host: "[::1]"},
		{name: "IPv4 in IPv6", remote: "[::ffff:127.0.0.1]:5000", host: "127.0.0.2"},
		{name: "another machine", remote: "192.0.2.7:5000", host: "127.0.0.1:8080", wanted: "loopback_only"},
		{name: "no address", remote: "@", host: "127.0.0.1:8080", wanted: "loopback_only"},
		{name: "a name made to point here", remote: "127.0.0.1:5000", host: "evil.example:8080", wanted: "wrong_host"},
		{name: "a name that looks like ours", remote: "127.0.0.1:5000", host: "localhost.evil.example", wanted: "wrong_host"},
		{name: "no host", remote: "127.0.0.1:5000", host: "", wanted: "wrong_host"},
		{name: "through a proxy that keeps the name", remote: "127.0.0.1:5000", host: "bugle.example", wanted: "wrong_host"},
		{name: "a page's form", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", method: "POST", header: "Origin", value: "http://evil.example", wanted: "wrong_origin"},
		{name: "a page, as the browser says", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", method: "POST", header: "Sec-Fetch-Site", value: "cross-site", wanted: "wrong_origin"},
		{name: "a page of another port here", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", method: "POST", header: "Origin", value: "http://127.0.0.1:3000", wanted: "wrong_origin"},
		{name: "our own page", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", method: "POST", header: "Origin", value: "http://127.0.0.1:8080"},
		{name: "through a proxy here", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "X-Forwarded-For", value: "203.0.113.9", wanted: "proxied"},
		{name: "whatever it forwards", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "X-Forwarded-Client-Cert", value: "", wanted: "proxied"},
		{name: "by the standard's header", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "Forwarded", value: "for=203.0.113.9", wanted: "proxied"},
		{name: "by nginx's header", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "X-Real-IP", value: "203.0.113.9", wanted: "proxied"},
		{name: "by HTTP's own", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "Via", value: "1.1 proxy", wanted: "proxied"},

		{name: "through a proxy, with the token", token: "sesame", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "X-Forwarded-For", value: "203.0.113.9", wanted: "unauthorized"},
		{name: "the token", token: "sesame", remote: "192.0.2.7:5000", host: "bugle.example", header: "Authorization", value: "Bearer sesame"},
		{name: "in lower case", token: "sesame", remote: "192.0.2.7:5000", host: "bugle.example", header: "Authorization", value: "bearer sesame"},
		{name: "no token", token: "sesame", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", wanted: "unauthorized"},
		{name: "an empty one", token: "sesame", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "Authorization", value: "Bearer ", wanted: "unauthorized"},
		{name: "a wrong one", token: "sesame", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "Authorization", value: "Bearer sesam", wanted: "unauthorized"},
		{name: "another scheme", token: "sesame", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "Authorization", value: "Basic sesame", wanted: "unauthorized"},
		{name: "the token alone", token: "sesame", remote: "127.0.0.1:5000", host: "127.0.0.1:8080", header: "Authorization", value: "sesame", wanted: "unauthorized"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.method == "" {
				test.method = "GET"
			}
			r := httptest.NewRequest(test.method, "http://x/api/v1/agents", nil)
			r.RemoteAddr, r.Host = test.remote, test.host
			if test.header != "" {
				r.Header.Set(test.header, test.value)
			}
			got := ""
			if _, err := newGuard(test.token, nil, nil).admit(r); err != nil {
				got = err.code
			}
			if got != test.wanted {
				t.Errorf("refused with %q, want %q", got, test.wanted)
			}
		})
	}
}

// Each route of the API is guarded, in both ways; what monitoring reads is not.
func TestEveryAPIRouteIsGuarded(t *testing.T) {
	withToken, without := serve(t, Options{Config: config.HTTP{Token: "sesame"}}), serve(t, Options{})
	for _, route := range []struct{ method, path, body string }{
		{"GET", "/api/v1/agents", ""},
		{"GET", "/api/v1/queues", ""},
		{"POST", "/api/v1/agents/anna/state", `{"state":"ready"}`},
	} {
		a := ask(t, withToken, route.method, route.path, route.body, asJSON...)
		if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s without the token: %d %s", route.path, a.status, a.body)
		}
		a = ask(t, withToken, route.method, route.path, route.body, append(asJSON, "Authorization", "Bearer sesame")...)
		if a.status/100 != 2 {
			t.Errorf("%s with the token: %d %s", route.path, a.status, a.body)
		}
		if a = ask(t, without, route.method, route.path, route.body, append(asJSON, "Host", "evil.example")...); a.code() != "wrong_host" {
			t.Errorf("%s under another name: %d %s", route.path, a.status, a.body)
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if a := ask(t, withToken, "GET", path, "", "Host", "node-1.internal"); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	s := serve(t, Options{})
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"} {
		a := ask(t, s, "POST", "/api/v1/agents/anna/state", `{"state":"ready"}`, "Content-Type", contentType)
		if a.status != 415 || a.code() != "not_json" {
			t.Errorf("content type %q: %d %s", contentType, a.status, a.body)
		}
	}
}
