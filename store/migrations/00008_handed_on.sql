-- +goose Up

-- Agents may hand a caller on to each other in one visit, and wrap up each: whose
-- wrap-ups wrap_up_ns has, as ;PART;;PART;.
ALTER TABLE visits ADD COLUMN wrap_up_parts TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE visits DROP COLUMN wrap_up_parts;
