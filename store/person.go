package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNoHash is an empty hash, which every withheld number has.
var ErrNoHash = errors.New("the hash of a number is needed")

// Held is all that is held about a caller's number.
type Held struct {
	CallerHash string         `json:"caller_hash"`
	Numbers    []string       `json:"numbers"` // as dialled in, in the clear: it is the caller's own
	Calls      []HeldCall     `json:"calls"`
	FollowUps  []heldFollowUp `json:"follow_ups"`

	TransfersTo []heldTransfer `json:"transfers_to"` // of others' calls, to this number
}

// HeldCall is one call with all that belongs to it.
type HeldCall struct {
	Call
	Visits     []Visit
	Offers     []Offer
	Recordings []HeldRecording
	Transfers  []heldTransfer
	Surveys    []Survey
}

// HeldRecording is what the caller said. The store has no sound: whoever has the
// files says where it is.
type HeldRecording struct {
	Recording
	File    string `json:",omitempty"` // in which the sound lies beside this
	Missing string `json:",omitempty"` // why there is none
}

// What stands in it about the caller's own numbers is shown to him.
type (
	heldFollowUp struct {
		FollowUp
		Caller string
	}
	heldTransfer struct {
		Transfer
		Target string
	}
)

// Held gives all that is held about a number, given by its hash, but the sound
// of its recordings, and notes that in the audit first. ErrNoHash.
func (s *Store) Held(ctx context.Context, by By, numberHash string) (*Held, error) {
	if numberHash == "" {
		return nil, fmt.Errorf("store: export: %w", ErrNoHash)
	}
	if err := s.Audit(ctx, by.entry("caller.export", "caller "+numberHash, "")); err != nil {
		return nil, err
	}
	return s.held(ctx, numberHash)
}

// NoteHeard notes in the audit that somebody is given a recording, to be called
// before he has it.
func (s *Store) NoteHeard(ctx context.Context, by By, recording string) error {
	return s.Audit(ctx, by.entry("recording.export", "recording "+recording, ""))
}

func (s *Store) held(ctx context.Context, hash string) (*Held, error) {
	held := &Held{CallerHash: hash, Numbers: []string{}, Calls: []HeldCall{}, FollowUps: []heldFollowUp{}, TransfersTo: []heldTransfer{}}
	calls, err := collect(rows(ctx, s.read, "export calls", callQuery+` WHERE c.caller_hash = $1 ORDER BY c.started_at, c.id`, []any{hash}, scanCall))
	if err != nil {
		return nil, err
	}
	for page := range slices.Chunk(calls, 1000) { // a statement takes so many arguments
		if err := s.addLegs(ctx, page); err != nil {
			return nil, err
		}
	}
	for _, c := range calls {
		h, err := s.heldCall(ctx, c)
		if err != nil {
			return nil, err
		}
		held.Calls = append(held.Calls, h)
		number, err := s.callerOf(ctx, s.read, c.ID)
		if err != nil {
			return nil, err
		}
		held.number(number)
	}
	for f, err := range rows(ctx, s.read, "export follow-ups", `SELECT `+followUpColumns+` FROM follow_ups WHERE caller_hash = $1 ORDER BY created_at, id`,
		[]any{hash}, s.scanFollowUp) {
		if err != nil {
			return nil, err
		}
		held.FollowUps = append(held.FollowUps, heldFollowUp{f, f.Caller.Reveal()})
		held.number(f.Caller)
	}
	to, err := s.transfersTo(ctx, s.read, hash)
	if err != nil {
		return nil, err
	}
	for _, tr := range to {
		held.TransfersTo = append(held.TransfersTo, heldTransfer{tr, tr.Target.Reveal()})
		held.number(tr.Target)
	}
	return held, nil
}

func (h *Held) number(n Private) {
	if n != "" && !slices.Contains(h.Numbers, n.Reveal()) {
		h.Numbers = append(h.Numbers, n.Reveal())
	}
}

func (s *Store) heldCall(ctx context.Context, c Call) (h HeldCall, err error) {
	h.Call = c
	of := []any{c.ID}
	if h.Visits, err = collect(rows(ctx, s.read, "export visits", visitQuery+` WHERE call_id = $1 ORDER BY joined_at, id`, of, visitScan())); err != nil {
		return h, err
	}
	if h.Offers, err = collect(rows(ctx, s.read, "export offers", offerQuery+` WHERE call_id = $1 ORDER BY made_at, agent`, of, scanOffer)); err != nil {
		return h, err
	}
	for r, err := range rows(ctx, s.read, "export recordings", recordingQuery+` WHERE call_id = $1 ORDER BY made_at, id`, of, scanRecording) {
		if err != nil {
			return h, err
		}
		h.Recordings = append(h.Recordings, HeldRecording{Recording: r})
	}
	if h.Surveys, err = collect(rows(ctx, s.read, "export surveys", surveyQuery+` WHERE call_id = $1 ORDER BY at, question`, of, scanSurvey)); err != nil {
		return h, err
	}
	for tr, err := range rows(ctx, s.read, "export transfers", transferQuery+` WHERE call_id = $1 ORDER BY at, id`, of, s.scanTransfer) {
		if err != nil {
			return h, err
		}
		h.Transfers = append(h.Transfers, heldTransfer{tr, tr.Target.Reveal()})
	}
	return h, nil
}

// erasing is PostgreSQL's lock between an erasure and what may bring a caller in: two
// transactions at the same time see nothing of each other, and the number would
// stay. It is one lock for all callers and is taken before anything else, so that
// nobody who waits for it holds up another. SQLite has one writer at a time.
const erasing = 0x62_75_67_6c_65 // "bugle"

// besideErasures has a transaction see all of an erasure, or the erasure see all
// of it.
func (s *Store) besideErasures(ctx context.Context, t *tx) error {
	return s.lock(ctx, t, `SELECT pg_advisory_xact_lock_shared($1)`)
}

// besideNobody is the erasure's side.
func (s *Store) besideNobody(ctx context.Context, t *tx) error {
	return s.lock(ctx, t, `SELECT pg_advisory_xact_lock($1)`)
}

func (s *Store) lock(ctx context.Context, t *tx, query string) error {
	if s.dialect == sqlite {
		return nil
	}
	_, err := t.exec(ctx, query, int64(erasing))
	return err
}

// Erased counts what Erase did.
type Erased struct{ Calls, FollowUps, Recordings, Transfers int }

// Erase forgets a number, given by its hash: no row leads to it any more. The
// calls and their figures stay, of nobody; what was owed is owed no more, and
// recordings are condemned. Others' calls that were handed on to the number forget it. Events that are still on their way are taken in
// without the number, recordings condemned. It is audited, by the hash. ErrNoHash.
func (s *Store) Erase(ctx context.Context, by By, numberHash string) (Erased, error) {
	if numberHash == "" {
		return Erased{}, fmt.Errorf("store: erase: %w", ErrNoHash)
	}
	var done Erased
	err := s.inTx(ctx, "erase a caller", func(t *tx) error {
		done = Erased{}
		if err := s.besideNobody(ctx, t); err != nil {
			return err
		}
		now := time.Now().UnixMilli()
		for _, step := range []struct {
			count *int
			query string
			args  []any
		}{
			{nil, `INSERT INTO erasures (caller_hash, at) VALUES ($1, $2) ON CONFLICT (caller_hash) DO UPDATE SET at = excluded.at`, []any{numberHash, now}},
			{nil, `UPDATE calls SET erased_at = $2 WHERE caller_hash = $1`, []any{numberHash, now}},
			{&done.Recordings, `UPDATE recordings SET condemned_at = COALESCE(condemned_at, $2)
				WHERE call_id IN (SELECT id FROM calls WHERE caller_hash = $1)`, []any{numberHash, now}},
			{&done.Transfers, `UPDATE transfers SET target_sealed = NULL
				WHERE target_sealed IS NOT NULL AND call_id IN (SELECT id FROM calls WHERE caller_hash = $1)`, []any{numberHash}},
			{&done.FollowUps, `UPDATE follow_ups SET caller_hash = '', caller_sealed = NULL,
				result = CASE WHEN settled_at IS NULL THEN $2 ELSE result END, settled_at = COALESCE(settled_at, $3)
				WHERE caller_hash = $1`, []any{numberHash, string(FollowUpErased), now}},
			{nil, `UPDATE visits SET caller_hash = '' WHERE call_id IN (SELECT id FROM calls WHERE caller_hash = $1)`, []any{numberHash}},
			{&done.Calls, `UPDATE calls SET caller = '', caller_hash = '', caller_sealed = NULL WHERE caller_hash = $1`, []any{numberHash}},
		} {
			n, err := t.exec(ctx, step.query, step.args...)
			if err != nil {
				return err
			}
			if step.count != nil {
				*step.count = int(n)
			}
		}
		to, err := s.transfersTo(ctx, t, numberHash)
		if err != nil {
			return err
		}
		for _, tr := range to {
			if _, err := t.exec(ctx, `UPDATE transfers SET target_sealed = NULL WHERE id = $1`, tr.ID); err != nil {
				return err
			}
			done.Transfers++
		}
		return s.note(ctx, t, by.entry("caller.erase", "caller "+numberHash,
			fmt.Sprintf("%d calls, %d follow-ups, %d recordings, %d transfers", done.Calls, done.FollowUps, done.Recordings, done.Transfers)))
	})
	return done, err
}
