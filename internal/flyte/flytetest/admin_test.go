package flytetest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/literal"
)

// TestCodes is what flyteadmin 1.16.8 answers, by its source.
func TestCodes(t *testing.T) {
	t.Parallel()
	version := func(v string) *core.Identifier {
		id := proto.CloneOf(planID)
		id.Version = v
		return id
	}
	with := func(change func(*admin.ExecutionCreateRequest)) *admin.ExecutionCreateRequest {
		r := launch("f2")
		r.Spec = proto.CloneOf(r.GetSpec())
		change(r)
		return r
	}
	number := &core.LiteralMap{Literals: map[string]*core.Literal{"n": {Value: &core.Literal_Scalar{Scalar: &core.Scalar{
		Value: &core.Scalar_Primitive{Primitive: &core.Primitive{Value: &core.Primitive_Integer{Integer: 1}}},
	}}}}}
	for _, test := range []struct {
		name string
		call any
		want codes.Code
		says string
	}{
		{"launch", launch("f2"), codes.OK, ""},
		{"launch without a name", launch(""), codes.OK, ""},
		{"launch an inactive version", with(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = version("v2") }), codes.OK, ""},
		{"launch again", launch("f1"), codes.AlreadyExists, "value with matching already exists"},
		{"launch in no project", with(func(r *admin.ExecutionCreateRequest) { r.Project = "" }), codes.InvalidArgument, "missing project"},
		{"launch in an unknown project", with(func(r *admin.ExecutionCreateRequest) { r.Project = "none" }), codes.InvalidArgument, "[project [none] not found]"},
		{"launch in an archived project", with(func(r *admin.ExecutionCreateRequest) { r.Project = "old" }), codes.InvalidArgument, "project [old] is not active"},
		{"launch in an unknown domain", with(func(r *admin.ExecutionCreateRequest) { r.Domain = "none" }), codes.InvalidArgument, "domain [none] is unrecognized by system"},
		{"launch an unknown launch plan", with(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = version("v9") }), codes.NotFound, "missing entity of type LAUNCH_PLAN"},
		{"launch nothing", with(func(r *admin.ExecutionCreateRequest) { r.Spec = nil }), codes.InvalidArgument, "missing spec"},
		{"launch a workflow", with(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = workflowID }), codes.InvalidArgument, "Invalid reference entity"},
		{"launch with a bad name", launch("1st"), codes.InvalidArgument, "invalid name format"},
		{"launch with a long name", launch("f" + strings.Repeat("0", 63)), codes.InvalidArgument, "exceeded length 63"},
		{"launch in capitals", launch("F1"), codes.OK, ""},
		{"launch with an input that there is not", with(func(r *admin.ExecutionCreateRequest) { r.Inputs = number }), codes.InvalidArgument, "invalid input n"},
		{"launch without a required input", with(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = version("v3") }), codes.InvalidArgument, "expected_inputs at missing"},
		{"launch with an input of another type", with(func(r *admin.ExecutionCreateRequest) {
			r.Spec.LaunchPlan = version("v3")
			r.Inputs = &core.LiteralMap{Literals: map[string]*core.Literal{"at": number.GetLiterals()["n"]}}
		}), codes.InvalidArgument, "invalid at input wrong type"},
		{"launch with a label that Kubernetes refuses", with(func(r *admin.ExecutionCreateRequest) {
			r.Spec.Labels = &admin.Labels{Values: map[string]string{"a": "b c"}}
		}), codes.InvalidArgument, "invalid label value [b c]"},

		{"get", &admin.WorkflowExecutionGetRequest{Id: executionID("f1")}, codes.OK, ""},
		{"get nothing", &admin.WorkflowExecutionGetRequest{}, codes.InvalidArgument, "missing id"},
		{"get what is not there", &admin.WorkflowExecutionGetRequest{Id: executionID("f9")}, codes.NotFound, "missing entity of type execution"},
		{"terminate", &admin.ExecutionTerminateRequest{Id: executionID("f1")}, codes.OK, ""},
		{"terminate what is not there", &admin.ExecutionTerminateRequest{Id: executionID("f9")}, codes.NotFound, ""},
		{"terminate what is over", &admin.ExecutionTerminateRequest{Id: executionID("over")}, codes.FailedPrecondition, "Cannot abort an already terminated"},

		{"get a launch plan", &admin.ObjectGetRequest{Id: planID}, codes.OK, ""},
		{"get a launch plan by an id of no type", &admin.ObjectGetRequest{Id: untyped(planID)}, codes.OK, ""},
		{"get a launch plan by an id of another type", &admin.ObjectGetRequest{Id: workflowID}, codes.InvalidArgument, "unexpected resource type workflow"},
		{"get a launch plan that is not there", &admin.ObjectGetRequest{Id: version("v9")}, codes.NotFound, ""},
		{"get the active launch plan", &admin.ActiveLaunchPlanRequest{Id: &admin.NamedEntityIdentifier{Project: "sales", Domain: "production", Name: "report"}}, codes.OK, ""},
		{"get the active launch plan of none", &admin.ActiveLaunchPlanRequest{Id: &admin.NamedEntityIdentifier{Project: "sales", Domain: "production", Name: "x"}}, codes.NotFound, "No active launch plan"},
		{"activate", &admin.LaunchPlanUpdateRequest{Id: untyped(planID), State: admin.LaunchPlanState_ACTIVE}, codes.OK, ""},
		{"activate what is not there", &admin.LaunchPlanUpdateRequest{Id: version("v9"), State: admin.LaunchPlanState_ACTIVE}, codes.NotFound, ""},
		{"list active launch plans", &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1}, codes.OK, ""},
		{"list active launch plans of no domain", &admin.ActiveLaunchPlanListRequest{Project: "sales", Limit: 1}, codes.InvalidArgument, "missing domain"},
		{"list active launch plans of an unknown project", &admin.ActiveLaunchPlanListRequest{Project: "none", Domain: "production", Limit: 1}, codes.OK, ""},
		{"list active launch plans without a limit", &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production"}, codes.InvalidArgument, "invalid value for limit"},
		{"list with a bad token", &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1, Token: "x"}, codes.InvalidArgument, "invalid pagination token x for ListActiveLaunchPlans"},
		{"list with a token below 0", &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1, Token: "-1"}, codes.InvalidArgument, ""},
		{"list beyond the end", &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1, Token: "100"}, codes.OK, ""},
		{"list by an unknown key", &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 1, SortBy: &admin.Sort{Key: "x"}}, codes.InvalidArgument, "invalid sort key 'x'"},
		{"list projects without a limit", &admin.ProjectListRequest{}, codes.OK, ""},
		{"register a project again", &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "sales", Name: "Sales"}}, codes.AlreadyExists, ""},
		{"get a project that is not there", &admin.ProjectGetRequest{Id: "none"}, codes.NotFound, "project [none] not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer()
			s.AddProject("old")
			s.ArchiveProject("old")
			s.PutLaunchPlan(version("v2"), &admin.LaunchPlanSpec{WorkflowId: workflowID}, nil)
			s.PutLaunchPlan(version("v3"), &admin.LaunchPlanSpec{WorkflowId: workflowID}, takes("at", core.SimpleType_DATETIME))
			for _, name := range []string{"f1", "over"} {
				if _, err := s.CreateExecution(t.Context(), launch(name)); err != nil {
					t.Fatal(err)
				}
			}
			s.Finish(executionID("over"), core.WorkflowExecution_SUCCEEDED, nil)
			err := call(t, s, test.call)
			wantCode(t, err, test.want)
			if !strings.Contains(status.Convert(err).Message(), test.says) {
				t.Errorf("says %q, want %q in it", status.Convert(err).Message(), test.says)
			}
		})
	}
}

func untyped(id *core.Identifier) *core.Identifier {
	id = proto.CloneOf(id)
	id.ResourceType = core.ResourceType_UNSPECIFIED
	return id
}

func takes(name string, of core.SimpleType) *core.TypedInterface {
	return &core.TypedInterface{Inputs: &core.VariableMap{Variables: map[string]*core.Variable{
		name: {Type: &core.LiteralType{Type: &core.LiteralType_Simple{Simple: of}}},
	}}}
}

// call calls the method that takes the request.
func call(t *testing.T, s *flytetest.Server, req any) error {
	t.Helper()
	var err error
	ctx := t.Context()
	switch r := req.(type) {
	case *admin.ExecutionCreateRequest:
		_, err = s.CreateExecution(ctx, r)
	case *admin.WorkflowExecutionGetRequest:
		_, err = s.GetExecution(ctx, r)
	case *admin.ExecutionTerminateRequest:
		_, err = s.TerminateExecution(ctx, r)
	case *admin.ObjectGetRequest:
		_, err = s.GetLaunchPlan(ctx, r)
	case *admin.ActiveLaunchPlanRequest:
		_, err = s.GetActiveLaunchPlan(ctx, r)
	case *admin.LaunchPlanUpdateRequest:
		_, err = s.UpdateLaunchPlan(ctx, r)
	case *admin.ActiveLaunchPlanListRequest:
		_, err = s.ListActiveLaunchPlans(ctx, r)
	case *admin.ProjectListRequest:
		_, err = s.ListProjects(ctx, r)
	case *admin.ProjectRegisterRequest:
		_, err = s.RegisterProject(ctx, r)
	case *admin.ProjectGetRequest:
		_, err = s.GetProject(ctx, r)
	case *admin.TaskCreateRequest:
		_, err = s.CreateTask(ctx, r)
	case *admin.WorkflowCreateRequest:
		_, err = s.CreateWorkflow(ctx, r)
	case *admin.LaunchPlanCreateRequest:
		_, err = s.CreateLaunchPlan(ctx, r)
	default:
		t.Fatalf("no method takes a %T", req)
	}
	return err
}

func TestFiltersOfExecutions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		filters string
		want    string // Names, or a code and what it says.
	}{
		{"", "f1 f2 f3"},
		{"eq(execution_name,f2)", "f2"},
		{"value_in(execution_name,f3;f1;f9)", "f1 f3"},
		{"value_in(execution_name, f3)", "f3"},
		{"value_not_in(execution_name,f3;f1)", "f2"},
		{"contains(execution_name,1)", "f1"},
		{"not_like(execution_name,f_)", ""},
		{"eq(phase,SUCCEEDED)", "f2"},
		{"value_in(phase,QUEUED;RUNNING)", "f3"},
		{"ne(phase,SUCCEEDED)+ne(execution_name,f1)", "f3"},
		{"eq(launch_plan.name,report)", "f1 f2 f3"},
		{"eq(launch_plan.version,v2)", ""},
		{"eq(mode,1)", "f1"},
		{"gte(execution_created_at,2000-01-01T00:00:01Z)", "f2 f3"},
		{"gt(created_at,2000-01-01T00:00:01Z)", "f3"},
		{"gt(started_at,2000-01-01T00:00:00Z)", "f3"}, // f1 and f2 have none.
		{"eq(error_kind,USER)", ""},
		{"ne(error_kind,USER)", ""}, // As all are NULL.
		{"eq(state,1)", "archived"},
		{"eq(name,f2)", "InvalidArgument 'e.name' is invalid filter"},
		{"eq(x.name,f2)", "InvalidArgument 'e.x.name' is invalid filter"},
		{"eq(project.name,f2)", "InvalidArgument 'p' entity is not allowed in filters"},
		{"is(phase,RUNNING)", "InvalidArgument unrecognized filter function: is"},
		{"phase=RUNNING", "InvalidArgument invalid value for filters"},
		{"gte(created_at,2000-01-01T00:00:01+00:00)", "InvalidArgument invalid value for filters"}, // It has a +.
		{"gte(created_at,yesterday)", "Unknown failed database operation"},
		{"eq(mode,SCHEDULED)", "Unknown failed database operation"},
		{"eq(phase,QUEUED;RUNNING)", "Unknown failed database operation"},
	} {
		t.Run(test.filters, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				scheduled := launch("f1")
				scheduled.Spec = &admin.ExecutionSpec{LaunchPlan: planID, Metadata: &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_SCHEDULED}}
				for _, r := range []*admin.ExecutionCreateRequest{scheduled, launch("f2"), launch("f3"), launch("archived")} {
					if err := call(t, s, r); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				s.Finish(executionID("f2"), core.WorkflowExecution_SUCCEEDED, nil)
				s.Finish(executionID("f3"), core.WorkflowExecution_RUNNING, nil)
				_, err := s.UpdateExecution(t.Context(), &admin.ExecutionUpdateRequest{Id: executionID("archived"), State: admin.ExecutionState_EXECUTION_ARCHIVED})
				wantCode(t, err, codes.OK)

				got, err := s.ListExecutions(t.Context(), &admin.ResourceListRequest{Id: sales, Limit: 10, Filters: test.filters})
				if err != nil {
					if says := fmt.Sprint(status.Code(err), " ", status.Convert(err).Message()); test.want == "" || !strings.HasPrefix(says, test.want) {
						t.Fatalf("got %s, want %s", says, test.want)
					}
					return
				}
				var names []string
				for _, e := range got.GetExecutions() {
					names = append(names, e.GetId().GetName())
				}
				if names := strings.Join(names, " "); names != test.want {
					t.Errorf("got %q, want %q", names, test.want)
				}
			})
		})
	}
}

func TestFiltersOfLaunchPlans(t *testing.T) {
	t.Parallel()
	s := newServer()
	put := func(name string, schedule *admin.Schedule) {
		id := &core.Identifier{ResourceType: core.ResourceType_LAUNCH_PLAN, Project: "sales", Domain: "production", Name: name, Version: "v1"}
		s.PutLaunchPlan(id, &admin.LaunchPlanSpec{EntityMetadata: &admin.LaunchPlanMetadata{Schedule: schedule}}, nil)
	}
	put("cron", &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: "0 1 * * *"}}})
	put("rate", &admin.Schedule{ScheduleExpression: &admin.Schedule_Rate{Rate: &admin.FixedRate{Value: 1}}})
	put("empty", &admin.Schedule{KickoffTimeInputArg: "at"})
	for _, test := range []struct{ filters, want string }{
		{"", "cron empty rate report"},
		{"eq(state,1)", "report"},
		{"ne(schedule_type,NONE)", "cron rate"},
		{"ne(schedule_type,NONE)+eq(state,0)", "cron rate"},
		{"eq(launch_condition_type,SCHED)", "cron rate"},
		{"value_in(name,cron;empty)", "cron empty"},
		{"eq(launch_plan.name,cron)", "cron"},
	} {
		t.Run(test.filters, func(t *testing.T) {
			t.Parallel()
			got, err := s.ListLaunchPlans(t.Context(), &admin.ResourceListRequest{
				Id: sales, Limit: 10, Filters: test.filters, SortBy: &admin.Sort{Key: "name", Direction: admin.Sort_ASCENDING},
			})
			wantCode(t, err, codes.OK)
			var names []string
			for _, p := range got.GetLaunchPlans() {
				names = append(names, p.GetId().GetName())
			}
			if names := strings.Join(names, " "); names != test.want {
				t.Errorf("got %q, want %q", names, test.want)
			}
		})
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		mode  flytetest.Page
		plans int
		want  string // The pages, of three at most.
	}{
		{"full pages", flytetest.PageWell, 7, "[p0 p1 p2] [p3 p4 p5] [p6]"},
		{"the last page is full", flytetest.PageWell, 6, "[p0 p1 p2] [p3 p4 p5] []"},
		{"nothing", flytetest.PageWell, 0, "[]"},
		{"short pages", flytetest.PageShort, 3, "[p0] [p1] [p2] []"},
		{"an empty last page", flytetest.PageEmptyLast, 4, "[p0 p1 p2] [p3] []"},
		{"a repeated row", flytetest.PageRepeat, 5, "[p0 p1 p2] [p2 p3 p4]"},
		{"a bad token", flytetest.PageBadToken, 5, "[p0 p1 p2] InvalidArgument"},
		{"a lie", flytetest.PageEmpty, 5, "[]"},
		{"half of it", flytetest.PageHalf, 5, "[p0]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := flytetest.New()
			for i := range test.plans {
				id := proto.CloneOf(planID)
				id.Name = fmt.Sprint("p", i)
				s.PutLaunchPlan(id, &admin.LaunchPlanSpec{}, nil)
				s.Activate(id)
			}
			s.PageBadly(test.mode, "ListActiveLaunchPlans")
			var pages []string
			for token := ""; ; {
				got, err := s.ListActiveLaunchPlans(t.Context(), &admin.ActiveLaunchPlanListRequest{Project: "sales", Domain: "production", Limit: 3, Token: token})
				if err != nil {
					pages = append(pages, status.Code(err).String())
					break
				}
				var names []string
				for _, p := range got.GetLaunchPlans() {
					names = append(names, p.GetId().GetName())
				}
				pages = append(pages, fmt.Sprint(names))
				if token = got.GetToken(); token == "" {
					break
				}
			}
			if got := strings.Join(pages, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			all, err := s.ListLaunchPlans(t.Context(), &admin.ResourceListRequest{Id: sales, Limit: 100})
			if err != nil || len(all.GetLaunchPlans()) != test.plans {
				t.Errorf("the other list: %d, %v", len(all.GetLaunchPlans()), err)
			}
		})
	}
}

// A row that is updated while somebody counts the pages is on two of them, or on none.
func TestRowsMove(t *testing.T) {
	t.Parallel()
	s := newServer()
	for _, name := range []string{"f1", "f2", "f3", "f4"} {
		wantCode(t, call(t, s, launch(name)), codes.OK)
	}
	var names []string
	for token := ""; ; {
		got, err := s.ListExecutions(t.Context(), &admin.ResourceListRequest{Id: sales, Limit: 2, Token: token})
		wantCode(t, err, codes.OK)
		for _, e := range got.GetExecutions() {
			names = append(names, e.GetId().GetName())
		}
		s.Finish(executionID("f1"), core.WorkflowExecution_RUNNING, nil)
		if token = got.GetToken(); token == "" {
			break
		}
	}
	if want := []string{"f1", "f2", "f4", "f1"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v: f3 on no page, f1 on two", names, want)
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	s := newServer()
	for _, name := range []string{"b", "c", "a"} {
		wantCode(t, call(t, s, launch(name)), codes.OK)
	}
	s.Finish(executionID("b"), core.WorkflowExecution_RUNNING, nil)
	for _, test := range []struct {
		key  string
		desc bool
		want string
	}{
		{"execution_name", false, "a b c"},
		{"execution_name", true, "c b a"},
		{"id", true, "a c b"},
		{"started_at", false, "b c a"}, // NULL is more than any time.
		{"started_at", true, "c a b"},
	} {
		direction := admin.Sort_ASCENDING
		if test.desc {
			direction = admin.Sort_DESCENDING
		}
		got, err := s.ListExecutions(t.Context(), &admin.ResourceListRequest{Id: sales, Limit: 10, SortBy: &admin.Sort{Key: test.key, Direction: direction}})
		wantCode(t, err, codes.OK)
		var names []string
		for _, e := range got.GetExecutions() {
			names = append(names, e.GetId().GetName())
		}
		if names := strings.Join(names, " "); names != test.want {
			t.Errorf("%s %v: got %s, want %s", test.key, direction, names, test.want)
		}
	}
}

// FuzzFilters: what people write is a list or an error, and never a panic.
func FuzzFilters(f *testing.F) {
	for _, s := range []string{"eq(state,1)", "value_in(phase,A;B)+gte(created_at,x)", "not_like(execution_name,%(_)", "(,)", "+"} {
		f.Add(s)
	}
	s := newServer()
	if _, err := s.CreateExecution(f.Context(), launch("f1")); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, filters string) {
		_, err := s.ListExecutions(t.Context(), &admin.ResourceListRequest{Id: sales, Limit: 10, Filters: filters})
		switch status.Code(err) {
		case codes.OK, codes.InvalidArgument, codes.Unknown, codes.Unimplemented:
		default:
			t.Errorf("got %v", err)
		}
	})
}

func TestActivationLeavesUpdatedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer() // v1 is active.
		begun := time.Now()
		v2 := proto.CloneOf(planID)
		v2.Version = "v2"
		s.PutLaunchPlan(v2, &admin.LaunchPlanSpec{WorkflowId: workflowID}, nil)
		want := func(when string, id *core.Identifier, state admin.LaunchPlanState, updated time.Time) {
			t.Helper()
			p, err := s.GetLaunchPlan(t.Context(), &admin.ObjectGetRequest{Id: id})
			wantCode(t, err, codes.OK)
			c := p.GetClosure()
			if c.GetState() != state || !c.GetUpdatedAt().AsTime().Equal(updated) || !c.GetCreatedAt().AsTime().Equal(begun) {
				t.Errorf("%s: %s is %v, created %v, updated %v; want %v, updated %v",
					when, id.GetVersion(), c.GetState(), c.GetCreatedAt().AsTime(), c.GetUpdatedAt().AsTime(), state, updated)
			}
		}
		time.Sleep(time.Minute)
		wantCode(t, call(t, s, &admin.LaunchPlanUpdateRequest{Id: v2, State: admin.LaunchPlanState_ACTIVE}), codes.OK)
		want("v2 activated", v2, admin.LaunchPlanState_ACTIVE, begun)
		want("v2 activated", planID, admin.LaunchPlanState_INACTIVE, begun)
		time.Sleep(time.Minute)
		wantCode(t, call(t, s, &admin.LaunchPlanUpdateRequest{Id: v2, State: admin.LaunchPlanState_INACTIVE}), codes.OK)
		want("v2 deactivated", v2, admin.LaunchPlanState_INACTIVE, begun.Add(2*time.Minute))
	})
}

func TestWhatAnExecutionShows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		at := proto.CloneOf(planID)
		at.Version = "v2"
		s.PutLaunchPlan(at, &admin.LaunchPlanSpec{WorkflowId: workflowID, MaxParallelism: 7}, takes("at", core.SimpleType_DATETIME))
		slot := time.Now()
		inputs := &core.LiteralMap{Literals: map[string]*core.Literal{"at": literal.Datetime(slot)}}
		wantCode(t, call(t, s, &admin.ExecutionCreateRequest{
			Project: "sales", Domain: "production", Name: "f1", Inputs: inputs,
			Spec: &admin.ExecutionSpec{LaunchPlan: at, Metadata: &admin.ExecutionMetadata{
				Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: timestamppb.New(slot), Principal: "me",
			}},
		}), codes.OK)
		now := timestamppb.New(slot)
		want := &admin.Execution{
			Id: executionID("f1"),
			Spec: &admin.ExecutionSpec{
				LaunchPlan: at,
				Metadata: &admin.ExecutionMetadata{
					Mode: admin.ExecutionMetadata_SCHEDULED, ScheduledAt: now,
					SystemMetadata: &admin.SystemMetadata{ExecutionCluster: "flyte", Namespace: "sales-production"},
				},
				SecurityContext: &core.SecurityContext{RunAs: &core.Identity{}},
				MaxParallelism:  7,
			},
			Closure: &admin.ExecutionClosure{
				CreatedAt: now, UpdatedAt: now, WorkflowId: workflowID,
				StateChangeDetails: &admin.ExecutionStateChangeDetails{OccurredAt: now},
			},
		}
		got, err := s.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: executionID("f1")})
		wantCode(t, err, codes.OK)
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		data, err := s.GetExecutionData(t.Context(), &admin.WorkflowExecutionGetDataRequest{Id: executionID("f1")})
		wantCode(t, err, codes.OK)
		if diff := cmp.Diff(inputs, data.GetFullInputs(), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTerminateIsTwoSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.Propel(flytetest.Propeller{Queue: time.Second, Run: flytetest.For(time.Hour)})
		wantCode(t, call(t, s, launch("f1")), codes.OK)
		time.Sleep(time.Minute)
		wantCode(t, call(t, s, &admin.ExecutionTerminateRequest{Id: executionID("f1"), Cause: "enough"}), codes.OK)
		c := s.Executions()[0].GetClosure()
		if c.GetPhase() != core.WorkflowExecution_ABORTING || c.GetAbortMetadata().GetCause() != "enough" {
			t.Errorf("at once: %v, %v", c.GetPhase(), c.GetAbortMetadata())
		}
		wantCode(t, call(t, s, &admin.ExecutionTerminateRequest{Id: executionID("f1"), Cause: "again"}), codes.OK)
		time.Sleep(2 * time.Second)
		if c := s.Executions()[0].GetClosure(); c.GetPhase() != core.WorkflowExecution_ABORTED || c.GetAbortMetadata().GetCause() != "again" {
			t.Errorf("later: %v, %v", c.GetPhase(), c.GetAbortMetadata())
		}
		time.Sleep(2 * time.Hour)
		if c := s.Executions()[0].GetClosure(); c.GetPhase() != core.WorkflowExecution_ABORTED {
			t.Errorf("when it would have been over: %v", c.GetPhase())
		}
	})
}

func TestConcurrencyPolicy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		behavior admin.ConcurrencyLimitBehavior
		phase    core.WorkflowExecution_Phase
		want     codes.Code
	}{
		{"skips beside one that runs", admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP, core.WorkflowExecution_RUNNING, codes.AlreadyExists},
		{"does not see what FlytePropeller has not seen", admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP, core.WorkflowExecution_UNDEFINED, codes.OK},
		{"launches beside what is over", admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP, core.WorkflowExecution_FAILED, codes.OK},
		{"means nothing unspecified", admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_UNSPECIFIED, core.WorkflowExecution_RUNNING, codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer()
			s.PutLaunchPlan(planID, &admin.LaunchPlanSpec{ConcurrencyPolicy: &admin.ConcurrencyPolicy{Max: 1, Behavior: test.behavior}}, nil)
			wantCode(t, call(t, s, launch("f1")), codes.OK)
			s.Finish(executionID("f1"), test.phase, nil)
			wantCode(t, call(t, s, launch("f2")), test.want)
		})
	}
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	s := flytetest.New()
	s.AddProject("sales")
	taskID := &core.Identifier{ResourceType: core.ResourceType_TASK, Project: "sales", Domain: "production", Name: "fetch", Version: "v1"}
	container := func(image string) *admin.TaskCreateRequest {
		return &admin.TaskCreateRequest{Id: taskID, Spec: &admin.TaskSpec{Template: &core.TaskTemplate{
			Type: "raw-container", Metadata: &core.TaskMetadata{}, Interface: &core.TypedInterface{},
			Target: &core.TaskTemplate_Container{Container: &core.Container{Image: image, Command: []string{"true"}}},
		}}}
	}
	flow := func(node string) *admin.WorkflowCreateRequest {
		return &admin.WorkflowCreateRequest{Id: workflowID, Spec: &admin.WorkflowSpec{Template: &core.WorkflowTemplate{
			Interface: takes("at", core.SimpleType_DATETIME),
			Nodes: []*core.Node{{Id: node, Target: &core.Node_TaskNode{TaskNode: &core.TaskNode{
				Reference: &core.TaskNode_ReferenceId{ReferenceId: taskID},
			}}}},
		}}}
	}
	plan := func(cron, kickoff string) *admin.LaunchPlanCreateRequest {
		return &admin.LaunchPlanCreateRequest{Id: planID, Spec: &admin.LaunchPlanSpec{
			WorkflowId: workflowID,
			EntityMetadata: &admin.LaunchPlanMetadata{Schedule: &admin.Schedule{
				ScheduleExpression:  &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: cron}},
				KickoffTimeInputArg: kickoff,
			}},
		}}
	}
	for _, step := range []struct {
		name string
		req  any
		want codes.Code
		says string
	}{
		{"a launch plan without its workflow", plan("0 1 * * *", "at"), codes.NotFound, "missing entity of type WORKFLOW"},
		{"a workflow without its task", flow("n0"), codes.InvalidArgument, "failed to compile workflow"},
		{"a task without an image", container(""), codes.InvalidArgument, "missing image"},
		{"a task", container("alpine"), codes.OK, ""},
		{"the task again", container("alpine"), codes.AlreadyExists, "task with identical structure already exists"},
		{"another task", container("debian"), codes.InvalidArgument, "fetch task with different structure already exists"},
		{"a workflow", flow("n0"), codes.OK, ""},
		{"the workflow again", flow("n0"), codes.AlreadyExists, "workflow with identical structure already exists"},
		{"another workflow", flow("n1"), codes.InvalidArgument, "report workflow with different structure already exists"},
		{"a launch plan with an input unbound", plan("0 1 * * *", ""), codes.InvalidArgument, "[at] is required"},
		{"a kickoff argument that there is not", plan("0 1 * * *", "when"), codes.InvalidArgument, "[at] is required"},
		{"six fields", plan("0 1 * * ? *", "at"), codes.InvalidArgument, "Invalid cron expression"},
		{"a launch plan", plan("0 1 * * *", "at"), codes.OK, ""},
		{"the launch plan again", plan("0 1 * * *", "at"), codes.AlreadyExists, "launch plan with identical structure already exists"},
		{"another launch plan", plan("0 2 * * *", "at"), codes.InvalidArgument, "report launch plan with different structure already exists"},
	} {
		err := call(t, s, step.req)
		if status.Code(err) != step.want || !strings.Contains(status.Convert(err).Message(), step.says) {
			t.Fatalf("%s: got %v, want %v, %q", step.name, err, step.want, step.says)
		}
	}
	if diff := cmp.Diff(plan("0 1 * * *", "at").GetSpec(), s.Sent(planID), protocmp.Transform()); diff != "" {
		t.Errorf("the launch plan as sent: %s", diff)
	}
	if diff := cmp.Diff(container("alpine").GetSpec(), s.SentTask(taskID), protocmp.Transform()); diff != "" {
		t.Errorf("the task as sent: %s", diff)
	}
	if diff := cmp.Diff(flow("n0").GetSpec(), s.SentWorkflow(workflowID), protocmp.Transform()); diff != "" {
		t.Errorf("the workflow as sent: %s", diff)
	}
	got, err := s.GetLaunchPlan(t.Context(), &admin.ObjectGetRequest{Id: planID})
	wantCode(t, err, codes.OK)
	if p := got.GetSpec().GetDefaultInputs().GetParameters()["at"]; !p.GetRequired() {
		t.Errorf("the spec shows %v for the workflow's input, want a required parameter", p)
	}
	task, err := s.GetTask(t.Context(), &admin.ObjectGetRequest{Id: taskID})
	wantCode(t, err, codes.OK)
	if image := task.GetClosure().GetCompiledTask().GetTemplate().GetContainer().GetImage(); image != "alpine" {
		t.Errorf("the task's image is %q", image)
	}
	wf, err := s.GetWorkflow(t.Context(), &admin.ObjectGetRequest{Id: workflowID})
	wantCode(t, err, codes.OK)
	if n := len(wf.GetClosure().GetCompiledWorkflow().GetTasks()); n != 1 {
		t.Errorf("the workflow has %d tasks", n)
	}
}
