package media

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

const (
	// portBatch is how many datagrams one system call fetches from a shared
	// port.
	portBatch = 64
	// portReads bounds how many datagrams a shared port gives in one beat: what a
	// flood may cost there.
	portReads = 16 * portBatch
	// portNewcomers bounds how many packets from sources nobody knows it looks
	// into in one beat.
	portNewcomers = 256
	// portLegs is how many legs a port takes before another is opened: enough for
	// long batches, few enough for its receive buffer when the machine stalls.
	portLegs = 64
	// pairRest is portRest in beats.
	pairRest = int64(portRest / beatTime)
	// pairRestMost is how long a pair rests if the far end goes on sending. It is
	// in the hands of strangers, hence the bound.
	pairRestMost = int64(5 * time.Minute / beatTime)
)

// sharedPort is a port of ours that takes the RTP of many legs and sends to
// their far ends, many packets in one system call. It belongs to a shard, whose
// goroutine alone touches it.
//
// Legs are told apart by where their packets come from. A far end may send from
// another port than its SDP said, so a source nobody knows is taken for the one
// leg with a far end at that address that has not been heard yet; there is never
// more than one such leg to a port and an address (see free), or a caller could
// be heard by another. For the same reason a pair of our port and a far end's
// rests after the call.
type sharedPort struct {
	shard   *shard
	sockets socketPair
	number  uint16
	out     *outbox

	seats   seats
	waiting map[netip.Addr]*seat // who has not been heard yet
	voices  map[uint32]*seat     // by the SSRC heard last
	look    int64                // the beat of the next look for RTCP
	legs    int                  // seats that are taken
	resting []*seat              // given up, in the order of their review

	hosts     map[netip.Addr]int // of all sources, and how many there are of each
	newcomers int                // looked into in this beat
	dropped   uint32             // what the kernel had dropped at the last look
}

// seat is a leg's place at a shared port.
type seat struct {
	port    *sharedPort
	stream  *stream          // whose it is; nil when it rests
	detour  *detour          // how packets get to the stream once it is on another shard
	sources []netip.AddrPort // where its packets come from: what SDP said, and what was learnt
	ssrc    uint32           // of its newest packet, if it has been heard
	heard   bool
	left    int64 // the beat on which it was given up
	rested  int64 // and from which its sources may be another's
	review  int64 // and on which to see whether they may
}

func newSharedPort(s *shard, sockets socketPair, number uint16) *sharedPort {
	return &sharedPort{
		shard:   s,
		sockets: sockets,
		number:  number,
		out:     newOutbox(),
		seats:   newSeats(),
		waiting: make(map[netip.Addr]*seat),
		voices:  make(map[uint32]*seat),
		hosts:   make(map[netip.Addr]int),
	}
}

// free tells whether another leg may talk with a far end here.
func (p *sharedPort) free(far netip.AddrPort, now int64) bool {
	p.rest(now)
	return p.seats.get(far) == nil && p.waiting[far.Addr()] == nil
}

// freePort gives the shared port of this shard with the fewest legs of those that
// are free for a far end, or nil.
func (s *shard) freePort(far netip.AddrPort, now int64) (best *sharedPort) {
	for _, p := range s.ports {
		if p.free(far, now) && (best == nil || p.legs < best.legs) {
			best = p
		}
	}
	return best
}

// openPort adds a shared port.
func (s *shard) openPort(sockets socketPair, number uint16) *sharedPort {
	p := newSharedPort(s, sockets, number)
	s.ports = append(s.ports, p)
	return p
}

// closePort closes a shared port that no leg needs any more. Its number rests
// before anybody may have it, as that of a leg's own port does.
func (s *shard) closePort(p *sharedPort) {
	p.sockets.close()
	p.sockets = socketPair{} // the descriptors' numbers may be another socket's next
	s.pool.give(p.number)
	s.ports = slices.DeleteFunc(s.ports, func(other *sharedPort) bool { return other == p })
}

// closePorts closes the shared ports. All shards must have ended: a leg that has
// moved sends from its new one.
func (s *shard) closePorts() {
	for len(s.ports) > 0 {
		s.closePort(s.ports[0])
	}
}

// take gives a stream a seat for a far end at which the port is free.
func (p *sharedPort) take(st *stream, far netip.AddrPort) *seat {
	p.legs++
	s := &seat{port: p, stream: st}
	s.add(far)
	p.waiting[far.Addr()] = s
	return s
}

// rest lets go of the seats that have rested. Those whose far ends still send go
// on resting.
func (p *sharedPort) rest(now int64) {
	for len(p.resting) > 0 && p.resting[0].review <= now {
		s := p.resting[0]
		p.resting = p.resting[1:]
		if s.rested > now {
			s.review = s.rested
			p.resting = append(p.resting, s)
			continue
		}
		for _, source := range s.sources {
			p.seats.remove(source)
			p.host(source.Addr(), -1)
		}
		s.forget()
	}
}

// stir says that something came for a seat that rests: it has not drained yet.
func (s *seat) stir(now int64) { s.rested = min(now+pairRest, s.left+pairRestMost) }

// add lets packets from another source be the seat's.
func (s *seat) add(source netip.AddrPort) {
	s.port.seats.put(source, s)
	s.port.host(source.Addr(), 1)
	s.sources = append(s.sources, source)
}

// host counts a source more or less at a host. What hosts without one send, the
// kernel drops: a flood from elsewhere does not push calls out of the buffer.
func (p *sharedPort) host(a netip.Addr, change int) {
	before := len(p.hosts)
	if p.hosts[a] += change; p.hosts[a] == 0 {
		delete(p.hosts, a)
	}
	if len(p.hosts) != before && p.sockets.open() {
		_ = filterHosts(p.sockets.rtp, p.hosts) // a wish: the port does not depend on it
		_ = filterHosts(p.sockets.rtcp, p.hosts)
	}
}

// countDrops counts what the kernel has dropped since the last time.
func (p *sharedPort) countDrops() {
	now := drops(p.sockets.rtp)
	if now < p.dropped {
		return // the kernel did not say
	}
	p.shard.counts.kernelDrops += uint64(now - p.dropped)
	p.dropped = now
}

// settle says that the seat's far end has been heard, and where it is.
func (s *seat) settle(source netip.AddrPort) {
	p := s.port
	if p.waiting[source.Addr()] == s {
		delete(p.waiting, source.Addr())
	}
	if p.seats.get(source) == nil {
		s.add(source)
	}
}

// move lets the seat's far end be elsewhere from now on, or where it was but to be
// heard anew. False: that source is another leg's here, or the seat has been left.
func (s *seat) move(far netip.AddrPort, now int64) bool {
	if s.stream == nil {
		return false
	}
	p := s.port
	p.rest(now)
	holder := p.seats.get(far)
	s.unwait()
	if holder != nil && holder != s {
		return false
	}
	if holder == nil {
		s.add(far)
	}
	if p.waiting[far.Addr()] == nil {
		p.waiting[far.Addr()] = s
	}
	return true
}

// unwait says that no source the port does not know is the seat's.
func (s *seat) unwait() {
	for _, source := range s.sources {
		if s.port.waiting[source.Addr()] == s {
			delete(s.port.waiting, source.Addr())
		}
	}
}

// leave gives the seat up. Its sources rest, so that nobody else hears what they
// go on sending. The last to leave closes the port.
func (s *seat) leave(now int64) {
	s.unwait()
	s.stream, s.detour = nil, nil
	s.left, s.rested, s.review = now, now+pairRest, now+pairRest
	s.port.resting = append(s.port.resting, s)
	if s.port.legs--; s.port.legs == 0 {
		s.port.shard.closePort(s.port)
	}
}

// drain hands out what waits at the port.
func (p *sharedPort) drain(now int64) {
	in := p.shard.inbox
	p.newcomers = 0
	for read := 0; read < portReads; {
		if in.room() < portBatch {
			p.shard.flush()
		}
		n, queued := in.receive(p.sockets.rtp, portBatch), p.shard.queued
		for i := range n {
			raw, from := in.datagram(i)
			p.hand(raw, from, now)
		}
		if p.shard.queued != queued {
			in.keep(n)
		}
		if n < portBatch {
			return
		}
		read += n
	}
}

// hand gives a datagram to the leg it is for.
func (p *sharedPort) hand(raw []byte, from netip.AddrPort, now int64) {
	s, report := p.seats.get(from), isRTCP(raw)
	switch {
	case report || len(raw) < headerSize:
	case s == nil:
		s = p.newcomer(raw, from)
	default:
		s.hear(binary.BigEndian.Uint32(raw[8:]))
	}
	switch {
	case s == nil:
		p.shard.counts.strangers++
	case s.stream == nil:
		s.stir(now)
		p.shard.counts.strangers++
	case s.detour != nil:
		if !s.detour.put(raw, from, p.shard.inbox.stamp) {
			p.shard.counts.overrun++
		}
	default:
		p.shard.deliver(s.stream, raw, from, now)
	}
}

// hear remembers the SSRC of a packet from a source that is known to be the
// seat's.
func (s *seat) hear(ssrc uint32) {
	if s.heard && s.ssrc == ssrc {
		return
	}
	s.forget()
	s.heard, s.ssrc = true, ssrc
	s.port.voices[ssrc] = s
}

// forget undoes hear.
func (s *seat) forget() {
	if s.port.voices[s.ssrc] == s {
		delete(s.port.voices, s.ssrc)
	}
	s.heard = false
}

// newcomer gives the seat that a source nobody knows may belong to: the one that
// waits to be heard from there. A source with the SSRC of another leg here is
// that leg's, whose far end has changed its port in mid-call, and none of the
// one that waits.
func (p *sharedPort) newcomer(raw []byte, from netip.AddrPort) *seat {
	waiting := p.waiting[from.Addr()]
	p.newcomers++
	if waiting == nil || p.newcomers > portNewcomers {
		return nil
	}
	if other := p.voices[binary.BigEndian.Uint32(raw[8:])]; other != nil && other != waiting {
		return nil
	}
	return waiting
}

// queue puts a packet into the outbox.
func (p *sharedPort) queue(st *stream, packet []byte) {
	if p.out.full() {
		p.out.send(p.sockets.rtp)
	}
	p.out.put(st, packet)
	p.shard.queued++
}
