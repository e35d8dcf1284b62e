package sip

import "sync"

// maxWaiting is how many goroutines of a crew stay for what comes next.
const maxWaiting = 16

// crew runs functions side by side, each in a goroutine that may have run others
// before. To begin a goroutine costs little; to grow its stack to what a message
// needs, a seventh of all that a call of one leg does.
type crew struct {
	mu      sync.Mutex
	waiting int         // goroutines that wait
	next    chan func() // for them
	closed  bool
	wg      sync.WaitGroup
}

func newCrew() *crew { return &crew{next: make(chan func())} }

// run has f run.
func (c *crew) run(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		select {
		case c.next <- f:
			c.waiting--
			return
		default:
		}
	}
	c.wg.Go(func() { c.work(f) })
}

func (c *crew) work(f func()) {
	for f != nil {
		f()
		f = c.wait()
	}
}

// wait gives what to run next, or nil if enough others wait for it.
func (c *crew) wait() func() {
	c.mu.Lock()
	stay := !c.closed && c.waiting < maxWaiting
	if stay {
		c.waiting++
	}
	c.mu.Unlock()
	if !stay {
		return nil
	}
	return <-c.next // nil once it is closed
}

// close waits until all that runs has ended.
func (c *crew) close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.next)
	}
	c.mu.Unlock()
	c.wg.Wait()
}
