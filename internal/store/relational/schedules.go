package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var scheduleEntity = entity{
	noun: "schedules", prefix: "schedule",
	columns: "s.id, s.plan_id, s.project, s.domain, s.name, p.version, s.expression, s.kickoff_input, s.policy," +
		" s.active, s.paused, s.problem, s.cursor, s.anchor, s.next_at, s.runs, s.updated_at",
	// CROSS keeps schedules the outer loop, in the order of its index.
	from: "schedules s {outer} JOIN launch_plans p ON p.id = s.plan_id",
	fields: map[string]field{
		"project":    {column: "s.project"},
		"domain":     {column: "s.domain"},
		"name":       {column: "s.name"},
		"version":    {column: "p.version"},
		"expression": {column: "s.expression"},
		"active":     {column: "s.active", kind: enum, values: truths},
		"paused":     {column: "s.paused"},
		"problem":    {column: "s.problem"},
		"cursor":     {column: "s.cursor", kind: instants},
		"next_at":    {column: "s.next_at", kind: instants, optional: true},
		"runs":       {column: "s.runs", kind: integer},
		"updated_at": {column: "s.updated_at", kind: instants},
	},
	order: "s.next_at ASC NULLS LAST, s.id", tie: []string{"s.id"},
}

// scheduleRow is a schedule with what it takes to plan it.
type scheduleRow struct {
	schedule.Schedule
	// plan is the row of the version in force.
	plan int64
	// unread is why the policy cannot be read, if it cannot.
	unread error
}

func scanSchedule(rows *sql.Rows) (s scheduleRow, err error) {
	var policy string
	err = rows.Scan(&s.ID, &s.plan, &s.LaunchPlan.Project, &s.LaunchPlan.Domain, &s.LaunchPlan.Name, &s.LaunchPlan.Version,
		&s.Spec.Expression, &s.Spec.KickoffInput, &policy,
		&s.Active, &s.Paused, &s.Problem, instant{&s.Cursor}, instant{&s.Anchor}, instant{&s.Next}, &s.Runs, instant{&s.UpdatedAt})
	s.decode(policy)
	return s, err
}

// decode reads a policy as encode wrote it.
func (s *scheduleRow) decode(policy string) {
	if policy == "" {
		return
	}
	if err := json.Unmarshal([]byte(policy), &s.Spec.Policy); err != nil {
		s.unread = fmt.Errorf("read policy: %w", err)
	}
}

// scanListed is scanSchedule for those who do not plan.
func scanListed(rows *sql.Rows) (schedule.Schedule, error) {
	s, err := scanSchedule(rows)
	return s.Schedule, err
}

// encode is a policy as the database keeps it: empty for the default, so that
// most schedules are planned without decoding one.
func encode(p schedule.Policy) (string, error) {
	b, err := json.Marshal(p)
	if err != nil || string(b) == "{}" {
		return "", err
	}
	return string(b), nil
}

// Schedule reads the schedule of a launch plan.
func (db *DB) Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error) {
	s, err := get(ctx, db.reading(), &scheduleEntity, scanListed, ofName, key.Project, key.Domain, key.Name)
	return s, db.failed(ctx, "read schedule "+key.String(), err)
}

// Schedules lists schedules, by default the next to fire first.
func (db *DB) Schedules(ctx context.Context, q store.Query) ([]schedule.Schedule, error) {
	return list(ctx, db, &scheduleEntity, q, scanListed)
}

// Pause stops an active schedule until it is activated again, and skips what it
// has pending.
func (db *DB) Pause(ctx context.Context, key ident.Key, reason string, now time.Time) error {
	operation := "pause schedule " + key.String()
	if reason == "" {
		return fmt.Errorf("%s: the reason is empty", operation)
	}
	return db.update(ctx, operation, func(tx transaction) error {
		if err := tx.lock(ctx, key); err != nil {
			return err
		}
		s, err := scheduleOf(ctx, tx, key)
		if err != nil {
			return err
		}
		if !s.Active {
			return store.ErrNotFound
		}
		// None of them launches. As missed slots, those that catch-up leaves out
		// share one firing, however many they are.
		if err := db.finish(ctx, tx, s, now, now); err != nil {
			return err
		}
		if err := skip(ctx, tx, s, "paused before this slot was launched: "+reason, now); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE schedules SET paused = ?, next_at = NULL, updated_at = ? WHERE id = ?`,
			reason, micros(now), s.ID)
		return err
	})
}

const ofName = "s.project = ? AND s.domain = ? AND s.name = ?"

// scheduleOf reads and locks the schedule of a launch plan that tx has locked.
func scheduleOf(ctx context.Context, tx transaction, key ident.Key) (scheduleRow, error) {
	return get(ctx, tx.session, &scheduleEntity, scanSchedule, ofName+tx.lockRows("s"), key.Project, key.Domain, key.Name)
}

// plan is schedule.Plan for a row. A panic over one schedule must not end the
// process again at every start, so it is that schedule's problem.
func plan(s *scheduleRow, now, since time.Time) (p schedule.Planned, err error) {
	if s.unread != nil {
		return p, s.unread
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("planning failed: %v", r)
		}
	}()
	return schedule.Plan(s.Schedule, now, since)
}

// finish plans the slots of s that are due by now, to the last, before s changes.
func (db *DB) finish(ctx context.Context, tx transaction, s scheduleRow, now, since time.Time) error {
	for !s.Next.IsZero() && !s.Next.After(now) {
		planned, err := plan(&s, now, since)
		if err != nil {
			return nil //nolint:nilerr // A schedule that cannot be planned has no slots left to lose.
		}
		if err := db.record(ctx, tx, []plannedRow{{&s, planned, nil}}); err != nil {
			return err
		}
		if planned.Next.Equal(s.Next) && !planned.Cursor.After(s.Cursor) {
			return fmt.Errorf("planning slot %s got nowhere", s.Next.Format(time.RFC3339))
		}
		s.Cursor, s.Next, s.Runs = planned.Cursor, planned.Next, planned.Runs
	}
	return nil
}

// start makes spec fire from now on, after the slots that old decided. Over an
// active schedule with the same expression it keeps the instant from which a
// rate counts.
func start(ctx context.Context, tx transaction, id ident.ID, planID int64, spec schedule.Spec, old scheduleRow, now time.Time) error {
	policy, err := encode(spec.Policy)
	if err != nil {
		return err
	}
	s := scheduleRow{Schedule: schedule.Schedule{LaunchPlan: id, Spec: spec, Cursor: later(now, old.Cursor), Anchor: now}}
	if old.Active && old.Spec.Expression == spec.Expression {
		s.Anchor = old.Anchor
	}
	planned, err := plan(&s, now, now)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `INSERT INTO schedules (project, domain, name, plan_id, expression, kickoff_input, policy,
			active, paused, problem, cursor, anchor, next_at, runs, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, 1, '', '', ?, ?, ?, 0, ?)
		ON CONFLICT (project, domain, name) DO UPDATE SET plan_id = excluded.plan_id, expression = excluded.expression,
			kickoff_input = excluded.kickoff_input, policy = excluded.policy, active = 1, paused = '', problem = '',
			cursor = excluded.cursor, anchor = excluded.anchor, next_at = excluded.next_at, runs = 0, updated_at = excluded.updated_at`,
		id.Project, id.Domain, id.Name, planID, spec.Expression, spec.KickoffInput, policy,
		micros(s.Cursor), micros(s.Anchor), optional(planned.Next), micros(now))
	return err
}

// resume makes a schedule that was paused or had a problem fire again, from now
// on. A pause is not owed any slots; those that fell to a problem were missed.
func (db *DB) resume(ctx context.Context, tx transaction, s scheduleRow, now time.Time) error {
	if s.Problem != "" {
		broken := s
		broken.Spec.Policy.CatchUp = schedule.CatchUpNone
		broken.Next = s.Cursor
		if err := db.finish(ctx, tx, broken, now, now.Add(time.Microsecond)); err != nil {
			return err
		}
	}
	s.Cursor = later(now, s.Cursor)
	planned, err := plan(&s, now, now)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE schedules SET paused = '', problem = '', cursor = ?, next_at = ?, updated_at = ? WHERE id = ?`,
		micros(s.Cursor), optional(planned.Next), micros(now), s.ID)
	return err
}

// later is where a cursor goes at now. Now may have been read before a planner
// moved the cursor past it, or from a clock that was set back; a cursor that
// followed it would have slots decided twice.
func later(now, cursor time.Time) time.Time {
	if cursor.After(now) {
		return cursor
	}
	return now
}

const skipPending = `UPDATE firings SET outcome = 2, reason = ?, settled_at = ? WHERE schedule_id = ? AND outcome = 0`

// skip settles all that s has pending, under whichever version it was planned,
// so that nothing launches after s has stopped.
func skip(ctx context.Context, tx transaction, s scheduleRow, reason string, now time.Time) error {
	if _, err := tx.exec(ctx, skipPending, reason, micros(now), s.ID); err != nil {
		return fmt.Errorf("skip pending firings: %w", err)
	}
	return nil
}

// stop ends what s fires, if there is an s that does, and skips what it has pending.
func stop(ctx context.Context, tx transaction, s scheduleRow, now time.Time) error {
	if !s.Active {
		return nil
	}
	if err := skip(ctx, tx, s, "the launch plan was deactivated before this slot was launched", now); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE schedules SET active = 0, paused = '', next_at = NULL, updated_at = ? WHERE id = ?`,
		micros(now), s.ID)
	return err
}
