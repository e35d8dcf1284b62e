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
	// portListen is for how long a pair that was used before is listened to when it
	// is bound again: longer than a far end is silent between two packets.
	portListen = 2 * frameTime
)

// ports hands out pairs of UDP ports: an even one for RTP, the next for RTCP
// (RFC 3550, section 11). They go round in a random order, the one that rested
// longest first.
type ports struct {
	mu   sync.Mutex
	free []restingPort // longest rested first
	used int
}

// restingPort is the RTP port of a free pair.
type restingPort struct {
	number uint16
	rested time.Time // when it may be used again
}

// newPorts fills the pool with the pairs that lie wholly in the range.
func newPorts(r config.PortRange) (*ports, error) {
	var p ports
	first := int(r.First) + int(r.First)&1
	for n := max(first, 2); n < int(r.Last); n += 2 {
		p.free = append(p.free, restingPort{number: uint16(n)})
	}
	if len(p.free) == 0 {
		return nil, fmt.Errorf("media: no pair of ports (even, odd) in the range %d-%d", r.First, r.Last)
	}
	rand.Shuffle(len(p.free), func(i, j int) { p.free[i], p.free[j] = p.free[j], p.free[i] })
	return &p, nil
}

// take gives the RTP port of a rested pair, and whether it is used for the first
// time.
func (p *ports) take() (number uint16, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 || time.Now().Before(p.free[0].rested) {
		return 0, false, ErrNoPorts
	}
	first := p.free[0]
	p.free = p.free[1:]
	p.used++
	return first.number, first.rested.IsZero(), nil
}

// give takes a pair back and lets it rest.
func (p *ports) give(number uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, restingPort{number, time.Now().Add(portRest)})
	p.used--
}

// counts tells how many pairs are in use, resting and ready for use.
func (p *ports) counts() (used, resting, ready int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, f := range p.free {
		if now.Before(f.rested) {
			resting++
		}
	}
	return p.used, resting, len(p.free) - resting
}
