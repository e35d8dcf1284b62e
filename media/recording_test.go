package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
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

// The two sides lie as they were heard, though the first packet was late, and
// though the far end's clock is another.
func TestRecordingKeepsTheSidesTogether(t *testing.T) {
	packets := amount(15000, 9000) // five minutes, and more than the tolerance of drift in three
	click := make([]byte, frameSize)
	copy(click, PCMU.quiet())
	click[0] = 0x80
	for _, c := range []struct {
		name  string
		late  int64 // the first packet, in samples
		ppm   float64
		every bool // jittered
	}{{"the first late", 640, 0, false}, {"a fast clock", 0, 300, false}, {"a slow clock", 0, -300, false}, {"all of it", 320, 500, true}} {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 3))
			f := tape(t)
			w := newStereoWriter(f)
			at := func(n int) int64 { return int64(float64(n*frameSize) * (1 - c.ppm*1e-6)) } // on our clock
			frames := make(map[int64][]tapFrame)
			for n := range packets {
				loud := tapFrame{codec: PCMU, size: frameSize}
				if n%50 == 49 {
					copy(loud.audio[:], click)
				} else {
					copy(loud.audio[:], PCMU.quiet())
				}
				loud.side, loud.ssrc, loud.timestamp, loud.clock = received, 1, uint32(n*frameSize), at(n)
				if n == 0 {
					loud.clock += c.late
				} else if c.every && random.IntN(3) > 0 {
					loud.clock += int64(random.IntN(800))
				}
				loud.clock = (loud.clock + 159) / 160 * 160 // its turn
				frames[loud.clock] = append(frames[loud.clock], loud)
				// What we send when the click was due here.
				loud.side, loud.ssrc, loud.timestamp, loud.clock = sent, 2, uint32(n*frameSize), int64(n*frameSize)
				frames[loud.clock] = append(frames[loud.clock], loud)
			}
			for clock := int64(0); clock < int64(packets+50)*int64(frameSize); clock += int64(frameSize) {
				for _, f := range frames[clock] {
					w.place(&f)
				}
			}
			if err := w.finish(); err != nil {
				t.Fatal(err)
			}
			left, right := playback(t, f)
			var heard, said []int
			for i := range left {
				if left[i] != 0 {
					heard = append(heard, i)
				}
				if right[i] != 0 {
					said = append(said, i)
				}
			}
			if len(heard) < packets/50-3 || len(heard) > packets/50 { // a correction may cost one
				t.Fatalf("%d clicks of %d", len(heard), packets/50)
			}
			for i, p := range heard {
				n := 49 + 50*int(math.Round(float64(p-said[0])/(1-c.ppm*1e-6)/50/float64(frameSize)))
				if off := int64(p) - (at(n) + int64(said[0]-49*frameSize)); off < -240-160 || off > 240+160 {
					t.Fatalf("click %d lies %d samples from where it was heard", i, off)
				}
			}
			if len(said) != packets/50 {
				t.Errorf("%d clicks sent, the first at %d", len(said), said[0])
			}
		})
	}
}

// What sounds with a hidden key is silent, whether it comes before or after the
// key is known.
func TestRecordingHidesKeys(t *testing.T) {
	f := tape(t)
	w := newStereoWriter(f)
	tone := Tone(600, time.Second)
	for n := range 50 {
		frame := tapFrame{side: received, codec: PCMU, ssrc: 1, timestamp: uint32(n * frameSize), clock: int64(n * frameSize), size: frameSize}
		copy(frame.audio[:], tone.mu[n*frameSize:][:frameSize])
		w.place(&frame)
		frame.side, frame.ssrc = sent, 2
		w.place(&frame)
		if n >= 20 && n < 30 {
			w.place(&tapFrame{side: keyed, ssrc: 1, timestamp: 18 * uint32(frameSize), clock: frame.clock, size: (n - 17) * frameSize})
		}
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	left, right := playback(t, f)
	if n := loudest(left[18*frameSize-int(keyLeak) : 30*frameSize]); n > 0 {
		t.Errorf("a hidden key sounds at %d", n)
	}
	find(t, left[:16*frameSize], 600, 16*frameSize)
	find(t, left[30*frameSize:], 600, 19*frameSize)
	find(t, right, 600, 50*frameSize)
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
