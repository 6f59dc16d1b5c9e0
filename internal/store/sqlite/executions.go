package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

const (
	isPlan = "(kind = 'launch_plan')"
	isTask = "(kind = 'task')"
)

var executionEntity = entity{
	noun: "executions", prefix: "execution",
	columns: "project, domain, name, kind, launched_project, launched_domain, launched_name, launched_version," +
		" workflow_project, workflow_domain, workflow_name, workflow_version, phase, mode, slot, principal, archived," +
		" abort_cause, aborted_by, created_at, updated_at, started_at, ended_at, spec, inputs, outputs, error",
	from: "executions",
	fields: map[string]field{
		"project":              {column: "project"},
		"domain":               {column: "domain"},
		"name":                 {column: "name"},
		"execution_name":       {column: "name"},
		"launch_plan.project":  {column: "launched_project", where: isPlan},
		"launch_plan.domain":   {column: "launched_domain", where: isPlan},
		"launch_plan.name":     {column: "launched_name", where: isPlan},
		"launch_plan.version":  {column: "launched_version", where: isPlan},
		"task.project":         {column: "launched_project", where: isTask},
		"task.domain":          {column: "launched_domain", where: isTask},
		"task.name":            {column: "launched_name", where: isTask},
		"task.version":         {column: "launched_version", where: isTask},
		"workflow.project":     {column: "workflow_project"},
		"workflow.domain":      {column: "workflow_domain"},
		"workflow.name":        {column: "workflow_name"},
		"workflow_name":        {column: "workflow_name"},
		"workflow.version":     {column: "workflow_version"},
		"phase":                {column: "phase", kind: enum, values: phases},
		"mode":                 {column: "mode", kind: enum, values: executionModes},
		"state":                {column: "archived", kind: enum, values: executionStates},
		"user":                 {column: "principal"},
		"principal":            {column: "principal"},
		"scheduled_at":         {column: "slot", kind: instants, optional: true},
		"created_at":           {column: "created_at", kind: instants},
		"execution_created_at": {column: "created_at", kind: instants},
		"updated_at":           {column: "updated_at", kind: instants},
		"execution_updated_at": {column: "updated_at", kind: instants},
		"started_at":           {column: "started_at", kind: instants, optional: true},
		"ended_at":             {column: "ended_at", kind: instants, optional: true},
		"duration":             {column: "(ended_at - started_at)", kind: elapsed, optional: true},
	},
	order: "created_at DESC, id DESC", tie: []string{"id"},
}

func scanExecution(rows *sql.Rows) (e store.Execution, err error) {
	l, w := &e.LaunchPlan, &e.Workflow
	err = rows.Scan(&e.Project, &e.Domain, &e.Name, &e.Kind, &l.Project, &l.Domain, &l.Name, &l.Version,
		&w.Project, &w.Domain, &w.Name, &w.Version, &e.Phase, &e.Mode, instant{&e.Slot}, &e.Principal, &e.Archived,
		&e.AbortCause, &e.AbortedBy, instant{&e.CreatedAt}, instant{&e.UpdatedAt}, instant{&e.StartedAt}, instant{&e.EndedAt},
		&e.Spec, &e.Inputs, &e.Outputs, &e.Error)
	return e, err
}

// executionColumns are all that is stored of an execution but its key.
const executionColumns = `kind, launched_project, launched_domain, launched_name, launched_version,
	workflow_project, workflow_domain, workflow_name, workflow_version, phase, open, mode, slot, principal, archived,
	abort_cause, aborted_by, created_at, updated_at, started_at, ended_at, spec, inputs, outputs, error`

// executionValues are the values of executionColumns.
func executionValues(e *store.Execution) []any {
	l, w := &e.LaunchPlan, &e.Workflow
	return []any{
		string(e.Kind), l.Project, l.Domain, l.Name, l.Version,
		w.Project, w.Domain, w.Name, w.Version, string(e.Phase), !e.Phase.Terminal(), e.Mode, optional(e.Slot), e.Principal, e.Archived,
		e.AbortCause, e.AbortedBy, micros(e.CreatedAt), micros(e.UpdatedAt), optional(e.StartedAt), optional(e.EndedAt),
		blob(e.Spec), blob(e.Inputs), blob(e.Outputs), blob(e.Error),
	}
}

var (
	insertExecution = `INSERT INTO executions (` + executionColumns + `, project, domain, name) VALUES ` + //nolint:gosec // Its parts are constants.
		values(1, strings.Count(executionColumns, ",")+4) + ` ON CONFLICT (project, domain, name) DO NOTHING`
	updateExecution = `UPDATE executions SET (` + executionColumns + `) = ` + //nolint:gosec // Its parts are constants.
		values(1, strings.Count(executionColumns, ",")+1) + ` WHERE project = ? AND domain = ? AND name = ?`
)

// CreateExecutions stores the executions whose names are free.
func (db *DB) CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error) {
	created := make([]bool, len(es))
	err := db.update(ctx, "create executions", func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, insertExecution)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i := range es {
			e := &es[i]
			r, err := insert.ExecContext(ctx, append(executionValues(e), e.Project, e.Domain, e.Name)...)
			if err != nil {
				return fmt.Errorf("execution %s: %w", e.Key, err)
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			created[i] = n > 0
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created, nil
}

// Execution reads an execution.
func (db *DB) Execution(ctx context.Context, key ident.Key) (store.Execution, error) {
	e, err := executionOf(ctx, db.read, key)
	return e, failed(ctx, "read execution "+key.String(), err)
}

func executionOf(ctx context.Context, db queryer, key ident.Key) (store.Execution, error) {
	return get(ctx, db, &executionEntity, scanExecution,
		"project = ? AND domain = ? AND name = ?", key.Project, key.Domain, key.Name)
}

// Executions lists executions.
func (db *DB) Executions(ctx context.Context, q store.Query) ([]store.Execution, error) {
	return list(ctx, db.read, &executionEntity, q, scanExecution)
}

// UpdateExecution applies change to an execution. Its Key cannot change.
func (db *DB) UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error) {
	var e store.Execution
	var refused error
	err := db.update(ctx, "update execution "+key.String(), func(tx *sql.Tx) (err error) {
		if e, err = executionOf(ctx, tx, key); err != nil {
			return err
		}
		if refused = change(&e); refused != nil {
			return refused
		}
		if e.Key != key {
			return fmt.Errorf("the key became %s", e.Key)
		}
		_, err = tx.ExecContext(ctx, updateExecution, append(executionValues(&e), key.Project, key.Domain, key.Name)...)
		return err
	})
	switch {
	case refused != nil:
		return store.Execution{}, refused
	case err != nil:
		return store.Execution{}, err
	}
	return e, nil
}

// selectOpen reads executions that have not ended and meet the condition, oldest first.
func selectOpen(condition string) string {
	return "SELECT " + executionEntity.columns + " FROM executions WHERE open = 1" + condition + " ORDER BY created_at, id LIMIT ?"
}

// OpenExecutions lists executions in one of the phases that have not ended, oldest first.
func (db *DB) OpenExecutions(ctx context.Context, phases []store.Phase, limit int) ([]store.Execution, error) {
	condition := ""
	var args []any
	if len(phases) > 0 {
		condition = " AND phase IN " + values(1, len(phases))
		for _, p := range phases {
			args = append(args, string(p))
		}
	}
	es, err := collect(ctx, db.read, scanExecution, selectOpen(condition), append(args, limit)...)
	return es, failed(ctx, "list open executions", err)
}

var selectRunning = "SELECT " + executionEntity.columns + ` FROM executions WHERE open = 1 AND kind = 'launch_plan'
	AND launched_project = ? AND launched_domain = ? AND launched_name = ? ORDER BY created_at, id`

// RunningOf lists the executions of a launch plan that have not ended, oldest first.
func (db *DB) RunningOf(ctx context.Context, plan ident.Key) ([]store.Execution, error) {
	es, err := collect(ctx, db.read, scanExecution, selectRunning, plan.Project, plan.Domain, plan.Name)
	return es, failed(ctx, "list running executions of "+plan.String(), err)
}
