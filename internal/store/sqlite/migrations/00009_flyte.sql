-- Executions on a Flyte.

-- +goose Up
-- When it is looked next what became of one; NULL for those that run here, and for those that ended.
ALTER TABLE executions ADD COLUMN look_at INTEGER;
CREATE INDEX executions_elsewhere ON executions (look_at) WHERE look_at IS NOT NULL;

-- How many executions a firing had that were accepted and could not be started.
ALTER TABLE firings ADD COLUMN relaunches INTEGER NOT NULL DEFAULT 0;
