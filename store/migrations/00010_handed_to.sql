-- +goose Up

CREATE INDEX transfers_target ON transfers (target) WHERE target_kind = 'agent'; -- whose calls are looked for

-- +goose Down
DROP INDEX transfers_target;
