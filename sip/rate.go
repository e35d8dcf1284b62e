package sip

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// bucket is a token bucket: it fills at a rate and holds one second's worth, so
// that what was not used yesterday is no credit for a flood.
type bucket struct {
	tokens float64
	at     time.Duration // when tokens was true, on its owner's clock
}

// take takes so many tokens, if there are as many; rate is tokens a second. What
// costs more than a bucket holds takes a full one.
func (b *bucket) take(now time.Duration, rate, tokens float64) bool {
	b.tokens = min(rate, b.tokens+rate*(now-b.at).Seconds())
	b.at = now
	if tokens = min(tokens, rate); b.tokens < tokens {
		return false
	}
	b.tokens -= tokens
	return true
}

// packet is the size of message that costs a token: what goes into a packet. A
// longer one costs as many as it fills, since reading it takes as much longer.
const packet = 1500

// cost is what a message of a size in bytes takes of a bucket, and a connection, of none.
func cost(size int) float64 { return float64(1 + max(0, size-1)/packet) }

// buckets are one for datagrams and one for what comes by connections: a flood of
// datagrams in anybody's name shall not use up what is his over a connection.
type buckets [2]bucket

func full(rate float64, now time.Duration) buckets {
	return buckets{{rate, now}, {rate, now}}
}

// of gives the bucket of a network.
func (b *buckets) of(network string) *bucket {
	if network == "udp" {
		return &b[0]
	}
	return &b[1]
}

// last is when something was taken of either.
func (b *buckets) last() time.Duration { return max(b[0].at, b[1].at) }

// source is what is remembered of an address. What a datagram says may be a lie, its
// source address too: so what has been done there for certain is kept apart from what
// somebody may have done in its name.
type source struct {
	addr    netip.Addr
	buckets buckets
	proven  tally
	claimed tally
}

// tally is a count of failures, and the ban that came of it.
type tally struct {
	failures float64       // leaks away; at the limit there is a ban
	failed   time.Duration // when failures was true
	bans     int           // in a row: each is longer than the last
	until    time.Duration // end of the ban
	forgiven time.Duration // when the bans in a row are forgotten
}

// banned reports whether nothing that comes from the source by a network is taken.
// For what others may have done in its name only datagrams are not.
func (s *source) banned(now time.Duration, network string) bool {
	return now < s.proven.until || network == "udp" && now < s.claimed.until
}

// worth is how much would be lost if the source were forgotten.
func (s *source) worth(now time.Duration) float64 { return s.proven.worth(now) + s.claimed.worth(now) }

func (t *tally) worth(now time.Duration) float64 {
	w := t.failures
	if now < t.forgiven {
		w += 1000 * float64(t.bans)
	}
	if now < t.until {
		w += 1e9
	}
	return w
}

const (
	sourceWays = 8
	sourceSets = 4096 // with sourceWays about 4 MB
)

// sources remembers addresses in a table of fixed size. An address has its place
// in one small set, chosen by a hash nobody outside can compute. Where the set is
// full, the newcomer takes the place of the one that has done least, and never
// that of a banned one: so nobody frees himself by sending from many addresses.
// Whoever finds only banned ones shares the buckets of the crowd.
type sources struct {
	seed  maphash.Seed
	sets  [][sourceWays]source
	crowd source
}

func newSources(sets int) *sources {
	return &sources{seed: maphash.MakeSeed(), sets: make([][sourceWays]source, sets)}
}

// sourceOf is the address under which one is remembered: of IPv6 the network,
// since a host there has as many addresses as it likes.
func sourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (t *sources) set(a netip.Addr) *[sourceWays]source {
	return &t.sets[maphash.Comparable(t.seed, a)%uint64(len(t.sets))]
}

// find gives what is known of an address, nil if nothing is.
func (t *sources) find(a netip.Addr) *source {
	set := t.set(a)
	for i := range set {
		if set[i].addr == a {
			return &set[i]
		}
	}
	return nil
}

// get gives the place of an address, making one.
func (t *sources) get(a netip.Addr, now time.Duration, rate float64) *source {
	if s := t.find(a); s != nil {
		return s
	}
	set := t.set(a)
	least := &set[0]
	for i := range set {
		s := &set[i]
		if !s.addr.IsValid() {
			least = s
			break
		}
		if w, lw := s.worth(now), least.worth(now); w < lw || w == lw && s.buckets.last() < least.buckets.last() {
			least = s
		}
	}
	if least.banned(now, "udp") {
		return &t.crowd
	}
	*least = source{addr: a, buckets: full(rate, now)}
	return least
}
