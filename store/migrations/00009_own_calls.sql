-- +goose Up

-- Agents make calls themselves: who, and what kind of place he dialled.
ALTER TABLE calls ADD COLUMN agent TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN dialled TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE calls DROP COLUMN agent;
ALTER TABLE calls DROP COLUMN dialled;
