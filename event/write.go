package event

import (
	"errors"
	"time"
)

// write puts one record at the end of the log. On a full disk the reserve is
// given up, and it is tried again. The caller holds mu.
func (l *Log) write(ev Event) error {
	whole, err := l.enc.encode(ev)
	if err != nil {
		return err
	}
	if l.end.off+int64(len(whole)) > l.endAt && l.end.seq >= l.end.first {
		if !l.rotate() {
			l.endAt += l.limit / 8 // and then it is tried again
		}
		if whole, err = l.enc.encode(ev); err != nil { // under the new segment's key
			return err
		}
	}
	err = l.append(whole)
	if noSpace(err) && l.giveUpReserve() {
		err = l.append(whole)
	}
	if err != nil {
		return err
	}
	if l.end.seq = ev.Seq; ev.Seq == l.end.first {
		l.began = ev.At
	}
	l.end.off += int64(len(whole))
	l.metrics.events.Inc()
	l.metrics.bytes.Add(float64(len(whole)))
	return nil
}

// append writes a record behind the last. The caller holds mu.
func (l *Log) append(whole []byte) error {
	n, err := l.file.WriteAt(whole, l.end.off)
	l.reach = max(l.reach, l.end.off+int64(n))
	return err
}

// rotate goes on in a new segment. It reports false, and says so the first time,
// if none can be made: the log goes on in the old one. The caller holds mu.
func (l *Log) rotate() bool {
	key, err := l.enc.seals.fresh(l.end.seq + 1)
	var f file
	var size int64
	if err == nil {
		f, size, err = l.successor(key.sealed)
	}
	if err != nil {
		if !l.stuck {
			l.log.Error("event log can't begin a new segment and goes on in the old one", "err", err)
		}
		l.stuck = true
		return false
	}
	if l.stuck {
		l.log.Warn("event log can begin new segments again")
		l.stuck = false
	}
	l.retired = append(l.retired, l.file)
	l.file, l.renewed = f, true
	l.enc.seals.key = key
	l.end.first, l.end.off, l.reach, l.endAt = l.end.seq+1, size, size, l.limit
	l.keeper.dropSoon()
	return true
}

// Renew ends the segment being written: what is emitted from now on is sealed
// under a new key, which the Sealer seals as it does now. It is for when the
// Sealer's own key has been rotated. Where no segment can be made the old one
// goes on, until it is full or too old.
func (l *Log) Renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && l.end.seq >= l.end.first {
		l.rotate()
	}
}

// retire ends a segment that is old enough, so that it can be deleted in time
// however little happens.
func (l *Log) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.age > 0 && !l.closed && l.end.seq >= l.end.first && time.Since(l.began) >= l.age {
		l.rotate()
	}
}

// successor makes the next segment, after cutting off this one what is left of a
// record that was not written whole.
func (l *Log) successor(key []byte) (file, int64, error) {
	if l.reach > l.end.off {
		if err := l.file.Truncate(l.end.off); err != nil {
			return nil, 0, err
		}
	}
	return l.disk.create(l.end.seq+1, key)
}

// flush brings what was written to the disk, and lets the readers have it. Only
// the syncer calls it.
func (l *Log) flush() error {
	l.mu.Lock()
	retired, current, renewed, end := l.retired, l.file, l.renewed, l.end
	l.retired, l.renewed = nil, false
	l.mu.Unlock()

	var err error
	for _, f := range retired {
		err = errors.Join(err, f.Sync(), f.Close())
	}
	err = errors.Join(err, current.Sync())
	if renewed {
		err = errors.Join(err, l.disk.sync())
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = end
	l.wake()
	return nil
}

// wake tells the readers to look again. The caller holds mu.
func (l *Log) wake() {
	close(l.moved)
	l.moved = make(chan struct{})
}
