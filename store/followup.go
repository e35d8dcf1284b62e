package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// FollowUp is a call we owe someone. A callback is one that keeps a place in a
// queue; its id is the visit's, so that it is made once whoever finds it first.
type FollowUp struct {
	ID         string
	Kind       FollowUpKind
	Call       string // which it came from
	Visit      string
	Queue      string
	Language   string
	Requires   map[string]int
	Caller     Private // the number to call; sealed in the table
	CallerHash string  // made from Caller by AddFollowUp
	Place      time.Time
	DueFrom    time.Time // it is owed from DueFrom until DueTo
	DueTo      time.Time
	Created    time.Time
	Attempts   int // times it was claimed
	Holder     string
	HeldTo     time.Time
	Settled    time.Time      // zero while it is owed
	Result     FollowUpResult // empty while it is owed
}

// FollowUpKind is why a call is owed.
type FollowUpKind string

// The kinds of a follow-up.
const (
	Callback    FollowUpKind = "callback"    // the caller asked for it instead of waiting
	Interrupted FollowUpKind = "interrupted" // a restart cut the caller off
	Promised    FollowUpKind = "promised"    // an agent promised to call
)

// FollowUpResult is how a follow-up was settled.
type FollowUpResult string

// How a follow-up can be settled.
const (
	FollowUpDone    FollowUpResult = "done"
	FollowUpFailed  FollowUpResult = "failed"  // as often as allowed
	FollowUpDropped FollowUpResult = "dropped" // somebody decided so
	FollowUpErased  FollowUpResult = "erased"  // the caller asked to be forgotten
	FollowUpExpired FollowUpResult = "expired" // nobody called while the number was kept
)

// ErrNotHeld is a follow-up that somebody else holds, or that is settled.
var ErrNotHeld = errors.New("the follow-up is held by somebody else, or settled")

// ErrUnknownFollowUp is an id that no follow-up has.
var ErrUnknownFollowUp = errors.New("no such follow-up")

// AddFollowUp writes down a call we owe, and reports whether it was not there
// yet. Once it returns, the promise can be made: the disk has it. It reports false
// too if the caller has been erased since the call it comes from began: he is owed
// nothing.
func (s *Store) AddFollowUp(ctx context.Context, f FollowUp) (added bool, err error) {
	err = s.inTx(ctx, "add follow-up", func(t *tx) (err error) {
		if err = s.besideErasures(ctx, t); err == nil {
			added, err = s.addFollowUp(ctx, t, f)
		}
		return err
	})
	return added && err == nil, err
}

func (s *Store) addFollowUp(ctx context.Context, t *tx, f FollowUp) (added bool, err error) {
	sealed, err := s.seal(f.Caller, followUpPlace(f.ID))
	if err != nil {
		return false, fmt.Errorf("seal its number: %w", err)
	}
	hash := ""
	if f.Caller != "" {
		hash = s.sealer.Hash(f.Caller.Reveal())
	}
	requires, err := levels(f.Requires)
	if err != nil {
		return false, err
	}
	var erased int // by his call, or before the history has it by his number
	if err := t.row(ctx, `SELECT (SELECT COUNT(*) FROM calls WHERE id = $1 AND erased_at IS NOT NULL)
		+ (SELECT COUNT(*) FROM erasures WHERE caller_hash = $2 AND at >= $3)`, []any{f.Call, hash, f.Place.UnixMilli()}, &erased); erased > 0 || err != nil {
		return false, err
	}
	n, err := t.exec(ctx, `INSERT INTO follow_ups (id, kind, call_id, visit, queue, language, requires, caller_hash, caller_sealed,
		place_at, due_from, due_to, created_at, attempts, holder, held_to, result)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, '', 0, '') ON CONFLICT (id) DO NOTHING`,
		f.ID, string(f.Kind), f.Call, f.Visit, f.Queue, f.Language, requires, hash, sealed,
		f.Place.UnixMilli(), f.DueFrom.UnixMilli(), f.DueTo.UnixMilli(), time.Now().UnixMilli())
	return n == 1, err
}

// CallBack owes the caller of a visit a call, due within so long from now and
// with the visit's place in line. It reports false if that is owed already, or
// if nobody knows the caller's number (any more).
func (s *Store) CallBack(ctx context.Context, kind FollowUpKind, v Visit, within time.Duration) (added bool, err error) {
	err = s.inTx(ctx, "add callback", func(t *tx) error {
		added = false
		if err := s.besideErasures(ctx, t); err != nil {
			return err
		}
		number, err := s.callerOf(ctx, t, v.Call)
		if err != nil || number == "" {
			return err
		}
		now := time.Now()
		added, err = s.addFollowUp(ctx, t, FollowUp{
			ID: v.ID, Kind: kind, Call: v.Call, Visit: v.ID, Queue: v.Queue, Language: v.Language, Requires: v.Requires,
			Caller: number, Place: v.Joined, DueFrom: now, DueTo: now.Add(within),
		})
		return err
	})
	return added && err == nil, err
}

// callerOf opens a call's caller number for our own use; nobody is shown it.
func (s *Store) callerOf(ctx context.Context, q querier, call string) (Private, error) {
	for number, err := range rows(ctx, q, "read a caller's number", `SELECT caller_sealed FROM calls WHERE id = $1`, []any{call},
		func(row scanner) (Private, error) {
			var sealed []byte
			if err := row.Scan(&sealed); err != nil {
				return "", err
			}
			return s.unseal(sealed, CallerPlace(call))
		}) {
		return number, err
	}
	return "", nil
}

const followUpColumns = `id, kind, call_id, visit, queue, language, requires, caller_hash, caller_sealed,
	place_at, due_from, due_to, created_at, attempts, holder, held_to, settled_at, result`

// scanFollowUp opens the number too: who holds a follow-up has to dial it.
func (s *Store) scanFollowUp(row scanner) (FollowUp, error) {
	f, sealed, err := readFollowUp(row)
	if err == nil {
		f.Caller, err = s.unseal(sealed, followUpPlace(f.ID))
	}
	return f, err
}

// readFollowUp gives the number as it is sealed.
func readFollowUp(row scanner) (f FollowUp, sealed []byte, err error) {
	err = row.Scan(&f.ID, &f.Kind, &f.Call, &f.Visit, &f.Queue, &f.Language, asJSON{&f.Requires}, &f.CallerHash, &sealed,
		when{&f.Place}, when{&f.DueFrom}, when{&f.DueTo}, when{&f.Created}, &f.Attempts, &f.Holder, when{&f.HeldTo}, when{&f.Settled}, &f.Result)
	return f, sealed, err
}

// FollowUps gives the follow-ups that are, or were, due at some time from one
// moment until before another, in the order in which they fall due: what
// promises are counted from, and so without the callers' numbers.
func (s *Store) FollowUps(ctx context.Context, from, to time.Time) iter.Seq2[FollowUp, error] {
	return rows(ctx, s.read, "read follow-ups", `SELECT `+followUpColumns+` FROM follow_ups
		WHERE due_to >= $1 AND due_from < $2 ORDER BY due_to, id`, []any{from.UnixMilli(), to.UnixMilli()}, withoutNumber)
}

// FollowUpSearch says which follow-ups are looked for: all that are owed, however
// long overdue, and due before a moment.
type FollowUpSearch struct {
	Until   time.Time // due from before
	Settled time.Time // those settled too that were due at this moment or later; zero: none
	Limit   int       // how many a page; default 100, at most 1000
	After   string    // Next of the page before
}

// FollowUpPage is a page of what was found, what is due first first, without the
// callers' numbers.
type FollowUpPage struct {
	FollowUps []FollowUp
	Next      string // for the page after this one; empty on the last
}

// OwedFollowUps gives a page of the follow-ups that fit. ErrBadPage.
func (s *Store) OwedFollowUps(ctx context.Context, q FollowUpSearch) (FollowUpPage, error) {
	var w where
	w.and("due_from < ?", q.Until.UnixMilli())
	if q.Settled.IsZero() {
		w.and("settled_at IS NULL")
	} else {
		w.and("(settled_at IS NULL OR due_to >= ?)", q.Settled.UnixMilli())
	}
	if q.After != "" {
		due, id, err := readPageMark(q.After)
		if err != nil {
			return FollowUpPage{}, fmt.Errorf("store: list follow-ups: %w", err)
		}
		w.and("(due_to > ? OR due_to = ? AND id > ?)", due, due, id)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	found, err := collect(rows(ctx, s.read, "list follow-ups", `SELECT `+followUpColumns+` FROM follow_ups`+w.String()+
		fmt.Sprintf(` ORDER BY due_to, id LIMIT %d`, limit+1), w.args, withoutNumber))
	if err != nil || len(found) <= limit {
		return FollowUpPage{FollowUps: found}, err
	}
	last := found[limit-1]
	return FollowUpPage{found[:limit], pageMark(last.DueTo, last.ID)}, nil
}

// FollowUp gives one of them. ErrUnknownFollowUp.
func (s *Store) FollowUp(ctx context.Context, id string) (FollowUp, error) {
	for f, err := range rows(ctx, s.read, "read follow-up", `SELECT `+followUpColumns+` FROM follow_ups WHERE id = $1`, []any{id}, withoutNumber) {
		return f, err
	}
	return FollowUp{}, fmt.Errorf("%w: %q", ErrUnknownFollowUp, id)
}

func withoutNumber(row scanner) (FollowUp, error) {
	f, _, err := readFollowUp(row)
	return f, err
}

// ClaimFollowUps takes up to max of those that are owed now, for this node and
// for so long: nobody else gets them before that is over. Those claimed by a
// node that died are given again then.
func (s *Store) ClaimFollowUps(ctx context.Context, max int, hold time.Duration) ([]FollowUp, error) {
	var claimed []FollowUp
	now := time.Now()
	locked := ""
	if s.dialect == postgres {
		locked = " FOR UPDATE SKIP LOCKED" // two nodes that ask at once share them out
	}
	err := s.inTx(ctx, "claim follow-ups", func(t *tx) (err error) {
		claimed, err = collect(rows(ctx, t, "claim follow-ups", `UPDATE follow_ups SET holder = $1, held_to = $2, attempts = attempts + 1
			WHERE id IN (SELECT id FROM follow_ups WHERE settled_at IS NULL AND due_from <= $3 AND held_to <= $4 ORDER BY place_at, id LIMIT $5`+locked+`)
			RETURNING `+followUpColumns, []any{s.node, now.Add(hold).UnixMilli(), now.UnixMilli(), now.UnixMilli(), max}, s.scanFollowUp))
		return err
	})
	return claimed, err
}

// SettleFollowUp says how a follow-up that this node holds ended. Saying the same
// again changes nothing, for who does not know whether it was taken down. ErrNotHeld.
func (s *Store) SettleFollowUp(ctx context.Context, id string, result FollowUpResult) error {
	return s.changeHeld(ctx, "settle follow-up", `UPDATE follow_ups SET settled_at = COALESCE(settled_at, $3), result = $4
		WHERE id = $1 AND holder = $2 AND (settled_at IS NULL OR result = $4)`, id, s.node, time.Now().UnixMilli(), string(result))
}

// ReturnFollowUp gives a follow-up that this node holds back, to be tried
// again from a later moment on. ErrNotHeld.
func (s *Store) ReturnFollowUp(ctx context.Context, id string, from time.Time) error {
	return s.changeHeld(ctx, "return follow-up", `UPDATE follow_ups SET due_from = $3, holder = '', held_to = 0
		WHERE id = $1 AND holder = $2 AND settled_at IS NULL`, id, s.node, from.UnixMilli())
}

func (s *Store) changeHeld(ctx context.Context, doing, query string, args ...any) error {
	return s.inTx(ctx, doing, func(t *tx) error {
		n, err := t.exec(ctx, query, args...)
		if err == nil && n == 0 {
			err = ErrNotHeld
		}
		return err
	})
}
