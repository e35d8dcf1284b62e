package media

import "time"

// Event is something a leg has to tell: one of the types below.
type Event interface{ event() }

// KeyDown is the beginning of a key press: the moment to stop a prompt.
type KeyDown struct {
	Key rune // 0-9, *, #, A-D
}

// Key is a key press complete: the moment to collect it. Each press gives one
// KeyDown and then one Key, however many of its packets are lost or repeated.
type Key struct {
	Key    rune
	Length time.Duration // as far as it was heard
}

// PlayID names one call of Play on a leg, from 1.
type PlayID uint64

// PlayDone says that what Play was given has been played to its end. What is
// interrupted has none.
type PlayDone struct {
	Play PlayID // what that call of Play returned
}

// Lost says that no RTP has come for the configured time from a far end that
// is not on hold. It is said once; should RTP come back, it may be said again.
// It is also said when serving the leg has panicked; then the leg is closed.
type Lost struct{}

// Quiet is Lost's counterpart while either direction is on hold, where silence
// is allowed: no RTP has come for the configured time. It is said again after
// each such time, so that the far end can be asked whether it is still there.
type Quiet struct{}

// Held says that the far end no longer wants to hear us. Playing pauses.
type Held struct{}

// Resumed ends Held.
type Resumed struct{}

// Recoded says that another codec has been agreed on than before (Leg.Codec).
type Recoded struct{}

func (KeyDown) event()  {}
func (Key) event()      {}
func (PlayDone) event() {}
func (Lost) event()     {}
func (Quiet) event()    {}
func (Held) event()     {}
func (Resumed) event()  {}
func (Recoded) event()  {}
