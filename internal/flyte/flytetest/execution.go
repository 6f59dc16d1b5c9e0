package flytetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/literal"
)

// cluster is what the executions say they run on: Flyte's own default, where there is one cluster.
const cluster = "flyte"

// An execution is a row of the table executions.
type execution struct {
	rowTimes
	key

	spec    *admin.ExecutionSpec
	closure *admin.ExecutionClosure
	state   admin.ExecutionState
	plan    *plan
	inputs  *core.LiteralMap // All of them, resolved.
	run     *Propeller       // As it was when the execution was created.
}

func (e *execution) message() *admin.Execution {
	return &admin.Execution{Id: e.execution(), Spec: proto.CloneOf(e.spec), Closure: proto.CloneOf(e.closure)}
}

// column answers for the columns of pkg/repositories/models/execution.go.
func (e *execution) column(name string) any {
	switch name {
	case "execution_project":
		return e.project
	case "execution_domain":
		return e.domain
	case "execution_name":
		return e.name
	case "launch_plan_id":
		return e.plan.id
	case "workflow_id":
		return e.plan.workflowID
	case "task_id", "source_execution_id", "parent_node_execution_id":
		return int64(0)
	case "phase":
		return e.closure.GetPhase().String()
	case "started_at":
		return timeOrNull(e.closure.GetStartedAt())
	case "execution_created_at":
		return timeOrNull(e.closure.GetCreatedAt())
	case "execution_updated_at":
		return timeOrNull(e.closure.GetUpdatedAt())
	case "duration":
		return int64(e.closure.GetDuration().AsDuration())
	case "abort_cause":
		return e.closure.GetAbortMetadata().GetCause()
	case "mode":
		return int64(e.spec.GetMetadata().GetMode())
	case "cluster":
		return e.spec.GetMetadata().GetSystemMetadata().GetExecutionCluster()
	case "error_kind":
		if err := e.closure.GetError(); err != nil {
			return err.GetKind().String()
		}
		return nil
	case "error_code":
		if err := e.closure.GetError(); err != nil {
			return err.GetCode()
		}
		return nil
	case "user":
		return e.spec.GetMetadata().GetPrincipal()
	case "state":
		return int64(e.state)
	case "launch_entity":
		return "launch_plan"
	default:
		return e.rowTimes.column(name)
	}
}

func timeOrNull(t *timestamppb.Timestamp) any {
	if t == nil {
		return nil
	}
	return t.AsTime().Truncate(time.Microsecond)
}

// A tag is a row of execution_tags: a label, or a tag, which is one without a value.
type tag struct {
	execution  key
	key, value string
}

func tagsOf(k key, spec *admin.ExecutionSpec) []tag {
	var out []tag
	for label, value := range spec.GetLabels().GetValues() {
		out = append(out, tag{k, label, value})
	}
	for _, t := range spec.GetTags() {
		out = append(out, tag{k, t, ""})
	}
	return out
}

// taken is the answer to an insert whose key is there (pkg/repositories/errors/postgres.go). It is the same for both tables that an execution
// is inserted into.
func taken(constraint string) error {
	return status.Errorf(codes.AlreadyExists, `value with matching already exists (duplicate key value violates unique constraint %q)`, constraint)
}

// CreateExecution launches a launch plan. The order of what is checked is flyteadmin's: the request (InvalidArgument), the launch plan
// (NotFound), the inputs (InvalidArgument), the concurrency policy (AlreadyExists), Kubernetes (OK, and FAILED), and the name at last
// (AlreadyExists). Whether the launch plan is active does not matter. The spec is kept as sent, but for what the server sets:
// the principal, the cluster and namespace, the security context, max_parallelism.
//
// Source: pkg/manager/impl/execution_manager.go, validation/execution_validator.go, repositories/transformers/execution.go.
func (s *Server) CreateExecution(ctx context.Context, req *admin.ExecutionCreateRequest) (*admin.ExecutionCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.prepare(req)
	if err != nil {
		return nil, err
	}
	var refused error
	if limit := s.faults.kubernetes.rate; limit != nil {
		s.mu.Unlock()
		err := limit.Wait(ctx)
		s.mu.Lock()
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		if err != nil {
			refused = fmt.Errorf("client rate limiter Wait returned an error: %w", err)
		}
	}
	if s.faults.kubernetes.down {
		refused = errors.New("dial tcp 10.43.0.1:443: connect: connection refused")
	}
	if slices.Contains(s.faults.kubernetes.refuses, e.spec.GetLaunchPlan().GetName()) {
		refused = errors.New("admission webhook denied the request")
	}
	if refused != nil {
		e.spec.Metadata.SystemMetadata.ExecutionCluster = ""
		e.closure.Phase = core.WorkflowExecution_FAILED
		e.closure.OutputResult = &admin.ExecutionClosure_Error{Error: &core.ExecutionError{
			Code: codes.Internal.String(), Message: "failed to create workflow in propeller " + refused.Error(), Kind: core.ExecutionError_SYSTEM,
		}}
	}
	tags := tagsOf(e.key, e.spec)
	for _, t := range tags {
		if _, ok := s.tags[t]; ok {
			return nil, taken("execution_tags_pkey")
		}
	}
	for _, t := range tags {
		s.tags[t] = struct{}{}
	}
	if s.faults.breaks("CreateExecution", req) {
		return nil, status.Error(codes.Unavailable, "the connection broke during the call")
	}
	if _, ok := s.executions.get(e.key); ok {
		return nil, taken("executions_pkey")
	}
	e.id = s.executions.nextID()
	s.executions.put(e.key, e)
	if refused == nil {
		s.propel(e)
	}
	return &admin.ExecutionCreateResponse{Id: e.execution()}, nil
}

// prepare checks a launch, and makes the row of it.
func (s *Server) prepare(req *admin.ExecutionCreateRequest) (*execution, error) {
	given := req.GetInputs()
	if len(given.GetLiterals()) == 0 {
		given = req.GetSpec().GetInputs() // Older clients.
	}
	if err := s.checkLaunch(req, given); err != nil {
		return nil, err
	}
	id := req.GetSpec().GetLaunchPlan()
	if id.GetResourceType() == core.ResourceType_TASK {
		return nil, status.Error(codes.Unimplemented, "flytetest does not launch single tasks")
	}
	p, ok := s.plans.get(keyOf(id))
	if !ok {
		return nil, noEntity("LAUNCH_PLAN", keyOf(id).identifier(core.ResourceType_UNSPECIFIED))
	}
	inputs, err := resolveInputs(given, p.spec.GetFixedInputs(), p.closure.GetExpectedInputs())
	if err != nil {
		return nil, err
	}
	if err := s.checkConcurrency(p); err != nil {
		return nil, err
	}
	name := req.GetName()
	if name == "" {
		s.unnamed++
		name = randomName(s.unnamed)
	}
	now := time.Now()
	e := &execution{
		rowTimes: rowTimes{created: now, updated: now},
		key:      key{req.GetProject(), req.GetDomain(), name, ""},
		spec:     proto.CloneOf(req.GetSpec()),
		plan:     p, inputs: inputs, run: s.propeller,
	}
	if e.spec.GetMetadata() == nil {
		e.spec.Metadata = &admin.ExecutionMetadata{}
	}
	e.spec.Metadata.Principal = "" // The user's, where flyteadmin knows who calls.
	e.spec.Metadata.SystemMetadata = &admin.SystemMetadata{ExecutionCluster: cluster, Namespace: e.project + "-" + e.domain}
	e.spec.SecurityContext = runAs(e.spec.GetSecurityContext(), p.spec.GetSecurityContext())
	if e.spec.GetMaxParallelism() == 0 {
		e.spec.MaxParallelism = p.spec.GetMaxParallelism()
	}
	if e.spec.GetMaxParallelism() == 0 {
		e.spec.MaxParallelism = 25 // pkg/runtime/application_config_provider.go.
	}
	at := timestamppb.New(now)
	notifications := p.spec.GetEntityMetadata().GetNotifications()
	if own := e.spec.GetNotifications().GetNotifications(); len(own) > 0 {
		notifications = own
	} else if e.spec.GetDisableAll() {
		notifications = nil
	}
	e.closure = &admin.ExecutionClosure{
		CreatedAt: at, UpdatedAt: at,
		Notifications: notifications,
		WorkflowId:    proto.CloneOf(p.spec.GetWorkflowId()),
		StateChangeDetails: &admin.ExecutionStateChangeDetails{
			State: admin.ExecutionState_EXECUTION_ACTIVE, OccurredAt: at,
		},
	}
	return e, nil
}

// runAs is the first security context that says who to run as, or an empty one
// (pkg/manager/impl/util/shared.go, MergeIntoExecConfig).
func runAs(contexts ...*core.SecurityContext) *core.SecurityContext {
	for _, c := range contexts {
		if who := c.GetRunAs(); who.GetK8SServiceAccount() != "" || who.GetIamRole() != "" || who.GetExecutionIdentity() != "" {
			return proto.CloneOf(c)
		}
	}
	return &core.SecurityContext{RunAs: &core.Identity{}}
}

// executionName is what a name has to look like, in lower case.
var executionName = regexp.MustCompile(`^[a-z][a-z\-0-9]*$`)

// maxExecutionName is the most characters of a name: those of a Kubernetes label.
const maxExecutionName = 63

func (s *Server) checkLaunch(req *admin.ExecutionCreateRequest, given *core.LiteralMap) error {
	switch name := req.GetName(); {
	case req.GetProject() == "":
		return missing("project")
	case req.GetDomain() == "":
		return missing("domain")
	case len(name) > maxExecutionName:
		return invalidf("size of name exceeded length %d : %s", maxExecutionName, strings.ToLower(name))
	case name != "" && !executionName.MatchString(strings.ToLower(name)):
		return invalidf("invalid name format: %s, does not match regex '%s'", strings.ToLower(name), executionName)
	}
	if err := s.checkProject(req.GetProject(), req.GetDomain()); err != nil {
		return err
	}
	if req.GetSpec() == nil {
		return missing("spec")
	}
	id := req.GetSpec().GetLaunchPlan()
	if err := checkFields(id); err != nil {
		return err
	}
	if t := id.GetResourceType(); t != core.ResourceType_LAUNCH_PLAN && t != core.ResourceType_TASK {
		return invalidf("Invalid reference entity resource type [%v], only [map[LAUNCH_PLAN:<nil> TASK:<nil>]] allowed", t)
	}
	for name, l := range given.GetLiterals() {
		if l.GetValue() == nil {
			return invalidf("missing valid literal in inputs %s", name)
		}
	}
	return checkLabels(req.GetSpec().GetLabels())
}

// resolveInputs finds the inputs of an execution among what the caller gave and what the launch plan has, as
// CheckAndFetchInputsForExecution does.
func resolveInputs(given, fixed *core.LiteralMap, expected *core.ParameterMap) (*core.LiteralMap, error) {
	out := map[string]*core.Literal{}
	for name, l := range given.GetLiterals() {
		want, ok := expected.GetParameters()[name]
		if !ok {
			return nil, invalidf("invalid input %s", name)
		}
		if err := literal.Match(want.GetVar().GetType(), l); err != nil {
			return nil, invalidf("invalid %s input wrong type. Expected %s, but got %v", name, want.GetVar().GetType(), err)
		}
		out[name] = l
	}
	for name, want := range expected.GetParameters() {
		if _, ok := out[name]; ok {
			continue
		}
		if want.GetRequired() {
			return nil, invalidf("expected_inputs %s missing", name)
		}
		out[name] = want.GetDefault()
	}
	for name, l := range fixed.GetLiterals() {
		if _, ok := out[name]; ok {
			return nil, invalidf("fixed_inputs %s cannot be overridden", name)
		}
		out[name] = l
	}
	return &core.LiteralMap{Literals: out}, nil
}

// checkConcurrency holds a launch plan with a concurrency policy against the executions of all its versions that are QUEUED or RUNNING; those
// that FlytePropeller has not seen yet are not counted. Only the behaviour SKIP refuses.
func (s *Server) checkConcurrency(p *plan) error {
	policy := p.spec.GetConcurrencyPolicy()
	if policy == nil {
		return nil
	}
	var active int32
	for e := range s.executions.all() {
		phase := e.closure.GetPhase()
		if e.project == p.project && e.domain == p.domain && e.plan.name == p.name &&
			(phase == core.WorkflowExecution_QUEUED || phase == core.WorkflowExecution_RUNNING) {
			active++
		}
	}
	if active >= policy.GetMax() && policy.GetBehavior() == admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP {
		return status.Errorf(codes.AlreadyExists, "concurrency limit (%d) reached for launch plan %s; skipping execution", policy.GetMax(), p.name)
	}
	return nil
}

// randomName is a name for the nth execution, of flyteadmin's form: "a" and 19 letters and digits without vowels
// (pkg/common/executions.go).
func randomName(n uint64) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	out := []byte("a")
	for i := range 19 {
		out = append(out, letters[int(chance(n, uint64(i), 0, 'n')*float64(len(letters)))])
	}
	return string(out)
}

// GetExecution shows one execution (pkg/manager/impl/execution_manager.go).
func (s *Server) GetExecution(_ context.Context, req *admin.WorkflowExecutionGetRequest) (*admin.Execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.execution(req.GetId())
	if err != nil {
		return nil, err
	}
	return e.message(), nil
}

// GetExecutionData shows an execution's inputs. There are no outputs.
func (s *Server) GetExecutionData(_ context.Context, req *admin.WorkflowExecutionGetDataRequest) (*admin.WorkflowExecutionGetDataResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.execution(req.GetId())
	if err != nil {
		return nil, err
	}
	return &admin.WorkflowExecutionGetDataResponse{FullInputs: proto.CloneOf(e.inputs), FullOutputs: &core.LiteralMap{}}, nil
}

func (s *Server) execution(id *core.WorkflowExecutionIdentifier) (*execution, error) {
	switch {
	case id == nil:
		return nil, missing("id")
	case id.GetProject() == "":
		return nil, missing("project")
	case id.GetDomain() == "":
		return nil, missing("domain")
	case id.GetName() == "":
		return nil, missing("name")
	}
	e, ok := s.executions.get(executionKey(id))
	if !ok {
		return nil, noEntity("execution", executionKey(id).identifier(core.ResourceType_UNSPECIFIED))
	}
	return e, nil
}

// maxListedError is how much of an execution's error a list shows (pkg/repositories/transformers/execution.go).
const maxListedError = 100

// ListExecutions lists the executions of a project and domain, both required, as is a limit. Archived ones are shown only to a filter by
// state, be it a launch plan's. Errors are cut to 100 bytes (pkg/manager/impl/execution_manager.go).
func (s *Server) ListExecutions(_ context.Context, req *admin.ResourceListRequest) (*admin.ExecutionList, error) {
	if err := checkList(req); err != nil {
		return nil, err
	}
	q, err := newQuery(executionEntity, req.GetFilters(), req.GetSortBy(), req.GetToken(), req.GetLimit(), "ListExecutions")
	if err != nil {
		return nil, err
	}
	if !q.has("state") {
		q.conditions = append(q.conditions, condition{of: executionEntity, op: "eq", column: "state", values: []string{"0"}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in := req.GetId()
	keep := func(e *execution) bool {
		return e.project == in.GetProject() && e.domain == in.GetDomain() && (in.GetName() == "" || e.name == in.GetName())
	}
	rows, token, err := find(s.faults.pageOf(q.method), q, s.candidates(q, in), keep, s.executionColumn)
	if err != nil {
		return nil, err
	}
	out := &admin.ExecutionList{Token: token}
	for _, e := range rows {
		m := e.message()
		m.Spec.Inputs = nil
		if err := m.GetClosure().GetError(); len(err.GetMessage()) > maxListedError {
			err.Message = strings.ToValidUTF8(err.GetMessage()[:maxListedError], "")
		}
		out.Executions = append(out.Executions, m)
	}
	return out, nil
}

// candidates are the rows to look at: those that are asked for by name, as the database has an index, or all.
func (s *Server) candidates(q query, in *admin.NamedEntityIdentifier) iter.Seq[*execution] {
	for _, c := range q.conditions {
		if c.of != executionEntity || c.column != "execution_name" || c.op != "value_in" && c.op != "eq" {
			continue
		}
		return func(yield func(*execution) bool) {
			for _, name := range slices.Compact(slices.Sorted(slices.Values(c.values))) {
				e, ok := s.executions.get(key{in.GetProject(), in.GetDomain(), name, ""})
				if ok && !yield(e) {
					return
				}
			}
		}
	}
	return s.executions.all()
}

func (s *Server) executionColumn(e *execution, of entity, name string) any {
	switch of {
	case executionEntity:
		return e.column(name)
	case planEntity, workflowEntity:
		return s.planColumn(e.plan, of, name)
	default:
		return nil // Executions of single tasks, of which there are none.
	}
}

// TerminateExecution begins to abort an execution: its phase is ABORTING, with the cause, and its times stay. FlytePropeller reports
// ABORTED later. An execution that is over is FailedPrecondition, with its phase in the details (pkg/errors/errors.go).
func (s *Server) TerminateExecution(_ context.Context, req *admin.ExecutionTerminateRequest) (*admin.ExecutionTerminateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.execution(req.GetId())
	if err != nil {
		return nil, err
	}
	if terminal(e.closure.GetPhase()) {
		return nil, alreadyOver(e.closure.GetPhase())
	}
	e.closure.Phase = core.WorkflowExecution_ABORTING
	e.closure.OutputResult = &admin.ExecutionClosure_AbortMetadata{AbortMetadata: &admin.AbortMetadata{Cause: req.GetCause()}}
	e.updated = time.Now()
	s.executions.touch(e.key)
	if s.faults.kubernetes.down {
		return nil, status.Errorf(codes.Internal, "failed to terminate execution: %v with err connection refused", req.GetId())
	}
	if e.run != nil {
		s.later(e.run.Queue, func() { s.report(e, core.WorkflowExecution_ABORTED, nil) })
	}
	return &admin.ExecutionTerminateResponse{}, nil
}

// alreadyOver carries flyteidl.admin.EventFailureReason, a message that our own files of Flyte's do not have: field 1 of it is a message whose
// field 1 is the phase.
func alreadyOver(phase core.WorkflowExecution_Phase) error {
	name := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), phase.String())
	reason := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	st := status.New(codes.FailedPrecondition, "Cannot abort an already terminated workflow execution").Proto()
	st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.googleapis.com/flyteidl.admin.EventFailureReason", Value: reason})
	return status.ErrorProto(st)
}

// UpdateExecution archives an execution, or brings it back (pkg/manager/impl/execution_manager.go).
func (s *Server) UpdateExecution(_ context.Context, req *admin.ExecutionUpdateRequest) (*admin.ExecutionUpdateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.execution(req.GetId())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	e.state, e.updated = req.GetState(), now
	e.closure.StateChangeDetails = &admin.ExecutionStateChangeDetails{State: req.GetState(), OccurredAt: timestamppb.New(now)}
	s.executions.touch(e.key)
	return &admin.ExecutionUpdateResponse{}, nil
}

func terminal(phase core.WorkflowExecution_Phase) bool {
	switch phase {
	case core.WorkflowExecution_SUCCEEDED, core.WorkflowExecution_FAILED, core.WorkflowExecution_TIMED_OUT, core.WorkflowExecution_ABORTED:
		return true
	default:
		return false
	}
}

// propel begins what the Propeller says of an execution.
func (s *Server) propel(e *execution) {
	p := e.run
	if p == nil {
		return
	}
	s.step(p.Queue, e, func() {
		s.report(e, core.WorkflowExecution_QUEUED, nil)
		s.step(p.Start, e, func() {
			s.report(e, core.WorkflowExecution_RUNNING, nil)
			if p.Run == nil {
				return
			}
			after, phase := p.Run(e.message())
			var failure *core.ExecutionError
			if phase == core.WorkflowExecution_FAILED {
				failure = &core.ExecutionError{Code: "USER:Failed", Message: "the workflow failed", Kind: core.ExecutionError_USER}
			}
			s.step(after, e, func() { s.report(e, phase, failure) })
		})
	})
}

// step does something after a while, unless the execution is being aborted by then.
func (s *Server) step(after time.Duration, e *execution, do func()) {
	s.later(after, func() {
		if e.closure.GetPhase() != core.WorkflowExecution_ABORTING {
			do()
		}
	})
}

// later does something after a while. The caller holds the server, and so does what is done.
func (s *Server) later(after time.Duration, do func()) {
	if after <= 0 {
		do()
		return
	}
	time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		do()
	})
}

// report is an event of FlytePropeller's: it sets the phase and the times that go with it, unless the execution is over
// (pkg/repositories/transformers/execution.go, UpdateExecutionModelState).
func (s *Server) report(e *execution, phase core.WorkflowExecution_Phase, failure *core.ExecutionError) bool {
	if terminal(e.closure.GetPhase()) {
		return false
	}
	now := time.Now()
	at := timestamppb.New(now)
	e.closure.Phase, e.closure.UpdatedAt = phase, at
	if phase == core.WorkflowExecution_RUNNING {
		e.closure.StartedAt = at
	}
	if terminal(phase) && e.closure.GetStartedAt() != nil {
		e.closure.Duration = durationpb.New(now.Sub(e.closure.GetStartedAt().AsTime()))
	}
	if failure != nil {
		e.closure.OutputResult = &admin.ExecutionClosure_Error{Error: proto.CloneOf(failure)}
	}
	if phase == core.WorkflowExecution_ABORTED && e.closure.GetAbortMetadata() == nil {
		e.closure.OutputResult = &admin.ExecutionClosure_AbortMetadata{AbortMetadata: &admin.AbortMetadata{}}
	}
	e.updated = now
	s.executions.touch(e.key)
	return true
}
