package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// Class is a class of what is stored, with a time for which it is kept.
type Class string

// The classes of retention.
const (
	Records     Class = "records"    // calls and all that belongs to them, agents' states
	Callers     Class = "callers"    // the caller's number and hash in the records and in what is owed
	Recordings  Class = "recordings" // what callers said
	FollowUpsOf Class = "follow_ups" // calls we owed, once settled
	AuditTrail  Class = "audit"
)

// Classes gives every class.
func Classes() []Class { return []Class{Records, Callers, Recordings, FollowUpsOf, AuditTrail} }

// ErrUnknownClass is a class that is none of Classes.
var ErrUnknownClass = errors.New("no such class of retention")

// purgeBatch is how many rows, or calls with all their rows, one transaction
// deletes: few enough that the history never waits for long.
const purgeBatch = 500

// Retain deletes everything whose time is over, and gives how many rows of each
// class that were. It is a daily job; what one run leaves the next takes.
func (s *Store) Retain(ctx context.Context, by By, kept config.Retention, now time.Time) (map[Class]int, error) {
	purged := map[Class]int{}
	for _, c := range []struct {
		class Class
		kept  config.Period
	}{{Records, kept.Records}, {Callers, kept.Callers}, {Recordings, kept.Recordings}, {FollowUpsOf, kept.FollowUps}, {AuditTrail, kept.Audit}} {
		if c.kept == (config.Period{}) {
			continue
		}
		n, err := s.Purge(ctx, by, c.class, c.kept.Before(now))
		purged[c.class] = n
		if err != nil {
			return purged, err
		}
	}
	return purged, nil
}

// Purge deletes what is of a class and older than a moment, and gives how many
// rows that were; recordings are condemned, since their files are their node's
// to delete (Condemned). Each transaction that deletes any has its audit entry. After an error, what has
// been deleted stays so. ErrUnknownClass.
func (s *Store) Purge(ctx context.Context, by By, class Class, before time.Time) (n int, err error) {
	var step func(context.Context, *tx, int64) (rows, left int64, err error)
	switch class {
	case Records:
		step = purgeRecords
	case Callers:
		step = purgeCallers
	case Recordings:
		step = condemnOld
	case FollowUpsOf:
		step = purgeFollowUps
	case AuditTrail:
		step = s.purgeAudit
	default:
		return 0, fmt.Errorf("store: purge: %w: %q", ErrUnknownClass, class)
	}
	for again := true; again && err == nil; {
		var deleted int64
		err = s.inTx(ctx, "purge "+string(class), func(t *tx) error {
			rows, left, err := step(ctx, t, before.UnixMilli())
			if deleted, again = rows, left >= purgeBatch; err != nil || rows == 0 {
				return err
			}
			return s.note(ctx, t, by.entry("retention.purge", string(class),
				fmt.Sprintf("%d rows from before %s", rows, before.UTC().Format(time.RFC3339))))
		})
		if err == nil {
			n += int(deleted)
		}
	}
	if n > 0 {
		s.metrics.purged.WithLabelValues(string(class)).Add(float64(n))
	}
	return n, err
}
