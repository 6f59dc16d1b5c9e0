package server

import (
	"context"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Store is what the server asks of a database, by subject; package storetest
// says what each method promises.
type Store interface {
	Projects
	NamedEntities
	Definitions
	Plans
	Ledger
	Executions
	Parts
	Now(ctx context.Context) (time.Time, error)
}

// Projects keeps projects.
type Projects interface {
	CreateProject(ctx context.Context, p store.Project) error
	UpdateProject(ctx context.Context, p store.Project) error
	Project(ctx context.Context, id string) (store.Project, error)
	Projects(ctx context.Context, q store.Query) ([]store.Project, error)
}

// NamedEntities keeps what is said of entities apart from their versions.
type NamedEntities interface {
	NamedEntity(ctx context.Context, kind store.Kind, key ident.Key) (store.NamedEntity, error)
	NamedEntities(ctx context.Context, kind store.Kind, q store.Query) ([]store.NamedEntity, error)
	UpdateNamedEntity(ctx context.Context, e store.NamedEntity) error
}

// Definitions keeps tasks and workflows.
type Definitions interface {
	CreateDefinition(ctx context.Context, d store.Definition) error
	Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error)
	Definitions(ctx context.Context, kind store.Kind, q store.Query) ([]store.Definition, error)
}

// Plans keeps launch plans, and their schedules in step with them.
type Plans interface {
	CreatePlan(ctx context.Context, p store.Plan) error
	Plan(ctx context.Context, id ident.ID) (store.Plan, error)
	ActivePlan(ctx context.Context, key ident.Key) (store.Plan, error)
	Plans(ctx context.Context, q store.Query) ([]store.Plan, error)
	Activate(ctx context.Context, id ident.ID, spec *schedule.Spec, c store.Change) error
	Deactivate(ctx context.Context, id ident.ID, c store.Change) error
}

// Ledger keeps schedules and what became of their slots.
type Ledger interface {
	Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error)
	Schedules(ctx context.Context, q store.Query) ([]schedule.Schedule, error)
	Firings(ctx context.Context, q store.Query) ([]schedule.Firing, error)
}

// Executions keeps executions.
type Executions interface {
	CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error)
	Execution(ctx context.Context, key ident.Key) (store.Execution, error)
	Executions(ctx context.Context, q store.Query) ([]store.Execution, error)
	UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error)
}

// Parts keeps the nodes of executions and the attempts of their tasks.
type Parts interface {
	Node(ctx context.Context, execution ident.Key, node string) (store.NodeExecution, error)
	Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error)
	Task(ctx context.Context, execution ident.Key, node string, attempt int) (store.TaskExecution, error)
	Tasks(ctx context.Context, execution ident.Key, node string, q store.Query) ([]store.TaskExecution, error)
}
