-- Who keeps time, what it is to hold, and what came of its messages.

-- +goose Up
ALTER TABLE engine ADD COLUMN keeper TEXT NOT NULL DEFAULT 'local';
-- Since when messages of the keeper have been taken without a break, and when they were last.
ALTER TABLE engine ADD COLUMN read_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE engine ADD COLUMN read_at INTEGER NOT NULL DEFAULT 0;

-- What a keeper outside of tminus is to hold for schedules.
CREATE TABLE rules (
    schedule_id  INTEGER PRIMARY KEY REFERENCES schedules (id),
    generation   INTEGER NOT NULL, -- the revision of the schedule that is to be held
    applied      INTEGER NOT NULL, -- the one that is; 0 is none
    tried        INTEGER NOT NULL CHECK (tried IN (0, 1)),
    attempts     INTEGER NOT NULL,
    due_at       INTEGER,          -- NULL while nothing is to be done
    leased_until INTEGER,          -- NULL while nobody is at it
    changed_at   INTEGER NOT NULL,
    replaced_at  INTEGER,          -- when a rate last took the place of something else; NULL is never
    held         TEXT    NOT NULL, -- in the keeper's words; '' is nothing
    error        TEXT    NOT NULL
) STRICT;
CREATE INDEX rules_due ON rules (due_at) WHERE due_at IS NOT NULL;

-- Messages that launched nothing, and that somebody should look at.
CREATE TABLE dead_letters (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message     TEXT    NOT NULL UNIQUE, -- the queue's name for it
    sent_at     INTEGER,
    receives    INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    project     TEXT    NOT NULL,
    domain      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    time        INTEGER,
    reason      TEXT    NOT NULL,
    body        BLOB
) STRICT;
CREATE INDEX dead_letters_by_age ON dead_letters (received_at);
