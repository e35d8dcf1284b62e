package media

import (
	"fmt"
	"sync"
)

// taping is a recording under way: a tap on a leg, and the goroutine that
// writes what comes out of it.
type taping struct {
	leg  *Leg
	tap  *tap
	done chan struct{} // the writer is finished
	stop sync.Once
	err  error // valid after done
}

func newTaping(l *Leg) taping {
	return taping{leg: l, tap: newTap(), done: make(chan struct{})}
}

// start puts the tap on the leg and starts the writer, which reads the tap to
// its end. ErrRecording: there is a tap on the leg already.
func (t *taping) start(write func() error) error {
	if !t.leg.engine.addWriter() {
		return ErrClosed
	}
	started := make(chan bool, 1)
	t.leg.do(func(s *stream, _ int64) { started <- s.setTap(t.tap) })
	var err error
	select {
	case ok := <-started:
		if !ok {
			err = ErrRecording
		}
	case <-t.leg.stream.gone:
		err = ErrClosed
	}
	if err != nil {
		t.leg.engine.writers.Done()
		return err
	}
	go func() {
		defer t.leg.engine.writers.Done()
		defer close(t.done)
		defer t.rescue()
		if err := write(); err != nil {
			t.err = fmt.Errorf("media: writing a recording: %w", err)
		}
	}()
	return nil
}

// rescue, deferred, makes a panic of the writer an error of this recording.
func (t *taping) rescue() {
	if r := recover(); r != nil {
		t.leg.engine.panicked("recording", r)
		t.err = fmt.Errorf("media: writing a recording: panic: %v", r)
		t.release()
	}
}

// Dropped tells how many packets could not be recorded because the writer did
// not keep up.
func (t *taping) Dropped() uint64 { return t.tap.dropped.Load() }

// Done is closed when the file is complete: after Close, after the leg's end, or
// when a limit has been reached.
func (t *taping) Done() <-chan struct{} { return t.done }

// Close ends the recording, waits until the file is complete and returns the
// first error of writing it. It may be called more than once, and after the
// leg's end.
func (t *taping) Close() error {
	t.release()
	<-t.done
	return t.err
}

// release has the shard take the tap off; the writer ends when it has.
func (t *taping) release() {
	t.stop.Do(func() {
		t.leg.do(func(s *stream, _ int64) { s.untap(t.tap) })
	})
}
