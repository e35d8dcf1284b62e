package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bugle-voice/bugle/call"
	"github.com/bugle-voice/bugle/cert"
	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
	"github.com/bugle-voice/bugle/store"
	"github.com/bugle-voice/bugle/vault"
	"github.com/bugle-voice/bugle/web"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// What lies in data_dir.
const (
	eventDir = "events"
	ha1Name  = "agents.ha1"
)

// node is the rooms of one running server, in the order in which they are
// opened; they are closed the other way round.
type node struct {
	log     *slog.Logger
	secrets *HA1File
	vault   *vault.Vault
	certs   *cert.Store
	events  *event.Log
	figures *report.Figures
	archive *archive
	store   *store.Store
	roster  *roster
	queue   *queue.Queue
	router  *router.Router
	media   *media.Engine
	calls   *call.Conductor
	sip     *sip.Server
	web     *web.Server

	draining atomic.Bool
	failed   chan error     // a server that ended by itself
	undo     []func() error // closes what has been opened, last first
	leave    func()         // takes back that other nodes may send calls here
}

// newNode opens every room of a site: sockets are bound, nothing is served yet.
func newNode(site *site, log *slog.Logger) (*node, error) {
	n := &node{log: log, failed: make(chan error, 2), certs: &cert.Store{Log: log}, leave: func() {}}
	if err := n.open(site); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) open(site *site) (err error) {
	c, log := site.config, n.log
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data_dir: %w", err)
	}
	opening, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if n.vault, err = vault.Open(opening, c.Vault, c.DataDir); err != nil {
		return err
	}
	n.vault.Clean(international(c))
	if n.secrets, err = openSecrets(c, n.vault); err != nil {
		return err
	}
	if n.events, err = event.Open(event.Options{
		Dir: filepath.Join(c.DataDir, eventDir), Node: c.Node, Version: version, Log: log, Seal: n.vault,
		SegmentBytes: int64(c.Events.SegmentBytes), Rotate: c.Events.Rotate.D(), Keep: c.Events.Keep.D(), ReserveBytes: int64(c.Events.ReserveBytes),
	}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.events.Close)
	n.watchVault(c.Vault)
	n.figures = report.New(c.Queues, c.Languages)
	n.events.Subscribe(n.figures.Observe)
	var salvaged []kept
	if n.archive, salvaged, err = openArchive(c.DataDir, n.vault, log); err != nil {
		return err
	}
	n.tell(salvaged)
	if err := n.openStore(opening, c); err != nil {
		return err
	}
	if n.queue, err = queue.Open(opening, c.Redis, c.Domain, c.Node, log); err != nil {
		return err
	}
	n.undo = append(n.undo, n.queue.Close)
	n.router = router.New(router.Options{
		Queue: n.queue, Events: n.events, Agents: n.roster.agents(), Queues: c.Queues,
		ReadyOnRegister: c.SIP.ReadyOnRegister, Log: log,
	})
	n.undo = append(n.undo, func() error { n.router.Close(); return nil })
	if n.media, err = media.New(c.Media, log); err != nil {
		return err
	}
	n.undo = append(n.undo, n.media.Close)

	phones := bindings{n.queue, n.vault.Mark}
	n.background(func(ctx context.Context) error {
		return n.roster.follow(ctx, n.store, func(before, now map[string]config.Agent) { n.takeUp(ctx, phones, before, now) })
	})
	n.calls = call.New(call.Options{
		Config: c, Prompts: site.prompts, Music: site.music,
		Media: n.media, Router: n.router, Events: n.events, Bindings: phones, Recordings: n.archive, Log: log,
		Dial:      func(t sip.Target, s sip.Session) (*sip.Leg, error) { return n.sip.Dial(t, s) },
		DialTrunk: func(t sip.TrunkCall, s sip.Session) (*sip.Leg, error) { return n.sip.DialTrunk(t, s) },
		Find:      func(r sip.Replaces) *sip.Leg { return n.sip.Find(r) },
		Sealed:    n.sealed,
		Private:   n.private, Full: func() bool { return n.events.Healthy() != nil }, Estimate: n.figures.Estimate,
	})
	if n.sip, err = sip.New(sip.Options{
		Config: c.SIP, Node: c.Node, Handler: n.calls, Credentials: credentials{n.secrets, n.roster}, Bindings: phones,
		Bans: n.queue, Certificates: n.certs, Log: log, SessionExpires: cmp.Or(c.SIP.SessionExpires.D(), -1), // 0s is none
	}); err != nil {
		return err
	}
	n.background(func(ctx context.Context) error { n.certs.Watch(ctx); return nil })
	n.undo = append(n.undo, n.sip.Close)
	reporter := &report.Reporter{Source: n.store, Queues: c.Queues, Zone: c.Zone(), Workers: 1}
	resolution, promises := report.NewResolution(reporter), report.NewPromises(reporter)
	n.background(func(ctx context.Context) error { return n.reckon(ctx, resolution, resolveEvery) })
	n.background(func(ctx context.Context) error { return n.reckon(ctx, promises, promisesEvery) })
	metrics := n.registry()
	metrics.MustRegister(resolution, promises)
	var secure *tls.Config
	if c.HTTP.Certificate != "" {
		kept, err := n.certs.Open(cert.Files{Certificate: c.HTTP.Certificate, Key: c.HTTP.Key})
		if err != nil {
			return fmt.Errorf("http: %w", err)
		}
		secure = kept.Server()
	}
	mounts := map[string]http.Handler{}
	if path := c.SIP.WebSocket.Path; path != "" {
		mounts[path] = n.sip.WebSocket()
	}
	if n.web, err = web.New(web.Options{
		TLS: secure, Mounts: mounts,
		Config: c.HTTP, Metrics: metrics, Checks: n.checks(), Agents: agents{n.router}, Figures: n.figures,
		Traces: traces{n.store, n.sip, n.ours(c)}, Node: c.Node,
		Reports: reporter,
		Calls:   n.store, Staff: rosterAPI{n.store, store.VocabularyOf(c), n.roster}, FollowUps: owed{n.store, n.events}, Users: n.store,
		Trail: n.store, Callers: callerAPI{&exporter{n.store, n.archive, c.Node, log}},
		Audit: auditor{n.events}, Hash: n.vault.Hash, Numbers: slices.Sorted(maps.Keys(c.Numbers)), Zone: c.Zone(), Log: log,
	}); err != nil {
		return err
	}
	metrics.MustRegister(n.web.Collectors()...)
	return nil
}

// takeUp makes what is live follow the database: the router offers by the agents
// there are now, and phones of those who have left are no longer registered.
func (n *node) takeUp(ctx context.Context, phones bindings, before, now map[string]config.Agent) {
	n.router.SetAgents(now)
	for id := range before {
		if _, stays := now[id]; stays {
			continue
		}
		if err := phones.removeAll(ctx, id); err != nil { // they expire by themselves
			n.log.Warn("the phones of an agent who has left stay registered until they expire", "agent", id, "error", err)
		}
	}
	n.log.Info("agents have changed", "agents", len(now))
}

// start serves: from here on calls come in.
func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	n.undo = append(n.undo, func() error { cancel(); <-served; return nil })
	n.announce()
	go func() {
		defer close(served)
		if err := n.sip.Serve(ctx); err != nil && ctx.Err() == nil {
			n.failed <- err
		}
	}()
	go func() {
		if err := n.web.Serve(); err != nil {
			n.failed <- err
		}
	}()
}

// announce lets other nodes send calls here, until the node drains.
func (n *node) announce() {
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{})
	go func() {
		defer close(told)
		n.queue.Announce(ctx, n.sip.Addrs()[0].Address.String())
	}()
	n.leave = func() { cancel(); <-told }
	n.undo = append(n.undo, func() error { n.leave(); return nil })
}

// stop ends the node. What brings new work stops first, then the calls end, by
// themselves until limit is over; then what they needed is closed, last opened
// first. HTTP stays as long as there are calls, so that the drain can be watched.
func (n *node) stop(limit context.Context) error {
	n.draining.Store(true)
	n.sip.Drain()
	n.leave()
	if err := n.calls.Drain(limit); err != nil {
		n.log.Warn("ending the calls that are left", "calls", n.calls.Active())
	}
	n.calls.Close()
	closing, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return errors.Join(n.web.Close(closing), n.close())
}

func (n *node) close() (err error) {
	for i := len(n.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, n.undo[i]())
	}
	n.undo = nil
	return err
}

// registry gathers the figures of every room.
func (n *node) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), n.figures, n.certs)
	for _, room := range [][]prometheus.Collector{
		n.vault.Collectors(), n.events.Collectors(), n.store.Collectors(), n.queue.Collectors(), n.media.Collectors(), n.sip.Collectors(), n.calls.Collectors(),
	} {
		r.MustRegister(room...)
	}
	return r
}

// errDraining keeps a load balancer from sending calls to a node that is
// about to go.
var errDraining = errors.New("the node takes no new calls")

// checks are what must hold for the node to take calls.
func (n *node) checks() []web.Check {
	return []web.Check{
		{Name: "events", Check: func(context.Context) error { return n.events.Healthy() }},
		{Name: "redis", Check: n.queue.Ping},
		{Name: "vault", Check: n.vault.Healthy},
		{Name: "secrets", Check: func(context.Context) error { return n.secrets.Healthy() }},
		{Name: "draining", Check: func(context.Context) error {
			if n.draining.Load() {
				return errDraining
			}
			return nil
		}},
	}
}
