package relational

import (
	"context"
	"database/sql"
	"fmt"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

var nodeEntity = entity{
	noun: "node executions", prefix: "node_execution",
	columns: "e.project, e.domain, e.name, n.node, n.spec_node, n.parent, n.is_group, n.phase," +
		" n.created_at, n.updated_at, n.started_at, n.ended_at, n.inputs, n.outputs, n.error",
	from: "executions e {outer} JOIN node_executions n ON n.execution_id = e.id",
	fields: map[string]field{
		"project":                   {column: "e.project"},
		"domain":                    {column: "e.domain"},
		"name":                      {column: "e.name"},
		"node_id":                   {column: "n.node"},
		"parent":                    {column: "n.parent"},
		"phase":                     {column: "n.phase", kind: enum, values: phases},
		"created_at":                {column: "n.created_at", kind: instants},
		"node_execution_created_at": {column: "n.created_at", kind: instants},
		"updated_at":                {column: "n.updated_at", kind: instants},
		"node_execution_updated_at": {column: "n.updated_at", kind: instants},
		"started_at":                {column: "n.started_at", kind: instants, optional: true},
		"ended_at":                  {column: "n.ended_at", kind: instants, optional: true},
		"duration":                  {column: "(n.ended_at - n.started_at)", kind: elapsed, optional: true},
	},
	order: "n.created_at DESC, n.id DESC", tie: []string{"n.id"},
}

var taskEntity = entity{
	noun: "task executions", prefix: "task_execution",
	columns: "e.project, e.domain, e.name, t.node, t.attempt, t.task_project, t.task_domain, t.task_name, t.task_version, t.task_type," +
		" t.phase, t.reason, t.runner, t.dir, t.created_at, t.updated_at, t.started_at, t.ended_at, t.inputs, t.outputs, t.error",
	from: "executions e {outer} JOIN task_executions t ON t.execution_id = e.id",
	fields: map[string]field{
		"project":                   {column: "e.project"},
		"domain":                    {column: "e.domain"},
		"name":                      {column: "e.name"},
		"node_id":                   {column: "t.node"},
		"retry_attempt":             {column: "t.attempt", kind: integer},
		"phase":                     {column: "t.phase", kind: enum, values: phases},
		"task.project":              {column: "t.task_project"},
		"task.domain":               {column: "t.task_domain"},
		"task.name":                 {column: "t.task_name"},
		"task.version":              {column: "t.task_version"},
		"task_type":                 {column: "t.task_type"},
		"created_at":                {column: "t.created_at", kind: instants},
		"task_execution_created_at": {column: "t.created_at", kind: instants},
		"updated_at":                {column: "t.updated_at", kind: instants},
		"task_execution_updated_at": {column: "t.updated_at", kind: instants},
		"started_at":                {column: "t.started_at", kind: instants, optional: true},
		"ended_at":                  {column: "t.ended_at", kind: instants, optional: true},
		"duration":                  {column: "(t.ended_at - t.started_at)", kind: elapsed, optional: true},
	},
	order: "t.created_at DESC, t.id DESC", tie: []string{"t.id"},
}

const inExecution = "e.project = ? AND e.domain = ? AND e.name = ?"

func scanNode(rows *sql.Rows) (n store.NodeExecution, err error) {
	e := &n.Execution
	err = rows.Scan(&e.Project, &e.Domain, &e.Name, &n.Node, &n.SpecNode, &n.Parent, &n.IsGroup, &n.Phase,
		instant{&n.CreatedAt}, instant{&n.UpdatedAt}, instant{&n.StartedAt}, instant{&n.EndedAt}, &n.Inputs, &n.Outputs, &n.Error)
	return n, err
}

func scanTask(rows *sql.Rows) (t store.TaskExecution, err error) {
	e, task := &t.Execution, &t.Task
	err = rows.Scan(&e.Project, &e.Domain, &e.Name, &t.Node, &t.Attempt, &task.Project, &task.Domain, &task.Name, &task.Version, &t.TaskType,
		&t.Phase, &t.Reason, &t.Runner, &t.Dir, instant{&t.CreatedAt}, instant{&t.UpdatedAt}, instant{&t.StartedAt}, instant{&t.EndedAt},
		&t.Inputs, &t.Outputs, &t.Error)
	return t, err
}

// held is the id of an execution, which stays the runner's until tx has ended.
func held(ctx context.Context, tx transaction, key ident.Key, runner string) (id int64, err error) {
	var by string
	err = tx.row(ctx, `SELECT id, runner FROM executions WHERE `+executionNamed+tx.holdRows("executions"),
		key.Project, key.Domain, key.Name).Scan(&id, &by)
	if err == nil && by != runner {
		err = store.ErrTaken
	}
	return id, err
}

// PutNode stores a node's part in an execution, in place of what was stored of it.
func (db *DB) PutNode(ctx context.Context, runner string, n store.NodeExecution) error {
	return db.update(ctx, fmt.Sprintf("put node %s of execution %s", n.Node, n.Execution), func(tx transaction) error {
		id, err := held(ctx, tx, n.Execution, runner)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `INSERT INTO node_executions (execution_id, node, spec_node, parent, is_group, phase,
				created_at, updated_at, started_at, ended_at, inputs, outputs, error)
			VALUES `+Values(1, 13)+`
			ON CONFLICT (execution_id, node) DO UPDATE SET spec_node = excluded.spec_node, parent = excluded.parent,
				is_group = excluded.is_group, phase = excluded.phase, created_at = excluded.created_at,
				updated_at = excluded.updated_at, started_at = excluded.started_at, ended_at = excluded.ended_at,
				inputs = excluded.inputs, outputs = excluded.outputs, error = excluded.error`,
			id, n.Node, n.SpecNode, n.Parent, flag(n.IsGroup), string(n.Phase),
			micros(n.CreatedAt), micros(n.UpdatedAt), optional(n.StartedAt), optional(n.EndedAt),
			blob(n.Inputs), blob(n.Outputs), blob(n.Error))
		return err
	})
}

// PutTask stores an attempt of a task, in place of what was stored of it.
func (db *DB) PutTask(ctx context.Context, runner string, t store.TaskExecution) error {
	operation := fmt.Sprintf("put attempt %d of node %s of execution %s", t.Attempt, t.Node, t.Execution)
	return db.update(ctx, operation, func(tx transaction) error {
		id, err := held(ctx, tx, t.Execution, runner)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `INSERT INTO task_executions (execution_id, node, attempt,
				task_project, task_domain, task_name, task_version, task_type, phase, reason, runner, dir,
				created_at, updated_at, started_at, ended_at, inputs, outputs, error)
			VALUES `+Values(1, 19)+`
			ON CONFLICT (execution_id, node, attempt) DO UPDATE SET task_project = excluded.task_project,
				task_domain = excluded.task_domain, task_name = excluded.task_name, task_version = excluded.task_version,
				task_type = excluded.task_type, phase = excluded.phase, reason = excluded.reason, runner = excluded.runner,
				dir = excluded.dir, created_at = excluded.created_at, updated_at = excluded.updated_at,
				started_at = excluded.started_at, ended_at = excluded.ended_at, inputs = excluded.inputs,
				outputs = excluded.outputs, error = excluded.error`,
			id, t.Node, t.Attempt, t.Task.Project, t.Task.Domain, t.Task.Name, t.Task.Version, t.TaskType, string(t.Phase), t.Reason,
			t.Runner, t.Dir, micros(t.CreatedAt), micros(t.UpdatedAt), optional(t.StartedAt), optional(t.EndedAt),
			blob(t.Inputs), blob(t.Outputs), blob(t.Error))
		return err
	})
}

// Node reads a node's part in an execution.
func (db *DB) Node(ctx context.Context, execution ident.Key, node string) (store.NodeExecution, error) {
	n, err := get(ctx, db.reading(), &nodeEntity, scanNode, inExecution+" AND n.node = ?",
		execution.Project, execution.Domain, execution.Name, node)
	return n, db.failed(ctx, fmt.Sprintf("read node %s of execution %s", node, execution), err)
}

// Nodes lists the nodes of an execution.
func (db *DB) Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error) {
	return list(ctx, db, &nodeEntity, q, scanNode,
		condition{inExecution, []any{execution.Project, execution.Domain, execution.Name}})
}

// Task reads an attempt of a task.
func (db *DB) Task(ctx context.Context, execution ident.Key, node string, attempt int) (store.TaskExecution, error) {
	t, err := get(ctx, db.reading(), &taskEntity, scanTask, inExecution+" AND t.node = ? AND t.attempt = ?",
		execution.Project, execution.Domain, execution.Name, node, attempt)
	return t, db.failed(ctx, fmt.Sprintf("read attempt %d of node %s of execution %s", attempt, node, execution), err)
}

// Tasks lists the attempts of a node of an execution.
func (db *DB) Tasks(ctx context.Context, execution ident.Key, node string, q store.Query) ([]store.TaskExecution, error) {
	return list(ctx, db, &taskEntity, q, scanTask,
		condition{inExecution + " AND t.node = ?", []any{execution.Project, execution.Domain, execution.Name, node}})
}
