package server

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// CreateExecution launches a launch plan, or a single task.
func (a *adminService) CreateExecution(ctx context.Context, r *admin.ExecutionCreateRequest) (*admin.ExecutionCreateResponse, error) {
	if err := checkOrg("", r); err != nil {
		return nil, err
	}
	key, err := a.executionPlace(ctx, ident.Key{Project: r.GetProject(), Domain: r.GetDomain(), Name: r.GetName()})
	if err != nil {
		return nil, err
	}
	spec := r.GetSpec()
	if spec == nil {
		return nil, invalid.Field("spec", "is missing")
	}
	if err := checkMetadata("spec.metadata.", spec.GetMetadata()); err != nil {
		return nil, err
	}
	now, err := a.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	var x store.Execution
	if spec.GetLaunchPlan().GetResourceType() == core.ResourceType_TASK {
		x, err = a.newTaskExecution(ctx, key, spec, r.GetInputs(), now)
	} else {
		x, err = a.newPlanExecution(ctx, key, spec, r.GetInputs(), now)
	}
	if err != nil {
		return nil, err
	}
	return a.launch(ctx, x)
}

// executionPlace checks where an execution is to run, and its name; it makes a name for one that has none.
func (s *Server) executionPlace(ctx context.Context, key ident.Key) (ident.Key, error) {
	if s.cfg.LaunchesOn != "" {
		return key, status.Errorf(codes.FailedPrecondition, "executions run on the Flyte at %s: create this one there; or have a slot of a schedule launch with tminus schedules run", s.cfg.LaunchesOn)
	}
	if key.Name == "" {
		key.Name = generateName()
	}
	if err := ident.ValidateExecutionName("name", key.Name); err != nil {
		return key, err
	}
	return key, s.openPlace(ctx, "", key.Project, key.Domain)
}

func checkMetadata(prefix string, m *admin.ExecutionMetadata) error {
	if err := checkEnum(prefix+"mode", m.GetMode()); err != nil {
		return err
	}
	if t := m.GetScheduledAt(); t != nil && !t.IsValid() {
		return invalid.Field(prefix+"scheduled_at", "is no time between the years 1 and 9999")
	}
	return checkText(prefix+"principal", m.GetPrincipal(), 255)
}

// newPlanExecution is the execution of a launch plan: of the active version when none is named.
func (s *Server) newPlanExecution(ctx context.Context, key ident.Key, spec *admin.ExecutionSpec, given *core.LiteralMap, now time.Time) (store.Execution, error) {
	plan, err := s.planToLaunch(ctx, spec.GetLaunchPlan())
	if err != nil {
		return store.Execution{}, err
	}
	if err := s.openPlace(ctx, "spec.launch_plan.", plan.Project, plan.Domain); err != nil {
		return store.Execution{}, err
	}
	// Nobody is asked who they are, so the principal is who the client says.
	return launchplan.NewExecution(key, plan, spec, given, spec.GetMetadata().GetPrincipal(), now)
}

func (s *Server) planToLaunch(ctx context.Context, ref *core.Identifier) (store.Plan, error) {
	const field = "spec.launch_plan"
	if ref != nil && ref.GetVersion() == "" {
		named := proto.CloneOf(ref)
		named.Version = "active" // Only so that the rest of it can be checked.
		id, err := identifier(field, named, core.ResourceType_LAUNCH_PLAN)
		if err != nil {
			return store.Plan{}, err
		}
		return s.activePlan(ctx, field, id.Key)
	}
	id, err := identifier(field, ref, core.ResourceType_LAUNCH_PLAN)
	if err != nil {
		return store.Plan{}, err
	}
	plan, err := s.store.Plan(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return plan, notFound("%s: launch plan %s is not registered", field, id)
	}
	return plan, err
}

// newTaskExecution is the execution of one task by itself.
func (s *Server) newTaskExecution(ctx context.Context, key ident.Key, spec *admin.ExecutionSpec, given *core.LiteralMap, now time.Time) (store.Execution, error) {
	id, err := identifier("spec.launch_plan", spec.GetLaunchPlan(), core.ResourceType_TASK)
	if err != nil {
		return store.Execution{}, err
	}
	if err := s.openPlace(ctx, "spec.launch_plan.", id.Project, id.Domain); err != nil {
		return store.Execution{}, err
	}
	closure, err := s.task(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return store.Execution{}, notFound("spec.launch_plan: task %s is not registered", id)
	}
	if err != nil {
		return store.Execution{}, err
	}
	if len(given.GetLiterals()) == 0 {
		given = spec.GetInputs() // Where older clients put them.
	}
	inputs, err := launchplan.Inputs(&admin.LaunchPlanSpec{}, required(closure.GetCompiledTask().GetTemplate().GetInterface().GetInputs()), given)
	if err != nil {
		return store.Execution{}, err
	}
	x := store.Execution{
		Key: key, LaunchPlan: id, Kind: store.Task, Phase: store.Queued,
		Mode: int32(spec.GetMetadata().GetMode()), Principal: spec.GetMetadata().GetPrincipal(),
		CreatedAt: now, UpdatedAt: now,
	}
	if x.Spec, err = serialize(spec); err != nil {
		return store.Execution{}, err
	}
	x.Inputs, err = serialize(inputs)
	return x, err
}

// required is the parameters of something all of whose inputs have to be given.
func required(inputs *core.VariableMap) *core.ParameterMap {
	m := &core.ParameterMap{Parameters: make(map[string]*core.Parameter, len(inputs.GetVariables()))}
	for name, v := range inputs.GetVariables() {
		m.Parameters[name] = &core.Parameter{Var: v, Behavior: &core.Parameter_Required{Required: true}}
	}
	return m
}

// launch stores x and has it run.
func (s *Server) launch(ctx context.Context, x store.Execution) (*admin.ExecutionCreateResponse, error) {
	created, err := s.store.CreateExecutions(ctx, []store.Execution{x})
	if err != nil {
		return nil, err
	}
	if !created[0] {
		return nil, exists("name: execution %s exists already", x.Key)
	}
	s.runner.Wake()
	return &admin.ExecutionCreateResponse{Id: wireExecutionID(x.Key)}, nil
}

// generateName makes a name such as Flyte's: a letter, and 19 letters and
// digits. They hold 95 random bits, so that no two are ever the same.
func generateName() string { return "a" + strings.ToLower(rand.Text()[:19]) }

// RelaunchExecution launches again what an earlier execution launched, with the same inputs.
func (a *adminService) RelaunchExecution(ctx context.Context, r *admin.ExecutionRelaunchRequest) (*admin.ExecutionCreateResponse, error) {
	before, err := a.execution(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	key, err := a.executionPlace(ctx, ident.Key{Project: before.Project, Domain: before.Domain, Name: r.GetName()})
	if err != nil {
		return nil, err
	}
	if err := a.openPlace(ctx, "spec.launch_plan.", before.LaunchPlan.Project, before.LaunchPlan.Domain); err != nil {
		return nil, err
	}
	spec, err := executionSpec(before)
	if err != nil {
		return nil, err
	}
	spec.Metadata = &admin.ExecutionMetadata{
		Mode: admin.ExecutionMetadata_RELAUNCH, ReferenceExecution: wireExecutionID(before.Key),
	}
	spec.OverwriteCache = spec.GetOverwriteCache() || r.GetOverwriteCache()
	now, err := a.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	x := store.Execution{
		Key: key, LaunchPlan: before.LaunchPlan, Kind: before.Kind, Workflow: before.Workflow,
		Inputs: before.Inputs, Phase: store.Queued, Mode: int32(admin.ExecutionMetadata_RELAUNCH),
		CreatedAt: now, UpdatedAt: now,
	}
	if x.Spec, err = serialize(spec); err != nil {
		return nil, err
	}
	return a.launch(ctx, x)
}

// RecoverExecution would reuse the nodes that had succeeded.
func (*adminService) RecoverExecution(context.Context, *admin.ExecutionRecoverRequest) (*admin.ExecutionCreateResponse, error) {
	return nil, status.Error(codes.Unimplemented, "executions cannot be recovered here; relaunch runs all of it again, with the same inputs")
}

// execution reads the execution with that identifier.
func (s *Server) execution(ctx context.Context, id *core.WorkflowExecutionIdentifier) (store.Execution, error) {
	key, err := key("id", id)
	if err != nil {
		return store.Execution{}, err
	}
	return s.readExecution(ctx, key)
}

func (s *Server) readExecution(ctx context.Context, key ident.Key) (store.Execution, error) {
	x, err := s.store.Execution(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return x, notFound("there is no execution %s", key)
	}
	return x, err
}

// GetExecution returns one execution.
func (a *adminService) GetExecution(ctx context.Context, r *admin.WorkflowExecutionGetRequest) (*admin.Execution, error) {
	x, err := a.execution(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return a.wireExecution(x)
}

// ListExecutions returns the executions of a domain; those that are archived
// only when a filter asks for a state.
func (a *adminService) ListExecutions(ctx context.Context, r *admin.ResourceListRequest) (*admin.ExecutionList, error) {
	q, err := a.resourceQuery(ctx, r)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(q.Filters, func(f store.Filter) bool { return strings.TrimPrefix(f.Field, "execution.") == "state" }) {
		q.Filters = append(q.Filters, store.Filter{Field: "state", Op: store.Eq, Values: []string{admin.ExecutionState_EXECUTION_ACTIVE.String()}})
	}
	executions, token, err := page(ctx, q, a.store.Executions, a.wireExecution)
	if err != nil {
		return nil, err
	}
	return &admin.ExecutionList{Executions: executions, Token: token}, nil
}

// GetExecutionData returns an execution's inputs and outputs.
func (a *adminService) GetExecutionData(ctx context.Context, r *admin.WorkflowExecutionGetDataRequest) (*admin.WorkflowExecutionGetDataResponse, error) {
	x, err := a.execution(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	inputs, outputs, err := literals("execution "+x.String(), x.Inputs, x.Outputs)
	if err != nil {
		return nil, err
	}
	return &admin.WorkflowExecutionGetDataResponse{FullInputs: inputs, FullOutputs: outputs}, nil
}

// literals reads the inputs and outputs of an execution, a node or an attempt.
func literals(what string, inputs, outputs []byte) (in, out *core.LiteralMap, err error) {
	in, out = &core.LiteralMap{}, &core.LiteralMap{}
	if err := readStored("inputs of "+what, inputs, in); err != nil {
		return nil, nil, err
	}
	return in, out, readStored("outputs of "+what, outputs, out)
}

// TerminateExecution stops a running execution; one that is over stays as it is.
func (a *adminService) TerminateExecution(ctx context.Context, r *admin.ExecutionTerminateRequest) (*admin.ExecutionTerminateResponse, error) {
	if err := checkText("cause", r.GetCause(), maxDescription); err != nil {
		return nil, err
	}
	x, err := a.execution(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	if err := a.runner.Terminate(ctx, x.Key, r.GetCause(), ""); err != nil {
		return nil, err
	}
	return &admin.ExecutionTerminateResponse{}, nil
}

// UpdateExecution archives an execution or brings it back.
func (a *adminService) UpdateExecution(ctx context.Context, r *admin.ExecutionUpdateRequest) (*admin.ExecutionUpdateResponse, error) {
	key, err := key("id", r.GetId())
	if err != nil {
		return nil, err
	}
	if err := checkEnum("state", r.GetState()); err != nil {
		return nil, err
	}
	now, err := a.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	_, err = a.store.UpdateExecution(ctx, key, func(x *store.Execution) error {
		x.Archived = r.GetState() == admin.ExecutionState_EXECUTION_ARCHIVED
		x.UpdatedAt = now
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("there is no execution %s", key)
	}
	if err != nil {
		return nil, err
	}
	return &admin.ExecutionUpdateResponse{}, nil
}

func executionSpec(x store.Execution) (*admin.ExecutionSpec, error) {
	spec := &admin.ExecutionSpec{}
	return spec, readStored("execution "+x.String(), x.Spec, spec)
}

func (s *Server) wireExecution(x store.Execution) (*admin.Execution, error) {
	spec, err := executionSpec(x)
	if err != nil {
		return nil, err
	}
	spec.LaunchPlan = workflow.Identifier(resourceType(x.Kind), x.LaunchPlan)
	spec.Inputs = nil // GetExecutionData has them.
	closure := &admin.ExecutionClosure{
		Phase:     core.WorkflowExecution_Phase(core.WorkflowExecution_Phase_value[string(x.Phase)]),
		CreatedAt: instant(x.CreatedAt),
		UpdatedAt: instant(x.UpdatedAt),
		StartedAt: instant(x.StartedAt),
		Duration:  took(x.StartedAt, x.EndedAt, x.UpdatedAt),
	}
	if x.Kind != store.Task {
		closure.WorkflowId = workflow.Identifier(core.ResourceType_WORKFLOW, x.Workflow)
	}
	if x.Archived {
		closure.StateChangeDetails = &admin.ExecutionStateChangeDetails{State: admin.ExecutionState_EXECUTION_ARCHIVED}
	}
	switch x.Phase {
	case store.Succeeded:
		// As in Flyte an address, here of GetExecutionData: flytekit cannot read literals in this place.
		closure.OutputResult = &admin.ExecutionClosure_Outputs{
			Outputs: &admin.LiteralMapBlob{Data: &admin.LiteralMapBlob_Uri{Uri: s.base + "/api/v1/data/executions/" + x.String()}},
		}
	case store.Failed, store.Failing, store.TimedOut:
		failure, err := executionError("execution "+x.String(), x.Error)
		if err != nil {
			return nil, err
		}
		closure.OutputResult = &admin.ExecutionClosure_Error{Error: failure}
	case store.Aborted, store.Aborting:
		closure.OutputResult = &admin.ExecutionClosure_AbortMetadata{
			AbortMetadata: &admin.AbortMetadata{Cause: x.AbortCause, Principal: x.AbortedBy},
		}
	default:
	}
	return &admin.Execution{Id: wireExecutionID(x.Key), Spec: spec, Closure: closure}, nil
}

func executionError(what string, b []byte) (*core.ExecutionError, error) {
	e := &core.ExecutionError{}
	return e, readStored("error of "+what, b, e)
}

// instant is t on the wire; the zero time is none.
func instant(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// took is how long something has run: to its end or, before that, to its last update.
func took(started, ended, updated time.Time) *durationpb.Duration {
	if started.IsZero() {
		return nil
	}
	if ended.IsZero() {
		ended = updated
	}
	return durationpb.New(max(ended.Sub(started), 0))
}
