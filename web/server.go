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
//	POST /api/v1/agents/{id}/state   {"state": "ready"}, {"state": "paused", "reason": "lunch"}, {"state": "wrapup_done"}
//	GET  /api/v1/queues              this node's figures by queue and language
//	GET  /api/v1/report              figures of all nodes by interval: ?from&to&interval&by&format&resolution, as bugle report has them
//	GET  /api/v1/calls               search: ?from&to&caller_hash&number&agent&queue&result&termination&limit&after
//
// Start with this file; guard.go says who may use the API.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/report"
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
	Reports Reports // nil, as Calls, where there is no database
	Calls   Calls
	Audit   Auditor        // nil where there is no database
	Zone    *time.Location // of the site, in which times without an offset are read; default UTC
	Log     *slog.Logger   // default: slog.Default()
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
	g := newGuard(o.Config.Token)
	metrics := promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError)})
	ready := &readiness{checks: o.Checks, log: s.log}
	audit := &auditing{to: o.Audit, actor: "loopback", log: s.log}
	if o.Config.Token != "" {
		audit.actor = "token"
	}
	agents := &agentAPI{agents: o.Agents, audit: audit, log: s.log}

	mux := http.NewServeMux()
	route := func(method, path string, h http.Handler) {
		mux.Handle(path, s.counted(path, only(method, h)))
	}
	route(http.MethodGet, "/metrics", metrics)
	route(http.MethodGet, "/healthz", http.HandlerFunc(alive))
	route(http.MethodGet, "/readyz", ready)
	route(http.MethodGet, "/api/v1/agents", g.protect(agents.list))
	route(http.MethodPost, "/api/v1/agents/{id}/state", g.protect(agents.setState))
	route(http.MethodGet, "/api/v1/queues", g.protect(queueAPI{o.Figures}.list))
	route(http.MethodGet, "/api/v1/report", g.protect(newReportAPI(o, s.log).show))
	route(http.MethodGet, "/api/v1/calls", g.protect((&callAPI{calls: o.Calls, audit: audit, zone: o.zone(), log: s.log}).search))
	mux.Handle("/", s.counted("other", http.HandlerFunc(notFound)))
	return mux
}
