package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var planEntity = entity{
	noun: "launch plans", prefix: "launch_plan",
	columns: "project, domain, name, version, workflow_project, workflow_domain, workflow_name, workflow_version," +
		" active, schedule_type, created_at, updated_at, spec, closure",
	from: "launch_plans {outer} JOIN launch_plan_messages ON plan_id = id",
	fields: map[string]field{
		"project":          {column: "project"},
		"domain":           {column: "domain"},
		"name":             {column: "name"},
		"version":          {column: "version"},
		"state":            {column: "active", kind: enum, values: planStates},
		"schedule_type":    {column: "schedule_type", kind: enum, values: scheduleTypes},
		"created_at":       {column: "created_at", kind: instants},
		"updated_at":       {column: "updated_at", kind: instants},
		"workflow.project": {column: "workflow_project"},
		"workflow.domain":  {column: "workflow_domain"},
		"workflow.name":    {column: "workflow_name"},
		"workflow_name":    {column: "workflow_name"},
		"workflow.version": {column: "workflow_version"},
	},
	order: "created_at DESC, id DESC", tie: []string{"id"},
}

func scanPlan(rows *sql.Rows) (p store.Plan, err error) {
	w := &p.Workflow
	err = rows.Scan(&p.Project, &p.Domain, &p.Name, &p.Version, &w.Project, &w.Domain, &w.Name, &w.Version,
		&p.Active, &p.ScheduleType, instant{&p.CreatedAt}, instant{&p.UpdatedAt}, &p.Spec, &p.Closure)
	return p, err
}

// CreatePlan stores an inactive version of a launch plan.
func (db *DB) CreatePlan(ctx context.Context, p store.Plan) error {
	return db.update(ctx, "create launch plan "+p.String(), func(tx transaction) error { return createPlan(ctx, tx, p) })
}

func createPlan(ctx context.Context, tx transaction, p store.Plan) error {
	var row int64
	if err := tx.row(ctx, `INSERT INTO launch_plans (project, domain, name, version,
			workflow_project, workflow_domain, workflow_name, workflow_version, active, schedule_type, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?) RETURNING id`,
		p.Project, p.Domain, p.Name, p.Version,
		p.Workflow.Project, p.Workflow.Domain, p.Workflow.Name, p.Workflow.Version,
		string(p.ScheduleType), micros(p.CreatedAt), micros(p.UpdatedAt)).Scan(&row); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO launch_plan_messages (plan_id, spec, closure) VALUES (?, ?, ?)`,
		row, blob(p.Spec), blob(p.Closure))
	return err
}

// Plan reads a version of a launch plan.
func (db *DB) Plan(ctx context.Context, id ident.ID) (store.Plan, error) {
	p, err := get(ctx, db.reading(), &planEntity, scanPlan,
		"project = ? AND domain = ? AND name = ? AND version = ?", id.Project, id.Domain, id.Name, id.Version)
	return p, db.failed(ctx, "read launch plan "+id.String(), err)
}

// namedPlans are versions of launch plans.
var namedPlans = &Bulk{
	Columns: columns(Text, "of_project, of_domain, of_name, of_version"), Returning: true,
	text: "SELECT " + planEntity.columns + ` FROM v JOIN launch_plans ON project = of_project AND domain = of_domain AND name = of_name AND version = of_version
		JOIN launch_plan_messages ON plan_id = id`,
}

// PlansOf reads versions of launch plans.
func (db *DB) PlansOf(ctx context.Context, ids []ident.ID) (map[ident.ID]store.Plan, error) {
	args := make([]any, 0, 4*len(ids))
	for _, id := range ids {
		args = append(args, id.Project, id.Domain, id.Name, id.Version)
	}
	found := make(map[ident.ID]store.Plan, len(ids))
	err := db.view(ctx, func(tx transaction) error {
		_, err := tx.bulk(ctx, namedPlans, args, func(rows *sql.Rows) error {
			p, err := scanPlan(rows)
			found[p.ID] = p
			return err
		})
		return err
	})
	return found, db.failed(ctx, "read launch plans", err)
}

// ActivePlan reads the active version of a launch plan.
func (db *DB) ActivePlan(ctx context.Context, key ident.Key) (store.Plan, error) {
	p, err := get(ctx, db.reading(), &planEntity, scanPlan,
		"project = ? AND domain = ? AND name = ? AND active = 1", key.Project, key.Domain, key.Name)
	return p, db.failed(ctx, "read active launch plan "+key.String(), err)
}

// Plans lists versions of launch plans.
func (db *DB) Plans(ctx context.Context, q store.Query) ([]store.Plan, error) {
	return list(ctx, db, &planEntity, q, scanPlan)
}

// Activate makes id the active version of its launch plan, and spec its schedule.
func (db *DB) Activate(ctx context.Context, id ident.ID, spec *schedule.Spec, c store.Change) error {
	return db.update(ctx, "activate launch plan "+id.String(), func(tx transaction) error {
		return activate(ctx, tx, store.Activation{Plan: store.Plan{ID: id}, Schedule: spec}, false, c)
	})
}

// ActivateAll registers versions that are not there, and activates them, in one transaction.
func (db *DB) ActivateAll(ctx context.Context, plans []store.Activation, c store.Change) error {
	plans = slices.Clone(plans)
	slices.SortFunc(plans, func(a, b store.Activation) int { return strings.Compare(a.Key.String(), b.Key.String()) }) // As others lock them.
	return db.update(ctx, fmt.Sprintf("activate %d launch plans", len(plans)), func(tx transaction) error {
		for _, p := range plans {
			if err := tx.lock(ctx, p.Key); err != nil {
				return err
			}
			row, _, err := planRow(ctx, tx, p.ID)
			switch {
			case isMissing(err):
				err = createPlan(ctx, tx, p.Plan)
			case err == nil && p.Replace:
				err = replacePlan(ctx, tx, row, p.Plan)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.ID, err)
			}
			if err := activate(ctx, tx, p, true, c); err != nil {
				return fmt.Errorf("%s: %w", p.ID, err)
			}
		}
		return nil
	})
}

// replacePlan makes p of a version that is there, and inactive, so that its schedule begins anew.
func replacePlan(ctx context.Context, tx transaction, row int64, p store.Plan) error {
	if _, err := tx.exec(ctx, `UPDATE launch_plans SET active = 0, workflow_project = ?, workflow_domain = ?, workflow_name = ?, workflow_version = ?,
			schedule_type = ?, created_at = ?, updated_at = ? WHERE id = ?`,
		p.Workflow.Project, p.Workflow.Domain, p.Workflow.Name, p.Workflow.Version,
		string(p.ScheduleType), micros(p.CreatedAt), micros(p.UpdatedAt), row); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE launch_plan_messages SET spec = ?, closure = ? WHERE plan_id = ?`, blob(p.Spec), blob(p.Closure), row)
	return err
}

// activate makes a registered version the active one. pauses says that a pause of its schedule goes on.
func activate(ctx context.Context, tx transaction, a store.Activation, pauses bool, c store.Change) error {
	id := a.ID
	spec, err := resolve(ctx, tx, a.Schedule)
	if err != nil {
		return err
	}
	plan, active, old, err := lockPlan(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := tx.notify(ctx); err != nil {
		return err
	}
	if active {
		switch {
		case old.Active && pauses && old.Paused != "":
			return nil
		case old.Active && (old.Paused != "" || old.Problem != ""):
			return resume(ctx, tx, &old, c)
		case old.Active || spec == nil:
			return nil
		}
		return start(ctx, tx, a, plan, *spec, old, pauses, c)
	}
	since, err := sinceWhen(ctx, tx, c.At)
	if err != nil {
		return err
	}
	if err := finish(ctx, tx, &old, c.At, since); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE launch_plans SET active = 0, updated_at = ?
			WHERE project = ? AND domain = ? AND name = ? AND active = 1`,
		micros(c.At), id.Project, id.Domain, id.Name); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE launch_plans SET active = 1, updated_at = ? WHERE id = ?`,
		micros(c.At), plan); err != nil {
		return err
	}
	if spec == nil {
		return stop(ctx, tx, &old, c)
	}
	return start(ctx, tx, a, plan, *spec, old, pauses, c)
}

// Deactivate makes id inactive; if it was active it stops its schedule and skips
// what that has pending.
func (db *DB) Deactivate(ctx context.Context, id ident.ID, c store.Change) error {
	return db.update(ctx, "deactivate launch plan "+id.String(), func(tx transaction) error {
		plan, active, old, err := lockPlan(ctx, tx, id)
		if err != nil || !active {
			return err
		}
		since, err := sinceWhen(ctx, tx, c.At)
		if err != nil {
			return err
		}
		if err := finish(ctx, tx, &old, c.At, since); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE launch_plans SET active = 0, updated_at = ? WHERE id = ?`,
			micros(c.At), plan); err != nil {
			return err
		}
		if err := stop(ctx, tx, &old, c); err != nil {
			return err
		}
		return tx.notify(ctx)
	})
}

// lockPlan keeps others from changing a launch plan until tx has ended. old is
// its schedule, if it has or had one.
func lockPlan(ctx context.Context, tx transaction, id ident.ID) (plan int64, active bool, old scheduleRow, err error) {
	if err := tx.lock(ctx, id.Key); err != nil {
		return 0, false, old, err
	}
	if plan, active, err = planRow(ctx, tx, id); err != nil {
		return 0, false, old, err
	}
	if old, err = scheduleOf(ctx, tx, id.Key); isMissing(err) {
		err = nil
	}
	return plan, active, old, err
}

// planRow finds the row of a version, and whether it is active.
func planRow(ctx context.Context, tx transaction, id ident.ID) (plan int64, active bool, err error) {
	err = tx.row(ctx, `SELECT id, active FROM launch_plans
		WHERE project = ? AND domain = ? AND name = ? AND version = ?`,
		id.Project, id.Domain, id.Name, id.Version).Scan(&plan, &active)
	return plan, active, err
}
