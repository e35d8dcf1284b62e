package store

import (
	"context"
	"iter"
	"time"
)

// quarter is the piece of time in which agents' time is summed up. Days and
// intervals begin at one in every time zone of today.
const quarter = 15 * time.Minute

// longestState bounds what is believed of one state: a clock that was wrong would
// fill the table.
const longestState = 31 * 24 * time.Hour

// stateChange is an agent's change with its place in a log.
type stateChange struct {
	log string
	seq uint64
	StateChange
}

// agentChanged writes a change down, adds the state that it ends to the agent's
// time, and keeps the one that begins.
func (w *writer) agentChanged(ctx context.Context, c stateChange) error {
	after, err := w.lived(ctx, c)
	if err != nil {
		return err
	}
	agent, state := text(c.Agent), text(c.State)
	n, err := w.t.exec(ctx, `INSERT INTO agent_states (log, seq, at, agent, state, reason, previous, after_ns) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (log, seq) DO NOTHING`, text(c.log), int64(c.seq), c.At.UnixMilli(), agent, state, text(c.Reason), text(c.Previous), int64(after))
	if n == 0 || err != nil {
		return err
	}
	// Logs are taken in side by side: another node may have told what came later.
	if err := w.exec(ctx, `INSERT INTO agent_now (agent, node, at, state, reason) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (agent) DO UPDATE SET node = excluded.node, at = excluded.at, state = excluded.state, reason = excluded.reason
		WHERE agent_now.at <= excluded.at`, agent, w.node, c.At.UnixMilli(), state, text(c.Reason)); err != nil {
		return err
	}
	to := c.At.UnixMilli() * int64(time.Millisecond)
	for from := to - int64(min(after, longestState)); from < to; {
		begins := from / int64(quarter) * int64(quarter)
		until := min(to, begins+int64(quarter))
		if err := w.exec(ctx, `INSERT INTO agent_time (quarter, agent, state, spent_ns) VALUES ($1, $2, $3, $4)
			ON CONFLICT (quarter, agent, state) DO UPDATE SET spent_ns = agent_time.spent_ns + excluded.spent_ns`,
			begins/int64(time.Millisecond), agent, text(c.Previous), until-from); err != nil {
			return err
		}
		from = until
	}
	return nil
}

// lived gives how long the state that a change ends has lasted. What Redis
// remembers of a state from before a crash is counted up to the crash already, and
// while the node was dead it was none.
func (w *writer) lived(ctx context.Context, c stateChange) (time.Duration, error) {
	if w.born.IsZero() || c.Reason == interrupted || !c.At.Add(-c.After).Before(w.born) {
		return c.After, nil
	}
	var gone int
	err := w.t.row(ctx, `SELECT COUNT(*) FROM agent_now WHERE agent = $1 AND state = $2 AND reason = $3`, []any{text(c.Agent), offline, interrupted}, &gone)
	if gone == 0 || err != nil {
		return c.After, err
	}
	return max(0, c.At.Sub(w.born)), nil
}

// AgentTime is how long an agent was in a state within a quarter of an hour.
type AgentTime struct {
	Quarter time.Time // its beginning; quarters begin with the hours of UTC
	Agent   string    // empty for the sum over all
	State   string
	Spent   time.Duration
}

// AgentTime gives the time spent in states that have ended, by quarter of an hour,
// of the quarters that begin from one moment until before another; for each agent, or
// all in one.
func (s *Store) AgentTime(ctx context.Context, from, to time.Time, each bool) iter.Seq2[AgentTime, error] {
	what := `SELECT quarter, '', state, CAST(SUM(spent_ns) AS BIGINT)`
	group := ` GROUP BY quarter, state`
	if each {
		what, group = `SELECT quarter, agent, state, spent_ns`, ``
	}
	return rows(ctx, s.read, "read agents' time", what+` FROM agent_time WHERE quarter >= $1 AND quarter < $2`+group+` ORDER BY quarter`,
		[]any{from.UnixMilli(), to.UnixMilli()}, func(row scanner) (AgentTime, error) {
			var t AgentTime
			var begins, spent int64
			err := row.Scan(&begins, &t.Agent, &t.State, &spent)
			t.Quarter, t.Spent = time.UnixMilli(begins).UTC(), time.Duration(spent)
			return t, err
		})
}

// AgentsNow gives the state that each agent is in as far as is known, with the
// moment it began; nothing has ended it yet.
func (s *Store) AgentsNow(ctx context.Context) iter.Seq2[StateChange, error] {
	return rows(ctx, s.read, "read agents' states", `SELECT agent, state, reason, at FROM agent_now ORDER BY agent`, nil,
		func(row scanner) (c StateChange, err error) {
			err = row.Scan(&c.Agent, &c.State, &c.Reason, when{&c.At})
			return c, err
		})
}
