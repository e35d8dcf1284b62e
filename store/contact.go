package store

import (
	"context"
	"iter"
	"time"
)

// FirstContact is a talk on a subject (a queue) by a caller who had none on it for
// some time.
type FirstContact struct {
	Visit
	Again bool // he called about it again within that time, answered or not
}

// FirstContacts gives the talks that joined from one moment until before another and
// of whose caller there was no other on the subject within so long before, in no
// order. What follows within the same call is no calling again. The database looks
// each caller up; nothing of him is kept here.
func (s *Store) FirstContacts(ctx context.Context, from, to time.Time, within time.Duration) iter.Seq2[FirstContact, error] {
	// $3 is in milliseconds. That a hash is not empty is said thrice for the index.
	const ofSameSubject = `o.caller_hash = v.caller_hash AND o.caller_hash <> '' AND o.queue = v.queue AND o.node <> ''`
	var again bool
	scan := visitScan()
	return rows(ctx, s.read, "read first contacts", `SELECT `+visitColumns+`, EXISTS (SELECT 1 FROM visits o WHERE `+ofSameSubject+`
			AND o.call_id <> v.call_id AND o.joined_at >= v.joined_at AND o.joined_at <= v.joined_at + $3
			AND (o.joined_at > v.joined_at OR o.id > v.id))
		FROM visits v WHERE v.joined_at >= $1 AND v.joined_at < $2 AND v.result = 'answered' AND v.caller_hash <> '' AND v.node <> ''
		AND NOT EXISTS (SELECT 1 FROM visits o WHERE `+ofSameSubject+`
			AND o.result = 'answered' AND o.joined_at <= v.joined_at AND o.joined_at >= v.joined_at - $3
			AND (o.joined_at < v.joined_at OR o.id < v.id))`,
		[]any{from.UnixMilli(), to.UnixMilli(), within.Milliseconds()},
		func(row scanner) (FirstContact, error) {
			v, err := scan(andAlso{row, &again})
			return FirstContact{v, again}, err
		})
}

// andAlso is a row with one more column than its reader knows of.
type andAlso struct {
	scanner
	last any
}

// Scan reads that one too.
func (r andAlso) Scan(into ...any) error { return r.scanner.Scan(append(into, r.last)...) }
