package media

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// heard has a far end say enough for its leg to know where it is.
func heard(leg *Leg, far *farEnd) {
	far.say(leg.Codec(), make([]byte, frameSize))
	time.Sleep(frameTime)
	synctest.Wait()
}

// shared is a leg at a shared port whose far end has been heard.
func shared(t *testing.T, e *Engine) (*Leg, *farEnd) {
	t.Helper()
	leg, far := call(t, e, PCMU, LegOptions{Shared: true})
	heard(leg, far)
	if !leg.shares() {
		t.Fatal("the leg has a port of its own")
	}
	return leg, far
}

func TestWhichLegsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sharingEngine(t, 1, 1)
		first, far := shared(t, e)
		second, other := shared(t, e)
		if first.LocalAddr() != second.LocalAddr() {
			t.Errorf("at %v and %v", first.LocalAddr(), second.LocalAddr())
		}
		unheard, _ := call(t, e, PCMU, LegOptions{Shared: true})
		if !unheard.shares() {
			t.Error("one that was not heard yet has a port of its own")
		}
		latching, _ := call(t, e, PCMU, LegOptions{Shared: true, Latch: true})
		asked, _ := call(t, e, PCMU, LegOptions{})
		for name, leg := range map[string]*Leg{"that latches": latching, "that was not asked to": asked} {
			if leg.shares() {
				t.Errorf("a leg %s shares", name)
			}
		}
		offering, err := e.NewLeg(LegOptions{Shared: true})
		if err != nil || offering.LocalAddr().Port() != 0 {
			t.Fatalf("a leg before its offer is at %v, error %v", offering.LocalAddr(), err)
		}
		if body, err := offering.Offer(); err != nil || offering.shares() || !bytes.Contains(body, []byte("m=audio 2")) {
			t.Errorf("our offer: %s, error %v", body, err)
		}
		late, lateFar := call(t, e, PCMU, LegOptions{Shared: true})
		if late.shares() {
			t.Error("two legs of one host wait to be heard at one port")
		}
		same, err := e.NewLeg(LegOptions{Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := same.Answer(far.offer(PCMU)); err != nil || same.shares() {
			t.Errorf("two legs with one far end share a port, error %v", err)
		}
		same.Close()
		held, err := e.NewLeg(LegOptions{Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := held.Answer(farBody("m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0")); err != nil || held.shares() {
			t.Errorf("a leg whose far end is nowhere shares, error %v", err)
		}
		synctest.Wait()
		far.hear(0)
		late.PlayMusic(count('a', 1))
		first.PlayMusic(count('b', 1))
		second.PlayMusic(count('c', 1))
		time.Sleep(100 * time.Millisecond)
		for i, end := range []*farEnd{lateFar, far, other} {
			if sound := audio(t, end.hear(4)); sound[len(sound)-1] != byte('a'+i) {
				t.Errorf("far end %d hears %q", i, sound[len(sound)-1])
			}
		}
	})
}

func TestSharingFindsNoPort(t *testing.T) {
	e, err := New(config.Media{Address: loopback, Ports: freePorts(t, 1), SharedPorts: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.NewLeg(LegOptions{}); err != nil {
		t.Fatal(err)
	}
	leg, err := e.NewLeg(LegOptions{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leg.Answer(newFarEnd(t).offer(PCMU)); !errors.Is(err, ErrNoPorts) {
		t.Errorf("error %v", err)
	}
	if _, err := leg.Offer(); !errors.Is(err, ErrNoPorts) {
		t.Errorf("error %v", err)
	}
}

// A shared port closes when its last leg has left.
func TestSharedPortsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := sockets(t)
		e := sharingEngine(t, 1, 4)
		var legs []*Leg
		for range portLegs + 1 {
			leg, _ := shared(t, e)
			legs = append(legs, leg)
		}
		if n := e.PortsInUse(); n != 2 {
			t.Errorf("%d legs have %d ports", len(legs), n)
		}
		for _, leg := range legs {
			leg.Close()
		}
		if n, m := e.PortsInUse(), sockets(t)-before-len(legs); n != 0 || m != 0 {
			t.Errorf("%d ports and %d sockets are left", n, m)
		}
		shared(t, e)
	})
}

// A far end that goes where another is, in an offer: our answer names a port of
// the leg's own, and what is under way to the old one is still heard.
func TestOfferThatMovesToAnothersAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sharingEngine(t, 1, 1)
		leg, far := shared(t, e)
		other, otherFar := shared(t, e)
		before := leg.LocalAddr()
		body, err := leg.Answer(otherFar.offer(PCMU))
		if err != nil || leg.LocalAddr() == before || leg.LocalAddr().Port() == 0 || !bytes.Contains(body, []byte("m=audio 2")) {
			t.Fatalf("at %v, was at %v; error %v; %s", leg.LocalAddr(), before, err, body)
		}
		if _, err := leg.Answer(otherFar.offer(PCMU)); err != nil {
			t.Fatal(err)
		}
		was := leg.Stats().PacketsIn
		otherFar.to.set(leg.LocalAddr())
		heard(leg, otherFar)
		if n := leg.Stats().PacketsIn; n != was+1 {
			t.Errorf("%d packets at its own port", n-was)
		}
		if n := other.Stats().PacketsIn; n != 1 {
			t.Errorf("the other has heard %d packets", n)
		}
		far.hear(0)
		leg.Close()
		other.Close()
	})
}

// The same in an answer to our offer cannot be met: it is refused, what was
// agreed stays, and the next offer names a port of the leg's own.
func TestAnswerThatMovesToAnothersAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sharingEngine(t, 1, 1)
		leg, far := shared(t, e)
		_, otherFar := shared(t, e)
		elsewhere := newFarEnd(t)
		before := leg.LocalAddr()
		for _, step := range []struct {
			answer *farEnd
			err    error
			moved  bool
		}{{far, nil, false}, {elsewhere, nil, false}, {otherFar, errTaken, false}, {otherFar, nil, true}} {
			if _, err := leg.Offer(); err != nil {
				t.Fatal(err)
			}
			if err := leg.Accept(step.answer.offer(PCMU)); !errors.Is(err, step.err) || (leg.LocalAddr() != before) != step.moved {
				t.Errorf("at %v, was at %v; error %v", leg.LocalAddr(), before, err)
			}
			if step.err != nil {
				far.hear(0)
				elsewhere.hear(0)
				leg.PlayMusic(count('m', 1))
				time.Sleep(100 * time.Millisecond)
				if sound := audio(t, elsewhere.hear(4)); sound[len(sound)-1] != 'm' {
					t.Error("what was agreed before is no longer in force")
				}
			}
		}
	})
}
