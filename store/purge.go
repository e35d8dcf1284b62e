package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A step of purging deletes one batch and gives how many rows that were, and of
// how many there may be more: fewer than purgeBatch says that it is done.

// agedRows is a table with its key and what says how old a row is.
type agedRows struct{ table, key, at string }

// ofCalls are the tables whose rows belong to a call.
var ofCalls = []agedRows{
	{"visits", "id", "joined_at"},
	{"offers", "visit, agent, made_at", "made_at"},
	{"transfers", "id", "at"},
	{"surveys", "call_id, visit, question", "at"},
	{"legs", "log, seq", "ended_at"},
}

// purgeRecords deletes calls, oldest first, each with all that belongs to it;
// and in the end what belongs to no call.
func purgeRecords(ctx context.Context, t *tx, before int64) (rows, left int64, err error) {
	oldest := fmt.Sprintf(`(SELECT id FROM calls WHERE started_at < $1 ORDER BY started_at, id LIMIT %d)`, purgeBatch)
	if _, err := t.exec(ctx, `UPDATE recordings SET condemned_at = COALESCE(condemned_at, $2) WHERE call_id IN `+oldest,
		before, time.Now().UnixMilli()); err != nil {
		return 0, 0, err
	}
	for _, of := range ofCalls {
		n, err := t.exec(ctx, `DELETE FROM `+of.table+` WHERE call_id IN `+oldest, before)
		if err != nil {
			return 0, 0, err
		}
		rows += n
	}
	calls, err := t.exec(ctx, `DELETE FROM calls WHERE id IN `+oldest, before)
	if err != nil || calls >= purgeBatch {
		return rows + calls, calls, err
	}
	rows += calls
	for _, of := range append(ofCalls, agedRows{"agent_states", "log, seq", "at"}, agedRows{"agent_time", "quarter, agent, state", "quarter"}, agedRows{"agent_now", "agent", "at"}) {
		n, err := t.exec(ctx, fmt.Sprintf(`DELETE FROM %[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE %[3]s < $1 LIMIT %[4]d)`,
			of.table, of.key, of.at, purgeBatch), before)
		if err != nil {
			return 0, 0, err
		}
		rows, left = rows+n, max(left, n)
	}
	_, err = t.exec(ctx, `DELETE FROM erasures WHERE at < $1`, before) // no such event can come any more
	return rows, left, err
}

func purgeCallers(ctx context.Context, t *tx, before int64) (rows, left int64, err error) {
	visits, err := t.exec(ctx, fmt.Sprintf(`UPDATE visits SET caller_hash = ''
		WHERE id IN (SELECT id FROM visits WHERE joined_at < $1 AND caller_hash <> '' ORDER BY joined_at, id LIMIT %d)`, purgeBatch), before)
	if err != nil {
		return 0, 0, err
	}
	calls, err := t.exec(ctx, fmt.Sprintf(`UPDATE calls SET caller = '', caller_hash = '', caller_sealed = NULL
		WHERE id IN (SELECT id FROM calls WHERE started_at < $1 AND (caller <> '' OR caller_hash <> '' OR caller_sealed IS NOT NULL)
			ORDER BY started_at, id LIMIT %d)`, purgeBatch), before)
	if err != nil {
		return 0, 0, err
	}
	transfers, err := t.exec(ctx, fmt.Sprintf(`UPDATE transfers SET target_sealed = NULL
		WHERE id IN (SELECT id FROM transfers WHERE at < $1 AND target_sealed IS NOT NULL LIMIT %d)`, purgeBatch), before)
	if err != nil {
		return 0, 0, err
	}
	// Nobody can be called any more without his number.
	owed, err := t.exec(ctx, fmt.Sprintf(`UPDATE follow_ups SET caller_hash = '', caller_sealed = NULL,
			result = CASE WHEN settled_at IS NULL THEN $2 ELSE result END, settled_at = COALESCE(settled_at, $3)
		WHERE id IN (SELECT id FROM follow_ups WHERE created_at < $1 AND (caller_hash <> '' OR caller_sealed IS NOT NULL) LIMIT %d)`, purgeBatch),
		before, string(FollowUpExpired), time.Now().UnixMilli())
	return calls + visits + transfers + owed, max(calls, visits, transfers, owed), err
}

func condemnOld(ctx context.Context, t *tx, before int64) (rows, left int64, err error) {
	n, err := t.exec(ctx, fmt.Sprintf(`UPDATE recordings SET condemned_at = $2
		WHERE id IN (SELECT id FROM recordings WHERE made_at < $1 AND condemned_at IS NULL LIMIT %d)`, purgeBatch), before, time.Now().UnixMilli())
	return n, n, err
}

func purgeFollowUps(ctx context.Context, t *tx, before int64) (rows, left int64, err error) {
	n, err := t.exec(ctx, fmt.Sprintf(`DELETE FROM follow_ups
		WHERE id IN (SELECT id FROM follow_ups WHERE settled_at < $1 LIMIT %d)`, purgeBatch), before)
	return n, n, err
}

// ErrBrokenChain is an audit that must be looked into before any of it may go.
var ErrBrokenChain = errors.New("the audit's chain is broken; see `bugle audit verify`")

// purgeAudit cuts the old beginning off each chain. The head remembers where
// the chain now begins, so that what is left can still be verified. That a chain
// was found broken outlives its entry: it is said again at the end of this
// node's chain before the entry goes, for as long as there is an audit.
func (s *Store) purgeAudit(ctx context.Context, t *tx, before int64) (rows, left int64, err error) {
	all, err := heads(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	for _, h := range all {
		n, err := s.purgeChain(ctx, t, h.node, before)
		if err != nil {
			return 0, 0, err
		}
		rows, left = rows+n, max(left, n)
	}
	return rows, left, nil
}

func (s *Store) purgeChain(ctx context.Context, t *tx, node string, before int64) (int64, error) {
	h, err := s.lockHead(ctx, t, node)
	if err != nil {
		return 0, err
	}
	var young sql.NullInt64 // the first entry that stays
	if err := t.row(ctx, `SELECT MIN(seq) FROM audit WHERE node = $1 AND at >= $2`, []any{node, before}, &young); err != nil {
		return 0, err
	}
	end := h.seq
	if young.Valid {
		end = uint64(young.Int64) - 1
	}
	end = min(end, h.beginSeq+purgeBatch)
	if end <= h.beginSeq {
		return 0, nil
	}
	var hash []byte
	err = t.row(ctx, `SELECT hash FROM audit WHERE node = $1 AND seq = $2`, []any{node, int64(end)}, &hash)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !s.sealed(h) {
		return 0, fmt.Errorf("node %s, entry %d: %w", node, end, ErrBrokenChain)
	}
	if err != nil {
		return 0, err
	}
	broken, err := collect(rows(ctx, t, "purge audit", entryQuery+` WHERE node = $1 AND seq <= $2 AND action = '`+brokenAction+`' ORDER BY seq`,
		[]any{node, int64(end)}, scanLinked))
	if err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `DELETE FROM audit WHERE node = $1 AND seq <= $2`, node, int64(end))
	if err != nil {
		return 0, err
	}
	h.beginSeq, h.beginHash = end, hash
	if err := s.putHead(ctx, t, h); err != nil {
		return 0, err
	}
	for _, e := range broken {
		if err := s.note(ctx, t, e.again()); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// again gives an entry to be written anew, with the time at which it was first.
func (e linked) again() Entry {
	const first = "; first written "
	detail := e.Detail
	if !strings.Contains(detail, first) {
		detail += first + e.At.Format(time.RFC3339)
	}
	return Entry{Actor: "system", Action: e.Action, Object: e.Object, Detail: detail}
}
