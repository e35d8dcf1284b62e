package call

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// An agent who has his caller and whom he consults on one phone has them all talk
// together by pressing the code of calls.three_way in either of the two talks. What is
// pressed there must not be heard on the other side before it is known to be no code,
// so as long as he has both, his keys are withheld, and pressed anew when they are
// none. With one talk alone they pass as they come.

// side is an agent's in a talk. But for what is marked it belongs to the talk's
// goroutine. A nil *side is nobody's.
type side struct {
	agent string
	leg   *sip.Leg
	media *media.Leg
	to    *media.Leg // of whom he talks with
	wants chan three // to his talk with a caller; nil of a call that he has made himself
	both  atomic.Bool

	code    string
	pressed string      // the beginning of the code
	slow    *time.Timer // he does not go on
}

// codePatience is how long an agent may take from one key of the code to the next.
const codePatience = 3 * time.Second

// three is an agent's wish to talk with both.
type three struct {
	own  *sip.Leg // of the call that he has made himself
	here bool     // he speaks with his caller; else in that call
}

// desk is what an agent has on his phone.
type desk struct{ callers, own []*side }

// of gives the kind of talks that a side is of.
func (d *desk) of(s *side) *[]*side {
	if s.wants != nil {
		return &d.callers
	}
	return &d.own
}

// settle withholds the keys of an agent who has both a caller and a call of his own: in
// the latest of each.
func (d *desk) settle() {
	for _, all := range [][]*side{d.callers, d.own} {
		for i, s := range all {
			s.withhold(i == len(all)-1 && len(d.callers) > 0 && len(d.own) > 0)
		}
	}
}

func (s *side) withhold(both bool) {
	if s.both.Swap(both) != both {
		s.media.HideKeys(both)
	}
}

// sit notes the agents in the talk, until what it gives is called.
func (t *talk) sit() (rise func()) {
	t.near, t.far = nil, nil
	if t.Config.Calls.ThreeWay == "" {
		return func() {}
	}
	caller, other := talker{t.leg, t.inbound.media}, talker{t.with.leg, t.with.media}
	if t.agent != "" {
		t.near = t.sideOf(t.agent, caller, other)
	}
	if t.with.talk != nil {
		t.far = t.sideOf(t.with.agent, other, caller)
		t.far.wants = make(chan three, 1)
	}
	t.seat(t.near)
	t.seat(t.far)
	near, far := t.near, t.far
	return func() { t.unseat(near); t.unseat(far) }
}

// sideOf makes an agent's side.
func (t *talk) sideOf(agent string, his, to talker) *side {
	return &side{
		agent: agent, leg: his.leg, media: his.media, to: to.media, code: t.Config.Calls.ThreeWay, slow: stopped(),
	}
}

func (c *Conductor) seat(s *side) {
	if s == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[s.agent]
	if d == nil {
		d = new(desk)
		c.desks[s.agent] = d
	}
	all := d.of(s)
	*all = append(*all, s)
	d.settle()
}

func (c *Conductor) unseat(s *side) {
	if s == nil {
		return
	}
	s.passAll() // the two may talk on in another call
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[s.agent]
	all := d.of(s)
	*all = slices.DeleteFunc(*all, func(other *side) bool { return other == s })
	s.withhold(false)
	d.settle()
	if len(d.callers)+len(d.own) == 0 {
		delete(c.desks, s.agent)
	}
	s.slow.Stop()
}

// key takes a key of the agent's. The code tells the talk with his caller.
func (c *Conductor) key(s *side, key rune) {
	if s == nil || !s.both.Load() {
		return // it has passed
	}
	if s.pressed += string(key); s.pressed == s.code {
		s.pressed = ""
		s.slow.Stop()
		c.together(s)
		return
	}
	n := 0
	for !strings.HasPrefix(s.code, s.pressed[n:]) {
		n++
	}
	s.pass(n)
	if s.pressed == "" {
		s.slow.Stop()
	} else {
		s.slow.Reset(codePatience)
	}
}

// together has the three talk with each other.
func (c *Conductor) together(s *side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.desks[s.agent]
	if d == nil || len(d.callers) == 0 || len(d.own) == 0 {
		return // one of the two has just ended
	}
	select {
	case d.callers[len(d.callers)-1].wants <- three{own: d.own[len(d.own)-1].leg, here: s.wants != nil}:
	default: // he has wished it already
	}
}

// passAll presses anew what has begun as the code does and is none.
func (s *side) passAll() { s.pass(len(s.pressed)) }

// pass presses anew the first of the keys that were withheld.
func (s *side) pass(n int) {
	if n > 0 {
		_ = s.to.SendKeys(s.pressed[:n]) // who takes none hears none
		s.pressed = s.pressed[n:]
	}
}

// late tells that the agent has begun a code and does not go on.
func (s *side) late() <-chan time.Time {
	if s == nil {
		return nil
	}
	return s.slow.C
}

func (s *side) wanted() <-chan three {
	if s == nil {
		return nil
	}
	return s.wants
}
