-- +goose Up

CREATE INDEX visits_caller ON visits (caller_hash, queue, joined_at) WHERE caller_hash <> ''; -- who calls again on a subject
CREATE INDEX follow_ups_owed ON follow_ups (due_to, id) WHERE settled_at IS NULL;

-- +goose Down
DROP INDEX follow_ups_owed;
DROP INDEX visits_caller;
