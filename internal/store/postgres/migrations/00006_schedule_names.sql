-- The names of schedules, apart from them: a schedule's row is written anew at
-- each slot, and every index on it with the row. The widest, that of the name,
-- took more of that than all else.

-- +goose Up
-- A replica of before counts on the constraint when it activates.
UPDATE compatibility SET oldest = 6;
ALTER TABLE schedules DROP CONSTRAINT schedules_project_domain_name_key;
CREATE TABLE schedule_names (
    project     text COLLATE "C" NOT NULL,
    domain      text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    schedule_id bigint NOT NULL,
    PRIMARY KEY (project, domain, name)
);
INSERT INTO schedule_names SELECT project, domain, name, id FROM schedules;

-- Schedules are never deleted, nor renamed.
-- +goose StatementBegin
CREATE FUNCTION name_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO schedule_names VALUES (NEW.project, NEW.domain, NEW.name, NEW.id);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER name_schedule AFTER INSERT ON schedules FOR EACH ROW EXECUTE FUNCTION name_schedule();
