package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var calendarEntity = entity{
	noun: "calendars", prefix: "calendar",
	columns: "c.name, c.days, c.by_whom, c.why, c.updated_at",
	from:    "calendars c",
	fields: map[string]field{
		"name":       {column: "c.name"},
		"by":         {column: "c.by_whom"},
		"updated_at": {column: "c.updated_at", kind: instants},
	},
	order: "c.name", tie: []string{"c.name"},
}

func scanCalendar(rows *sql.Rows) (c store.Calendar, err error) {
	var days []byte
	if err := rows.Scan(&c.Name, &days, &c.By, &c.Why, instant{&c.UpdatedAt}); err != nil {
		return c, err
	}
	if err := json.Unmarshal(days, &c.Days); err != nil {
		return c, fmt.Errorf("read calendar %s: %w", c.Name, err)
	}
	return c, nil
}

// Calendar reads one calendar.
func (db *DB) Calendar(ctx context.Context, name string) (store.Calendar, error) {
	c, err := get(ctx, db.reading(), &calendarEntity, scanCalendar, "c.name = ?", name)
	return c, db.failed(ctx, "read calendar "+name, err)
}

// Calendars lists calendars, by default by name.
func (db *DB) Calendars(ctx context.Context, q store.Query) ([]store.Calendar, error) {
	q.Project, q.Domain, q.Name = "", "", ""
	return list(ctx, db, &calendarEntity, q, scanCalendar)
}

// PutCalendar stores a calendar, and gives its days to the active schedules that
// name it, some at a time: none of them waits for all the others. What a crash
// left undone is done when it is put again, or by the next sweep.
func (db *DB) PutCalendar(ctx context.Context, cal schedule.Calendar, c store.Change) (changed int, err error) {
	operation := "put calendar " + cal.Name
	days, err := json.Marshal(cal.Days)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", operation, err)
	}
	err = db.update(ctx, operation, func(tx transaction) error {
		before, err := lockCalendar(ctx, tx, cal.Name)
		if !errors.Is(err, store.ErrNotFound) && (err != nil || before.Equal(cal)) {
			return err
		}
		_, err = tx.exec(ctx, `INSERT INTO calendars (name, days, by_whom, why, updated_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET days = excluded.days, by_whom = excluded.by_whom, why = excluded.why, updated_at = excluded.updated_at`,
			cal.Name, string(days), c.By, c.Why, micros(c.At))
		return err
	})
	for after, more := int64(0), true; more && err == nil; {
		var n int
		var last int64
		err = db.update(ctx, operation, func(tx transaction) (err error) {
			n, last, more, err = recalendarSome(ctx, tx, cal.Name, after, c.At)
			return err
		})
		if err == nil {
			changed, after = changed+n, last
		}
	}
	return changed, err
}

// calendarBatch is how many schedules get the days of a calendar in one transaction.
const calendarBatch = 200

// recalendarSome gives the days of a calendar, as they are now, to some of the
// schedules that name it and have others: those after one. It says how many those
// are, which was the last, and whether there may be more.
func recalendarSome(ctx context.Context, tx transaction, name string, after int64, now time.Time) (changed int, last int64, more bool, err error) {
	cal, err := get(ctx, tx.session, &calendarEntity, scanCalendar, "c.name = ?"+tx.holdRows("c"), name)
	if errors.Is(err, store.ErrNotFound) {
		return 0, after, false, nil // Nobody named it, and somebody has deleted it.
	}
	if err != nil {
		return 0, after, false, err
	}
	since, err := sinceWhen(ctx, tx, now)
	if err != nil {
		return 0, after, false, err
	}
	users, err := collect(ctx, tx.session, scanUser, `SELECT s.id, s.project, s.domain, s.name `+activeUsers+` AND u.schedule_id > ? ORDER BY u.schedule_id LIMIT ?`, name, after, calendarBatch)
	if err != nil {
		return 0, after, false, err
	}
	last = after
	for _, u := range users {
		last = u.id
		changes, err := recalendar(ctx, tx, u.key, cal, since, now)
		if err != nil {
			return 0, after, false, fmt.Errorf("change the schedule of %s: %w", u.key, err)
		}
		if changes {
			changed++
		}
	}
	if changed > 0 {
		err = tx.notify(ctx)
	}
	return changed, last, len(users) == calendarBatch, err
}

// activeUsers are the active schedules that may name a calendar.
const activeUsers = `FROM schedules s JOIN schedule_calendars u ON u.schedule_id = s.id WHERE u.calendar = ? AND s.active = 1`

type calendarUser struct {
	id  int64
	key ident.Key
}

func scanUser(rows *sql.Rows) (u calendarUser, err error) {
	err = rows.Scan(&u.id, &u.key.Project, &u.key.Domain, &u.key.Name)
	return u, err
}

// lockCalendar keeps others from changing a calendar, from activating what names
// it, and from giving its days to schedules, until tx has ended.
func lockCalendar(ctx context.Context, tx transaction, name string) (store.Calendar, error) {
	if tx.db.dialect.Locks { // The name, as there may be no row yet.
		if err := tx.db.dialect.LockName(ctx, tx.tx, "calendar "+name); err != nil {
			return store.Calendar{}, err
		}
	}
	return get(ctx, tx.session, &calendarEntity, scanCalendar, "c.name = ?"+tx.lockRows("c"), name)
}

// recalendar gives a schedule the days of cal, from when they were put on; slots
// that came due before are decided first. A schedule that does not name it, that
// has these days, or that is not active any more is left as it is. A problem is
// over if the new days end it.
func recalendar(ctx context.Context, tx transaction, key ident.Key, cal store.Calendar, since, now time.Time) (changed bool, err error) {
	s, err := activeSchedule(ctx, tx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if had, names := s.Spec.Policy.Calendar(cal.Name); !names || had.Equal(cal.Calendar) {
		return false, nil
	}
	c := store.Change{By: cal.By, Why: cal.Why, At: later(now, cal.UpdatedAt)}
	if err := finish(ctx, tx, &s, c.At, since); err != nil {
		return false, err
	}
	policy := s.Spec.Policy.Replace(cal.Calendar)
	s.Spec.Policy, s.Cursor = policy, later(c.At, s.Cursor)
	planned, err := plan(&s, c.At, c.At)
	if err != nil {
		planned.Problem = err.Error()
	}
	s.Next, s.Problem = planned.Next, planned.Problem
	if s.Paused != "" {
		s.Next = s.PausedUntil // What is due then is the end of the pause.
	}
	text, err := encode(policy)
	if err != nil {
		return false, err
	}
	if _, err := tx.exec(ctx, `UPDATE schedules SET policy = ?, cursor = ?, next_at = ?, problem = ?, updated_at = ? WHERE id = ?`,
		text, micros(s.Cursor), optional(s.Next), s.Problem, micros(c.At), s.ID); err != nil {
		return false, err
	}
	if err := revise(ctx, tx, &s, actionCalendar+cal.Name, c); err != nil || s.Problem == "" {
		return true, err
	}
	return true, setAside(ctx, tx, s.ID, s.Problem, s.Cursor, c.At)
}

// actionCalendar, and the name of a calendar, is the action of a revision that gave a schedule its new days.
const actionCalendar = "calendar "

// DeleteCalendar removes a calendar that no active schedule names.
func (db *DB) DeleteCalendar(ctx context.Context, name string) error {
	return db.update(ctx, "delete calendar "+name, func(tx transaction) error {
		if _, err := lockCalendar(ctx, tx, name); err != nil {
			return err
		}
		rows, err := tx.query(ctx, `SELECT `+scheduleEntity.columns+` `+activeUsers, name)
		if err != nil {
			return err
		}
		if err := Each(rows, func(rows *sql.Rows) error {
			s, err := scanSchedule(rows)
			if err != nil {
				return err
			}
			if _, names := s.Spec.Policy.Calendar(name); names {
				return &store.CalendarInUseError{Calendar: name, By: s.LaunchPlan.Key}
			}
			return nil
		}); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `DELETE FROM schedule_calendars WHERE calendar = ?`, name); err != nil {
			return err
		}
		return one(tx.exec(ctx, `DELETE FROM calendars WHERE name = ?`, name))
	})
}

// resolve is spec with the days of the calendars that it names, which do not
// change before tx has ended. It comes before the launch plan is locked, as
// PutCalendar locks in that order.
func resolve(ctx context.Context, tx transaction, spec *schedule.Spec) (*schedule.Spec, error) {
	if spec == nil || len(spec.Policy.CalendarNames()) == 0 {
		return spec, nil
	}
	resolved := *spec
	policy, err := spec.Policy.Resolve(func(name string) (schedule.Calendar, error) {
		c, err := get(ctx, tx.session, &calendarEntity, scanCalendar, "c.name = ?"+tx.holdRows("c"), name)
		if errors.Is(err, store.ErrNotFound) {
			err = schedule.NoCalendar(name)
		}
		return c.Calendar, err
	})
	resolved.Policy = policy
	return &resolved, err
}

// noteCalendars records which calendars s names, so that their changes find it. old is what it was before.
func noteCalendars(ctx context.Context, tx transaction, s, old *scheduleRow) error {
	if len(s.Spec.Policy.Calendars)+len(old.Spec.Policy.Calendars) == 0 {
		return nil // As it is with most.
	}
	if _, err := tx.exec(ctx, `DELETE FROM schedule_calendars WHERE schedule_id = ?`, s.ID); err != nil {
		return fmt.Errorf("forget calendars: %w", err)
	}
	for _, c := range s.Spec.Policy.Calendars {
		if _, err := tx.exec(ctx, `INSERT INTO schedule_calendars (calendar, schedule_id) VALUES (?, ?)`, c.Name, s.ID); err != nil {
			return fmt.Errorf("note calendars: %w", err)
		}
	}
	return nil
}
