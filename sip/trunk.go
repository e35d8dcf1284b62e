package sip

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// Errors of DialTrunk.
var (
	ErrNoTrunk   = errors.New("there is no such trunk that takes calls")
	ErrTrunkFull = errors.New("the trunk has no room for another call") // by max_calls or calls_per_second
)

// trunk is a carrier or SBC: what is configured of it, how its hosts fare, and how
// many calls it has.
type trunk struct {
	config.Trunk
	s *Server

	mu      sync.Mutex
	calls   int    // at once, in and out
	in, out bucket // new ones, on a clock that began with born
	born    time.Time
	hosts   map[string]health // by ip:port: those that are not well
	known   []string          // ip:port of all hosts, as of the last lookup
	lost    bool              // the last lookup found none
	until   time.Time         // registered until then
}

func (s *Server) newTrunks(all []config.Trunk) []*trunk {
	trunks := make([]*trunk, len(all))
	for i, c := range all {
		if c.Transport == "" {
			c.Transport = "udp"
		}
		if c.Timeout <= 0 {
			c.Timeout = config.Duration(8 * s.t1)
		}
		trunks[i] = &trunk{Trunk: c, s: s, hosts: make(map[string]health), born: time.Now()}
		trunks[i].in.tokens, trunks[i].out.tokens = float64(c.CallsPerSecond), float64(c.CallsPerSecond)
	}
	return trunks
}

// trunkNamed gives a trunk, nil if there is none of that name.
func (s *Server) trunkNamed(name string) *trunk {
	i := slices.IndexFunc(s.trunks, func(t *trunk) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return s.trunks[i]
}

// trunkAt gives the trunk at the far end of a flow, or nil. No carrier comes by
// WebSocket, but browsers do, through a proxy that may have a trunk's address.
func (s *Server) trunkAt(f flow) *trunk {
	if f.at == s.webs[0] || f.at == s.webs[1] || strings.HasPrefix(f.origin.network, "ws") {
		return nil
	}
	ip := f.addr()
	for _, t := range s.trunks {
		for _, p := range t.Addresses {
			if p.Contains(ip) {
				return t
			}
		}
	}
	return nil
}

// isTrunkHost reports whether a trunk is called there, so that its answers are heard
// however many there are.
func (s *Server) isTrunkHost(at netip.AddrPort, network string) bool {
	addr := joinPort(at.Addr(), int(at.Port()))
	for _, t := range s.trunks {
		t.mu.Lock()
		is := t.Transport == network && slices.Contains(t.known, addr)
		t.mu.Unlock()
		if is {
			return true
		}
	}
	return false
}

// tendTrunks begins what trunks need beside calls: their health and registrations.
func (s *Server) tendTrunks() {
	for _, t := range s.trunks {
		if len(t.Hosts) == 0 {
			continue
		}
		if t.Options > 0 {
			s.spawn(t.watch)
		}
		if t.Register {
			s.accounts.Add(1)
			if !s.spawn(t.stayRegistered) {
				s.accounts.Done()
			}
		}
	}
}

// take makes room for a call and reports whether there is any. Whoever took gives
// back by done.
func (t *trunk) take(inbound bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.MaxCalls > 0 && t.calls >= t.MaxCalls {
		return false
	}
	b := &t.out
	if inbound {
		b = &t.in
	}
	if t.CallsPerSecond > 0 && !b.take(time.Since(t.born), float64(t.CallsPerSecond), 1) {
		return false
	}
	t.calls++
	return true
}

// keep counts a call that is there already, whatever the limits.
func (t *trunk) keep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
}

// done gives a call's place back. It may be called on no trunk.
func (t *trunk) done() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls--
}

// name is for those who may have no trunk.
func (t *trunk) name() string {
	if t == nil {
		return ""
	}
	return t.Name
}

// listener gives the socket the trunk is called from, nil if there is none.
func (t *trunk) listener() *listener { return t.s.listenerFor(t.Transport, "") }

// lookup gives the addresses of the trunk's hosts, best first: those that are well,
// then those that failed us, and not those that asked to be left alone.
func (t *trunk) lookup(ctx context.Context) ([]hop, error) {
	all, err := t.s.resolver.hops(ctx, t.Hosts, t.Transport, t.listener().family())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = err != nil
	if err != nil {
		return nil, err
	}
	t.known = t.known[:0]
	for _, h := range all {
		t.known = append(t.known, h.addr)
	}
	t.forget(time.Now())
	return all, nil
}

// atOnce gives the number of calls with the trunk.
func (t *trunk) atOnce() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls
}
