package flytetest

import (
	"context"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// A task is a row of the table tasks.
type task struct {
	rowTimes
	key

	compiled *core.CompiledTask
	sent     *admin.TaskSpec
}

func (t *task) column(name string) any { return versioned(name, t.key, &t.rowTimes) }

// A workflowRow is a row of the table workflows.
type workflowRow struct {
	rowTimes
	key

	compiled *core.CompiledWorkflowClosure
	sent     *admin.WorkflowSpec
}

func (w *workflowRow) column(name string) any { return versioned(name, w.key, &w.rowTimes) }

func (w *workflowRow) iface() *core.TypedInterface {
	return w.compiled.GetPrimary().GetTemplate().GetInterface()
}

func versioned(name string, k key, times *rowTimes) any {
	switch name {
	case "project":
		return k.project
	case "domain":
		return k.domain
	case "name":
		return k.name
	case "version":
		return k.version
	default:
		return times.column(name)
	}
}

// Sent returns the spec of a launch plan as it was registered, which is not what GetLaunchPlan shows: that has all expected inputs for
// default inputs. It is nil for what is not registered.
func (s *Server) Sent(id *core.Identifier) *admin.LaunchPlanSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.plans.get(keyOf(id)); ok {
		return proto.CloneOf(p.sent)
	}
	return nil
}

// SentTask returns the spec of a task as it was registered, nil for none.
func (s *Server) SentTask(id *core.Identifier) *admin.TaskSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tasks.get(keyOf(id)); ok {
		return proto.CloneOf(t.sent)
	}
	return nil
}

// SentWorkflow returns the spec of a workflow as it was registered, nil for none.
func (s *Server) SentWorkflow(id *core.Identifier) *admin.WorkflowSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.workflows.get(keyOf(id)); ok {
		return proto.CloneOf(w.sent)
	}
	return nil
}

// CreateTask registers a task. The same again is AlreadyExists, another under the same version InvalidArgument
// (pkg/manager/impl/task_manager.go, validation/task_validator.go). What compiles is tminus's own compiler's word, not Flyte's.
func (s *Server) CreateTask(_ context.Context, req *admin.TaskCreateRequest) (*admin.TaskCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkTask(req); err != nil {
		return nil, err
	}
	k := keyOf(req.GetId())
	compiled, err := workflow.CompileTask(workflow.ID(req.GetId()), req.GetSpec().GetTemplate())
	if err != nil {
		return nil, invalidf("failed to compile task: %v", err)
	}
	if old, ok := s.tasks.get(k); ok {
		if proto.Equal(old.compiled, compiled) {
			return nil, status.Error(codes.AlreadyExists, "task with identical structure already exists")
		}
		return nil, invalidf("%s task with different structure already exists. (Please register a new version of the task):\n", k.name)
	}
	now := time.Now()
	s.tasks.put(k, &task{
		rowTimes: rowTimes{id: s.tasks.nextID(), created: now, updated: now},
		key:      k, compiled: compiled, sent: proto.CloneOf(req.GetSpec()),
	})
	return &admin.TaskCreateResponse{}, nil
}

func (s *Server) checkTask(req *admin.TaskCreateRequest) error {
	if err := checkIdentifier(req.GetId(), core.ResourceType_TASK); err != nil {
		return err
	}
	if err := s.checkProject(req.GetId().GetProject(), req.GetId().GetDomain()); err != nil {
		return err
	}
	t := req.GetSpec().GetTemplate()
	switch {
	case t == nil:
		return missing("spec")
	case t.GetType() == "":
		return missing("type")
	case t.GetMetadata() == nil:
		return missing("metadata")
	case t.GetMetadata().GetRuntime() != nil && t.GetMetadata().GetRuntime().GetVersion() == "":
		return missing("runtime version")
	case t.GetInterface() == nil:
		return missing("typed interface")
	case t.GetContainer() != nil && t.GetContainer().GetImage() == "":
		return missing("image")
	}
	return nil
}

// GetTask shows one task.
func (s *Server) GetTask(_ context.Context, req *admin.ObjectGetRequest) (*admin.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := keyOf(req.GetId())
	t, ok := s.tasks.get(k)
	if !ok {
		return nil, noEntity("TASK", k.identifier(core.ResourceType_UNSPECIFIED))
	}
	return &admin.Task{Id: k.identifier(core.ResourceType_TASK), Closure: &admin.TaskClosure{
		CompiledTask: proto.CloneOf(t.compiled), CreatedAt: timestamppb.New(t.created),
	}}, nil
}

// CreateWorkflow registers a workflow. What it refers to has to be registered; if not, as for all that does not compile, it is InvalidArgument.
// The same again is AlreadyExists, another under the same version InvalidArgument, both with a detail that says so
// (pkg/manager/impl/workflow_manager.go, pkg/errors/errors.go). What compiles is tminus's own compiler's word, not Flyte's.
func (s *Server) CreateWorkflow(_ context.Context, req *admin.WorkflowCreateRequest) (*admin.WorkflowCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkIdentifier(req.GetId(), core.ResourceType_WORKFLOW); err != nil {
		return nil, err
	}
	if err := s.checkProject(req.GetId().GetProject(), req.GetId().GetDomain()); err != nil {
		return nil, err
	}
	if req.GetSpec().GetTemplate() == nil {
		return nil, missing("spec")
	}
	k := keyOf(req.GetId())
	compiled, err := workflow.Compile(workflow.ID(req.GetId()), req.GetSpec(), lookup{s})
	if err != nil {
		return nil, invalidf("failed to compile workflow for [%v] with err: %v", req.GetId(), err)
	}
	if old, ok := s.workflows.get(k); ok {
		return nil, workflowExists(req.GetId(), proto.Equal(old.compiled, compiled))
	}
	now := time.Now()
	s.workflows.put(k, &workflowRow{
		rowTimes: rowTimes{id: s.workflows.nextID(), created: now, updated: now},
		key:      k, compiled: compiled, sent: proto.CloneOf(req.GetSpec()),
	})
	return &admin.WorkflowCreateResponse{}, nil
}

func workflowExists(id *core.Identifier, identical bool) error {
	if identical {
		return detailed(codes.AlreadyExists, "workflow with identical structure already exists", protoadapt.MessageV1Of(&admin.CreateWorkflowFailureReason{
			Reason: &admin.CreateWorkflowFailureReason_ExistsIdenticalStructure{
				ExistsIdenticalStructure: &admin.WorkflowErrorExistsIdenticalStructure{Id: id},
			},
		}))
	}
	return detailed(codes.InvalidArgument, id.GetName()+" workflow with different structure already exists. (Please register a new version of the workflow):\n",
		protoadapt.MessageV1Of(&admin.CreateWorkflowFailureReason{
			Reason: &admin.CreateWorkflowFailureReason_ExistsDifferentStructure{
				ExistsDifferentStructure: &admin.WorkflowErrorExistsDifferentStructure{Id: id},
			},
		}))
}

// GetWorkflow shows one workflow.
func (s *Server) GetWorkflow(_ context.Context, req *admin.ObjectGetRequest) (*admin.Workflow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := keyOf(req.GetId())
	if err := checkFields(req.GetId()); err != nil {
		return nil, err
	}
	w, ok := s.workflows.get(k)
	if !ok {
		return nil, noEntity("WORKFLOW", k.identifier(core.ResourceType_UNSPECIFIED))
	}
	return &admin.Workflow{Id: k.identifier(core.ResourceType_WORKFLOW), Closure: &admin.WorkflowClosure{
		CompiledWorkflow: proto.CloneOf(w.compiled), CreatedAt: timestamppb.New(w.created),
	}}, nil
}

// CreateLaunchPlan registers a launch plan, inactive. Its workflow has to be registered, or it is NotFound. The same again is AlreadyExists,
// another under the same version InvalidArgument (pkg/manager/impl/launch_plan_manager.go, validation/launch_plan_validator.go).
func (s *Server) CreateLaunchPlan(_ context.Context, req *admin.LaunchPlanCreateRequest) (*admin.LaunchPlanCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec := req.GetSpec()
	if err := checkIdentifier(spec.GetWorkflowId(), core.ResourceType_WORKFLOW); err != nil {
		return nil, err
	}
	wf, ok := s.workflows.get(keyOf(spec.GetWorkflowId()))
	if !ok {
		return nil, noEntity("WORKFLOW", keyOf(spec.GetWorkflowId()).identifier(core.ResourceType_UNSPECIFIED))
	}
	if err := checkIdentifier(req.GetId(), core.ResourceType_LAUNCH_PLAN); err != nil {
		return nil, err
	}
	if err := s.checkProject(req.GetId().GetProject(), req.GetId().GetDomain()); err != nil {
		return nil, err
	}
	expected, err := checkPlan(spec, wf.iface())
	if err != nil {
		return nil, err
	}
	if old, ok := s.plans.get(keyOf(req.GetId())); ok {
		augmented := proto.CloneOf(spec)
		augmented.DefaultInputs = expected
		if proto.Equal(old.spec, augmented) {
			return nil, status.Error(codes.AlreadyExists, "launch plan with identical structure already exists")
		}
		return nil, invalidf("%s launch plan with different structure already exists. (Please register a new version of the launch plan):\n", req.GetId().GetName())
	}
	s.putPlan(req.GetId(), spec, expected, wf.iface())
	return &admin.LaunchPlanCreateResponse{}, nil
}

// checkPlan checks a launch plan against its workflow, and finds what inputs it expects.
func checkPlan(spec *admin.LaunchPlanSpec, wf *core.TypedInterface) (*core.ParameterMap, error) {
	if err := checkLabels(spec.GetLabels()); err != nil {
		return nil, err
	}
	inputs := wf.GetInputs().GetVariables()
	for name, p := range spec.GetDefaultInputs().GetParameters() {
		want, ok := inputs[name]
		switch {
		case !ok:
			return nil, invalidf("unexpected default_input %s", name)
		case p.GetDefault() == nil && !p.GetRequired():
			return nil, invalidf("Invalid variable %s in default_inputs - variable has neither default, nor is required. One must be specified", name)
		case literal.Castable(p.GetVar().GetType(), want.GetType()) != nil:
			return nil, invalidf("invalid default_input wrong type %s, expected %v, got %v instead", name, p.GetVar().GetType(), want.GetType())
		case p.GetDefault() != nil && literal.Match(p.GetVar().GetType(), p.GetDefault()) != nil:
			return nil, invalidf("Type mismatch for Parameter %s in default_inputs has type %v", name, p.GetVar().GetType())
		}
	}
	for name, l := range spec.GetFixedInputs().GetLiterals() {
		want, ok := inputs[name]
		if !ok {
			return nil, invalidf("unexpected fixed_input %s", name)
		}
		if err := literal.Match(want.GetType(), l); err != nil {
			return nil, invalidf("invalid fixed_input wrong type %s, expected %v, got %v instead", name, want.GetType(), err)
		}
	}
	expected := expectedInputs(spec, wf)
	if err := checkSchedule(spec.GetEntityMetadata().GetSchedule(), expected); err != nil {
		return nil, err
	}
	if conditions := spec.GetEntityMetadata().GetLaunchConditions(); conditions != nil {
		return nil, invalidf("Launch condition must be empty, found %v", conditions)
	}
	return expected, nil
}

// expectedInputs are the default inputs, and the inputs of the workflow that are neither fixed nor have a default.
func expectedInputs(spec *admin.LaunchPlanSpec, wf *core.TypedInterface) *core.ParameterMap {
	out := &core.ParameterMap{Parameters: map[string]*core.Parameter{}}
	for name, p := range spec.GetDefaultInputs().GetParameters() {
		out.Parameters[name] = proto.CloneOf(p)
	}
	for name, v := range wf.GetInputs().GetVariables() {
		_, fixed := spec.GetFixedInputs().GetLiterals()[name]
		if _, ok := out.GetParameters()[name]; !ok && !fixed {
			out.Parameters[name] = &core.Parameter{
				Var:      &core.Variable{Type: proto.CloneOf(v.GetType()), Description: v.GetDescription()},
				Behavior: &core.Parameter_Required{Required: true},
			}
		}
	}
	return out
}

// cronField is what a field of a cron expression may be made of. What the numbers are is not checked.
var cronField = regexp.MustCompile(`^[0-9A-Za-z*/,?-]+$`)

func checkSchedule(schedule *admin.Schedule, expected *core.ParameterMap) error {
	if schedule.GetCronExpression() == "" && schedule.GetRate() == nil && schedule.GetCronSchedule() == nil {
		return nil
	}
	kickoff := schedule.GetKickoffTimeInputArg()
	for name, p := range expected.GetParameters() {
		if p.GetRequired() && name != kickoff {
			return invalidf("Cannot create a launch plan with a schedule if there is an unbound required input. [%v] is required", name)
		}
	}
	if kickoff != "" {
		p, ok := expected.GetParameters()[kickoff]
		if !ok {
			return invalidf("Cannot create a schedule with a KickoffTimeInputArg that does not point to a free input. [%v] is not free or does not exist.", kickoff)
		}
		if p.GetVar().GetType().GetSimple() != core.SimpleType_DATETIME {
			return invalidf("KickoffTimeInputArg must reference a datetime input. [%v] is a [%v]", kickoff, p.GetVar().GetType())
		}
	}
	cron := schedule.GetCronExpression()
	if cron == "" {
		cron = schedule.GetCronSchedule().GetSchedule()
	}
	if cron != "" && !unixCron(cron) {
		return invalidf("Invalid cron expression: expected exactly 5 fields: [%s]", cron)
	}
	return nil
}

// unixCron says whether robfig/cron's ParseStandard would take an expression: five fields or a word that begins with @, either after a
// time zone. AWS's six fields it does not take, in neither of Flyte's fields for it. It is a coarse check: numbers out of
// range pass here.
func unixCron(cron string) bool {
	fields := strings.Fields(cron)
	if len(fields) > 0 && (strings.HasPrefix(fields[0], "TZ=") || strings.HasPrefix(fields[0], "CRON_TZ=")) {
		fields = fields[1:]
	}
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		return true
	}
	for _, f := range fields {
		if !cronField.MatchString(f) {
			return false
		}
	}
	return len(fields) == 5
}

// lookup is what is registered, to the compiler. Sub-workflows come with the workflow that has them: flyteadmin looks up tasks, and launch
// plans, only.
type lookup struct{ *Server }

// Task finds a task.
func (l lookup) Task(id ident.ID) (*core.CompiledTask, error) {
	if t, ok := l.tasks.get(key{id.Project, id.Domain, id.Name, id.Version}); ok {
		return t.compiled, nil
	}
	return nil, store.ErrNotFound
}

// Workflow finds none.
func (lookup) Workflow(ident.ID) (*core.CompiledWorkflowClosure, error) {
	return nil, store.ErrNotFound
}
