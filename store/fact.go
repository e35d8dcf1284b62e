package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
)

// writer turns the facts of one node into rows, within one transaction. What
// is told a second time (a visit that joins or ends twice) is not believed;
// what ends without a beginning, which a damaged log can show, is written down
// as far as it is known.
type writer struct {
	s      *Store
	t      *tx
	from   Origin
	node   string // as the log's events call it; before the first that does, as from
	queues map[string]config.Queue
	born   time.Time // when the node's life began that the events are of
	last   time.Time // of the event before; the zero time if none is known
	acts   []Entry   // for the audit, behind everything else
}

func (w *writer) write(ctx context.Context, ev event.Event) error {
	switch f := ev.Fact.(type) {
	case event.NodeStarted:
		return w.nodeStarted(ctx, ev, f)
	case event.CallStarted:
		return w.callStarted(ctx, ev, f)
	case event.CallAnswered:
		return w.exec(ctx, `UPDATE calls SET answered_at = $2 WHERE id = $1 AND answered_at IS NULL`, ev.Call, ev.At.UnixMilli())
	case event.StepEntered:
		return w.exec(ctx, `UPDATE calls SET flow = $2, step = $3, language = $4 WHERE id = $1`,
			ev.Call, text(f.Flow), text(f.Step), text(f.Language))
	case event.CallEnded:
		return w.callEnded(ctx, ev, f)
	case event.VisitJoined:
		return w.visitJoined(ctx, ev, f)
	case event.VisitEnded:
		return w.visitEnded(ctx, ev, f)
	case event.OfferMade:
		return w.offerMade(ctx, ev, f)
	case event.OfferEnded:
		return w.offerEnded(ctx, ev, f)
	case event.TalkEnded:
		return w.exec(ctx, `UPDATE visits SET talk_ended_at = $2, talk_ns = $3, hold_ns = $4, tier = CASE WHEN tier < $5 THEN $5 ELSE tier END
			WHERE id = $1 AND talk_ended_at IS NULL`,
			text(f.Visit), ev.At.UnixMilli(), int64(f.Talk), int64(f.Hold), int64(f.Tier))
	case event.WrapUpEnded:
		return w.wrapUpEnded(ctx, ev, f)
	case event.Transferred:
		return w.transferred(ctx, ev, f)
	case event.LegEnded:
		return w.legEnded(ctx, ev, f)
	case event.RecordingMade:
		return w.recordingMade(ctx, ev, f)
	case event.AgentChanged:
		return w.agentChanged(ctx, stateChange{w.from.Log, ev.Seq, StateChange{f.Agent, f.To, f.Reason, ev.At, f.From, f.After}})
	case event.SurveyAnswered:
		return w.t.addSurvey(ctx, Survey{Call: ev.Call, Visit: f.Visit, Question: f.Question, Answer: f.Answer, At: ev.At})
	case event.FollowUpSettled:
		return w.exec(ctx, `UPDATE follow_ups SET settled_at = $2, result = $3 WHERE id = $1 AND settled_at IS NULL`,
			text(f.FollowUp), ev.At.UnixMilli(), text(f.Result))
	case event.Audited:
		w.acts = append(w.acts, Entry{At: ev.At, Actor: f.Actor, Action: f.Action, Object: f.Object, From: f.From, Detail: f.Detail})
	}
	return nil // what else there is, and what a newer version tells, is no history of calls
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	_, err := w.t.exec(ctx, query, args...)
	return err
}

// callStarted leaves the caller out if he has been erased since.
func (w *writer) callStarted(ctx context.Context, ev event.Event, f event.CallStarted) error {
	caller, hash, sealed := text(f.Caller), text(f.CallerHash), f.CallerSealed
	var erased sql.NullInt64
	if hash != "" {
		err := w.t.row(ctx, `SELECT MAX(at) FROM erasures WHERE caller_hash = $1 AND at >= $2`, []any{hash, ev.At.UnixMilli()}, &erased)
		if err != nil {
			return err
		}
		if erased.Valid {
			caller, hash, sealed = "", "", nil
		}
	}
	return w.exec(ctx, `INSERT INTO calls (id, node, number, trunk, caller, caller_hash, caller_sealed, flow, step, language, started_at, class, reason, duration_ns, erased_at, agent, dialled)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '', '', '', $8, '', '', 0, $9, $10, $11) ON CONFLICT (id) DO NOTHING`,
		ev.Call, w.node, text(f.Number), text(f.Trunk), caller, hash, sealed, ev.At.UnixMilli(), erased, text(f.Agent), text(f.To))
}

func (w *writer) callEnded(ctx context.Context, ev event.Event, f event.CallEnded) error {
	return w.exec(ctx, `INSERT INTO calls (id, node, number, trunk, caller, caller_hash, flow, step, language, started_at, ended_at, class, reason, duration_ns)
		VALUES ($1, $2, '', '', '', '', '', '', '', $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, class = excluded.class, reason = excluded.reason, duration_ns = excluded.duration_ns
		WHERE calls.ended_at IS NULL`,
		ev.Call, w.node, before(ev.At, f.Duration), ev.At.UnixMilli(), text(f.Class), text(f.Reason), int64(f.Duration))
}

func (w *writer) visitJoined(ctx context.Context, ev event.Event, f event.VisitJoined) error {
	requires, err := levels(f.Requires)
	if err != nil {
		return err
	}
	class := f.Class
	if class == "" {
		class = w.queues[f.Queue].Class // older versions do not tell it
	}
	return w.exec(ctx, `INSERT INTO visits (id, call_id, node, number, caller_hash, queue, language, class, requires, joined_at, result, waited_ns, agent, tier,
			goal_ns, short_ns, estimate_ns)
		VALUES ($1, $2, $3, `+ofItsCall+`, $4, $5, $6, $7, $8, '', 0, '', 0, $9, $10, $11)
		ON CONFLICT (id) DO UPDATE SET `+fillStub+`, requires = excluded.requires,
			goal_ns = excluded.goal_ns, short_ns = excluded.short_ns, estimate_ns = excluded.estimate_ns
		WHERE visits.node = ''`,
		text(f.Visit), ev.Call, w.node, text(f.Queue), text(f.Language), text(class), requires, ev.At.UnixMilli(),
		int64(f.Goal), int64(f.Short), int64(f.Estimate))
}

// ofItsCall is the number and caller hash of a visit, whose call is argument 2.
const ofItsCall = `COALESCE((SELECT number FROM calls WHERE id = $2), ''), COALESCE((SELECT caller_hash FROM calls WHERE id = $2), '')`

// fillStub gives a visit of which only the wrap-up was known what every visit
// has. Such a stub has no node: the agent's is not the call's.
var fillStub = func() string {
	var set []string
	for _, column := range []string{"call_id", "number", "caller_hash", "queue", "language", "class", "joined_at", "node"} {
		set = append(set, fmt.Sprintf("%[1]s = CASE WHEN visits.node = '' THEN excluded.%[1]s ELSE visits.%[1]s END", column))
	}
	return strings.Join(set, ", ")
}()

// visitEnded keeps the tier the agent answered with. Logs of older versions do not
// tell it: it is the one he has now.
func (w *writer) visitEnded(ctx context.Context, ev event.Event, f event.VisitEnded) error {
	return w.exec(ctx, `INSERT INTO visits (id, call_id, node, number, caller_hash, queue, language, class, requires, joined_at, ended_at, result, reason, waited_ns, agent, tier)
		VALUES ($1, $2, $3, `+ofItsCall+`, $4, $5, $6, '{}', $7, $8, $9, $13, $10, $11,
			CASE WHEN CAST($12 AS BIGINT) > 0 THEN CAST($12 AS BIGINT) ELSE COALESCE((SELECT tier FROM agents WHERE id = $11), 0) END)
		ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, result = excluded.result, reason = excluded.reason, agent = excluded.agent,
			tier = excluded.tier, waited_ns = excluded.waited_ns, `+fillStub+`
		WHERE visits.ended_at IS NULL`,
		text(f.Visit), ev.Call, w.node, text(f.Queue), text(f.Language), w.queues[f.Queue].Class, before(ev.At, f.Waited),
		ev.At.UnixMilli(), text(string(f.Result)), int64(f.Waited), text(f.Agent), int64(f.Tier), text(f.Reason))
}

// wrapUpEnded may come before the visit: the agent's node tells it, and its log
// may be ahead of that of the call's. Each part of a visit has one.
func (w *writer) wrapUpEnded(ctx context.Context, ev event.Event, f event.WrapUpEnded) error {
	return w.exec(ctx, `INSERT INTO visits (id, call_id, node, number, caller_hash, queue, language, class, requires, joined_at, result, waited_ns, agent, tier,
			wrapped_up_at, wrap_up_ns, wrap_up_parts)
		VALUES ($1, '', '', '', '', $2, $3, '', '{}', $4, '', 0, '', 0, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET wrap_up_ns = visits.wrap_up_ns + excluded.wrap_up_ns, wrap_up_parts = visits.wrap_up_parts || excluded.wrap_up_parts,
			wrapped_up_at = CASE WHEN visits.wrapped_up_at > excluded.wrapped_up_at THEN visits.wrapped_up_at ELSE excluded.wrapped_up_at END
		WHERE REPLACE(visits.wrap_up_parts, excluded.wrap_up_parts, '') = visits.wrap_up_parts
			AND (visits.wrapped_up_at IS NULL OR visits.wrap_up_parts <> '')`, // older versions knew of one wrap-up, and no parts
		text(f.Visit), text(f.Queue), text(f.Language), before(ev.At, f.Took), ev.At.UnixMilli(), int64(f.Took), ";"+text(f.Part)+";")
}

func (w *writer) transferred(ctx context.Context, ev event.Event, f event.Transferred) error {
	return w.s.addTransfer(ctx, w.t, Transfer{
		ID: text(f.Transfer), Call: ev.Call, Visit: text(f.Visit), FromAgent: text(f.Agent), Kind: text(string(f.How)),
		TargetKind: text(f.To), Target: Private(f.Target), At: ev.At, Result: text(f.Result),
	}, f.Sealed)
}

// recordingMade condemns what an erased caller said.
func (w *writer) recordingMade(ctx context.Context, ev event.Event, f event.RecordingMade) error {
	made := ev.At
	if !f.Made.IsZero() {
		made = f.Made
	}
	return w.exec(ctx, `INSERT INTO recordings (id, call_id, node, name, length_ns, bytes, made_at, condemned_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT erased_at FROM calls WHERE id = $2)) ON CONFLICT (id) DO NOTHING`,
		text(f.Recording), ev.Call, w.node, text(f.Name), int64(f.Length), f.Bytes, made.UnixMilli())
}

func (w *writer) offerMade(ctx context.Context, ev event.Event, f event.OfferMade) error {
	return w.exec(ctx, `INSERT INTO offers (visit, agent, made_at, call_id, queue, why, result, rang_ns)
		VALUES ($1, $2, $3, $4, $5, $6, '', 0) ON CONFLICT (visit, agent, made_at) DO NOTHING`,
		text(f.Visit), text(f.Agent), ev.At.UnixMilli(), ev.Call, text(f.Queue), text(f.Why))
}

func (w *writer) offerEnded(ctx context.Context, ev event.Event, f event.OfferEnded) error {
	n, err := w.t.exec(ctx, `UPDATE offers SET ended_at = $3, result = $4, rang_ns = $5 WHERE visit = $1 AND agent = $2 AND ended_at IS NULL`,
		text(f.Visit), text(f.Agent), ev.At.UnixMilli(), text(string(f.Result)), int64(f.Rang))
	if n > 0 || err != nil {
		return err
	}
	return w.exec(ctx, `INSERT INTO offers (visit, agent, made_at, call_id, queue, why, ended_at, result, rang_ns)
		VALUES ($1, $2, $3, $4, $5, '', $6, $7, $8) ON CONFLICT (visit, agent, made_at) DO NOTHING`,
		text(f.Visit), text(f.Agent), before(ev.At, f.Rang), ev.Call, text(f.Queue), ev.At.UnixMilli(), text(string(f.Result)), int64(f.Rang))
}

// before gives the moment at which what took so long began.
func before(at time.Time, took time.Duration) int64 { return at.Add(-took).UnixMilli() }
