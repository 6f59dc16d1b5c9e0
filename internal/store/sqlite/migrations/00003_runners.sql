-- Who runs executions.

-- +goose Up
-- The runners that share this database. One that is not renewed is over.
CREATE TABLE runners (
    id         TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who took an execution up, '' while nobody did, and who ran an attempt.
ALTER TABLE executions ADD COLUMN runner TEXT NOT NULL DEFAULT '';
ALTER TABLE task_executions ADD COLUMN runner TEXT NOT NULL DEFAULT '';
-- What waits for a runner, however much that is, and what is in progress. Runners
-- that share a database look at both every second.
DROP INDEX executions_open;
CREATE INDEX executions_queued ON executions (created_at) WHERE open = 1 AND phase IN ('QUEUED', 'UNDEFINED');
CREATE INDEX executions_in_progress ON executions (created_at) WHERE open = 1 AND phase NOT IN ('QUEUED', 'UNDEFINED');
