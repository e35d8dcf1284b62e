-- What a report needs of the past: the goal that held when a visit joined, what
-- its caller was told to expect, agents' time summed up; and what history needs
-- to end what a killed node left open.

-- +goose Up

ALTER TABLE visits ADD COLUMN goal_ns BIGINT NOT NULL DEFAULT 0; -- of the queue when it joined; 0 if it was not told
ALTER TABLE visits ADD COLUMN short_ns BIGINT NOT NULL DEFAULT 0; -- up to which an abandon was a short one
ALTER TABLE visits ADD COLUMN estimate_ns BIGINT NOT NULL DEFAULT 0; -- of the wait, made when it joined; 0 for none

ALTER TABLE log_offsets ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE log_offsets ADD COLUMN at BIGINT NOT NULL DEFAULT 0; -- of the last event dealt with
ALTER TABLE log_offsets ADD COLUMN born BIGINT NOT NULL DEFAULT 0; -- when the life began that it belongs to
CREATE INDEX calls_open ON calls (node) WHERE ended_at IS NULL;

-- Each agent's state, as far as is known.
CREATE TABLE agent_now (
    agent  TEXT PRIMARY KEY,
    node   TEXT NOT NULL, -- which told it
    at     BIGINT NOT NULL, -- since when
    state  TEXT NOT NULL,
    reason TEXT NOT NULL
);
INSERT INTO agent_now (agent, node, at, state, reason)
    SELECT agent, '', at, state, reason FROM (
        SELECT agent, at, state, reason, ROW_NUMBER() OVER (PARTITION BY agent ORDER BY at DESC, log DESC, seq DESC) AS n FROM agent_states
    ) AS latest WHERE n = 1;

-- The time that agents spent in each state, by quarter of an hour, counted when
-- the state ends: the sum of agent_states, for reports.
CREATE TABLE agent_time (
    quarter  BIGINT NOT NULL, -- its beginning
    agent    TEXT NOT NULL,
    state    TEXT NOT NULL,
    spent_ns BIGINT NOT NULL,
    PRIMARY KEY (quarter, agent, state)
);
INSERT INTO agent_time (quarter, agent, state, spent_ns)
    WITH RECURSIVE pieces (agent, state, piece_from, piece_to) AS (
        SELECT agent, previous, at * 1000000 - CASE WHEN after_ns > 2678400000000000 THEN 2678400000000000 ELSE after_ns END, at * 1000000
            FROM agent_states WHERE after_ns > 0
        UNION ALL
        SELECT agent, state, (piece_from / 900000000000 + 1) * 900000000000, piece_to
            FROM pieces WHERE (piece_from / 900000000000 + 1) * 900000000000 < piece_to
    )
    SELECT piece_from / 900000000000 * 900000, agent, state, SUM(
        CASE WHEN (piece_from / 900000000000 + 1) * 900000000000 < piece_to THEN (piece_from / 900000000000 + 1) * 900000000000 ELSE piece_to END - piece_from)
    FROM pieces GROUP BY 1, 2, 3;

-- +goose Down
DROP TABLE agent_time;
DROP TABLE agent_now;
DROP INDEX calls_open;
ALTER TABLE log_offsets DROP COLUMN born;
ALTER TABLE log_offsets DROP COLUMN at;
ALTER TABLE log_offsets DROP COLUMN node;
ALTER TABLE visits DROP COLUMN estimate_ns;
ALTER TABLE visits DROP COLUMN short_ns;
ALTER TABLE visits DROP COLUMN goal_ns;
