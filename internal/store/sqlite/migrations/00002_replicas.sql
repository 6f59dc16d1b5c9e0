-- Sessions, claims, revisions and backlogs.

-- +goose Up
-- The engines on this database. A session that is not renewed is over.
CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: it fences what its owner writes
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- When somebody last could fire, and since when without a break.
CREATE TABLE engine (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    awake_at INTEGER NOT NULL,
    since    INTEGER NOT NULL
) STRICT;
INSERT INTO engine (id, awake_at, since) VALUES (1, 0, 0);

ALTER TABLE schedules ADD COLUMN project_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN version TEXT NOT NULL DEFAULT ''; -- the one in force, which is that of plan_id
ALTER TABLE schedules ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';
ALTER TABLE schedules ADD COLUMN paused_until INTEGER;
ALTER TABLE schedules ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
UPDATE schedules SET project_id = coalesce((SELECT id FROM projects WHERE identifier = project), 0),
    version = (SELECT version FROM launch_plans WHERE id = plan_id),
    priority = coalesce(CASE WHEN policy = '' THEN 0 ELSE json_extract(policy, '$.priority') END, 0);
DROP INDEX schedules_due;
CREATE INDEX schedules_due ON schedules (next_at, priority DESC);

-- What a schedule was from an instant on.
CREATE TABLE revisions (
    schedule_id   INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    plan_id       INTEGER NOT NULL,
    expression    TEXT    NOT NULL,
    kickoff_input TEXT    NOT NULL,
    policy        TEXT    NOT NULL,
    anchor        INTEGER NOT NULL,
    active        INTEGER NOT NULL CHECK (active IN (0, 1)),
    paused        TEXT    NOT NULL,
    paused_until  INTEGER,
    action        TEXT    NOT NULL,
    by_whom       TEXT    NOT NULL,
    why           TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    from_at       INTEGER NOT NULL,
    PRIMARY KEY (schedule_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO revisions (schedule_id, number, plan_id, expression, kickoff_input, policy, anchor, active, paused, action, by_whom, why, at, from_at)
    SELECT id, 1, plan_id, expression, kickoff_input, policy, anchor, active, paused, 'activate', '', 'as it was when revisions began', updated_at, cursor FROM schedules;
UPDATE schedules SET revision = 1;

-- Ranges of slots that are recorded bit by bit.
CREATE TABLE backlogs (
    id           INTEGER PRIMARY KEY,
    schedule_id  INTEGER NOT NULL,
    plan_id      INTEGER NOT NULL,
    kind         INTEGER NOT NULL, -- as in firings
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    cursor       INTEGER,
    newest_first INTEGER NOT NULL CHECK (newest_first IN (0, 1)),
    per_minute   INTEGER NOT NULL,
    include      TEXT    NOT NULL,
    expression   TEXT    NOT NULL,
    policy       TEXT    NOT NULL,
    anchor       INTEGER NOT NULL,
    by_whom      TEXT    NOT NULL,
    note         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    next_at      INTEGER, -- NULL once it has ended
    ended_at     INTEGER,
    ended        TEXT    NOT NULL,
    recorded     INTEGER NOT NULL
) STRICT;
CREATE INDEX backlogs_due ON backlogs (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX backlogs_by_schedule ON backlogs (schedule_id) WHERE next_at IS NOT NULL;

-- The ledger anew, as its columns change place. A range of slots (last is not
-- NULL) is kept a microsecond after its first slot, so that it never takes the
-- place of a firing of that slot's own.
CREATE TABLE firings_2 (
    slot        INTEGER NOT NULL,
    schedule_id INTEGER NOT NULL,
    plan_id     INTEGER NOT NULL, -- the version in force when the slot was recorded
    outcome     INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 4), -- pending, launched, skipped, missed, dead
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3), -- scheduled, catch-up, backfill, manual
    queue       INTEGER NOT NULL, -- its lane, project and priority in one number
    owner       INTEGER NOT NULL, -- the session that launches it; 0 is nobody
    tried       INTEGER NOT NULL CHECK (tried IN (0, 1)),
    attempt_at  INTEGER,
    deadline    INTEGER,
    recorded_at INTEGER NOT NULL,
    settled_at  INTEGER,
    last        INTEGER, -- NULL where it is no range
    count       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    max_running INTEGER NOT NULL,
    buffer      INTEGER NOT NULL,
    overlap     TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    stopped     TEXT    NOT NULL,
    PRIMARY KEY (slot, schedule_id)
) STRICT, WITHOUT ROWID;
INSERT INTO firings_2 SELECT CASE WHEN f.last IS NULL AND f.outcome <> 3 THEN f.slot ELSE f.slot + 1 END, f.schedule_id, f.plan_id, f.outcome, 0,
    s.project_id * 4294967296 + 2147483647 - f.priority, 0, f.attempts > 0 OR f.outcome = 1, f.attempt_at, f.deadline, f.recorded_at, f.settled_at,
    CASE WHEN f.outcome = 3 THEN coalesce(f.last, f.slot) ELSE f.last END, f.count, f.attempts, f.max_running, 0, f.overlap, f.reason, ''
    FROM firings f JOIN schedules s ON s.id = f.schedule_id;
-- What was pending may have been launched without a record of it.
UPDATE firings_2 SET tried = 1 WHERE outcome = 0;
DROP TABLE firings;
ALTER TABLE firings_2 RENAME TO firings;
CREATE INDEX firings_by_schedule ON firings (schedule_id, slot);
-- What is to be launched, what is being launched, and what of both a launch plan has.
CREATE INDEX firings_pending ON firings (queue, attempt_at) WHERE outcome = 0 AND owner = 0;
CREATE INDEX firings_owned ON firings (owner) WHERE outcome = 0 AND owner <> 0;
CREATE INDEX firings_waiting ON firings (schedule_id, slot) WHERE outcome = 0;
-- What did not launch is what people look for, and should be rare.
CREATE INDEX firings_unlaunched ON firings (slot) WHERE outcome > 1;
CREATE INDEX firings_unlaunched_by_schedule ON firings (schedule_id, slot) WHERE outcome > 1;
CREATE INDEX executions_ended ON executions (ended_at) WHERE open = 0;
