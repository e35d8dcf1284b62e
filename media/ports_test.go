package media

import (
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
		if n, err := p.take(); err != nil || n != first {
			t.Errorf("after its rest: port %d, error %v; want %d", n, err, first)
		}
	})
}
