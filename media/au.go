package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// The header of a Sun AU file: six big-endian words.
const (
	auMagic   = ".snd"
	auHeader  = 24         // bytes
	auUnknown = 0xFFFFFFFF // length: to the end of the file
	auMu      = 1          // encoding: 8-bit µ-law
)

// writeAUHeader begins a mono µ-law file of unknown length.
func writeAUHeader(to io.Writer) error {
	h := append(make([]byte, 0, auHeader), auMagic...)
	for _, word := range []uint32{auHeader, auUnknown, auMu, sampleRate, 1} {
		h = binary.BigEndian.AppendUint32(h, word)
	}
	_, err := to.Write(h)
	return err
}

// AULength is how long the recording is that an AU file of so many bytes holds.
func AULength(size int64) time.Duration { return time.Duration(max(0, size-auHeader)) * sampleTime }

// ConvertAU writes the AU file of a voice recording, of size bytes, as a WAV
// file of 16-bit PCM, which everything plays.
func ConvertAU(to io.Writer, au io.Reader, size int64) error {
	var h struct {
		Magic                                  [4]byte
		Offset, Size, Encoding, Rate, Channels uint32
	}
	if err := binary.Read(au, binary.BigEndian, &h); err != nil {
		return fmt.Errorf("reading a recording: %w", noEOF(err))
	}
	if string(h.Magic[:]) != auMagic || h.Offset != auHeader || h.Encoding != auMu || h.Rate != sampleRate || h.Channels != 1 {
		return errors.New("not a recording: no AU file of one channel of µ-law at 8 kHz")
	}
	out := bufio.NewWriter(to)
	samples := size - auHeader
	if err := writeHeader(out, 1, 2*samples); err != nil {
		return err
	}
	var mu [4096]byte
	for samples > 0 {
		n, err := io.ReadFull(au, mu[:min(samples, int64(len(mu)))])
		if err != nil {
			return fmt.Errorf("reading a recording: %w", noEOF(err))
		}
		samples -= int64(n)
		for _, b := range mu[:n] {
			sample := uint16(muDecode[b])
			if _, err := out.Write([]byte{byte(sample), byte(sample >> 8)}); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}
