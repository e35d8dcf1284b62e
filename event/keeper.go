package event

import (
	"sync"
	"time"
)

const (
	mendEvery = time.Second
	dropEvery = time.Minute
)

// keeper does what is not to hold up writing or syncing: it mends the log after
// a failure, and deletes what nobody needs any more.
type keeper struct {
	mend func() bool // Log.mend
	drop func()      // Log.drop

	broken chan struct{} // there is something to mend
	ended  chan struct{} // a segment was ended
	quit   chan struct{}
	done   chan struct{}
	once   sync.Once
}

func newKeeper(mend func() bool, drop func()) *keeper {
	return &keeper{
		mend: mend, drop: drop,
		broken: make(chan struct{}, 1),
		ended:  make(chan struct{}, 1),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
	}
}

// mendSoon has mend called every second until it succeeds.
func (k *keeper) mendSoon() { signal(k.broken) }

// dropSoon has drop called.
func (k *keeper) dropSoon() { signal(k.ended) }

// stop ends the goroutine.
func (k *keeper) stop() {
	k.once.Do(func() { close(k.quit) })
	<-k.done
}

func (k *keeper) run() {
	defer close(k.done)
	drop := time.NewTicker(dropEvery)
	defer drop.Stop()
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-k.broken:
			retry.Reset(mendEvery)
		case <-retry.C:
			if !k.mend() {
				retry.Reset(mendEvery)
			}
		case <-k.ended:
			k.drop()
		case <-drop.C:
			k.drop()
		case <-k.quit:
			return
		}
	}
}
