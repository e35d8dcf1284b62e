package demo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/ivr"
)

// sound is a WAV file as samples between -1 and 1.
type sound []float64

const rate = 8000

// decode reads what a telephone plays as it is: 8 kHz, one channel, µ-law.
func decode(r io.Reader) (sound, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, errors.New("not a WAV file")
	}
	for rest := b[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:]))
		if size > len(rest)-8 {
			return nil, errors.New("a chunk ends after the file")
		}
		chunk := rest[8 : 8+size]
		switch id {
		case "fmt ":
			format := [3]uint32{uint32(binary.LittleEndian.Uint16(chunk)), uint32(binary.LittleEndian.Uint16(chunk[2:])), binary.LittleEndian.Uint32(chunk[4:])}
			if format != [3]uint32{7, 1, rate} {
				return nil, errors.New("not 8 kHz, one channel, µ-law")
			}
		case "data":
			s := make(sound, len(chunk))
			for i, c := range chunk {
				s[i] = expand(c)
			}
			return s, nil
		}
		rest = rest[min(len(rest), 8+size+size%2):]
	}
	return nil, errors.New("no samples")
}

// expand is the inverse of µ-law (ITU-T G.711).
func expand(c byte) float64 {
	c = ^c
	magnitude := (float64(c&0x0f)+16.5)*math.Pow(2, float64(c>>4&7)+3) - 132
	if c&0x80 != 0 {
		magnitude = -magnitude
	}
	return magnitude / 32768
}

// dB is the level of the samples' RMS against full scale.
func (s sound) dB() float64 {
	var sum float64
	for _, x := range s {
		sum += x * x
	}
	return 10 * math.Log10(sum/float64(len(s)))
}

func (s sound) peak() (peak float64) {
	for _, x := range s {
		peak = max(peak, math.Abs(x))
	}
	return peak
}

// quiet is how long a sound is silent from its beginning.
func (s sound) quiet() time.Duration {
	n := 0
	for n < len(s) && math.Abs(s[n]) < 0.002 {
		n++
	}
	return s[:n].length()
}

func (s sound) length() time.Duration { return time.Duration(len(s)) * time.Second / rate }

func (s sound) reversed() sound {
	r := make(sound, len(s))
	for i, x := range s {
		r[len(s)-1-i] = x
	}
	return r
}

// TestPrompts: each prompt is as loud as the others, is not clipped, begins and
// ends soon, and no one is kept listening too long.
func TestPrompts(t *testing.T) {
	_, prompts := load(t)
	sounds, err := ivr.Decode(prompts, decode)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for p, s := range sounds {
		total += len(s)
		if db := s.dB(); math.Abs(db+20) > 1 {
			t.Errorf("%s is at %.1f dBFS, want -20", p, db)
		}
		if peak := s.peak(); peak > 0.99 {
			t.Errorf("%s is clipped: peak %.3f", p, peak)
		}
		for end, quiet := range map[string]time.Duration{"begins": s.quiet(), "ends": s.reversed().quiet()} {
			if quiet < 80*time.Millisecond || quiet > 200*time.Millisecond {
				t.Errorf("%s %s with %v of silence, want about 100ms", p, end, quiet)
			}
		}
		longest := 13 * time.Second
		switch p.Name {
		case "choose":
			longest = 3 * time.Second
		case "subject": // five choices
			longest = 18 * time.Second
		}
		if l := s.length(); l > longest || l < time.Second {
			t.Errorf("%s takes %v, want 1s to %v", p, l, longest)
		}
	}
	if total > 3<<20 {
		t.Errorf("the prompts take %d bytes of the binary, want at most 3 MiB", total)
	}
}

// TestMusic: the music is as loud as the prompts, never pauses, and its end
// runs into its beginning without a click.
func TestMusic(t *testing.T) {
	_, prompts := load(t)
	b, err := prompts.Music()
	if err != nil {
		t.Fatal(err)
	}
	s, err := decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if db := s.dB(); math.Abs(db+20) > 0.5 {
		t.Errorf("it is at %.1f dBFS, want -20", db)
	}
	if peak := s.peak(); peak > 0.7 {
		t.Errorf("peak %.2f, want at most 0.7", peak)
	}
	if l := s.length(); l < 30*time.Second || l > time.Minute || len(s)%160 != 0 {
		t.Errorf("it takes %v, want 30s to 60s in whole packets of 20ms", l)
	}
	for i := 0; i+rate/2 <= len(s); i += rate / 2 {
		if db := s[i : i+rate/2].dB(); db < -30 {
			t.Errorf("it pauses after %v: %.1f dBFS", s[:i].length(), db)
		}
	}
	var steepest float64 // step between neighbours anywhere inside
	for i := 1; i < len(s); i++ {
		steepest = max(steepest, math.Abs(s[i]-s[i-1]))
	}
	if seam := math.Abs(s[0] - s[len(s)-1]); seam > steepest/4 {
		t.Errorf("the seam is a step of %.3f; the steepest inside is %.3f", seam, steepest)
	}
}
