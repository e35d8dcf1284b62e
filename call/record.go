package call

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
)

// Recordings is where what callers say is kept.
type Recordings interface {
	// Create begins a recording of a call under a name, which need not be the
	// only one of that name. The id is what it will be kept as.
	Create(call, name string, at time.Time) (tape Tape, id string, err error)
}

// Tape is a recording being made. Nothing of it is kept before Keep.
type Tape interface {
	io.Writer

	// Keep ends the recording; once it returns without error, the recording
	// outlasts the machine's failure. It gives the size of what is kept.
	Keep() (bytes int64, err error)

	// Discard ends the recording and leaves nothing of it. After Keep it does
	// nothing.
	Discard()
}

// Record implements ivr.Phone. Errors that are the call's end are Terminations.
func (c *inbound) Record(ctx context.Context, o ivr.RecordOptions) (ivr.Recording, error) {
	c.Silence()
	if c.Full() { // the little room that is left is for what happens to calls
		return ivr.Recording{}, c.cannotRecord(event.ErrFull, nil)
	}
	tape, id, err := c.Recordings.Create(c.id, o.Name, time.Now())
	if err != nil {
		return ivr.Recording{}, c.cannotRecord(err, nil)
	}
	defer tape.Discard()
	voice, err := c.media.RecordVoice(tape, media.VoiceOptions{Max: o.Max, Silence: o.Silence})
	if err != nil {
		return ivr.Recording{}, c.cannotRecord(err, nil)
	}
	over := c.hearOut(ctx, voice, o.Finish)
	if err := voice.Close(); err != nil {
		return ivr.Recording{}, c.cannotRecord(err, over)
	}
	if voice.Speech() < o.Min {
		return ivr.Recording{}, over
	}
	bytes, err := tape.Keep()
	if err != nil {
		return ivr.Recording{}, c.cannotRecord(err, over)
	}
	made := ivr.Recording{ID: id, Name: o.Name, Length: voice.Length()}
	c.Events.Emit(c.id, event.RecordingMade{Recording: id, Name: o.Name, Length: made.Length, Bytes: bytes})
	c.log.Info("recorded", "recording", id, "length", made.Length.Round(time.Second), "dropped", voice.Dropped())
	return made, over
}

// fullEvery is how often a recording being made looks whether there is room.
const fullEvery = time.Second

// hearOut waits until a recording is over: by itself, by a key, or as the disk is
// full, on which it would take the room that was set aside for facts; or else with
// the call, whose end it gives.
func (c *inbound) hearOut(ctx context.Context, voice *media.Voice, finish string) error {
	look := time.NewTicker(fullEvery)
	defer look.Stop()
	for {
		select {
		case <-voice.Done():
			return nil
		case <-look.C:
			if c.Full() {
				c.log.Warn("a recording is ended: the event log has no room, or cannot be written")
				return nil
			}
		case <-c.leg.Done():
			return c.hungUp(LeftFlow)
		case <-ctx.Done():
			return Drained
		case info := <-c.leg.Infos():
			press(c.media, info)
		case e := <-c.media.Events():
			switch e := e.(type) {
			case media.Key:
				if strings.ContainsRune(finish, e.Key) {
					return nil
				}
			case media.Lost:
				return MediaLost
			case media.Quiet:
				c.leg.Probe()
			}
		}
	}
}

// cannotRecord tells of a fault of the place where recordings are kept. What
// ends the flow is the call's own end, if it has one.
func (c *inbound) cannotRecord(err, over error) error {
	c.log.Error("a recording cannot be kept", "error", err)
	if over != nil {
		return over
	}
	return fmt.Errorf("%w: %w", ivr.ErrCannotRecord, err)
}
