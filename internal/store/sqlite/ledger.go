package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"tminus.dev/internal/schedule"
)

// outcomes are spelled by their place in this list in the database.
var outcomes = []schedule.Outcome{schedule.Pending, schedule.Launched, schedule.Skipped, schedule.Missed, schedule.Dead}

func outcomeCode(o schedule.Outcome) (int64, error) {
	for i, known := range outcomes {
		if o == known {
			return int64(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no outcome", string(o))
}

// bulk is how many rows one statement of a batch takes. The statement costs as
// much as a few rows, so that beyond some dozens more make no difference.
const bulk = 64

// statements are prepared once: those that run for every batch of firings.
type statements struct {
	due                   *sql.Stmt
	insert, insertBulk    *sql.Stmt
	move, moveBulk        *sql.Stmt
	settle, settleBulk    *sql.Stmt
	pending, priority     *sql.Stmt
	nextSlot, nextAttempt *sql.Stmt
	insertExecution       *sql.Stmt
}

const (
	firingColumns = 15
	moveColumns   = 4
	settleColumns = 7
)

func insertFirings(rows int) string {
	return `INSERT INTO firings (slot, schedule_id, plan_id, outcome, priority, attempt_at, deadline, recorded_at, settled_at,
		last, count, attempts, overlap, max_running, reason) VALUES ` + values(rows, firingColumns) +
		` ON CONFLICT (slot, schedule_id) DO NOTHING`
}

func moveSchedules(rows int) string {
	return `UPDATE schedules SET cursor = v.column2, next_at = v.column3, runs = v.column4
		FROM (VALUES ` + values(rows, moveColumns) + `) v WHERE id = v.column1`
}

func settleFirings(rows int) string {
	return `UPDATE firings SET outcome = v.column3, reason = v.column4, attempts = v.column5, attempt_at = v.column6, settled_at = v.column7
		FROM (VALUES ` + values(rows, settleColumns) + `) v
		WHERE slot = v.column1 AND schedule_id = v.column2 AND outcome = 0`
}

// values is the text of a VALUES clause with parameters for so many rows.
func values(rows, columns int) string {
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	return row + strings.Repeat(","+row, rows-1)
}

func prepare(ctx context.Context, db *DB) (s statements, err error) {
	for _, p := range []struct {
		stmt **sql.Stmt
		db   *sql.DB
		text string
	}{
		{&s.due, db.write, "SELECT s.id, s.plan_id, s.project, s.domain, s.name, s.expression, s.policy, s.cursor, s.anchor, s.runs FROM schedules s"+
			" WHERE s.next_at <= ? ORDER BY s.next_at, s.id LIMIT ?"},
		{&s.insert, db.write, insertFirings(1)},
		{&s.insertBulk, db.write, insertFirings(bulk)},
		{&s.move, db.write, moveSchedules(1)},
		{&s.moveBulk, db.write, moveSchedules(bulk)},
		{&s.settle, db.write, settleFirings(1)},
		{&s.settleBulk, db.write, settleFirings(bulk)},
		{&s.insertExecution, db.write, insertExecution},
		{&s.priority, db.read, `SELECT max(priority) FROM firings WHERE outcome = 0 AND priority < ?`},
		{&s.pending, db.read, `SELECT ` + firingEntity.columns + ` FROM ` + firingEntity.from + `
			WHERE f.outcome = 0 AND f.priority = ? AND f.attempt_at <= ? ORDER BY f.attempt_at, f.slot, f.schedule_id LIMIT ?`},
		{&s.nextSlot, db.read, `SELECT min(next_at) FROM schedules`},
		{&s.nextAttempt, db.read, `WITH RECURSIVE p (priority) AS (
				SELECT max(priority) FROM firings WHERE outcome = 0
				UNION ALL
				SELECT (SELECT max(priority) FROM firings WHERE outcome = 0 AND priority < p.priority) FROM p WHERE p.priority IS NOT NULL)
			SELECT min((SELECT min(attempt_at) FROM firings WHERE outcome = 0 AND priority = p.priority)) FROM p`},
	} {
		if *p.stmt, err = p.db.PrepareContext(ctx, p.text); err != nil {
			return s, fmt.Errorf("prepare %q: %w", p.text, err)
		}
	}
	return s, nil
}

// batch runs a statement for many rows, bulk at a time.
type batch struct {
	one, many *sql.Stmt
	columns   int
	args      []any
}

func newBatch(tx *sql.Tx, ctx context.Context, one, many *sql.Stmt, columns, rows int) *batch {
	return &batch{
		one: tx.StmtContext(ctx, one), many: tx.StmtContext(ctx, many),
		columns: columns, args: make([]any, 0, columns*rows),
	}
}

func (b *batch) add(args ...any) { b.args = append(b.args, args...) }

func (b *batch) exec(ctx context.Context) error {
	args := b.args
	for len(args) > 0 {
		stmt, n := b.one, b.columns
		if len(args) >= bulk*b.columns {
			stmt, n = b.many, bulk*b.columns
		}
		if _, err := stmt.ExecContext(ctx, args[:n]...); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// plannedRow is a schedule, and what planning it came to.
type plannedRow struct {
	*scheduleRow
	planned schedule.Planned
	err     error
}

// maxBatch bounds the firings that one Advance records. Schedules that have
// many slots to catch up would make a transaction of a thousand each.
const maxBatch = 10_000

// Advance plans schedules that are due and records what it comes to.
func (db *DB) Advance(ctx context.Context, now, since time.Time, limit int) (taken int, err error) {
	err = db.update(ctx, "advance schedules", func(tx *sql.Tx) error {
		rows, err := tx.StmtContext(ctx, db.stmts.due).QueryContext(ctx, micros(now), limit)
		if err != nil {
			return err
		}
		due, err := drain(rows, scanDue)
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

// record stores firings and the new positions of their schedules.
func (db *DB) record(ctx context.Context, tx *sql.Tx, all []plannedRow) error {
	// A transaction ends with its context; statements that ran in between need not watch it.
	ctx = context.WithoutCancel(ctx)
	insert := newBatch(tx, ctx, db.stmts.insert, db.stmts.insertBulk, firingColumns, len(all))
	move := newBatch(tx, ctx, db.stmts.move, db.stmts.moveBulk, moveColumns, len(all))
	for _, r := range all {
		if r.err != nil {
			if _, err := tx.ExecContext(ctx, `UPDATE schedules SET problem = ?, next_at = NULL WHERE id = ?`, r.err.Error(), r.ID); err != nil {
				return err
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
			insert.add(micros(f.Slot), r.ID, r.plan, outcome, int64(f.Priority), optional(f.AttemptAt), optional(f.Deadline),
				micros(f.RecordedAt), optional(f.SettledAt), last, int64(f.Count), int64(f.Attempts),
				string(f.Overlap), int64(f.MaxRunning), f.Reason)
		}
		move.add(r.ID, micros(r.planned.Cursor), optional(r.planned.Next), int64(r.planned.Runs))
	}
	if err := insert.exec(ctx); err != nil {
		return fmt.Errorf("record firings: %w", err)
	}
	if err := move.exec(ctx); err != nil {
		return fmt.Errorf("move cursors: %w", err)
	}
	return nil
}

// Settle records what became of pending firings.
func (db *DB) Settle(ctx context.Context, firings []schedule.Firing) error {
	return db.update(ctx, "settle firings", func(tx *sql.Tx) error {
		ctx := context.WithoutCancel(ctx)
		settle := newBatch(tx, ctx, db.stmts.settle, db.stmts.settleBulk, settleColumns, len(firings))
		for i := range firings {
			f := &firings[i]
			outcome, err := outcomeCode(f.Outcome)
			if err != nil {
				return err
			}
			settle.add(micros(f.Slot), f.ScheduleID, outcome, f.Reason, int64(f.Attempts), optional(f.AttemptAt), optional(f.SettledAt))
		}
		return settle.exec(ctx)
	})
}

// NextDue is when the next slot and the next attempt come.
func (db *DB) NextDue(ctx context.Context) (slot, attempt time.Time, err error) {
	if err := db.stmts.nextSlot.QueryRowContext(ctx).Scan(instant{&slot}); err != nil {
		return slot, attempt, failed(ctx, "read next slot", err)
	}
	if err := db.stmts.nextAttempt.QueryRowContext(ctx).Scan(instant{&attempt}); err != nil {
		return slot, attempt, failed(ctx, "read next attempt", err)
	}
	return slot, attempt, nil
}

func scanDue(rows *sql.Rows) (s scheduleRow, err error) {
	var policy string
	err = rows.Scan(&s.ID, &s.plan, &s.LaunchPlan.Project, &s.LaunchPlan.Domain, &s.LaunchPlan.Name,
		&s.Spec.Expression, &policy, instant{&s.Cursor}, instant{&s.Anchor}, &s.Runs)
	return s, err
}
