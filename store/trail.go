package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EntrySearch says which of the audit's entries are looked for. What is empty does
// not matter.
type EntrySearch struct {
	From, To time.Time // written from, until before
	Actor    string    // "os:bugle", "api:user:sue"
	Action   string    // "recording.export"
	Object   string    // what it was done to: "agent anna"

	Limit int    // how many a page; default 100, at most 1000
	After string // Next of the page before
}

// String says what part of the audit is looked for, for the audit: which moments,
// and by what, but not which actor or object, as anybody may ask for anything.
func (q EntrySearch) String() string {
	var said []string
	for name, t := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !t.IsZero() {
			said = append(said, name+" "+t.UTC().Format(time.RFC3339))
		}
	}
	for name, value := range map[string]string{"of one actor": q.Actor, "of one action": q.Action, "of one object": q.Object} {
		if value != "" {
			said = append(said, name)
		}
	}
	slices.Sort(said)
	return strings.Join(said, ", ")
}

// EntryPage is a page of what was found, latest entry first.
type EntryPage struct {
	Entries []Entry
	Next    string // for the page after this one; empty on the last
}

// Trail gives a page of the audit's entries that fit, of all nodes. That they are
// read is for the caller to audit. ErrBadPage.
func (s *Store) Trail(ctx context.Context, q EntrySearch) (EntryPage, error) {
	var w where
	if q.After != "" {
		at, place, err := readPageMark(q.After)
		seq, node, _ := strings.Cut(place, " ")
		n, bad := strconv.ParseInt(seq, 10, 64)
		if err != nil || bad != nil {
			return EntryPage{}, fmt.Errorf("store: search the audit: %w", ErrBadPage)
		}
		// The first of these the index on at serves: else a page would go through all before it.
		w.and("at <= ? AND (at < ? OR node < ? OR node = ? AND seq < ?)", at, at, node, node, n)
	}
	w.within("at", q.From, q.To)
	w.is("actor", q.Actor)
	w.is("action", q.Action)
	w.is("object", q.Object)
	limit := pageLimit(q.Limit)
	found, err := collect(rows(ctx, s.read, "search the audit",
		entryQuery+w.String()+fmt.Sprintf(` ORDER BY at DESC, node DESC, seq DESC LIMIT %d`, limit+1), w.args, scanPlainEntry))
	if err != nil {
		return EntryPage{}, err
	}
	page := EntryPage{Entries: found}
	if len(found) > limit {
		last := found[limit-1]
		page = EntryPage{Entries: found[:limit], Next: pageMark(last.At, fmt.Sprintf("%d %s", last.Seq, last.Node))}
	}
	return page, nil
}

// Entries gives the audit's entries from one moment until before another, of
// all nodes, in that order.
func (s *Store) Entries(ctx context.Context, from, to time.Time) iter.Seq2[Entry, error] {
	return rows(ctx, s.read, "read the audit", entryQuery+` WHERE at >= $1 AND at < $2 ORDER BY at, node, seq`,
		[]any{from.UnixMilli(), to.UnixMilli()}, scanPlainEntry)
}

const entryQuery = `SELECT node, seq, at, actor, action, object, address, detail, hash FROM audit`

func scanEntry(row scanner) (e Entry, hash []byte, err error) {
	err = row.Scan(&e.Node, number{&e.Seq}, when{&e.At}, &e.Actor, &e.Action, &e.Object, &e.From, &e.Detail, &hash)
	return e, hash, err
}

func scanPlainEntry(row scanner) (Entry, error) {
	e, _, err := scanEntry(row)
	return e, err
}

// number reads an entry's number. What can't be one, such as a negative, is 0,
// which fits nowhere: whoever writes it must neither stop the node nor Verify.
type number struct{ into *uint64 }

// Scan implements sql.Scanner.
func (n number) Scan(v any) error {
	var i sql.NullInt64
	if err := i.Scan(v); err != nil || i.Int64 < 0 {
		i.Int64 = 0
	}
	*n.into = uint64(i.Int64)
	return nil
}
