package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/store"
)

// guard decides who may use the API.
//
// Whoever shows the token of the configuration may do everything; who shows a
// user's may do what the user's roles allow. Where the configuration has no
// token, programs on this machine need none and may do everything: the
// connection must come from loopback. That alone would let any web page open in
// a browser here use the API, so the Host header must name loopback too (a
// page's own domain that was made to point at 127.0.0.1 does not), and a request
// that a browser says comes from another site is refused. So is one that a proxy
// says it forwards: the connection then tells where the proxy is, not who asks.
type guard struct {
	token  *[sha256.Size]byte // nil: none is set
	users  Users              // nil where there is no database
	origin *http.CrossOriginProtection
	log    *slog.Logger
}

// Users knows who has which token. *store.Store is the one of a running node.
type Users interface {
	// UserByToken gives the user who has a token; store.ErrUnknownUser if nobody
	// has it.
	UserByToken(ctx context.Context, token string) (store.User, error)
}

func newGuard(token string, users Users, log *slog.Logger) *guard {
	g := &guard{users: users, origin: http.NewCrossOriginProtection(), log: log}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		g.token = &sum
	}
	return g
}

// caller is who asks.
type caller struct {
	actor string // as the audit names him: "token", "loopback", "user:sue"
	all   bool   // he may do everything
	user  store.User
}

// may reports whether one of his roles is among those that are let in.
func (c caller) may(let []store.Role) bool {
	return c.all || slices.ContainsFunc(c.user.Roles, func(r store.Role) bool {
		return r == store.RoleAdmin || slices.Contains(let, r)
	})
}

// onlyOf reports whether he may do something for this agent alone: he has no
// role that looks after all of them.
func (c caller) onlyOf(looksAfter ...store.Role) (agent string, only bool) {
	return c.user.Agent, !c.may(looksAfter)
}

type callerKey struct{}

// callerOf gives who asks, in a handler behind protect.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// protect lets h answer administrators and those who have one of these roles.
func (g *guard) protect(h http.HandlerFunc, let ...store.Role) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := g.admit(r)
		if err == nil && !c.may(let) {
			err = &apiError{http.StatusForbidden, "forbidden", "none of the user's roles allows this"}
		}
		if err != nil {
			if err.status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="bugle"`)
			}
			fail(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

func (g *guard) admit(r *http.Request) (caller, *apiError) {
	authorization := r.Header.Get("Authorization")
	if g.token == nil && authorization == "" {
		return caller{actor: "loopback", all: true}, g.here(r)
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return caller{}, unauthorized
	}
	if g.shown(token) {
		return caller{actor: "token", all: true}, nil
	}
	return g.known(r.Context(), token)
}

var unauthorized = &apiError{http.StatusUnauthorized, "unauthorized", "show a user's token, or that of http.token, as Authorization: Bearer"}

// here says why a request is not from a program on this machine, nil if it is.
func (g *guard) here(r *http.Request) *apiError {
	if !fromLoopback(r.RemoteAddr) {
		return &apiError{http.StatusForbidden, "loopback_only", "without a token the API answers this machine only"}
	}
	if !namesLoopback(r.Host) {
		return &apiError{http.StatusForbidden, "wrong_host", "without a token the API must be addressed as localhost or a loopback address"}
	}
	if forwarded(r.Header) {
		return &apiError{http.StatusForbidden, "proxied", "without a token the API may not be used through a proxy"}
	}
	if err := g.origin.Check(r); err != nil {
		return &apiError{http.StatusForbidden, "wrong_origin", "a page of another site may not use the API"}
	}
	return nil
}

// shown compares hashes, so that the time tells nothing of the token, not even
// its length.
func (g *guard) shown(token string) bool {
	if g.token == nil {
		return false
	}
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// known looks for the user who has a token.
func (g *guard) known(ctx context.Context, token string) (caller, *apiError) {
	if g.users == nil {
		return caller{}, unauthorized
	}
	ctx, cancel := context.WithTimeout(ctx, usersTimeout)
	defer cancel()
	u, err := g.users.UserByToken(ctx, token)
	switch {
	case errors.Is(err, store.ErrUnknownUser):
		return caller{}, unauthorized
	case err != nil:
		g.log.Error("a user's token can't be looked up", "error", err)
		return caller{}, &apiError{http.StatusServiceUnavailable, "unavailable", "users can't be looked up now"}
	}
	return caller{actor: "user:" + u.ID, user: u}, nil
}

// usersTimeout is how long a request waits for the table of users.
const usersTimeout = 2 * time.Second

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
