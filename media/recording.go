package media

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
)

// Recording is a leg being written to a WAV file: 16-bit stereo at 8 kHz, on
// the left what the far end says (what `bugle call` hears), on the right what
// it is sent. Each packet lies where its timestamp puts it, so that jitter on
// the way is not in the file; what was lost is silent, and so are keys while
// they are hidden (Leg.HideKeys). The two sides lie within 30 ms of how they
// were heard here, 60 while somebody speaks without pause, however long the call
// and whatever the far end's clock.
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
	// stereoSettle is how many packets a stream's place may be corrected by what
	// follows, with all that has been placed before: half of stereoLag.
	stereoSettle = 12
	// stereoWatch is after how many packets a stream's place is looked at: five
	// seconds, in which at least one has come without delay.
	stereoWatch = 250
	// stereoOff is how far a stream may lie beside our clock: 30 ms, since packets
	// are taken by turns of 20.
	stereoOff = int64(frameSize * 3 / 2)
	// stereoHush is the sample below which nothing is said.
	stereoHush = 200
	// stereoPause is how many such packets make a pause, in which one may be left
	// out or put in.
	stereoPause = 3
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
	key    muted    // on the left

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

	packets int   // since it was placed
	best    int64 // how early the earliest packet came since it was looked at last
	off     int64 // what that was then
	hushed  int   // packets in a row in which nothing was said
}

// early tells by how much a stream is to be placed earlier, given how long before
// its place a packet came; less than nothing is later. At first that is known by
// any packet that comes before its place: the first was late. Then it is looked
// at every five seconds, for the far end's clock, and done where nothing is said
// or when it is twice what it may be.
func (t *track) early(lead int64, silent bool) (by int64) {
	t.best = max(t.best, lead)
	if t.hushed++; !silent {
		t.hushed = 0
	}
	if t.packets++; t.packets <= stereoSettle {
		return max(0, lead)
	}
	if t.packets%stereoWatch == 0 {
		t.off, t.best = t.best, math.MinInt64
	}
	if off := max(t.off, -t.off); off > 2*stereoOff || off > stereoOff && t.hushed > stereoPause {
		by, t.off = t.off, 0
	}
	return by
}

// muted is where a key sounded, which nobody is to hear.
type muted struct{ from, to int64 }

// set gives the place of a key, which may have leaked before.
func (m *muted) set(position, size int64) { m.from, m.to = position-keyLeak, position+size }

// covers tells whether a position is muted.
func (m *muted) covers(p int64) bool { return p >= m.from && p < m.to }

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
	if f.side == keyed {
		w.key.set(w.tracks[received].find(f, now-int64(f.size)), int64(f.size))
		for p := max(w.key.from, w.written); p < min(w.key.to, w.written+stereoWindow); p++ {
			w.window[p%stereoWindow][received] = 0
		}
		return
	}
	track := &w.tracks[f.side]
	position := track.locate(f, now)
	var pcm [tapFrameSize]int16
	decode(pcm[:f.size], f.audio[:f.size], f.codec)
	if by := track.early(position-now, loudest(pcm[:f.size]) < stereoHush); by != 0 {
		position, now = w.replace(f.side, position, now, by)
	}
	w.newest = max(w.newest, position+int64(f.size), now)
	w.flush(w.newest - stereoLag)
	for i, sample := range pcm[:f.size] {
		p := position + int64(i)
		if p >= w.written && p < w.written+stereoWindow && (f.side == sent || !w.key.covers(p)) {
			w.window[p%stereoWindow][f.side] = sample
		}
	}
}

// replace moves a side to a place that is earlier by so many samples, and gives
// the new positions of its packet and of our clock. At the file's beginning the
// other side is moved instead, so that nothing is cut off.
func (w *stereoWriter) replace(s side, position, now, by int64) (int64, int64) {
	track := &w.tracks[s]
	switch {
	case track.packets > stereoSettle: // what has been placed lay right
	case w.written > 0:
		for p := w.written; p < w.newest; p++ {
			w.window[p%stereoWindow][s] = w.sample(p+by, s)
		}
	case w.newest+by < stereoLag:
		other := 1 - s
		w.start -= by
		w.newest += by
		w.tracks[other].position += by
		if other == received {
			w.key.from, w.key.to = w.key.from+by, w.key.to+by
		}
		for p := w.newest - 1; p >= 0; p-- {
			w.window[p%stereoWindow][other] = w.sample(p-by, other)
		}
		return position, now + by
	}
	track.position -= by
	return position - by, now
}

// sample gives a sample of the window; 0 beyond it.
func (w *stereoWriter) sample(p int64, s side) int16 {
	if p < w.written || p >= w.newest {
		return 0
	}
	return w.window[p%stereoWindow][s]
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
	*t = track{begun: true, ssrc: f.ssrc, timestamp: f.timestamp, position: now, best: math.MinInt64}
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
