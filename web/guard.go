package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard decides who may use the API.
//
// With a token, whoever shows it. Without one, programs on this machine: the
// connection must come from loopback. That alone would let any web page open in
// a browser here use the API, so the Host header must name loopback too (a
// page's own domain that was made to point at 127.0.0.1 does not), and a request
// that a browser says comes from another site is refused. So is one that a proxy
// says it forwards: the connection then tells where the proxy is, not who asks.
type guard struct {
	token  *[sha256.Size]byte // nil: none is set
	origin *http.CrossOriginProtection
}

func newGuard(token string) *guard {
	g := &guard{origin: http.NewCrossOriginProtection()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		g.token = &sum
	}
	return g
}

// protect lets h answer those who may ask.
func (g *guard) protect(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.admit(r); err != nil {
			if err.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="bugle"`)
			}
			fail(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h(w, r)
	})
}

func (g *guard) admit(r *http.Request) *apiError {
	if g.token != nil {
		if !g.shown(r.Header.Get("Authorization")) {
			return &apiError{http.StatusUnauthorized, "unauthorized", "show the token of http.token as Authorization: Bearer"}
		}
		return nil
	}
	if !fromLoopback(r.RemoteAddr) {
		return &apiError{http.StatusForbidden, "loopback_only", "without http.token the API answers this machine only"}
	}
	if !namesLoopback(r.Host) {
		return &apiError{http.StatusForbidden, "wrong_host", "without http.token the API must be addressed as localhost or a loopback address"}
	}
	if forwarded(r.Header) {
		return &apiError{http.StatusForbidden, "proxied", "without http.token the API may not be used through a proxy"}
	}
	if err := g.origin.Check(r); err != nil {
		return &apiError{http.StatusForbidden, "wrong_origin", "a page of another site may not use the API"}
	}
	return nil
}

// shown compares hashes, so that the time tells nothing of the token, not even
// its length.
func (g *guard) shown(authorization string) bool {
	scheme, token, _ := strings.Cut(authorization, " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	same := subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
	return same && strings.EqualFold(scheme, "Bearer")
}

func fromLoopback(remote string) bool {
	addr, err := netip.ParseAddrPort(remote)
	return err == nil && addr.Addr().Unmap().IsLoopback()
}

// forwarded says whether a proxy has left its mark on a request.
func forwarded(h http.Header) bool {
	for name := range h {
		switch {
		case name == "Forwarded", name == "Via", name == "X-Real-Ip", strings.HasPrefix(name, "X-Forwarded-"):
			return true
		}
	}
	return false
}

func namesLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
