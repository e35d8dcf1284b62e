package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// spoken gives the samples of a voice recording, which has to be an AU file
// as the world knows it.
func spoken(t *testing.T, file []byte) []int16 {
	t.Helper()
	want := []byte(".snd\x00\x00\x00\x18\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x1f\x40\x00\x00\x00\x01")
	if !bytes.HasPrefix(file, want) {
		t.Fatalf("no AU file: % x", file[:min(auHeader, len(file))])
	}
	pcm := make([]int16, len(file)-auHeader)
	decode(pcm, file[auHeader:], PCMU)
	return pcm
}

// record begins a voice recording of a leg.
func record(t *testing.T, leg *Leg, o VoiceOptions) (*Voice, *bytes.Buffer) {
	t.Helper()
	var file bytes.Buffer
	v, err := leg.RecordVoice(&file, o)
	if err != nil {
		t.Fatal(err)
	}
	return v, &file
}

// utter says a tone of so many packets, each in its time.
func (f *farEnd) utter(c Codec, hz float64, packets int) {
	tone := Tone(hz, time.Duration(packets)*frameTime)
	for n := range packets {
		f.say(c, tone.in(c)[n*frameSize:][:frameSize])
		time.Sleep(frameTime)
	}
}

func TestVoiceEndsWithASilence(t *testing.T) {
	for _, c := range []Codec{PCMU, PCMA} {
		synctest.Test(t, func(t *testing.T) {
			leg, far := call(t, testEngine(t), c, LegOptions{})
			leg.Play(Tone(450, 10*time.Second)) // what it hears is not recorded
			v, file := record(t, leg, VoiceOptions{Max: time.Minute, Silence: 2 * time.Second})
			if _, err := leg.RecordVoice(file, VoiceOptions{}); !errors.Is(err, ErrRecording) {
				t.Errorf("recorded twice at once: %v", err)
			}
			began := time.Now()
			far.utter(c, 700, 150) // then nothing at all comes
			<-v.Done()
			took := time.Since(began)
			if err := errors.Join(v.Close(), v.Close()); err != nil {
				t.Fatal(err)
			}
			if v.End() != VoiceSilent || v.Dropped() != 0 {
				t.Errorf("ended with %v, %d dropped", v.End(), v.Dropped())
			}
			for what, got := range map[string]time.Duration{"lasts": v.Length(), "took": took} {
				if got < 5*time.Second || got > 5400*time.Millisecond {
					t.Errorf("%s %v, want 5s and a little", what, got)
				}
			}
			if got := v.Speech(); got < 3*time.Second || got > 3300*time.Millisecond {
				t.Errorf("holds %v of speech, want 3s", got)
			}
			pcm := spoken(t, file.Bytes())
			if got := time.Duration(len(pcm)) * sampleTime; got != v.Length() {
				t.Errorf("%v in the file, want %v", got, v.Length())
			}
			find(t, pcm, 700, 150*frameSize)
			if again, _ := record(t, leg, VoiceOptions{}); again.Close() != nil {
				t.Error("not recorded again")
			}
		})
	}
}

func TestVoiceIsAsLongAsItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		v, file := record(t, leg, VoiceOptions{Max: 1500 * time.Millisecond, Silence: time.Second})
		far.utter(PCMU, 700, 100)
		<-v.Done()
		if v.End() != VoiceFull || v.Length() != 1500*time.Millisecond {
			t.Errorf("ended with %v after %v", v.End(), v.Length())
		}
		find(t, spoken(t, file.Bytes()), 700, 70*frameSize)
	})
}

// Whoever hangs up in the middle of a word: what was said is in the file.
func TestVoiceEndsWithItsLeg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		v, file := record(t, leg, VoiceOptions{Silence: 5 * time.Second})
		far.utter(PCMU, 500, 60)
		leg.Close()
		<-v.Done()
		if err := v.Close(); err != nil || v.End() != VoiceStopped {
			t.Errorf("ended with %v, %v", v.End(), err)
		}
		find(t, spoken(t, file.Bytes()), 500, 59*frameSize)
	})
}

// A key is not in the recording: not the tone that a gateway lets through before
// it knows it for one, and not what a phone sends beside the event.
func TestVoiceLeavesKeysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		v, file := record(t, leg, VoiceOptions{})
		far.utter(PCMU, 700, 50)
		key := Tone(941, time.Second).mu
		say := func(n int) { far.say(PCMU, key[n*frameSize:][:frameSize]) }
		say(0)
		time.Sleep(frameTime)
		say(1)
		time.Sleep(frameTime)
		begin := far.timestamp
		for n := range 8 {
			p := eventPacket(0, 0, 11, n == 7, (n+1)*frameSize)
			far.send(header{payloadType: 97, timestamp: begin, marker: n == 0}, p.payload())
			far.sequence--
			say(n + 2)
			time.Sleep(frameTime)
		}
		far.utter(PCMU, 600, 50)
		time.Sleep(100 * time.Millisecond)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		pcm := spoken(t, file.Bytes())
		before, after := find(t, pcm, 700, 50*frameSize), find(t, pcm, 600, 50*frameSize)
		if gap := after - before - 50*frameSize; gap != 10*frameSize {
			t.Errorf("%d samples between the tones, want %d", gap, 10*frameSize)
		}
		for i, sample := range pcm[before+50*frameSize : after] {
			if sample != 0 {
				t.Fatalf("%d samples after the tone, the key is heard: %d", i, sample)
			}
		}
	})
}

// full is a file whose disk has no room after so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// Nobody is let speak on for what cannot be kept.
func TestVoiceEndsWhenItCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leg, far := call(t, testEngine(t), PCMU, LegOptions{})
		v, err := leg.RecordVoice(&full{room: 10000}, VoiceOptions{Max: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go far.utter(PCMU, 700, 200)
		<-v.Done()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("went on for %v", took)
		}
		if err := v.Close(); err == nil || err.Error() != "media: writing a recording: disk full" {
			t.Errorf("error %v", err)
		}
		time.Sleep(5 * time.Second) // the far end's end
	})
}

// Packets lie where their timestamps say, whenever they arrive; what is lost is
// silent, and the time line goes on.
func TestVoiceUndoesJitterAndLoss(t *testing.T) {
	var file bytes.Buffer
	w := newVoiceWriter(&file, VoiceOptions{})
	const packets, lost = 100, 40
	tone := Tone(600, packets*frameTime)
	put := func(n, late int) {
		f := tapFrame{side: received, codec: PCMU, ssrc: 1, timestamp: uint32(n * frameSize), clock: int64((n + late) * frameSize), size: frameSize}
		copy(f.audio[:], tone.mu[n*frameSize:])
		w.place(&f)
	}
	put(0, 0)
	for n := 1; n < packets; n += 3 {
		for _, i := range []int{n + 1, n + 2, n} { // three by three and in the wrong order
			if i != lost {
				put(i, n+6-i)
			}
		}
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	pcm := spoken(t, file.Bytes())
	want := make([]int16, packets*frameSize)
	decode(want, tone.mu, PCMU)
	clear(want[lost*frameSize:][:frameSize])
	for i, sample := range want {
		if pcm[i] != sample {
			t.Fatalf("sample %d is %d, want %d", i, pcm[i], sample)
		}
	}
}

// However a far end lies about its timestamps, a recording is as long as the
// time it took.
func TestVoiceKeepsTimeWhateverIsSent(t *testing.T) {
	var file bytes.Buffer
	w := newVoiceWriter(&file, VoiceOptions{})
	for n := range 100 {
		f := tapFrame{side: side(n % 4), codec: PCMA, ssrc: uint32(n / 50), timestamp: uint32(n * n * 0x01234567), clock: int64(n * frameSize), size: n * 600}
		if f.side == sent {
			continue
		}
		if f.side == received {
			f.size = n % tapFrameSize
		}
		w.place(&f)
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	if n := len(spoken(t, file.Bytes())); n < 99*frameSize || n > 99*frameSize+2*stereoDrift {
		t.Errorf("%d samples, want %d", n, 99*frameSize)
	}
}

func TestConvertAU(t *testing.T) {
	tone := Tone(600, 300*time.Millisecond)
	var au, wav bytes.Buffer
	if err := writeAUHeader(&au); err != nil {
		t.Fatal(err)
	}
	au.Write(tone.mu)
	whole := bytes.Clone(au.Bytes())
	if err := ConvertAU(&wav, &au, int64(au.Len())); err != nil {
		t.Fatal(err)
	}
	if size := binary.LittleEndian.Uint32(wav.Bytes()[40:]); int(size) != 2*len(tone.mu) || wav.Len() != 44+int(size) {
		t.Errorf("%d bytes announced, %d there", size, wav.Len()-44)
	}
	clip, err := LoadClip(&wav)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(clip.mu, tone.mu) {
		t.Error("another sound")
	}
	for name, file := range map[string][]byte{
		"nothing": nil, "half a header": whole[:20], "cut": whole[:len(whole)-1], "another file": append([]byte("RIFF"), whole[4:]...),
		"stereo": append(append(bytes.Clone(whole[:20]), 0, 0, 0, 2), whole[24:]...),
	} {
		if err := ConvertAU(&wav, bytes.NewReader(file), int64(len(whole))); err == nil {
			t.Errorf("%s is taken for a recording", name)
		}
	}
}
