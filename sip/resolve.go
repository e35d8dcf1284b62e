package sip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bugle-voice/bugle/config"
	gosip "github.com/emiago/sipgo/sip"
)

// Resolver looks up the hosts of trunks; *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Go's resolver tells no time to live: an answer is good for the shortest that
// carriers who move their calls by DNS set, and a failure for less.
const (
	answerLife  = time.Minute
	failureLife = 5 * time.Second

	lookupTimeout = 3 * time.Second

	maxRecords   = 8 // of SRV, for one name
	maxAddresses = 4 // of one target
)

// hop is one address where a trunk takes calls.
type hop struct {
	addr string // ip:port
	host string // as the configuration names it
	port int    // as the configuration gives it, or 0

	priority, weight int // among those of one host
}

// resolver finds the addresses of trunks' hosts, by the part of RFC 3263 in which
// the transport is known, and remembers them. What it was told last holds for as
// long as the DNS does not answer: carriers outlive their name servers.
type resolver struct {
	ask Resolver

	mu    sync.Mutex
	known map[place]*located
}

// place is what is looked up.
type place struct {
	network string // udp, tcp, tls
	family  string // of the addresses we can send to: ip, ip4, ip6
	host    string
	port    int
}

// located is what is known of a place. Who looks it up fills asking, and others wait, so
// that many calls at once make one lookup.
type located struct {
	asking chan struct{} // guards the rest
	hops   []hop
	err    error
	until  time.Time
}

// hops gives the addresses of hosts in the order they are to be tried in, which is
// drawn anew each time. It fails if no host has any.
func (r *resolver) hops(ctx context.Context, hosts []config.TrunkHost, network, family string) ([]hop, error) {
	var all []hop
	var failures []error
	for _, h := range drawn(hosts, func(h config.TrunkHost) (int, int) { return h.Priority, h.Weight }) {
		found, err := r.find(ctx, place{network, family, h.Host, h.Port})
		if err != nil {
			failures = append(failures, err)
		}
		all = append(all, drawn(found, func(p hop) (int, int) { return p.priority, p.weight })...)
	}
	if len(all) == 0 {
		return nil, errors.Join(failures...)
	}
	return all, nil
}

// find gives the addresses of one place.
func (r *resolver) find(ctx context.Context, p place) ([]hop, error) {
	if ip, err := netip.ParseAddr(p.host); err == nil {
		return []hop{{addr: joinPort(ip, cmp.Or(p.port, gosip.DefaultPort(p.network))), host: p.host, port: p.port}}, nil
	}
	r.mu.Lock()
	if r.known == nil {
		r.known = make(map[place]*located)
	}
	l := r.known[p]
	if l == nil {
		l = &located{asking: make(chan struct{}, 1)}
		r.known[p] = l
	}
	r.mu.Unlock()

	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("looking up %s: %w", p.host, ctx.Err())
	}
	if time.Now().Before(l.until) {
		return l.hops, l.err
	}
	found, err := r.within(ctx, p)
	switch {
	case err == nil:
		l.hops, l.err, l.until = found, nil, time.Now().Add(answerLife)
	case ctx.Err() != nil: // who has asked is gone: that says nothing about the place
		return l.hops, err
	case len(l.hops) > 0:
		l.until = time.Now().Add(failureLife)
	default:
		l.err, l.until = err, time.Now().Add(failureLife)
	}
	return l.hops, l.err
}

// lookup asks the DNS: for SRV if no port is given (RFC 3263 section 4.2), and for
// addresses.
func (r *resolver) lookup(ctx context.Context, p place) ([]hop, error) {
	if p.port == 0 {
		if found, err := r.services(ctx, p); found != nil || err != nil {
			return found, err
		}
	}
	ips, err := r.addresses(ctx, p.family, p.host)
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", p.host, err)
	}
	var found []hop
	for i, ip := range ips {
		found = append(found, hop{addr: joinPort(ip, cmp.Or(p.port, gosip.DefaultPort(p.network))), host: p.host, port: p.port, priority: i})
	}
	return found, nil
}

// services gives the addresses of a name's SRV records, nothing if it has none. That
// the DNS does not answer, or does not know their targets just now, is an error: a name
// with records may have something else entirely at its own address.
func (r *resolver) services(ctx context.Context, p place) (found []hop, err error) {
	service, proto := "sip", p.network
	if p.network == "tls" {
		service, proto = "sips", "tcp"
	}
	_, records, err := r.ask.LookupSRV(ctx, service, proto, p.host)
	if len(records) == 0 {
		var no *net.DNSError
		if err == nil || errors.As(err, &no) && no.IsNotFound {
			return nil, nil
		}
		return nil, fmt.Errorf("looking up the services of %s: %w", p.host, err)
	}
	if len(records) == 1 && records[0].Target == "." {
		return nil, fmt.Errorf("looking up %s: it takes no calls over %s", p.host, p.network)
	}
	for _, srv := range records[:min(len(records), maxRecords)] {
		var ips []netip.Addr
		if ips, err = r.addresses(ctx, p.family, srv.Target); err != nil {
			continue
		}
		for _, ip := range ips {
			found = append(found, hop{joinPort(ip, int(srv.Port)), p.host, 0, int(srv.Priority), int(srv.Weight)})
		}
	}
	if found == nil {
		return nil, fmt.Errorf("looking up the services of %s: %w", p.host, err)
	}
	return found, nil
}

func (r *resolver) addresses(ctx context.Context, family, host string) ([]netip.Addr, error) {
	ips, err := r.ask.LookupNetIP(ctx, family, strings.TrimSuffix(host, "."))
	if err == nil && len(ips) == 0 {
		err = errors.New("no address")
	}
	return ips[:min(len(ips), maxAddresses)], err
}

// names is asked for what is no trunk's host: a Contact, a Route, a registrar. Tests
// replace it: in virtual time there is no network.
var names Resolver = net.DefaultResolver

// resolve turns a URI into the ip:port to send to by a listener: the first that the DNS
// gives, by SRV if the URI has no port (RFC 3263). It is not remembered, since far ends
// may name what they like. If SRV cannot be had, the name's own address is better than
// a call that cannot be ended.
func resolve(ctx context.Context, u *gosip.Uri, ln *listener) (string, error) {
	p := place{ln.network, ln.family(), strings.Trim(u.Host, "[]"), max(u.Port, 0)}
	if maddr, ok := u.UriParams.Get("maddr"); ok && maddr != "" {
		p.host = maddr
	}
	usual := cmp.Or(p.port, gosip.DefaultPort(p.network))
	switch ip, err := netip.ParseAddr(p.host); {
	case p.port > 65535:
		return "", fmt.Errorf("port %d of %s is out of range", p.port, u.Host)
	case err == nil:
		return joinPort(ip, usual), nil
	case p.host == "":
		return "", fmt.Errorf("a URI of scheme %q has no host to send to", u.Scheme)
	}
	found, err := (&resolver{ask: names}).within(ctx, p)
	if err != nil && p.port == 0 {
		p.port = usual
		found, err = (&resolver{ask: names}).within(ctx, p)
	}
	if err != nil {
		return "", err
	}
	return drawn(found, func(h hop) (int, int) { return h.priority, h.weight })[0].addr, nil
}

// within is lookup, for no longer than a call can wait.
func (r *resolver) within(ctx context.Context, p place) ([]hop, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return r.lookup(ctx, p)
}

func joinPort(ip netip.Addr, port int) string {
	return net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(port))
}

// drawn puts things with priorities and weights into the order they are to be
// tried in: the lowest priority first, and of one priority by lot, each as likely
// first as its weight says (RFC 2782).
func drawn[T any](in []T, rank func(T) (priority, weight int)) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b T) int {
		pa, _ := rank(a)
		pb, _ := rank(b)
		return cmp.Compare(pa, pb)
	})
	for i := range out {
		first, _ := rank(out[i])
		end, sum := i, 0
		for ; end < len(out); end++ {
			p, w := rank(out[end])
			if p != first {
				break
			}
			sum += w
		}
		if sum == 0 {
			continue
		}
		lot := rand.IntN(sum)
		for j := i; j < end; j++ {
			_, w := rank(out[j])
			if lot -= w; lot < 0 {
				winner := out[j]
				copy(out[i+1:j+1], out[i:j])
				out[i] = winner
				break
			}
		}
	}
	return out
}
