-- The names of schedules. Here an index is written only where what it holds
-- changes, so that the one on the table's own names will do.

-- +goose Up
CREATE VIEW schedule_names AS SELECT project, domain, name, id AS schedule_id FROM schedules;
