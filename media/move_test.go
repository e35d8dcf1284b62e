package media

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// on tells whether a leg has got to a shard.
func on(leg *Leg, s *shard) bool { return leg.stream.home.Load() == s }

// Legs of two shards are bridged and talk, whatever ports they have; before and
// after that they hear music. No packet is lost on the way, and the far end sees
// one stream without a hole.
func TestLegsMoveInMidTalk(t *testing.T) {
	for name, c := range map[string]struct {
		a, b LegOptions
		at   int // the shard they end up on
	}{
		"own and own":       {LegOptions{}, LegOptions{}, 0},
		"shared and own":    {LegOptions{Shared: true}, LegOptions{}, 0},
		"own and shared":    {LegOptions{}, LegOptions{Shared: true}, 1},
		"shared and shared": {LegOptions{Shared: true}, LegOptions{Shared: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := sharingEngine(t, 2, 1)
				a, farA := call(t, e, PCMU, c.a)
				b, farB := call(t, e, PCMU, c.b)
				synctest.Wait()
				if !on(a, e.shards[0]) || !on(b, e.shards[1]) {
					t.Fatal("both legs are on one shard")
				}
				talk := func(packets int) {
					for range packets {
						farA.say(PCMU, bytes.Repeat([]byte{'A'}, frameSize))
						farB.say(PCMU, bytes.Repeat([]byte{'B'}, frameSize))
						time.Sleep(frameTime)
					}
				}
				a.PlayMusic(count('m', 1))
				b.PlayMusic(count('m', 1))
				talk(10)
				for range 3 {
					if err := a.Bridge(b); err != nil {
						t.Fatal(err)
					}
					talk(20)
					a.PlayMusic(count('m', 1))
					b.PlayMusic(count('m', 1))
					talk(5)
					back := e.shards[1-c.at]
					e.mu.Lock()
					if c.at == 0 {
						b.move(back)
					} else {
						a.move(back)
					}
					e.mu.Unlock()
					talk(7)
					for _, leg := range []*Leg{a, b} {
						idle := make(chan bool, 1)
						leg.do(func(s *stream, _ int64) { idle <- s.detour != nil && s.seat.port.shard == s.shard })
						if <-idle {
							t.Error("a leg that is back where its port is has kept its detour")
						}
					}
				}
				if err := a.Bridge(b); err != nil {
					t.Fatal(err)
				}
				talk(20)
				time.Sleep(2 * frameTime)
				synctest.Wait()
				if at := e.shards[c.at]; !on(a, at) || !on(b, at) {
					t.Errorf("the legs are not on shard %d", c.at)
				}
				const said = 10 + 3*(20+5+7) + 20
				for i, leg := range []*Leg{a, b} {
					if s := leg.Stats(); s.PacketsIn != said || s.Missing != 0 || s.Strangers != 0 {
						t.Errorf("leg %d: %+v, want %d packets in", i, s, said)
					}
				}
				for i, far := range []*farEnd{farA, farB} {
					heard := far.hear(said - 8)
					sound := audio(t, heard)
					if n := bytes.Count(sound, []byte{"BA"[i]}); n < 4*(20-2)*frameSize { // at each bridge one may miss it, one is blended
						t.Errorf("far end %d hears %d packets of its peer", i, n/frameSize)
					}
					for n := 1; n < len(heard); n++ {
						step, music := heard[n].timestamp-heard[n-1].timestamp, heard[n].payload()[blend] == 'm' && heard[n-1].payload()[blend] == 'm'
						if music && step != uint32(frameSize) {
							t.Errorf("far end %d: music leaps by %d samples at packet %d", i, step, n)
						}
					}
				}
			})
		})
	}
}

// Whatever is asked of legs that are on the move is done, in order, and nothing
// is left of them in the end.
func TestLegsAreAskedOnTheMove(t *testing.T) {
	before := sockets(t)
	e := sharingEngine(t, 3, 2)
	var legs []*Leg
	for i := range 12 {
		leg, far := call(t, e, PCMU, LegOptions{Shared: i%2 == 0})
		far.say(PCMU, make([]byte, frameSize))
		legs = append(legs, leg)
	}
	var wg sync.WaitGroup
	for i, leg := range legs {
		wg.Go(func() {
			for n := range 200 {
				_ = leg.Bridge(legs[(i+n+1)%len(legs)])
				leg.Play(Tone(0, time.Second))
				_ = leg.Stats()
				if n == 100+i {
					leg.Close()
				}
			}
		})
	}
	wg.Wait()
	for _, leg := range legs {
		leg.Close()
	}
	for i, s := range e.shards {
		if n := s.load.Load(); n != 0 {
			t.Errorf("shard %d counts %d legs", i, n)
		}
		idle := make(chan bool)
		s.do(func(int64) { idle <- s.idle() && len(s.arriving)+len(s.ports) == 0 })
		if !<-idle {
			t.Errorf("shard %d is not empty: %d on their way, %d ports", i, len(s.arriving), len(s.ports))
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if n := sockets(t) - before - len(legs); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

// An engine that closes while legs move ends them all.
func TestEngineClosesWhileLegsMove(t *testing.T) {
	for range 20 {
		e := sharingEngine(t, 3, 2)
		var legs []*Leg
		for i := range 6 {
			leg, _ := call(t, e, PCMU, LegOptions{Shared: i%2 == 0})
			legs = append(legs, leg)
		}
		var wg sync.WaitGroup
		for i, leg := range legs {
			wg.Go(func() {
				for leg.Bridge(legs[(i+1)%len(legs)]) == nil {
				}
			})
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for _, leg := range legs {
			<-leg.Done()
		}
		if n := e.PortsInUse(); n != 0 {
			t.Fatalf("%d ports in use", n)
		}
	}
}
