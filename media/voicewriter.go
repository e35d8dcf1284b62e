package media

import (
	"bufio"
	"io"
	"time"
)

const (
	// voiceWindow is how much of the end of a voice recording is kept open for
	// packets that come late, in samples.
	voiceWindow = stereoWindow
	// voiceLag is how far behind the clock the file is written: more than
	// packets are late, and less than a caller minds at the end of a silence.
	voiceLag = sampleRate / 4
	// keyLeak is how much of a key's tone a gateway lets through before it has
	// recognised it and sends the event in its place.
	keyLeak = int64(40 * time.Millisecond / sampleTime)
)

// voiceWriter lays the packets of one direction on a time line, writes it in
// µ-law, and listens for the end of what is said.
type voiceWriter struct {
	out          *bufio.Writer
	max, silence int64 // in samples; 0: no limit

	start int64 // the engine's clock at the first sample
	begun bool
	track track

	window  [voiceWindow]byte // samples not yet written; position p is at p % voiceWindow
	written int64             // position of the first of them
	newest  int64             // end of the recording so far
	key     muted

	frame  [frameSize]byte // the next to be listened to, filled by what is written
	speech speech

	ended bool // nothing more is written
	end   VoiceEnd
	err   error
}

func newVoiceWriter(file io.Writer, o VoiceOptions) *voiceWriter {
	w := &voiceWriter{out: bufio.NewWriter(file), max: int64(o.Max / sampleTime), silence: int64(o.Silence / sampleTime)}
	for i := range w.window {
		w.window[i] = PCMU.silence()
	}
	_ = writeAUHeader(w.out) // an error stays in out
	return w
}

// place takes what the tap gives: audio, a key, or the time alone.
func (w *voiceWriter) place(f *tapFrame) {
	if w.ended {
		return
	}
	if !w.begun {
		w.start, w.begun = f.clock, true
	}
	now := f.clock - w.start
	switch f.side {
	case received:
		position := w.track.locate(f, now)
		w.newest = max(w.newest, position+int64(f.size))
		w.flush(w.newest - stereoLag) // a sender ahead of our clock
		w.put(position, f)
	case keyed:
		w.mute(w.track.find(f, now-int64(f.size)), int64(f.size))
	}
	w.newest = max(w.newest, now)
	w.flush(now - voiceLag)
}

// put lays audio into the window, except where a key is.
func (w *voiceWriter) put(position int64, f *tapFrame) {
	audio := f.audio[:f.size]
	translate(audio, f.codec, PCMU)
	for i, b := range audio {
		p := position + int64(i)
		if p >= w.written && p < w.written+voiceWindow && !w.key.covers(p) {
			w.window[p%voiceWindow] = b
		}
	}
}

// mute takes out what sounded with a key, and keeps it out.
func (w *voiceWriter) mute(position, size int64) {
	w.key.set(position, size)
	for p := max(w.key.from, w.written); p < min(w.key.to, w.written+voiceWindow); p++ {
		w.window[p%voiceWindow] = PCMU.silence()
	}
}

// flush writes the time line up to a position, or to where a limit ends it.
func (w *voiceWriter) flush(to int64) {
	for ; w.written < to && !w.ended; w.written++ {
		b := &w.window[w.written%voiceWindow]
		w.frame[w.written%int64(frameSize)] = *b
		if w.err = w.out.WriteByte(*b); w.err != nil {
			w.ended = true
			return
		}
		*b = PCMU.silence()
		if (w.written+1)%int64(frameSize) == 0 {
			w.speech.listen(w.frame[:])
		}
		switch {
		case w.max > 0 && w.written+1 >= w.max:
			w.ended, w.end = true, VoiceFull
		case w.silence > 0 && int64(w.speech.quiet*frameSize) >= w.silence:
			w.ended, w.end = true, VoiceSilent
		}
	}
}

// finish writes the rest.
func (w *voiceWriter) finish() error {
	w.flush(w.newest)
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}
