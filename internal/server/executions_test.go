package server_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// launch creates an execution of the launch plan daily.
func (a *api) launch(t *testing.T, name string) *core.WorkflowExecutionIdentifier {
	t.Helper()
	x, err := a.CreateExecution(t.Context(), launch(func(r *admin.ExecutionCreateRequest) { r.Name = name }))
	if err != nil {
		t.Fatal(err)
	}
	return x.GetId()
}

// change changes a stored execution, as the runner does.
func (a *api) change(t *testing.T, name string, change func(*store.Execution)) {
	t.Helper()
	_, err := a.db.UpdateExecution(t.Context(), key(name), func(x *store.Execution) error {
		change(x)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func key(name string) ident.Key {
	return ident.Key{Project: project, Domain: domain, Name: name}
}

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCreateExecution(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	ctx := t.Context()
	created, err := a.CreateExecution(ctx, launch(func(r *admin.ExecutionCreateRequest) {
		r.Spec.Metadata = &admin.ExecutionMetadata{Principal: "ada"}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if name := created.GetId().GetName(); !regexp.MustCompile(`^[a-z][a-z0-9]{19}$`).MatchString(name) {
		t.Errorf("the name is %q", name)
	}
	if a.runner.woken() != 1 {
		t.Errorf("the runner was woken %d times", a.runner.woken())
	}
	got, err := a.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: created.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	want := &admin.Execution{
		Id: created.GetId(),
		Spec: &admin.ExecutionSpec{
			LaunchPlan:  planID("daily", "1"),
			Metadata:    &admin.ExecutionMetadata{Principal: "ada"},
			Annotations: dailyPlan().GetSpec().GetAnnotations(),
		},
		Closure: &admin.ExecutionClosure{
			Phase: core.WorkflowExecution_QUEUED, WorkflowId: workflowID("report", "1"),
			CreatedAt: got.GetClosure().GetCreatedAt(), UpdatedAt: got.GetClosure().GetCreatedAt(),
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("execution (-want +got):\n%s", diff)
	}
	data, err := a.GetExecutionData(ctx, &admin.WorkflowExecutionGetDataRequest{Id: created.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	inputs := values(map[string]*core.Literal{"at": datetime("2026-01-31T09:00:00Z"), "city": text("Oslo"), "days": number(3)})
	if diff := cmp.Diff(inputs, data.GetFullInputs(), protocmp.Transform()); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}

	// flytekit reads the execution that it is told exists.
	a.launch(t, "again")
	_, err = a.CreateExecution(ctx, launch(func(r *admin.ExecutionCreateRequest) { r.Name = "again" }))
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("a name that is taken: %v", err)
	}
}

// Without a version it is the active one that is launched.
func TestCreateExecutionOfTheActiveVersion(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.versions(t, "2")
	a.setState(t, planID("daily", "2"), admin.LaunchPlanState_ACTIVE)
	x, err := a.CreateExecution(t.Context(), launch(func(r *admin.ExecutionCreateRequest) {
		r.Spec.LaunchPlan = with(planID("daily", ""), func(id *core.Identifier) { id.ResourceType = core.ResourceType_UNSPECIFIED })
		r.Spec.Inputs, r.Inputs = r.GetInputs(), nil // Where older clients put them.
	}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: x.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(planID("daily", "2"), got.GetSpec().GetLaunchPlan(), protocmp.Transform()); diff != "" {
		t.Errorf("launch plan (-want +got):\n%s", diff)
	}
}

func TestCreateExecutionOfATask(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	inputs := values(map[string]*core.Literal{"at": datetime("2026-01-31T09:00:00Z"), "city": text("Bergen")})
	x, err := a.CreateExecution(t.Context(), launch(func(r *admin.ExecutionCreateRequest) {
		r.Name, r.Inputs, r.Spec.LaunchPlan = "single", inputs, taskID("forecast", "1")
	}))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := a.db.Execution(t.Context(), key("single"))
	if err != nil {
		t.Fatal(err)
	}
	if kept.Kind != store.Task || kept.LaunchPlan.Name != "forecast" || kept.Workflow != (ident.ID{}) {
		t.Errorf("stored as %+v", kept)
	}
	got, err := a.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: x.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(taskID("forecast", "1"), got.GetSpec().GetLaunchPlan(), protocmp.Transform()); diff != "" {
		t.Errorf("what was launched (-want +got):\n%s", diff)
	}
}

func TestExecutionClosures(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	begin := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	outputs := values(map[string]*core.Literal{"report": text("rain")})
	failure := &core.ExecutionError{Code: "USER", Message: "no umbrella"}
	for _, row := range []struct {
		name   string
		change func(*store.Execution)
		want   *admin.ExecutionClosure
	}{
		{"running", func(x *store.Execution) {
			x.Phase, x.StartedAt = store.Running, begin
		}, &admin.ExecutionClosure{Phase: core.WorkflowExecution_RUNNING, Duration: durationpb.New(time.Hour)}},
		{"succeeded", func(x *store.Execution) {
			x.Phase, x.StartedAt, x.EndedAt, x.Outputs = store.Succeeded, begin, begin.Add(time.Minute), encode(t, outputs)
		}, &admin.ExecutionClosure{
			Phase: core.WorkflowExecution_SUCCEEDED, Duration: durationpb.New(time.Minute),
			// flytekit 1.16 fails on literals in this place.
			OutputResult: &admin.ExecutionClosure_Outputs{Outputs: &admin.LiteralMapBlob{Data: &admin.LiteralMapBlob_Uri{
				Uri: a.url + "/api/v1/data/executions/weather/development/succeeded",
			}}},
		}},
		{"failed", func(x *store.Execution) {
			x.Phase, x.StartedAt, x.EndedAt, x.Error = store.Failed, begin, begin.Add(time.Second), encode(t, failure)
		}, &admin.ExecutionClosure{
			Phase: core.WorkflowExecution_FAILED, Duration: durationpb.New(time.Second),
			OutputResult: &admin.ExecutionClosure_Error{Error: failure},
		}},
		{"aborted", func(x *store.Execution) {
			x.Phase, x.StartedAt, x.EndedAt, x.AbortCause, x.AbortedBy = store.Aborted, begin, begin, "sunshine", "ada"
		}, &admin.ExecutionClosure{
			Phase: core.WorkflowExecution_ABORTED, Duration: durationpb.New(0),
			OutputResult: &admin.ExecutionClosure_AbortMetadata{AbortMetadata: &admin.AbortMetadata{Cause: "sunshine", Principal: "ada"}},
		}},
		{"timed-out", func(x *store.Execution) {
			x.Phase, x.StartedAt, x.EndedAt, x.Error = store.TimedOut, begin, begin, encode(t, failure)
		}, &admin.ExecutionClosure{
			Phase: core.WorkflowExecution_TIMED_OUT, Duration: durationpb.New(0),
			OutputResult: &admin.ExecutionClosure_Error{Error: failure},
		}},
	} {
		id := a.launch(t, row.name)
		a.change(t, row.name, func(x *store.Execution) {
			x.CreatedAt, x.UpdatedAt = begin, begin.Add(time.Hour)
			row.change(x)
		})
		got, err := a.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: id})
		if err != nil {
			t.Fatal(err)
		}
		row.want.StartedAt, row.want.UpdatedAt = timestamppb.New(begin), timestamppb.New(begin.Add(time.Hour))
		row.want.CreatedAt, row.want.WorkflowId = got.GetClosure().GetCreatedAt(), workflowID("report", "1")
		if diff := cmp.Diff(row.want, got.GetClosure(), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
		if uri := got.GetClosure().GetOutputs().GetUri(); uri != "" {
			if code, body, _ := a.request(t, "GET", uri, ""); code != 200 || lookup(t, body, "full_outputs.literals.report.scalar.primitive.string_value") != "rain" {
				t.Errorf("%s: %d %s", uri, code, body)
			}
		}
	}
}

func TestTerminateExecution(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	id := a.launch(t, "one")
	if _, err := a.TerminateExecution(t.Context(), &admin.ExecutionTerminateRequest{Id: id, Cause: "sunshine"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"weather/development/one|sunshine|"}, a.runner.ended()); diff != "" {
		t.Errorf("the runner was told (-want +got):\n%s", diff)
	}
	_, err := a.TerminateExecution(t.Context(), &admin.ExecutionTerminateRequest{Id: executionID("two")})
	if status.Code(err) != codes.NotFound {
		t.Errorf("what never ran: %v", err)
	}
	a.runner.fail = errors.New("secret detail")
	_, err = a.TerminateExecution(t.Context(), &admin.ExecutionTerminateRequest{Id: id})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("a runner that fails: %v", err)
	}
	reference := regexp.MustCompile(`reference (\w+)`).FindStringSubmatch(err.Error())
	if reference == nil || !strings.Contains(a.log.String(), reference[1]) || !strings.Contains(a.log.String(), "secret detail") {
		t.Errorf("the log does not explain %v:\n%s", err, a.log)
	}
}

func TestRelaunchExecution(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	id := a.launch(t, "first")
	a.change(t, "first", func(x *store.Execution) {
		x.Phase, x.Outputs, x.Mode, x.Slot = store.Succeeded, encode(t, values(nil)), 1, time.Now()
	})
	again, err := a.RelaunchExecution(t.Context(), &admin.ExecutionRelaunchRequest{Id: id, Name: "second", OverwriteCache: true})
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.db.Execution(t.Context(), key("first"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.db.Execution(t.Context(), key("second"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Inputs, second.Inputs); diff != "" {
		t.Errorf("inputs (-first +second):\n%s", diff)
	}
	if second.Phase != store.Queued || !second.Slot.IsZero() || len(second.Outputs) > 0 || second.Workflow != first.Workflow || second.LaunchPlan != first.LaunchPlan {
		t.Errorf("relaunched as %+v", second)
	}
	got, err := a.GetExecution(t.Context(), &admin.WorkflowExecutionGetRequest{Id: again.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	want := &admin.ExecutionMetadata{Mode: admin.ExecutionMetadata_RELAUNCH, ReferenceExecution: id}
	if diff := cmp.Diff(want, got.GetSpec().GetMetadata(), protocmp.Transform()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if !got.GetSpec().GetOverwriteCache() {
		t.Error("overwrite_cache was not taken over")
	}
	if a.runner.woken() != 2 {
		t.Errorf("the runner was woken %d times", a.runner.woken())
	}
}

// run stores what a runner would of an execution: a task that was tried twice, beside a sub-workflow.
func (a *api) run(t *testing.T, name string) {
	t.Helper()
	a.launch(t, name)
	key, ctx := key(name), t.Context()
	begin := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	inputs, outputs := encode(t, values(map[string]*core.Literal{"city": text("Oslo")})), encode(t, values(map[string]*core.Literal{"report": text("rain")}))
	task := ident.ID{Key: ident.Key{Project: project, Domain: domain, Name: "forecast"}, Version: "1"}
	for _, n := range []store.NodeExecution{
		{Node: "n0", SpecNode: "n0", Phase: store.Succeeded, Inputs: inputs, Outputs: outputs, StartedAt: begin, EndedAt: begin.Add(time.Minute)},
		{Node: "n1", SpecNode: "n1", Phase: store.Running, IsGroup: true, StartedAt: begin},
		{Node: "n1-0-n0", SpecNode: "n0", Parent: "n1", Phase: store.Failed, Error: encode(t, &core.ExecutionError{Code: "USER", Message: "no umbrella"})},
	} {
		n.Execution, n.CreatedAt, n.UpdatedAt = key, begin, begin.Add(time.Minute)
		if err := a.db.PutNode(ctx, "", n); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []store.TaskExecution{
		{Attempt: 0, Phase: store.Retryable, Reason: "exit status 1", Error: encode(t, &core.ExecutionError{Code: "USER", Message: "no umbrella"})},
		{Attempt: 1, Phase: store.Succeeded, Outputs: outputs},
	} {
		x.Execution, x.Node, x.Task, x.TaskType, x.Inputs = key, "n0", task, "raw-container", inputs
		x.Dir = "runs/" + name + "/n0/" + string(rune('0'+x.Attempt))
		x.CreatedAt, x.UpdatedAt, x.StartedAt = begin, begin.Add(time.Minute), begin
		if err := a.db.PutTask(ctx, "", x); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNodesAndAttempts(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.register(t)
	a.run(t, "one")
	ctx, id := t.Context(), executionID("one")
	nodeID := func(node string) *core.NodeExecutionIdentifier {
		return &core.NodeExecutionIdentifier{ExecutionId: id, NodeId: node}
	}

	for _, row := range []struct {
		parent string
		want   string
	}{{"", "n0 n1"}, {"n1", "n1-0-n0"}, {"n0", ""}} {
		list, err := a.ListNodeExecutions(ctx, &admin.NodeExecutionListRequest{
			WorkflowExecutionId: id, UniqueParentId: row.parent, SortBy: &admin.Sort{Key: "node_id", Direction: admin.Sort_ASCENDING},
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range list.GetNodeExecutions() {
			got = append(got, n.GetId().GetNodeId())
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("nodes beneath %q: %v, want %s", row.parent, got, row.want)
		}
	}
	n, err := a.GetNodeExecution(ctx, &admin.NodeExecutionGetRequest{Id: nodeID("n1")})
	if err != nil {
		t.Fatal(err)
	}
	if !n.GetMetadata().GetIsParentNode() || n.GetClosure().GetPhase() != core.NodeExecution_RUNNING {
		t.Errorf("node n1: %v", n)
	}
	n, err = a.GetNodeExecution(ctx, &admin.NodeExecutionGetRequest{Id: nodeID("n1-0-n0")})
	if err != nil {
		t.Fatal(err)
	}
	if n.GetClosure().GetPhase() != core.NodeExecution_FAILED || n.GetClosure().GetError().GetMessage() != "no umbrella" || n.GetMetadata().GetSpecNodeId() != "n0" {
		t.Errorf("node n1-0-n0: %v", n)
	}
	deck := &service.CreateDownloadLinkRequest{
		ArtifactType: service.ArtifactType_ARTIFACT_TYPE_DECK, Source: &service.CreateDownloadLinkRequest_NodeExecutionId{NodeExecutionId: nodeID("n0")},
	}
	if _, err := a.data.CreateDownloadLink(ctx, deck); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "deck") {
		t.Errorf("a deck: %v", err)
	}
	data, err := a.GetNodeExecutionData(ctx, &admin.NodeExecutionGetDataRequest{Id: nodeID("n0")})
	if err != nil {
		t.Fatal(err)
	}
	wantOutputs := values(map[string]*core.Literal{"report": text("rain")})
	if diff := cmp.Diff(wantOutputs, data.GetFullOutputs(), protocmp.Transform()); diff != "" {
		t.Errorf("outputs of n0 (-want +got):\n%s", diff)
	}

	attempts, err := a.ListTaskExecutions(ctx, &admin.TaskExecutionListRequest{
		NodeExecutionId: nodeID("n0"), SortBy: &admin.Sort{Key: "retry_attempt", Direction: admin.Sort_ASCENDING},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(attempts.GetTaskExecutions()) != 2 {
		t.Fatalf("%d attempts", len(attempts.GetTaskExecutions()))
	}
	first := attempts.GetTaskExecutions()[0]
	c := first.GetClosure()
	if c.GetPhase() != core.TaskExecution_RETRYABLE_FAILED || c.GetReason() != "exit status 1" || c.GetError().GetMessage() != "no umbrella" || len(c.GetLogs()) != 2 {
		t.Errorf("the first attempt: %v", first)
	}
	second := attempts.GetTaskExecutions()[1].GetId()
	if _, err := a.GetTaskExecution(ctx, &admin.TaskExecutionGetRequest{Id: second}); err != nil {
		t.Error(err)
	}
	tdata, err := a.GetTaskExecutionData(ctx, &admin.TaskExecutionGetDataRequest{Id: second})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantOutputs, tdata.GetFullOutputs(), protocmp.Transform()); diff != "" {
		t.Errorf("outputs of the second attempt (-want +got):\n%s", diff)
	}
	if list, err := a.ListNodeExecutionsForTask(ctx, &admin.NodeExecutionForTaskListRequest{TaskExecutionId: second}); err != nil || len(list.GetNodeExecutions()) != 0 {
		t.Errorf("nodes that the task spawned: %v %v", list, err)
	}
	other := with(second, func(id *core.TaskExecutionIdentifier) { id.TaskId.Name = "other" })
	if _, err := a.GetTaskExecution(ctx, &admin.TaskExecutionGetRequest{Id: other}); status.Code(err) != codes.NotFound {
		t.Errorf("an attempt of another task: %v", err)
	}

	// The addresses lead to the data.
	for address, want := range map[string]proto.Message{
		data.GetFlyteUrls().GetInputs():              values(map[string]*core.Literal{"city": text("Oslo")}),
		data.GetFlyteUrls().GetOutputs():             wantOutputs,
		tdata.GetFlyteUrls().GetOutputs():            wantOutputs,
		data.GetFlyteUrls().GetOutputs() + "/report": text("rain"),
	} {
		got, err := a.data.GetData(ctx, &service.GetDataRequest{FlyteUrl: address})
		if err != nil {
			t.Fatal(err)
		}
		var m proto.Message = got.GetLiteralMap()
		if got.GetLiteral() != nil {
			m = got.GetLiteral()
		}
		if diff := cmp.Diff(want, m, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", address, diff)
		}
	}
	for _, address := range []string{data.GetFlyteUrls().GetOutputs() + "/snow", "flyte://v1/weather/development/one/n9/i", "flyte://v1/weather/development/one/n0/d"} {
		if _, err := a.data.GetData(ctx, &service.GetDataRequest{FlyteUrl: address}); status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What is not there says so in a sentence, with the code that clients know.
func TestUnimplemented(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"recover": func() error {
			_, err := a.RecoverExecution(ctx, &admin.ExecutionRecoverRequest{Id: executionID("one")})
			return err
		},
		"dynamic node": func() error {
			_, err := a.GetDynamicNodeWorkflow(ctx, &admin.GetDynamicNodeWorkflowRequest{})
			return err
		},
		"public client": func() error {
			_, err := a.auth.GetPublicClientConfig(ctx, &service.PublicClientAuthConfigRequest{})
			return err
		},
		"oauth2": func() error {
			_, err := a.auth.GetOAuth2Metadata(ctx, &service.OAuth2MetadataRequest{})
			return err
		},
		"another method":  func() error { return a.sendRaw(ctx, "/flyteidl.service.AdminService/ListMatchableAttributes", nil) },
		"another service": func() error { return a.sendRaw(ctx, "/flyteidl.service.SignalService/SetSignal", nil) },
	} {
		err := call()
		if status.Code(err) != codes.Unimplemented || len(status.Convert(err).Message()) < 40 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.identity.UserInfo(ctx, &service.UserInfoRequest{}); err != nil {
		t.Errorf("UserInfo: %v", err)
	}
}
