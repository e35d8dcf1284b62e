package event

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const syncAfter = 40 * time.Millisecond // with the sync itself a record is on disk within 50 ms

// syncer brings what was written to the disk. One goroutine syncs for all: what
// is written while a sync runs shares the next one, a round.
type syncer struct {
	flush   func() error // Log.flush
	metrics *metrics

	dirty  chan struct{} // something was written
	urgent chan struct{} // someone waits for it
	quit   chan struct{}
	done   chan struct{}

	mu    sync.Mutex
	open  *round // what is written now will be synced in it
	fault error  // of the first sync that failed; stays
}

// round is one sync and what became of it.
type round struct {
	used bool          // there is something to sync
	done chan struct{} // closed after the sync
	err  error         // good after done
}

func newSyncer(flush func() error, m *metrics) *syncer {
	return &syncer{
		flush: flush, metrics: m,
		dirty:  make(chan struct{}, 1),
		urgent: make(chan struct{}, 1),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
		open:   &round{done: make(chan struct{})},
	}
}

// written says that a record was written, and gives the round that will sync it.
func (s *syncer) written() *round {
	s.mu.Lock()
	r, first := s.open, !s.open.used
	r.used = true
	s.mu.Unlock()
	if first {
		signal(s.dirty)
	}
	return r
}

// wait has a round's sync done at once and gives its result.
func (s *syncer) wait(ctx context.Context, r *round) error {
	signal(s.urgent)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed gives the error of the first sync that failed.
func (s *syncer) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// stop syncs a last time and ends the goroutine.
func (s *syncer) stop() {
	close(s.quit)
	<-s.done
}

func (s *syncer) run() {
	defer close(s.done)
	pause := time.NewTimer(0) // between a write and its sync
	pause.Stop()
	armed := false // pause runs
	for {
		select {
		case <-s.dirty:
			if !armed {
				pause.Reset(syncAfter)
				armed = true
			}
		case <-s.urgent:
			pause.Reset(0)
			armed = true
		case <-pause.C:
			armed = false
			s.sync()
		case <-s.quit:
			pause.Stop()
			s.sync()
			return
		}
	}
}

// sync ends the open round.
func (s *syncer) sync() {
	s.mu.Lock()
	r := s.open
	if !r.used {
		s.mu.Unlock()
		return
	}
	s.open = &round{done: make(chan struct{})}
	s.mu.Unlock()

	began := time.Now()
	err := s.flush()
	s.metrics.sync.Observe(time.Since(began).Seconds())

	s.mu.Lock()
	if err != nil && s.fault == nil {
		s.fault = fmt.Errorf("event log can't be synced: %w", err)
		s.metrics.syncErrors.Inc()
	}
	r.err = s.fault
	s.mu.Unlock()
	close(r.done)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
