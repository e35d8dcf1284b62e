package sip

import (
	"runtime"
	"testing"
	"testing/synctest"
)

func TestCrewKeepsSomeOfItsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		defer c.close()
		gate := make(chan struct{})
		ran := 0
		for range 10 * maxWaiting {
			c.run(func() { <-gate })
		}
		close(gate)
		synctest.Wait()
		for range 100 {
			c.run(func() { ran++ })
			synctest.Wait()
		}
		if ran != 100 {
			t.Errorf("%d of 100 ran", ran)
		}
		if c.waiting != maxWaiting {
			t.Errorf("%d goroutines stayed, not %d", c.waiting, maxWaiting)
		}
	})
}

func TestCrewReplacesWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		for range 2 * maxWaiting {
			c.run(runtime.Goexit)
			synctest.Wait()
		}
		ran := false
		c.run(func() { ran = true })
		c.close()
		c.close() // does nothing
		if !ran {
			t.Error("nobody ran it")
		}
	})
}

func TestClosedCrewWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		gate, closed := make(chan struct{}), make(chan struct{})
		c.run(func() { <-gate })
		go func() {
			c.close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed before all had ended")
		default:
		}
		close(gate)
		<-closed
	})
}
