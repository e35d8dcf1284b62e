package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// Agent is one agent: SQL is the truth, the configuration only seeds it.
type Agent struct {
	ID string
	config.Agent
	Changed time.Time
}

// ErrUnknownAgent is an id that no agent has, or whose agent has left.
var ErrUnknownAgent = errors.New("no such agent")

// Seed adds the agents who are not there yet and gives their ids, sorted.
// Those who are there, or have left, stay as they are.
func (s *Store) Seed(ctx context.Context, agents map[string]config.Agent) ([]string, error) {
	var added []string
	err := s.inTx(ctx, "seed agents", func(t *tx) error {
		added = nil
		for _, id := range slices.Sorted(maps.Keys(agents)) {
			n, err := t.exec(ctx, `INSERT INTO agents (id, name, tier, changed_at) VALUES ($1, $2, $3, $4)
				ON CONFLICT (id) DO NOTHING`, id, text(agents[id].Name), agents[id].Tier, time.Now().UnixMilli())
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			if err := putSkills(ctx, t, id, agents[id]); err != nil {
				return err
			}
			added = append(added, id)
		}
		if len(added) == 0 {
			return nil
		}
		if err := staffChanged(ctx, t); err != nil {
			return err
		}
		return s.note(ctx, t, Entry{Actor: "system", Action: "agents.seed", Object: "agents", Detail: strings.Join(added, " ")})
	})
	return added, err
}

// StaffVersion gives a number that rises with every change of the agents: what
// running nodes look at to see whether there is something to take up.
func (s *Store) StaffVersion(ctx context.Context) (int64, error) {
	for n, err := range rows(ctx, s.read, "read the version of the agents", `SELECT n FROM changes WHERE what = 'staff'`, nil,
		func(row scanner) (n int64, err error) { return n, row.Scan(&n) }) {
		return n, err
	}
	return 0, nil
}

// staffChanged is the last step of a transaction that changes agents: those who
// do so at once take turns here, and nothing else is locked for it.
func staffChanged(ctx context.Context, t *tx) error {
	_, err := t.exec(ctx, `INSERT INTO changes (what, n) VALUES ('staff', 1) ON CONFLICT (what) DO UPDATE SET n = changes.n + 1`)
	return err
}

// Agents gives the agents by id, without those who have left.
func (s *Store) Agents(ctx context.Context) (map[string]Agent, error) {
	return agentsIn(ctx, s.read)
}

// Staff gives the agents as the configuration has them: what the router takes.
func (s *Store) Staff(ctx context.Context) (map[string]config.Agent, error) {
	all, err := s.Agents(ctx)
	if err != nil {
		return nil, err
	}
	staff := make(map[string]config.Agent, len(all))
	for id, a := range all {
		staff[id] = a.Agent
	}
	return staff, nil
}

// PutAgent adds an agent or changes one; who had left is back. Whether he fits
// the configuration is to be looked at before (Vocabulary.Check).
func (s *Store) PutAgent(ctx context.Context, by By, id string, a config.Agent) error {
	return s.inTx(ctx, "put agent", func(t *tx) error { return s.putAgent(ctx, t, by, id, a) })
}

func (s *Store) putAgent(ctx context.Context, t *tx, by By, id string, a config.Agent) error {
	if err := putAgent(ctx, t, id, a); err != nil {
		return err
	}
	if err := staffChanged(ctx, t); err != nil {
		return err
	}
	return s.note(ctx, t, by.entry("agent.put", "agent "+id, ""))
}

// ChangeAgent changes an agent as change says, or adds one: known is false then, as
// it is for one who had left. Nobody changes him between its reading and writing;
// it may be run again. An error of change ends it.
func (s *Store) ChangeAgent(ctx context.Context, by By, id string, change func(a *config.Agent, known bool) error) error {
	return s.inTx(ctx, "change agent", func(t *tx) error {
		// A write first: it keeps others who change him waiting. Who is new has left so far.
		if _, err := t.exec(ctx, `INSERT INTO agents (id, name, tier, changed_at, left_at) VALUES ($1, '', 1, $2, $2)
			ON CONFLICT (id) DO UPDATE SET tier = agents.tier`, id, time.Now().UnixMilli()); err != nil {
			return err
		}
		all, err := agentsIn(ctx, t)
		if err != nil {
			return err
		}
		a, known := all[id]
		if err := change(&a.Agent, known); err != nil {
			return err
		}
		return s.putAgent(ctx, t, by, id, a.Agent)
	})
}

// RemoveAgent lets an agent go. The history keeps his name. ErrUnknownAgent.
func (s *Store) RemoveAgent(ctx context.Context, by By, id string) error {
	return s.inTx(ctx, "remove agent", func(t *tx) error {
		if err := removeAgent(ctx, t, id); err != nil {
			return err
		}
		if err := staffChanged(ctx, t); err != nil {
			return err
		}
		return s.note(ctx, t, by.entry("agent.remove", "agent "+id, ""))
	})
}

func removeAgent(ctx context.Context, t *tx, id string) error {
	n, err := t.exec(ctx, `UPDATE agents SET left_at = $2, changed_at = $2 WHERE id = $1 AND left_at IS NULL`, id, time.Now().UnixMilli())
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: %q", ErrUnknownAgent, id)
	}
	return err
}

func putAgent(ctx context.Context, t *tx, id string, a config.Agent) error {
	_, err := t.exec(ctx, `INSERT INTO agents (id, name, tier, changed_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, tier = excluded.tier, changed_at = excluded.changed_at, left_at = NULL`,
		id, text(a.Name), a.Tier, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM agent_skills WHERE agent = $1`, id); err != nil {
		return err
	}
	return putSkills(ctx, t, id, a)
}

// The kinds of a skill. A language is one, but stands apart in what people see.
const (
	kindLanguage = "language"
	kindSkill    = "skill"
)

func putSkills(ctx context.Context, t *tx, id string, a config.Agent) error {
	for kind, levels := range map[string]map[string]int{kindLanguage: a.Languages, kindSkill: a.Skills} {
		for skill, level := range levels {
			_, err := t.exec(ctx, `INSERT INTO agent_skills (agent, kind, skill, level) VALUES ($1, $2, $3, $4)`, id, kind, skill, level)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// agentsIn reads all agents in one query: those and their skills belong to the
// same moment.
func agentsIn(ctx context.Context, q querier) (map[string]Agent, error) {
	agents := map[string]Agent{}
	for r, err := range agentRows(ctx, q) {
		if err != nil {
			return nil, err
		}
		a, ok := agents[r.ID]
		if !ok {
			a = r.Agent
			a.Languages, a.Skills = map[string]int{}, map[string]int{}
			agents[r.ID] = a
		}
		switch r.kind.String {
		case kindLanguage:
			a.Languages[r.skill.String] = int(r.level.Int64)
		case kindSkill:
			a.Skills[r.skill.String] = int(r.level.Int64)
		}
	}
	return agents, nil
}

// agentRow is one skill of an agent.
type agentRow struct {
	Agent
	kind, skill sql.NullString
	level       sql.NullInt64
}

func agentRows(ctx context.Context, q querier) iter.Seq2[agentRow, error] {
	return rows(ctx, q, "read agents", `SELECT a.id, a.name, a.tier, a.changed_at, s.kind, s.skill, s.level
		FROM agents a LEFT JOIN agent_skills s ON s.agent = a.id WHERE a.left_at IS NULL`, nil,
		func(row scanner) (r agentRow, err error) {
			err = row.Scan(&r.ID, &r.Name, &r.Tier, when{&r.Changed}, &r.kind, &r.skill, &r.level)
			return r, err
		})
}
