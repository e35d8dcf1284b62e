package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// tape opens a file to record to.
func tape(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "tape.wav"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// playback reads a recording: what was said, what was heard.
func playback(t *testing.T, f *os.File) (left, right []int16) {
	t.Helper()
	raw, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) < 44 || string(raw[:4]) != "RIFF" || string(raw[8:16]) != "WAVEfmt " || string(raw[36:40]) != "data" ||
		binary.LittleEndian.Uint32(raw[4:]) != uint32(len(raw)-8) || binary.LittleEndian.Uint32(raw[40:]) != uint32(len(raw)-44) ||
		binary.LittleEndian.Uint16(raw[22:]) != 2 || binary.LittleEndian.Uint32(raw[24:]) != 8000 {
		t.Fatalf("no WAV file of two channels and %d bytes: % x", len(raw), raw[:min(44, len(raw))])
	}
	for b := raw[44:]; len(b) >= 4; b = b[4:] {
		left = append(left, int16(binary.LittleEndian.Uint16(b)))
		right = append(right, int16(binary.LittleEndian.Uint16(b[2:])))
	}
	return left, right
}

// find tells where in pcm a tone lies unbroken: its signal to noise ratio must
// be that of G.711. It looks for the place where the tone begins.
func find(t *testing.T, pcm []int16, hz float64, n int) int {
	t.Helper()
	want := sine(hz, n)
	for start := 0; start+n <= len(pcm); start++ {
		near := true
		for i := 1; i < 12 && near; i++ {
			near = math.Abs(float64(pcm[start+i])-want[i]) < 300
		}
		if near && snr(want, pcm[start:]) > 30 {
			return start
		}
	}
	t.Errorf("no %v Hz for %d samples in the %d recorded", hz, n, len(pcm))
	return -1
}

func TestRecordingHoldsBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMA, LegOptions{})
		f := tape(t)
		recording, err := leg.Record(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leg.Record(f); !errors.Is(err, ErrRecording) {
			t.Errorf("recorded twice at once: %v", err)
		}
		const packets = 150
		tone := Tone(700, packets*frameTime)
		leg.Play(Tone(450, packets*frameTime))
		for n := range packets {
			far.say(PCMA, tone.a[n*frameSize:][:frameSize])
			time.Sleep(frameTime)
		}
		time.Sleep(200 * time.Millisecond)
		if err := errors.Join(recording.Close(), recording.Close()); err != nil {
			t.Fatal(err)
		}
		left, right := playback(t, f)
		if n := len(left); n < packets*frameSize || n > (packets+15)*frameSize {
			t.Errorf("3.2 s recorded as %d samples", n)
		}
		heard, said := find(t, left, 700, packets*frameSize), find(t, right, 450, packets*frameSize)
		if off := heard - said; off < -3*frameSize || off > 3*frameSize {
			t.Errorf("the sides lie %d samples apart", off)
		}
		if recording.Dropped() != 0 {
			t.Errorf("%d packets dropped", recording.Dropped())
		}
		if again, err := leg.Record(tape(t)); err != nil {
			t.Errorf("not recorded again: %v", err)
		} else if err := again.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRecordingEndsWithItsLeg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		f := tape(t)
		recording, err := leg.Record(f)
		if err != nil {
			t.Fatal(err)
		}
		tone := Tone(500, 10*frameTime)
		for n := range 10 {
			far.say(PCMU, tone.mu[n*frameSize:][:frameSize])
		}
		time.Sleep(3 * frameTime)
		leg.Close()
		<-recording.Done()
		if err := recording.Close(); err != nil {
			t.Fatal(err)
		}
		left, _ := playback(t, f)
		find(t, left, 500, 10*frameSize)
	})
}

// failing is a file on a full disk.
type failing struct{ io.WriteSeeker }

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestRecordingTellsOfAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, _ := call(t, testEngine(t), PCMU, LegOptions{})
		recording, err := leg.Record(failing{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := recording.Close(); err == nil || err.Error() != "media: writing a recording: disk full" {
			t.Errorf("error %v", err)
		}
	})
}

// Packets lie where their timestamps say, whenever they arrive.
func TestRecordingUndoesJitter(t *testing.T) {
	f := tape(t)
	w := newStereoWriter(f)
	const packets = 100
	tone := Tone(600, packets*frameTime)
	put := func(n, late int) {
		frame := tapFrame{side: received, codec: PCMU, ssrc: 1, timestamp: uint32(n * frameSize), clock: int64((n + late) * frameSize), size: frameSize}
		copy(frame.audio[:], tone.mu[n*frameSize:])
		w.place(&frame)
	}
	put(0, 0)
	for n := 1; n < packets-3; n += 3 {
		put(n+1, 6) // three by three, 100 ms late and in the wrong order
		put(n+2, 6)
		put(n, 8)
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	left, _ := playback(t, f)
	if at := find(t, left, 600, (packets-3)*frameSize); at > 0 {
		t.Errorf("begins at sample %d", at)
	}
}

// After a pause, or with another sender, the sound lies where it was heard.
func TestRecordingFollowsTheClockOverPauses(t *testing.T) {
	f := tape(t)
	w := newStereoWriter(f)
	loud := tapFrame{side: sent, codec: PCMU, size: frameSize}
	copy(loud.audio[:], bytes.Repeat([]byte{0x80}, frameSize))
	for _, at := range []struct {
		clock     int64
		ssrc      uint32
		timestamp uint32
	}{{5000, 1, 100}, {5000 + 80000, 1, 100 + 160}, {5000 + 160000, 2, 9}} {
		loud.clock, loud.ssrc, loud.timestamp = at.clock, at.ssrc, at.timestamp
		w.place(&loud)
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	_, right := playback(t, f)
	if len(right) != 160000+frameSize {
		t.Fatalf("%d samples recorded", len(right))
	}
	for i, sample := range right {
		if want := i%80000 < frameSize; (sample != 0) != want {
			t.Fatalf("sample %d is %d", i, sample)
		}
	}
}

func TestTapDropsRatherThanWaits(t *testing.T) {
	tap := newTap()
	for n := range tapFrames + 7 {
		tap.put(received, PCMU, 1, uint32(n), 0, make([]byte, frameSize))
	}
	if n := tap.dropped.Load(); n != 7 {
		t.Errorf("%d frames dropped, want 7", n)
	}
	read := 0
	tap.close()
	if tap.read(func(f *tapFrame) {
		if f.timestamp != uint32(read) {
			t.Errorf("frame %d is %d", read, f.timestamp)
		}
		read++
	}) {
		t.Error("a closed tap goes on")
	}
	if read != tapFrames {
		t.Errorf("%d frames read, want %d", read, tapFrames)
	}
	long := newTap()
	long.put(sent, PCMU, 1, 50, 0, make([]byte, 2*tapFrameSize+1))
	var sizes []int
	long.read(func(f *tapFrame) { sizes = append(sizes, f.size, int(f.timestamp)) })
	if len(sizes) != 6 || sizes[4] != 1 || sizes[5] != 50+2*tapFrameSize {
		t.Errorf("a long packet became %v", sizes)
	}
}
