package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/report"
	"github.com/bugle-voice/bugle/store"
)

// openStore opens the database, begins to write the history into it, and reads
// the agents, whose truth it is. While a PostgreSQL is away at the start, the agents
// are those that were last known, and the history begins when it is back.
func (n *node) openStore(ctx context.Context, c *config.Config) (err error) {
	if n.store, err = store.Later(store.Options{Config: c.Store, DataDir: c.DataDir, Node: c.Node, Country: c.Country, Sealer: n.vault, Log: n.log}); err != nil {
		return err
	}
	n.undo = append(n.undo, n.store.Close)
	n.roster = newRoster(c.DataDir, n.vault, n.log)
	switch err := n.readyStore(ctx, c); {
	case err == nil:
		reading, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if _, err := n.roster.refresh(reading, n.store); err != nil {
			return err
		}
	case c.Store.Postgres == "" || errors.Is(err, store.ErrRefused):
		return err
	default:
		if err := errors.Join(n.roster.load(), ctx.Err()); err != nil {
			return fmt.Errorf("the database is away, and %w", err)
		}
		n.log.Error("the database is away: the agents are those last known, and the event log keeps what happens", "agents", len(n.roster.agents()), "error", err)
		n.background(func(ctx context.Context) error { return n.awaitStore(ctx, c) })
	}
	n.vouchFromNowOn(c)
	reader, err := n.events.Reader("history")
	if err != nil {
		return fmt.Errorf("read the event log for the history: %w", err)
	}
	n.background(func(ctx context.Context) error {
		defer reader.Close()
		return n.store.History(c.Queues).Run(ctx, store.Origin{Node: c.Node, Log: n.events.ID()}, reader)
	})
	last := lastLife{node: c.Node, until: n.events.Last()}
	n.background(func(ctx context.Context) error { return n.oweInterrupted(ctx, last) })
	n.housekeep(c.Store.Retention)
	return nil
}

// readyTimeout is how long a start waits for the database.
const readyTimeout = 10 * time.Second

// readyStore makes the database ready. Agents of the configuration are added where
// they are not there yet.
func (n *node) readyStore(ctx context.Context, c *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := n.store.Ready(ctx); err != nil {
		return err
	}
	added, err := n.store.Seed(ctx, c.Agents)
	if err == nil && len(added) > 0 {
		n.log.Info("agents of the configuration are now in the database", "agents", added)
	}
	return err
}

// awaitStore tries until the database is ready. It does not end the node, whatever
// is wrong: the calls go on.
func (n *node) awaitStore(ctx context.Context, c *config.Config) error {
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(3*time.Second + rand.N(2*time.Second)):
		}
		err := n.readyStore(ctx, c)
		if err == nil {
			n.log.Info("the database is there")
			n.roster.look()
			return nil
		}
		if time.Since(told) > time.Minute && ctx.Err() == nil {
			n.log.Error("the database is still away", "error", err)
			told = time.Now()
		}
	}
}

// How often the chores of what lasts are done.
const (
	choresAfter = time.Minute // the start
	choresAgain = time.Minute // what failed
	anchorEvery = time.Hour
	retainEvery = 24 * time.Hour
	buryEvery   = 10 * time.Minute
	vouchEvery  = time.Minute
	adoptAfter  = 20 * time.Minute // longer than sureAfter, so that the last life's are among them
	adoptEvery  = 24 * time.Hour

	resolveEvery  = 24 * time.Hour
	promisesEvery = 5 * time.Minute

	tryTimeout = 30 * time.Second // of what is small: the head of the audit, callers cut off
)

// headsWithin is how many bytes of the event log are searched at the start for the
// last head of the audit. One is written every hour; only after weeks without a
// database can there be none, and then bugle audit verify, which reads all, tells.
const headsWithin = 128 << 20

// vouchFromNowOn writes the head of the audit's chain into the event log: now, at
// the end, once the history has stopped, every minute in which it has moved and
// every hour. An audit that is put back to an older state with its head lacks
// what the log knows, and is found out: here, and by bugle audit verify.
func (n *node) vouchFromNowOn(c *config.Config) {
	newest, _, err := event.Newest(filepath.Join(c.DataDir, eventDir), n.vault, event.AuditHead{}.Kind(), headsWithin)
	if err != nil {
		n.log.Error("the audit can't be held against the event log", "error", err)
	}
	v := &voucher{store: n.store, events: n.events}
	v.head, _ = newest.Fact.(event.AuditHead)
	n.undo = append(n.undo, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := v.vouch(ctx, time.Now()); err != nil { // an end without the database is orderly all the same
			n.log.Warn("the audit's last head could not be written into the event log", "error", err)
		}
		return nil
	})
	n.background(func(ctx context.Context) error {
		tick := time.NewTicker(vouchEvery)
		defer tick.Stop()
		for now := time.Now(); ; {
			try, cancel := context.WithTimeout(ctx, tryTimeout)
			err := v.vouch(try, now)
			cancel()
			if err != nil && ctx.Err() == nil {
				n.log.Error("the audit's head could not be written into the event log", "error", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case now = <-tick.C:
			}
		}
	})
}

// voucher writes heads of the audit's chain into the event log, for one
// goroutine at a time.
type voucher struct {
	store  *store.Store
	events *event.Log
	head   event.AuditHead // the last that was written
	at     time.Time       // when
}

// vouch writes the head as it is now, if it has moved or the last one is an hour
// old.
func (v *voucher) vouch(ctx context.Context, now time.Time) error {
	head, err := v.store.Head(ctx, v.head)
	if err != nil || head.Seq == 0 || head.Seq == v.head.Seq && now.Sub(v.at) < anchorEvery {
		return err
	}
	if err := v.events.EmitSync(ctx, "", head); err != nil {
		return err
	}
	v.head, v.at = head, now
	return nil
}

// chore is something done again and again beside the calls.
type chore struct {
	what         string // for the log, where it fails
	first, every time.Duration
	limit        time.Duration // of one try: a database that hangs must not hold it for ever
	do           func(ctx context.Context, now time.Time) error
}

// housekeep anchors the audit's chains and deletes what has been kept long
// enough, until ctx ends. The first of each comes soon, for nodes that are
// restarted often.
func (n *node) housekeep(kept config.Retention) {
	for _, c := range []chore{
		{"anchoring the audit's chains", choresAfter, anchorEvery, time.Minute, func(ctx context.Context, _ time.Time) error {
			_, err := n.store.Anchor(ctx)
			return err
		}},
		{"deleting what has been kept long enough", choresAfter, retainEvery, time.Hour, func(ctx context.Context, now time.Time) error {
			deleted, err := n.store.Retain(ctx, store.By{Actor: "system"}, kept, now)
			if err == nil {
				n.log.Info("retention", "deleted", deleted)
			}
			return err
		}},
		{"deleting recordings whose time is over", buryEvery, buryEvery, buryEvery, func(ctx context.Context, _ time.Time) error {
			return n.buryRecordings(ctx)
		}},
		{"looking for recordings that nobody knows of", adoptAfter, adoptEvery, time.Hour, func(ctx context.Context, _ time.Time) error {
			return n.adoptRecordings(ctx)
		}},
	} {
		n.background(func(ctx context.Context) error { return n.keepDoing(ctx, c) })
	}
}

// keepDoing does a chore until ctx ends. What fails is told, and tried again in a
// minute: a period can be a day.
func (n *node) keepDoing(ctx context.Context, c chore) error {
	for due := time.After(c.first); ; {
		select {
		case <-ctx.Done():
			return nil
		case now := <-due:
			try, cancel := context.WithTimeout(ctx, c.limit)
			err := c.do(try, now)
			cancel()
			if due = time.After(c.every); err != nil {
				due = time.After(min(choresAgain, c.every))
			}
			if err != nil && ctx.Err() == nil {
				n.log.Error(c.what, "error", err)
			}
		}
	}
}

// reckon keeps what the database alone knows up to date in the metrics, until ctx ends.
func (n *node) reckon(ctx context.Context, r *report.Reckoning, every time.Duration) error {
	return n.keepDoing(ctx, chore{"reckoning what the metrics show of the database", choresAfter, every, min(every, time.Hour), r.Update})
}

// buryRecordings deletes the files of this node's recordings that retention or an
// erasure has condemned.
func (n *node) buryRecordings(ctx context.Context) error {
	condemned, err := n.store.Condemned(ctx)
	if err != nil {
		return err
	}
	var failed error // one file that can't be deleted keeps no other
	for _, r := range condemned {
		err := n.archive.remove(r.ID)
		if err == nil {
			err = n.store.Forget(ctx, r.ID)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// background runs something beside the calls until the node is closed; if it
// ends with an error, so does the node.
func (n *node) background(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			select {
			case n.failed <- err:
			default: // the node is going down already
			}
		}
	}()
	n.undo = append(n.undo, func() error { cancel(); <-ended; return nil })
}

// private gives the two forms in which a caller's number may be kept: a keyed
// hash that tells who calls again, and the number sealed.
func (n *node) private(call, number string) (hash string, sealed []byte) {
	if hash = n.vault.Hash(number); hash == "" {
		return "", nil
	}
	sealed, err := n.vault.Seal([]byte(number), store.CallerPlace(call))
	if err != nil {
		n.log.Error("sealing a caller's number", "call", call, "error", err)
		return "", nil
	}
	return hash, sealed
}

// sealed gives the outside number of a transfer as it may be kept.
func (n *node) sealed(transfer, number string) []byte {
	sealed, err := n.vault.Seal([]byte(number), store.TransferPlace(transfer))
	if err != nil {
		n.log.Error("sealing the number of a transfer", "transfer", transfer, "error", err)
		return nil
	}
	return sealed
}

// credentials knows the secrets of those who are agents now; a line of one who
// has left stays in the file and opens nothing.
type credentials struct {
	secrets *HA1File
	roster  *roster
}

func (c credentials) HA1(user, algorithm string) (string, bool) {
	if _, works := c.roster.agents()[user]; !works {
		return "", false
	}
	return c.secrets.HA1(user, algorithm)
}
