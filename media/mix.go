package media

import (
	"errors"
	"slices"
	"sync"
)

// ErrNoMix says that a leg's far end takes no G.711.
var ErrNoMix = errors.New("media: only legs of G.711 can be mixed")

// Mix is a conversation of any number of legs, three or more as a rule: a
// conference, an interpreter beside caller and agent, a supervisor who listens,
// or who whispers to the agent. Each leg hears the others and not itself. A Mix
// needs no closing: it is gone with its last leg.
//
// What is played to a leg is heard by that leg alone, in place of the others,
// until it ends. Keys as telephone events go to the legs that hear who pressed
// them.
//
// Before it is mixed a leg's audio goes through a buffer of 40 to 60 ms, which
// puts it in order, conceals what was lost and keeps up with the far end's
// clock. What comes in another codec than G.711 cannot be mixed and is counted
// as Stats.Unheard: a leg that was bridged in one wants an offer without it.
type Mix struct {
	engine *Engine
	room   *room

	mu    sync.Mutex
	shard *shard // nil before the first leg
}

// NewMix makes a mix. It is served on the shard of the first leg in it, or, if
// several come in first, of the first at a shared port.
func (e *Engine) NewMix() *Mix {
	return &Mix{engine: e, room: new(room)}
}

// Join lets legs talk with all who are in the mix: they hear everybody and are
// heard by everybody. They come in at once, so that those who were bridged to
// each other miss nothing; if they have to move to the mix's shard for it, they
// may miss a packet or two. A leg that is in already changes its part.
//
// Errors: ErrClosed and ErrNoMix; then nothing has changed.
func (m *Mix) Join(legs ...*Leg) error { return m.enter(party{speaks: true}, nil, legs...) }

// Listen lets legs hear everybody and be heard by nobody. Errors as with Join.
func (m *Mix) Listen(legs ...*Leg) error { return m.enter(party{}, nil, legs...) }

// Whisper lets a leg hear everybody and be heard by one other alone, for as
// long as that one is in the mix. Errors as with Join.
func (m *Mix) Whisper(leg, to *Leg) error {
	if leg == to {
		return errors.New("media: a leg cannot whisper to itself")
	}
	return m.enter(party{}, to.stream, leg)
}

// Leave takes legs out of the mix: they hear silence. A leg that is not in it is
// left alone. To go on as a bridge of two, bridge them: that takes them out too.
func (m *Mix) Leave(legs ...*Leg) {
	for _, l := range legs {
		l.do(func(s *stream, _ int64) {
			if s.party != nil && s.party.room == m.room {
				s.leave()
				s.unbuffer()
			}
		})
	}
}

// enter has the shard bring legs in, all of them between two beats.
func (m *Mix) enter(as party, to *stream, legs ...*Leg) error {
	parties, buffers := make([]*party, len(legs)), make([]*jitter, len(legs))
	for i, l := range legs {
		l.mu.Lock()
		t := l.agreed
		l.mu.Unlock()
		if t.agreed() && t.voice == 0 {
			return ErrNoMix
		}
		p := as
		p.stream, p.room, p.to = l.stream, m.room, to
		parties[i], buffers[i] = &p, newJitter()
	}
	sh, err := m.gather(legs)
	if err != nil {
		return err
	}
	sh.do(func(int64) {
		for i, p := range parties { // while those they talk with are still known
			sh.when(p.stream, func(int64) { p.stream.buffer(buffers[i]) })
		}
		for _, p := range parties {
			sh.when(p.stream, func(int64) { p.stream.enter(p) })
		}
		for _, p := range parties {
			sh.when(p.stream, func(int64) { p.stream.unbridge() })
		}
	})
	return nil
}

// gather brings legs to the mix's shard.
func (m *Mix) gather(legs []*Leg) (*shard, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine.mu.Lock()
	defer m.engine.mu.Unlock()
	if m.engine.closed || slices.ContainsFunc(legs, (*Leg).closed) {
		return nil, ErrClosed
	}
	if m.shard == nil {
		m.shard = anchor(legs).where()
	}
	for _, l := range legs {
		l.move(m.shard)
	}
	return m.shard, nil
}

// room is a mix on its shard.
type room struct {
	parties []*party
	next    int64            // the beat from which the next frame is due
	sum     [frameSize]int32 // of those who talk to all
}

// party is a leg's part in a mix.
type party struct {
	stream *stream
	room   *room
	speaks bool    // to all
	to     *stream // or to this one
	fresh  bool    // nothing of it has been mixed yet
	frame  [frameSize]int16
}

// fill gives a party 20 ms of what it hears.
func (p *party) fill(audio []byte, c Codec, now int64) {
	r := p.room
	if now >= r.next {
		r.mix()
		r.next = now + int64(phases)
	}
	heard := r.sum
	if p.speaks {
		for i, sample := range p.frame {
			heard[i] -= int32(sample)
		}
	}
	for _, other := range r.parties {
		if other.to == p.stream {
			for i, sample := range other.frame {
				heard[i] += int32(sample)
			}
		}
	}
	var pcm [frameSize]int16
	for i, sum := range heard {
		pcm[i] = saturate(sum)
	}
	encode(audio, pcm[:], c)
}

// mix takes the next 20 ms of everybody. The parties may be served on different
// beats: each hears every frame once all the same.
func (r *room) mix() {
	clear(r.sum[:])
	for _, p := range r.parties {
		p.stream.in.pull(&p.frame)
		if p.fresh && p.stream.in.going { // what begins later its buffer fades in
			r.join(p)
		}
		p.fresh = false
		if !p.speaks {
			continue
		}
		for i, sample := range p.frame {
			r.sum[i] += int32(sample)
		}
	}
}

// join has those who hear a party hear it begin, or end, without a click.
func (r *room) join(p *party) {
	for _, other := range r.parties {
		if other.hears(p) && other.stream.source == nil {
			other.stream.seam.open = true
		}
	}
}

// enter makes a stream a party of a mix, in place of another part. A bridge it is
// in is undone after that.
func (s *stream) enter(p *party) {
	s.leave()
	p.room.parties = append(p.room.parties, p)
	p.fresh = true
	s.party = p
	s.switched()
}

// leave takes the stream out of its mix, if it is in one.
func (s *stream) leave() {
	p := s.party
	if p == nil {
		return
	}
	s.party = nil
	p.room.join(p)
	if p.speaks { // what those hear who take the present frame later, too
		for i, sample := range p.frame {
			p.room.sum[i] -= int32(sample)
		}
	}
	p.room.parties = slices.DeleteFunc(p.room.parties, func(other *party) bool { return other == p })
	s.switched()
}

// hears tells whether a party hears another.
func (p *party) hears(other *party) bool {
	return p != other && (other.speaks || other.to == p.stream)
}
