package media

import (
	"net/netip"
)

// How a leg comes by the port its SDP names.
//
// A leg of its own sockets has it from the start. A leg that may share gets a
// seat at a shared port of its shard when the far end's offer has told where
// that far end is; if none is free there, or if we offer first and so must name
// a port before we know anything, it gets sockets of its own. When a later offer
// moves the far end to where another leg's far end is, our answer names a port of
// the leg's own, and packets to the old one are still the leg's (RFC 3264,
// section 8.3.1). Only an answer cannot be met that way: it is refused, and our
// next offer names a port of the leg's own.

// errTaken refuses an answer that moves the far end of a leg at a shared port to
// where another's is.
var errTaken = &SDPError{488, "another call has the far end's address"}

// legPort is a leg's port as its SDP sees it. The leg's mutex guards it.
type legPort struct {
	own   bool  // it has sockets of its own
	seat  *seat // at a shared port, or nil
	leave bool  // the seat will not do any more
}

// forAnswer gives the local address for our answer to an offer whose RTP is to
// go to far (not valid: nowhere).
func (l *Leg) forAnswer(far netip.AddrPort) (netip.AddrPort, error) {
	switch p := &l.port; {
	case p.own:
	case p.seat != nil && !far.IsValid():
	case p.seat != nil:
		ok, err := l.moveSeat(far)
		if err != nil {
			return netip.AddrPort{}, err
		}
		if !ok {
			return l.ownPort()
		}
	default:
		if err := l.share(far); err != nil {
			return netip.AddrPort{}, err
		}
		if p.seat == nil {
			return l.ownPort()
		}
		return netip.AddrPortFrom(l.engine.advertise, p.seat.port.number), nil
	}
	return l.session.local, nil
}

// forOffer gives the local address for an offer of ours.
func (l *Leg) forOffer() (netip.AddrPort, error) {
	if p := &l.port; p.own || p.seat != nil && !p.leave {
		return l.session.local, nil
	}
	return l.ownPort()
}

// forAccept takes the far end of an answer to our offer.
func (l *Leg) forAccept(far netip.AddrPort) error {
	p := &l.port
	if p.own || !far.IsValid() {
		return nil
	}
	ok, err := l.moveSeat(far)
	if err == nil && !ok {
		p.leave, err = true, errTaken
	}
	return err
}

// moveSeat has the leg's seat follow its far end. False: another leg's is there.
// ErrClosed: the leg has ended, as it does when a hang-up crosses an offer.
func (l *Leg) moveSeat(far netip.AddrPort) (bool, error) {
	seat, left := l.port.seat, false
	ok, err := l.ask(seat.port.shard, func(now int64) bool {
		left = seat.stream == nil
		return seat.move(far, now)
	})
	if err == nil && left {
		return false, ErrClosed
	}
	return ok, err
}

// ownPort gives the leg sockets of its own.
func (l *Leg) ownPort() (netip.AddrPort, error) {
	sockets, port, err := l.engine.bind(rtpBuffer)
	if err != nil {
		return netip.AddrPort{}, err
	}
	took, err := l.here(func(st *stream, _ int64) bool {
		st.socket, st.port = sockets, port
		return true
	})
	if !took {
		sockets.close()
		l.engine.ports.give(port)
		return netip.AddrPort{}, err
	}
	l.port.own = true
	return netip.AddrPortFrom(l.engine.advertise, port), nil
}

// share seats the leg at a shared port of its shard for a far end, opening
// another if none is free and there may be more. No seat, and no error: it needs
// sockets of its own.
func (l *Leg) share(far netip.AddrPort) error {
	if !far.IsValid() || l.engine.sharedPorts == 0 {
		return nil
	}
	more := false
	_, err := l.here(func(st *stream, now int64) bool {
		p := st.shard.freePort(far, now)
		more = (p == nil || p.legs >= portLegs) && len(st.shard.ports) < l.engine.sharedPorts
		if p != nil && !more {
			l.sit(st, p, far)
		}
		return true
	})
	if err != nil || !more {
		return err
	}
	sockets, number, err := l.engine.bind(sharedBuffer)
	if err != nil {
		return err
	}
	opened, err := l.here(func(st *stream, now int64) bool {
		if len(st.shard.ports) >= l.engine.sharedPorts {
			return false // others were quicker
		}
		l.sit(st, st.shard.openPort(sockets, number), far)
		return true
	})
	if !opened {
		sockets.close()
		l.engine.ports.give(number)
	}
	return err
}

// sit seats the leg's stream at a port, on its shard.
func (l *Leg) sit(st *stream, p *sharedPort, far netip.AddrPort) {
	st.seat = p.take(st, far)
	l.port.seat = st.seat
}

// here runs something on the leg's shard and waits for what it says; false with
// ErrClosed: the leg has ended.
func (l *Leg) here(run func(*stream, int64) bool) (bool, error) {
	reply := make(chan bool, 1)
	l.do(func(s *stream, now int64) { reply <- run(s, now) })
	return await(reply, l.stream.gone)
}

// ask is here for another shard.
func (l *Leg) ask(s *shard, run func(now int64) bool) (bool, error) {
	reply := make(chan bool, 1)
	s.do(func(now int64) {
		ok := false
		defer func() { reply <- ok }() // also if it panics: somebody waits
		ok = run(now)
	})
	return await(reply, s.done)
}

// await waits for a reply, or for the end of whoever would give it.
func await(reply chan bool, ended chan struct{}) (bool, error) {
	select {
	case ok := <-reply:
		return ok, nil
	case <-ended:
	}
	select {
	case ok := <-reply: // just in time
		return ok, nil
	default:
		return false, ErrClosed
	}
}
