// Package web is Bugle's HTTP side: the API, health and metrics.
//
// It owns the listener, who may ask what, and the form of requests and answers.
// It does not own what it shows: agents and figures come through small
// interfaces that room cmd connects with the rooms below.
//
//	GET  /metrics                    Prometheus, for anyone who reaches the listener
//	GET  /healthz                    200 while the process lives
//	GET  /readyz                     200 if this node may be sent calls, else 503; the failing checks in the body
//	GET  /api/v1/agents              all agents with state, languages and skills
//	GET  /api/v1/agents/{id}         one of them
//	PUT  /api/v1/agents/{id}         add or change one: {"name": "Anna", "tier": 1, "languages": {"en": 5}, "skills": {"claims": 3}}
//	DELETE /api/v1/agents/{id}       let one go
//	POST /api/v1/agents/{id}/state   {"state": "ready"}, {"state": "paused", "reason": "lunch"}, {"state": "wrapup_done"}
//	GET  /api/v1/queues              this node's figures by queue and language
//	GET  /api/v1/report              figures of all nodes by interval: ?from&to&interval&by&format&resolution, as bugle report has them
//	GET  /api/v1/followups           calls we owe: ?days=7&all=true&limit&after
//	POST /api/v1/followups/{id}/claim   {"for": "30m"}: take one, and be given the number
//	POST /api/v1/followups/{id}/settle  {"result": "done"}, "failed" or "dropped"
//	GET  /api/v1/calls               search: ?from&to&caller_hash&number&agent&queue&result&termination&limit&after
//	POST /api/v1/calls/search        {"caller": "+1…"}: search by a caller's number; the other conditions as above
//	GET  /api/v1/audit               who did what to what: ?from&to&actor&action&object&limit&after
//	POST /api/v1/callers/export      {"caller": "+1…"}: a ZIP file of all that is held about a number, with what was said
//	GET  /api/v1/calls/{id}/trace    its SIP messages, masked: ?format=text; {id} may be a SIP Call-ID
//
// Start with this file; guard.go says who may use the API.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/store"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options is what a Server shows and how.
type Options struct {
	Config  config.HTTP
	Metrics prometheus.Gatherer
	Checks  []Check
	Agents  Agents
	Figures Figures
	Traces  Traces
	Node    string // this node's name

	// Nil where there is no database.
	Reports   Reports
	Calls     Calls
	Staff     Staff
	FollowUps FollowUps
	Callers   Callers
	Users     Users
	Audit     Auditor
	Trail     Trail

	// What a search for calls may name.
	Hash    func(number string) string // of a caller's number, "" if it is none; nil: callers can't be looked for by number
	Numbers []string                   // ours, as the configuration has them
	TLS     *tls.Config                // serves HTTPS; nil: HTTP
	Mounts  map[string]http.Handler    // what else is served, by path, to whoever asks

	Zone *time.Location // of the site, in which times without an offset are read; default UTC
	Log  *slog.Logger   // default: slog.Default()
}

func (o Options) zone() *time.Location {
	if o.Zone == nil {
		return time.UTC
	}
	return o.Zone
}

// Figures gives what /api/v1/queues shows. *report.Figures is the one of a
// running node.
type Figures interface {
	Lines() []report.Line
}

// Server is the HTTP side of a node.
type Server struct {
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
	requests *prometheus.CounterVec
}

// Limits of one request. Nothing the API takes comes near them.
const (
	maxHeader    = 16 << 10
	maxBody      = 4 << 10
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
)

// New binds the listener and answers nothing yet. Port 0 takes a free one.
func New(o Options) (*Server, error) {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	listener, err := net.Listen("tcp", o.Config.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on %s: %w", o.Config.Address, err)
	}
	if o.TLS != nil {
		listener = tls.NewListener(listener, o.TLS)
	}
	s := &Server{
		log:      log,
		listener: listener,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bugle_http_requests_total",
			Help: "HTTP requests answered, by route and status code.",
		}, []string{"route", "code"}),
	}
	s.http = &http.Server{
		Handler:           s.routes(o),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers requests until Close. It gives nil after that.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Close ends the listener at once, and lets requests under way end until ctx
// does.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	// Without a Serve the listener is not the http.Server's to close.
	if e := s.listener.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Addr gives the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Collectors gives the room's own metrics, to be registered with Prometheus.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.requests}
}

// routes connects paths with what answers them.
func (s *Server) routes(o Options) http.Handler {
	g := newGuard(o.Config.Token, o.Users, s.log)
	metrics := promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError)})
	ready := &readiness{checks: o.Checks, log: s.log}
	audit := &auditing{to: o.Audit, log: s.log}
	agents := &agentAPI{agents: o.Agents, staff: o.Staff, audit: audit, log: s.log}
	owed := &followUpAPI{o.FollowUps, s.log}
	calls := &callAPI{calls: o.Calls, hash: o.Hash, numbers: o.Numbers, audit: audit, zone: o.zone(), log: s.log}
	trail := &trailAPI{trail: o.Trail, audit: audit, zone: o.zone(), log: s.log}
	callers := &callerAPI{callers: o.Callers, hash: o.Hash, log: s.log, one: make(chan struct{}, 1)}
	traces := &traceAPI{traces: o.Traces, node: o.Node, audit: audit, log: s.log}
	const agent, supervisor, quality = store.RoleAgent, store.RoleSupervisor, store.RoleQuality

	mux := http.NewServeMux()
	route := func(path string, by methods) { mux.Handle(path, s.counted(path, by)) }
	route("/metrics", methods{"GET": metrics})
	route("/healthz", methods{"GET": http.HandlerFunc(alive)})
	route("/readyz", methods{"GET": ready})
	route("/api/v1/agents", methods{"GET": g.protect(agents.list, agent, supervisor, quality)})
	route("/api/v1/agents/{id}", methods{
		"GET": g.protect(agents.show, agent, supervisor, quality), "PUT": g.protect(agents.put), "DELETE": g.protect(agents.remove),
	})
	route("/api/v1/agents/{id}/state", methods{"POST": g.protect(agents.setState, agent, supervisor)})
	route("/api/v1/queues", methods{"GET": g.protect(queueAPI{o.Figures}.list, agent, supervisor, quality)})
	route("/api/v1/report", methods{"GET": g.protect(newReportAPI(o, s.log).show, supervisor, quality)})
	route("/api/v1/calls", methods{"GET": g.protect(calls.search, supervisor, quality)})
	route("/api/v1/calls/search", methods{"POST": g.protect(calls.searchCaller, supervisor, quality)})
	route("/api/v1/audit", methods{"GET": g.protect(trail.list, store.RoleAuditor)})
	route("/api/v1/callers/export", methods{"POST": g.protect(callers.export)})
	route("/api/v1/calls/{id}/trace", methods{"GET": g.protect(traces.show, supervisor)})
	route("/api/v1/followups", methods{"GET": g.protect(owed.list, supervisor)})
	route("/api/v1/followups/{id}/claim", methods{"POST": g.protect(owed.claim, supervisor)})
	route("/api/v1/followups/{id}/settle", methods{"POST": g.protect(owed.settle, supervisor)})
	for path, h := range o.Mounts {
		mux.Handle(path, s.counted(path, h))
	}
	mux.Handle("/", s.counted("other", http.HandlerFunc(notFound)))
	return mux
}
