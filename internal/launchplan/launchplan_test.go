package launchplan

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/workflow"
)

// now is when the tests register.
var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func id(name string) ident.ID {
	return ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: name}, Version: "v1"}
}

func typ(tb testing.TB, name string) *core.LiteralType {
	tb.Helper()
	parsed, err := literal.ParseType(name)
	if err != nil {
		tb.Fatal(err)
	}
	return parsed
}

func lit(tb testing.TB, typeName string, v any) *core.Literal {
	tb.Helper()
	l, err := literal.FromValue(typ(tb, typeName), v)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func optional(t *core.LiteralType) *core.LiteralType {
	none := &core.LiteralType{Type: &core.LiteralType_Simple{Simple: core.SimpleType_NONE}}
	return &core.LiteralType{Type: &core.LiteralType_UnionType{UnionType: &core.UnionType{Variants: []*core.LiteralType{t, none}}}}
}

// city is a workflow with the inputs at (datetime), city (string), days
// (integer) and limit (integer or none), and the output report (string).
func city(tb testing.TB) *core.TypedInterface {
	tb.Helper()
	return &core.TypedInterface{
		Inputs: &core.VariableMap{Variables: map[string]*core.Variable{
			"at":    {Type: typ(tb, "datetime")},
			"city":  {Type: typ(tb, "string")},
			"days":  {Type: typ(tb, "integer")},
			"limit": {Type: optional(typ(tb, "integer"))},
		}},
		Outputs: &core.VariableMap{Variables: map[string]*core.Variable{"report": {Type: typ(tb, "string")}}},
	}
}

func required() *core.Parameter {
	return &core.Parameter{Behavior: &core.Parameter_Required{Required: true}}
}

func byDefault(l *core.Literal) *core.Parameter {
	return &core.Parameter{Behavior: &core.Parameter_Default{Default: l}}
}

// manual is a launch plan of city without a schedule: city is fixed, days has a default.
func manual(tb testing.TB) *admin.LaunchPlanSpec {
	tb.Helper()
	return &admin.LaunchPlanSpec{
		WorkflowId: workflow.Identifier(core.ResourceType_WORKFLOW, id("report")),
		DefaultInputs: &core.ParameterMap{Parameters: map[string]*core.Parameter{
			"days":  byDefault(lit(tb, "integer", 7)),
			"limit": {Var: &core.Variable{Type: optional(typ(tb, "integer"))}},
		}},
		FixedInputs: &core.LiteralMap{Literals: map[string]*core.Literal{"city": lit(tb, "string", "Berlin")}},
	}
}

// scheduled is manual with a schedule in cron's notation that kicks off with at.
func scheduled(tb testing.TB, cron string) *admin.LaunchPlanSpec {
	tb.Helper()
	s := manual(tb)
	s.EntityMetadata = &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{
		ScheduleExpression:  &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: cron}},
		KickoffTimeInputArg: "at",
	}}
	return s
}

// edit is s after changes.
func edit(s *admin.LaunchPlanSpec, changes ...func(*admin.LaunchPlanSpec)) *admin.LaunchPlanSpec {
	for _, change := range changes {
		change(s)
	}
	return s
}

// annotate sets annotations of ours: "timezone", "Europe/Berlin", "overlap", "skip" and so on.
func annotate(namesAndValues ...string) func(*admin.LaunchPlanSpec) {
	return func(s *admin.LaunchPlanSpec) {
		s.Annotations = &admin.Annotations{Values: map[string]string{"someone.else/key": "value"}}
		for i := 0; i < len(namesAndValues); i += 2 {
			s.Annotations.Values["tminus.dev/"+namesAndValues[i]] = namesAndValues[i+1]
		}
	}
}

func wantInvalid(t *testing.T, err error, want string) {
	t.Helper()
	var bad *invalid.Error
	switch {
	case !errors.As(err, &bad):
		t.Errorf("got %v, want an *invalid.Error: %s", err, want)
	case bad.Error() != want:
		t.Errorf("got  %s\nwant %s", bad, want)
	}
}

func TestValidate(t *testing.T) {
	got, err := Validate(id("nightly"), scheduled(t, "0 3 * * *"), city(t), now, AnyCalendar)
	if err != nil {
		t.Fatal(err)
	}
	inputs := city(t).GetInputs().GetVariables()
	none := &core.Literal{Value: &core.Literal_Scalar{Scalar: &core.Scalar{Value: &core.Scalar_NoneType{NoneType: &core.Void{}}}}}
	want := Validated{
		Closure: &admin.LaunchPlanClosure{
			ExpectedInputs: &core.ParameterMap{Parameters: map[string]*core.Parameter{
				"at":    {Var: inputs["at"], Behavior: &core.Parameter_Required{Required: true}},
				"days":  {Var: inputs["days"], Behavior: &core.Parameter_Default{Default: lit(t, "integer", 7)}},
				"limit": {Var: inputs["limit"], Behavior: &core.Parameter_Default{Default: none}},
			}},
			ExpectedOutputs: city(t).GetOutputs(),
		},
		Schedule: &schedule.Spec{Expression: "0 3 * * *", KickoffInput: "at"},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if got, err = Validate(id("by-hand"), manual(t), city(t), now, AnyCalendar); err != nil || got.Schedule != nil {
		t.Errorf("without a schedule, an input may stay open: %v, %v", got.Schedule, err)
	}
	if !got.Closure.GetExpectedInputs().GetParameters()["at"].GetRequired() {
		t.Error("what has no default is not required")
	}
}

// What flytekit registers (../workflow/testdata/register.py) is accepted.
func TestValidateWhatFlytekitSends(t *testing.T) {
	variables := func(namesAndTypes map[string]*core.LiteralType) *core.VariableMap {
		m := &core.VariableMap{Variables: map[string]*core.Variable{}}
		for name, typ := range namesAndTypes {
			m.Variables[name] = &core.Variable{Type: typ}
		}
		return m
	}
	tagged := func(t *core.LiteralType, tag string) *core.LiteralType {
		t.Structure = &core.TypeStructure{Tag: tag}
		return t
	}
	maybe := optional(tagged(typ(t, "float"), "float"))
	tagged(maybe.GetUnionType().GetVariants()[1], "none")
	wf := &core.TypedInterface{
		Inputs:  variables(map[string]*core.LiteralType{"kickoff": typ(t, "datetime"), "a": typ(t, "integer"), "f": maybe}),
		Outputs: variables(map[string]*core.LiteralType{"o0": typ(t, "string"), "o1": typ(t, "integer")}),
	}
	for name, want := range map[string]*schedule.Spec{
		"nightly": {Expression: "0 3 * * *", KickoffInput: "kickoff"},
		"rate":    {Expression: "rate(3 hours)", KickoffInput: "kickoff"},
		"manual":  nil,
	} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".txtpb"))
		if err != nil {
			t.Fatal(err)
		}
		var sent admin.LaunchPlanSpec
		if err := prototext.Unmarshal(b, &sent); err != nil {
			t.Fatal(err)
		}
		got, err := Validate(id(name), &sent, wf, now, AnyCalendar)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got.Schedule); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		plan := plan(t, name, &sent, got.Closure)
		if want == nil {
			continue
		}
		if _, err := NewScheduled(plan, now, now); err != nil {
			t.Errorf("%s does not launch: %v", name, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	fix := func(name string, l *core.Literal) func(*admin.LaunchPlanSpec) {
		return func(s *admin.LaunchPlanSpec) { s.FixedInputs.Literals[name] = l }
	}
	parameter := func(name string, p *core.Parameter) func(*admin.LaunchPlanSpec) {
		return func(s *admin.LaunchPlanSpec) { s.DefaultInputs.Parameters[name] = p }
	}
	without := func(name string) func(*admin.LaunchPlanSpec) {
		return func(s *admin.LaunchPlanSpec) {
			delete(s.FixedInputs.Literals, name)
			delete(s.DefaultInputs.Parameters, name)
		}
	}
	kickoff := func(name string) func(*admin.LaunchPlanSpec) {
		return func(s *admin.LaunchPlanSpec) { s.EntityMetadata.Schedule.KickoffTimeInputArg = name }
	}
	for _, c := range []struct {
		name string
		spec *admin.LaunchPlanSpec
		want string
	}{
		{"nothing", nil, "spec: is missing"},
		{"no workflow", &admin.LaunchPlanSpec{}, "spec.workflow_id: is missing"},
		{"a task", &admin.LaunchPlanSpec{WorkflowId: workflow.Identifier(core.ResourceType_TASK, id("x"))}, "spec.workflow_id.resource_type: is TASK; it must be WORKFLOW"},
		{"a workflow without a name", &admin.LaunchPlanSpec{WorkflowId: workflow.Identifier(core.ResourceType_WORKFLOW, id(""))}, "spec.workflow_id.name: is empty"},
		{"launch conditions", edit(manual(t), func(s *admin.LaunchPlanSpec) {
			s.EntityMetadata = &admin.LaunchPlanMetadata{LaunchConditions: &anypb.Any{TypeUrl: "x"}}
		}), "spec.entity_metadata.launch_conditions: must be empty; only schedules launch here"},
		{"negative parallelism", edit(manual(t), func(s *admin.LaunchPlanSpec) { s.MaxParallelism = -1 }), "spec.max_parallelism: -1 is negative; 0 means no limit"},

		{"an unknown fixed input", edit(manual(t), fix("cty", lit(t, "string", "x"))), `spec.fixed_inputs.literals[cty]: the workflow has no input "cty"; did you mean "city"?`},
		{"a fixed input of another type", edit(manual(t), fix("city", lit(t, "integer", 1))), "spec.fixed_inputs.literals[city]: want string, got integer"},
		{"a fixed input without a value", edit(manual(t), fix("city", &core.Literal{})), "spec.fixed_inputs.literals[city]: want string, got no value"},
		{"an unknown default input", edit(manual(t), parameter("day", required())), `spec.default_inputs.parameters[day]: the workflow has no input "day"; did you mean "days"?`},
		{"a default of another type", edit(manual(t), parameter("days", byDefault(lit(t, "string", "7")))), "spec.default_inputs.parameters[days].default: want integer, got string"},
		{"another type for the input", edit(manual(t), parameter("days", &core.Parameter{Var: &core.Variable{Type: typ(t, "float")}})), "spec.default_inputs.parameters[days].var.type: is not that of the workflow's input: float cannot be bound to integer"},
		{"an input in both", edit(manual(t), parameter("city", byDefault(lit(t, "string", "Bonn")))), "spec.default_inputs.parameters[city]: is a fixed input as well; give it one of the two"},
		{"an artifact", edit(manual(t), parameter("days", &core.Parameter{Behavior: &core.Parameter_ArtifactQuery{}})), "spec.default_inputs.parameters[days].artifact_query: artifacts cannot be looked up here; give a default"},
		{"another artifact", edit(manual(t), parameter("days", &core.Parameter{Behavior: &core.Parameter_ArtifactId{}})), "spec.default_inputs.parameters[days].artifact_id: artifacts cannot be looked up here; give a default"},

		{"an open input under a schedule", edit(scheduled(t, "@daily"), without("days"), without("city")), "spec.default_inputs.parameters[city]: a launch plan with a schedule must give every input a default or a fixed value; without one: city, days"},
		{"a required input under a schedule", edit(scheduled(t, "@daily"), parameter("days", required())), "spec.default_inputs.parameters[days]: a launch plan with a schedule must give every input a default or a fixed value; without one: days"},
		{"no kickoff input for an open datetime", edit(scheduled(t, "@daily"), kickoff("")), "spec.default_inputs.parameters[at]: a launch plan with a schedule must give every input a default or a fixed value; without one: at"},
		{"an unknown kickoff input", edit(scheduled(t, "@daily"), kickoff("when")), `spec.entity_metadata.schedule.kickoff_time_input_arg: the workflow has no input "when"; did you mean "at"?`},
		{"a fixed kickoff input", edit(scheduled(t, "@daily"), fix("at", literal.Datetime(now))), `spec.entity_metadata.schedule.kickoff_time_input_arg: input "at" is fixed, so it cannot take the kickoff time`},
		{"a kickoff input of another type", edit(scheduled(t, "@daily"), kickoff("limit")), `spec.entity_metadata.schedule.kickoff_time_input_arg: input "limit" is integer | none; the kickoff time needs a datetime`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Validate(id("plan"), c.spec, city(t), now, AnyCalendar)
			wantInvalid(t, err, c.want)
		})
	}
	_, err := Validate(id("a/b"), manual(t), city(t), now, AnyCalendar)
	wantInvalid(t, err, `id.name: "a/b": character '/' is not allowed`)
	_, err = Validate(id("plan"), manual(t), nil, now, AnyCalendar)
	wantInvalid(t, err, `spec.fixed_inputs.literals[city]: the workflow has no input "city"; it has none`)
}

// A parameter that only says "required" does not contradict a fixed input, and
// a default does not keep the kickoff input from taking the slot.
func TestValidateAllows(t *testing.T) {
	s := scheduled(t, "@daily")
	s.DefaultInputs.Parameters["city"] = required()
	s.DefaultInputs.Parameters["at"] = byDefault(literal.Datetime(now))
	if _, err := Validate(id("plan"), s, city(t), now, AnyCalendar); err != nil {
		t.Error(err)
	}
	wf := city(t)
	wf.Inputs.Variables["at"].Type = optional(typ(t, "datetime"))
	if _, err := Validate(id("plan"), scheduled(t, "@daily"), wf, now, AnyCalendar); err != nil {
		t.Errorf("an optional datetime takes the kickoff time: %v", err)
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range []*admin.LaunchPlanSpec{
		manual(f), scheduled(f, "0 3 * * *"), scheduled(f, "cron(0 10 ? * MON-FRI *)"),
		edit(scheduled(f, "CRON_TZ=Europe/Berlin 30 2 * * *"), annotate("end-at", "2030-01-01T00:00:00Z", "exclude", "* * 25 12 *")),
	} {
		b, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s admin.LaunchPlanSpec
		if proto.Unmarshal(b, &s) != nil {
			return
		}
		v, err := Validate(id("plan"), &s, city(t), now, AnyCalendar)
		var bad *invalid.Error
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("no *invalid.Error: %v", err)
		}
		if err != nil || v.Schedule == nil {
			return
		}
		if _, err := NewScheduled(plan(t, "plan", &s, v.Closure), now, now); err != nil {
			t.Errorf("what may be registered does not launch: %v", err)
		}
	})
}
