package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
)

// Whatever bytes arrive, the answer is one that clients understand: Internal
// would be the server's fault, and Unknown sends flytekit to log in.
func FuzzCreate(f *testing.F) {
	a := start(f)
	a.register(f)
	methods := []string{
		service.AdminService_CreateTask_FullMethodName,
		service.AdminService_CreateWorkflow_FullMethodName,
		service.AdminService_CreateLaunchPlan_FullMethodName,
		service.AdminService_UpdateLaunchPlan_FullMethodName,
		service.AdminService_CreateExecution_FullMethodName,
		service.AdminService_RegisterProject_FullMethodName,
		service.AdminService_ListLaunchPlans_FullMethodName,
		service.DataProxyService_CreateUploadLocation_FullMethodName,
	}
	for i, m := range []proto.Message{
		task(func(*admin.TaskCreateRequest) {}),
		wf(func(*admin.WorkflowCreateRequest) {}),
		plan(func(*admin.LaunchPlanSpec) {}),
		&admin.LaunchPlanUpdateRequest{Id: planID("daily", "1"), State: admin.LaunchPlanState_ACTIVE},
		launch(func(*admin.ExecutionCreateRequest) {}),
		&admin.ProjectRegisterRequest{Project: &admin.Project{Id: "sea", Name: "The sea"}},
		filtered("eq(state,1)+gte(updated_at,2026-01-01T00:00:00Z)"),
		&service.CreateUploadLocationRequest{Project: project, Domain: domain, Filename: "x", ContentMd5: sum("x")},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
	}
	for _, r := range []*admin.LaunchPlanCreateRequest{awsTimed("0 6 L * ? *"), rated(5, 1), annotated("tminus.dev/exclude", "* * 25 12 *")} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(2), b)
	}
	f.Add(byte(0), []byte("\xff"))
	f.Fuzz(func(t *testing.T, method byte, request []byte) {
		name := methods[int(method)%len(methods)]
		err := a.sendRaw(t.Context(), name, request)
		switch status.Code(err) {
		case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.ResourceExhausted:
		default:
			t.Errorf("%s: %v\n%s", name, err, a.log)
		}
	})
}
