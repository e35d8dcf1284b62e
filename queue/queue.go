package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/bugle-voice/bugle/config"
)

// ErrStale says that the token shown is no longer the one in force: the offer
// was withdrawn, refused or taken over meanwhile.
var ErrStale = errors.New("the offer is no longer in force")

// ErrBusy says that the agent is rung, talks or wraps up.
var ErrBusy = errors.New("the agent is busy")

// ErrNotRegistered says that no phone of the agent is registered.
var ErrNotRegistered = errors.New("the agent's phone is not registered")

// ErrNotInWrapUp says that there is no wrap-up to end.
var ErrNotInWrapUp = errors.New("the agent is not in wrap-up")

// Queue is one node's hold on what is live in its domain. All its methods may
// be called from any goroutine. Errors from Redis are wrapped with what was
// being done; after one it is unknown whether the change was made, or is still
// to be made: nothing is sent twice, but what was sent may reach Redis late.
// Asking again is safe, and so is asking for the contrary: see order.go.
type Queue struct {
	client   *redis.Client
	embedded *embedded // nil when Redis is another process
	prefix   string    // of every key: "bugle:{DOMAIN}:"
	node     string
	epoch    string        // this start of the node: the first half of its tokens
	steps    atomic.Uint64 // numbers this node's steps: order.go
	log      *slog.Logger
	seconds  *prometheus.HistogramVec
	inbox    *inbox
	clock    func() time.Time // gives every time written to Redis

	closing sync.Once
	leaving time.Duration // how long Close may take
	closed  error
}

// Open connects to the Redis of cfg, or starts an embedded one if it names
// none, and removes what an earlier life of this node left behind: its visits,
// the sessions of its agents, its inbox. Domain and node may hold any
// printable characters but braces.
func Open(ctx context.Context, cfg config.Redis, domain, node string, log *slog.Logger) (*Queue, error) {
	return openAt(ctx, cfg, domain, node, log, time.Now)
}

// openAt is Open with a clock of the test's.
func openAt(ctx context.Context, cfg config.Redis, domain, node string, log *slog.Logger, clock func() time.Time) (*Queue, error) {
	if strings.ContainsAny(domain+node, "{}") || !printable(domain, node) || domain == "" || node == "" {
		return nil, fmt.Errorf("queue: domain %q and node %q must be non-empty, printable and without braces", domain, node)
	}
	client, emb := connect(cfg)
	q := &Queue{
		client:   client,
		embedded: emb,
		prefix:   "bugle:{" + domain + "}:",
		node:     node,
		log:      log,
		seconds:  newSeconds(),
		clock:    clock,
		leaving:  2 * time.Second,
	}
	q.inbox = newInbox(q)
	if err := q.start(ctx); err != nil {
		return nil, errors.Join(err, q.disconnect())
	}
	return q, nil
}

// start loads the scripts, takes a new epoch and clears away the old life.
func (q *Queue) start(ctx context.Context) error {
	if err := q.loadScripts(ctx); err != nil {
		return fmt.Errorf("queue: loading scripts into redis: %w", err)
	}
	boot, err := q.client.Incr(ctx, q.nodeKey("boot")).Result()
	if err != nil {
		return fmt.Errorf("queue: taking an epoch: %w", err)
	}
	q.epoch = q.node + "." + strconv.FormatInt(boot, 10)
	q.steps.Store(uint64(boot) << 32) // later than any step of an earlier life
	// What is written to the inbox from here on is about the new life.
	if err := q.client.Del(ctx, q.nodeKey("inbox"), q.prefix+"fits").Err(); err != nil {
		return fmt.Errorf("queue: emptying the inbox: %w", err)
	}
	return q.purge(ctx)
}

// purge takes this node's agents and visits out of what is live. Agents go
// first, so that no visit freed here is offered to one of them. What was asked
// before and comes late is refused from now on.
func (q *Queue) purge(ctx context.Context) error {
	if err := q.fence(ctx); err != nil {
		return fmt.Errorf("queue: fencing off earlier steps of node %s: %w", q.node, err)
	}
	agents, err := q.client.SMembers(ctx, q.nodeKey("agents")).Result()
	if err != nil {
		return fmt.Errorf("queue: purging agents of node %s: %w", q.node, err)
	}
	slices.Sort(agents) // any order will do, but always the same
	for _, agent := range agents {
		if err := q.Unregister(ctx, agent); err != nil {
			return fmt.Errorf("queue: purging agents of node %s: %w", q.node, err)
		}
	}
	visits, err := q.client.SMembers(ctx, q.nodeKey("visits")).Result()
	if err != nil {
		return fmt.Errorf("queue: purging visits of node %s: %w", q.node, err)
	}
	slices.Sort(visits)
	for _, visit := range visits {
		if err := q.leave(ctx, visit, interrupted); err != nil {
			return fmt.Errorf("queue: purging visits of node %s: %w", q.node, err)
		}
	}
	if len(agents)+len(visits) > 0 {
		q.log.Info("removed what this node had in redis", "agents", len(agents), "visits", len(visits))
	}
	return nil
}

// Close removes this node's visits and agents from what is live, hands the
// last messages of the inbox to the handler, stops the reader and closes the
// connection; it lasts at most a few seconds, also when Redis is away. The
// handler and whatever it uses must outlive it.
func (q *Queue) Close() error {
	q.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), q.leaving)
		defer cancel()
		q.closed = errors.Join(q.purge(ctx), q.inbox.close(ctx), q.disconnect())
	})
	return q.closed
}

func (q *Queue) disconnect() error {
	err := q.client.Close()
	if q.embedded != nil {
		q.embedded.close()
	}
	return err
}

// Collectors are the metrics of this room, to be registered once.
func (q *Queue) Collectors() []prometheus.Collector {
	return []prometheus.Collector{q.seconds, q.inbox.failures}
}

// Ping tells whether Redis answers, for readiness.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("queue: redis does not answer: %w", err)
	}
	return nil
}

func (q *Queue) nodeKey(name string) string {
	return q.prefix + "node:" + q.node + ":" + name
}

// printable says that no string has a control character: they separate the
// fields of records and messages.
func printable(ss ...string) bool {
	for _, s := range ss {
		for i := range len(s) {
			if s[i] < ' ' {
				return false
			}
		}
	}
	return true
}
