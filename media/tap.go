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
// never makes the shard wait. When the reader lags behind, frames are dropped
// and counted.
type tap struct {
	frames  [tapFrames]tapFrame
	head    atomic.Uint64 // frames ever written; moved by the shard
	tail    atomic.Uint64 // frames ever read; moved by the reader
	dropped atomic.Uint64
	closed  atomic.Bool
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
		head := t.head.Load()
		if head-t.tail.Load() == tapFrames {
			t.dropped.Add(1)
			return
		}
		f := &t.frames[head%tapFrames]
		f.side, f.codec, f.ssrc, f.timestamp, f.clock = s, c, ssrc, timestamp, clock
		f.size = copy(f.audio[:], audio)
		audio = audio[f.size:]
		timestamp += uint32(f.size)
		t.head.Store(head + 1)
	}
	t.signal()
}

// note writes what is no audio, by the shard: a key that is not to be heard in
// what is written, or that time goes on.
func (t *tap) note(s side, ssrc, timestamp uint32, clock int64, size int) {
	head := t.head.Load()
	if s == passed && !t.voice || head-t.tail.Load() == tapFrames {
		return
	}
	f := &t.frames[head%tapFrames]
	f.side, f.ssrc, f.timestamp, f.clock, f.size = s, ssrc, timestamp, clock, size
	t.head.Store(head + 1)
	t.signal()
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
	return !closed
}
