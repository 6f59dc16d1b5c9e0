package relational

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/store"
)

// RenewRunner says that a runner is there, and for how long that holds.
func (db *DB) RenewRunner(ctx context.Context, runner string, now time.Time, lease time.Duration) error {
	return db.update(ctx, "renew runner "+runner, func(tx transaction) error {
		_, err := tx.exec(ctx, `INSERT INTO runners (id, expires_at) VALUES (?, ?)
			ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at`, runner, micros(now.Add(lease)))
		if err != nil {
			return err
		}
		// One that ends far in the future is from before the clock was set back.
		over, err := collect(ctx, tx.session, scanText, `SELECT id FROM runners WHERE expires_at <= ? OR expires_at > ?`+tx.takeRows("runners"),
			micros(now), micros(now.Add(farOff*lease)))
		if err != nil {
			return err
		}
		for _, id := range over {
			if _, err := tx.exec(ctx, deleteRunner, id); err != nil {
				return err
			}
		}
		return nil
	})
}

const deleteRunner = `DELETE FROM runners WHERE id = ?`

func scanText(rows *sql.Rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}

// RetireRunner says that a runner is not there any more.
func (db *DB) RetireRunner(ctx context.Context, runner string) error {
	return db.update(ctx, "retire runner "+runner, func(tx transaction) error {
		_, err := tx.exec(ctx, deleteRunner, runner)
		return err
	})
}

// inProgress is what an execution meets that somebody took up, spelled as in the
// index executions_in_progress.
const inProgress = `open = 1 AND phase NOT IN ('QUEUED', 'UNDEFINED')`

const (
	selectAbandoned = `SELECT id FROM executions WHERE ` + inProgress + ` AND runner <> ? AND runner <> '` + store.Elsewhere + `'
		AND NOT EXISTS (SELECT 1 FROM runners r WHERE r.id = executions.runner AND r.expires_at > ?) ORDER BY created_at, id LIMIT ?`
	selectQueued = `SELECT id FROM executions WHERE open = 1 AND phase IN ('QUEUED', 'UNDEFINED') AND runner <> '` + store.Elsewhere + `' ORDER BY created_at, id LIMIT ?`
)

// take sets columns of the executions that a query finds, and reads them.
func take(ctx context.Context, tx transaction, found, set string, args ...any) ([]store.Execution, error) {
	es, err := collect(ctx, tx.session, scanExecution, `WITH t AS MATERIALIZED (`+found+tx.takeRows("executions")+`)
		UPDATE executions SET `+set+` WHERE id IN (SELECT id FROM t) RETURNING `+executionEntity.columns, args...)
	slices.SortFunc(es, func(a, b store.Execution) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.String(), b.String()))
	})
	return es, err
}

// TakeExecutions makes executions the runner's: those in progress whose runner
// is over and then queued ones, oldest first.
func (db *DB) TakeExecutions(ctx context.Context, runner string, now time.Time, limit int) (taken []store.Execution, err error) {
	err = db.update(ctx, "take executions for runner "+runner, func(tx transaction) error {
		t := micros(now)
		taken, err = take(ctx, tx, selectAbandoned, `runner = ?, updated_at = ?`, runner, t, limit, runner, t)
		if err != nil || len(taken) >= limit {
			return err
		}
		queued, err := take(ctx, tx, selectQueued, `runner = ?, phase = 'RUNNING', started_at = ?, updated_at = ?`,
			limit-len(taken), runner, t, t)
		taken = append(taken, queued...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

const selectHeld = `SELECT project, domain, name, phase FROM executions WHERE ` + inProgress + ` AND runner = ? ORDER BY created_at, id`

// HeldExecutions lists the executions in progress that are a runner's, oldest first.
func (db *DB) HeldExecutions(ctx context.Context, runner string) ([]store.Held, error) {
	held, err := collect(ctx, db.reading(), func(rows *sql.Rows) (h store.Held, err error) {
		err = rows.Scan(&h.Project, &h.Domain, &h.Name, &h.Phase)
		return h, err
	}, selectHeld, runner)
	return held, db.failed(ctx, "list executions of runner "+runner, err)
}
