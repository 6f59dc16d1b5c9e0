-- Alerts, and the messages about them.

-- +goose Up
-- One row: when people were last told of alerts, by whichever replica.
CREATE TABLE alert_book (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    told_at INTEGER
) STRICT;
INSERT INTO alert_book (id) VALUES (1);

-- Durations are whole microseconds.
CREATE TABLE alerts (
    project    TEXT    NOT NULL,
    domain     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL, -- late, missed, dead, failing
    slot       INTEGER NOT NULL,
    lateness   INTEGER NOT NULL,
    most       INTEGER NOT NULL, -- how late the slot may be
    count      INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    ended_at   INTEGER,
    end_slot   INTEGER,
    end_reason TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    told_at    INTEGER,
    grp        TEXT    NOT NULL,
    PRIMARY KEY (project, domain, name, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_untold ON alerts (changed_at) WHERE told_at IS NULL OR ended_at IS NOT NULL;
CREATE INDEX alerts_told ON alerts (told_at) WHERE ended_at IS NULL;
CREATE INDEX alerts_group ON alerts (grp) WHERE grp <> '';

CREATE TABLE alert_messages (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which a channel's are sent
    id         TEXT    NOT NULL UNIQUE,
    channel    TEXT    NOT NULL,
    deadline   INTEGER NOT NULL,
    due_at     INTEGER NOT NULL, -- while it is claimed, when the lease ends
    attempts   INTEGER NOT NULL,
    error      TEXT    NOT NULL,
    result     TEXT    NOT NULL, -- sent or lost; '' until it is settled
    settled_at INTEGER,
    body       BLOB
) STRICT;
CREATE INDEX alert_messages_open ON alert_messages (channel, seq) WHERE result = '';

-- What could not be launched at its first attempt, and waits.
CREATE INDEX firings_held ON firings (slot, schedule_id) WHERE outcome = 0 AND reason <> '';
