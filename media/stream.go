package media

import (
	"cmp"
	"net/netip"
	"sync/atomic"
	"time"
)

// turnReads bounds how many datagrams a leg takes in one turn. A call sends
// one. Somebody who floods the port must send some thousands a second before
// the kernel drops the call's own packets; what he costs ends there.
const (
	turnReads = 64
	turnBatch = 4 // and in one system call
)

const (
	// fillAfter is after how many beats without a packet of its peer a leg hears
	// silence of ours: longer than any packet lasts.
	fillAfter = int64(140 * time.Millisecond / beatTime)
	// seamGap is after how many beats without a packet nothing is heard any more
	// of what was sent.
	seamGap = int64(80 * time.Millisecond / beatTime)
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
	seam   seam
	party  *party  // its part in a mix, or nil
	in     *jitter // where what it says goes through, or nil: it passes as it comes
	ear    *ear    // for keys that come as tones, or nil
	press  presses
	hidden bool // its keys are for us alone

	reports reporter

	spoke  int64 // the last beat on which it was sent something
	passed int64 // and on which it might have been by its peer
	heard  int64 // the last beat with a packet of the far end
	lost   bool  // Lost has been said
	hushed int64 // the beat of the last Quiet
	counts legCounts
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
		s.keyIn.read(&p, kind.clock(), now, s.press.event)
		s.keepOut(&p, p.timestamp, int(keyDuration(&p))*sampleRate/kind.clock(), now)
		s.passKey(&p, kind, now)
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

// speak sends this turn's packet, unless what the leg hears comes from its
// peer: that is passed on as it comes in.
func (s *stream) speak(now int64) {
	clock := now * beatSize
	// To a far end that takes nothing in which we can play, the time of what is
	// played passes, and nothing is sent.
	voice := cmp.Or(s.terms.voice, PCMU)
	number, able := s.terms.number(voice)
	var audio []byte
	whole := false
	switch {
	case s.fills(now):
		s.fill(voice, clock)
		return
	case !s.keyOut.sounding():
		s.keyOut.rest()
		if audio, whole = s.hears(voice, now); audio == nil || !able {
			return
		}
	case s.terms.keys():
		keys, payload := s.terms.keysFor(s.out.clock()), s.shard.room(keySize)
		h := s.keyOut.write(payload, keys, &s.out, clock)
		h.payloadType, _ = s.terms.number(keys)
		s.transmit(&h, payload)
		return
	default:
		audio = s.shard.room(frameSize)
		s.keyOut.sound(audio, voice)
	}
	audio = s.smooth(audio, voice, whole)
	s.tune(voice, now)
	h := s.out.frame(clock)
	h.payloadType = number
	s.sends(&h, audio, voice, clock)
}

// hears gives 20 ms of what the leg hears, and whether that is a sound from its
// beginning; nil if it comes from the peer.
func (s *stream) hears(c Codec, now int64) (audio []byte, whole bool) {
	if s.source != nil {
		list, ok := s.source.(*playlist)
		whole = ok && list.at == 0
		if audio = s.source.next(c, now*beatSize, s.shard); audio != nil {
			return audio, whole
		}
		s.sourceEnded()
	}
	switch {
	case s.party != nil:
		audio = s.shard.room(frameSize)
		s.party.fill(audio, c, now)
	case s.peer != nil && s.peer.in != nil:
		audio = s.shard.room(frameSize)
		s.fillFromPeer(audio, c)
	case s.peer == nil:
		audio = c.quiet()
	}
	return audio, false
}

// fills tells whether the peer, whom the leg hears as its packets come, has sent
// none for a while: it does not send silence, or holds us. The leg is sent silence
// then, since many a phone and carrier takes the end of all packets for that of
// the call.
func (s *stream) fills(now int64) bool {
	return s.source == nil && s.peer != nil && s.peer.in == nil && !s.keyOut.sounding() && now-s.passed >= fillAfter
}

// fill sends 20 ms of silence, in a codec on the clock of what was passed on: a
// change would make it another stream.
func (s *stream) fill(voice Codec, clock int64) {
	s.keyOut.rest()
	audio := voice.quiet()
	if s.out.clock() != voice.clock() {
		voice, audio = Opus, opusSilence
	}
	number, able := s.terms.number(voice)
	if !able {
		return
	}
	h := s.out.frame(clock)
	h.payloadType = number
	s.sends(&h, audio, voice, clock)
}

// sends sends a packet of audio, and lets those who follow what is sent have it.
func (s *stream) sends(h *header, audio []byte, c Codec, clock int64) {
	if s.tap != nil && c.playable() {
		s.tap.put(sent, c, h.ssrc, h.timestamp, clock, audio)
	}
	s.seam.keep(audio, c)
	s.transmit(h, audio)
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
	s.spoke = s.shard.next
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
	if p := s.peer; p != nil && p.listens() && !p.keyOut.sounding() {
		return p
	}
	return nil
}

// listens tells whether the stream hears others, and is not played something.
func (s *stream) listens() bool {
	return s.source == nil && s.terms.send && s.gate.target().IsValid()
}

// passAudio sends audio on, into the buffer if there is one, or to the listener:
// untouched if it takes the codec, or translated from one law of G.711 to the
// other. What it cannot take is dropped: better nothing than noise.
func (s *stream) passAudio(p *packet, c Codec, now int64) {
	if s.in != nil {
		if c.playable() {
			s.in.put(p.ssrc, p.timestamp, p.payload(), c)
		} else {
			s.counts.Unheard++
		}
		return
	}
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
	to.passed = now
	to.sends(&h, to.smooth(p.payload(), out, false), out, clock)
}

// passKey sends a telephone event on to the listener, if it takes them, counted on
// the clock on which it takes them. Who hears us through a buffer, or takes
// none, has the key pressed anew (see presses).
func (s *stream) passKey(p *packet, c Codec, now int64) {
	to := s.listener()
	if to == nil || !to.terms.keys() || s.hidden || s.in != nil {
		return
	}
	keys := to.terms.keysFor(to.out.clock())
	h, ok := to.out.passKey(p, now*beatSize, c.clock() == to.out.clock())
	if !ok {
		return
	}
	keyOnClock(p.payload(), c.clock(), keys.clock())
	h.payloadType, _ = to.terms.number(keys)
	to.passed = now
	to.transmit(&h, p.payload())
}

// play makes a source what the stream hears; nil goes back to the peer, or to
// silence.
func (s *stream) play(source source) {
	s.source = source
	s.switched()
}

// switched says that what the leg hears next comes from elsewhere.
func (s *stream) switched() {
	s.out.switched()
	s.seam.open = true
	s.passed = s.shard.next
}

// smooth gives audio without a click at its beginning, if it is from elsewhere
// than what was sent before.
func (s *stream) smooth(audio []byte, c Codec, whole bool) []byte {
	if s.shard.next-s.spoke > seamGap {
		s.seam.codec = 0 // silence was heard meanwhile
	}
	return s.seam.join(audio, c, whole, s.shard)
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
	for _, st := range []*stream{s, peer} {
		if st.peer != nil {
			st.unbridge()
		}
		st.leave()
	}
	s.peer, peer.peer = peer, s
	for _, st := range []*stream{s, peer} {
		st.unbuffer()
		st.play(nil)
	}
}

// unbridge parts the stream from its peer.
func (s *stream) unbridge() {
	if peer := s.peer; peer != nil {
		s.peer, peer.peer = nil, nil
		s.switched()
		peer.switched()
		s.unbuffer()
		peer.unbuffer()
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
	s.press.way = 0
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
	s.leave()
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
