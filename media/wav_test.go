package media

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// clipLength is the length of the clips in these tests.
const clipLength = 500 * time.Millisecond

// wavFile writes a WAV file: a format chunk and a data chunk, with others in
// between as given.
func wavFile(tag, channels uint16, rate uint32, bits uint16, data []byte, between ...string) []byte {
	f := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00")
	f = binary.LittleEndian.AppendUint16(f, tag)
	f = binary.LittleEndian.AppendUint16(f, channels)
	f = binary.LittleEndian.AppendUint32(f, rate)
	f = binary.LittleEndian.AppendUint32(f, rate*uint32(channels*bits/8))
	f = binary.LittleEndian.AppendUint16(f, channels*bits/8)
	f = binary.LittleEndian.AppendUint16(f, bits)
	for _, chunk := range between {
		f = append(f, chunk...)
	}
	f = append(f, "data"...)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(data)))
	return append(f, data...)
}

func TestLoadClip(t *testing.T) {
	tone := Tone(440, clipLength)
	var pcm []byte
	for _, b := range tone.mu {
		pcm = binary.LittleEndian.AppendUint16(pcm, uint16(decodeMu(b)))
	}
	piped := wavFile(wavMu, 1, 8000, 8, tone.mu)
	binary.LittleEndian.PutUint32(piped[40:], 1<<32-1)
	for name, file := range map[string][]byte{
		"µ-law":             wavFile(wavMu, 1, 8000, 8, tone.mu),
		"16-bit PCM":        wavFile(wavPCM, 1, 8000, 16, pcm),
		"with other chunks": wavFile(wavMu, 1, 8000, 8, tone.mu, "fact\x04\x00\x00\x00abcd", "LIST\x03\x00\x00\x00abc\x00"),
		"size unknown":      piped,
	} {
		clip, err := LoadClip(bytes.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(clip.in(PCMU), tone.in(PCMU)) {
			t.Errorf("%s: other audio than was in the file", name)
		}
		if clip.Duration() != clipLength || len(clip.in(PCMA)) != len(clip.in(PCMU)) {
			t.Errorf("%s: lasts %v, %d bytes of PCMA for %d of PCMU", name, clip.Duration(), len(clip.a), len(clip.mu))
		}
	}
	clip, err := LoadClip(bytes.NewReader(wavFile(wavALaw, 1, 8000, 8, tone.a)))
	if err != nil || !bytes.Equal(clip.in(PCMA), tone.in(PCMA)) {
		t.Errorf("A-law: %v, or other audio", err)
	}
}

func TestLoadClipSaysWhatIsWrong(t *testing.T) {
	sound := make([]byte, 320)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not a WAV file: unexpected EOF"},
		{"an MP3", []byte("ID3 and much more of it"), "not a WAV file: it does not begin with RIFF and WAVE"},
		{"stereo", wavFile(wavPCM, 2, 8000, 16, sound), "the WAV file has 2 channels; it must be mono"},
		{"16 kHz", wavFile(wavPCM, 1, 16000, 16, sound), "the WAV file has 16000 samples a second; it must have 8000"},
		{"8-bit PCM", wavFile(wavPCM, 1, 8000, 8, sound), "the WAV file's samples have 8 bits; PCM must have 16"},
		{"ADPCM", wavFile(17, 1, 8000, 4, sound), "the WAV file is encoded in format 17; it must be 16-bit PCM, µ-law or A-law"},
		{"cut short", wavFile(wavMu, 1, 8000, 8, sound)[:100], "the WAV file is cut short: 320 bytes of audio announced, 56 there"},
		{"no audio", wavFile(wavMu, 1, 8000, 8, nil), "the WAV file holds no audio: its data chunk is empty"},
		{"no data", wavFile(wavMu, 1, 8000, 8, sound)[:36], "WAV file without audio: no data chunk"},
		{"data first", []byte("RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00"), "broken WAV file: its data come before its format"},
		{"huge format", []byte("RIFF\x00\x00\x00\x00WAVEfmt \x00\x00\x00\x7f"), "broken WAV file: a format chunk of 2130706432 bytes"},
		{"cut in a chunk", []byte("RIFF\x00\x00\x00\x00WAVEjunk\x10\x00\x00\x00abc"), `reading the WAV file's "junk" chunk: unexpected EOF`},
	} {
		if _, err := LoadClip(bytes.NewReader(c.file)); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %q, want %q", c.name, err, c.want)
		}
	}
	long := wavFile(wavMu, 1, 8000, 8, sound)
	binary.LittleEndian.PutUint32(long[40:], maxWAV+1)
	if _, err := LoadClip(bytes.NewReader(long)); err == nil || !strings.Contains(err.Error(), "an hour") {
		t.Errorf("too long: error %v", err)
	}
}

func FuzzLoadClip(f *testing.F) {
	f.Add(wavFile(wavMu, 1, 8000, 8, make([]byte, 20)))
	f.Add(wavFile(wavPCM, 1, 8000, 16, make([]byte, 21), "fact\x01\x00\x00\x00a\x00"))
	f.Add(wavFile(wavALaw, 1, 8000, 8, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		clip, err := LoadClip(bytes.NewReader(file))
		if (clip == nil) == (err == nil) {
			t.Fatalf("clip %v and error %v", clip, err)
		}
		if err == nil && (len(clip.mu) == 0 || len(clip.mu) != len(clip.a)) {
			t.Fatalf("%d bytes of PCMU, %d of PCMA", len(clip.mu), len(clip.a))
		}
	})
}
