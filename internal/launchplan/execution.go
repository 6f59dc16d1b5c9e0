package launchplan

import (
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// NewScheduled is the execution of one slot of plan's schedule, of cron and of
// rates alike: the kickoff input, if there is one, is the slot.
func NewScheduled(plan store.Plan, slot, now time.Time) (store.Execution, error) {
	spec, closure, err := decode(plan)
	if err != nil {
		return store.Execution{}, err
	}
	given, err := kickoff(spec, closure, slot)
	if err != nil {
		return store.Execution{}, err
	}
	e := &admin.ExecutionSpec{Metadata: scheduledAt(slot)}
	key := ident.Key{Project: plan.Project, Domain: plan.Domain, Name: schedule.ExecutionName(plan.ID, slot)}
	return newExecution(key, plan, spec, closure, e, given, now)
}

// scheduledAt says that an execution is that of a slot.
func scheduledAt(slot time.Time) *admin.ExecutionMetadata {
	return &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(slot)}
}

// kickoff are the inputs that a slot gives: itself, where the schedule names an input for it.
func kickoff(spec *admin.LaunchPlanSpec, closure *admin.LaunchPlanClosure, slot time.Time) (*core.LiteralMap, error) {
	given := &core.LiteralMap{Literals: map[string]*core.Literal{}}
	name := spec.GetEntityMetadata().GetSchedule().GetKickoffTimeInputArg()
	if name == "" {
		return given, nil
	}
	l, err := literal.FromValue(closure.GetExpectedInputs().GetParameters()[name].GetVar().GetType(), slot)
	if err != nil {
		return nil, invalid.Field(inputField(name), "cannot take the kickoff time: %v", err)
	}
	given.Literals[name] = l
	return given, nil
}

// The annotations of executions on a Flyte that say what they are of.
const (
	slotAnnotation = schedule.AnnotationPrefix + "slot" // RFC 3339
	kindAnnotation = schedule.AnnotationPrefix + "kind" // scheduled, catch-up, backfill or manual
)

// NewElsewhere is the execution of a firing on a Flyte, and what is asked for
// there. Flyte resolves the inputs. Annotations that a request has take the place
// of the launch plan's, so those come along; labels are left to the launch plan,
// since flyteadmin keeps those of a request that failed and refuses the next one.
func NewElsewhere(plan store.Plan, f schedule.Firing, now time.Time) (store.Execution, *admin.ExecutionCreateRequest, error) {
	spec, closure, err := decode(plan)
	if err != nil {
		return store.Execution{}, nil, err
	}
	inputs, err := kickoff(spec, closure, f.Slot)
	if err != nil {
		return store.Execution{}, nil, err
	}
	annotations := maps.Clone(spec.GetAnnotations().GetValues())
	if annotations == nil {
		annotations = make(map[string]string, 2)
	}
	annotations[slotAnnotation], annotations[kindAnnotation] = f.Slot.UTC().Format(time.RFC3339), string(f.Kind)
	key := ident.Key{Project: plan.Project, Domain: plan.Domain, Name: f.Execution()}
	request := &admin.ExecutionCreateRequest{
		Project: key.Project, Domain: key.Domain, Name: key.Name, Inputs: inputs,
		Spec: &admin.ExecutionSpec{
			LaunchPlan: workflow.Identifier(core.ResourceType_LAUNCH_PLAN, plan.ID), Metadata: scheduledAt(f.Slot),
			Annotations: &admin.Annotations{Values: annotations},
		},
	}
	x := store.Execution{
		Key: key, LaunchPlan: plan.ID, Kind: store.LaunchPlan, Workflow: plan.Workflow, Phase: store.Queued, Runner: store.Elsewhere,
		Mode: int32(admin.ExecutionMetadata_SCHEDULED), Slot: f.Slot, CreatedAt: now, UpdatedAt: now,
	}
	deterministic := proto.MarshalOptions{Deterministic: true}
	if x.Spec, err = deterministic.Marshal(request.GetSpec()); err == nil {
		x.Inputs, err = deterministic.Marshal(inputs)
	}
	if err != nil {
		return store.Execution{}, nil, fmt.Errorf("encode execution %s: %w", key, err)
	}
	return x, request, nil
}

// NewExecution is the execution key that principal asks for by CreateExecution,
// as a launch of plan. What spec does not say, it has from the launch plan:
// labels, annotations, environment, parallelism and the like.
func NewExecution(key ident.Key, plan store.Plan, spec *admin.ExecutionSpec, inputs *core.LiteralMap, principal string, now time.Time) (store.Execution, error) {
	if err := checkKey(key); err != nil {
		return store.Execution{}, err
	}
	if spec == nil {
		return store.Execution{}, invalid.Field("spec", "is missing")
	}
	if err := checkExecutionSpec(spec); err != nil {
		return store.Execution{}, err
	}
	planSpec, closure, err := decode(plan)
	if err != nil {
		return store.Execution{}, err
	}
	if len(inputs.GetLiterals()) == 0 {
		inputs = spec.GetInputs() // Where older clients put them.
	}
	e := &admin.ExecutionSpec{}
	proto.Merge(e, spec)
	if e.GetMetadata() == nil {
		e.Metadata = &admin.ExecutionMetadata{}
	}
	e.Metadata.Principal = principal
	return newExecution(key, plan, planSpec, closure, e, inputs, now)
}

func checkKey(key ident.Key) error {
	if err := key.Validate(""); err != nil {
		return err
	}
	return ident.ValidateExecutionName("name", key.Name)
}

func checkExecutionSpec(spec *admin.ExecutionSpec) error {
	m := spec.GetMetadata()
	if _, known := admin.ExecutionMetadata_ExecutionMode_name[int32(m.GetMode())]; !known {
		return invalid.Field("spec.metadata.mode", "%d is unknown", m.GetMode())
	}
	if at := m.GetScheduledAt(); at != nil && at.CheckValid() != nil {
		return invalid.Field("spec.metadata.scheduled_at", "lies outside the years 1 to 9999")
	}
	if n := spec.GetMaxParallelism(); n < 0 {
		return invalid.Field("spec.max_parallelism", "%d is negative; 0 means no limit", n)
	}
	return nil
}

// decode reads what the store keeps of plan.
func decode(plan store.Plan) (*admin.LaunchPlanSpec, *admin.LaunchPlanClosure, error) {
	spec, closure := &admin.LaunchPlanSpec{}, &admin.LaunchPlanClosure{}
	if err := proto.Unmarshal(plan.Spec, spec); err != nil {
		return nil, nil, fmt.Errorf("decode spec of launch plan %s: %w", plan.ID, err)
	}
	if err := proto.Unmarshal(plan.Closure, closure); err != nil {
		return nil, nil, fmt.Errorf("decode closure of launch plan %s: %w", plan.ID, err)
	}
	return spec, closure, nil
}

// newExecution makes the record of a launch of plan with e, which it completes.
func newExecution(key ident.Key, plan store.Plan, spec *admin.LaunchPlanSpec, closure *admin.LaunchPlanClosure,
	e *admin.ExecutionSpec, given *core.LiteralMap, now time.Time,
) (store.Execution, error) {
	resolved, err := Inputs(spec, closure.GetExpectedInputs(), given)
	if err != nil {
		return store.Execution{}, err
	}
	e.LaunchPlan = workflow.Identifier(core.ResourceType_LAUNCH_PLAN, plan.ID)
	inherit(e, spec)
	deterministic := proto.MarshalOptions{Deterministic: true}
	specBytes, err := deterministic.Marshal(e)
	if err != nil {
		return store.Execution{}, fmt.Errorf("encode spec of execution %s: %w", key, err)
	}
	inputBytes, err := deterministic.Marshal(resolved)
	if err != nil {
		return store.Execution{}, fmt.Errorf("encode inputs of execution %s: %w", key, err)
	}
	x := store.Execution{
		Key:        key,
		LaunchPlan: plan.ID,
		Kind:       store.LaunchPlan,
		Workflow:   plan.Workflow,
		Spec:       specBytes,
		Inputs:     inputBytes,
		Phase:      store.Queued,
		Mode:       int32(e.GetMetadata().GetMode()),
		Principal:  e.GetMetadata().GetPrincipal(),
		CreatedAt:  now,
		UpdatedAt:  now,
	}
	if at := e.GetMetadata().GetScheduledAt(); at != nil && e.GetMetadata().GetMode() == admin.ExecutionMetadata_SCHEDULED {
		x.Slot = at.AsTime()
	}
	return x, nil
}

// inherit fills what e leaves open from its launch plan, each setting as a
// whole, as flyteadmin does.
func inherit(e *admin.ExecutionSpec, plan *admin.LaunchPlanSpec) {
	if len(e.GetLabels().GetValues()) == 0 {
		e.Labels = plan.GetLabels()
	}
	if len(e.GetAnnotations().GetValues()) == 0 {
		e.Annotations = plan.GetAnnotations()
	}
	if len(e.GetEnvs().GetValues()) == 0 {
		e.Envs = plan.GetEnvs()
	}
	if e.GetSecurityContext() == nil {
		e.SecurityContext = plan.GetSecurityContext()
	}
	if e.GetQualityOfService() == nil {
		e.QualityOfService = plan.GetQualityOfService()
	}
	if e.GetRawOutputDataConfig().GetOutputLocationPrefix() == "" {
		e.RawOutputDataConfig = plan.GetRawOutputDataConfig()
	}
	if e.GetClusterAssignment() == nil {
		e.ClusterAssignment = plan.GetClusterAssignment()
	}
	if len(e.GetExecutionEnvAssignments()) == 0 {
		e.ExecutionEnvAssignments = plan.GetExecutionEnvAssignments()
	}
	if e.GetMaxParallelism() == 0 {
		e.MaxParallelism = plan.GetMaxParallelism()
	}
	if e.GetInterruptible() == nil {
		e.Interruptible = plan.GetInterruptible()
	}
	e.OverwriteCache = e.GetOverwriteCache() || plan.GetOverwriteCache()
}
