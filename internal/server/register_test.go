package server_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/server"
	"tminus.dev/internal/store"
)

// kinds are the three things that are registered, and how.
var kinds = []struct {
	kind   string
	create func(ctx context.Context, a *api, version string, unknown []byte) error
}{
	{"task", func(ctx context.Context, a *api, version string, unknown []byte) error {
		r := forecastTask()
		r.Id.Version = version
		r.GetSpec().GetTemplate().GetContainer().ProtoReflect().SetUnknown(unknown)
		_, err := a.CreateTask(ctx, r)
		return err
	}},
	{"workflow", func(ctx context.Context, a *api, version string, unknown []byte) error {
		r := reportWorkflow()
		r.Id.Version = version
		r.GetSpec().GetTemplate().ProtoReflect().SetUnknown(unknown)
		_, err := a.CreateWorkflow(ctx, r)
		return err
	}},
	{"launch plan", func(ctx context.Context, a *api, version string, unknown []byte) error {
		r := dailyPlan()
		r.Id.Version = version
		r.GetSpec().ProtoReflect().SetUnknown(unknown)
		_, err := a.CreateLaunchPlan(ctx, r)
		return err
	}},
}

// field is the encoding of a field that no message here has.
func field(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 9999, protowire.BytesType), text)
}

func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	for _, k := range kinds {
		t.Run(k.kind, func(t *testing.T) {
			if err := k.create(t.Context(), a, "1", nil); status.Code(err) != codes.AlreadyExists {
				t.Errorf("the same again: %v, want AlreadyExists", err)
			}
			err := k.create(t.Context(), a, "1", field("new"))
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "differs") {
				t.Errorf("with a field more: %v, want InvalidArgument that says what differs", err)
			}
		})
	}
}

// Clients register the same thing at the same time: one is first, and the others are told so.
func TestRegisterAtOnce(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	for _, k := range kinds {
		t.Run(k.kind, func(t *testing.T) {
			const clients = 8
			errs := make([]error, clients)
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() { errs[i] = k.create(t.Context(), a, "at-once", nil) })
			}
			wg.Wait()
			first := 0
			for _, err := range errs {
				switch status.Code(err) {
				case codes.OK:
					first++
				case codes.AlreadyExists:
				default:
					t.Error(err)
				}
			}
			if first != 1 {
				t.Errorf("%d clients were first", first)
			}
		})
	}
}

// What a client sends beyond what tminus knows comes back as it was.
func TestUnknownFieldsComeBack(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()

	task := forecastTask()
	template := task.GetSpec().GetTemplate()
	template.Id = taskID("forecast", "1")
	for _, m := range []proto.Message{
		template, template.GetId(), template.GetContainer(),
		template.GetInterface().GetInputs().GetVariables()["city"].GetType(),
	} {
		m.ProtoReflect().SetUnknown(field("at depth"))
	}
	if _, err := a.CreateTask(ctx, task); err != nil {
		t.Fatal(err)
	}
	gotTask, err := a.GetTask(ctx, &admin.ObjectGetRequest{Id: taskID("forecast", "1")})
	if err != nil {
		t.Fatal(err)
	}
	template.GetId().ProtoReflect().SetUnknown(nil) // The identifier is the server's to make.
	sameBytes(t, "task template", template, gotTask.GetClosure().GetCompiledTask().GetTemplate())

	if _, err := a.CreateWorkflow(ctx, reportWorkflow()); err != nil {
		t.Fatal(err)
	}
	plan := dailyPlan()
	for _, m := range []proto.Message{
		plan.GetSpec(), plan.GetSpec().GetEntityMetadata(), plan.GetSpec().GetEntityMetadata().GetSchedule(),
		plan.GetSpec().GetFixedInputs().GetLiterals()["days"].GetScalar(),
	} {
		m.ProtoReflect().SetUnknown(field("at depth"))
	}
	if _, err := a.CreateLaunchPlan(ctx, plan); err != nil {
		t.Fatal(err)
	}
	gotPlan, err := a.GetLaunchPlan(ctx, &admin.ObjectGetRequest{Id: planID("daily", "1")})
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, "launch plan spec", plan.GetSpec(), gotPlan.GetSpec())
}

func sameBytes(t *testing.T, what string, want, got proto.Message) {
	t.Helper()
	encode := func(m proto.Message) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if w, g := encode(want), encode(got); !bytes.Equal(w, g) {
		t.Errorf("%s: %d bytes came back for %d:\n%s", what, len(g), len(w), cmp.Diff(want, got, protocmp.Transform()))
	}
	found := false
	walk(got.ProtoReflect(), func(m protoreflect.Message) { found = found || len(m.GetUnknown()) > 0 })
	if !found {
		t.Errorf("%s: no unknown field came back", what)
	}
}

// walk visits m and the messages in it.
func walk(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			walk(v.Message(), visit)
		}
		return true
	})
}

// pyflyte cannot activate a launch plan unless it finds these.
func TestClosuresAreCompiled(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	ctx := t.Context()
	task, err := a.GetTask(ctx, &admin.ObjectGetRequest{Id: taskID("forecast", "1")})
	if err != nil {
		t.Fatal(err)
	}
	if got := task.GetClosure().GetCompiledTask().GetTemplate().GetInterface().GetInputs().GetVariables()["city"].GetType().GetSimple(); got != core.SimpleType_STRING {
		t.Errorf("the task's input is a %s", got)
	}
	if task.GetClosure().GetCreatedAt() == nil {
		t.Error("the task was never created")
	}
	wf, err := a.GetWorkflow(ctx, &admin.ObjectGetRequest{Id: workflowID("report", "1")})
	if err != nil {
		t.Fatal(err)
	}
	compiled := wf.GetClosure().GetCompiledWorkflow()
	if got := compiled.GetPrimary().GetTemplate().GetInterface().GetInputs().GetVariables(); len(got) != 3 {
		t.Errorf("the workflow has %d inputs", len(got))
	}
	if len(compiled.GetTasks()) != 1 {
		t.Errorf("the workflow has %d tasks", len(compiled.GetTasks()))
	}
}

// A workflow can hold one that was registered before.
func TestRegisteredSubWorkflow(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	ctx := t.Context()
	r := wf(func(r *admin.WorkflowCreateRequest) {
		r.Id = workflowID("weekly", "1")
		n := r.GetSpec().GetTemplate().GetNodes()[0]
		n.Inputs = append(n.Inputs, &core.Binding{Var: "days", Binding: promise("start-node", "days")})
		n.Target = &core.Node_WorkflowNode{WorkflowNode: &core.WorkflowNode{
			Reference: &core.WorkflowNode_SubWorkflowRef{SubWorkflowRef: workflowID("report", "1")},
		}}
	})
	if _, err := a.CreateWorkflow(ctx, r); err != nil {
		t.Fatal(err)
	}
	listed, err := a.ListWorkflows(ctx, list(func(r *admin.ResourceListRequest) { r.Id.Name = "weekly" }))
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.GetWorkflow(ctx, &admin.ObjectGetRequest{Id: workflowID("weekly", "1")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&admin.WorkflowList{Workflows: []*admin.Workflow{got}}, listed, protocmp.Transform()); diff != "" {
		t.Errorf("listed (-got +listed):\n%s", diff)
	}
	c := got.GetClosure().GetCompiledWorkflow()
	if len(c.GetSubWorkflows()) != 1 || len(c.GetTasks()) != 1 {
		t.Errorf("it holds %d workflows and %d tasks", len(c.GetSubWorkflows()), len(c.GetTasks()))
	}
	r.Id.Version = "2"
	r.GetSpec().GetTemplate().GetNodes()[0].GetWorkflowNode().GetSubWorkflowRef().Version = "9"
	_, err = a.CreateWorkflow(ctx, r)
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "weather/development/report@9 is not registered") {
		t.Errorf("a workflow that is not registered: %v", err)
	}
}

// expired stores a launch plan whose last slot has passed since, as time would have made it.
func (a *api) expired(t *testing.T) *admin.LaunchPlanCreateRequest {
	t.Helper()
	r := awsTimed("0 6 1 1 ? 2020")
	r.Id = planID("new-year", "1")
	spec, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.GetSpec())
	if err != nil {
		t.Fatal(err)
	}
	then := time.Date(2019, 12, 1, 0, 0, 0, 0, time.UTC)
	key := ident.Key{Project: project, Domain: domain}
	id, wf := ident.ID{Key: key, Version: "1"}, ident.ID{Key: key, Version: "1"}
	id.Name, wf.Name = "new-year", "report"
	if err := a.db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: wf, Spec: spec, ScheduleType: store.Cron, CreatedAt: then, UpdatedAt: then}); err != nil {
		t.Fatal(err)
	}
	return r
}

// A client that registers again is not told that its schedule is over, but that nothing changed.
func TestRegisterTwiceAfterTheLastSlot(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	if _, err := a.CreateLaunchPlan(t.Context(), a.expired(t)); status.Code(err) != codes.AlreadyExists {
		t.Errorf("%v, want AlreadyExists", err)
	}
}

func TestActivateAfterTheLastSlot(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	_, err := a.UpdateLaunchPlan(t.Context(), &admin.LaunchPlanUpdateRequest{Id: a.expired(t).GetId(), State: admin.LaunchPlanState_ACTIVE})
	want := `spec.entity_metadata.schedule.cron_expression: "0 6 1 1 ? 2020" never fires again`
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if n := a.counts(t)["active plans"]; n != 0 {
		t.Errorf("%d active launch plans", n)
	}
}

// Activating the active version again was refused once its last slot had passed.
func TestActivateAgainAfterTheLastSlot(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	expired := a.expired(t)
	timing, err := launchplan.ScheduleSpec(expired.GetSpec(), launchplan.AnyCalendar)
	if err != nil {
		t.Fatal(err)
	}
	id := ident.ID{Key: ident.Key{Project: project, Domain: domain, Name: expired.GetId().GetName()}, Version: "1"}
	then := time.Date(2019, 12, 1, 0, 0, 0, 0, time.UTC)
	if err := a.db.Activate(t.Context(), id, timing, store.Change{At: then}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a.setState(t, expired.GetId(), admin.LaunchPlanState_ACTIVE)
	}
	if diff := cmp.Diff([]string{"new-year@1"}, a.active(t)); diff != "" {
		t.Errorf("active (-want +got):\n%s", diff)
	}
}

// A schedule that will not fire says so wherever it could be thought to.
func TestSilence(t *testing.T) {
	t.Parallel()
	const reason = "nothing will fire: the scheme is noop"
	a := start(t, func(c *server.Config) { c.Silent = func() string { return reason } })
	a.register(t)
	ctx := t.Context()

	for _, row := range []struct {
		name string
		call func(header *metadata.MD) error
		want []string
	}{
		{"register a schedule", func(header *metadata.MD) error {
			r := with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) { r.Id.Version = "2" })
			_, err := a.CreateLaunchPlan(ctx, r, grpc.Header(header))
			return err
		}, []string{reason}},
		{"activate a schedule", func(header *metadata.MD) error {
			r := &admin.LaunchPlanUpdateRequest{Id: planID("daily", "2"), State: admin.LaunchPlanState_ACTIVE}
			_, err := a.UpdateLaunchPlan(ctx, r, grpc.Header(header))
			return err
		}, []string{reason}},
		{"register without a schedule", func(header *metadata.MD) error {
			r := with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) { r.Id.Name = "manual"; r.Spec.EntityMetadata = nil })
			_, err := a.CreateLaunchPlan(ctx, r, grpc.Header(header))
			return err
		}, nil},
	} {
		var header metadata.MD
		if err := row.call(&header); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, header.Get("tminus-warning")); diff != "" {
			t.Errorf("%s: tminus-warning (-want +got):\n%s", row.name, diff)
		}
	}
	if n := strings.Count(a.log.String(), `level=WARN msg="schedule will not fire"`); n != 3 {
		t.Errorf("%d warnings in the log:\n%s", n, a.log)
	}
	if code, body, _ := a.request(t, "GET", "/readyz", ""); code != 503 || !strings.Contains(body, reason) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _, _ := a.request(t, "GET", "/healthz", ""); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
	h, err := healthpb.NewHealthClient(a.conn).Check(ctx, &healthpb.HealthCheckRequest{Service: tminusv1.ScheduleService_ServiceDesc.ServiceName})
	if err != nil || h.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health of the schedules: %v %v", h, err)
	}
}

func TestErrorDetails(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	_, err := a.CreateLaunchPlan(t.Context(), timed("0 0 31 2 *"))
	want := []any{&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{
		Field:       "spec.entity_metadata.schedule.cron_schedule.schedule",
		Description: `"0 0 31 2 *" can never fire: no such date exists`,
	}}}}
	if diff := cmp.Diff(want, status.Convert(err).Details(), protocmp.Transform()); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

func TestProjects(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()
	labels := &admin.Labels{Values: map[string]string{"team": "north"}}
	if _, err := a.RegisterProject(ctx, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "sea", Description: "tides", Labels: labels}}); err != nil {
		t.Fatal(err)
	}
	domains := []*admin.Domain{{Id: "development", Name: "development"}, {Id: "staging", Name: "staging"}, {Id: "production", Name: "production"}}
	want := &admin.Project{Id: "sea", Name: "sea", Description: "tides", Labels: labels, Domains: domains}
	got, err := a.GetProject(ctx, &admin.ProjectGetRequest{Id: "sea"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("registered (-want +got):\n%s", diff)
	}

	// What clients read they send back, changed.
	want.Name, want.State = "The sea", admin.Project_ARCHIVED
	if _, err := a.UpdateProject(ctx, want); err != nil {
		t.Fatal(err)
	}
	list, err := a.ListProjects(ctx, &admin.ProjectListRequest{Filters: "eq(state,1)"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&admin.Projects{Projects: []*admin.Project{want}}, list, protocmp.Transform()); diff != "" {
		t.Errorf("updated (-want +got):\n%s", diff)
	}
	if _, err := a.GetProject(ctx, &admin.ProjectGetRequest{Id: "air"}); status.Code(err) != codes.NotFound {
		t.Errorf("a project that is not there: %v", err)
	}
	d, err := a.GetDomains(ctx, &admin.GetDomainRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(domains, d.GetDomains(), protocmp.Transform()); diff != "" {
		t.Errorf("domains (-want +got):\n%s", diff)
	}
}

func TestNamedEntities(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	ctx := t.Context()
	said := &admin.NamedEntityMetadata{Description: "the morning report", State: admin.NamedEntityState_NAMED_ENTITY_ARCHIVED}
	for _, resource := range []struct {
		kind core.ResourceType
		name string
	}{{core.ResourceType_TASK, "forecast"}, {core.ResourceType_WORKFLOW, "report"}, {core.ResourceType_LAUNCH_PLAN, "daily"}} {
		id := name(resource.name)
		if _, err := a.UpdateNamedEntity(ctx, &admin.NamedEntityUpdateRequest{ResourceType: resource.kind, Id: id, Metadata: said}); err != nil {
			t.Fatal(err)
		}
		want := &admin.NamedEntity{ResourceType: resource.kind, Id: id, Metadata: said}
		got, err := a.GetNamedEntity(ctx, &admin.NamedEntityGetRequest{ResourceType: resource.kind, Id: id})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", resource.kind, diff)
		}
		list, err := a.ListNamedEntities(ctx, &admin.NamedEntityListRequest{ResourceType: resource.kind, Project: project, Domain: domain, Filters: "eq(state,1)"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&admin.NamedEntityList{Entities: []*admin.NamedEntity{want}}, list, protocmp.Transform()); diff != "" {
			t.Errorf("list of %s (-want +got):\n%s", resource.kind, diff)
		}
	}
	request := &admin.NamedEntityIdentifierListRequest{Project: project, Domain: domain}
	for _, row := range []struct {
		list func(context.Context, *admin.NamedEntityIdentifierListRequest, ...grpc.CallOption) (*admin.NamedEntityIdentifierList, error)
		want string
	}{{a.ListTaskIds, "forecast"}, {a.ListWorkflowIds, "report"}, {a.ListLaunchPlanIds, "daily"}} {
		got, err := row.list(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]*admin.NamedEntityIdentifier{name(row.want)}, got.GetEntities(), protocmp.Transform()); diff != "" {
			t.Errorf("ids (-want +got):\n%s", diff)
		}
	}
}
