// Package store says what tminus keeps: the records, the questions that can be
// asked of them and the errors that answer. The databases below it (sqlite)
// keep them; store/storetest holds every database to the same contract.
//
// What a client registered is kept as the bytes it sent, so that fields tminus
// does not model come back untouched.
package store

import (
	"errors"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// The errors a database answers with. Every other error is a failure of the
// database itself.
var (
	// ErrNotFound says that no record has that identifier.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a record with that identifier is there already.
	ErrExists = errors.New("already exists")
	// ErrBadQuery says that a filter or sort names a field the records do not
	// have, or compares it with a value it cannot hold; the text says which.
	ErrBadQuery = errors.New("bad query")
)

// Kind is a kind of named entity.
type Kind string

// The kinds, as they stand in the database.
const (
	Task       Kind = "task"
	Workflow   Kind = "workflow"
	LaunchPlan Kind = "launch_plan"
)

// Project groups what belongs together; its domains are the installation's.
type Project struct {
	ID, Name, Description string
	// Spec is the serialized flyteidl.admin.Project as registered.
	Spec []byte
	// State is flyteidl.admin.Project.ProjectState: 0 active, 1 archived, 2 system generated, 3 system archived.
	State     int32
	CreatedAt time.Time
}

// Archived says that nothing is registered or launched in p any more.
func (p Project) Archived() bool { return p.State == 1 || p.State == 3 }

// Definition is one registered version of a task or workflow.
type Definition struct {
	ident.ID
	Kind Kind
	// Type is a task's type, such as "container" or "raw-container"; empty for a workflow.
	Type string
	// Spec is the serialized flyteidl.admin.TaskSpec or WorkflowSpec as sent.
	Spec []byte
	// Closure is the serialized flyteidl.admin.TaskClosure or WorkflowClosure, compiled at registration.
	Closure   []byte
	CreatedAt time.Time
}

// Plan is one registered version of a launch plan.
type Plan struct {
	ident.ID
	Workflow ident.ID
	// Spec is the serialized flyteidl.admin.LaunchPlanSpec as sent.
	Spec []byte
	// Closure is the serialized flyteidl.admin.LaunchPlanClosure as of registration: expected inputs and
	// outputs. State and times are in the fields below.
	Closure []byte
	// Active says that this is the one active version of its launch plan.
	Active bool
	// ScheduleType is NONE, CRON or FIXED_RATE, for Flyte's filter of that name.
	ScheduleType         ScheduleType
	CreatedAt, UpdatedAt time.Time
}

// Activation is a version of a launch plan that is to be active, and its schedule.
type Activation struct {
	Plan
	// Schedule is nil for a launch plan without one.
	Schedule *schedule.Spec
	// Anchor is the instant from which a rate counts; zero means that of the change.
	// No slot up to the change is decided again, however early it is.
	Anchor time.Time
	// Replace says that what is registered under the same version, if anything, is
	// replaced by Plan, also where it is active; otherwise it stays.
	Replace bool
}

// ScheduleType says how a launch plan is timed.
type ScheduleType string

// The schedule types, as Flyte's list filters spell them.
const (
	NoSchedule ScheduleType = "NONE"
	Cron       ScheduleType = "CRON"
	FixedRate  ScheduleType = "FIXED_RATE"
)

// NamedEntity is what is kept of an entity apart from its versions.
type NamedEntity struct {
	ident.Key
	Kind        Kind
	Description string
	// State is flyteidl.admin.NamedEntityState: 0 active, 1 archived, 2 system generated.
	State int32
}

// Phase is a phase of an execution, a node or a task, spelled as in the enums
// of flyteidl.core (WorkflowExecution, NodeExecution, TaskExecution).
type Phase string

// The phases tminus uses.
const (
	Undefined  Phase = "UNDEFINED"
	Queued     Phase = "QUEUED"
	Running    Phase = "RUNNING"
	Succeeded  Phase = "SUCCEEDED"
	Failed     Phase = "FAILED"
	Aborting   Phase = "ABORTING"
	Aborted    Phase = "ABORTED"
	TimedOut   Phase = "TIMED_OUT"
	Skipped    Phase = "SKIPPED"
	Recovered  Phase = "RECOVERED"
	Retryable  Phase = "RETRYABLE_FAILED"
	Succeeding Phase = "SUCCEEDING"
	Failing    Phase = "FAILING"
)

// Terminal says that nothing follows p.
func (p Phase) Terminal() bool {
	switch p {
	case Succeeded, Failed, Aborted, TimedOut, Skipped, Recovered:
		return true
	default:
		return false
	}
}

// Execution is one run of a launch plan (or of a single task).
type Execution struct {
	ident.Key
	// LaunchPlan is what was launched; for a single task, the task.
	LaunchPlan ident.ID
	// Kind is LaunchPlan or Task.
	Kind Kind
	// Workflow is what runs; zero for a single task.
	Workflow ident.ID
	// Spec is the serialized flyteidl.admin.ExecutionSpec as sent or, for a
	// scheduled execution, as made.
	Spec []byte
	// Inputs and Outputs are serialized flyteidl.core.LiteralMaps.
	Inputs, Outputs []byte
	Phase           Phase
	// Error is a serialized flyteidl.core.ExecutionError when the execution failed.
	Error []byte
	// AbortCause and AbortedBy are set when somebody terminated it.
	AbortCause, AbortedBy string
	// Mode is flyteidl.admin.ExecutionMetadata.ExecutionMode, 1 for scheduled.
	Mode int32
	// Slot is the scheduled_at of a scheduled execution; otherwise zero.
	Slot time.Time
	// Principal is who created it.
	Principal string
	// Runner is the runner that took it up, empty while it is queued; or Elsewhere.
	Runner string
	// LookAt is when to look next what became of an open execution Elsewhere; otherwise zero.
	LookAt time.Time
	// Archived hides it from ordinary lists (flyteidl.admin.ExecutionState).
	Archived bool
	// StartedAt and EndedAt are zero until then.
	CreatedAt, UpdatedAt, StartedAt, EndedAt time.Time
}

// Elsewhere is the Runner of executions that no runner runs: those on a Flyte.
const Elsewhere = "flyte"

// Launches says that x is the execution of a slot of a launch plan. A slot's
// identity is the launch plan's name and the time, not the version.
func (x Execution) Launches(plan ident.Key, slot time.Time) bool {
	return x.Kind == LaunchPlan && x.LaunchPlan.Key == plan && x.Slot.Equal(slot)
}

// NodeExecution is one node's part in an execution.
type NodeExecution struct {
	Execution ident.Key
	// Node is unique in the execution: the node's id in its workflow, behind its
	// parents' ids where it is part of a sub-workflow ("n0-0-n1").
	Node string
	// SpecNode is the node's id in its own workflow.
	SpecNode string
	// Parent is the Node of the sub-workflow node that holds this one, or "".
	Parent  string
	IsGroup bool // a sub-workflow node, whose children have it as Parent
	Phase   Phase
	// Inputs, Outputs and Error are serialized as in Execution.
	Inputs, Outputs, Error                   []byte
	CreatedAt, UpdatedAt, StartedAt, EndedAt time.Time
}

// TaskExecution is one attempt of a task.
type TaskExecution struct {
	Execution ident.Key
	Node      string
	// Attempt counts from 0 and is Flyte's retry_attempt.
	Attempt  int
	Task     ident.ID
	TaskType string
	Phase    Phase
	// Reason is one line for people.
	Reason string
	// Inputs, Outputs and Error are serialized as in Execution.
	Inputs, Outputs, Error []byte
	// Runner is the runner that ran the attempt, and Dir the attempt's directory,
	// relative to that runner's data directory; its stdout and stderr are files of
	// these names in it.
	Runner, Dir                              string
	CreatedAt, UpdatedAt, StartedAt, EndedAt time.Time
}

// Op compares a field with values.
type Op string

// The operations of Flyte's filter strings.
const (
	Eq       Op = "eq"
	Ne       Op = "ne"
	Gt       Op = "gt"
	Gte      Op = "gte"
	Lt       Op = "lt"
	Lte      Op = "lte"
	Contains Op = "contains"
	ValueIn  Op = "value_in"
)

// Filter keeps the records whose Field compares with Values; only ValueIn
// takes more than one. Fields are named as Flyte's filters name them; times
// are RFC 3339. An unknown field is ErrBadQuery.
type Filter struct {
	Field  string
	Op     Op
	Values []string
}

// Query is one page of a list. Empty fields do not restrict.
type Query struct {
	Project, Domain, Name string
	// Filters all hold.
	Filters []Filter
	// SortBy is a field's name; empty means created_at, newest first. Records
	// that compare equal come in a fixed order, so pages do not overlap.
	SortBy    string
	Ascending bool
	// Limit is the most records to return, at least 1.
	Limit, Offset int
}
