package media

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// RTCP is no matter of the beat: a leg looks once a second what has come, and
// tells every few seconds what it knows.
const (
	reportsEvery = int64(time.Second / beatTime) // beats from one look to the next
	// reportInterval is the mean time between reports of ours (RFC 3550, section
	// 6.2); each is moved at random, so that they do not fall together.
	reportInterval = 5 * time.Second
	// compensation is that of RFC 3550, section 6.3.1, for what the moving does.
	compensation = 1.21828
	// reportReads bounds how many reports are taken at one look.
	reportReads = 8
	// roundTripMost is what a report may make the round trip at most: beyond,
	// its sender has reckoned wrong.
	roundTripMost = 10 * time.Second
	// roundTripLeast is how much less than nothing the round trip may come out: a far
	// end whose clock counts milliseconds makes its delay too long by as much.
	roundTripLeast = -2 * time.Millisecond
)

// reporter is a stream's part in RTCP.
type reporter struct {
	cname [cnameSize]byte
	look  int64          // the beat of the next look
	due   int64          // and of the next report; 0: none is planned yet
	from  netip.AddrPort // where the far end's come from; not valid before the first

	sent, sentBefore uint64                           // packets at the last report and at the one before
	earlier          struct{ packets, octets uint64 } // sent under SSRCs before the present one

	lastSR uint32        // of the far end's last report; 0: none
	lastAt time.Duration // when it came
}

// newReporter gives the leg a name, which tells nothing (RFC 7022).
func newReporter() reporter {
	var r reporter
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	_, _ = rand.Read(r.cname[:]) // never fails (Go 1.24)
	for i, b := range r.cname {
		r.cname[i] = letters[int(b)%len(letters)]
	}
	return r
}

// reportBeats gives how many beats pass until the next report; until the first,
// half of that.
func reportBeats(first bool) int64 {
	d := float64(reportInterval) * (.5 + mathrand.Float64()) / compensation
	if first {
		d /= 2
	}
	return int64(d) / int64(beatTime)
}

// report takes what reports have come and sends ours, if it is time for either.
func (s *stream) report(now int64) {
	r := &s.reports
	if now < r.look || !s.terms.agreed() {
		return
	}
	r.look = now + reportsEvery
	if s.socket.open() {
		s.shard.readReports(s.socket.rtcp, func(raw []byte, from netip.AddrPort) { s.takeReport(raw, from) })
	}
	if s.counts.transit.begun {
		s.counts.jitter.add(s.counts.transit.time())
	}
	switch {
	case r.due == 0:
		r.due = now + reportBeats(true)
	case now >= r.due:
		r.due = now + reportBeats(false)
		s.sendReport(now, false)
	}
}

// readReports takes some of what waits at an RTCP socket.
func (s *shard) readReports(fd int, take func(raw []byte, from netip.AddrPort)) {
	if s.inbox.room() < reportReads {
		s.flush()
	}
	n := s.inbox.receive(fd, reportReads)
	for i := range n {
		raw, from := s.inbox.datagram(i)
		take(raw, from)
	}
}

// believes tells whether a source of RTCP that is not encrypted is taken for the
// far end: where its reports are due from, or else, behind NAT, where the first
// came from, until there is another agreement.
func (s *stream) believes(from netip.AddrPort) bool {
	known := s.reports.from
	switch {
	case from == known, s.terms.mux && from == s.gate.target(), !s.terms.mux && from == s.terms.rtcp:
		return true
	}
	return known.Addr() != from.Addr()
}

// takeReport handles a datagram of RTCP. A report is believed if it comes from
// the address where the far end is and, encrypted, if it is authentic.
func (s *stream) takeReport(raw []byte, from netip.AddrPort) {
	if target := s.gate.target(); !target.IsValid() || from.Addr() != target.Addr() ||
		s.terms.secure == nil && !s.believes(from) {
		s.stranger()
		return
	}
	if secure := s.terms.secure; secure != nil {
		var ok bool
		if raw, ok = secure.openReport(raw); !ok {
			s.stranger()
			return
		}
	}
	r, ok := parseReport(raw, s.out.ssrc)
	if !ok {
		s.counts.Malformed++
		s.shard.counts.malformed++
		return
	}
	s.reports.from = from
	arrival := s.shard.arrival()
	if r.sr {
		s.reports.lastSR, s.reports.lastAt = ntpMiddle(r.ntp), arrival
	}
	if r.about.ssrc != 0 {
		s.heed(&r.about, arrival)
	}
}

// heed takes what the far end says of our stream.
func (s *stream) heed(about *reception, arrival time.Duration) {
	c := &s.counts
	c.farJitter.add(time.Duration(about.jitter) * time.Second / time.Duration(s.out.clock()))
	if sent := c.PacketsOut - s.reports.earlier.packets; sent > 0 {
		c.farLoss = min(1, float64(max(0, about.lost))/float64(sent))
	}
	if about.lastSR != 0 {
		now := ntpMiddle(ntpTime(s.shard.start.Add(arrival)))
		if way, ok := roundTrip(now, about.lastSR, about.delay); ok {
			c.roundTrip.add(way)
		}
	}
}

// roundTrip gives how long a report of ours and the answer to it were under way
// (RFC 3550, section 6.4.1); false if the far end has reckoned wrong. The least
// there is is 1/65536 s, since 0 stands for not known.
func roundTrip(now, lastSR, delay uint32) (time.Duration, bool) {
	way := time.Duration(int32(now-lastSR-delay)) * time.Second >> 16
	return max(way, ntpShort(1)), way > roundTripLeast && way < roundTripMost
}

// sendReport tells the far end what we know; bye says that the stream ends.
func (s *stream) sendReport(now int64, bye bool) {
	fd, to := s.reportsTo()
	if !to.IsValid() {
		return
	}
	r, c := &s.reports, &s.counts
	elapsed := time.Since(s.shard.start)
	own := ownReport{
		ssrc: s.out.ssrc, cname: r.cname, bye: bye,
		sending: c.PacketsOut > max(r.sentBefore, r.earlier.packets),
		ntp:     ntpTime(s.shard.start.Add(elapsed)), timestamp: s.out.sounding(now * beatSize),
		packets: uint32(c.PacketsOut - r.earlier.packets), octets: uint32(c.octets - r.earlier.octets),
		hears: c.sequence.expected > 0,
	}
	r.sentBefore, r.sent = r.sent, c.PacketsOut
	if own.hears {
		c.sequence.report(&own.about)
		own.about.jitter = uint32(c.transit.jitter)
		if r.lastSR != 0 {
			own.about.lastSR, own.about.delay = r.lastSR, shortNTP(elapsed-r.lastAt)
		}
	}
	raw := s.shard.frame[:own.put(s.shard.frame[:])]
	if secure := s.terms.secure; secure != nil {
		var ok bool
		if raw, ok = secure.sealReport(raw); !ok {
			return
		}
	}
	var address sockaddr
	address.set(to)
	_ = send(fd, raw, &address) // a report lost is made up for by the next
}

// reportsTo gives the socket and address for reports of ours. To a far end behind
// NAT it is where its own come from; as long as none has, there is no address.
func (s *stream) reportsTo() (fd int, to netip.AddrPort) {
	sockets := s.socket
	if !sockets.open() && s.seat != nil {
		sockets = s.seat.port.sockets
	}
	target := s.gate.target()
	switch {
	case !sockets.open() || !target.IsValid():
		return 0, netip.AddrPort{}
	case s.terms.mux:
		return sockets.rtp, target
	case target == s.terms.far:
		return sockets.rtcp, s.terms.rtcp
	case s.reports.from.Addr() == target.Addr():
		return sockets.rtcp, s.reports.from
	}
	return 0, netip.AddrPort{}
}

// tune readies the sender for a codec. If that begins another stream, the far end
// is told that the one before has ended.
func (s *stream) tune(c Codec, now int64) {
	if s.out.tuned(c) {
		return
	}
	if s.counts.PacketsOut > s.reports.earlier.packets {
		s.sendReport(now, true)
	}
	s.reports.earlier.packets, s.reports.earlier.octets = s.counts.PacketsOut, s.counts.octets
	s.out.tune(c, now*beatSize)
}

// drainReports hands out the reports that wait at a shared port, once a second.
func (p *sharedPort) drainReports(now int64) {
	if now < p.look {
		return
	}
	p.look = now + reportsEvery
	p.countDrops()
	for reads := 0; reads < 1+p.legs/reportReads; reads++ {
		p.shard.readReports(p.sockets.rtcp, func(raw []byte, from netip.AddrPort) { p.handReport(raw, from, now) })
	}
}

// handReport gives a report to the leg it is for: whose RTP comes from the port
// before, or has the same SSRC and address.
func (p *sharedPort) handReport(raw []byte, from netip.AddrPort, now int64) {
	s := p.seats.get(netip.AddrPortFrom(from.Addr(), from.Port()-1))
	if s == nil || s.stream == nil {
		s = p.seatOf(raw, from.Addr())
	}
	switch {
	case s == nil || !isRTCP(raw):
		p.shard.counts.strangers++
	case s.detour != nil:
		if !s.detour.put(raw, from, p.shard.inbox.stamp) {
			p.shard.counts.overrun++
		}
	default:
		p.shard.deliver(s.stream, raw, from, now)
	}
}

// seatOf gives the seat whose far end has the SSRC and address of a report's
// sender, or nil.
func (p *sharedPort) seatOf(raw []byte, from netip.Addr) *seat {
	if len(raw) < rtcpHeader {
		return nil
	}
	s := p.voices[binary.BigEndian.Uint32(raw[4:])]
	if s == nil || s.stream == nil || !slices.ContainsFunc(s.sources, func(source netip.AddrPort) bool { return source.Addr() == from }) {
		return nil
	}
	return s
}

// arrival gives when the datagram that the inbox gave last came to this
// machine, since the engine's start: by the kernel's stamp, or, if that cannot be, by the beat.
func (s *shard) arrival() time.Duration {
	if s.inbox.stamp != 0 {
		if age := time.Duration(s.wall - s.inbox.stamp); age < stampAge && age > -stampAge {
			return s.elapsed - age
		}
	}
	return s.elapsed
}

// stampAge is how old a datagram may be for its stamp to be believed: more is a
// clock that was set.
const stampAge = 2 * time.Second

// stampDatagrams has the kernel note when each datagram comes.
func stampDatagrams(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) // a wish
}
