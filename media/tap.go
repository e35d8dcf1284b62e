package media

import "sync/atomic"

// side is a direction of a leg's audio, or what else a tap tells.
type side uint8

const (
	received side = iota // from the far end
	sent                 // to the far end
	keyed                // a key of the far end's, of so many samples by now
	passed               // nothing; the time goes on
)

const (
	tapFrames    = 256           // 2.5 s of both directions
	tapFrameSize = 2 * frameSize // longer payloads are cut into several
)

// tap carries a leg's audio off the beat to one reader: a ring of frames that
// never makes the shard wait. When the reader lags behind, audio is dropped and
// counted; that a key is to be kept out is told as soon as there is room.
type tap struct {
	frames  [tapFrames]tapFrame
	head    atomic.Uint64 // frames ever written; moved by the shard
	tail    atomic.Uint64 // frames ever read; moved by the reader
	dropped atomic.Uint64
	closed  atomic.Bool
	owed    tapFrame      // a key for which there was no room; the shard's until closed
	owes    bool          // there is one
	voice   bool          // wants what is received, all keys, and the time; else both directions
	ready   chan struct{} // holds a token when there may be something new
}

// tapFrame is a piece of audio in its codec.
type tapFrame struct {
	side      side
	codec     Codec
	ssrc      uint32
	timestamp uint32
	clock     int64 // the engine's, in samples, when it came or went
	size      int
	audio     [tapFrameSize]byte
}

func newTap() *tap {
	return &tap{ready: make(chan struct{}, 1)}
}

// put writes a packet's audio, by the shard.
func (t *tap) put(s side, c Codec, ssrc, timestamp uint32, clock int64, audio []byte) {
	if t.voice && s != received {
		return
	}
	for len(audio) > 0 {
		f := t.slot()
		if f == nil {
			t.dropped.Add(1)
			return
		}
		f.side, f.codec, f.ssrc, f.timestamp, f.clock = s, c, ssrc, timestamp, clock
		f.size = copy(f.audio[:], audio)
		audio = audio[f.size:]
		timestamp += uint32(f.size)
		t.head.Add(1)
	}
	t.signal()
}

// note writes what is no audio, by the shard: a key that is not to be heard in
// what is written, or that time goes on.
func (t *tap) note(s side, ssrc, timestamp uint32, clock int64, size int) {
	if s == passed && !t.voice {
		return
	}
	f := t.slot()
	if f == nil {
		if s == keyed {
			t.owe(ssrc, timestamp, clock, size)
		}
		return
	}
	f.side, f.ssrc, f.timestamp, f.clock, f.size = s, ssrc, timestamp, clock, size
	t.head.Add(1)
	t.signal()
}

// slot gives the next frame to write, nil if the ring is full: after what is owed,
// so that the audio before a key is followed by the key.
func (t *tap) slot() *tapFrame {
	free := tapFrames - (t.head.Load() - t.tail.Load())
	if t.owes && free > 0 {
		t.frames[t.head.Load()%tapFrames] = t.owed
		t.owes = false
		t.head.Add(1)
		free--
	}
	if free == 0 {
		return nil
	}
	return &t.frames[t.head.Load()%tapFrames]
}

// owe remembers a key for which there is no room, together with those of the same
// stream that are remembered already: what is between them isn't in the ring.
func (t *tap) owe(ssrc, timestamp uint32, clock int64, size int) {
	o := &t.owed
	switch {
	case !t.owes:
		t.owes = true
		o.side, o.ssrc, o.timestamp, o.clock, o.size = keyed, ssrc, timestamp, clock, size
	case ssrc == o.ssrc:
		end := later(o.timestamp+uint32(o.size), timestamp+uint32(size))
		if int32(timestamp-o.timestamp) < 0 {
			o.timestamp = timestamp
		}
		o.clock, o.size = clock, int(end-o.timestamp)
	}
}

// close says that nothing more will be put.
func (t *tap) close() {
	t.closed.Store(true)
	t.signal()
}

func (t *tap) signal() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// read hands every frame waiting to use, by the reader. A frame is the tap's
// again as soon as use returns. False: the tap is closed and empty.
func (t *tap) read(use func(*tapFrame)) bool {
	closed := t.closed.Load() // before looking, so that nothing put earlier is missed
	for tail := t.tail.Load(); tail != t.head.Load(); tail++ {
		use(&t.frames[tail%tapFrames])
		t.tail.Store(tail + 1)
	}
	if closed && t.owes {
		t.owes = false
		use(&t.owed)
	}
	return !closed
}
