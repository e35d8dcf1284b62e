package sip

import "time"

// Goroutines and timers: Close waits for them, and a panic in one ends it alone.

// spawn runs f in a goroutine that Close waits for, and reports false if the
// server is closed.
func (s *Server) spawn(f func()) bool {
	if !s.enter() {
		return false
	}
	s.crew.run(func() {
		defer s.wg.Done()
		defer s.recovered("goroutine", nil)
		f()
	})
	return true
}

// after runs f after d, unless the server is closed by then. Close waits for an
// f that is running.
func (s *Server) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		if !s.enter() {
			return
		}
		defer s.wg.Done()
		defer s.recovered("timer", nil)
		f()
	})
}

// enter has Close wait for a call of s.wg.Done, and reports false if the server
// is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.wg.Add(1)
	}
	return !s.closed
}

// recovered, deferred, catches a panic: sipgo and the runtime would let it end
// the process. It is counted and logged, and then ends what it struck.
func (s *Server) recovered(where string, end func()) {
	if r := recover(); r != nil {
		s.panicked(where, r)
		if end != nil {
			end()
		}
	}
}

// panicked counts and logs a panic that was caught.
func (s *Server) panicked(where string, r any) {
	s.metrics.panics.Inc()
	s.log.Error("panic caught", "in", where, "panic", r, "stack", stack())
}
