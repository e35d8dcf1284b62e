package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// What every script is prefixed with: records and messages, lines and match.
var (
	//go:embed records.lua
	recordsLua string
	//go:embed match.lua
	matchLua string
)

// script is one .lua file. It is sent once and then named by its hash.
type script struct {
	name string
	*redis.Script
}

var scripts []script

// newScript registers a script's source; called from package variables.
func newScript(name, source string) script {
	s := script{name, redis.NewScript(recordsLua + "\n" + matchLua + "\n" + source)}
	scripts = append(scripts, s)
	return s
}

func (q *Queue) loadScripts(ctx context.Context) error {
	for _, s := range scripts {
		if err := s.Load(ctx, q.client).Err(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// run executes a script and gives the word it returns, "" if none.
func (q *Queue) run(ctx context.Context, s script, args ...any) (string, error) {
	for _, a := range args {
		if a, ok := a.(string); ok && !printable(a) {
			return "", fmt.Errorf("queue: %s: %q has control characters", s.name, a)
		}
	}
	begin := time.Now()
	word, err := s.Run(ctx, q.client, []string{q.prefix}, args...).Text()
	q.seconds.WithLabelValues(s.name).Observe(time.Since(begin).Seconds())
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("queue: %s: %w", s.name, err)
	}
	return word, nil
}

func newSeconds() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "bugle_queue_script_seconds",
		Help:    "Time a script took, the way to Redis and back included.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1},
	}, []string{"script"})
}

// millis is how times are written in Redis.
func millis(t time.Time) int64 { return t.UnixMilli() }

func (q *Queue) now() int64 { return millis(q.clock()) }
