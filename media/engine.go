package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bugle-voice/bugle/config"
)

// ErrClosed says that the engine or the leg is closed.
var ErrClosed = errors.New("media: closed")

// Engine carries the media of a node: its shards, its ports, its legs.
type Engine struct {
	address   netip.Addr // where sockets are bound
	advertise netip.Addr // what SDP says
	ports     *ports
	shards    []*shard
	lateness  prometheus.Histogram
	panics    prometheus.Counter
	measured  measured
	log       *slog.Logger

	sharedPorts int // of each shard, at most

	mu      sync.Mutex
	closed  bool
	moves   sync.WaitGroup // of legs on their way to another shard
	writers sync.WaitGroup // of recordings
}

// New starts an engine. It wants cfg.Address to be a concrete address; zero
// Shards means one for each core, an invalid Advertise means Address, a nil log
// none.
func New(cfg config.Media, log *slog.Logger) (*Engine, error) {
	address, advertise := cfg.Address.Unmap(), cfg.Advertise.Unmap()
	if !address.IsValid() || address.IsUnspecified() {
		return nil, fmt.Errorf("media: RTP needs a concrete address, not %q", cfg.Address)
	}
	if !advertise.IsValid() {
		advertise = address
	}
	if advertise.Is4() != address.Is4() {
		return nil, fmt.Errorf("media: address %v and advertised address %v are of different IP versions", address, advertise)
	}
	ports, err := newPorts(cfg.Ports)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		address:   address,
		advertise: advertise,
		ports:     ports,
		log:       log,

		sharedPorts: cfg.SharedPorts,
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bugle_media_beat_late_seconds",
			Help:    "How late the engine's beats were.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1},
		}),
		measured: newMeasured(),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bugle_media_panics_total",
			Help: "Panics caught; each ended one leg or one recording.",
		}),
	}
	e.ports.quiet = e.quiet
	count := cfg.Shards
	if count <= 0 {
		count = runtime.GOMAXPROCS(0)
	}
	start := time.Now()
	for range count {
		s := newShard(start, cfg.Silence.D(), ports, e.lateness)
		s.panicked = e.panicked
		s.ended = e.measured.observe
		e.shards = append(e.shards, s)
		go s.run()
	}
	return e, nil
}

// Close ends every leg and recording and waits until all of it is gone. It may
// be called more than once.
func (e *Engine) Close() error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		e.moves.Wait()
		for _, s := range e.shards {
			s.do(func(int64) { s.stop() })
		}
	}
	e.mu.Unlock()
	for _, s := range e.shards {
		<-s.done
	}
	for _, s := range e.shards {
		s.closePorts()
	}
	e.writers.Wait()
	return nil
}

// addWriter announces a recording's goroutine, so that Close waits for it. False:
// the engine is closed.
func (e *Engine) addWriter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.writers.Add(1)
	}
	return !e.closed
}

// Collectors gives the engine's Prometheus metrics, to be registered once.
func (e *Engine) Collectors() []prometheus.Collector {
	return append(e.measured.collectors(), newCollector(e), e.lateness, e.panics)
}

// panicked counts and logs a panic that was caught.
func (e *Engine) panicked(in string, value any) {
	e.panics.Inc()
	e.log.Error("panic caught", "in", in, "panic", value, "stack", string(debug.Stack()))
}

// PortsInUse tells how many pairs of ports belong to a leg.
func (e *Engine) PortsInUse() int {
	used, _, _ := e.ports.counts()
	return used
}

// bindTries is how many pairs are tried when other programs sit on ports of
// our range.
const bindTries = 16

// quiet listens to a pair of ports that nobody has, and tells whether nothing came.
// One that another program has cannot be listened to, nor harm a call of ours.
func (e *Engine) quiet(port uint16) bool {
	pair, err := openPair(e.address, port, rtpBuffer)
	if err != nil {
		return true
	}
	defer pair.close()
	return pair.quiet(portListen)
}

// bind opens sockets on a free pair of ports, with a receive buffer for RTP.
func (e *Engine) bind(buffer int) (socketPair, uint16, error) {
	for try := 1; ; try++ {
		port, err := e.ports.take()
		if err != nil {
			return socketPair{}, 0, err
		}
		pair, err := openPair(e.address, port, buffer)
		if err == nil {
			return pair, port, nil
		}
		e.ports.give(port)
		if !errors.Is(err, syscall.EADDRINUSE) || try == bindTries {
			return socketPair{}, 0, fmt.Errorf("media: %w", err)
		}
		e.log.Debug("another program has a port of media.ports", "port", port)
	}
}

// place gives the shard for a new leg: near another's, or the one with the
// fewest.
func (e *Engine) place(near *Leg) *shard {
	if near != nil {
		return near.where()
	}
	best := e.shards[0]
	for _, s := range e.shards[1:] {
		if s.load.Load() < best.load.Load() {
			best = s
		}
	}
	return best
}
