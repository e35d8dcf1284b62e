package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Handler takes what was decided, here or on another node, about this node's
// calls and agents, in the order in which it was decided. It is called from
// one goroutine and must not block.
type Handler interface {
	// Offered says that an agent is to be rung for a visit of this node.
	Offered(Offer)
	// Changed says that an agent whose session this node owns went from one
	// state to another. One whose session moves to another node is offline for
	// this one, and comes from offline for that one; no visit is named then.
	Changed(Change)
}

// Change is an agent going from one state to another.
type Change struct {
	Agent    string
	From     State
	To       State
	Reason   string        // of a pause
	After    time.Duration // how long he was in From; 0 if his session only moved
	Visit    string        // which he leaves or takes; empty if none
	Queue    string        // that visit's
	Language string        // that visit's
	Seq      uint64        // the decision's number in the domain
}

// What separates messages of an entry, and the fields of one.
const (
	recordSep = "\x1e"
	unitSep   = "\x1f"
)

const (
	blockFor  = time.Second // longest wait of one read
	trimEvery = 16          // entries read before they are cut off the stream
)

// inbox reads the node's stream. Its goroutine starts with listen and ends
// with close.
type inbox struct {
	q        *Queue
	key      string
	failures prometheus.Counter
	stop     context.CancelFunc
	listen   sync.Once
	done     chan struct{}

	// Of the goroutine alone.
	last   string // id of the last entry read
	behind int    // entries read and not cut off yet
}

func newInbox(q *Queue) *inbox {
	return &inbox{
		q:    q,
		key:  q.nodeKey("inbox"),
		last: "0-0",
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bugle_queue_inbox_failures_total",
			Help: "Failed reads of the node's inbox.",
		}),
	}
}

// Listen hands the inbox to h from now on; it may be called once. What was
// written since Open is handed over first.
func (q *Queue) Listen(h Handler) {
	q.inbox.listen.Do(func() {
		ctx, stop := context.WithCancel(context.Background())
		q.inbox.stop, q.inbox.done = stop, make(chan struct{})
		go q.inbox.run(ctx, h)
	})
}

// close lets the goroutine read what is there and waits for its end: an empty
// entry is its sign to stop.
func (in *inbox) close(ctx context.Context) error {
	in.listen.Do(func() {})
	if in.done == nil {
		return nil
	}
	defer in.stop()
	if err := in.q.client.XAdd(ctx, &redis.XAddArgs{Stream: in.key, Values: []string{"m", ""}}).Err(); err != nil {
		in.stop()
		<-in.done
		return fmt.Errorf("queue: closing the inbox: %w", err)
	}
	select {
	case <-in.done:
	case <-ctx.Done():
		in.stop()
		<-in.done
	}
	if err := in.q.client.Del(context.WithoutCancel(ctx), in.key).Err(); err != nil {
		return fmt.Errorf("queue: removing the inbox: %w", err)
	}
	return nil
}

func (in *inbox) run(ctx context.Context, h Handler) {
	defer close(in.done)
	failing := false
	for ctx.Err() == nil {
		entries, err := in.read(ctx)
		if err != nil {
			in.failures.Inc()
			if !failing {
				in.q.log.Error("cannot read the inbox; trying on", "err", err)
			}
			failing = true
			pause(ctx, blockFor)
			continue
		}
		if failing {
			in.q.log.Info("the inbox can be read again")
		}
		failing = false
		for _, e := range entries {
			in.last = e.ID
			messages, _ := e.Values["m"].(string)
			if messages == "" {
				return
			}
			in.deliver(messages, h)
		}
		in.trim(ctx, len(entries))
	}
}

// read waits for the next entries; none after blockFor is no error.
func (in *inbox) read(ctx context.Context) ([]redis.XMessage, error) {
	streams, err := in.q.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{in.key, in.last}, Block: blockFor, Count: 64,
	}).Result()
	switch {
	case errors.Is(err, redis.Nil) || ctx.Err() != nil:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return streams[0].Messages, nil
}

// trim cuts read entries off the stream now and then. A failure is of no
// consequence: the next trim makes up for it.
func (in *inbox) trim(ctx context.Context, read int) {
	in.behind += read
	if in.behind < trimEvery {
		return
	}
	if in.q.client.XTrimMinID(ctx, in.key, in.last).Err() == nil {
		in.behind = 1 // the last one stays
	}
}

func (in *inbox) deliver(messages string, h Handler) {
	for m := range strings.SplitSeq(messages, recordSep) {
		switch f := strings.Split(m, unitSep); {
		case f[0] == "offer" && len(f) == 8:
			h.Offered(Offer{
				Visit: f[1], Agent: f[2], Token: f[3], Why: Why(f[4]),
				Ready: span(f[5]), Waited: span(f[6]), Seq: number(f[7]),
			})
		case f[0] == "change" && len(f) == 9:
			queue, language := splitGroup(f[7])
			h.Changed(Change{
				Agent: f[1], From: State(f[2]), To: State(f[3]), Reason: f[4],
				After: span(f[5]), Visit: f[6], Queue: queue, Language: language, Seq: number(f[8]),
			})
		default:
			// A newer node's word in a rolling upgrade.
			in.q.log.Warn("unknown message in the inbox", "kind", f[0])
		}
	}
}

// span reads milliseconds; clocks of two nodes may make it negative.
func span(ms string) time.Duration {
	n, _ := strconv.ParseInt(ms, 10, 64)
	return max(0, time.Duration(n)*time.Millisecond)
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
