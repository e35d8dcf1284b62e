package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"
)

// Sound is a recording: samples of -1 to 1 by channel.
type Sound struct {
	Rate     int
	Channels [][]float64
}

// ReadWAV reads a recording of 16-bit PCM or 8-bit µ-law.
func ReadWAV(t testing.TB, path string) Sound {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseWAV(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return s
}

func parseWAV(data []byte) (s Sound, err error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return s, errors.New("not a WAV file")
	}
	var format, channels, bits int
	for rest := data[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:]))
		if name == "data" && size == 0 {
			size = len(rest) // still being recorded
		}
		body := rest[8:min(8+size, len(rest))]
		switch {
		case name == "fmt " && len(body) >= 16:
			format = int(binary.LittleEndian.Uint16(body))
			channels = int(binary.LittleEndian.Uint16(body[2:]))
			s.Rate = int(binary.LittleEndian.Uint32(body[4:]))
			bits = int(binary.LittleEndian.Uint16(body[14:]))
		case name == "data" && channels > 0:
			s.Channels, err = samples(body, format, channels, bits)
			return s, err
		}
		rest = rest[min(8+size+size&1, len(rest)):]
	}
	return s, errors.New("no data in it")
}

func samples(body []byte, format, channels, bits int) ([][]float64, error) {
	out := make([][]float64, channels)
	width := bits / 8
	if width == 0 {
		return nil, fmt.Errorf("%d bits a sample", bits)
	}
	for i := 0; (i+1)*width <= len(body); i++ {
		var v float64
		switch {
		case format == 1 && bits == 16, format == 0xFFFE && bits == 16:
			v = float64(int16(binary.LittleEndian.Uint16(body[i*2:]))) / 32768
		case format == 7 && bits == 8:
			v = ulaw(body[i]) / 32768
		default:
			return nil, fmt.Errorf("format %d with %d bits", format, bits)
		}
		out[i%channels] = append(out[i%channels], v)
	}
	return out, nil
}

// ulaw decodes one sample by the table of ITU-T G.711, 16-bit scale.
func ulaw(b byte) float64 {
	b = ^b
	v := (int(b&0x0F)<<3 + 0x84) << (b >> 4 & 7)
	v -= 0x84
	if b&0x80 != 0 {
		v = -v
	}
	return float64(v)
}

// Tone gives the longest time for which the tone stands in the channel without
// a gap: in every window of 20 ms at least four fifths of the power, and at
// least -40 dBFS, is at its frequency.
func (s Sound) Tone(channel int, hertz float64) time.Duration {
	window := s.Rate / 50
	var longest, run int
	in := s.Channels[channel]
	for at := 0; at+window <= len(in); at += window {
		if stands(in[at:at+window], hertz/float64(s.Rate)) {
			run++
		} else {
			run = 0
		}
		longest = max(longest, run)
	}
	return time.Duration(longest) * 20 * time.Millisecond
}

// Heard gives how long the tone stands in the channel in all, whatever breaks it off.
func (s Sound) Heard(channel int, hertz float64) time.Duration {
	return s.windows(channel, func(in []float64) bool { return stands(in, hertz/float64(s.Rate)) })
}

// Loud gives how long there is sound in the channel, at least -40 dBFS of it.
func (s Sound) Loud(channel int) time.Duration {
	return s.windows(channel, func(in []float64) bool { _, power := goertzel(in, 0); return power > 1e-4 })
}

// windows counts the windows of 20 ms of which something holds, and gives their time.
func (s Sound) windows(channel int, holds func([]float64) bool) (long time.Duration) {
	window, in := s.Rate/50, s.Channels[channel]
	for at := 0; at+window <= len(in); at += window {
		if holds(in[at : at+window]) {
			long += 20 * time.Millisecond
		}
	}
	return long
}

// stands says whether a tone stands in the whole of a window.
func stands(in []float64, frequency float64) bool {
	share, power := goertzel(in, frequency)
	return share > 0.8 && power > 1e-4
}

// Share gives how much of the channel's power is at a frequency, 0 to 1, on the mean of
// all windows of 20 ms in which there is sound. Frequencies that are multiples of 50 Hz
// are told apart.
func (s Sound) Share(channel int, hertz float64) float64 {
	window, in := s.Rate/50, s.Channels[channel]
	var sum float64
	n := 0
	for at := 0; at+window <= len(in); at += window {
		if share, power := goertzel(in[at:at+window], hertz/float64(s.Rate)); power > 1e-5 {
			sum += share
			n++
		}
	}
	return sum / float64(max(1, n))
}

// Power gives the channel's mean square.
func (s Sound) Power(channel int) float64 {
	var sum float64
	for _, v := range s.Channels[channel] {
		sum += v * v
	}
	return sum / float64(max(1, len(s.Channels[channel])))
}

// Length gives the recording's length.
func (s Sound) Length() time.Duration {
	return time.Duration(len(s.Channels[0])) * time.Second / time.Duration(s.Rate)
}

// goertzel gives the share of the window's power at the frequency (as a
// fraction of the sampling rate) and the power itself.
func goertzel(in []float64, frequency float64) (share, power float64) {
	coefficient := 2 * math.Cos(2*math.Pi*frequency)
	var s1, s2, total float64
	for _, v := range in {
		s1, s2 = v+coefficient*s1-s2, s1
		total += v * v
	}
	n := float64(len(in))
	if total == 0 {
		return 0, 0
	}
	at := s1*s1 + s2*s2 - coefficient*s1*s2
	return 2 * at / (n * total), total / n
}

// Holds says whether half a second of the other recording, one with sound in it, stands
// in the channel, sample for sample: what went untouched through G.711 does, and a gap
// before or behind it is no matter.
func (s Sound) Holds(channel int, other Sound) bool {
	const half = 500 * time.Millisecond
	in := s.Channels[channel]
	for from := time.Duration(0); from+half <= other.Length(); from += half {
		part := other.Cut(from, from+half)
		if part.Power(0) < 1e-4 {
			continue // silence is everywhere
		}
		want := part.Channels[0]
		for at := 0; at+len(want) <= len(in); at++ {
			if slices.Equal(in[at:at+len(want)], want) {
				return true
			}
		}
	}
	return false
}

// Cut gives the part of the recording between two times.
func (s Sound) Cut(from, to time.Duration) Sound {
	part := Sound{Rate: s.Rate}
	for _, in := range s.Channels {
		a := min(max(0, int(from.Seconds()*float64(s.Rate))), len(in))
		b := min(max(a, int(to.Seconds()*float64(s.Rate))), len(in))
		part.Channels = append(part.Channels, in[a:b])
	}
	return part
}
