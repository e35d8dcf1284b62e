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
			if n, _, err := p.take(); err != nil || n%2 != 0 || n < c.first || n+1 > c.last {
				t.Errorf("%d-%d: port %d, error %v", c.first, c.last, n, err)
			}
		}
		if n, _, err := p.take(); err != ErrNoPorts {
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
		first, _, _ := p.take()
		p.give(first)
		if used, resting, ready := p.counts(); used != 0 || resting != 1 || ready != 1 {
			t.Errorf("%d used, %d resting, %d ready; want 0, 1, 1", used, resting, ready)
		}
		if second, _, err := p.take(); err != nil || second == first {
			t.Errorf("took %d again at once (%v)", second, err)
		}
		if n, _, err := p.take(); err != ErrNoPorts {
			t.Errorf("took the resting port %d, error %v", n, err)
		}
		time.Sleep(portRest)
		if n, _, err := p.take(); err != nil || n != first {
			t.Errorf("after its rest: port %d, error %v; want %d", n, err, first)
		}
	})
}

// A pair to which a former far end still sends rests once more; one used for the
// first time is not listened to.
func TestPortsDrainBeforeReuse(t *testing.T) {
	e, err := New(config.Media{Address: loopback, Ports: freePorts(t, 2)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	far := newFarEnd(t)
	noisy := e.ports.free[0].number
	e.ports.free[0].rested = time.Now()
	far.to.set(netip.AddrPortFrom(loopback, noisy))
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
	defer func() { close(done); <-ended }()
	sockets, port, err := e.bind(rtpBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer sockets.close()
	if _, resting, ready := e.ports.counts(); port == noisy || resting != 1 || ready != 0 {
		t.Errorf("bound port %d, which is still sent to: %v; %d pairs rest, %d are ready", port, port == noisy, resting, ready)
	}
	e.ports.free[0].rested = time.Now()
	if _, _, err := e.bind(rtpBuffer); err != ErrNoPorts {
		t.Errorf("error %v, want %v", err, ErrNoPorts)
	}
}
