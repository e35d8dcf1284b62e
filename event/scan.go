package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// scanner cuts a segment into records, and finds the next whole one behind
// whatever is damaged. It keeps a window of the file in memory, at most one
// record and a little more.
type scanner struct {
	r    io.ReaderAt
	off  int64 // where the next record is expected
	end  int64 // nothing at or behind it is looked at
	base int64 // where the window begins
	win  []byte
}

const windowSize = 64 << 10

var markStart = []byte{plainMark >> 24, plainMark >> 16 & 0xff, plainMark >> 8 & 0xff}

// next gives the next whole record and how many bytes were passed over to find
// it. At the end it gives io.EOF; bytes passed over then are a torn end, and stay
// where they are: off is behind the last whole record.
func (s *scanner) next() (r record, skipped int64, err error) {
	for at := s.off; ; {
		r, ok, err := s.recordAt(at)
		if err != nil {
			return record{}, 0, err
		}
		if ok {
			skipped = at - s.off
			s.off = at + headerSize + int64(len(r.payload))
			return r, skipped, nil
		}
		if at, err = s.seek(at + 1); err == io.EOF {
			return record{}, s.end - s.off, io.EOF
		} else if err != nil {
			return record{}, 0, err
		}
	}
}

// recordAt reads the record that begins at off, if a whole one does.
func (s *scanner) recordAt(off int64) (r record, ok bool, err error) {
	if s.end-off < headerSize {
		return record{}, false, nil
	}
	h, err := s.view(off, headerSize)
	if err != nil {
		return record{}, false, err
	}
	mark, n := binary.BigEndian.Uint32(h), int64(binary.BigEndian.Uint32(h[4:]))
	if mark != plainMark && mark != keyedMark && mark != sealedMark || n == 0 || n > maxPayload || s.end-off-headerSize < n {
		return record{}, false, nil
	}
	whole, err := s.view(off, headerSize+int(n))
	if err != nil {
		return record{}, false, err
	}
	seq := binary.BigEndian.Uint64(whole[8:])
	if seq == 0 || checksum(whole) != binary.BigEndian.Uint32(whole[crcAt:]) {
		return record{}, false, nil
	}
	return record{seq: seq, mark: mark, payload: whole[headerSize:], off: off}, true, nil
}

// seek gives the first place from off on where a record might begin, io.EOF if
// there is none.
func (s *scanner) seek(off int64) (int64, error) {
	for s.end-off >= headerSize {
		n := min(windowSize, s.end-off)
		if have := s.base + int64(len(s.win)) - off; off >= s.base && have >= int64(len(markStart)) {
			n = min(n, have)
		}
		view, err := s.view(off, int(n))
		if err != nil {
			return 0, err
		}
		if i := bytes.Index(view, markStart); i >= 0 {
			return off + int64(i), nil
		}
		off += n - int64(len(markStart)) + 1
	}
	return 0, io.EOF
}

// view gives n bytes at off, good until the next call. The caller has looked
// that end is not before them.
func (s *scanner) view(off int64, n int) ([]byte, error) {
	if i := off - s.base; i >= 0 && i+int64(n) <= int64(len(s.win)) {
		return s.win[i : i+int64(n)], nil
	}
	size := int(min(max(int64(n), windowSize), s.end-off))
	if cap(s.win) < size {
		s.win = make([]byte, size)
	}
	s.base, s.win = off, s.win[:size]
	if got, err := s.r.ReadAt(s.win, off); got < size {
		s.win = s.win[:0]
		return nil, fmt.Errorf("at offset %d: %w", off+int64(got), err)
	}
	return s.win[:n], nil
}
