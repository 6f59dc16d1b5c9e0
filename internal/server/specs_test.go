package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	tminusv1 "tminus.dev/gen/tminus/v1"
)

// What was registered comes back as it was sent: without what was compiled, with what tminus does not know.
func TestGetSpec(t *testing.T) {
	t.Parallel()
	a := start(t)
	unknown := protowire.AppendString(protowire.AppendTag(nil, 9000, protowire.BytesType), "of a later Flyte")
	task, wf, plan := forecastTask(), reportWorkflow(), dailyPlan()
	for _, m := range []proto.Message{task.GetSpec(), wf.GetSpec(), plan.GetSpec()} {
		m.ProtoReflect().SetUnknown(unknown)
	}
	if _, err := a.CreateTask(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateWorkflow(t.Context(), wf); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateLaunchPlan(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	client := tminusv1.NewFlyteServiceClient(a.conn)
	for _, row := range []struct {
		name string
		id   *core.Identifier
		want proto.Message
		code codes.Code
	}{
		{"a task", taskID("forecast", "1"), task.GetSpec(), codes.OK},
		{"a workflow", workflowID("report", "1"), wf.GetSpec(), codes.OK},
		{"a launch plan", planID("daily", "1"), plan.GetSpec(), codes.OK},
		{"no such task", taskID("forecast", "2"), nil, codes.NotFound},
		{"no such workflow", workflowID("report", "2"), nil, codes.NotFound},
		{"no such launch plan", planID("daily", "2"), nil, codes.NotFound},
		{"nothing", nil, nil, codes.InvalidArgument},
		{"no kind", &core.Identifier{Project: project, Domain: domain, Name: "daily", Version: "1"}, nil, codes.InvalidArgument},
	} {
		answer, err := client.GetSpec(t.Context(), &tminusv1.GetSpecRequest{Id: row.id})
		if status.Code(err) != row.code {
			t.Errorf("%s: %v, want %s", row.name, err, row.code)
			continue
		}
		var got proto.Message
		switch spec := answer.GetSpec().(type) {
		case *tminusv1.GetSpecResponse_Task:
			got = spec.Task
		case *tminusv1.GetSpecResponse_Workflow:
			got = spec.Workflow
		case *tminusv1.GetSpecResponse_LaunchPlan:
			got = spec.LaunchPlan
		}
		if row.want != nil && !proto.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}
