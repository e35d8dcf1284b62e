-- +goose Up

-- How well the sound of each side of a call has travelled.
CREATE TABLE legs (
    log            TEXT NOT NULL, -- and number of the event
    seq            BIGINT NOT NULL,
    call_id        TEXT NOT NULL,
    side           TEXT NOT NULL, -- caller, agent
    agent          TEXT NOT NULL,
    codec          TEXT NOT NULL,
    suite          TEXT NOT NULL, -- of its encryption; '' for none
    ended_at       BIGINT NOT NULL,
    packets_in     BIGINT NOT NULL,
    packets_out    BIGINT NOT NULL,
    lost           BIGINT NOT NULL, -- of those that should have come in
    loss           DOUBLE PRECISION NOT NULL, -- of what came in
    jitter_ns      BIGINT NOT NULL,
    mos            DOUBLE PRECISION NOT NULL, -- 0: not known
    sent_loss      DOUBLE PRECISION NOT NULL, -- of what went out, by the far end's reports
    sent_jitter_ns BIGINT NOT NULL,
    sent_mos       DOUBLE PRECISION NOT NULL,
    round_trip_ns  BIGINT NOT NULL,
    PRIMARY KEY (log, seq)
);
CREATE INDEX legs_call ON legs (call_id);
CREATE INDEX legs_ended ON legs (ended_at);

-- +goose Down
DROP TABLE legs;
