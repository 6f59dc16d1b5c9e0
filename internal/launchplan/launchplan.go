// Package launchplan holds the rules of launch plans: what may be registered,
// which schedule a launch plan asks for, which inputs a launch gets, and what
// execution comes of it. It has no clock and does no I/O.
//
// What is wrong with a client's message is an *invalid.Error whose Field begins
// at the request: "spec.fixed_inputs.literals[city]".
package launchplan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/workflow"
)

// Validated is a launch plan that may be registered.
type Validated struct {
	// Closure holds the expected inputs and outputs; the state is INACTIVE and
	// the times are not set.
	Closure *admin.LaunchPlanClosure
	// Schedule is nil for a launch plan without one.
	Schedule *schedule.Spec
}

// Validate holds launch plan id against the interface of the workflow it names.
//
// Inputs may stay open only without a schedule; a schedule must find each bound,
// but for the kickoff input, and have a slot after now that is on no day of a
// calendar that it excludes, as find has them.
func Validate(id ident.ID, spec *admin.LaunchPlanSpec, wf *core.TypedInterface, now time.Time, find Calendars) (Validated, error) {
	if err := id.Validate("id."); err != nil {
		return Validated{}, err
	}
	if spec == nil {
		return Validated{}, invalid.Field("spec", "is missing")
	}
	if err := checkWorkflowID(spec.GetWorkflowId()); err != nil {
		return Validated{}, err
	}
	if c := spec.GetEntityMetadata().GetLaunchConditions(); c.GetTypeUrl() != "" || len(c.GetValue()) > 0 {
		return Validated{}, invalid.Field("spec.entity_metadata.launch_conditions", "must be empty; only schedules launch here")
	}
	if n := spec.GetMaxParallelism(); n < 0 {
		return Validated{}, invalid.Field("spec.max_parallelism", "%d is negative; 0 means no limit", n)
	}
	expected, err := expectedInputs(spec, wf.GetInputs())
	if err != nil {
		return Validated{}, err
	}
	timing, err := ScheduleSpec(spec, find)
	if err != nil {
		return Validated{}, err
	}
	if timing != nil {
		if err := checkScheduled(spec, *timing, wf.GetInputs(), expected, now); err != nil {
			return Validated{}, err
		}
	}
	outputs := wf.GetOutputs()
	if outputs == nil {
		outputs = &core.VariableMap{}
	}
	return Validated{
		Closure:  &admin.LaunchPlanClosure{ExpectedInputs: expected, ExpectedOutputs: outputs},
		Schedule: timing,
	}, nil
}

func checkWorkflowID(id *core.Identifier) error {
	const field = "spec.workflow_id"
	if id == nil {
		return invalid.Field(field, "is missing")
	}
	if t := id.GetResourceType(); t != core.ResourceType_WORKFLOW && t != core.ResourceType_UNSPECIFIED {
		return invalid.Field(field+".resource_type", "is %s; it must be WORKFLOW", t)
	}
	return workflow.ID(id).Validate(field + ".")
}

// expectedInputs is what a launch has still to give or may override: every
// input of the workflow that is not fixed, with its default where there is one.
func expectedInputs(spec *admin.LaunchPlanSpec, inputs *core.VariableMap) (*core.ParameterMap, error) {
	variables := inputs.GetVariables()
	fixed := spec.GetFixedInputs().GetLiterals()
	for _, name := range sortedKeys(fixed) {
		field := "spec.fixed_inputs.literals[" + name + "]"
		v, known := variables[name]
		if !known {
			return nil, noInput(field, name, variables)
		}
		if err := literal.Match(v.GetType(), fixed[name]); err != nil {
			return nil, invalid.Field(field, "%v", err)
		}
	}
	parameters := spec.GetDefaultInputs().GetParameters()
	for _, name := range sortedKeys(parameters) {
		field := "spec.default_inputs.parameters[" + name + "]"
		v, known := variables[name]
		if !known {
			return nil, noInput(field, name, variables)
		}
		if err := checkParameter(field, parameters[name], v.GetType(), fixed[name] != nil); err != nil {
			return nil, err
		}
	}
	expected := &core.ParameterMap{Parameters: map[string]*core.Parameter{}}
	for name, v := range variables {
		if fixed[name] == nil {
			expected.Parameters[name] = expectedInput(v, parameters[name])
		}
	}
	return expected, nil
}

func noInput(field, name string, variables map[string]*core.Variable) error {
	if len(variables) == 0 {
		return invalid.Field(field, "the workflow has no input %q; it has none", name)
	}
	return invalid.Field(field, "the workflow has no input %q; did you mean %q?", name,
		invalid.Nearest(name, sortedKeys(variables)))
}

// checkParameter holds a default input against the type of the workflow's.
func checkParameter(field string, p *core.Parameter, want *core.LiteralType, fixed bool) error {
	if t := p.GetVar().GetType(); t != nil {
		if err := literal.Castable(t, want); err != nil {
			return invalid.Field(field+".var.type", "is not that of the workflow's input: %v", err)
		}
	}
	switch b := p.GetBehavior().(type) {
	case *core.Parameter_Default:
		if fixed {
			return invalid.Field(field, "is a fixed input as well; give it one of the two")
		}
		if err := literal.Match(want, b.Default); err != nil {
			return invalid.Field(field+".default", "%v", err)
		}
	case *core.Parameter_ArtifactQuery:
		return invalid.Field(field+".artifact_query", "artifacts cannot be looked up here; give a default")
	case *core.Parameter_ArtifactId:
		return invalid.Field(field+".artifact_id", "artifacts cannot be looked up here; give a default")
	}
	return nil
}

// expectedInput is the workflow's input v, as parameter p has it. An optional
// input that p declares but does not require is none.
func expectedInput(v *core.Variable, p *core.Parameter) *core.Parameter {
	expected := &core.Parameter{Var: v}
	switch {
	case p.GetDefault() != nil:
		expected.Behavior = &core.Parameter_Default{Default: p.GetDefault()}
	case p != nil && !p.GetRequired() && literal.Optional(v.GetType()):
		none := &core.Literal{Value: &core.Literal_Scalar{Scalar: &core.Scalar{
			Value: &core.Scalar_NoneType{NoneType: &core.Void{}},
		}}}
		expected.Behavior = &core.Parameter_Default{Default: none}
	default:
		expected.Behavior = &core.Parameter_Required{Required: true}
	}
	return expected
}

// checkScheduled checks what a launch plan must fulfil to be launched by timing.
func checkScheduled(spec *admin.LaunchPlanSpec, timing schedule.Spec, inputs *core.VariableMap, expected *core.ParameterMap, now time.Time) error {
	if kickoff := timing.KickoffInput; kickoff != "" {
		const field = scheduleField + ".kickoff_time_input_arg"
		v, known := inputs.GetVariables()[kickoff]
		switch {
		case !known:
			return noInput(field, kickoff, inputs.GetVariables())
		case spec.GetFixedInputs().GetLiterals()[kickoff] != nil:
			return invalid.Field(field, "input %q is fixed, so it cannot take the kickoff time", kickoff)
		case !holdsDatetime(v.GetType()):
			return invalid.Field(field, "input %q is %s; the kickoff time needs a datetime", kickoff, literal.TypeName(v.GetType()))
		}
	}
	var open []string
	for name, p := range expected.GetParameters() {
		if p.GetRequired() && name != timing.KickoffInput {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		slices.Sort(open)
		return invalid.Field("spec.default_inputs.parameters["+open[0]+"]",
			"a launch plan with a schedule must give every input a default or a fixed value; without one: %s", strings.Join(open, ", "))
	}
	return checkFires(spec, timing, now)
}

// holdsDatetime says that a datetime is among the values of t.
func holdsDatetime(t *core.LiteralType) bool {
	return t.GetSimple() == core.SimpleType_DATETIME || slices.ContainsFunc(t.GetUnionType().GetVariants(),
		func(v *core.LiteralType) bool { return v.GetSimple() == core.SimpleType_DATETIME })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
