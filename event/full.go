package event

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrFull says that the disk is full: facts are still kept, in space that was
// set aside, so that calls under way can end. No new one should begin.
var ErrFull = errors.New("the disk of the event log is full")

// Full reports whether the disk is full and facts are being kept in the reserve,
// or not at all. It ends by itself when there is room for the reserve again. It
// costs next to nothing: it can be asked for every call.
func (l *Log) Full() bool { return l.full.Load() }

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// setAside makes the reserve when the log is opened. A disk without room for it
// is one that is full already.
func (l *Log) setAside() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.disk.reserve()
	if errors.Is(err, ErrFull) {
		l.nowFull()
		return nil
	}
	if err != nil {
		return fmt.Errorf("set disk space aside: %w", err)
	}
	return nil
}

// giveUpReserve begins the state Full. It reports whether that freed anything.
// The caller holds mu.
func (l *Log) giveUpReserve() bool {
	l.nowFull()
	return l.disk.release()
}

// nowFull begins the state Full, and says so once. The caller holds mu.
func (l *Log) nowFull() {
	if l.full.CompareAndSwap(false, true) {
		l.log.Error("the disk of the event log is full: facts are kept in the reserve, and no new call should be taken")
		l.keeper.mendSoon()
	}
}

// mend is called every second while facts are being lost or the disk is full: a
// node that takes no calls emits nothing that would show that there is room
// again. It reports whether there is nothing left to mend.
func (l *Log) mend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true
	}
	if l.lost > 0 && !l.admit() {
		return false
	}
	if !l.full.Load() {
		return true
	}
	if err := l.disk.reserve(); err != nil {
		if !errors.Is(err, ErrFull) {
			l.log.Error("disk space for the event log can't be set aside", "err", err)
		}
		return false
	}
	l.full.Store(false)
	l.log.Warn("the disk of the event log has room again")
	return true
}
