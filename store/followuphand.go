package store

import (
	"context"
	"fmt"
	"time"
)

// ByHand reports whether a person may say that a follow-up ended so.
func (r FollowUpResult) ByHand() bool {
	return r == FollowUpDone || r == FollowUpFailed || r == FollowUpDropped
}

// TakeFollowUp gives a person one of the calls we owe, with the number to call,
// for so long: meanwhile neither a node nor anybody else gets it. Who has it
// gets it again, which is no other attempt. It is audited, as a number is shown. ErrNotHeld,
// ErrUnknownFollowUp.
func (s *Store) TakeFollowUp(ctx context.Context, by By, id string, hold time.Duration) (f FollowUp, err error) {
	now := time.Now()
	err = s.inTx(ctx, "take follow-up", func(t *tx) error {
		taken, err := collect(rows(ctx, t, "take follow-up", `UPDATE follow_ups SET holder = $2, held_to = $3, attempts = attempts + CASE WHEN held_to > $4 THEN 0 ELSE 1 END
			WHERE id = $1 AND settled_at IS NULL AND (held_to <= $4 OR holder = $2) RETURNING `+followUpColumns,
			[]any{id, by.Actor, now.Add(hold).UnixMilli(), now.UnixMilli()}, s.scanFollowUp))
		if err != nil {
			return err
		}
		if len(taken) == 0 {
			return whyNot(ctx, t, id)
		}
		f = taken[0]
		return s.note(ctx, t, by.entry("followup.claim", "follow-up "+id, ""))
	})
	if err != nil {
		return FollowUp{}, err
	}
	return f, nil
}

// CloseFollowUp says how one of the calls we owe ended, by who has taken it, or
// if nobody has it now. It is audited. The same from the same person again, who
// perhaps got no answer, changes nothing. ErrNotHeld, ErrUnknownFollowUp.
func (s *Store) CloseFollowUp(ctx context.Context, by By, id string, result FollowUpResult) error {
	now := time.Now().UnixMilli()
	return s.inTx(ctx, "settle follow-up", func(t *tx) error {
		n, err := t.exec(ctx, `UPDATE follow_ups SET settled_at = $3, result = $4, holder = $2
			WHERE id = $1 AND settled_at IS NULL AND (held_to <= $5 OR holder = $2)`, id, by.Actor, now, string(result), now)
		if err != nil {
			return err
		}
		if n == 0 {
			var so int
			err := t.row(ctx, `SELECT COUNT(*) FROM follow_ups WHERE id = $1 AND settled_at IS NOT NULL AND holder = $2 AND result = $3`,
				[]any{id, by.Actor, string(result)}, &so)
			if err == nil && so == 0 {
				err = whyNot(ctx, t, id)
			}
			return err
		}
		return s.note(ctx, t, by.entry("followup.settle", "follow-up "+id, string(result)))
	})
}

// HasFollowUp reports whether a call of this id is, or was, owed.
func (s *Store) HasFollowUp(ctx context.Context, id string) (bool, error) {
	for _, err := range rows(ctx, s.read, "look for a follow-up", `SELECT 1 FROM follow_ups WHERE id = $1`, []any{id},
		func(row scanner) (n int, err error) { return n, row.Scan(&n) }) {
		return err == nil, err
	}
	return false, nil
}

// whyNot tells a follow-up that is not to be had from one that is not.
func whyNot(ctx context.Context, t *tx, id string) error {
	var there int
	if err := t.row(ctx, `SELECT COUNT(*) FROM follow_ups WHERE id = $1`, []any{id}, &there); err != nil {
		return err
	}
	if there == 0 {
		return fmt.Errorf("%w: %q", ErrUnknownFollowUp, id)
	}
	return fmt.Errorf("%w: %q", ErrNotHeld, id)
}
