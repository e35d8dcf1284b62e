package media

import "net/netip"

// turnReads bounds how many datagrams a leg takes in one turn. A call sends
// one. Somebody who floods the port must send some thousands a second before
// the kernel drops the call's own packets; what he costs ends there.
const turnReads = 8 * inboxSize

// stream is a leg as its shard sees it. Only the shard's goroutine touches it,
// except for the channels.
type stream struct {
	shard  *shard
	index  int // in the shard's list
	phase  int // served on the beats with this remainder
	socket socketPair
	port   uint16

	terms  terms
	gate   gate
	to     sockaddr // the gate's target, as the kernel takes it
	source source   // what it hears; nil: its peer, or silence
	peer   *stream  // who it is bridged to
	out    sender
	keyOut keyWriter
	keyIn  keyReader
	tap    *tap // of a recording, or nil

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
	s.drain(now)
	if s.tap != nil {
		s.tap.note(passed, 0, 0, now*beatSize, 0)
	}
	s.keyIn.tick(now, s.tell)
	s.listen(now)
	if s.terms.send && s.gate.target().IsValid() {
		s.speak(now)
	}
}

// drain takes what waits at the socket.
func (s *stream) drain(now int64) {
	in := s.shard.inbox
	for read := 0; read < turnReads; {
		n := in.receive(s.socket.rtp)
		for i := range n {
			raw, from := in.datagram(i)
			s.take(raw, from, now)
		}
		if n < inboxSize {
			return
		}
		read += n
	}
}

// take handles one datagram.
func (s *stream) take(raw []byte, from netip.AddrPort, now int64) {
	p, ok := parsePacket(raw)
	if !ok {
		s.counts.Malformed++
		s.shard.counts.malformed++
		return
	}
	kind := s.terms.receive[p.payloadType]
	open := s.gate.open
	if !s.gate.admit(from, &p, kind != 0) {
		s.counts.Strangers++
		s.shard.counts.strangers++
		return
	}
	if open && !s.gate.open {
		s.to.set(s.gate.target())
	}
	s.counts.PacketsIn++
	s.counts.BytesIn += uint64(len(raw))
	s.shard.counts.packetsIn++
	s.counts.sequence.note(p.ssrc, p.sequence)
	s.heard, s.lost = now, false
	switch kind {
	case 0:
		s.counts.Unexpected++
	case telephoneEvent:
		s.keyIn.read(&p, now, s.tell)
		if s.tap != nil {
			s.tap.note(keyed, p.ssrc, p.timestamp, now*beatSize, int(keyDuration(&p)))
		}
		s.passKey(&p, now)
	default:
		if s.tap != nil {
			s.tap.put(received, kind, p.ssrc, p.timestamp, now*beatSize, p.payload())
		}
		s.passAudio(&p, kind, now)
	}
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

// speak sends this turn's packet, unless what the leg hears comes from its
// peer: that is passed on as it comes in.
func (s *stream) speak(now int64) {
	frame, clock := s.shard.frame[:], now*beatSize
	if s.keyOut.sounding() {
		h := s.keyOut.write(frame[headerSize:], &s.out, clock)
		h.payloadType = s.terms.keysType
		s.transmit(frame[:headerSize+4], &h)
		return
	}
	s.keyOut.rest()
	audio := frame[headerSize : headerSize+frameSize]
	if s.source != nil && !s.source.fill(audio, s.terms.codec, clock) {
		s.sourceEnded()
	}
	if s.source == nil {
		if s.peer != nil {
			return
		}
		quiet(audio, s.terms.codec)
	}
	h := s.out.frame(clock)
	h.payloadType = s.terms.payloadType
	if s.tap != nil {
		s.tap.put(sent, s.terms.codec, h.ssrc, h.timestamp, clock, audio)
	}
	s.transmit(frame[:headerSize+frameSize], &h)
}

// transmit writes the header before the payload and sends the packet.
func (s *stream) transmit(frame []byte, h *header) {
	h.put(frame)
	if !send(s.socket.rtp, frame, &s.to) {
		s.shard.counts.unsent++
		return
	}
	s.counts.PacketsOut++
	s.counts.BytesOut += uint64(len(frame))
	s.shard.counts.packetsOut++
}

// listener gives the peer, if it hears this stream just now.
func (s *stream) listener() *stream {
	p := s.peer
	if p == nil || p.source != nil || p.keyOut.sounding() || !p.terms.send || !p.gate.target().IsValid() {
		return nil
	}
	return p
}

// passAudio sends audio on to the listener, in its codec.
func (s *stream) passAudio(p *packet, c Codec, now int64) {
	to := s.listener()
	if to == nil {
		return
	}
	clock := now * beatSize
	h, ok := to.out.pass(p, clock, len(p.payload()))
	if !ok {
		return
	}
	translate(p.payload(), c, to.terms.codec)
	h.payloadType = to.terms.payloadType
	if to.tap != nil {
		to.tap.put(sent, to.terms.codec, h.ssrc, h.timestamp, clock, p.payload())
	}
	to.transmit(p.body, &h)
}

// passKey sends a telephone event on to the listener, if it takes them.
func (s *stream) passKey(p *packet, now int64) {
	to := s.listener()
	if to == nil || !to.terms.keys {
		return
	}
	h, ok := to.out.pass(p, now*beatSize, 0)
	if !ok {
		return
	}
	h.payloadType = to.terms.keysType
	to.transmit(p.body, &h)
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
	if !t.keys {
		s.keyOut = keyWriter{}
	}
	s.heard, s.lost = now, false
	s.counts.Codec = t.codec
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
func (s *stream) end() {
	s.unbridge()
	if s.tap != nil {
		s.tap.close()
		s.tap = nil
	}
	s.socket.close()
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
