package media

import (
	"testing"
	"time"
)

// TestKeysAreToldWhenTheRingIsFull holds that a reader who lags behind loses audio,
// and learns of each key that is to be kept out of what it has.
func TestKeysAreToldWhenTheRingIsFull(t *testing.T) {
	for _, closes := range []bool{false, true} {
		tp := newTap()
		audio := make([]byte, frameSize)
		timestamp := uint32(0xFFFF0000) // wraps on the way
		put := func(n int) {
			for range n {
				tp.put(received, PCMU, 1, timestamp, 0, audio)
				timestamp += uint32(frameSize)
			}
		}
		put(tapFrames)
		key := timestamp - 400
		for size := 160; size <= 1600; size += 160 { // packets of an event
			tp.note(keyed, 1, key, int64(size), size)
			put(1)
		}
		tp.note(keyed, 1, key+3000, 3500, 500) // and of the next
		tp.note(keyed, 2, key+9000, 9000, 500) // of a stream of which there is no audio
		if closes {
			tp.close()
		}
		var frames []tapFrame
		read := func(f *tapFrame) { frames = append(frames, *f) }
		open := tp.read(read)
		if !closes {
			put(1)
			open = tp.read(read)
		}
		if open == closes {
			t.Fatalf("open %v", open)
		}
		if least := tapFrames + 1; len(frames) < least || tp.dropped.Load() != 10 {
			t.Fatalf("closed %v: %d frames read, want %d; %d dropped", closes, len(frames), least, tp.dropped.Load())
		}
		got := frames[tapFrames]
		if got.side != keyed || got.ssrc != 1 || got.timestamp != key || got.size != 3500 {
			t.Errorf("closed %v: after the audio comes %d of %d samples at %d, want the keys", closes, got.side, got.size, got.timestamp-key)
		}
		if !closes && (len(frames) != tapFrames+2 || frames[tapFrames+1].side != received) {
			t.Errorf("%d frames", len(frames))
		}
	}
}

// A recording whose file is slow has nothing of a hidden key either.
func TestSlowRecordingHasNoHiddenKey(t *testing.T) {
	tp := newTap()
	f := tape(t)
	w := newStereoWriter(f)
	loud := Tone(697, time.Second).mu[:frameSize]
	silent := make([]byte, frameSize)
	for i := range silent {
		silent[i] = PCMU.silence()
	}
	const pause = tapFrames - 4 // the key begins in the last frames there is room for
	for n := range tapFrames + 20 {
		at := uint32(n * frameSize)
		audio := silent
		if n >= pause && n < tapFrames {
			audio = loud
		}
		tp.put(received, PCMU, 1, at, int64(at), audio)
		if n >= tapFrames {
			tp.note(keyed, 1, uint32(pause*frameSize), int64(at), (n-pause)*frameSize)
		}
	}
	tp.read(w.place)
	tp.put(received, PCMU, 1, uint32((tapFrames+20)*frameSize), int64((tapFrames+20)*frameSize), silent)
	tp.close()
	tp.read(w.place)
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	left, _ := playback(t, f)
	if most := loudest(left); most > 50 {
		t.Errorf("%d of a hidden key is recorded", most)
	}
}
