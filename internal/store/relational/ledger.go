package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/schedule"
)

// selectDue reads what schedule.Plan looks at. The version is left out: firings
// refer to its row.
const selectDue = `SELECT id, plan_id, project, domain, name, expression, policy, cursor, anchor, runs FROM schedules
	WHERE next_at <= ? ORDER BY next_at, id LIMIT ?`

func scanDue(rows *sql.Rows) (s scheduleRow, err error) {
	var policy string
	err = rows.Scan(&s.ID, &s.plan, &s.LaunchPlan.Project, &s.LaunchPlan.Domain, &s.LaunchPlan.Name,
		&s.Spec.Expression, &policy, instant{&s.Cursor}, instant{&s.Anchor}, &s.Runs)
	s.decode(policy)
	return s, err
}

// plannedRow is a schedule and what planning it came to.
type plannedRow struct {
	*scheduleRow
	planned schedule.Planned
	err     error
}

// maxBatch is about how many firings one Advance records. Schedules with many
// slots to catch up would make a transaction of a thousand each.
const maxBatch = 10_000

// Advance plans schedules that are due and records what that comes to. It takes
// fewer than limit, though more are due, when those it took have many slots.
func (db *DB) Advance(ctx context.Context, now, since time.Time, limit int) (taken int, err error) {
	err = db.update(ctx, "advance schedules", func(tx transaction) error {
		due, err := collect(ctx, tx.session, scanDue, selectDue+tx.takeRows("schedules"), micros(now), limit)
		if err != nil {
			return err
		}
		all := make([]plannedRow, 0, len(due))
		firings := 0
		for i := range due {
			p, err := plan(&due[i], now, since)
			all = append(all, plannedRow{&due[i], p, err})
			if firings += len(p.Firings); firings >= maxBatch {
				break
			}
		}
		taken = len(all)
		return db.record(ctx, tx, all)
	})
	if err != nil {
		return 0, err
	}
	return taken, nil
}

// The statements that run for every firing.
var (
	insertFirings = &Bulk{
		Columns: slices.Concat(
			columns(Int, "slot, schedule_id, plan_id, outcome, priority, attempt_at, deadline, recorded_at, settled_at,"+
				" last, count, attempts, max_running"),
			columns(Text, "overlap, reason")),
		text: `INSERT INTO firings (slot, schedule_id, plan_id, outcome, priority, attempt_at, deadline, recorded_at, settled_at,
			last, count, attempts, max_running, overlap, reason)
			SELECT * FROM v WHERE true ON CONFLICT (slot, schedule_id) DO NOTHING`,
	}
	moveSchedules = &Bulk{
		Columns: columns(Int, "id, cursor, next_at, runs"),
		text:    `UPDATE schedules SET cursor = v.cursor, next_at = v.next_at, runs = v.runs FROM v WHERE schedules.id = v.id`,
	}
	settleFirings = &Bulk{
		Columns: slices.Concat(
			columns(Int, "slot, schedule_id, outcome, attempts, attempt_at, settled_at"),
			columns(Text, "reason")),
		text: `UPDATE firings SET outcome = v.outcome, reason = v.reason, attempts = v.attempts,
				attempt_at = v.attempt_at, settled_at = v.settled_at
			FROM v WHERE firings.slot = v.slot AND firings.schedule_id = v.schedule_id
				AND (firings.outcome = 0 OR (firings.outcome = 2 AND v.outcome = 1))`,
	}
)

// record stores firings and the new positions of their schedules.
func (db *DB) record(ctx context.Context, tx transaction, all []plannedRow) error {
	// The transaction ends with its context; its statements need not each watch it.
	ctx = context.WithoutCancel(ctx)
	firings := make([]any, 0, len(insertFirings.Columns)*len(all))
	moves := make([]any, 0, len(moveSchedules.Columns)*len(all))
	for _, r := range all {
		if r.err != nil {
			if _, err := tx.exec(ctx, `UPDATE schedules SET problem = ?, next_at = NULL WHERE id = ?`, r.err.Error(), r.ID); err != nil {
				return fmt.Errorf("record problem: %w", err)
			}
			continue
		}
		for i := range r.planned.Firings {
			f := &r.planned.Firings[i]
			outcome, err := outcomeCode(f.Outcome)
			if err != nil {
				return err
			}
			var last any
			if !f.Last.Equal(f.Slot) {
				last = micros(f.Last)
			}
			firings = append(firings, micros(f.Slot), r.ID, r.plan, outcome, int64(f.Priority), optional(f.AttemptAt), optional(f.Deadline),
				micros(f.RecordedAt), optional(f.SettledAt), last, int64(f.Count), int64(f.Attempts), int64(f.MaxRunning),
				string(f.Overlap), f.Reason)
		}
		if r.planned.Problem != "" {
			if _, err := tx.exec(ctx, `UPDATE schedules SET problem = ? WHERE id = ?`, r.planned.Problem, r.ID); err != nil {
				return fmt.Errorf("record problem: %w", err)
			}
		}
		moves = append(moves, r.ID, micros(r.planned.Cursor), optional(r.planned.Next), int64(r.planned.Runs))
	}
	if err := tx.bulk(ctx, insertFirings, firings, nil); err != nil {
		return fmt.Errorf("record firings: %w", err)
	}
	if err := tx.bulk(ctx, moveSchedules, moves, nil); err != nil {
		return fmt.Errorf("move cursors: %w", err)
	}
	return nil
}

// Settle records what became of pending firings.
func (db *DB) Settle(ctx context.Context, firings []schedule.Firing) error {
	args := make([]any, 0, len(settleFirings.Columns)*len(firings))
	for i := range firings {
		f := &firings[i]
		outcome, err := outcomeCode(f.Outcome)
		if err != nil {
			return fmt.Errorf("settle firings: %w", err)
		}
		args = append(args, micros(f.Slot), f.ScheduleID, outcome, int64(f.Attempts), optional(f.AttemptAt), optional(f.SettledAt),
			f.Reason)
	}
	return db.update(ctx, "settle firings", func(tx transaction) error {
		return tx.bulk(context.WithoutCancel(ctx), settleFirings, args, nil)
	})
}

// outcomes are known in the database by their places here.
var outcomes = []schedule.Outcome{schedule.Pending, schedule.Launched, schedule.Skipped, schedule.Missed, schedule.Dead}

func outcomeCode(o schedule.Outcome) (int64, error) {
	i := slices.Index(outcomes, o)
	if i < 0 {
		return 0, fmt.Errorf("%q is no outcome", string(o))
	}
	return int64(i), nil
}

const (
	selectNextSlot = `SELECT min(next_at) FROM schedules`

	// The first attempt under each priority is at hand; that of all is not.
	selectNextAttempt = `WITH RECURSIVE p (priority) AS (
			SELECT max(priority) FROM firings WHERE outcome = 0
			UNION ALL
			SELECT (SELECT max(priority) FROM firings WHERE outcome = 0 AND priority < p.priority) FROM p WHERE p.priority IS NOT NULL)
		SELECT min((SELECT min(attempt_at) FROM firings WHERE outcome = 0 AND priority = p.priority)) FROM p`
)

// NextDue is when the next slot and the next attempt are due.
func (db *DB) NextDue(ctx context.Context) (slot, attempt time.Time, err error) {
	if err := db.reading().row(ctx, selectNextSlot).Scan(instant{&slot}); err != nil {
		return time.Time{}, time.Time{}, db.failed(ctx, "read next slot", err)
	}
	if err := db.reading().row(ctx, selectNextAttempt).Scan(instant{&attempt}); err != nil {
		return time.Time{}, time.Time{}, db.failed(ctx, "read next attempt", err)
	}
	return slot, attempt, nil
}
