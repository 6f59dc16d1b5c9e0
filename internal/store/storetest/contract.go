// Package storetest is the contract of a database: a suite of tests that every
// implementation runs, on the real thing.
package storetest

import (
	"context"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Store is all that the rest of tminus asks of a database, by subject.
//
// Whatever is stored is on disk when the method returns. Times come back in
// UTC, to the microsecond; empty bytes come back nil. An error wraps
// store.ErrNotFound when what is read or changed is not there, and the
// context's error when that ended first.
//
// Lists answer store.ErrBadQuery for a Query they cannot answer. Records that
// lack the field they are sorted by (a time that has not come) are last, in
// either direction; they differ from every value and compare with none.
type Store interface {
	Projects
	Definitions
	Plans
	Ledger
	Executions
	Parts
	// Now is the one clock by which slots are due: the database's, where it has one.
	Now(ctx context.Context) (time.Time, error)
	Close() error
}

// Projects keeps projects and what is said of entities apart from their versions.
type Projects interface {
	// CreateProject answers store.ErrExists for an identifier that is taken.
	CreateProject(ctx context.Context, p store.Project) error
	// UpdateProject replaces name, description, spec and state; store.ErrNotFound.
	UpdateProject(ctx context.Context, p store.Project) error
	Project(ctx context.Context, id string) (store.Project, error)
	Projects(ctx context.Context, q store.Query) ([]store.Project, error)

	// NamedEntity answers store.ErrNotFound unless a version of the entity is registered.
	NamedEntity(ctx context.Context, kind store.Kind, key ident.Key) (store.NamedEntity, error)
	// NamedEntities lists the names that have a version, by default by project, domain and name.
	NamedEntities(ctx context.Context, kind store.Kind, q store.Query) ([]store.NamedEntity, error)
	// UpdateNamedEntity sets description and state; store.ErrNotFound as above.
	UpdateNamedEntity(ctx context.Context, e store.NamedEntity) error
}

// Definitions keeps tasks and workflows.
type Definitions interface {
	// CreateDefinition answers store.ErrExists when the version is there; it never changes one.
	CreateDefinition(ctx context.Context, d store.Definition) error
	Definition(ctx context.Context, kind store.Kind, id ident.ID) (store.Definition, error)
	// Definitions lists versions, without their Spec.
	Definitions(ctx context.Context, kind store.Kind, q store.Query) ([]store.Definition, error)
}

// Plans keeps launch plans, and their schedules in step with them.
type Plans interface {
	// CreatePlan stores an inactive version, whatever p.Active says; store.ErrExists as above.
	CreatePlan(ctx context.Context, p store.Plan) error
	Plan(ctx context.Context, id ident.ID) (store.Plan, error)
	// ActivePlan is the active version; store.ErrNotFound when there is none.
	ActivePlan(ctx context.Context, key ident.Key) (store.Plan, error)
	Plans(ctx context.Context, q store.Query) ([]store.Plan, error)

	// Activate makes id the one active version of its launch plan and, in the
	// same transaction, spec (nil when it has no schedule) the one that fires.
	// Slots of the old schedule that are due by now are planned first, with the
	// old spec (since as in Advance), so that none is lost. Firings that are
	// pending then launch all the same, as the version they were planned under;
	// but when spec is nil they are skipped, as in Deactivate. The new schedule
	// counts from now, or from the old cursor where that is later, so that no
	// slot is decided twice; a rate that did not change keeps its anchor, unless
	// the launch plan was inactive in between. Activating the version that is active
	// resumes a schedule that is paused or has a problem, from the same instant,
	// and changes nothing else. A spec that cannot be planned is an error, and then
	// nothing changes.
	Activate(ctx context.Context, id ident.ID, spec *schedule.Spec, now, since time.Time) error
	// Deactivate makes id inactive; if it was the active version its schedule
	// stops, after the slots due by now are planned. In the same transaction its
	// pending firings, of any version, become skipped: Due lists none of them
	// again. A version that is not active stays as it is, and so does the one
	// that is.
	Deactivate(ctx context.Context, id ident.ID, now, since time.Time) error
}

// Ledger keeps schedules and what became of their slots.
type Ledger interface {
	// Schedule is the schedule of a launch plan that has or had one active. Its
	// UpdatedAt is when it was last activated, resumed, paused or stopped.
	Schedule(ctx context.Context, key ident.Key) (schedule.Schedule, error)
	// Schedules lists schedules, by default the next to fire first.
	Schedules(ctx context.Context, q store.Query) ([]schedule.Schedule, error)
	// Firings lists firings, by default the newest slot first.
	Firings(ctx context.Context, q store.Query) ([]schedule.Firing, error)

	// Advance takes up to limit schedules that are due at now, soonest first,
	// plans them with schedule.Plan and records firings and cursors in one
	// transaction. A slot that has a firing keeps it. A schedule that cannot be
	// planned gets its Problem and is due no more. It returns how many schedules
	// it took: fewer than limit, though more are due, when those have very many slots.
	Advance(ctx context.Context, now, since time.Time, limit int) (int, error)
	// Due lists up to limit pending firings whose AttemptAt is not after now,
	// by priority, then AttemptAt.
	Due(ctx context.Context, now time.Time, limit int) ([]schedule.Firing, error)
	// Settle records what became of pending firings, in one transaction:
	// Outcome, Reason, Attempts, AttemptAt, SettledAt. A firing that is not
	// pending any more stays as it is, and so does one that is not there; but a
	// launch that was under way while its schedule stopped did happen, so
	// launched takes the place of skipped.
	Settle(ctx context.Context, firings []schedule.Firing) error
	// Pause stops an active schedule, with the reason, until it is activated
	// again; store.ErrNotFound when the launch plan has no active schedule. Slots
	// due by now that are not planned yet are planned first, as missed ones; in
	// the same transaction the schedule's pending firings, of any version, become
	// skipped, and their reason holds this one.
	Pause(ctx context.Context, key ident.Key, reason string, now time.Time) error
	// NextDue is the next slot for which Advance, and the next attempt for which Due, have
	// something to do; zero for never.
	NextDue(ctx context.Context) (slot, attempt time.Time, err error)
}

// Executions keeps executions.
type Executions interface {
	// CreateExecutions inserts executions in one transaction; those whose name
	// is taken stay as they are and are reported by a false in the same place.
	CreateExecutions(ctx context.Context, es []store.Execution) ([]bool, error)
	Execution(ctx context.Context, key ident.Key) (store.Execution, error)
	Executions(ctx context.Context, q store.Query) ([]store.Execution, error)
	// UpdateExecution applies change to the stored execution in one transaction.
	// When change returns an error nothing is stored and the error is returned as
	// it is. The Key cannot change. change must not use the store.
	UpdateExecution(ctx context.Context, key ident.Key, change func(*store.Execution) error) (store.Execution, error)
	// OpenExecutions lists up to limit executions that have not ended and are in
	// one of the phases (none means any), oldest first.
	OpenExecutions(ctx context.Context, phases []store.Phase, limit int) ([]store.Execution, error)
	// RunningOf lists the executions of a launch plan, of any version, that have not ended, oldest first.
	RunningOf(ctx context.Context, plan ident.Key) ([]store.Execution, error)
}

// Parts keeps what executions are made of.
type Parts interface {
	// PutNode and PutTask insert or replace; store.ErrNotFound without the execution.
	PutNode(ctx context.Context, n store.NodeExecution) error
	PutTask(ctx context.Context, t store.TaskExecution) error
	Node(ctx context.Context, execution ident.Key, node string) (store.NodeExecution, error)
	Nodes(ctx context.Context, execution ident.Key, q store.Query) ([]store.NodeExecution, error)
	Task(ctx context.Context, execution ident.Key, node string, attempt int) (store.TaskExecution, error)
	Tasks(ctx context.Context, execution ident.Key, node string, q store.Query) ([]store.TaskExecution, error)
}
