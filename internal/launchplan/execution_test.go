package launchplan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/literal"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// plan is a launch plan as the store keeps it.
func plan(tb testing.TB, name string, spec *admin.LaunchPlanSpec, closure *admin.LaunchPlanClosure) store.Plan {
	tb.Helper()
	p := store.Plan{ID: id(name), Workflow: workflow.ID(spec.GetWorkflowId())}
	var err error
	if p.Spec, err = proto.Marshal(spec); err != nil {
		tb.Fatal(err)
	}
	if p.Closure, err = proto.Marshal(closure); err != nil {
		tb.Fatal(err)
	}
	return p
}

// registered is spec after registration.
func registered(t *testing.T, spec *admin.LaunchPlanSpec) store.Plan {
	t.Helper()
	v, err := Validate(id("plan"), spec, city(t), now, AnyCalendar)
	if err != nil {
		t.Fatal(err)
	}
	return plan(t, "plan", spec, v.Closure)
}

// inputsOf are the inputs of x as in a command line.
func inputsOf(t *testing.T, x store.Execution) map[string]string {
	t.Helper()
	var m core.LiteralMap
	if err := proto.Unmarshal(x.Inputs, &m); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, l := range m.GetLiterals() {
		out[name] = literal.Text(l)
	}
	return out
}

func specOf(t *testing.T, x store.Execution) *admin.ExecutionSpec {
	t.Helper()
	var s admin.ExecutionSpec
	if err := proto.Unmarshal(x.Spec, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestNewScheduled(t *testing.T) {
	slot := time.Date(2026, 1, 1, 3, 0, 0, 0, time.FixedZone("", 3600))
	later := slot.Add(5 * time.Second)
	for name, s := range map[string]*admin.Schedule{
		"cron": cronSchedule("0 2 * * *"), "rate": rate(3, admin.FixedRateUnit_HOUR),
	} {
		t.Run(name, func(t *testing.T) {
			s.KickoffTimeInputArg = "at"
			spec := edit(manual(t), annotate("overlap", "skip"), func(p *admin.LaunchPlanSpec) {
				p.EntityMetadata = &admin.LaunchPlanMetadata{Schedule: s}
				p.Labels = &admin.Labels{Values: map[string]string{"team": "a"}}
				p.MaxParallelism = 3
			})
			x, err := NewScheduled(registered(t, spec), slot, later)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(inputsOf(t, x), map[string]string{
				"at": "2026-01-01T02:00:00Z", "city": "Berlin", "days": "7", "limit": "",
			}); diff != "" {
				t.Errorf("inputs:\n%s", diff)
			}
			if diff := cmp.Diff(specOf(t, x), &admin.ExecutionSpec{
				LaunchPlan:     workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id("plan")),
				Metadata:       &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(slot)},
				Labels:         spec.GetLabels(),
				Annotations:    spec.GetAnnotations(),
				MaxParallelism: 3,
			}, protocmp.Transform()); diff != "" {
				t.Errorf("spec:\n%s", diff)
			}
			x.Spec, x.Inputs = nil, nil
			if diff := cmp.Diff(x, store.Execution{
				Key:        ident.Key{Project: "p", Domain: "d", Name: x.Name},
				LaunchPlan: id("plan"), Kind: store.LaunchPlan, Workflow: id("report"),
				Phase: store.Queued, Mode: 1, Slot: slot.UTC(), CreatedAt: later, UpdatedAt: later,
			}); diff != "" {
				t.Errorf("execution:\n%s", diff)
			}
			if err := ident.ValidateExecutionName("name", x.Name); err != nil {
				t.Error(err)
			}
		})
	}
}

// The names are Flyte's own, of the same launch plan and slot.
func TestNewScheduledNamesAsFlyteDoes(t *testing.T) {
	p := registered(t, scheduled(t, "@daily"))
	p.ID = ident.ID{Key: ident.Key{Project: "flytesnacks", Domain: "development", Name: "nightly-report"}, Version: "v1"}
	x, err := NewScheduled(p, now, now)
	if err != nil || x.Name != "fba86f06fca01ce07000" {
		t.Errorf("%s, %v", x.Name, err)
	}
	again, err := NewScheduled(p, now, now)
	if err != nil || cmp.Diff(x, again) != "" {
		t.Errorf("repeated, it differs: %v\n%s", err, cmp.Diff(x, again))
	}
}

// A launch plan that asks for no kickoff time gets none, and an optional datetime takes it as its variant.
func TestNewScheduledKickoffInput(t *testing.T) {
	x, err := NewScheduled(registered(t, timed(t, cronSchedule("@daily"))), now.Add(24*time.Hour), now)
	if err != nil || inputsOf(t, x)["at"] != "2026-01-01T00:00:00Z" {
		t.Errorf("at is %s, %v", inputsOf(t, x)["at"], err)
	}
	wf := city(t)
	wf.Inputs.Variables["at"].Type = optional(typ(t, "datetime"))
	v, err := Validate(id("plan"), scheduled(t, "@daily"), wf, now, AnyCalendar)
	if err != nil {
		t.Fatal(err)
	}
	if x, err = NewScheduled(plan(t, "plan", scheduled(t, "@daily"), v.Closure), now, now); err != nil {
		t.Fatal(err)
	}
	var m core.LiteralMap
	if err := proto.Unmarshal(x.Inputs, &m); err != nil {
		t.Fatal(err)
	}
	if got := m.GetLiterals()["at"].GetScalar().GetUnion(); literal.TypeName(got.GetType()) != "datetime" || literal.Text(got.GetValue()) != "2026-01-01T00:00:00Z" {
		t.Errorf("at is %v", got)
	}
}

func TestBrokenPlansDoNotLaunch(t *testing.T) {
	good := registered(t, scheduled(t, "@daily"))
	for name, damage := range map[string]func(*store.Plan){
		"decode spec of launch plan p/d/plan@v1":                              func(p *store.Plan) { p.Spec = []byte{0xff} },
		"decode closure of launch plan p/d/plan@v1":                           func(p *store.Plan) { p.Closure = []byte{0xff} },
		"inputs.literals[at]: cannot take the kickoff time: no type is given": func(p *store.Plan) { p.Closure = nil },
	} {
		p := good
		damage(&p)
		if _, err := NewScheduled(p, now, now); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("scheduled: got %v, want %s", err, name)
		}
	}
	bad := good
	bad.Spec = []byte{0xff}
	var ours *invalid.Error
	if _, err := NewExecution(ident.Key{Project: "p", Domain: "d", Name: "x"}, bad, &admin.ExecutionSpec{}, nil, "", now); err == nil || errors.As(err, &ours) {
		t.Errorf("a damaged record is told as the client's mistake: %v", err)
	}
}

func TestNewExecution(t *testing.T) {
	p := registered(t, edit(scheduled(t, "@daily"), func(s *admin.LaunchPlanSpec) {
		s.Labels = &admin.Labels{Values: map[string]string{"team": "a"}}
		s.Envs = &admin.Envs{Values: []*core.KeyValuePair{{Key: "A", Value: "plan"}}}
		s.Interruptible = wrapperspb.Bool(true)
		s.MaxParallelism = 3
		s.OverwriteCache = true
		s.RawOutputDataConfig = &admin.RawOutputDataConfig{OutputLocationPrefix: "s3://out"}
	}))
	key := ident.Key{Project: "p", Domain: "d", Name: "by-hand"}
	given := &core.LiteralMap{Literals: map[string]*core.Literal{"at": literal.Datetime(now), "days": lit(t, "integer", 1)}}
	sent := &admin.ExecutionSpec{
		Metadata: &admin.ExecutionMetadata{Principal: "somebody else"},
		Envs:     &admin.Envs{Values: []*core.KeyValuePair{{Key: "A", Value: "request"}}},
	}
	x, err := NewExecution(key, p, sent, given, "ann", now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(inputsOf(t, x), map[string]string{
		"at": "2026-01-01T00:00:00Z", "city": "Berlin", "days": "1", "limit": "",
	}); diff != "" {
		t.Errorf("inputs:\n%s", diff)
	}
	if diff := cmp.Diff(specOf(t, x), &admin.ExecutionSpec{
		LaunchPlan:          workflow.Identifier(core.ResourceType_LAUNCH_PLAN, id("plan")),
		Metadata:            &admin.ExecutionMetadata{Principal: "ann"},
		Envs:                sent.GetEnvs(),
		Labels:              &admin.Labels{Values: map[string]string{"team": "a"}},
		Interruptible:       wrapperspb.Bool(true),
		MaxParallelism:      3,
		OverwriteCache:      true,
		RawOutputDataConfig: &admin.RawOutputDataConfig{OutputLocationPrefix: "s3://out"},
	}, protocmp.Transform()); diff != "" {
		t.Errorf("spec:\n%s", diff)
	}
	if x.Key != key || x.Principal != "ann" || x.Mode != 0 || !x.Slot.IsZero() || x.Phase != store.Queued {
		t.Errorf("%+v", x)
	}
	if sent.GetMetadata().GetPrincipal() != "somebody else" || sent.GetLaunchPlan() != nil {
		t.Error("the client's message was changed")
	}

	old, err := NewExecution(key, p, &admin.ExecutionSpec{Inputs: given}, nil, "", now)
	if err != nil || inputsOf(t, old)["days"] != "1" {
		t.Errorf("inputs where older clients put them: %v", err)
	}
	flyte, err := NewExecution(key, p, &admin.ExecutionSpec{Metadata: &admin.ExecutionMetadata{
		Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(now),
	}}, given, "", now)
	if err != nil || flyte.Mode != 1 || !flyte.Slot.Equal(now) {
		t.Errorf("a scheduler's request: mode %d, slot %s, %v", flyte.Mode, flyte.Slot, err)
	}
}

func TestNewExecutionRefuses(t *testing.T) {
	key := func(name string) ident.Key { return ident.Key{Project: "p", Domain: "d", Name: name} }
	inputs := func(name string, l *core.Literal) *core.LiteralMap {
		return &core.LiteralMap{Literals: map[string]*core.Literal{name: l}}
	}
	none := &admin.LaunchPlanClosure{}
	p := registered(t, scheduled(t, "@daily"))
	for _, c := range []struct {
		name  string
		key   ident.Key
		plan  store.Plan
		spec  *admin.ExecutionSpec
		given *core.LiteralMap
		want  string
	}{
		{"no project", ident.Key{Domain: "d", Name: "x"}, p, &admin.ExecutionSpec{}, nil, "project: is empty"},
		{"a bad name", key("Upper"), p, &admin.ExecutionSpec{}, nil, `name: "Upper": use a lower-case letter, then lower-case letters, digits and hyphens`},
		{"nothing", key("x"), p, nil, nil, "spec: is missing"},
		{"an unknown mode", key("x"), p, &admin.ExecutionSpec{Metadata: &admin.ExecutionMetadata{Mode: 99}}, nil, "spec.metadata.mode: 99 is unknown"},
		{"no time", key("x"), p, &admin.ExecutionSpec{Metadata: &admin.ExecutionMetadata{
			ScheduledAt: &timestamppb.Timestamp{Seconds: 1 << 60},
		}}, nil, "spec.metadata.scheduled_at: lies outside the years 1 to 9999"},
		{"negative parallelism", key("x"), p, &admin.ExecutionSpec{MaxParallelism: -1}, nil, "spec.max_parallelism: -1 is negative; 0 means no limit"},
		{"a missing input", key("x"), p, &admin.ExecutionSpec{}, nil, "inputs.literals[at]: is required (datetime)"},
		{"a fixed input", key("x"), p, &admin.ExecutionSpec{}, inputs("city", lit(t, "string", "Bonn")), "inputs.literals[city]: is fixed by the launch plan and cannot be overridden"},
		{"an unknown input", key("x"), p, &admin.ExecutionSpec{}, inputs("day", lit(t, "integer", 1)), `inputs.literals[day]: the launch plan takes no input "day"; did you mean "days"?`},
		{"any input for a plan without", key("x"), plan(t, "plan", &admin.LaunchPlanSpec{}, none), &admin.ExecutionSpec{}, inputs("day", lit(t, "integer", 1)), "inputs.literals[day]: the launch plan takes no inputs"},
		{"an input of another type", key("x"), p, &admin.ExecutionSpec{}, inputs("at", lit(t, "string", "now")), "inputs.literals[at]: want datetime, got string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewExecution(c.key, c.plan, c.spec, c.given, "", now)
			wantInvalid(t, err, c.want)
		})
	}
}
