package event

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Gap is a place where the log can't be read: a damaged disk, the torn end a
// crash left, or a missing file. errors.Is says it is ErrTorn.
type Gap struct {
	Segment string // file in which it begins
	Offset  int64  // where in it
	Bytes   int64  // passed over; 0 if records are missing without a trace
	After   uint64 // sequence number of the last event before it
	Next    uint64 // of the first behind it; 0 if nothing is
}

// Lost gives how many events are missing there, as far as that is known: of a
// torn end it is not.
func (g *Gap) Lost() uint64 {
	if g.Next == 0 {
		return 0
	}
	return g.Next - g.After - 1
}

func (g *Gap) Error() string {
	if g.Next == 0 {
		return fmt.Sprintf("%v: %d bytes after event %d, at offset %d of %s", ErrTorn, g.Bytes, g.After, g.Offset, g.Segment)
	}
	return fmt.Sprintf("%v: %d events and %d bytes between events %d and %d, at offset %d of %s",
		ErrTorn, g.Lost(), g.Bytes, g.After, g.Next, g.Offset, g.Segment)
}

// Unwrap makes a Gap an ErrTorn.
func (g *Gap) Unwrap() error { return ErrTorn }

// place is a point in the log: behind event seq, at off in the segment first.
type place struct {
	first uint64
	off   int64
	seq   uint64
}

// walker goes through the segments of a log, record by record, over whatever is
// damaged. It holds one file open.
type walker struct {
	dir   string
	id    string
	seals *seals
	pos   uint64 // the last event given, or given up
	bytes int    // of its payload
	first uint64 // the segment it is in; 0: none yet
	file  *os.File
	final bool // the writer has left it: scan.end is its end
	scan  scanner
	gap   *Gap // what was passed over since pos
}

func newWalker(dir, id string, by Sealer, pos uint64) *walker {
	return &walker{dir: dir, id: id, seals: newSeals(id, by), pos: pos}
}

// next gives the next event before end, and the gap before it if there is one.
// At end it gives io.EOF. After an ErrUnseal it stays before that event; what
// can be unsealed and makes no sense becomes part of a gap.
func (w *walker) next(end place) (Event, *Gap, error) {
	for {
		r, err := w.record(end)
		if err != nil {
			return Event{}, nil, err
		}
		if r.seq <= w.pos {
			continue
		}
		ev, err := w.seals.event(r)
		if errors.Is(err, ErrUnseal) {
			w.scan.off = r.off
			return Event{}, nil, err
		}
		if err != nil {
			w.damaged(r.off, w.scan.off-r.off)
			continue
		}
		if r.seq != w.pos+1 {
			w.damaged(r.off, 0)
		}
		gap := w.endGap(r.seq)
		w.pos, w.bytes = r.seq, len(r.payload)
		return ev, gap, nil
	}
}

// record gives the next whole record before end.
func (w *walker) record(end place) (record, error) {
	for {
		if w.file == nil {
			if err := w.enter(); err != nil {
				return record{}, err
			}
		}
		if w.first > end.first {
			return record{}, io.EOF
		}
		if err := w.limit(end); err != nil {
			return record{}, err
		}
		at := w.scan.off
		r, skipped, err := w.scan.next()
		if skipped > 0 {
			w.damaged(at, skipped)
		}
		if err == nil {
			return r, nil
		}
		if err != io.EOF {
			return record{}, fmt.Errorf("read %s: %w", w.file.Name(), err)
		}
		if w.first == end.first {
			w.scan.off = w.scan.end
			return record{}, io.EOF
		}
		w.leave()
	}
}

// limit sets where the segment ends for now.
func (w *walker) limit(end place) error {
	switch {
	case w.first == end.first:
		w.scan.end = end.off
	case !w.final:
		info, err := w.file.Stat()
		if err != nil {
			return err
		}
		w.scan.end, w.final = info.Size(), true
	}
	return nil
}

// enter opens the segment that holds the event after pos or, if one was left,
// the one after that. io.EOF: there is none.
func (w *walker) enter() error {
	firsts, err := listSegments(w.dir)
	if err != nil {
		return err
	}
	for i, first := range firsts {
		if first <= w.first || w.first == 0 && i+1 < len(firsts) && firsts[i+1] <= w.pos+1 {
			continue
		}
		f, err := os.Open(filepath.Join(w.dir, segmentName(first)))
		if errors.Is(err, os.ErrNotExist) { // deleted since it was listed
			continue
		}
		if err != nil {
			return err
		}
		if err := w.begin(f, first); err != nil {
			return errors.Join(err, f.Close())
		}
		return nil
	}
	return io.EOF
}

// begin goes to the first record of a segment. What has no title of ours is
// searched for records; what another log wrote is none of ours.
func (w *walker) begin(f *os.File, first uint64) error {
	h, err := segmentTitle(w.dir, f, first)
	if err != nil {
		return err
	}
	w.seals.key = segmentKey{first: first, sealed: h.key}
	w.first, w.file, w.final = first, f, false
	w.scan = scanner{r: f, off: h.size, win: w.scan.win[:0]}
	if h.id != "" && h.id != w.id {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		w.scan.off = info.Size()
		w.damaged(0, info.Size())
	}
	return nil
}

// leave closes the segment.
func (w *walker) leave() {
	if w.file != nil {
		_ = w.file.Close() // it was only read
		w.file = nil
	}
}

// restart goes to the event after pos.
func (w *walker) restart(pos uint64) {
	w.leave()
	w.first, w.pos, w.gap = 0, pos, nil
}

// damaged adds to the gap, which begins with the first of these.
func (w *walker) damaged(at, bytes int64) {
	if w.gap == nil {
		w.gap = &Gap{Segment: segmentName(w.first), Offset: at, After: w.pos}
	}
	w.gap.Bytes += bytes
}

// endGap gives the gap before event next, nil if there is none, and begins
// anew.
func (w *walker) endGap(next uint64) *Gap {
	gap := w.gap
	if gap != nil {
		gap.Next = next
	}
	w.gap = nil
	return gap
}
