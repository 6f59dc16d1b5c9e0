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
	Operations
}

// Operations changes schedules and looks at them from above.
type Operations interface {
	Operator
	Backlogs
	Walker
	Calendars
	Keepers
}

// Keepers keeps what goes between tminus and those who keep time for it.
type Keepers interface {
	Rule(ctx context.Context, plan ident.Key) (store.Rule, error)
	RulesOf(ctx context.Context, ids []int64) (map[int64]store.Rule, error)
	// DeadLetters lists them, without their bodies, newest first; fields are id, project, domain, name, reason, received_at.
	DeadLetters(ctx context.Context, q store.Query) ([]store.DeadLetter, error)
	DeadLetter(ctx context.Context, id int64) (store.DeadLetter, error)
	DropDeadLetters(ctx context.Context, ids []int64) (int, error)
	RedriveDeadLetter(ctx context.Context, id int64, plan ident.Key, at time.Time, c store.Change) (schedule.Firing, error)
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
	// Alerts lists them, newest first; fields are kind, slot, since, ended_at, told_at.
	Alerts(ctx context.Context, q store.Query) ([]store.Alert, error)
	// Now is the database's clock.
	Now(ctx context.Context) (time.Time, error)
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

// Operator changes what a schedule does, on somebody's behalf.
type Operator interface {
	// Pause stops an active schedule, until somebody resumes it or, if until is
	// not zero, then. It is store.ErrNotFound when there is no active one.
	Pause(ctx context.Context, key ident.Key, note string, until time.Time, c store.Change) error
	// Resume ends a pause; no slot of the pause launches.
	Resume(ctx context.Context, key ident.Key, c store.Change) error
	// Skip records a coming slot as skipped; store.ErrExists when it has a firing.
	Skip(ctx context.Context, key ident.Key, slot time.Time, c store.Change) error
	// Unskip takes back a Skip of a slot in the future; store.ErrNotFound when there is none.
	Unskip(ctx context.Context, key ident.Key, slot time.Time, c store.Change) error
	// RunNow records a manual firing to launch at once; store.ErrExists when the slot has a firing.
	RunNow(ctx context.Context, key ident.Key, slot time.Time, c store.Change) (schedule.Firing, error)
	// Redrive makes dead firings pending again, limit at most, and says how many.
	Redrive(ctx context.Context, q store.RedriveQuery, limit int, c store.Change) (int, error)
}

// Backlogs keeps ranges of slots that launch late.
type Backlogs interface {
	CreateBackfill(ctx context.Context, key ident.Key, b store.Backlog, c store.Change) (store.Backlog, error)
	// Backlogs lists them, newest first; fields are id, kind, ended, created_at.
	Backlogs(ctx context.Context, q store.Query) ([]store.Backlog, error)
	// CancelBacklog ends one that is open, and returns it as it is then.
	CancelBacklog(ctx context.Context, id int64, c store.Change) (store.Backlog, error)
}

// Calendars keeps the calendars that schedules exclude.
type Calendars interface {
	// PutCalendar stores one, and changes the active schedules that name it; it says how many.
	PutCalendar(ctx context.Context, cal schedule.Calendar, c store.Change) (changed int, err error)
	Calendar(ctx context.Context, name string) (store.Calendar, error)
	// Calendars lists them by name.
	Calendars(ctx context.Context, q store.Query) ([]store.Calendar, error)
	// DeleteCalendar is a *store.CalendarInUseError while an active schedule names it.
	DeleteCalendar(ctx context.Context, name string) error
}

// Walker goes through schedules, however many there are, and through what they were.
type Walker interface {
	// Revisions lists those of one schedule, newest first; fields are number, action, at.
	Revisions(ctx context.Context, key ident.Key, q store.Query) ([]store.Revision, error)
	// EachSchedule visits the schedules of q in the order in which they fire next,
	// those that do not last, as they were at one instant. It ends with the first
	// error that visit returns, and returns that. The limit and offset of q do not count.
	EachSchedule(ctx context.Context, q store.Query, visit func(schedule.Schedule) error) error
}
