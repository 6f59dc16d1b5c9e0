package sqlite

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
	err = db.update(ctx, "advance schedules", func(tx *sql.Tx) error {
		due, err := collect(ctx, tx, scanDue, selectDue, micros(now), limit)
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

const (
	firingArgs = 15
	moveArgs   = 4
	settleArgs = 7
)

func insertFirings(rows int) string {
	return `INSERT INTO firings (slot, schedule_id, plan_id, outcome, priority, attempt_at, deadline, recorded_at, settled_at,
		last, count, attempts, overlap, max_running, reason) VALUES ` + values(rows, firingArgs) +
		` ON CONFLICT (slot, schedule_id) DO NOTHING`
}

func moveSchedules(rows int) string {
	return `UPDATE schedules SET cursor = v.column2, next_at = v.column3, runs = v.column4
		FROM (VALUES ` + values(rows, moveArgs) + `) v WHERE id = v.column1`
}

func settleFirings(rows int) string {
	return `UPDATE firings SET outcome = v.column3, reason = v.column4, attempts = v.column5, attempt_at = v.column6, settled_at = v.column7
		FROM (VALUES ` + values(rows, settleArgs) + `) v
		WHERE slot = v.column1 AND schedule_id = v.column2 AND (outcome = 0 OR (outcome = 2 AND v.column3 = 1))`
}

// record stores firings and the new positions of their schedules.
func (db *DB) record(ctx context.Context, tx *sql.Tx, all []plannedRow) error {
	// The transaction ends with its context; its statements need not each watch it.
	ctx = context.WithoutCancel(ctx)
	firings := make([]any, 0, firingArgs*len(all))
	moves := make([]any, 0, moveArgs*len(all))
	for _, r := range all {
		if r.err != nil {
			if _, err := tx.ExecContext(ctx, `UPDATE schedules SET problem = ?, next_at = NULL WHERE id = ?`, r.err.Error(), r.ID); err != nil {
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
				micros(f.RecordedAt), optional(f.SettledAt), last, int64(f.Count), int64(f.Attempts),
				string(f.Overlap), int64(f.MaxRunning), f.Reason)
		}
		if r.planned.Problem != "" {
			if _, err := tx.ExecContext(ctx, `UPDATE schedules SET problem = ? WHERE id = ?`, r.planned.Problem, r.ID); err != nil {
				return fmt.Errorf("record problem: %w", err)
			}
		}
		moves = append(moves, r.ID, micros(r.planned.Cursor), optional(r.planned.Next), int64(r.planned.Runs))
	}
	if err := db.stmts.insert.exec(ctx, tx, firingArgs, firings); err != nil {
		return fmt.Errorf("record firings: %w", err)
	}
	if err := db.stmts.move.exec(ctx, tx, moveArgs, moves); err != nil {
		return fmt.Errorf("move cursors: %w", err)
	}
	return nil
}

// Settle records what became of pending firings.
func (db *DB) Settle(ctx context.Context, firings []schedule.Firing) error {
	args := make([]any, 0, settleArgs*len(firings))
	for i := range firings {
		f := &firings[i]
		outcome, err := outcomeCode(f.Outcome)
		if err != nil {
			return fmt.Errorf("settle firings: %w", err)
		}
		args = append(args, micros(f.Slot), f.ScheduleID, outcome, f.Reason, int64(f.Attempts), optional(f.AttemptAt), optional(f.SettledAt))
	}
	return db.update(ctx, "settle firings", func(tx *sql.Tx) error {
		return db.stmts.settle.exec(context.WithoutCancel(ctx), tx, settleArgs, args)
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
	if err := db.read.QueryRowContext(ctx, selectNextSlot).Scan(instant{&slot}); err != nil {
		return time.Time{}, time.Time{}, failed(ctx, "read next slot", err)
	}
	if err := db.read.QueryRowContext(ctx, selectNextAttempt).Scan(instant{&attempt}); err != nil {
		return time.Time{}, time.Time{}, failed(ctx, "read next attempt", err)
	}
	return slot, attempt, nil
}
