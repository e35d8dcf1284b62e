package event

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	syncAfter = 40 * time.Millisecond // with the sync itself a record is on disk within 50 ms
	mendEvery = time.Second
)

// syncer brings what was written to the disk. One goroutine syncs for all: what
// is written while a sync runs shares the next one, a round.
type syncer struct {
	file    file
	metrics *metrics
	mend    func() bool // Log.mend

	dirty  chan struct{} // something was written
	urgent chan struct{} // someone waits for it
	broken chan struct{} // facts are being lost
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

func newSyncer(f file, m *metrics, mend func() bool) *syncer {
	return &syncer{
		file: f, metrics: m, mend: mend,
		dirty:  make(chan struct{}, 1),
		urgent: make(chan struct{}, 1),
		broken: make(chan struct{}, 1),
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

// mendSoon has mend called every second until it succeeds.
func (s *syncer) mendSoon() { signal(s.broken) }

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
	retry := time.NewTimer(0) // between two tries to mend
	pause.Stop()
	retry.Stop()
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
		case <-s.broken:
			retry.Reset(mendEvery)
		case <-retry.C:
			if !s.mend() {
				retry.Reset(mendEvery)
			}
		case <-s.quit:
			pause.Stop()
			retry.Stop()
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
	err := s.file.Sync()
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
