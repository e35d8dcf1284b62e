package sip

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/prometheus/client_golang/prometheus"
)

type Session interface {
	Offer() ([]byte, error)
	Answer(offer []byte) ([]byte, error)
	Accept(answer []byte) error
}

type Handler interface {
	Invite(l *Leg)
	Registered(agent string, b Binding)
	Unregistered(agent string)
}

type Credentials interface {
	HA1(user, algorithm string) (string, bool)
}

type Bindings interface {
	Put(ctx context.Context, b Binding) error
	Get(ctx context.Context, user string) ([]Binding, error)
	Remove(ctx context.Context, user, contact string) error
}

type Binding struct {
	User      string    `json:"user"`
	Contact   string    `json:"contact"`
	Source    string    `json:"source"`
	Local     string    `json:"local"`
	Path      []string  `json:"path,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	CallID    string    `json:"call_id"`
	CSeq      uint32    `json:"cseq"`
	Expires   time.Time `json:"expires"`
	Node      string    `json:"node"`
}

type Options struct {
	Config      config.SIP
	Node        string
	Handler     Handler
	Credentials Credentials
	Bindings    Bindings
	Log         *slog.Logger
	T1          time.Duration
}

type Server struct{}

func New(o Options) (*Server, error)                            { panic("soon") }
func (s *Server) Serve(ctx context.Context) error               { panic("soon") }
func (s *Server) Close() error                                  { panic("soon") }
func (s *Server) Drain()                                        { panic("soon") }
func (s *Server) Addrs() []Addr                                 { panic("soon") }
func (s *Server) Dial(t Target, session Session) (*Leg, error)  { panic("soon") }
func (s *Server) Collectors() []prometheus.Collector            { panic("soon") }
func (s *Server) Register(ctx context.Context, r Registration) (*Registered, error) {
	panic("soon")
}

type Addr struct {
	Network string
	Address netip.AddrPort
}

type Auth struct{ User, Password string }

type Target struct {
	URI     string
	Binding *Binding
	From    string
	Display string
	Call    string
	Headers map[string]string
	Auth    *Auth
}

type Registration struct {
	Registrar string
	User      string
	Password  string
	Expires   time.Duration
}

type Registered struct{}

func (r *Registered) Close() error { panic("soon") }

type Leg struct{}

func (l *Leg) ID() string                           { panic("soon") }
func (l *Leg) SIPCallID() string                    { panic("soon") }
func (l *Leg) Number() string                       { panic("soon") }
func (l *Leg) Caller() string                       { panic("soon") }
func (l *Leg) Agent() string                        { panic("soon") }
func (l *Leg) Trunk() string                        { panic("soon") }
func (l *Leg) Header(name string) string            { panic("soon") }
func (l *Leg) Ringing() error                       { panic("soon") }
func (l *Leg) Answer(s Session) error               { panic("soon") }
func (l *Leg) Reject(code int, reason string) error { panic("soon") }
func (l *Leg) Hangup()                              { panic("soon") }
func (l *Leg) Progress() <-chan struct{}            { panic("soon") }
func (l *Leg) Answered() <-chan struct{}            { panic("soon") }
func (l *Leg) Done() <-chan struct{}                { panic("soon") }
func (l *Leg) End() End                             { panic("soon") }
func (l *Leg) Infos() <-chan Info                   { panic("soon") }

type By string

const (
	ByRemote  By = "remote"
	ByLocal   By = "local"
	ByFailure By = "failure"
)

type End struct {
	Code   int
	Reason string
	By     By
}

type Info struct {
	ContentType string
	Body        []byte
}

func ParseInfoKey(i Info) (rune, bool) { panic("soon") }
