package media

import (
	"cmp"
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
type stream struct {
	shard *shard
	home  atomic.Pointer[shard] // the shard, while it serves the stream; may be read by any
	index int                   // in the shard's list
	phase int                   // served on the beats with this remainder
	due   int64                 // the beat of its next turn

	socket socketPair // its own, if it has one: what is sent goes out there
	port   uint16     // of its own
	seat   *seat      // at a shared port, if it has one; it may have both
	detour *detour    // from there, if that port is another shard's

	terms  terms
	gate   gate
	to     sockaddr // the gate's target, as the kernel takes it
	source source   // what it hears; nil: its peer, or silence
	peer   *stream  // who it is bridged to
	out    sender
	keyOut keyWriter
	keyIn  keyReader
	tap    *tap // of a recording, or nil

	reports reporter

	heard  int64 // the last beat with a packet of the far end
	lost   bool  // Lost has been said
	hushed int64 // the beat of the last Quiet
	counts legCounts
	events chan Event
	tell   func(Event) // bound once, so that passing it allocates nothing
	gone   chan struct{}
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
	s.keyIn.tick(now, s.tell)
	if s.terms.send && s.gate.target().IsValid() {
		s.speak(now)
	}
}

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
		s.keyIn.read(&p, kind.clock(), now, s.tell)
		if s.tap != nil {
			s.tap.note(keyed, p.ssrc, p.timestamp, now*beatSize, int(keyDuration(&p))*sampleRate/kind.clock())
		}
		s.passKey(&p, kind, now)
	default:
		s.counts.transit.note(p.ssrc, p.timestamp, int64(kind.clock()), s.shard.arrival())
		if s.tap != nil && kind.playable() {
			s.tap.put(received, kind, p.ssrc, p.timestamp, now*beatSize, p.payload())
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

// speak sends this turn's packet, unless what the leg hears comes from its
// peer: that is passed on as it comes in.
func (s *stream) speak(now int64) {
	clock := now * beatSize
	if s.keyOut.sounding() {
		keys, payload := s.terms.keysFor(s.out.clock()), s.shard.room(keySize)
		h := s.keyOut.write(payload, keys, &s.out, clock)
		h.payloadType, _ = s.terms.number(keys)
		s.transmit(&h, payload)
		return
	}
	s.keyOut.rest()
	// To a far end that takes nothing in which we can play, the time of what is
	// played passes, and nothing is sent.
	voice := cmp.Or(s.terms.voice, PCMU)
	var audio []byte
	if s.source != nil {
		if audio = s.source.next(voice, clock, s.shard); audio == nil {
			s.sourceEnded()
		}
	}
	if s.source == nil {
		if s.peer != nil {
			return
		}
		audio = voice.quiet()
	}
	number, able := s.terms.number(voice)
	if !able {
		return
	}
	s.tune(voice, now)
	h := s.out.frame(clock)
	h.payloadType = number
	if s.tap != nil {
		s.tap.put(sent, voice, h.ssrc, h.timestamp, clock, audio)
	}
	s.transmit(&h, audio)
}

// transmit sends a packet: at once, or with the others of a shared port.
func (s *stream) transmit(h *header, payload []byte) {
	if s.terms.secure != nil {
		var ok bool
		if payload, ok = s.seal(h, payload); !ok {
			s.shard.counts.unsent++
			return
		}
	}
	s.counts.PacketsOut++
	s.counts.BytesOut += uint64(headerSize + len(payload))
	s.shard.counts.packetsOut++
	switch {
	case s.socket.open():
		s.transmitAlone(s.socket.rtp, h, payload)
	case s.detour != nil: // the outbox is another shard's, the socket everybody's
		s.transmitAlone(s.seat.port.sockets.rtp, h, payload)
	default:
		s.seat.port.queue(s, h, payload)
	}
}

// seal encrypts a packet and gives what comes behind its header. The payload
// itself, which others may be sent too, stays as it is.
func (s *stream) seal(h *header, payload []byte) ([]byte, bool) {
	frame := s.shard.frame[:headerSize+len(payload)]
	h.put(frame)
	copy(frame[headerSize:], payload)
	sealed, ok := s.terms.secure.seal(frame)
	if !ok {
		return nil, false
	}
	room := s.shard.room(len(sealed) - headerSize)
	copy(room, sealed[headerSize:])
	return room, true
}

// transmitAlone sends a packet at once.
func (s *stream) transmitAlone(fd int, h *header, payload []byte) {
	frame := s.shard.frame[:headerSize+len(payload)]
	h.put(frame)
	copy(frame[headerSize:], payload)
	if !send(fd, frame, &s.to) {
		s.notSent(len(payload))
	}
}

// notSent takes a packet back that was counted as sent.
func (s *stream) notSent(payload int) {
	s.counts.PacketsOut--
	s.counts.BytesOut -= uint64(headerSize + payload)
	s.shard.counts.packetsOut--
	s.shard.counts.unsent++
}

// listener gives the peer, if it hears this stream just now.
func (s *stream) listener() *stream {
	p := s.peer
	if p == nil || p.source != nil || p.keyOut.sounding() || !p.terms.send || !p.gate.target().IsValid() {
		return nil
	}
	return p
}

// passAudio sends audio on to the listener: untouched if it takes the codec,
// or translated from one law of G.711 to the other. What it cannot take is
// dropped: better nothing than noise.
func (s *stream) passAudio(p *packet, c Codec, now int64) {
	to := s.listener()
	if to == nil {
		return
	}
	out := c
	if c.playable() && to.terms.voice != 0 {
		out = to.terms.voice
	}
	number, able := to.terms.number(out)
	if !able {
		s.counts.Unheard++
		return
	}
	to.tune(out, now)
	clock := now * beatSize
	h, ok := to.out.pass(p, clock, out.units(p.payload()))
	if !ok {
		return
	}
	if out != c {
		translate(p.payload(), c, out)
	}
	h.payloadType = number
	if to.tap != nil && out.playable() {
		to.tap.put(sent, out, h.ssrc, h.timestamp, clock, p.payload())
	}
	to.transmit(&h, p.payload())
}

// passKey sends a telephone event on to the listener, if it takes them, counted on
// the clock on which it takes them.
func (s *stream) passKey(p *packet, c Codec, now int64) {
	to := s.listener()
	if to == nil || !to.terms.keys() {
		return
	}
	keys := to.terms.keysFor(to.out.clock())
	h, ok := to.out.passKey(p, now*beatSize, c.clock() == to.out.clock())
	if !ok {
		return
	}
	keyOnClock(p.payload(), c.clock(), keys.clock())
	h.payloadType, _ = to.terms.number(keys)
	to.transmit(&h, p.payload())
}

// play makes a source what the stream hears; nil goes back to the peer, or to
// silence.
func (s *stream) play(source source) {
	s.source = source
	s.out.switched()
}

// sourceEnded takes away a source that has played to its end.
func (s *stream) sourceEnded() {
	if list, ok := s.source.(*playlist); ok {
		s.tell(PlayDone{list.id})
	}
	s.play(nil)
}

// bridge makes two streams hear each other, and nothing else.
func (s *stream) bridge(peer *stream) {
	s.unbridge()
	peer.unbridge()
	s.peer, peer.peer = peer, s
	s.play(nil)
	peer.play(nil)
}

// unbridge parts the stream from its peer.
func (s *stream) unbridge() {
	if peer := s.peer; peer != nil {
		s.peer, peer.peer = nil, nil
		s.out.switched()
		peer.out.switched()
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
	if !t.keys() {
		s.keyOut = keyWriter{}
	}
	s.heard, s.lost = now, false
	s.counts.Codec, s.counts.Suite = t.codec, ""
	if t.secure != nil {
		s.counts.Suite = t.secure.suite.name
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
	if s.tap != nil {
		s.tap.close()
		s.tap = nil
	}
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
