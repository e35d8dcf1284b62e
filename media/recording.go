package media

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Recording is a leg being written to a WAV file: 16-bit stereo at 8 kHz, on
// the left what the far end says (what `bugle call` hears), on the right what
// it is sent. Each packet lies where its timestamp puts it, so that jitter on
// the way is not in the file; what was lost is silent.
type Recording struct {
	taping
}

// write is the recording's goroutine.
func (r *Recording) write(file io.WriteSeeker) error {
	w := newStereoWriter(file)
	for {
		<-r.tap.ready
		if !r.tap.read(w.place) {
			return w.finish()
		}
	}
}

const (
	// stereoWindow is how much of the end of a recording is kept open for
	// packets that come late, in samples of one channel: a second.
	stereoWindow = sampleRate
	// stereoLag is how far behind the newest packet the file is written.
	stereoLag = stereoWindow / 2
	// stereoDrift is how far a stream's timestamps may lead or trail our clock
	// before the stream is placed anew.
	stereoDrift = 2 * stereoWindow / 5
)

// stereoWriter lays the packets of both directions on one time line.
type stereoWriter struct {
	file   io.WriteSeeker
	out    *bufio.Writer
	start  int64 // the engine's clock at the file's first sample
	begun  bool
	tracks [2]track // by side

	window  [stereoWindow][2]int16 // samples not yet written; position p is at p % stereoWindow
	written int64                  // position of the first of them
	newest  int64                  // end of the recording so far
}

// track says where on the time line a stream's timestamps lie.
type track struct {
	begun     bool
	ssrc      uint32
	timestamp uint32 // at
	position  int64  // this position
}

func newStereoWriter(file io.WriteSeeker) *stereoWriter {
	w := &stereoWriter{file: file, out: bufio.NewWriter(file)}
	_ = writeHeader(w.out, 2, 0) // an error stays in out until Flush
	return w
}

// place puts a frame on the time line.
func (w *stereoWriter) place(f *tapFrame) {
	if !w.begun {
		w.start, w.begun = f.clock, true
	}
	now := f.clock - w.start
	position := w.tracks[f.side].locate(f, now)
	w.newest = max(w.newest, position+int64(f.size), now)
	w.flush(w.newest - stereoLag)
	var pcm [tapFrameSize]int16
	decode(pcm[:f.size], f.audio[:f.size], f.codec)
	for i, sample := range pcm[:f.size] {
		if p := position + int64(i); p >= w.written && p < w.written+stereoWindow {
			w.window[p%stereoWindow][f.side] = sample
		}
	}
}

// locate gives the position of a frame's first sample, and places the stream
// anew where that has gone astray.
func (t *track) locate(f *tapFrame, now int64) int64 {
	if t.begun && t.ssrc == f.ssrc {
		position := t.position + int64(int32(f.timestamp-t.timestamp))
		if position > now-stereoDrift && position < now+stereoDrift {
			t.timestamp, t.position = f.timestamp, position
			return position
		}
	}
	*t = track{begun: true, ssrc: f.ssrc, timestamp: f.timestamp, position: now}
	return now
}

// find gives the position of something on the stream's time line that is not
// audio; as good as none if the stream is another.
func (t *track) find(f *tapFrame, otherwise int64) int64 {
	if t.begun && t.ssrc == f.ssrc {
		return t.position + int64(int32(f.timestamp-t.timestamp))
	}
	return otherwise
}

// flush writes the time line up to a position.
func (w *stereoWriter) flush(to int64) {
	var sample [4]byte
	for ; w.written < to; w.written++ {
		s := &w.window[w.written%stereoWindow]
		binary.LittleEndian.PutUint16(sample[0:], uint16(s[0]))
		binary.LittleEndian.PutUint16(sample[2:], uint16(s[1]))
		*s = [2]int16{}
		_, _ = w.out.Write(sample[:]) // an error stays in out until Flush
	}
}

// finish writes the rest and then, knowing its length, the header again.
func (w *stereoWriter) finish() error {
	w.flush(w.newest)
	if err := w.out.Flush(); err != nil {
		return err
	}
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := writeHeader(w.file, 2, w.written*4); err != nil {
		return err
	}
	_, err := w.file.Seek(0, io.SeekEnd)
	return err
}

// writeHeader writes a WAV header for so many bytes of 16-bit samples.
func writeHeader(to io.Writer, channels uint16, size int64) error {
	const rest = 36 // bytes of the header after the first size
	h := make([]byte, 0, rest+8)
	h = append(h, "RIFF"...)
	h = binary.LittleEndian.AppendUint32(h, uint32(size+rest))
	h = append(h, "WAVEfmt "...)
	h = binary.LittleEndian.AppendUint32(h, 16)
	h = binary.LittleEndian.AppendUint16(h, wavPCM)
	h = binary.LittleEndian.AppendUint16(h, channels)
	h = binary.LittleEndian.AppendUint32(h, sampleRate)
	h = binary.LittleEndian.AppendUint32(h, sampleRate*2*uint32(channels))
	h = binary.LittleEndian.AppendUint16(h, 2*channels)
	h = binary.LittleEndian.AppendUint16(h, 16)
	h = append(h, "data"...)
	h = binary.LittleEndian.AppendUint32(h, uint32(size))
	_, err := to.Write(h)
	return err
}
