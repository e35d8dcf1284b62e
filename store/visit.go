package store

import (
	"context"
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
	Requires   map[string]int // skill: least level
	Joined     time.Time
	Ended      time.Time         // zero while it waits
	Result     event.VisitResult // empty while it waits
	Waited     time.Duration     // from joining to the agent's answer or the end

	Agent     string        // who answered
	Tier      int           // his tier then; 0 if nobody answered
	TalkEnded time.Time     // zero while they talk: only ended talks are handled
	Talk      time.Duration // without hold
	Hold      time.Duration
	WrappedUp time.Time // zero if there was no wrap-up, or it goes on
	WrapUp    time.Duration
}

const visitQuery = `SELECT v.id, v.call_id, v.node, COALESCE(c.number, ''), COALESCE(c.caller_hash, ''),
	v.queue, v.language, v.class, v.requires, v.joined_at, v.ended_at, v.result, v.waited_ns,
	v.agent, v.tier, t.ended_at, COALESCE(t.talk_ns, 0), COALESCE(t.hold_ns, 0), t.wrapped_up_at, COALESCE(t.wrap_up_ns, 0)
	FROM visits v LEFT JOIN talks t ON t.visit = v.id AND t.agent = v.agent LEFT JOIN calls c ON c.id = v.call_id`

func scanVisit(row scanner) (Visit, error) {
	var v Visit
	err := row.Scan(&v.ID, &v.Call, &v.Node, &v.Number, &v.CallerHash,
		&v.Queue, &v.Language, &v.Class, asJSON{&v.Requires}, when{&v.Joined}, when{&v.Ended}, &v.Result, &v.Waited,
		&v.Agent, &v.Tier, when{&v.TalkEnded}, &v.Talk, &v.Hold, when{&v.WrappedUp}, &v.WrapUp)
	return v, err
}

// Visits gives the visits that joined from one moment until before another, in
// that order. An error is the last pair.
func (s *Store) Visits(ctx context.Context, from, to time.Time) iter.Seq2[Visit, error] {
	return rows(ctx, s.read, "read visits", visitQuery+` WHERE v.joined_at >= $1 AND v.joined_at < $2 ORDER BY v.joined_at, v.id`,
		[]any{from.UnixMilli(), to.UnixMilli()}, scanVisit)
}

// OpenVisits gives the visits of a node that have no end yet, oldest first.
// After a restart, once its log has been taken in, they are those that the
// restart cut off.
func (s *Store) OpenVisits(ctx context.Context, node string) ([]Visit, error) {
	return collect(rows(ctx, s.read, "read open visits", visitQuery+` WHERE v.node = $1 AND v.ended_at IS NULL ORDER BY v.joined_at, v.id`,
		[]any{node}, scanVisit))
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
			err := row.Scan(&c.Agent, &c.State, &c.Reason, when{&c.At}, &c.Previous, &c.After)
			return c, err
		})
}
