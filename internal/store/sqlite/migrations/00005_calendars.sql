-- Calendars, the days of which schedules can exclude.

-- +goose Up
CREATE TABLE calendars (
    name       TEXT    PRIMARY KEY,
    days       TEXT    NOT NULL, -- a JSON array of numbers that count from 1970-01-01
    by_whom    TEXT    NOT NULL,
    why        TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The schedules whose policies name a calendar. There may be more rows than
-- that; what a policy says is what holds.
CREATE TABLE schedule_calendars (
    calendar    TEXT    NOT NULL,
    schedule_id INTEGER NOT NULL REFERENCES schedules (id),
    PRIMARY KEY (calendar, schedule_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_calendars_of ON schedule_calendars (schedule_id);
