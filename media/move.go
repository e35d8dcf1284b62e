package media

import "slices"

// A leg can move to another shard, as it must when it is bridged to a leg there.
// The old shard lets go of the leg between two beats and hands it to the new one
// as a command; what is asked of the leg meanwhile waits at the new shard, so
// that everything is done in the order it was asked for. The leg keeps its
// place in time: its next packet goes out on the beat it would have gone out on.

// arrival is a stream that is on its way to a shard, and what is to be done when
// it is there.
type arrival struct {
	comes int // how many times: it may leave and come again before anybody looks
	kept  []func(now int64)
}

// expect announces a stream that is on its way to the shard. Whatever is asked
// of it is kept until it is there.
func (s *shard) expect(st *stream) {
	a := s.arriving[st]
	if a == nil {
		a = new(arrival)
		s.arriving[st] = a
	}
	a.comes++
}

// arrived says that a stream that was expected is here, or will never be.
func (s *shard) arrived(st *stream) {
	a := s.arriving[st]
	a.comes--
	for len(a.kept) > 0 && (a.comes == 0 || st.home.Load() == s) {
		run := a.kept[0]
		a.kept = a.kept[1:]
		run(s.next)
	}
	if a.comes == 0 {
		delete(s.arriving, st)
	}
}

// inTurn runs something about a stream: at once, or after what is kept for the
// stream's arrival.
func (s *shard) inTurn(st *stream, run func(now int64)) {
	if a := s.arriving[st]; a != nil {
		a.kept = append(a.kept, run)
	} else {
		run(s.next)
	}
}

// when runs something for a stream: at once if it is here, as soon as it has
// arrived if it is on its way, and never if it is neither.
func (s *shard) when(st *stream, run func(now int64)) {
	s.inTurn(st, func(int64) {
		if st.home.Load() == s {
			s.guard(st, run)
		}
	})
}

// guard runs something for a stream here, which is no reason to rest; if it
// panics, it ends that stream.
func (s *shard) guard(st *stream, run func(now int64)) {
	defer s.rescue(st)
	st.wake()
	run(s.next)
}

// depart sends a stream to another shard, which expects it.
func (s *shard) depart(st *stream, to *shard) {
	st.unbridge()
	st.leave()
	st.unbuffer()
	s.drop(st)
	if seat := st.seat; seat != nil && seat.port.shard == s && seat.detour == nil {
		seat.detour = new(detour)
		st.detour = seat.detour
	}
	st.shard = to
	to.do(func(int64) { to.adopt(st) })
}

// adopt takes over a stream that has departed elsewhere, and makes up for the
// turns it missed on the way.
func (s *shard) adopt(st *stream) {
	s.enlist(st)
	if seat := st.seat; st.detour != nil && seat.port.shard == s {
		st.follow(s.next) // what came before it was back
		st.detour, seat.detour = nil, nil
	}
	for n := st.due; n < s.next; n += int64(phases) {
		if n >= s.next-catchUp {
			s.serve(st, n)
		}
	}
	s.flush()
	s.arrived(st)
}

// move brings a leg to another shard. What was asked of it before is done on the
// old one. The caller holds the engine's lock.
func (l *Leg) move(to *shard) {
	l.route.Lock()
	defer l.route.Unlock()
	from := l.shard
	if from == to || l.closed() {
		return
	}
	st := l.stream
	l.shard = to
	l.engine.moves.Add(1)
	from.load.Add(-1)
	to.load.Add(1)
	to.do(func(int64) { to.expect(st) })
	from.do(func(int64) {
		from.inTurn(st, func(int64) {
			from.leave(st, to)
			to.do(func(int64) { l.engine.moves.Done() })
		})
	})
}

// leave has a stream depart; if it has ended instead, the shard it was to go to
// need not expect it any more.
func (s *shard) leave(st *stream, to *shard) {
	if st.home.Load() == s {
		s.depart(st, to)
		return
	}
	s.load.Add(1) // it ended here, but is counted there
	to.load.Add(-1)
	to.do(func(int64) { to.arrived(st) })
}

// anchor gives the leg to whose shard legs are brought together: the first at a
// shared port, which then needs no detour, or else the first.
func anchor(legs []*Leg) *Leg {
	if i := slices.IndexFunc(legs, (*Leg).shares); i >= 0 {
		return legs[i]
	}
	return legs[0]
}

// gather brings legs to their anchor's shard. Closing the engine waits for it.
func (e *Engine) gather(legs ...*Leg) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	shard := anchor(legs).where()
	for _, l := range legs {
		l.move(shard)
	}
	return nil
}
