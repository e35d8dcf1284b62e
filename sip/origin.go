package sip

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// originHeader is what an edge proxy of ours (sip.edges) writes into each request
// from outside, over whatever stood there: whom it has it from, as
// "tcp:192.0.2.7:5062". Via would not do: its received is only written where the
// sender's own word differs from the truth, so he could write one himself.
const originHeader = "x-edge-source"

// origin is who sent a request to an edge proxy of ours: the far end of a flow of
// that proxy's. The zero origin is nobody: the request has come straight to us, or
// is the proxy's own.
type origin struct {
	network string // udp, tcp, tls, ws, wss
	addr    netip.AddrPort
}

func (o origin) known() bool { return o.addr.IsValid() }

// seenBy completes a flow by what an edge proxy says of the request's origin. It
// reports false if that cannot be read; what others than edge proxies say is ignored.
func (e *edge) seenBy(f flow, req *gosip.Request) (flow, bool) {
	if !inAny(e.proxies, f.addr()) {
		return f, true
	}
	said := headersOf(req, originHeader, "")
	if len(said) == 0 {
		return f, true
	}
	if len(said) > 1 {
		return f, false // nobody knows whose the words are, so they count against nobody
	}
	network, addr, _ := strings.Cut(said[0].Value(), ":")
	from, err := netip.ParseAddrPort(addr)
	switch network {
	case "udp", "tcp", "tls", "ws", "wss":
		f.origin = origin{network, netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())}
		return f, err == nil
	}
	return f, false
}

// keptOut refuses what an edge proxy passes on from whom we would hear nothing if
// he came straight to us. Silence would have the proxy wait, and then ask the next
// node: it gets an answer, which tells it how long not to hear him either. What
// belongs to a call of ours is let in: its phone may be known to another node.
func (s *Server) keptOut(req *gosip.Request, f flow, size int) bool {
	if !f.origin.known() || s.edge.admit(f.origin.addr, f.origin.network, size) {
		return false
	}
	if tag, ok := req.To().Params.Get("tag"); ok && s.legs.get(req.CallID().Value(), tag) != nil {
		return false
	}
	code := 500 // who is only too quick may try again: to a phone 403 says that its password is wrong
	if s.edge.banned(f.addr(), f.network()) {
		code = 403
	}
	s.reply(req, f, code, reasonOf(code), gosip.NewHeader("Retry-After", strconv.Itoa(s.edge.secondsLeft(f.addr(), f.network()))))
	return true
}

// secondsLeft tells for how long nothing is taken that comes from an address by a
// network, at least a second.
func (e *edge) secondsLeft(a netip.Addr, network string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	var left time.Duration
	if s := e.sources.find(sourceOf(a)); s != nil {
		until := s.proven.until
		if network == "udp" {
			until = max(until, s.claimed.until)
		}
		left = until - e.now()
	}
	return max(1, int(math.Ceil(left.Seconds())))
}

func inAny(networks []netip.Prefix, a netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
