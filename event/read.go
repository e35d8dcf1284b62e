package event

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
)

// ErrTorn is found where a log does not end with a whole record: the node died
// while writing, or the file is damaged.
var ErrTorn = errors.New("event log is torn")

// Read gives the events of the log in dir, oldest first. A log that does not
// end with a whole record gives ErrTorn (wrapped, with the offset) as its last
// pair; a node that is writing at this moment can look like that. A missing log
// gives an error that is os.ErrNotExist.
func Read(dir string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f, err := os.Open(filepath.Join(dir, fileName))
		if err != nil {
			yield(Event{}, fmt.Errorf("read event log: %w", err))
			return
		}
		defer f.Close()
		for ev, err := range events(f) {
			if !yield(ev, err) {
				return
			}
		}
	}
}

// events reads records until the end or the first error.
func events(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := newScanner(r)
		for last := uint64(0); ; {
			payload, err := s.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
			ev, err := decode(payload)
			if err == nil && last != 0 && ev.Seq != last+1 {
				err = fmt.Errorf("event %d follows event %d", ev.Seq, last)
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("event log before offset %d: %w", s.end, err))
				return
			}
			last = ev.Seq
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// scanner cuts a file into payloads.
type scanner struct {
	r   *bufio.Reader
	buf []byte
	end int64 // offset after the last whole record
}

func newScanner(r io.Reader) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, 64<<10)}
}

// next gives the payload of the next whole record, good until the next call:
// io.EOF at a clean end, ErrTorn if what follows is no whole record.
func (s *scanner) next() ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(s.r, header[:]); err == io.EOF {
		return nil, io.EOF
	} else if err != nil {
		return nil, s.torn(err)
	}
	n := binary.BigEndian.Uint32(header[:])
	if n == 0 || n > maxPayload {
		return nil, s.torn(fmt.Errorf("a length of %d", n))
	}
	if cap(s.buf) < int(n) {
		s.buf = make([]byte, max(int(n), 4096))
	}
	payload := s.buf[:n]
	if _, err := io.ReadFull(s.r, payload); err != nil {
		return nil, s.torn(err)
	}
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(header[4:]) {
		return nil, s.torn(errors.New("wrong checksum"))
	}
	s.end += headerSize + int64(n)
	return payload, nil
}

// torn tells a file that ends or makes no sense from one that can't be read.
func (s *scanner) torn(err error) error {
	if _, failed := errors.AsType[*os.PathError](err); failed {
		return fmt.Errorf("read event log at offset %d: %w", s.end, err)
	}
	return fmt.Errorf("%w at offset %d: %w", ErrTorn, s.end, err)
}
