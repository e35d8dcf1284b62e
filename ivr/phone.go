package ivr

import (
	"context"
	"errors"
	"time"
)

// Phone is the caller's ear and keypad, as a flow sees them. Its methods are
// called from one goroutine.
type Phone interface {
	// Play begins to speak the prompts one after the other, without a gap, in
	// place of whatever is being spoken, and returns at once; Finished comes
	// when all has been heard. A prompt the phone does not have is passed
	// over. A flow never plays nothing.
	Play(prompts ...Prompt)

	// Silence stops what is being spoken. No Finished comes of it afterwards.
	Silence()

	// Next waits for what the caller does next, in order, and for no longer
	// than within. A negative time is no limit; with zero it gives what is
	// there already, or else TimedOut at once. When the caller hangs up or ctx
	// ends it returns promptly with an error, which ends the flow.
	Next(ctx context.Context, within time.Duration) (Signal, error)

	// Record keeps what the caller says from now on, until a limit of o ends
	// it, a key does, or he hangs up. What he said until then is kept in any
	// case; the error is then as of Next. ErrCannotRecord: nothing is kept, but
	// the call goes on. Keys that end nothing are not heard, and none is in the
	// recording.
	Record(ctx context.Context, o RecordOptions) (Recording, error)
}

// ErrCannotRecord says that what a caller says cannot be kept, a full disk
// being the usual cause.
var ErrCannotRecord = errors.New("what the caller says cannot be kept")

// RecordOptions say what is recorded, and what ends it.
type RecordOptions struct {
	Name    string        // which one of the call this is
	Min     time.Duration // with less speech than this, nothing is kept
	Max     time.Duration // ends it
	Silence time.Duration // so long without speech ends it
	Finish  string        // each of these keys ends it
}

// Recording is something that a caller said.
type Recording struct {
	ID     string // where it is kept; empty if nothing is
	Name   string
	Length time.Duration
}

// Signal is one thing that came from a phone.
type Signal struct {
	Kind SignalKind
	Key  rune // for KeyDown and Key: '0' to '9', '*', '#'; others are ignored
}

// SignalKind is a kind of Signal.
type SignalKind int

// What can come from a phone.
const (
	TimedOut SignalKind = iota // nothing, for as long as was asked
	Finished                   // the latest Play has been heard to its end
	KeyDown                    // a key is being pressed: stops a prompt
	Key                        // it has been let go: is collected. May come without a KeyDown (SIP INFO)
)
