-- +goose Up

-- When its caller was erased: what is recorded of the call later is condemned.
ALTER TABLE calls ADD COLUMN erased_at BIGINT;
