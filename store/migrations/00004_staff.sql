-- +goose Up

-- What running nodes look at every few seconds to see whether something has
-- changed: 'staff' counts the changes of agents.
CREATE TABLE changes (
    what TEXT PRIMARY KEY,
    n    BIGINT NOT NULL
);

-- The hash of the token a user shows the API; '' for none.
ALTER TABLE users ADD COLUMN token_hash TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX users_token ON users (token_hash) WHERE token_hash <> '';

-- +goose Down
DROP INDEX users_token;
ALTER TABLE users DROP COLUMN token_hash;
DROP TABLE changes;
