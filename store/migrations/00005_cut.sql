-- +goose Up

ALTER TABLE visits ADD COLUMN cut_at BIGINT; -- when its node died, if it was open then
ALTER TABLE visits ADD COLUMN reason TEXT NOT NULL DEFAULT ''; -- of its end, where the result does not say all: event.VisitEnded

-- +goose Down
ALTER TABLE visits DROP COLUMN reason;
ALTER TABLE visits DROP COLUMN cut_at;
