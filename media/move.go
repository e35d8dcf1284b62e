package media

// A leg can move to another shard, as it must when it is bridged to a leg there.
// The old shard lets go of the leg between two beats and hands it to the new one
// as a command; what is asked of the leg meanwhile waits at the new shard, so
// that everything is done in the order it was asked for. The leg keeps its
// place in time: its next packet goes out on the beat it would have gone out on.

// expect announces a stream that is on its way to the shard. Whatever is asked
// of it is kept until it is there.
func (s *shard) expect(st *stream) { s.arriving[st] = nil }

// when runs something for a stream: at once if it is here, as soon as it has
// arrived if it is on its way, and never if it is neither.
func (s *shard) when(st *stream, run func(now int64)) {
	if kept, comes := s.arriving[st]; comes {
		s.arriving[st] = append(kept, run)
	} else if st.home.Load() == s {
		s.guard(st, run)
	}
}

// guard runs something for a stream here; if it panics, it ends that stream.
func (s *shard) guard(st *stream, run func(now int64)) {
	defer s.rescue(st)
	run(s.next)
}

// depart sends a stream to another shard, which expects it.
func (s *shard) depart(st *stream, to *shard) {
	st.unbridge()
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
	for n := st.due; n < s.next; n += int64(phases) {
		if n >= s.next-catchUp {
			s.serve(st, n)
		}
	}
	s.flush()
	kept := s.arriving[st]
	delete(s.arriving, st)
	for _, run := range kept {
		s.when(st, run)
	}
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
		from.leave(st, to, l.engine.moves.Done)
	})
}

// leave has a stream depart, at once or as soon as it has arrived; if it has
// ended instead, the shard it was to go to need not expect it any more.
func (s *shard) leave(st *stream, to *shard, done func()) {
	if kept, comes := s.arriving[st]; comes {
		s.arriving[st] = append(kept, func(int64) { s.leave(st, to, done) })
		return
	}
	if st.home.Load() == s {
		s.depart(st, to)
	} else {
		s.load.Add(1) // it ended here, but is counted there
		to.load.Add(-1)
		to.do(func(int64) { delete(to.arriving, st) })
	}
	to.do(func(int64) { done() })
}

// gather brings legs to one shard: that of the first at a shared port, or else
// of the first. Closing the engine waits for it.
func (e *Engine) gather(legs ...*Leg) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	to := legs[0]
	for _, l := range legs {
		if l.shares() {
			to = l
			break
		}
	}
	shard := to.where()
	for _, l := range legs {
		l.move(shard)
	}
	return nil
}
