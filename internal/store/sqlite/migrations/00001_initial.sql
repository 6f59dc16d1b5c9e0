-- Times are whole microseconds since 1970 in UTC. An optional time is NULL while
-- there is none; everything else is NOT NULL, and an empty text is ''. Blobs are
-- serialized messages, NULL when empty, and come last in their row so that
-- reading the columns before them does not touch their pages.

-- +goose Up
CREATE TABLE projects (
    id          INTEGER PRIMARY KEY,
    identifier  TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    state       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    spec        BLOB
) STRICT;

CREATE TABLE named_entities (
    kind        TEXT    NOT NULL,
    project     TEXT    NOT NULL,
    domain      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    state       INTEGER NOT NULL,
    PRIMARY KEY (kind, project, domain, name)
) STRICT, WITHOUT ROWID;

-- Registered versions of tasks and workflows.
CREATE TABLE definitions (
    id         INTEGER PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('task', 'workflow')),
    project    TEXT    NOT NULL,
    domain     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    closure    BLOB,
    spec       BLOB,
    UNIQUE (kind, project, domain, name, version)
) STRICT;
CREATE INDEX definitions_by_age ON definitions (kind, project, domain, created_at);

CREATE TABLE launch_plans (
    id               INTEGER PRIMARY KEY,
    project          TEXT    NOT NULL,
    domain           TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    version          TEXT    NOT NULL,
    workflow_project TEXT    NOT NULL,
    workflow_domain  TEXT    NOT NULL,
    workflow_name    TEXT    NOT NULL,
    workflow_version TEXT    NOT NULL,
    active           INTEGER NOT NULL CHECK (active IN (0, 1)),
    schedule_type    TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    UNIQUE (project, domain, name, version)
) STRICT;
-- The messages of launch_plans. Every firing reads a row of launch_plans, and
-- finds more of them in a page without these.
CREATE TABLE launch_plan_messages (
    plan_id INTEGER PRIMARY KEY REFERENCES launch_plans (id),
    spec    BLOB,
    closure BLOB
) STRICT;
-- At most one version of a launch plan is active.
CREATE UNIQUE INDEX launch_plans_active ON launch_plans (project, domain, name) WHERE active = 1;
CREATE INDEX launch_plans_by_age ON launch_plans (project, domain, created_at);

-- One row for each launch plan that has or had an active schedule. It outlives
-- versions: plan_id is the version in force.
CREATE TABLE schedules (
    id            INTEGER PRIMARY KEY,
    project       TEXT    NOT NULL,
    domain        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    plan_id       INTEGER NOT NULL REFERENCES launch_plans (id),
    expression    TEXT    NOT NULL,
    kickoff_input TEXT    NOT NULL,
    policy        TEXT    NOT NULL, -- JSON; '' is the default policy
    active        INTEGER NOT NULL CHECK (active IN (0, 1)),
    paused        TEXT    NOT NULL, -- why; '' is not paused
    problem       TEXT    NOT NULL, -- why; '' is none
    cursor        INTEGER NOT NULL,
    anchor        INTEGER NOT NULL,
    next_at       INTEGER,          -- NULL while it does not fire
    runs          INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    UNIQUE (project, domain, name)
) STRICT;
-- The timer queue. It holds the NULLs too, so that lists in its order need no sorting.
CREATE INDEX schedules_due ON schedules (next_at);

-- The ledger. It is keyed by slot first: slots come due in order, so that new
-- rows go to the end however many there are, and a batch touches few pages.
-- It refers to schedules and launch_plans, which are never deleted, without a
-- REFERENCES: checking a million rows a minute against rows that were just
-- read costs more than it can find.
CREATE TABLE firings (
    slot        INTEGER NOT NULL,
    schedule_id INTEGER NOT NULL,
    plan_id     INTEGER NOT NULL, -- the version in force when the slot was recorded
    outcome     INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 4), -- pending, launched, skipped, missed, dead
    priority    INTEGER NOT NULL,
    attempt_at  INTEGER,
    deadline    INTEGER,
    recorded_at INTEGER NOT NULL,
    settled_at  INTEGER,
    last        INTEGER, -- NULL where it is the slot
    count       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    overlap     TEXT    NOT NULL,
    max_running INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    PRIMARY KEY (slot, schedule_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX firings_by_schedule ON firings (schedule_id, slot);
-- What is to be launched, and what of it waits for earlier executions.
CREATE INDEX firings_pending ON firings (priority, attempt_at) WHERE outcome = 0;
CREATE INDEX firings_waiting ON firings (schedule_id, slot) WHERE outcome = 0;
-- What did not launch is what people look for, and should be rare.
CREATE INDEX firings_unlaunched ON firings (slot) WHERE outcome > 1;
CREATE INDEX firings_unlaunched_by_schedule ON firings (schedule_id, slot) WHERE outcome > 1;

CREATE TABLE executions (
    id               INTEGER PRIMARY KEY,
    project          TEXT    NOT NULL,
    domain           TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    kind             TEXT    NOT NULL, -- of what was launched: launch_plan or task
    launched_project TEXT    NOT NULL,
    launched_domain  TEXT    NOT NULL,
    launched_name    TEXT    NOT NULL,
    launched_version TEXT    NOT NULL,
    workflow_project TEXT    NOT NULL,
    workflow_domain  TEXT    NOT NULL,
    workflow_name    TEXT    NOT NULL,
    workflow_version TEXT    NOT NULL,
    phase            TEXT    NOT NULL,
    open             INTEGER NOT NULL CHECK (open IN (0, 1)), -- the phase is not terminal
    mode             INTEGER NOT NULL,
    slot             INTEGER,
    principal        TEXT    NOT NULL,
    archived         INTEGER NOT NULL CHECK (archived IN (0, 1)),
    abort_cause      TEXT    NOT NULL,
    aborted_by       TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    started_at       INTEGER,
    ended_at         INTEGER,
    spec             BLOB,
    inputs           BLOB,
    outputs          BLOB,
    error            BLOB,
    UNIQUE (project, domain, name)
) STRICT;
CREATE INDEX executions_by_age ON executions (project, domain, created_at);
CREATE INDEX executions_by_launched ON executions (project, domain, launched_name, created_at);
CREATE INDEX executions_by_workflow ON executions (project, domain, workflow_name, created_at);
CREATE INDEX executions_open ON executions (created_at) WHERE open = 1;
CREATE INDEX executions_running ON executions (launched_project, launched_domain, launched_name, created_at) WHERE open = 1;

CREATE TABLE node_executions (
    id           INTEGER PRIMARY KEY,
    execution_id INTEGER NOT NULL REFERENCES executions (id),
    node         TEXT    NOT NULL,
    spec_node    TEXT    NOT NULL,
    parent       TEXT    NOT NULL,
    is_group     INTEGER NOT NULL CHECK (is_group IN (0, 1)),
    phase        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    started_at   INTEGER,
    ended_at     INTEGER,
    inputs       BLOB,
    outputs      BLOB,
    error        BLOB,
    UNIQUE (execution_id, node)
) STRICT;

CREATE TABLE task_executions (
    id           INTEGER PRIMARY KEY,
    execution_id INTEGER NOT NULL REFERENCES executions (id),
    node         TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    task_project TEXT    NOT NULL,
    task_domain  TEXT    NOT NULL,
    task_name    TEXT    NOT NULL,
    task_version TEXT    NOT NULL,
    task_type    TEXT    NOT NULL,
    phase        TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    dir          TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    started_at   INTEGER,
    ended_at     INTEGER,
    inputs       BLOB,
    outputs      BLOB,
    error        BLOB,
    UNIQUE (execution_id, node, attempt)
) STRICT;
