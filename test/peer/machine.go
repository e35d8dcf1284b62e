package peer

import "time"

// Standstills begins to look whether the machine stands still, and stop tells for how
// long it has. The work of a test does not keep this process from its turn for a tenth of
// a second.
func Standstills() (stop func() time.Duration) {
	const every, still = 10 * time.Millisecond, 100 * time.Millisecond
	over, told := make(chan struct{}), make(chan time.Duration)
	go func() {
		var stood time.Duration
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-over:
				told <- stood
				return
			case <-tick.C:
			}
			now := time.Now()
			if late := now.Sub(last) - every; late > still {
				stood += late
			}
			last = now
		}
	}()
	return func() time.Duration {
		close(over)
		return <-told
	}
}
