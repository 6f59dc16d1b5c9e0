package server_test

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
)

// task, wf and plan are what the tests register, under another version and changed.
func task(change func(*admin.TaskCreateRequest)) *admin.TaskCreateRequest {
	return with(forecastTask(), func(r *admin.TaskCreateRequest) { r.Id.Version = "bad"; change(r) })
}

func wf(change func(*admin.WorkflowCreateRequest)) *admin.WorkflowCreateRequest {
	return with(reportWorkflow(), func(r *admin.WorkflowCreateRequest) { r.Id.Version = "bad"; change(r) })
}

func plan(change func(*admin.LaunchPlanSpec)) *admin.LaunchPlanCreateRequest {
	return with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) { r.Id.Version = "bad"; change(r.GetSpec()) })
}

// timed is the launch plan with another cron expression.
func timed(expression string) *admin.LaunchPlanCreateRequest {
	return plan(func(s *admin.LaunchPlanSpec) {
		s.EntityMetadata.Schedule.ScheduleExpression = cronSchedule(expression).GetScheduleExpression()
	})
}

func awsTimed(expression string) *admin.LaunchPlanCreateRequest {
	return plan(func(s *admin.LaunchPlanSpec) {
		s.EntityMetadata.Schedule.ScheduleExpression = &admin.Schedule_CronExpression{CronExpression: expression}
	})
}

func rated(value uint32, unit admin.FixedRateUnit) *admin.LaunchPlanCreateRequest {
	return plan(func(s *admin.LaunchPlanSpec) {
		s.EntityMetadata.Schedule.ScheduleExpression = &admin.Schedule_Rate{Rate: &admin.FixedRate{Value: value, Unit: unit}}
	})
}

func annotated(pairs ...string) *admin.LaunchPlanCreateRequest {
	return plan(func(s *admin.LaunchPlanSpec) {
		s.Annotations.Values = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			s.Annotations.Values[pairs[i]] = pairs[i+1]
		}
	})
}

// list asks for launch plans of the test's domain.
func list(change func(*admin.ResourceListRequest)) *admin.ResourceListRequest {
	r := &admin.ResourceListRequest{Id: &admin.NamedEntityIdentifier{Project: project, Domain: domain}}
	change(r)
	return r
}

func filtered(filters string) *admin.ResourceListRequest {
	return list(func(r *admin.ResourceListRequest) { r.Filters = filters })
}

// launch is an execution of the launch plan manual.
func launch(change func(*admin.ExecutionCreateRequest)) *admin.ExecutionCreateRequest {
	r := &admin.ExecutionCreateRequest{
		Project: project, Domain: domain,
		Spec:   &admin.ExecutionSpec{LaunchPlan: planID("daily", "1")},
		Inputs: values(map[string]*core.Literal{"at": datetime("2026-01-31T09:00:00Z")}),
	}
	change(r)
	return r
}

var megabyte = strings.Repeat("x", 1<<20)

// The methods, in a form that rows can be made of.
type (
	in  = context.Context
	opt = grpc.CallOption
)

func createTask(a *api) func(in, *admin.TaskCreateRequest, ...opt) (*admin.TaskCreateResponse, error) {
	return a.CreateTask
}

func createWorkflow(a *api) func(in, *admin.WorkflowCreateRequest, ...opt) (*admin.WorkflowCreateResponse, error) {
	return a.CreateWorkflow
}

func createPlan(a *api) func(in, *admin.LaunchPlanCreateRequest, ...opt) (*admin.LaunchPlanCreateResponse, error) {
	return a.CreateLaunchPlan
}

func updatePlan(a *api) func(in, *admin.LaunchPlanUpdateRequest, ...opt) (*admin.LaunchPlanUpdateResponse, error) {
	return a.UpdateLaunchPlan
}

func getPlan(a *api) func(in, *admin.ObjectGetRequest, ...opt) (*admin.LaunchPlan, error) {
	return a.GetLaunchPlan
}

func listPlans(a *api) func(in, *admin.ResourceListRequest, ...opt) (*admin.LaunchPlanList, error) {
	return a.ListLaunchPlans
}

func createExecution(a *api) func(in, *admin.ExecutionCreateRequest, ...opt) (*admin.ExecutionCreateResponse, error) {
	return a.CreateExecution
}

func registerProject(a *api) func(in, *admin.ProjectRegisterRequest, ...opt) (*admin.ProjectRegisterResponse, error) {
	return a.RegisterProject
}

func updateProject(a *api) func(in, *admin.Project, ...opt) (*admin.ProjectUpdateResponse, error) {
	return a.UpdateProject
}

func updateEntity(a *api) func(in, *admin.NamedEntityUpdateRequest, ...opt) (*admin.NamedEntityUpdateResponse, error) {
	return a.UpdateNamedEntity
}

func upload(a *api) func(in, *service.CreateUploadLocationRequest, ...opt) (*service.CreateUploadLocationResponse, error) {
	return a.data.CreateUploadLocation
}

func getData(a *api) func(in, *service.GetDataRequest, ...opt) (*service.GetDataResponse, error) {
	return a.data.GetData
}

func listFirings(a *api) func(in, *tminusv1.ListFiringsRequest, ...opt) (*tminusv1.ListFiringsResponse, error) {
	return a.schedules.ListFirings
}
