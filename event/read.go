package event

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
)

// ErrTorn is found where a log does not go on with a whole record: the node died
// while writing, or the file is damaged. The error is a *Gap.
var ErrTorn = errors.New("event log is torn")

// Read gives the events of the log in dir, oldest first, up to where it ends when
// the reading begins. by unseals them; nil if they are plain.
//
// A damaged place gives a *Gap, and the reading goes on behind it if the loop
// does. A torn end gives one too; a node that is writing at this moment can look
// like that. Any other error is the last pair: os.ErrNotExist if there is no log,
// ErrUnseal if the key is missing or wrong.
func Read(dir string, by Sealer) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		w, end, err := wholeLog(dir, by)
		if err != nil {
			yield(Event{}, fmt.Errorf("read event log: %w", err))
			return
		}
		defer w.leave()
		for {
			ev, gap, err := w.next(end)
			if err == io.EOF {
				gap = w.endGap(0)
			}
			if gap != nil && !yield(Event{}, gap) || err == io.EOF {
				return
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("read event log: %w", err))
				return
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// Newest gives the last event of a kind in the log in dir, and false if there is
// none. The segments are read whole, from the newest on, so what is written often
// is found soon; those are left out that would make it more than most bytes, but
// never the newest. Damaged places are passed over; errors are those of Read.
func Newest(dir string, by Sealer, kind string, most int64) (newest Event, found bool, err error) {
	w, end, err := wholeLog(dir, by)
	if err != nil {
		return Event{}, false, fmt.Errorf("read event log: %w", err)
	}
	defer w.leave()
	firsts, err := listSegments(dir)
	if err != nil {
		return Event{}, false, fmt.Errorf("read event log: %w", err)
	}
	for _, first := range slices.Backward(firsts) {
		info, err := os.Stat(filepath.Join(dir, segmentName(first)))
		if errors.Is(err, os.ErrNotExist) { // deleted since it was listed, as are those before
			break
		}
		if err != nil {
			return Event{}, false, fmt.Errorf("read event log: %w", err)
		}
		if most -= info.Size(); most < 0 && first != end.first {
			break
		}
		for w.restart(first - 1); ; {
			ev, _, err := w.next(end)
			if err == io.EOF || err == nil && w.first > first {
				break
			}
			if err != nil {
				return Event{}, false, fmt.Errorf("read event log: %w", err)
			}
			if ev.Fact.Kind() == kind {
				newest, found = ev, true
			}
		}
		if found {
			return newest, true, nil
		}
	}
	return Event{}, false, nil
}

// wholeLog gives a walker before the first event in dir, and where the log ends
// now.
func wholeLog(dir string, by Sealer) (*walker, place, error) {
	firsts, err := listSegments(dir)
	if err != nil {
		return nil, place{}, err
	}
	if len(firsts) == 0 {
		return nil, place{}, fmt.Errorf("no segment in %s: %w", dir, os.ErrNotExist)
	}
	id, err := logID(dir, firsts)
	if err != nil {
		return nil, place{}, err
	}
	end := place{first: firsts[len(firsts)-1]}
	info, err := os.Stat(filepath.Join(dir, segmentName(end.first)))
	if err != nil {
		return nil, place{}, err
	}
	end.off = info.Size()
	return newWalker(dir, id, by, firsts[0]-1), end, nil
}
