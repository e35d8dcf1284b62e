package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// How what a killed node left open has ended, as call.Termination has it for
// calls.
const (
	lifeLostClass = "failed"
	interrupted   = "interrupted"
	offline       = "offline" // the state of agents who are not there, in room router's words
)

// nodeStarted ends, in the order of the log, what the node's last life left
// open: calls, offers, talks and agents' states, as "interrupted", at the moment
// of the last event that it wrote down. After an orderly end there is nothing.
// Visits without an answer are only marked: the new life owes those callers
// something and tells their end itself (CutOff). Nobody has to ask for this: it comes from
// the log alone, so that taking a log in again gives the same. A node that was renamed
// has left things open under its name of before, and what is still to be done of
// them goes over to the new one.
func (w *writer) nodeStarted(ctx context.Context, ev event.Event, f event.NodeStarted) error {
	before := w.node
	w.born, w.node = ev.At, text(f.Node)
	if w.node == "" {
		w.node = before
	}
	last := w.last
	if last.IsZero() { // nothing before it in this batch, perhaps not in this log
		var at sql.NullInt64
		if err := w.t.row(ctx, `SELECT MAX(at) FROM log_offsets WHERE node = $1 AND reader = $2`, []any{w.node, historyReader}, &at); err != nil {
			return err
		}
		last = time.UnixMilli(at.Int64).UTC()
	}
	if err := w.endLife(ctx, ev, w.node, last); err != nil || before == w.node {
		return err
	}
	if err := w.endLife(ctx, ev, before, last); err != nil {
		return err
	}
	if err := w.exec(ctx, `UPDATE visits SET node = $2 WHERE node = $1 AND ended_at IS NULL`, before, w.node); err != nil {
		return err
	}
	return w.exec(ctx, `UPDATE recordings SET node = $2 WHERE node = $1`, before, w.node) // whose files it has
}

// endLife ends what a node of this name left open.
func (w *writer) endLife(ctx context.Context, ev event.Event, node string, last time.Time) error {
	// By the calls that are open: a talk or an offer of theirs is over with them.
	for _, query := range []string{
		`UPDATE visits SET talk_ended_at = ` + notBefore("ended_at") + `, talk_ns = (` + notBefore("ended_at") + ` - ended_at) * 1000000
			WHERE result = 'answered' AND talk_ended_at IS NULL AND call_id IN (SELECT id FROM calls WHERE node = $1 AND ended_at IS NULL)`,
		`UPDATE offers SET ended_at = ` + notBefore("made_at") + `, rang_ns = (` + notBefore("made_at") + ` - made_at) * 1000000, result = '` + interrupted + `'
			WHERE ended_at IS NULL AND call_id IN (SELECT id FROM calls WHERE node = $1 AND ended_at IS NULL)`,
		`UPDATE calls SET ended_at = ` + notBefore("started_at") + `, duration_ns = (` + notBefore("started_at") + ` - started_at) * 1000000,
			class = '` + lifeLostClass + `', reason = '` + interrupted + `' WHERE node = $1 AND ended_at IS NULL`,
		`UPDATE visits SET cut_at = ` + notBefore("joined_at") + ` WHERE node = $1 AND ended_at IS NULL AND cut_at IS NULL`,
	} {
		if err := w.exec(ctx, query, node, last.UnixMilli()); err != nil {
			return err
		}
	}
	return w.agentsGone(ctx, ev, node, last)
}

// notBefore is argument 2, or a column's moment if that is later.
func notBefore(column string) string {
	return `CASE WHEN ` + column + ` > $2 THEN ` + column + ` ELSE $2 END`
}

// agentsGone takes off line the agents of whom the node told last.
func (w *writer) agentsGone(ctx context.Context, ev event.Event, node string, last time.Time) error {
	left, err := collect(rows(ctx, w.t, "read agents' states", `SELECT agent, state, at FROM agent_now WHERE node = $1 AND state <> $2 ORDER BY agent`,
		[]any{node, offline}, func(row scanner) (c StateChange, err error) {
			err = row.Scan(&c.Agent, &c.State, when{&c.At})
			return c, err
		}))
	if err != nil {
		return err
	}
	for _, was := range left {
		at := last
		if at.Before(was.At) {
			at = was.At
		}
		// The log has one event for all of them.
		if err := w.agentChanged(ctx, stateChange{w.from.Log + "/" + was.Agent, ev.Seq,
			StateChange{was.Agent, offline, interrupted, at, was.State, at.Sub(was.At)}}); err != nil {
			return err
		}
	}
	return nil
}

// resume reads where the log is, and how its node was called there.
func (w *writer) resume(ctx context.Context) error {
	err := w.t.row(ctx, `SELECT node, at, born FROM log_offsets WHERE log = $1 AND reader = $2`, []any{w.from.Log, historyReader},
		&w.node, known{&w.last}, known{&w.born})
	if w.node == "" {
		w.node = w.from.Node
	}
	return err
}

// note writes down where the log is, beside its offset.
func (w *writer) note(ctx context.Context) error {
	return w.exec(ctx, `UPDATE log_offsets SET node = $3, at = $4, born = $5 WHERE log = $1 AND reader = $2`,
		w.from.Log, historyReader, w.node, orNone(w.last), orNone(w.born))
}

// orNone is a moment for a column in which 0 stands for none.
func orNone(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// known reads it back.
type known struct{ into *time.Time }

// Scan implements sql.Scanner.
func (k known) Scan(v any) error {
	if v == int64(0) {
		v = nil
	}
	return when(k).Scan(v)
}
