// Package flytetest is a flyteadmin for tests: it lives in this process, answers AdminService as flyteadmin 1.16.8
// does where a scheduler beside it can tell, and has bad days on demand. Time is package time's throughout, so that
// it works in a bubble of testing/synctest when it is reached through [Server.Pipe].
//
// What it knows of the real one was read in Flyte's public source at v1.16.8 and is written down where it is used,
// with the file (below flyteadmin/). The facts that surprise:
//
//   - An execution begins in phase UNDEFINED; QUEUED is what FlytePropeller reports when it has seen it
//     (pkg/repositories/transformers/execution.go).
//   - CreateExecution creates the Kubernetes resource first and the row afterwards. If Kubernetes refuses, the call
//     answers OK all the same, and the execution is FAILED from its beginning (pkg/manager/impl/execution_manager.go).
//   - AlreadyExists from CreateExecution means that the name is taken, or that the launch plan's concurrency policy
//     skips the launch: then there is no execution (execution_manager.go).
//   - The rows of an execution's labels and tags are inserted outside of the transaction that inserts the execution. If that
//     one fails, they stay, and the name is AlreadyExists from then on without an execution
//     (pkg/repositories/gormimpl/execution_repo.go).
//   - TerminateExecution leaves the execution in ABORTING. It is ABORTED when FlytePropeller says so. One that is over
//     answers FailedPrecondition (execution_manager.go).
//   - Activating a launch plan does not move updated_at, neither its own nor that of the version it displaces;
//     deactivating does (pkg/repositories/gormimpl/launch_plan_repo.go: UpdateColumns, which leaves gorm's times alone).
//   - While its database is down, CreateExecution answers InvalidArgument, and other methods Internal or Unknown
//     (project_validator.go, pkg/repositories/errors/postgres.go); see [Server.DatabaseDown].
//   - An unknown project or domain is InvalidArgument, not NotFound
//     (pkg/manager/impl/validation/project_validator.go).
//   - Domains are the same for all projects (project_manager.go).
//   - Filters know columns by their names in the database: an execution is found by execution_name, not by name, and a time
//     has to be written with a Z, as + separates filters (pkg/manager/impl/util/filters.go, pkg/repositories/models).
//   - A page token is an offset. A full page has one, even if it is the last: the next is empty. Without sort_by, rows come
//     as the database finds them, and a row that was changed moves (gormimpl/*.go).
package flytetest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
)

// Server is a flyteadmin without a project. Everything about it may be called at any time, from any goroutine.
//
// Its fields are guarded by mu; calls wait for what they have to wait for before they take it.
type Server struct {
	service.UnimplementedAdminServiceServer

	mu         sync.Mutex
	domains    []string
	projects   *table[string, project]
	tasks      *table[key, task]
	workflows  *table[key, workflowRow]
	plans      *table[key, plan]
	active     map[key]*plan // By the key without a version.
	executions *table[key, execution]
	tags       map[tag]struct{}
	unnamed    uint64 // Launches that did not say what to call the execution.
	propeller  *Propeller
	faults     faults
	doors      []*door
}

var _ service.AdminServiceServer = (*Server)(nil)

// New returns a server with the domains that flyteadmin has by default (development, staging, production), no
// projects, and no faults.
func New() *Server {
	return &Server{
		domains:    []string{"development", "staging", "production"},
		projects:   newTable[string, project](),
		tasks:      newTable[key, task](),
		workflows:  newTable[key, workflowRow](),
		plans:      newTable[key, plan](),
		active:     map[key]*plan{},
		executions: newTable[key, execution](),
		tags:       map[tag]struct{}{},
		faults:     newFaults(),
	}
}

// AddProject registers a project.
func (s *Server) AddProject(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.projects.put(id, &project{id: id, name: id, rowTimes: rowTimes{created: now, updated: now}})
}

// ArchiveProject archives a project, after which nothing can be registered or launched in it.
func (s *Server) ArchiveProject(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.projects.get(id); ok {
		p.state, p.updated = admin.Project_ARCHIVED, time.Now()
		s.projects.touch(id)
	}
}

// Domains replaces the domains, which are those of every project.
func (s *Server) Domains(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.domains = slices.Clone(ids)
}

// PutLaunchPlan registers a launch plan, inactive, beside everything that CreateLaunchPlan asks for: its project and its workflow
// need not exist, and nothing is checked. A version that is there already is replaced.
func (s *Server) PutLaunchPlan(id *core.Identifier, spec *admin.LaunchPlanSpec, wf *core.TypedInterface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.projects.get(id.GetProject()); !ok {
		s.projects.put(id.GetProject(), &project{id: id.GetProject(), name: id.GetProject()})
	}
	s.putPlan(id, spec, expectedInputs(spec, wf), wf)
}

// Activate activates a version and deactivates the one that was active, as UpdateLaunchPlan does. It says whether there
// is such a version.
func (s *Server) Activate(id *core.Identifier) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans.get(keyOf(id))
	if ok {
		s.activate(p)
	}
	return ok
}

// ActivateBeside activates a version and leaves the one that was active as it is. Flyte does so when two are
// activated at once: nothing keeps them apart (pkg/manager/impl/launch_plan_manager.go, enableLaunchPlan). It says whether there is such a version.
func (s *Server) ActivateBeside(id *core.Identifier) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans.get(keyOf(id))
	if ok {
		p.state = admin.LaunchPlanState_ACTIVE
		s.plans.touch(p.key)
	}
	return ok
}

// Deactivate deactivates a version, as UpdateLaunchPlan does. It says whether there is such a version.
func (s *Server) Deactivate(id *core.Identifier) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans.get(keyOf(id))
	if ok {
		s.deactivate(p)
	}
	return ok
}

// Executions returns all executions as GetExecution would show them, in the order in which they were created.
func (s *Server) Executions() []*admin.Execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := slices.Collect(s.executions.all())
	slices.SortFunc(rows, func(a, b *execution) int { return int(a.id - b.id) })
	out := make([]*admin.Execution, len(rows))
	for i, e := range rows {
		out[i] = e.message()
	}
	return out
}

// Finish reports a phase of an execution, as FlytePropeller would: it sets the times that go with the phase and, if it is
// given, the error. It says whether there is such an execution that was not over yet.
func (s *Server) Finish(id *core.WorkflowExecutionIdentifier, phase core.WorkflowExecution_Phase, failure *core.ExecutionError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.executions.get(executionKey(id))
	return ok && s.report(e, phase, failure)
}

// A Propeller is how FlytePropeller and Kubernetes treat the executions that are created from now on. The zero Propeller has them QUEUED
// and RUNNING at once, and never over.
type Propeller struct {
	// Queue is the time from creation to QUEUED, and from termination to ABORTED.
	Queue time.Duration
	// Start is the time from QUEUED to RUNNING.
	Start time.Duration
	// Run says how an execution ends and how long after RUNNING. Nil never ends one. It must not call the server.
	Run func(*admin.Execution) (time.Duration, core.WorkflowExecution_Phase)
}

// For is a Run of a [Propeller] under which every execution succeeds after d.
func For(d time.Duration) func(*admin.Execution) (time.Duration, core.WorkflowExecution_Phase) {
	return func(*admin.Execution) (time.Duration, core.WorkflowExecution_Phase) {
		return d, core.WorkflowExecution_SUCCEEDED
	}
}

// Propel says what becomes of the executions that are created from now on. Without one, nothing does: they stay UNDEFINED, and
// ABORTING, until [Server.Finish].
func (s *Server) Propel(p Propeller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.propeller = &p
}

// Calls counts the calls so far by method, whatever became of them.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.faults.calls)
}

// MostInFlight is the largest number of calls that were being worked at, at the same time, so far. A call counts until the server
// is done with it, though its caller may be gone.
func (s *Server) MostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.most
}

// A key names a row: a task, workflow or launch plan by all four, an execution without a version.
type key struct{ project, domain, name, version string }

func keyOf(id *core.Identifier) key {
	return key{id.GetProject(), id.GetDomain(), id.GetName(), id.GetVersion()}
}

func executionKey(id *core.WorkflowExecutionIdentifier) key {
	return key{id.GetProject(), id.GetDomain(), id.GetName(), ""}
}

func (k key) identifier(kind core.ResourceType) *core.Identifier {
	return &core.Identifier{ResourceType: kind, Project: k.project, Domain: k.domain, Name: k.name, Version: k.version}
}

// unversioned is the key of a launch plan, of which one version is active at most.
func (k key) unversioned() key { return key{k.project, k.domain, k.name, ""} }

func (k key) execution() *core.WorkflowExecutionIdentifier {
	return &core.WorkflowExecutionIdentifier{Project: k.project, Domain: k.domain, Name: k.name}
}

// stamp is a time as PostgreSQL keeps it, in microseconds.
func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t.Truncate(time.Microsecond)) }
