package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// claimElsewhere keeps others from looking for a while.
const claimElsewhere = `WITH t AS MATERIALIZED (SELECT id FROM executions WHERE look_at <= ? ORDER BY look_at, id LIMIT ?`

// ClaimElsewhere takes executions on a Flyte of which it is time to look what became.
func (db *DB) ClaimElsewhere(ctx context.Context, now time.Time, lease time.Duration, limit int) (claimed []store.Execution, err error) {
	err = db.update(ctx, "claim executions elsewhere", func(tx transaction) (err error) {
		claimed, err = collect(ctx, tx.session, scanExecution, claimElsewhere+tx.takeRows("executions")+`)
			UPDATE executions SET look_at = ? WHERE id IN (SELECT id FROM t) RETURNING `+executionEntity.columns,
			micros(now), limit, micros(now.Add(lease)))
		return err
	})
	return claimed, err
}

// settleElsewhere passes over what has ended. Who asked for an end is kept until
// it has come.
var settleElsewhere = &Bulk{
	Columns: slices.Concat(
		columns(Text, "project, domain, name, phase, abort_cause, aborted_by"),
		columns(Int, "open, look_at, updated_at, started_at, ended_at"),
		columns(Bytes, "error")),
	Returning: true,
	text: `UPDATE executions SET open = v.open, look_at = CASE WHEN executions.phase = 'ABORTING' AND executions.look_at < v.look_at THEN executions.look_at ELSE v.look_at END,
			phase = CASE WHEN executions.phase = 'ABORTING' AND v.open = 1 THEN executions.phase ELSE v.phase END,
			abort_cause = CASE WHEN executions.abort_cause = '' THEN v.abort_cause ELSE executions.abort_cause END,
			aborted_by = CASE WHEN executions.aborted_by = '' THEN v.aborted_by ELSE executions.aborted_by END,
			updated_at = v.updated_at, started_at = v.started_at, ended_at = v.ended_at, error = v.error
		FROM v WHERE executions.project = v.project AND executions.domain = v.domain AND executions.name = v.name AND executions.look_at IS NOT NULL
		RETURNING executions.project, executions.domain, executions.name, executions.open`,
}

// SettleElsewhere records what became of executions on a Flyte.
func (db *DB) SettleElsewhere(ctx context.Context, now time.Time, es []store.Execution) (ended []store.Execution, err error) {
	args := make([]any, 0, len(settleElsewhere.Columns)*len(es))
	byKey := make(map[ident.Key]*store.Execution, len(es))
	for i := range es {
		e := &es[i]
		byKey[e.Key] = e
		args = append(args, e.Project, e.Domain, e.Name, string(e.Phase), e.AbortCause, e.AbortedBy,
			flag(!e.Phase.Terminal()), optional(e.LookAt), micros(now), optional(e.StartedAt), optional(e.EndedAt), blob(e.Error))
	}
	err = db.update(ctx, "settle executions elsewhere", func(tx transaction) error {
		ended = nil
		_, err := tx.bulk(ctx, settleElsewhere, args, func(rows *sql.Rows) error {
			var key ident.Key
			var open bool
			if err := rows.Scan(&key.Project, &key.Domain, &key.Name, &open); err != nil {
				return err
			}
			if !open {
				ended = append(ended, *byKey[key])
			}
			return nil
		})
		if err != nil {
			return err
		}
		plans := make(map[ident.Key]bool)
		for _, e := range ended {
			plans[e.LaunchPlan.Key] = true
		}
		for plan := range plans {
			if err := recall(ctx, tx, plan, now); err != nil {
				return fmt.Errorf("wake what waits for executions of %s: %w", plan, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

const relaunch = `UPDATE firings SET outcome = ?, owner = 0, tried = 0, relaunches = ?, attempts = ?, attempt_at = ?, settled_at = ?, reason = ?
	WHERE slot = ? AND schedule_id = ? AND outcome IN (0, 1)`

// Relaunch has the slot of an execution launch again that could not be started.
// Whoever is launching it under the old name at this moment has lost it by that.
func (db *DB) Relaunch(ctx context.Context, now time.Time, x store.Execution, reason string) (f schedule.Firing, err error) {
	err = db.update(ctx, "relaunch execution "+x.String(), func(tx transaction) error {
		if err := tx.lock(ctx, x.LaunchPlan.Key); err != nil {
			return err
		}
		s, err := scheduleOf(ctx, tx, x.LaunchPlan.Key)
		if err != nil {
			return err
		}
		if f, err = get(ctx, tx.session, &firingEntity, scanFiring, "f.slot = ? AND f.schedule_id = ?", micros(x.Slot), s.ID); err != nil {
			return err
		}
		if f.Outcome != schedule.Launched && f.Outcome != schedule.Pending || f.Execution() != x.Name {
			return store.ErrNotFound
		}
		stopped := ""
		switch {
		case f.Kind == schedule.KindManual || f.Kind == schedule.KindBackfill: // They launch whatever is with the schedule.
		case !s.Active:
			stopped = "the schedule is not active any more"
		case s.Paused != "":
			stopped = "the schedule is paused"
		}
		f = f.Relaunch(reason, stopped, now)
		outcome, err := outcomeCode(f.Outcome)
		if err != nil {
			return err
		}
		if err := one(tx.exec(ctx, relaunch, outcome, f.Relaunches, f.Attempts, optional(f.AttemptAt), optional(f.SettledAt), f.Reason,
			micros(f.Slot), f.ScheduleID)); err != nil {
			return err
		}
		if err := one(tx.exec(ctx, `UPDATE executions SET open = 0, look_at = NULL, phase = ?, abort_cause = ?, aborted_by = 'tminus', ended_at = ?, updated_at = ?
			WHERE project = ? AND domain = ? AND name = ? AND look_at IS NOT NULL`,
			string(store.Aborted), reason, micros(now), micros(now), x.Project, x.Domain, x.Name)); err != nil {
			return err
		}
		return tx.notify(ctx)
	})
	return f, err
}

// NextElsewhere is when it is time to look next.
func (db *DB) NextElsewhere(ctx context.Context) (next time.Time, err error) {
	err = db.reading().row(ctx, `SELECT min(look_at) FROM executions WHERE look_at IS NOT NULL`).Scan(instant{&next})
	return next, db.failed(ctx, "read when to look at executions elsewhere", err)
}
