package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var scheduleEntity = entity{
	noun: "schedules", prefix: "schedule",
	columns: "s.id, s.plan_id, s.project_id, s.project, s.domain, s.name, s.version, s.expression, s.kickoff_input, s.policy," +
		" s.active, s.paused, s.paused_by, s.paused_until, s.problem, s.cursor, s.anchor, s.next_at, s.runs, s.revision, s.updated_at",
	from: "schedules s",
	fields: map[string]field{
		"project":    {column: "s.project"},
		"domain":     {column: "s.domain"},
		"name":       {column: "s.name"},
		"version":    {column: "s.version"},
		"expression": {column: "s.expression"},
		"active":     {column: "s.active", kind: enum, values: truths},
		"paused":     {column: "s.paused"},
		"problem":    {column: "s.problem"},
		"cursor":     {column: "s.cursor", kind: instants},
		"next_at":    {column: "s.next_at", kind: instants, optional: true},
		"runs":       {column: "s.runs", kind: integer},
		"updated_at": {column: "s.updated_at", kind: instants},
	},
	order: "s.next_at ASC NULLS LAST, s.priority DESC, s.id", tie: []string{"s.id"},
}

// scheduleRow is a schedule with what it takes to plan it.
type scheduleRow struct {
	schedule.Schedule
	// plan is the row of the version in force, project that of its project.
	plan, project int64
	// unread is why the policy cannot be read, if it cannot.
	unread error
}

func scanSchedule(rows *sql.Rows) (s scheduleRow, err error) {
	var policy string
	err = rows.Scan(&s.ID, &s.plan, &s.project, &s.LaunchPlan.Project, &s.LaunchPlan.Domain, &s.LaunchPlan.Name, &s.LaunchPlan.Version,
		&s.Spec.Expression, &s.Spec.KickoffInput, &policy,
		&s.Active, &s.Paused, &s.PausedBy, instant{&s.PausedUntil}, &s.Problem, instant{&s.Cursor}, instant{&s.Anchor}, instant{&s.Next},
		&s.Runs, &s.Revision, instant{&s.UpdatedAt})
	s.decode(policy)
	if s.Paused != "" {
		s.Next = time.Time{} // What is due then is the end of the pause.
	}
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
	s, err := get(ctx, db.reading(), &scheduleEntity, scanListed, "s.id = "+scheduleID, key.Project, key.Domain, key.Name)
	return s, db.failed(ctx, "read schedule "+key.String(), err)
}

// Schedules lists schedules, by default the next to fire first.
func (db *DB) Schedules(ctx context.Context, q store.Query) ([]schedule.Schedule, error) {
	q, scope := inPlace(q)
	return list(ctx, db, &scheduleEntity, q, scanListed, scope...)
}

// EachSchedule visits schedules in the order in which they fire next.
func (db *DB) EachSchedule(ctx context.Context, q store.Query, visit func(schedule.Schedule) error) error {
	q.Limit, q.Offset = math.MaxInt32, 0
	q, scope := inPlace(q)
	text, args, err := scheduleEntity.query(q, scope)
	if err != nil {
		return fmt.Errorf("list schedules: %w", err)
	}
	return visitEach(ctx, db, "list schedules", scanListed, visit, text, args...)
}

// scheduleID finds the schedule of a launch plan by its name.
const scheduleID = "(SELECT schedule_id FROM schedule_names WHERE project = ? AND domain = ? AND name = ?)"

// inPlace leads lists of the schedules of a project, and perhaps of a domain in
// it, to the index on names, and returns what is left of q.
func inPlace(q store.Query) (store.Query, []condition) {
	if q.Project == "" {
		return q, nil
	}
	where, args := "project = ?", []any{q.Project}
	if q.Domain != "" {
		where, args = where+" AND domain = ?", append(args, q.Domain)
		if q.Name != "" {
			where, args = where+" AND name = ?", append(args, q.Name)
		}
	}
	q.Project = ""
	if q.Domain != "" {
		q.Domain, q.Name = "", ""
	}
	return q, []condition{{"s.id IN (SELECT schedule_id FROM schedule_names WHERE " + where + ")", args}}
}

// scheduleOf reads and locks the schedule of a launch plan that tx has locked.
func scheduleOf(ctx context.Context, tx transaction, key ident.Key) (scheduleRow, error) {
	return get(ctx, tx.session, &scheduleEntity, scanSchedule, "s.id = "+scheduleID+tx.lockRows("s"), key.Project, key.Domain, key.Name)
}

// activeSchedule is scheduleOf for what changes schedules that fire, or would
// but for a pause or a problem; store.ErrNotFound where there is none.
func activeSchedule(ctx context.Context, tx transaction, key ident.Key) (scheduleRow, error) {
	if err := tx.lock(ctx, key); err != nil {
		return scheduleRow{}, err
	}
	s, err := scheduleOf(ctx, tx, key)
	if err == nil && !s.Active {
		err = store.ErrNotFound
	}
	return s, err
}

// plan is schedule.Plan for a row.
func plan(s *scheduleRow, now, since time.Time) (p schedule.Planned, err error) {
	err = s.planning(func() (err error) {
		p, err = schedule.Plan(s.Schedule, now, since)
		return err
	})
	return p, err
}

// planning calls do, which goes through slots of s. A panic over one schedule must
// not end the process again at every start, so it is that schedule's problem.
func (s *scheduleRow) planning(do func() error) (err error) {
	if s.unread != nil {
		return s.unread
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("planning failed: %v", r)
		}
	}()
	return do()
}

// finish decides the slots of s up to now, to the last, before s changes. Where
// a pause has ended meanwhile, s goes on first.
func finish(ctx context.Context, tx transaction, s *scheduleRow, now, since time.Time) error {
	if !s.Active {
		return nil
	}
	if s.Paused != "" && !s.PausedUntil.IsZero() && !s.PausedUntil.After(now) {
		if _, err := plan(s, s.Cursor, s.Cursor); err == nil { // What cannot be planned stays as it is.
			if err := goOn(ctx, tx, s, pauseEnded(s)); err != nil {
				return err
			}
		}
	}
	if s.Paused != "" || s.Problem != "" {
		return passOver(ctx, tx, s, now)
	}
	if !s.Next.IsZero() && !s.Next.After(now) {
		if none, err := uncounted(ctx, tx, s); err != nil {
			return err
		} else if none {
			return recount(ctx, tx, s, now, s.Cursor, now, "the rate does not count in AWS yet")
		}
	}
	if err := lookAhead(ctx, tx, s); err != nil {
		return err
	}
	for !s.Next.IsZero() && !s.Next.After(now) {
		planned, err := plan(s, now, since)
		if err != nil {
			return broken(ctx, tx, s, err, now)
		}
		if _, err := record(ctx, tx, []plannedRow{{s, planned, nil}}, now); err != nil {
			return err
		}
		if planned.Next.Equal(s.Next) && !planned.Cursor.After(s.Cursor) {
			return fmt.Errorf("planning slot %s got nowhere", s.Next.Format(time.RFC3339))
		}
		s.Cursor, s.Next, s.Runs = planned.Cursor, planned.Next, planned.Runs
	}
	return nil
}

func pausedReason(s *scheduleRow) string {
	if s.PausedBy == "" {
		return "paused: " + s.Paused
	}
	return "paused by " + s.PausedBy + ": " + s.Paused
}

// passOver records the slots up to now of a schedule that is paused or has a
// problem. A pause is not owed any slots; those that fell to a problem were missed.
func passOver(ctx context.Context, tx transaction, s *scheduleRow, now time.Time) error {
	if s.Paused != "" {
		return pass(ctx, tx, s, now, schedule.Skipped, pausedReason(s))
	}
	return pass(ctx, tx, s, now, schedule.Missed, problemReason(s))
}

func problemReason(s *scheduleRow) string { return "could not be planned: " + s.Problem }

// pass records the slots of s up to now, none of which launches, as one firing.
func pass(ctx context.Context, tx transaction, s *scheduleRow, now time.Time, outcome schedule.Outcome, reason string) error {
	var f schedule.Firing
	some := false
	if err := s.planning(func() (err error) {
		f, some, err = schedule.Pass(s.Schedule, now, outcome, reason, now)
		return err
	}); err != nil || !some {
		return nil //nolint:nilerr // A schedule that cannot be planned has no slots that anybody could tell.
	}
	if _, err := insert(ctx, tx, s, []schedule.Firing{f}); err != nil {
		return err
	}
	s.Cursor = later(s.Cursor, f.Last)
	return nil
}

// start makes spec fire from now on, after the slots that old decided. Over an
// active schedule with the same expression it keeps the instant from which a
// rate counts. pauses says that a pause of old goes on.
func start(ctx context.Context, tx transaction, a store.Activation, planID int64, spec schedule.Spec, old scheduleRow, pauses bool, c store.Change) error {
	id := a.ID
	policy, err := encode(spec.Policy)
	if err != nil {
		return err
	}
	s := scheduleRow{plan: planID, Schedule: schedule.Schedule{
		LaunchPlan: id, Spec: spec, Active: true, Cursor: later(c.At, old.Cursor), Anchor: c.At, Revision: old.Revision,
	}}
	if !a.Anchor.IsZero() {
		s.Anchor = a.Anchor
	}
	if old.Active && old.Spec.Expression == spec.Expression {
		s.Anchor = old.Anchor
	}
	planned, err := plan(&s, c.At, c.At)
	if err != nil {
		return err
	}
	due := planned.Next
	if pauses && old.Active && old.Paused != "" {
		s.Paused, s.PausedBy, s.PausedUntil, due = old.Paused, old.PausedBy, old.PausedUntil, old.PausedUntil
	}
	if s.ID = old.ID; s.ID == 0 {
		err = tx.row(ctx, `INSERT INTO schedules (project_id, project, domain, name, version, plan_id, expression, kickoff_input, policy, priority,
				active, paused, paused_by, problem, cursor, anchor, next_at, runs, revision, updated_at)
			VALUES (coalesce((SELECT id FROM projects WHERE identifier = ?), 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, '', '', '', ?, ?, ?, 0, 0, ?) RETURNING id`,
			id.Project, id.Project, id.Domain, id.Name, id.Version, planID, spec.Expression, spec.KickoffInput, policy, int64(spec.Policy.Priority),
			micros(s.Cursor), micros(s.Anchor), optional(planned.Next), micros(c.At)).Scan(&s.ID)
	} else {
		_, err = tx.exec(ctx, `UPDATE schedules SET version = ?, plan_id = ?, expression = ?, kickoff_input = ?, policy = ?, priority = ?,
				active = 1, paused = ?, paused_by = ?, paused_until = ?, problem = '', cursor = ?, anchor = ?, next_at = ?, runs = 0, updated_at = ?
			WHERE id = ?`,
			id.Version, planID, spec.Expression, spec.KickoffInput, policy, int64(spec.Policy.Priority),
			s.Paused, s.PausedBy, optional(s.PausedUntil), micros(s.Cursor), micros(s.Anchor), optional(due), micros(c.At), s.ID)
	}
	if err != nil {
		return err
	}
	if err := noteCalendars(ctx, tx, &s, &old); err != nil {
		return err
	}
	return revise(ctx, tx, &s, "activate", c)
}

// resume makes a schedule that was paused or had a problem fire again, from
// c.At on, unless it does already.
func resume(ctx context.Context, tx transaction, s *scheduleRow, c store.Change) error {
	since, err := sinceWhen(ctx, tx, c.At)
	if err != nil {
		return err
	}
	if err := finish(ctx, tx, s, c.At, since); err != nil {
		return err
	}
	if s.Paused == "" && s.Problem == "" {
		return nil // The pause had ended before.
	}
	return goOn(ctx, tx, s, c)
}

// goOn ends the pause or the problem of a schedule at c.At. Its error is an
// unplannable where the schedule cannot go on.
func goOn(ctx context.Context, tx transaction, s *scheduleRow, c store.Change) error {
	if err := passOver(ctx, tx, s, c.At); err != nil {
		return err
	}
	s.Cursor = later(c.At, s.Cursor)
	s.Paused, s.PausedBy, s.PausedUntil, s.Problem = "", "", time.Time{}, ""
	planned, err := plan(s, c.At, c.At)
	if err != nil {
		return unplannable{err}
	}
	s.Next = planned.Next
	if _, err := tx.exec(ctx, `UPDATE schedules SET paused = '', paused_by = '', paused_until = NULL, problem = '',
			cursor = ?, next_at = ?, updated_at = ? WHERE id = ?`,
		micros(s.Cursor), optional(s.Next), micros(c.At), s.ID); err != nil {
		return err
	}
	return revise(ctx, tx, s, "resume", c)
}

// unplannable is why a schedule cannot be planned, which is no fault of the database's.
type unplannable struct{ error }

func (e unplannable) Unwrap() error { return e.error }

// pauseEnded is the change at the end of a pause.
func pauseEnded(s *scheduleRow) store.Change {
	return store.Change{By: "tminus", Why: "the pause has ended", At: s.PausedUntil}
}

// resumeByItself resumes a schedule whose pause has ended.
func resumeByItself(ctx context.Context, tx transaction, due *scheduleRow, now time.Time) error {
	s, err := get(ctx, tx.session, &scheduleEntity, scanSchedule, "s.id = ?", due.ID)
	if err != nil {
		return err
	}
	err = goOn(ctx, tx, &s, pauseEnded(&s))
	if why, ok := errors.AsType[unplannable](err); ok {
		return broken(ctx, tx, due, why, now)
	}
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

// Pause stops an active schedule for a while, and skips what it has pending.
func (db *DB) Pause(ctx context.Context, key ident.Key, note string, until time.Time, c store.Change) error {
	operation := "pause schedule " + key.String()
	if note == "" {
		return fmt.Errorf("%s: the note is empty", operation)
	}
	return db.update(ctx, operation, func(tx transaction) error {
		s, err := activeSchedule(ctx, tx, key)
		if err != nil {
			return err
		}
		since, err := sinceWhen(ctx, tx, c.At)
		if err != nil {
			return err
		}
		if err := finish(ctx, tx, &s, c.At, since); err != nil {
			return err
		}
		if err := skip(ctx, tx, &s, "paused before this slot was launched: "+note, c.At); err != nil {
			return err
		}
		s.Paused, s.PausedBy, s.PausedUntil, s.Cursor = note, c.By, until, later(c.At, s.Cursor)
		if _, err := tx.exec(ctx, `UPDATE schedules SET paused = ?, paused_by = ?, paused_until = ?, cursor = ?, next_at = ?, updated_at = ? WHERE id = ?`,
			note, c.By, optional(until), micros(s.Cursor), optional(until), micros(c.At), s.ID); err != nil {
			return err
		}
		if err := revise(ctx, tx, &s, "pause", c); err != nil {
			return err
		}
		return tx.notify(ctx)
	})
}

// Resume makes a schedule fire again that is paused or has a problem.
func (db *DB) Resume(ctx context.Context, key ident.Key, c store.Change) error {
	return db.update(ctx, "resume schedule "+key.String(), func(tx transaction) error {
		s, err := activeSchedule(ctx, tx, key)
		if err != nil || (s.Paused == "" && s.Problem == "") {
			return err
		}
		if err := resume(ctx, tx, &s, c); err != nil {
			return err
		}
		return tx.notify(ctx)
	})
}

const (
	// A firing that was tried may have been launched, and is left to whoever takes it next to find out.
	skipPending = `UPDATE firings SET outcome = 2, reason = ?, settled_at = ? WHERE schedule_id = ? AND outcome = 0 AND owner = 0 AND tried = 0`
	stopTried   = `UPDATE firings SET stopped = ?, attempt_at = ? WHERE schedule_id = ? AND outcome = 0`
)

// skip settles all that s has pending, under whichever version it was planned,
// so that nothing launches after s has stopped. Backlogs come first: once they
// are locked, they add and claim nothing that would be overlooked here.
func skip(ctx context.Context, tx transaction, s *scheduleRow, reason string, now time.Time) error {
	if err := cancelCatchUp(ctx, tx, s, reason, now); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, skipPending, reason, micros(now), s.ID); err != nil {
		return fmt.Errorf("skip pending firings: %w", err)
	}
	if _, err := tx.exec(ctx, stopTried, reason, micros(now), s.ID); err != nil {
		return fmt.Errorf("stop firings under way: %w", err)
	}
	return nil
}

// stop ends what s fires, if there is an s that does, and skips what it has pending.
func stop(ctx context.Context, tx transaction, s *scheduleRow, c store.Change) error {
	if !s.Active {
		return nil
	}
	if err := skip(ctx, tx, s, "the launch plan was deactivated before this slot was launched", c.At); err != nil {
		return err
	}
	s.Active, s.Paused, s.PausedBy, s.PausedUntil, s.Cursor = false, "", "", time.Time{}, later(c.At, s.Cursor)
	if _, err := tx.exec(ctx, `UPDATE schedules SET active = 0, paused = '', paused_by = '', paused_until = NULL, cursor = ?, next_at = NULL,
			updated_at = ? WHERE id = ?`, micros(s.Cursor), micros(c.At), s.ID); err != nil {
		return err
	}
	return revise(ctx, tx, s, "deactivate", c)
}

// because is the reason of what somebody did to a slot.
func because(done string, c store.Change) string {
	if c.Why == "" {
		return done + " by " + c.By
	}
	return done + " by " + c.By + ": " + c.Why
}

// Skip records a coming slot as skipped.
func (db *DB) Skip(ctx context.Context, key ident.Key, slot time.Time, c store.Change) error {
	return db.update(ctx, "skip slot "+slot.Format(time.RFC3339)+" of "+key.String(), func(tx transaction) error {
		s, err := activeSchedule(ctx, tx, key)
		if err != nil {
			return err
		}
		if !slot.After(s.Cursor) {
			return store.ErrExists // It is decided, if only in a range.
		}
		reason := because("skipped", c)
		n, err := insert(ctx, tx, &s, []schedule.Firing{{
			Kind: schedule.KindManual, Slot: slot, Last: slot, Count: 1, Outcome: schedule.Skipped, Reason: reason, RecordedAt: c.At, SettledAt: c.At,
		}})
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrExists
		}
		return revise(ctx, tx, &s, "skip "+slot.UTC().Format(time.RFC3339), c)
	})
}

// Unskip takes the skip of a slot back that has not come.
func (db *DB) Unskip(ctx context.Context, key ident.Key, slot time.Time, c store.Change) error {
	return db.update(ctx, "take back the skip of slot "+slot.Format(time.RFC3339)+" of "+key.String(), func(tx transaction) error {
		s, err := activeSchedule(ctx, tx, key)
		if err != nil {
			return err
		}
		// Once the cursor has passed it, nobody would plan the slot again.
		r, err := tx.exec(ctx, `DELETE FROM firings WHERE slot = ? AND schedule_id = ? AND outcome = 2 AND kind = 3 AND tried = 0 AND slot > ?`,
			micros(slot), s.ID, micros(later(c.At, s.Cursor)))
		if err := one(r, err); err != nil {
			return err
		}
		return revise(ctx, tx, &s, "unskip "+slot.UTC().Format(time.RFC3339), c)
	})
}

// RunNow records a firing for slot that launches at once.
func (db *DB) RunNow(ctx context.Context, key ident.Key, slot time.Time, c store.Change) (f schedule.Firing, err error) {
	err = db.update(ctx, "run "+key.String(), func(tx transaction) error {
		s, err := activeSchedule(ctx, tx, key)
		if err != nil {
			return err
		}
		f, err = runNow(ctx, tx, &s, slot, c)
		return err
	})
	return f, err
}

// runNow launches a slot of s, which tx has locked.
func runNow(ctx context.Context, tx transaction, s *scheduleRow, slot time.Time, c store.Change) (schedule.Firing, error) {
	f := schedule.RunNow(s.Schedule, slot, c.At)
	n, err := insert(ctx, tx, s, []schedule.Firing{f})
	if err != nil {
		return f, err
	}
	if n == 0 {
		return f, store.ErrExists
	}
	if err := revise(ctx, tx, s, "run "+slot.UTC().Format(time.RFC3339), c); err != nil {
		return f, err
	}
	return f, tx.notify(ctx)
}

// Redrive makes dead firings pending again.
func (db *DB) Redrive(ctx context.Context, q store.RedriveQuery, limit int, c store.Change) (redriven int, err error) {
	var filters []store.Filter
	eq := func(field, value string) {
		if value != "" {
			filters = append(filters, store.Filter{Field: field, Op: store.Eq, Values: []string{value}})
		}
	}
	eq("outcome", string(schedule.Dead))
	if !q.Slot.IsZero() {
		eq("slot", q.Slot.Format(time.RFC3339Nano))
	}
	query, scope := narrowed(store.Query{
		Project: q.Project, Domain: q.Domain, Name: q.Name, Filters: filters, SortBy: "slot", Ascending: true, Limit: limit,
	})
	text, args, err := firingEntity.query(query, scope)
	if err != nil {
		return 0, fmt.Errorf("redrive firings: %w", err)
	}
	err = db.update(ctx, "redrive firings", func(tx transaction) error {
		dead, err := collect(ctx, tx.session, scanFiring, text, args...)
		if err != nil {
			return err
		}
		rows := make([]any, 0, len(reviveFirings.Columns)*len(dead))
		schedules := make(map[int64]scheduleRow)
		for i, f := range dead {
			s, known := schedules[f.ScheduleID]
			if !known {
				if s, err = get(ctx, tx.session, &scheduleEntity, scanSchedule, "s.id = ?", f.ScheduleID); err != nil {
					return err
				}
				if err := revise(ctx, tx, &s, "redrive", c); err != nil {
					return err
				}
				schedules[f.ScheduleID] = s
			}
			f = schedule.Again(s.Schedule, f, c.At.Add(time.Duration(i)*time.Microsecond))
			if rows, err = reviveArgs(rows, &f, s.project, 1<<4); err != nil {
				return err
			}
		}
		if redriven, err = tx.bulk(ctx, reviveFirings, rows, nil); err != nil || redriven == 0 {
			return err
		}
		return tx.notify(ctx)
	})
	return redriven, err
}

// reviveFirings makes firings pending again whose outcome is one of a set of bits.
var reviveFirings = &Bulk{
	Columns: columns(Int, "slot, schedule_id, kind, queue, attempt_at, deadline, outcomes"),
	text: `UPDATE firings SET outcome = 0, kind = v.kind, queue = v.queue, owner = 0, attempts = 0, attempt_at = v.attempt_at, deadline = v.deadline,
			settled_at = NULL, reason = '', stopped = ''
		FROM v WHERE ` + theFiring("(v.outcomes >> firings.outcome) & 1 = 1"),
}

func reviveArgs(args []any, f *schedule.Firing, project int64, outcomes int64) ([]any, error) {
	kind, err := kindCode(f.Kind)
	if err != nil {
		return nil, err
	}
	return append(args, micros(f.Slot), f.ScheduleID, kind, queueOf(f, project), micros(f.AttemptAt), micros(f.Deadline), outcomes), nil
}
