package media

import (
	"io"
	"time"
)

// VoiceOptions say what ends a voice recording; zero is no limit.
type VoiceOptions struct {
	Max     time.Duration // of the recording
	Silence time.Duration // without speech, also before the first
}

// VoiceEnd is what ended a voice recording.
type VoiceEnd int

// The ends of a voice recording.
const (
	VoiceStopped VoiceEnd = iota // Close, the leg's end, or an error of writing
	VoiceSilent                  // nothing was said for VoiceOptions.Silence
	VoiceFull                    // it has VoiceOptions.Max
)

// Voice is what a leg's far end says being written as a message: mono, and
// without the keys it presses. The file is a Sun AU file in µ-law, as
// everything else here is 8 kHz µ-law too and an AU header may leave the length
// open: the file is right without going back to its beginning, which nobody can
// where it is sealed on the way. Each packet lies where its timestamp puts it;
// what was lost, and the time when nothing was sent, is silent.
type Voice struct {
	taping
	writer *voiceWriter // its goroutine's until done
}

// RecordVoice writes what the far end says to file until a limit of o is
// reached, the recording is closed or the leg ends. Writing waits for nobody on
// the beat: what the file is too slow for is dropped and counted.
// ErrRecording: the leg is being recorded already.
func (l *Leg) RecordVoice(file io.Writer, o VoiceOptions) (*Voice, error) {
	v := &Voice{taping: newTaping(l), writer: newVoiceWriter(file, o)}
	v.tap.voice = true
	if err := v.start(v.write); err != nil {
		return nil, err
	}
	return v, nil
}

// write is the recording's goroutine.
func (v *Voice) write() error {
	for {
		<-v.tap.ready
		goes := v.tap.read(v.writer.place)
		if !goes {
			return v.writer.finish()
		}
		if v.writer.ended {
			v.release() // goes on until the shard has let go of the tap
		}
	}
}

// Length is how long the recording is; valid after Done.
func (v *Voice) Length() time.Duration { return time.Duration(v.writer.written) * sampleTime }

// Speech is how much of it was speech; valid after Done.
func (v *Voice) Speech() time.Duration { return time.Duration(v.writer.speech.frames) * frameTime }

// End is what ended the recording; valid after Done.
func (v *Voice) End() VoiceEnd { return v.writer.end }
