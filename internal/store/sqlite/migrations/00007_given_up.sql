-- What was given up while it was launched, perhaps: the sweeper looks whether it
-- was launched all the same.

-- +goose Up
CREATE INDEX firings_given_up ON firings (settled_at, slot, schedule_id) WHERE outcome > 1 AND tried = 1;
