package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

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
		" abort_cause, aborted_by, created_at, updated_at, started_at, ended_at, look_at, runner, spec, inputs, outputs, error",
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
		instant{&e.LookAt}, &e.Runner, &e.Spec, &e.Inputs, &e.Outputs, &e.Error)
	return e, err
}

// stored are all that is stored of an execution but its key.
var stored = slices.Concat(
	columns(Text, "kind, launched_project, launched_domain, launched_name, launched_version,"+
		" workflow_project, workflow_domain, workflow_name, workflow_version, phase, principal, abort_cause, aborted_by, runner"),
	columns(Int, "open, mode, archived, slot, created_at, updated_at, started_at, ended_at, look_at"),
	columns(Bytes, "spec, inputs, outputs, error"))

// storedOf are those of stored.
func storedOf(e *store.Execution) []any {
	l, w := &e.LaunchPlan, &e.Workflow
	return []any{
		string(e.Kind), l.Project, l.Domain, l.Name, l.Version,
		w.Project, w.Domain, w.Name, w.Version, string(e.Phase), e.Principal, e.AbortCause, e.AbortedBy, e.Runner,
		flag(!e.Phase.Terminal()), int64(e.Mode), flag(e.Archived), optional(e.Slot),
		micros(e.CreatedAt), micros(e.UpdatedAt), optional(e.StartedAt), optional(e.EndedAt), optional(e.LookAt),
		blob(e.Spec), blob(e.Inputs), blob(e.Outputs), blob(e.Error),
	}
}

var (
	insertExecutions = &Bulk{
		Columns:   slices.Concat(columns(Text, "project, domain, name"), stored),
		Returning: true,
		text: `INSERT INTO executions (project, domain, name, ` + namesOf(stored) + `)
			SELECT * FROM v WHERE true ON CONFLICT (project, domain, name) DO NOTHING RETURNING project, domain, name`,
	}
	updateExecution = `UPDATE executions SET (` + namesOf(stored) + `) = ` + Values(1, len(stored)) +
		` WHERE project = ? AND domain = ? AND name = ?`
)

// CreateExecutions stores the executions whose names are free.
func (db *DB) CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error) {
	args := make([]any, 0, len(insertExecutions.Columns)*len(es))
	for i := range es {
		e := &es[i]
		args = append(append(args, e.Project, e.Domain, e.Name), storedOf(e)...)
	}
	var created map[ident.Key]bool
	err := db.update(ctx, "create executions", func(tx transaction) error {
		created = make(map[ident.Key]bool, len(es))
		_, err := tx.bulk(ctx, insertExecutions, args, func(rows *sql.Rows) error {
			var key ident.Key
			err := rows.Scan(&key.Project, &key.Domain, &key.Name)
			created[key] = true
			return err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	first := make([]bool, len(es))
	for i := range es {
		first[i] = created[es[i].Key]
		delete(created, es[i].Key) // Another of the same name found it taken.
	}
	return first, nil
}

// Execution reads an execution.
func (db *DB) Execution(ctx context.Context, key ident.Key) (store.Execution, error) {
	e, err := get(ctx, db.reading(), &executionEntity, scanExecution, executionNamed, key.Project, key.Domain, key.Name)
	return e, db.failed(ctx, "read execution "+key.String(), err)
}

const executionNamed = "project = ? AND domain = ? AND name = ?"

// Executions lists executions.
func (db *DB) Executions(ctx context.Context, q store.Query) ([]store.Execution, error) {
	return list(ctx, db, &executionEntity, q, scanExecution)
}

// UpdateExecution applies change to an execution. Its Key cannot change.
func (db *DB) UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error) {
	var e store.Execution
	var refused error
	err := db.update(ctx, "update execution "+key.String(), func(tx transaction) (err error) {
		e, err = get(ctx, tx.session, &executionEntity, scanExecution, executionNamed+tx.lockRows("executions"),
			key.Project, key.Domain, key.Name)
		if err != nil {
			return err
		}
		before := e.Phase
		if refused = change(&e); refused != nil {
			return refused
		}
		if e.Key != key {
			return fmt.Errorf("the key became %s", e.Key)
		}
		_, err = tx.exec(ctx, updateExecution, append(storedOf(&e), key.Project, key.Domain, key.Name)...)
		switch {
		case err != nil:
			return err
		case e.Phase == store.Aborting && before != store.Aborting:
			return tx.notify(ctx) // Who runs it is to end it.
		case e.Phase.Terminal():
			return recall(ctx, tx, e.LaunchPlan.Key, e.UpdatedAt)
		}
		return nil
	})
	switch {
	case refused != nil:
		return store.Execution{}, refused
	case err != nil:
		return store.Execution{}, err
	}
	return e, nil
}

var selectRunning = "SELECT " + executionEntity.columns + ` FROM executions WHERE open = 1 AND kind = 'launch_plan'
	AND launched_project = ? AND launched_domain = ? AND launched_name = ? ORDER BY created_at, id`

// RunningOf lists the executions of a launch plan that have not ended, oldest first.
func (db *DB) RunningOf(ctx context.Context, plan ident.Key) ([]store.Execution, error) {
	es, err := collect(ctx, db.reading(), scanExecution, selectRunning, plan.Project, plan.Domain, plan.Name)
	return es, db.failed(ctx, "list running executions of "+plan.String(), err)
}
