package sip

import (
	"sync"

	gosip "github.com/emiago/sipgo/sip"
)

// inbound is a message with the flow it came over.
type inbound struct {
	msg  gosip.Message
	flow flow
	size int // in bytes, as it came
}

// Limits of what may wait to be handled. Past them messages are dropped, as a
// full socket buffer would: over UDP the sender repeats what mattered.
const (
	maxLanes    = 8192 // calls with something waiting
	maxLaneRest = 64   // messages waiting behind the one being handled
)

// lanes handles messages of one Call-ID in the order in which they arrived and
// messages of different ones side by side. A lane exists, with its goroutine,
// only while it has something to do.
type lanes struct {
	crew   *crew
	handle func(inbound)

	mu     sync.Mutex
	m      map[string]*lane
	closed bool
	wg     sync.WaitGroup
}

type lane struct{ rest []inbound }

func newLanes(crew *crew, handle func(inbound)) *lanes {
	return &lanes{crew: crew, handle: handle, m: make(map[string]*lane)}
}

// put queues a message and reports whether there was room for it.
func (ls *lanes) put(callID string, in inbound) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return false
	}
	if l, busy := ls.m[callID]; busy {
		if len(l.rest) >= maxLaneRest {
			return false
		}
		l.rest = append(l.rest, in)
		return true
	}
	if len(ls.m) >= maxLanes {
		return false
	}
	l := &lane{}
	ls.m[callID] = l
	ls.wg.Add(1)
	ls.crew.run(func() {
		defer ls.wg.Done()
		ls.run(callID, l, in)
	})
	return true
}

func (ls *lanes) run(callID string, l *lane, in inbound) {
	for {
		ls.handle(in)
		ls.mu.Lock()
		if len(l.rest) == 0 {
			delete(ls.m, callID)
			ls.mu.Unlock()
			return
		}
		in = l.rest[0]
		l.rest = l.rest[1:]
		ls.mu.Unlock()
	}
}

// close refuses further messages and waits for those being handled.
func (ls *lanes) close() {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
	ls.wg.Wait()
}
