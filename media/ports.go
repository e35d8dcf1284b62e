package media

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// ErrNoPorts says that every pair of RTP ports is in use or resting.
var ErrNoPorts error = noPorts{}

type noPorts struct{}

func (noPorts) Error() string { return "media: no free RTP port" }

// SIPCode gives the SIP response code that tells the far end.
func (noPorts) SIPCode() int { return 503 }

const (
	// portRest is how long a pair of ports rests before another leg may have it.
	// A far end that missed our BYE goes on sending for 32 s, as long as BYE is
	// repeated (RFC 3261, timer F), and trunks send all their calls from one
	// address, where the gate cannot tell them apart: the next caller would hear it.
	portRest = 35 * time.Second
	// portListen is for how long a pair is listened to at the end of its rest: longer
	// than a far end is silent between two packets.
	portListen = 2 * frameTime
	// portRests is how often a pair rests at most to which something is still sent:
	// some minutes. Then somebody does so on purpose, and the gate sees to him.
	portRests = 8
)

// ports hands out pairs of UDP ports: an even one for RTP, the next for RTCP
// (RFC 3550, section 11). They go round in a random order, the one that has been
// free longest first.
type ports struct {
	quiet func(number uint16) bool // listens to a pair, and tells whether nothing came

	mu            sync.Mutex
	free          []uint16 // the RTP ports of the pairs, the first free longest
	used, resting int
}

// newPorts fills the pool with the pairs that lie wholly in the range.
func newPorts(r config.PortRange) (*ports, error) {
	p := ports{quiet: func(uint16) bool { return true }}
	first := int(r.First) + int(r.First)&1
	for n := max(first, 2); n < int(r.Last); n += 2 {
		p.free = append(p.free, uint16(n))
	}
	if len(p.free) == 0 {
		return nil, fmt.Errorf("media: no pair of ports (even, odd) in the range %d-%d", r.First, r.Last)
	}
	rand.Shuffle(len(p.free), func(i, j int) { p.free[i], p.free[j] = p.free[j], p.free[i] })
	return &p, nil
}

// take gives the RTP port of a free pair.
func (p *ports) take() (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return 0, ErrNoPorts
	}
	number := p.free[0]
	p.free = p.free[1:]
	p.used++
	return number, nil
}

// give takes a pair back and lets it rest.
func (p *ports) give(number uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.resting++
	time.AfterFunc(portRest, func() { p.wake(number, 1) })
}

// wake ends a pair's rest, or lets it rest once more if something is still sent to
// it. It is listened to now, so that nobody has to wait for that who wants it.
func (p *ports) wake(number uint16, rests int) {
	if rests < portRests && !p.quiet(number) {
		time.AfterFunc(portRest, func() { p.wake(number, rests+1) })
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting--
	p.free = append(p.free, number)
}

// counts tells how many pairs are in use, resting and ready for use.
func (p *ports) counts() (used, resting, ready int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.resting, len(p.free)
}
