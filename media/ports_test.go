package media

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
)

func TestPortsAreEvenPairsInsideTheRange(t *testing.T) {
	for _, c := range []struct {
		first, last uint16
		pairs       int
	}{{40000, 40001, 1}, {40001, 40005, 2}, {40000, 40004, 2}, {65534, 65535, 1}, {40001, 40002, 0}, {40000, 40000, 0}, {0, 3, 1}} {
		p, err := newPorts(config.PortRange{First: c.first, Last: c.last})
		if (err != nil) != (c.pairs == 0) {
			t.Errorf("%d-%d: error %v", c.first, c.last, err)
		}
		if err != nil {
			continue
		}
		for range c.pairs {
			if n, err := p.take(); err != nil || n%2 != 0 || n < c.first || n+1 > c.last {
				t.Errorf("%d-%d: port %d, error %v", c.first, c.last, n, err)
			}
		}
		if n, err := p.take(); err != ErrNoPorts {
			t.Errorf("%d-%d: port %d beyond the last pair, error %v", c.first, c.last, n, err)
		}
	}
}

func TestPortsRestBeforeReuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := newPorts(config.PortRange{First: 40000, Last: 40003})
		if err != nil {
			t.Fatal(err)
		}
		first, _ := p.take()
		p.give(first)
		if used, resting, ready := p.counts(); used != 0 || resting != 1 || ready != 1 {
			t.Errorf("%d used, %d resting, %d ready; want 0, 1, 1", used, resting, ready)
		}
		if second, err := p.take(); err != nil || second == first {
			t.Errorf("took %d again at once (%v)", second, err)
		}
		if n, err := p.take(); err != ErrNoPorts {
			t.Errorf("took the resting port %d, error %v", n, err)
		}
		time.Sleep(portRest)
		synctest.Wait()
		if n, err := p.take(); err != nil || n != first {
			t.Errorf("after its rest: port %d, error %v; want %d", n, err, first)
		}
	})
}

// A pair to which a former far end still sends rests once more, but not for ever.
func TestPortsDrainBeforeReuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := newPorts(config.PortRange{First: 40000, Last: 40001})
		if err != nil {
			t.Fatal(err)
		}
		var noise int // how often something will still be heard
		p.quiet = func(uint16) bool { noise--; return noise < 0 }
		for _, c := range []struct{ noise, rests int }{{0, 1}, {2, 3}, {1000, portRests}} {
			noise = c.noise
			first, err := p.take()
			if err != nil {
				t.Fatal(err)
			}
			p.give(first)
			time.Sleep(time.Duration(c.rests)*portRest - time.Second)
			if _, err := p.take(); err != ErrNoPorts {
				t.Errorf("%d times noisy: error %v before its %d rests are over", c.noise, err, c.rests)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if _, resting, ready := p.counts(); resting != 0 || ready != 1 {
				t.Errorf("%d times noisy: %d rest, %d ready after %d rests", c.noise, resting, ready, c.rests)
			}
		}
	})
}

// A pair is heard to be noisy by what comes to either of its ports.
func TestQuietPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(config.Media{Address: loopback, Ports: freePorts(t, 1)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		port := e.ports.free[0]
		if !e.quiet(port) {
			t.Error("a pair is noisy to which nobody sends")
		}
		far := newFarEnd(t)
		for _, to := range []uint16{port, port + 1} {
			far.to.set(netip.AddrPortFrom(loopback, to))
			done, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for {
					select {
					case <-done:
						return
					case <-time.After(time.Millisecond):
						_ = send(far.fd, rtpOf(1), &far.to) // refused while nobody is there
					}
				}
			}()
			if e.quiet(port) {
				t.Errorf("a pair is quiet though something comes to port %d of it", to)
			}
			close(done)
			<-ended
		}
	})
}
