-- One set of migrations for both databases: the SQL used is what SQLite and
-- PostgreSQL have in common. Moments are milliseconds since 1970, UTC;
-- lengths of time (…_ns) are nanoseconds, as in the events, so that a figure
-- made of these rows is the one the counters have. Ids are text made by us.

-- +goose Up

-- Staff. A row of agents that has left_at stays: the history refers to it.
CREATE TABLE agents (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    tier       BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    left_at    BIGINT
);
CREATE TABLE agent_skills (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    kind  TEXT NOT NULL, -- language, skill
    skill TEXT NOT NULL,
    level BIGINT NOT NULL,
    PRIMARY KEY (agent, kind, skill)
);
CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    agent         TEXT NOT NULL, -- the agent this user is; '' for none
    password_hash TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    disabled_at   BIGINT
);
CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role    TEXT NOT NULL,
    PRIMARY KEY (user_id, role)
);

-- History, written from the event logs alone. No foreign keys: a log that was
-- damaged may lack an event, and what is left of the call is kept.
CREATE TABLE calls (
    id            TEXT PRIMARY KEY,
    node          TEXT NOT NULL,
    number        TEXT NOT NULL,
    trunk         TEXT NOT NULL,
    caller        TEXT NOT NULL, -- shortened
    caller_hash   TEXT NOT NULL,
    caller_sealed BYTEA,
    flow          TEXT NOT NULL, -- the last step it was in, and the language
    step          TEXT NOT NULL,
    language      TEXT NOT NULL,
    started_at    BIGINT NOT NULL,
    answered_at   BIGINT,
    ended_at      BIGINT,
    class         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    duration_ns   BIGINT NOT NULL
);
CREATE INDEX calls_started ON calls (started_at, id);
CREATE INDEX calls_caller ON calls (caller_hash, started_at);

-- A visit has the talk that it led to, and what figures need of its call: a
-- report reads a day of them from this one table.
CREATE TABLE visits (
    id            TEXT PRIMARY KEY,
    call_id       TEXT NOT NULL,
    node          TEXT NOT NULL,
    number        TEXT NOT NULL,
    caller_hash   TEXT NOT NULL,
    queue         TEXT NOT NULL,
    language      TEXT NOT NULL,
    class         TEXT NOT NULL, -- of the queue when it joined: routine, clinical
    requires      TEXT NOT NULL, -- JSON, skill: level
    joined_at     BIGINT NOT NULL,
    ended_at      BIGINT,
    result        TEXT NOT NULL,
    waited_ns     BIGINT NOT NULL,
    agent         TEXT NOT NULL, -- who answered
    tier          BIGINT NOT NULL, -- that agent's when he answered; 0 if nobody did
    talk_ended_at BIGINT,
    talk_ns       BIGINT NOT NULL DEFAULT 0,
    hold_ns       BIGINT NOT NULL DEFAULT 0,
    wrapped_up_at BIGINT,
    wrap_up_ns    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX visits_joined ON visits (joined_at, id);
CREATE INDEX visits_call ON visits (call_id);
CREATE INDEX visits_agent ON visits (agent, joined_at);
CREATE INDEX visits_open ON visits (node) WHERE ended_at IS NULL;

CREATE TABLE offers (
    visit    TEXT NOT NULL,
    agent    TEXT NOT NULL,
    made_at  BIGINT NOT NULL,
    call_id  TEXT NOT NULL,
    queue    TEXT NOT NULL,
    why      TEXT NOT NULL,
    ended_at BIGINT,
    result   TEXT NOT NULL,
    rang_ns  BIGINT NOT NULL,
    PRIMARY KEY (visit, agent, made_at)
);
CREATE INDEX offers_made ON offers (made_at);
CREATE INDEX offers_call ON offers (call_id);

CREATE TABLE agent_states (
    log      TEXT NOT NULL, -- and number of the event
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    agent    TEXT NOT NULL,
    state    TEXT NOT NULL, -- entered at
    reason   TEXT NOT NULL,
    previous TEXT NOT NULL,
    after_ns BIGINT NOT NULL, -- how long previous lasted
    PRIMARY KEY (log, seq)
);
CREATE INDEX agent_states_at ON agent_states (at, log, seq);

CREATE TABLE log_offsets (
    log    TEXT NOT NULL, -- its id
    reader TEXT NOT NULL,
    seq    BIGINT NOT NULL, -- of the last event dealt with
    PRIMARY KEY (log, reader)
);

-- What callers said and we kept. The sealed file lies with its node, which
-- deletes it once it is condemned, and then the row.
CREATE TABLE recordings (
    id           TEXT PRIMARY KEY,
    call_id      TEXT NOT NULL,
    node         TEXT NOT NULL,
    name         TEXT NOT NULL,
    length_ns    BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    made_at      BIGINT NOT NULL,
    condemned_at BIGINT
);
CREATE INDEX recordings_call ON recordings (call_id);
CREATE INDEX recordings_made ON recordings (made_at);
CREATE INDEX recordings_condemned ON recordings (node) WHERE condemned_at IS NOT NULL;

-- What is said about a call by others than the event log.
CREATE TABLE transfers (
    id            TEXT PRIMARY KEY,
    call_id       TEXT NOT NULL,
    visit         TEXT NOT NULL,
    from_agent    TEXT NOT NULL,
    kind          TEXT NOT NULL, -- blind, attended
    target_kind   TEXT NOT NULL, -- agent, queue, number
    target        TEXT NOT NULL, -- '' where it is an outside number
    target_sealed BYTEA,
    at            BIGINT NOT NULL,
    result        TEXT NOT NULL
);
CREATE INDEX transfers_call ON transfers (call_id);
CREATE INDEX transfers_at ON transfers (at);

CREATE TABLE surveys (
    call_id  TEXT NOT NULL,
    visit    TEXT NOT NULL,
    question TEXT NOT NULL,
    answer   BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (call_id, visit, question)
);
CREATE INDEX surveys_at ON surveys (at, call_id, visit, question);

-- Calls we owe someone. A callback's id is its visit's.
CREATE TABLE follow_ups (
    id            TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    call_id       TEXT NOT NULL,
    visit         TEXT NOT NULL,
    queue         TEXT NOT NULL,
    language      TEXT NOT NULL,
    requires      TEXT NOT NULL,
    caller_hash   TEXT NOT NULL,
    caller_sealed BYTEA,
    place_at      BIGINT NOT NULL, -- since when its place in line is held
    due_from      BIGINT NOT NULL,
    due_to        BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    holder        TEXT NOT NULL, -- the node that works on it, until held_to
    held_to       BIGINT NOT NULL,
    settled_at    BIGINT,
    result        TEXT NOT NULL
);
CREATE INDEX follow_ups_open ON follow_ups (due_from) WHERE settled_at IS NULL;
CREATE INDEX follow_ups_due ON follow_ups (due_to);
CREATE INDEX follow_ups_caller ON follow_ups (caller_hash);
CREATE INDEX follow_ups_settled ON follow_ups (settled_at);

-- What is so about the whole database: the vault it was filled with.
CREATE TABLE traits (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Numbers whose owner asked to be forgotten: an event that is older and comes
-- late is taken in without them.
CREATE TABLE erasures (
    caller_hash TEXT PRIMARY KEY,
    at          BIGINT NOT NULL
);

-- Who did what. Each node has a chain; its head, and where it begins after old
-- entries were deleted, are sealed, so that they can't be made up by who can
-- only write here.
CREATE TABLE audit (
    node    TEXT NOT NULL,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    object  TEXT NOT NULL,
    address TEXT NOT NULL,
    detail  TEXT NOT NULL,
    hash    BYTEA NOT NULL,
    PRIMARY KEY (node, seq)
);
CREATE INDEX audit_at ON audit (at);
CREATE TABLE audit_heads (
    node       TEXT PRIMARY KEY,
    seq        BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    begin_seq  BIGINT NOT NULL, -- the last entry deleted, and its hash
    begin_hash BYTEA NOT NULL,
    seal       BYTEA NOT NULL
);

-- +goose Down
DROP TABLE audit_heads;
DROP TABLE audit;
DROP TABLE erasures;
DROP TABLE traits;
DROP TABLE follow_ups;
DROP TABLE surveys;
DROP TABLE transfers;
DROP TABLE recordings;
DROP TABLE log_offsets;
DROP TABLE agent_states;
DROP TABLE offers;
DROP TABLE visits;
DROP TABLE calls;
DROP TABLE user_roles;
DROP TABLE users;
DROP TABLE agent_skills;
DROP TABLE agents;
