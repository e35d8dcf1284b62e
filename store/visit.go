package store

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/bugle-voice/bugle/event"
)

// Visit is one stay of a call in a queue, with all that figures need of it.
type Visit struct {
	ID         string
	Call       string
	Node       string
	Number     string // dialled; empty if the call is not known
	CallerHash string // the same for calls from the same number; empty if unknown
	Queue      string
	Language   string
	Class      string         // subject class of the queue when it joined
	Requires   map[string]int // skill: least level; shared, not to be changed
	Joined     time.Time
	Ended      time.Time         // zero while it waits
	Result     event.VisitResult // empty while it waits
	Reason     string            // of the end, where the result does not say all: event.VisitEnded
	Cut        time.Time         // when its node died; zero unless it was open then
	Waited     time.Duration     // from joining to the agent's answer or the end

	// As they were when it joined; 0 if nothing was told of them.
	Goal     time.Duration // an answer within it is in time
	Short    time.Duration // leaving within it is a short abandon
	Estimate time.Duration // what the wait was expected to be

	Agent     string        // who answered
	Tier      int           // his then, or the highest of those to whom the caller was handed on; 0 if nobody answered
	TalkEnded time.Time     // zero while they talk: only ended talks are handled
	Talk      time.Duration // without hold
	Hold      time.Duration
	WrappedUp time.Time // zero if there was no wrap-up, or it goes on
	WrapUp    time.Duration
}

const visitColumns = `id, call_id, node, number, caller_hash, queue, language, class, requires, joined_at, ended_at, result, reason, cut_at, waited_ns,
	goal_ns, short_ns, estimate_ns, agent, tier, talk_ended_at, talk_ns, hold_ns, wrapped_up_at, wrap_up_ns`

const visitQuery = `SELECT ` + visitColumns + ` FROM visits`

// visitScan reads visits. Few requirements differ, so each is decoded once and
// shared.
func visitScan() func(scanner) (Visit, error) {
	known := map[string]map[string]int{}
	return func(row scanner) (Visit, error) {
		var v Visit
		var requires string
		err := row.Scan(&v.ID, &v.Call, &v.Node, &v.Number, &v.CallerHash, &v.Queue, &v.Language, &v.Class, &requires,
			when{&v.Joined}, when{&v.Ended}, &v.Result, &v.Reason, when{&v.Cut}, &v.Waited,
			&v.Goal, &v.Short, &v.Estimate, &v.Agent, &v.Tier, when{&v.TalkEnded}, &v.Talk, &v.Hold, when{&v.WrappedUp}, &v.WrapUp)
		if err != nil {
			return v, err
		}
		levels, ok := known[requires]
		if !ok {
			if err := json.Unmarshal([]byte(requires), &levels); err != nil {
				return v, err
			}
			known[requires] = levels
		}
		v.Requires = levels
		return v, nil
	}
}

// Visits gives the visits that joined from one moment until before another, in
// that order, without those of which only the wrap-up is known yet. An error is the last pair.
func (s *Store) Visits(ctx context.Context, from, to time.Time) iter.Seq2[Visit, error] {
	return rows(ctx, s.read, "read visits", visitQuery+` WHERE joined_at >= $1 AND joined_at < $2 AND node <> '' ORDER BY joined_at, id`,
		[]any{from.UnixMilli(), to.UnixMilli()}, visitScan())
}

// CutOff gives the visits of a node that its death cut off and whose end it has
// not told yet, oldest first, by the order of its log: no clock is asked. After a restart they
// are all there once its log has been taken in.
func (s *Store) CutOff(ctx context.Context, node string) ([]Visit, error) {
	return collect(rows(ctx, s.read, "read visits cut off", visitQuery+` WHERE node = $1 AND ended_at IS NULL AND cut_at IS NOT NULL ORDER BY joined_at, id`,
		[]any{node}, visitScan()))
}

// Offer is one agent being rung for a visit.
type Offer struct {
	Visit  string
	Call   string
	Queue  string
	Agent  string
	Why    string // why this match was made
	Made   time.Time
	Ended  time.Time         // zero while the phone rings
	Result event.OfferResult // empty while it rings
	Rang   time.Duration
}

const offerQuery = `SELECT visit, call_id, queue, agent, why, made_at, ended_at, result, rang_ns FROM offers`

func scanOffer(row scanner) (Offer, error) {
	var o Offer
	err := row.Scan(&o.Visit, &o.Call, &o.Queue, &o.Agent, &o.Why, when{&o.Made}, when{&o.Ended}, &o.Result, &o.Rang)
	return o, err
}

// Offers gives the offers made from one moment until before another, in that
// order.
func (s *Store) Offers(ctx context.Context, from, to time.Time) iter.Seq2[Offer, error] {
	return rows(ctx, s.read, "read offers", offerQuery+` WHERE made_at >= $1 AND made_at < $2 ORDER BY made_at, visit, agent`,
		[]any{from.UnixMilli(), to.UnixMilli()}, scanOffer)
}

// StateChange is an agent going from one state to another.
type StateChange struct {
	Agent    string
	State    string // entered At
	Reason   string
	At       time.Time
	Previous string
	After    time.Duration // how long the agent was in Previous
}

// StateChanges gives the changes of agents' states from one moment until
// before another, in that order. The time spent in a state that began earlier
// is the first change's After, of one that still goes on nobody's yet.
func (s *Store) StateChanges(ctx context.Context, from, to time.Time) iter.Seq2[StateChange, error] {
	return rows(ctx, s.read, "read agents' states", `SELECT agent, state, reason, at, previous, after_ns
		FROM agent_states WHERE at >= $1 AND at < $2 ORDER BY at, log, seq`,
		[]any{from.UnixMilli(), to.UnixMilli()}, func(row scanner) (StateChange, error) {
			var c StateChange
			var at, after int64 // a day has hundreds of thousands: read without detours
			err := row.Scan(&c.Agent, &c.State, &c.Reason, &at, &c.Previous, &after)
			c.At, c.After = time.UnixMilli(at).UTC(), time.Duration(after)
			return c, err
		})
}
