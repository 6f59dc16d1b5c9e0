-- Calendars, the days of which schedules can exclude.

-- +goose Up
CREATE TABLE calendars (
    name       text COLLATE "C" PRIMARY KEY,
    days       text COLLATE "C" NOT NULL, -- a JSON array of numbers that count from 1970-01-01
    by_whom    text COLLATE "C" NOT NULL,
    why        text COLLATE "C" NOT NULL,
    updated_at bigint NOT NULL
);

-- The schedules whose policies name a calendar. There may be more rows than
-- that; what a policy says is what holds.
CREATE TABLE schedule_calendars (
    calendar    text COLLATE "C" NOT NULL,
    schedule_id bigint NOT NULL REFERENCES schedules (id),
    PRIMARY KEY (calendar, schedule_id)
);
CREATE INDEX schedule_calendars_of ON schedule_calendars (schedule_id);
