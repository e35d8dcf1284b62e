package media

import (
	"net/netip"
	"sync/atomic"
)

// turnReads bounds how many datagrams a leg takes in one turn. A call sends
// one. Somebody who floods the port must send some thousands a second before
// the kernel drops the call's own packets; what he costs ends there.
const (
	turnReads = 64
	turnBatch = 4 // and in one system call
)

// stream is a leg as its shard sees it. Only the shard's goroutine touches it,
// except for the channels.
//
// When its turn comes, 20 ms of other legs have pushed it out of the processor's
// caches, and fetching it anew costs more than what is done with it. So what
// every packet touches stands together: in and out of here, in the fields down to
// press, and in the same way in the types of these.
type stream struct {
	shard   *shard
	due     int64   // the beat of its next turn
	resting int64   // and until which it has nothing to do on one (see rests)
	source  source  // what it hears; nil: its peer, or silence
	peer    *stream // who it is bridged to
	in      *jitter // where what it says goes through, or nil: it passes as it comes
	tap     *tap    // of a recording, or nil

	seat   *seat      // at a shared port, if it has one; it may have both
	detour *detour    // from there, if that port is another shard's
	socket socketPair // its own, if it has one: what is sent goes out there
	heard  int64      // the last beat with a packet of the far end
	passed int64      // on which it might have been sent one by its peer
	spoke  int64      // on which it was sent one
	ear    *ear       // for keys that come as tones, or nil

	gate   gate
	to     sockaddr // the gate's target, as the kernel takes it
	lost   bool     // Lost has been said
	hidden bool     // its keys are for us alone
	terms  terms
	counts legCounts
	out    sender
	keyOut keyWriter
	seam   seam

	press  presses
	keyIn  keyReader
	party  *party // its part in a mix, or nil
	hushed int64  // the beat of the last Quiet

	reports reporter

	home   atomic.Pointer[shard] // the shard, while it serves the stream; may be read by any
	index  int                   // in the shard's list
	phase  int                   // served on the beats with this remainder
	port   uint16                // of its own socket
	events chan Event
	tell   func(Event) // bound once, so that passing it allocates nothing
	gone   chan struct{}
}

// bind makes what a stream needs to serve its turns without allocating.
func (s *stream) bind() {
	s.tell = s.post
	s.press.event = func(e Event) { s.pressed(byEvent, e) }
	s.press.tone = func(e Event) { s.pressed(byTone, e) }
	s.keyOut.codes = make([]uint8, 0, keyRoom)
}

// turn is the stream's 20 ms: what has come in, what that changes, what goes
// out.
func (s *stream) turn(now int64) {
	s.due = now + int64(phases)
	if s.socket.open() {
		s.drain(now)
	}
	if s.detour != nil {
		s.follow(now)
	}
	if s.tap != nil {
		s.tap.note(passed, 0, 0, now*beatSize, 0)
	}
	s.keyIn.tick(now, s.press.event)
	if s.ear != nil {
		s.ear.tick(now, s.press.tone)
	}
	if s.terms.send && s.gate.target().IsValid() {
		s.speak(now)
	}
	if s.rests() {
		s.resting = s.passed + fillAfter
	}
}

// rests tells whether the stream has nothing to do on its turns until it must be
// sent silence: it hears its peer as that one's packets come. Whatever changes
// this wakes it.
func (s *stream) rests() bool {
	return s.relayed() && !s.keyOut.waiting() &&
		!s.socket.open() && s.detour == nil && s.tap == nil && s.ear == nil && !s.keyIn.down
}

// wake gives the stream its next turn even if it was resting.
func (s *stream) wake() { s.resting = 0 }

// drain takes what waits at the socket.
func (s *stream) drain(now int64) {
	in := s.shard.inbox
	for read := 0; read < turnReads; {
		if in.room() < turnBatch {
			s.shard.flush()
		}
		n, queued := in.receive(s.socket.rtp, turnBatch), s.shard.queued
		for i := range n {
			raw, from := in.datagram(i)
			s.take(raw, from, now)
		}
		if s.shard.queued != queued {
			in.keep(n)
		}
		if n < turnBatch {
			return
		}
		read += n
	}
}

// follow takes what comes by the detour.
func (s *stream) follow(now int64) {
	in := s.shard.inbox
	for {
		if in.room() == 0 {
			s.shard.flush()
		}
		raw, from, ok := s.detour.get(in)
		if !ok {
			return
		}
		queued := s.shard.queued
		s.take(raw, from, now)
		if s.shard.queued != queued {
			in.keep(1)
		}
	}
}

// take handles one datagram.
func (s *stream) take(raw []byte, from netip.AddrPort, now int64) {
	if isRTCP(raw) {
		s.takeReport(raw, from)
		return
	}
	size := len(raw)
	if secure := s.terms.secure; secure != nil {
		// Only what is authentic comes before the gate, so that nothing else is
		// latched on to; to whom it is shut already, no key is tried for.
		var ok bool
		if !s.gate.hopeful(from) {
			s.stranger()
			return
		}
		if raw, ok = secure.open(raw); !ok {
			s.stranger()
			return
		}
	}
	p, ok := parsePacket(raw)
	if !ok {
		s.counts.Malformed++
		s.shard.counts.malformed++
		return
	}
	kind := s.terms.receive[p.payloadType]
	open := s.gate.open
	if !s.gate.admit(from, &p, kind != 0) {
		s.stranger()
		return
	}
	if open && !s.gate.open {
		s.settle(from)
	}
	s.counts.PacketsIn++
	s.counts.BytesIn += uint64(size)
	s.shard.counts.packetsIn++
	s.counts.sequence.note(p.ssrc, p.sequence)
	s.heard, s.lost = now, false
	switch kind {
	case 0:
		s.counts.Unexpected++
	case telephoneEvent, telephoneEvent48:
		s.wake()
		fresh := s.keyIn.read(&p, kind.clock(), now, s.press.event)
		s.keepOut(&p, p.timestamp, int(keyDuration(&p))*sampleRate/kind.clock(), now)
		s.passKey(&p, kind, fresh, now)
	default:
		s.counts.transit.note(p.ssrc, p.timestamp, int64(kind.clock()), s.shard.arrival())
		if s.tap != nil && kind.playable() {
			s.tap.put(received, kind, p.ssrc, p.timestamp, now*beatSize, p.payload())
		}
		if s.ear != nil && kind.playable() {
			s.listenForTones(&p, kind, now)
		}
		s.passAudio(&p, kind, now)
	}
}

// stranger counts a packet that is not the far end's.
func (s *stream) stranger() {
	s.counts.Strangers++
	s.shard.counts.strangers++
}

// listen says that the far end has fallen silent: once, or, while silence may
// only mean hold, again and again.
func (s *stream) listen(now int64) {
	limit := s.shard.silence
	if limit == 0 || s.lost || !s.terms.agreed() || now-s.heard < limit {
		return
	}
	if s.terms.send && s.terms.hear {
		s.lost = true
		s.tell(Lost{})
		return
	}
	if now-max(s.heard, s.hushed) >= limit {
		s.hushed = now
		s.tell(Quiet{})
	}
}

// settle says that the gate has shut behind a source.
func (s *stream) settle(source netip.AddrPort) {
	s.to.set(source)
	seat := s.seat
	switch {
	case seat == nil:
	case seat.port.shard == s.shard:
		seat.settle(source)
	default:
		seat.port.shard.do(func(int64) {
			if seat.stream != nil {
				seat.settle(source)
			}
		})
	}
}

// agree puts new terms into force.
func (s *stream) agree(t terms, now int64) {
	before := s.terms
	s.terms = t
	s.gate.declare(t.far)
	if target := s.gate.target(); target.IsValid() {
		s.to.set(target)
	}
	if !t.pressable() {
		s.keyOut.stop()
	}
	if t.send && !before.send {
		s.switched() // a hold ends, in the midst of a sound
	}
	s.press.way = 0
	s.reports.from = netip.AddrPort{}
	s.heard, s.lost = now, false
	s.counts.Codec, s.counts.Suite = t.codec, ""
	if t.secure != nil {
		s.counts.Suite = t.secure.suite.name
	}
	if before.agreed() && before.codec != t.codec {
		s.tell(Recoded{})
	}
	switch {
	case before.agreed() && before.send && !t.send, !before.agreed() && !t.send:
		s.tell(Held{})
	case before.agreed() && !before.send && t.send:
		s.tell(Resumed{})
	}
}

// post gives an event to whoever conducts the call. The beat waits for nobody:
// if its buffer is full, the event is dropped and counted.
func (s *stream) post(e Event) {
	select {
	case s.events <- e:
	default:
		s.shard.counts.eventsDropped++
	}
}

// end closes the stream: nothing of it is served any more.
func (s *stream) end(now int64) {
	s.unbridge()
	if s.terms.agreed() {
		s.sendReport(now, true)
	}
	s.leave()
	if s.tap != nil {
		s.tap.close()
		s.tap = nil
	}
}

// release gives back what a stream that has ended has of the system's.
func (s *stream) release(now int64) {
	s.socket.close()
	switch seat := s.seat; {
	case seat == nil:
	case seat.port.shard == s.shard:
		seat.leave(now)
	default:
		seat.port.shard.do(seat.leave)
	}
}

// setTap lets a tap have the stream's audio, unless there is one.
func (s *stream) setTap(t *tap) bool {
	if s.tap != nil {
		return false
	}
	s.tap = t
	return true
}

// untap takes a tap off, if it is still on.
func (s *stream) untap(t *tap) {
	if s.tap == t {
		s.tap.close()
		s.tap = nil
	}
}
