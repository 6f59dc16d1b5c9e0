package relational

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

const selectSwept = `SELECT s.id, s.plan_id, s.project_id, s.project, s.domain, s.name, s.version, s.expression, s.policy, s.paused, s.cursor, s.anchor, s.next_at, s.runs
	FROM schedules s WHERE s.id > ? AND s.active = 1 AND s.problem = '' ORDER BY s.id LIMIT ?`

// Sweep checks schedules without trusting what planning keeps of them.
func (db *DB) Sweep(ctx context.Context, after int64, now time.Time, limit int) (swept store.Swept, err error) {
	operation := "check schedules"
	rows, err := collect(ctx, db.reading(), scanDue, selectSwept, after, limit)
	if err != nil {
		return swept, db.failed(ctx, operation, err)
	}
	swept.Schedules = len(rows)
	if len(rows) == limit {
		swept.Last = rows[len(rows)-1].ID
	}
	for i := range rows {
		if lostPlace(&rows[i]) == "" {
			continue
		}
		// It looks wrong; what a transaction sees decides.
		err := db.update(ctx, operation, func(tx transaction) error {
			s, err := get(ctx, tx.session, &scheduleEntity, scanSchedule, "s.id = ?"+tx.lockRows("s"), rows[i].ID)
			if err != nil || !s.Active || s.Paused != "" || s.Problem != "" {
				return err
			}
			found := lostPlace(&s)
			if found == "" {
				return nil
			}
			planned, err := plan(&s, s.Cursor, s.Cursor)
			if err != nil {
				return broken(ctx, tx, &s, err)
			}
			if _, err := tx.exec(ctx, `UPDATE schedules SET next_at = ? WHERE id = ?`, optional(planned.Next), s.ID); err != nil {
				return err
			}
			swept.Repairs = append(swept.Repairs, store.Repair{LaunchPlan: s.LaunchPlan, Found: found})
			return nil
		})
		if err != nil {
			return swept, err
		}
	}
	orphans, err := db.orphans(ctx)
	if err != nil {
		return swept, err
	}
	swept.Repairs = append(swept.Repairs, orphans...)
	return swept, nil
}

// lostPlace says what is wrong with the place of an active schedule in the timer
// queue; empty when nothing is, or when it cannot be planned.
func lostPlace(s *scheduleRow) string {
	if s.Paused != "" {
		return ""
	}
	planned, err := plan(s, s.Cursor, s.Cursor)
	switch {
	case err != nil, planned.Next.Equal(s.Next):
		return ""
	case s.Next.IsZero():
		return fmt.Sprintf("it was not to fire again, and its next slot is %s", planned.Next.UTC().Format(time.RFC3339))
	default:
		return fmt.Sprintf("it was to fire at %s, and its next slot is %s", s.Next.UTC().Format(time.RFC3339), planned.Next.UTC().Format(time.RFC3339))
	}
}

// orphans releases firings that are claimed by a session which is not there.
func (db *DB) orphans(ctx context.Context) (repairs []store.Repair, err error) {
	err = db.update(ctx, "release firings", func(tx transaction) error {
		repairs = nil
		firings, err := collect(ctx, tx.session, scanPending, selectPending+` WHERE f.outcome = 0 AND f.owner <> 0
			AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = f.owner)`)
		if err != nil {
			return err
		}
		for i := range firings {
			repairs = append(repairs, store.Repair{
				LaunchPlan: firings[i].LaunchPlan, Found: "slot " + firings[i].Slot.UTC().Format(time.RFC3339) + " was claimed by a session that is not there",
			})
		}
		_, err = settle(ctx, tx, firings)
		return err
	})
	return repairs, err
}

// Prune deletes settled firings and executions that have ended, a few at a time.
func (db *DB) Prune(ctx context.Context, r store.Retention, limit int) (pruned store.Pruned, err error) {
	if !r.Firings.IsZero() {
		err = db.update(ctx, "delete old firings", func(tx transaction) error {
			res, err := tx.exec(ctx, `DELETE FROM firings WHERE (slot, schedule_id) IN (
				SELECT slot, schedule_id FROM firings WHERE slot < ? AND outcome <> 0 AND settled_at < ? ORDER BY slot LIMIT ?)`,
				micros(r.Firings), micros(r.Firings), limit)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			pruned.Firings = int(n)
			return err
		})
		if err != nil {
			return pruned, err
		}
	}
	if !r.Executions.IsZero() {
		err = db.update(ctx, "delete old executions", func(tx transaction) error {
			pruned.Executions = nil
			old, err := collect(ctx, tx.session, scanOldExecution, selectOldExecutions, micros(r.Executions), int64(r.Keep), int64(r.Keep), limit)
			if err != nil {
				return err
			}
			for _, x := range old {
				for _, table := range []string{"task_executions", "node_executions"} {
					if _, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE execution_id = ?`, x.id); err != nil {
						return err
					}
				}
				if _, err := tx.exec(ctx, `DELETE FROM executions WHERE id = ?`, x.id); err != nil {
					return err
				}
				pruned.Executions = append(pruned.Executions, store.Execution{Key: x.key})
			}
			return nil
		})
	}
	return pruned, err
}

const selectOldExecutions = `SELECT e.id, e.project, e.domain, e.name FROM executions e WHERE e.open = 0 AND e.ended_at < ?
	AND (? = 0 OR (SELECT count(*) FROM executions y WHERE y.project = e.project AND y.domain = e.domain AND y.launched_name = e.launched_name
		AND y.created_at > e.created_at) >= ?)
	ORDER BY e.ended_at LIMIT ?`

type oldExecution struct {
	id  int64
	key ident.Key
}

func scanOldExecution(rows *sql.Rows) (x oldExecution, err error) {
	err = rows.Scan(&x.id, &x.key.Project, &x.key.Domain, &x.key.Name)
	return x, err
}
