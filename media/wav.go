package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxWAV bounds a clip's file: an hour of 16-bit samples.
const maxWAV = 3600 * sampleRate * 2

// The format tags of WAV files that can be read.
const (
	wavPCM  = 1
	wavALaw = 6
	wavMu   = 7
)

// LoadClip reads a WAV file of one channel at 8 kHz, as µ-law, A-law or 16-bit
// PCM, of at most an hour. Its errors say what is wrong with the file in words
// that a person who recorded it can act on.
func LoadClip(wav io.Reader) (*Clip, error) {
	var riff [12]byte
	if _, err := io.ReadFull(wav, riff[:]); err != nil {
		return nil, fmt.Errorf("not a WAV file: %w", noEOF(err))
	}
	if string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return nil, errors.New("not a WAV file: it does not begin with RIFF and WAVE")
	}
	var format *wavFormat
	for {
		name, size, err := nextChunk(wav)
		if errors.Is(err, io.EOF) {
			return nil, errors.New("WAV file without audio: no data chunk")
		}
		if err != nil {
			return nil, err
		}
		switch name {
		case "fmt ":
			if format, err = readFormat(wav, size); err != nil {
				return nil, err
			}
		case "data":
			if format == nil {
				return nil, errors.New("broken WAV file: its data come before its format")
			}
			return format.readClip(wav, size)
		default:
			if _, err := io.CopyN(io.Discard, wav, int64(size)+int64(size&1)); err != nil {
				return nil, fmt.Errorf("reading the WAV file's %q chunk: %w", name, noEOF(err))
			}
		}
	}
}

// nextChunk reads a chunk's name and size; io.EOF when there is none.
func nextChunk(wav io.Reader) (name string, size uint32, err error) {
	var head [8]byte
	if _, err := io.ReadFull(wav, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF // a stray byte or two at the end
		}
		return "", 0, err
	}
	return string(head[:4]), binary.LittleEndian.Uint32(head[4:]), nil
}

// wavFormat is what a fmt chunk says.
type wavFormat struct {
	Tag       uint16
	Channels  uint16
	Rate      uint32
	ByteRate  uint32
	BlockSize uint16
	Bits      uint16
}

// readFormat reads a fmt chunk and refuses what cannot be played.
func readFormat(wav io.Reader, size uint32) (*wavFormat, error) {
	const least, most = 16, 1024
	if size < least || size > most {
		return nil, fmt.Errorf("broken WAV file: a format chunk of %d bytes", size)
	}
	chunk := make([]byte, size+size&1)
	if _, err := io.ReadFull(wav, chunk); err != nil {
		return nil, fmt.Errorf("reading the WAV file's format: %w", noEOF(err))
	}
	var f wavFormat
	if _, err := binary.Decode(chunk, binary.LittleEndian, &f); err != nil {
		return nil, fmt.Errorf("reading the WAV file's format: %w", err)
	}
	switch {
	case f.Channels != 1:
		return nil, fmt.Errorf("the WAV file has %d channels; it must be mono", f.Channels)
	case f.Rate != sampleRate:
		return nil, fmt.Errorf("the WAV file has %d samples a second; it must have %d", f.Rate, sampleRate)
	case f.Tag == wavPCM && f.Bits != 16:
		return nil, fmt.Errorf("the WAV file's samples have %d bits; PCM must have 16", f.Bits)
	case f.Tag != wavPCM && f.Tag != wavMu && f.Tag != wavALaw:
		return nil, fmt.Errorf("the WAV file is encoded in format %d; it must be 16-bit PCM, µ-law or A-law", f.Tag)
	}
	return &f, nil
}

// readClip reads the audio of a data chunk. Programs that write into a pipe do
// not know its size and say 0 or all ones: then it goes to the file's end.
func (f *wavFormat) readClip(wav io.Reader, size uint32) (*Clip, error) {
	open := size == 0 || size == 1<<32-1
	if !open && size > maxWAV {
		return nil, fmt.Errorf("the WAV file has %d bytes of audio; at most %d (an hour) can be loaded", size, maxWAV)
	}
	limit := int64(size)
	if open {
		limit = maxWAV
	}
	data, err := io.ReadAll(io.LimitReader(wav, limit))
	if err != nil {
		return nil, fmt.Errorf("reading the WAV file's audio: %w", err)
	}
	if !open && len(data) < int(size) {
		return nil, fmt.Errorf("the WAV file is cut short: %d bytes of audio announced, %d there", size, len(data))
	}
	clip := f.clip(data)
	if clip.Duration() == 0 {
		return nil, errors.New("the WAV file holds no audio: its data chunk is empty")
	}
	return clip, nil
}

// clip encodes the data in every codec. What is a codec already stays as it is.
func (f *wavFormat) clip(data []byte) *Clip {
	switch f.Tag {
	case wavMu:
		c := &Clip{mu: data, a: bytes.Clone(data)}
		translate(c.a, PCMU, PCMA)
		return c
	case wavALaw:
		c := &Clip{mu: bytes.Clone(data), a: data}
		translate(c.mu, PCMA, PCMU)
		return c
	}
	pcm := make([]int16, len(data)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(data[2*i:]))
	}
	return NewClip(pcm)
}

// noEOF says of a file that ends too early that it is unexpected.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
