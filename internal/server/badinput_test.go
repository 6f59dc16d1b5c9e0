package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/gen/flyteidl/service"
	tminusv1 "tminus.dev/gen/tminus/v1"
)

// raw sends and takes bytes as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	return nil, errors.ErrUnsupported
}

func (raw) Unmarshal(b []byte, v any) error {
	if to, ok := v.(*[]byte); ok {
		*to = b
		return nil
	}
	return errors.ErrUnsupported
}

func (raw) Name() string { return "proto" }

func (a *api) sendRaw(ctx context.Context, method string, request []byte) error {
	var answer []byte
	return a.conn.Invoke(ctx, method, request, &answer, grpc.ForceCodec(raw{}))
}

// badInput is something a client should not send, and what it is told.
type badInput struct {
	name string
	call func(ctx context.Context, a *api) error
	code codes.Code
	want string // part of the message, most often the field
}

// refused makes a row for a call that is InvalidArgument.
func refused[Q, R any](name string, method func(*api) func(context.Context, Q, ...grpc.CallOption) (R, error), request Q, want string) badInput {
	return refusedWith(codes.InvalidArgument, name, method, request, want)
}

func refusedWith[Q, R any](code codes.Code, name string, method func(*api) func(context.Context, Q, ...grpc.CallOption) (R, error), request Q, want string) badInput {
	return badInput{name, func(ctx context.Context, a *api) error {
		_, err := method(a)(ctx, request)
		return err
	}, code, want}
}

func badInputs() []badInput {
	rows := []badInput{
		{"a message that is no protobuf", func(ctx context.Context, a *api) error {
			return a.sendRaw(ctx, service.AdminService_CreateTask_FullMethodName, []byte("\x0a\xff\xff"))
		}, codes.InvalidArgument, "request"},
		{"a name that is no UTF-8", func(ctx context.Context, a *api) error {
			return a.sendRaw(ctx, service.AdminService_CreateTask_FullMethodName, []byte("\x0a\x04\x22\x02\xff\xfe"))
		}, codes.InvalidArgument, "UTF-8"},
		{"a request for logs that is no protobuf", func(ctx context.Context, a *api) error {
			stream, err := a.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, tminusv1.LogService_ReadLogs_FullMethodName, grpc.ForceCodec(raw{}))
			if err != nil {
				return err
			}
			if err := stream.SendMsg([]byte("\x0a\xff")); err != nil {
				return err
			}
			var answer []byte
			return stream.RecvMsg(&answer)
		}, codes.InvalidArgument, "request"},
		refusedWith(codes.ResourceExhausted, "a message of 17 MiB", createTask, task(func(r *admin.TaskCreateRequest) {
			r.Spec.Template.GetContainer().Args = []string{strings.Repeat("x", 17<<20)}
		}), "larger than max"),

		// Tasks, and identifiers.
		refused("no id", createTask, task(func(r *admin.TaskCreateRequest) { r.Id = nil }), "id: is missing"),
		refused("a task called a workflow", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.ResourceType = core.ResourceType_WORKFLOW }), "id.resource_type"),
		refused("an empty project", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Project = "" }), "id.project"),
		refused("an empty name", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Name = "" }), "id.name"),
		refused("an empty version", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Version = "" }), "id.version"),
		refused("a slash in a name", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Name = "a/b" }), "id.name"),
		refused("a slash in a version", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Version = "a/b" }), "id.version"),
		refused("a name of a megabyte", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Name = megabyte }), "id.name"),
		refused("a version of a megabyte", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Version = megabyte }), "id.version"),
		refused("a control character in a name", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Name = "a\x00b" }), "id.name"),
		refused("a line break in a name", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Name = "a\nb" }), "id.name"),
		refused("a name of two dots", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Name = ".." }), "id.name"),
		refused("an organization", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Org = "acme" }), "id.org"),
		refusedWith(codes.NotFound, "an unknown project", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Project = "nobody" }), `id.project: project "nobody"`),
		refusedWith(codes.NotFound, "an unknown domain", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Domain = "moon" }), "development, staging, production"),
		refused("an archived project", createTask, task(func(r *admin.TaskCreateRequest) { r.Id.Project = "old" }), "id.project"),
		refused("no template", createTask, task(func(r *admin.TaskCreateRequest) { r.Spec.Template = nil }), "spec.template"),
		refused("no spec", createTask, task(func(r *admin.TaskCreateRequest) { r.Spec = nil }), "spec.template"),
		refused("a template of another name", createTask, task(func(r *admin.TaskCreateRequest) { r.Spec.Template.Id = taskID("other", "1") }), "spec.template.id"),
		refused("no task type", createTask, task(func(r *admin.TaskCreateRequest) { r.Spec.Template.Type = "" }), "spec.template.type"),
		refused("nothing to run", createTask, task(func(r *admin.TaskCreateRequest) {
			r.Spec.Template.GetContainer().Command, r.Spec.Template.GetContainer().Args = nil, nil
		}), "spec.template.container.command"),
		refused("a negative timeout", createTask, task(func(r *admin.TaskCreateRequest) {
			r.Spec.Template.Metadata = &core.TaskMetadata{Timeout: durationpb.New(-1)}
		}), "spec.template.metadata.timeout"),
		refused("an input without a type", createTask, task(func(r *admin.TaskCreateRequest) {
			r.Spec.Template.Interface.Inputs.Variables["city"].Type = nil
		}), "spec.template.interface.inputs"),
		refused("another task under the same version", createTask, with(forecastTask(), func(r *admin.TaskCreateRequest) {
			r.Spec.Template.GetContainer().Image = "python:4"
		}), "template.container.image"),

		// Workflows.
		refused("a workflow without a template", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) { r.Spec.Template = nil }), "spec.template"),
		refused("a workflow called a task", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) { r.Id.ResourceType = core.ResourceType_TASK }), "id.resource_type"),
		refused("a cycle", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			second := with(r.Spec.Template.Nodes[0], func(n *core.Node) { n.Id = "n1"; n.UpstreamNodeIds = []string{"n0"} })
			r.Spec.Template.Nodes[0].UpstreamNodeIds = []string{"n1"}
			r.Spec.Template.Nodes = append(r.Spec.Template.Nodes, second)
		}), "spec.template.nodes"),
		refused("a binding to a node that is not there", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Nodes[0].Inputs[1].Binding = promise("n9", "city")
		}), "spec.template.nodes[n0].inputs[city]"),
		refused("a binding to an output that is not there", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Outputs[0].Binding = promise("n0", "forecast")
		}), "spec.template.outputs[report]"),
		refused("a binding of the wrong type", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Nodes[0].Inputs[1].Binding = promise("start-node", "days")
		}), "spec.template.nodes[n0].inputs[city]"),
		refused("an input that nothing is bound to", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Nodes[0].Inputs = r.Spec.Template.Nodes[0].Inputs[:1]
		}), "spec.template.nodes[n0]"),
		refused("a workflow's output that nothing is bound to", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Outputs = nil
		}), "spec.template.outputs"),
		refused("a task that is not registered", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Nodes[0].GetTaskNode().GetReferenceId().Version = "2"
		}), "spec.template.nodes[n0]"),
		refused("two nodes of one id", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Nodes = append(r.Spec.Template.Nodes, r.Spec.Template.Nodes[0])
		}), "spec.template.nodes"),
		refused("a node of a kind that does not run here", createWorkflow, wf(func(r *admin.WorkflowCreateRequest) {
			r.Spec.Template.Nodes[0].Target = &core.Node_GateNode{GateNode: &core.GateNode{}}
		}), "spec.template.nodes[n0]"),

		// Launch plans.
		refused("a launch plan without a spec", createPlan, &admin.LaunchPlanCreateRequest{Id: planID("daily", "bad")}, "spec"),
		refused("no workflow", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.WorkflowId = nil }), "spec.workflow_id"),
		refused("a task for a workflow", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.WorkflowId = taskID("forecast", "1") }), "spec.workflow_id.resource_type"),
		refusedWith(codes.NotFound, "a workflow that is not registered", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.WorkflowId.Version = "2" }), "spec.workflow_id"),
		refused("an AWS minute of 61", createPlan, awsTimed("61 * * * ? *"), "spec.entity_metadata.schedule.cron_expression"),
		refused("an AWS expression with two stars for days", createPlan, awsTimed("0 6 * * * *"), "spec.entity_metadata.schedule.cron_expression"),
		refused("an AWS expression in the past", createPlan, awsTimed("0 6 1 1 ? 2020"), "spec.entity_metadata.schedule.cron_expression"),
		refused("an AWS rate in the wrong plural", createPlan, awsTimed("rate(1 minutes)"), "spec.entity_metadata.schedule.cron_expression"),
		refused("a date that does not exist", createPlan, timed("0 0 31 2 *"), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("four fields", createPlan, timed("* * * *"), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("words", createPlan, timed("every morning"), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("an interval of a second", createPlan, timed("@every 1s"), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("a zone without an expression", createPlan, timed("CRON_TZ=UTC"), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("an unknown zone in an expression", createPlan, timed("CRON_TZ=Mars/Olympus 0 6 * * *"), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("an expression of a megabyte", createPlan, timed(megabyte), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("an empty expression", createPlan, timed(""), "spec.entity_metadata.schedule.cron_schedule.schedule"),
		refused("an offset", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.EntityMetadata.Schedule.GetCronSchedule().Offset = "PT1H" }), "cron_schedule.offset"),
		refused("a rate of nothing", createPlan, rated(0, admin.FixedRateUnit_HOUR), "spec.entity_metadata.schedule.rate.value"),
		refused("a rate of millions of years", createPlan, rated(1<<32-1, admin.FixedRateUnit_DAY), "spec.entity_metadata.schedule.rate.value"),
		refused("a rate in an unknown unit", createPlan, rated(1, 9), "spec.entity_metadata.schedule.rate.unit"),
		refused("a kickoff input that is not there", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.EntityMetadata.Schedule.KickoffTimeInputArg = "when" }), "kickoff_time_input_arg"),
		refused("a kickoff input that is no datetime", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.EntityMetadata.Schedule.KickoffTimeInputArg = "city" }), "kickoff_time_input_arg"),
		refused("a kickoff input that is fixed", createPlan, plan(func(s *admin.LaunchPlanSpec) {
			s.FixedInputs.Literals["at"] = datetime("2026-01-31T09:00:00Z")
		}), "kickoff_time_input_arg"),
		refused("an input that a schedule leaves open", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.DefaultInputs = nil }), "city"),
		refused("a default for an input that is not there", createPlan, plan(func(s *admin.LaunchPlanSpec) {
			s.DefaultInputs.Parameters["town"] = s.GetDefaultInputs().GetParameters()["city"]
		}), "spec.default_inputs.parameters[town]"),
		refused("a default of the wrong type", createPlan, plan(func(s *admin.LaunchPlanSpec) {
			s.DefaultInputs.Parameters["city"].Behavior = &core.Parameter_Default{Default: number(7)}
		}), "spec.default_inputs.parameters[city]"),
		refused("a fixed input of the wrong type", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.FixedInputs.Literals["days"] = text("three") }), "spec.fixed_inputs.literals[days]"),
		refused("a fixed input that is not there", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.FixedInputs.Literals["weeks"] = number(1) }), "spec.fixed_inputs.literals[weeks]"),
		refused("launch conditions", createPlan, plan(func(s *admin.LaunchPlanSpec) {
			s.EntityMetadata.LaunchConditions = &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Empty"}
		}), "spec.entity_metadata.launch_conditions"),
		refused("a concurrency policy without a limit", createPlan, plan(func(s *admin.LaunchPlanSpec) {
			s.ConcurrencyPolicy = &admin.ConcurrencyPolicy{Behavior: admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP}
		}), "spec.concurrency_policy.max"),
		refused("an unknown concurrency behavior", createPlan, plan(func(s *admin.LaunchPlanSpec) {
			s.ConcurrencyPolicy = &admin.ConcurrencyPolicy{Max: 1, Behavior: 9}
		}), "spec.concurrency_policy.behavior"),
		refused("a negative parallelism", createPlan, plan(func(s *admin.LaunchPlanSpec) { s.MaxParallelism = -1 }), "spec.max_parallelism"),
		refused("another launch plan under the same version", createPlan, with(dailyPlan(), func(r *admin.LaunchPlanCreateRequest) {
			r.Spec.EntityMetadata.Schedule.GetCronSchedule().Schedule = "0 7 * * *"
		}), `entity_metadata.schedule.cron_schedule.schedule`),

		// Activation.
		refused("activating without a version", updatePlan, &admin.LaunchPlanUpdateRequest{Id: planID("daily", ""), State: admin.LaunchPlanState_ACTIVE}, "id.version"),
		refused("activating a workflow", updatePlan, &admin.LaunchPlanUpdateRequest{Id: workflowID("report", "1"), State: admin.LaunchPlanState_ACTIVE}, "id.resource_type"),
		refused("activating nothing", updatePlan, &admin.LaunchPlanUpdateRequest{State: admin.LaunchPlanState_ACTIVE}, "id: is missing"),
		refused("an unknown state", updatePlan, &admin.LaunchPlanUpdateRequest{Id: planID("daily", "1"), State: 7}, "state: is 7; use one of INACTIVE, ACTIVE"),
		refusedWith(codes.NotFound, "activating what is not registered", updatePlan, &admin.LaunchPlanUpdateRequest{Id: planID("daily", "9"), State: admin.LaunchPlanState_ACTIVE}, "launch plan weather/development/daily@9"),

		// Reading.
		refused("getting without a version", getPlan, &admin.ObjectGetRequest{Id: planID("daily", "")}, "id.version"),
		refused("getting a task as a launch plan", getPlan, &admin.ObjectGetRequest{Id: taskID("daily", "1")}, "id.resource_type"),
		refusedWith(codes.NotFound, "getting what is not registered", getPlan, &admin.ObjectGetRequest{Id: planID("weekly", "1")}, "weekly@1"),
		refused("listing nowhere", listPlans, &admin.ResourceListRequest{}, "id: is missing"),
		refused("listing without a domain", listPlans, list(func(r *admin.ResourceListRequest) { r.Id.Domain = "" }), "id.domain"),
		refusedWith(codes.NotFound, "listing an unknown project", listPlans, list(func(r *admin.ResourceListRequest) { r.Id.Project = "nobody" }), "id.project"),
		refused("a huge limit", listPlans, list(func(r *admin.ResourceListRequest) { r.Limit = 1<<32 - 1 }), "limit"),
		refused("a limit over the most", listPlans, list(func(r *admin.ResourceListRequest) { r.Limit = 1001 }), "limit: is 1001; 1000 is the most"),
		refused("a token of letters", listPlans, list(func(r *admin.ResourceListRequest) { r.Token = "abc" }), "token"),
		refused("a negative token", listPlans, list(func(r *admin.ResourceListRequest) { r.Token = "-1" }), "token"),
		refused("a token beyond every list", listPlans, list(func(r *admin.ResourceListRequest) { r.Token = "99999999999999999999" }), "token"),
		refused("an unknown sort key", listPlans, list(func(r *admin.ResourceListRequest) { r.SortBy = &admin.Sort{Key: "colour"} }), `sort_by.key: launch plans have no field "colour"`),
		refused("a sort key of SQL", listPlans, list(func(r *admin.ResourceListRequest) { r.SortBy = &admin.Sort{Key: "name; DROP TABLE launch_plans"} }), "sort_by.key"),
		refused("an unknown direction", listPlans, list(func(r *admin.ResourceListRequest) { r.SortBy = &admin.Sort{Key: "name", Direction: 5} }), "sort_by.direction"),
		refused("a filter that is none", listPlans, filtered("state=1"), "filters: at character 1"),
		refused("a filter with an unknown comparison", listPlans, filtered("like(name,x)"), "filters"),
		refused("a filter without a value", listPlans, filtered("eq(state)"), "filters"),
		refused("a filter that is not closed", listPlans, filtered("eq(state,1"), "filters"),
		refused("a second filter that is none", listPlans, filtered("eq(state,1)+x"), "filters: at character 13"),
		refused("a filter that ends in a plus", listPlans, filtered("eq(state,1)+"), "filters"),
		refused("a filter on an unknown field", listPlans, filtered("eq(colour,blue)"), "filters"),
		refused("a filter with an unknown state", listPlans, filtered("eq(state,9)"), "state"),
		refused("a filter with a bad time", listPlans, filtered("gte(updated_at,yesterday)"), "updated_at"),
		refused("a filter of SQL", listPlans, filtered("eq(name) OR 1=1,x)"), "filters"),
		refused("a filter of a megabyte", listPlans, filtered("eq(name,"+megabyte+")"), "filters"),
		refused("a thousand filters", listPlans, filtered(strings.Repeat("eq(state,1)+", 500)+"eq(state,1)"), "filters"),

		// Executions.
		refused("an execution without a spec", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Spec = nil }), "spec"),
		refused("an execution of nothing", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = nil }), "spec.launch_plan"),
		refused("an execution of a workflow", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = workflowID("report", "1") }), "spec.launch_plan.resource_type"),
		refusedWith(codes.NotFound, "an execution of what is not registered", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan = planID("weekly", "1") }), "spec.launch_plan"),
		refusedWith(codes.NotFound, "an execution of the active version where none is", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan.Version = "" }), "no active version"),
		refused("an execution without a required input", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Inputs = nil }), "inputs.literals[at]"),
		refused("an execution with an unknown input", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Inputs.Literals["town"] = text("Oslo") }), "inputs.literals[town]"),
		refused("an execution with an input with a name of a megabyte", createExecution, launch(func(r *admin.ExecutionCreateRequest) {
			r.Inputs.Literals[strings.Repeat("ø", 1<<19)] = text("Oslo")
		}), "inputs.literals[øø"),
		refused("an execution with an input of the wrong type", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Inputs.Literals["city"] = number(1) }), "inputs.literals[city]"),
		refused("an execution that overrides a fixed input", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Inputs.Literals["days"] = number(1) }), "inputs.literals[days]"),
		refused("an execution's name in capitals", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Name = "Monday" }), "name"),
		refused("an execution's name that is too long", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Name = strings.Repeat("a", 64) }), "name"),
		refusedWith(codes.AlreadyExists, "an execution's name that is taken", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Name = "taken" }), "name"),
		refusedWith(codes.NotFound, "an execution in an unknown domain", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Domain = "moon" }), "domain"),
		refused("an execution in an archived project", createExecution, launch(func(r *admin.ExecutionCreateRequest) { r.Project = "old" }), "project"),
		refused("an execution in an unknown mode", createExecution, launch(func(r *admin.ExecutionCreateRequest) {
			r.Spec.Metadata = &admin.ExecutionMetadata{Mode: 99}
		}), "spec.metadata.mode"),
		refused("an execution at no time", createExecution, launch(func(r *admin.ExecutionCreateRequest) {
			r.Spec.Metadata = &admin.ExecutionMetadata{ScheduledAt: &timestamppb.Timestamp{Seconds: 1 << 60}}
		}), "spec.metadata.scheduled_at"),
		refused("an execution of a task without its inputs", createExecution, launch(func(r *admin.ExecutionCreateRequest) {
			r.Spec.LaunchPlan = taskID("forecast", "1")
		}), "inputs.literals[city]"),
		refusedWith(codes.NotFound, "an execution of a task that is not registered", createExecution, launch(func(r *admin.ExecutionCreateRequest) {
			r.Spec.LaunchPlan = taskID("forecast", "9")
		}), "spec.launch_plan"),
		{"relaunching what never ran", func(ctx context.Context, a *api) error {
			_, err := a.RelaunchExecution(ctx, &admin.ExecutionRelaunchRequest{Id: executionID("never")})
			return err
		}, codes.NotFound, "weather/development/never"},
		{"relaunching under a bad name", func(ctx context.Context, a *api) error {
			_, err := a.RelaunchExecution(ctx, &admin.ExecutionRelaunchRequest{Id: executionID("taken"), Name: "_"})
			return err
		}, codes.InvalidArgument, "name"},
		{"ending an execution for a megabyte of reasons", func(ctx context.Context, a *api) error {
			_, err := a.TerminateExecution(ctx, &admin.ExecutionTerminateRequest{Id: executionID("taken"), Cause: megabyte})
			return err
		}, codes.InvalidArgument, "cause"},
		{"putting an execution into an unknown state", func(ctx context.Context, a *api) error {
			_, err := a.UpdateExecution(ctx, &admin.ExecutionUpdateRequest{Id: executionID("taken"), State: 5})
			return err
		}, codes.InvalidArgument, "state"},
		{"reading an execution without a name", func(ctx context.Context, a *api) error {
			_, err := a.GetExecution(ctx, &admin.WorkflowExecutionGetRequest{Id: executionID("")})
			return err
		}, codes.InvalidArgument, "id.name"},
		{"reading a node without an execution", func(ctx context.Context, a *api) error {
			_, err := a.GetNodeExecution(ctx, &admin.NodeExecutionGetRequest{Id: &core.NodeExecutionIdentifier{NodeId: "n0"}})
			return err
		}, codes.InvalidArgument, "id.execution_id"},
		{"reading an attempt with an absurd number", func(ctx context.Context, a *api) error {
			_, err := a.GetTaskExecution(ctx, &admin.TaskExecutionGetRequest{Id: &core.TaskExecutionIdentifier{
				TaskId: taskID("forecast", "1"), RetryAttempt: 1<<32 - 1,
				NodeExecutionId: &core.NodeExecutionIdentifier{NodeId: "n0", ExecutionId: executionID("taken")},
			}})
			return err
		}, codes.InvalidArgument, "retry_attempt"},

		// Projects and named entities.
		refused("registering no project", registerProject, &admin.ProjectRegisterRequest{}, "project"),
		refused("a project without an id", registerProject, &admin.ProjectRegisterRequest{Project: &admin.Project{Name: "x"}}, "project.id"),
		refused("a project's id with a colon", registerProject, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "a:b"}}, "project.id"),
		refused("a project with domains of its own", registerProject, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "p", Domains: []*admin.Domain{{Id: "moon"}}}}, "project.domains"),
		refused("a project in an unknown state", registerProject, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "p", State: 9}}, "project.state"),
		refused("a project described by a megabyte", registerProject, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "p", Description: megabyte}}, "project.description"),
		refusedWith(codes.AlreadyExists, "a project that is registered", registerProject, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: project}}, project),
		refusedWith(codes.NotFound, "updating a project that is not registered", updateProject, &admin.Project{Id: "nobody"}, "nobody"),
		refused("an entity of no type", updateEntity, &admin.NamedEntityUpdateRequest{}, "resource_type"),
		refused("an entity without metadata", updateEntity, &admin.NamedEntityUpdateRequest{ResourceType: core.ResourceType_TASK, Id: name("forecast")}, "metadata"),
		refused("an entity in an unknown state", updateEntity, &admin.NamedEntityUpdateRequest{
			ResourceType: core.ResourceType_TASK, Id: name("forecast"), Metadata: &admin.NamedEntityMetadata{State: 9},
		}, "metadata.state"),
		refused("an entity described by a megabyte", updateEntity, &admin.NamedEntityUpdateRequest{
			ResourceType: core.ResourceType_TASK, Id: name("forecast"), Metadata: &admin.NamedEntityMetadata{Description: megabyte},
		}, "metadata.description"),
		refusedWith(codes.NotFound, "an entity that is not registered", updateEntity, &admin.NamedEntityUpdateRequest{
			ResourceType: core.ResourceType_TASK, Id: name("nothing"), Metadata: &admin.NamedEntityMetadata{},
		}, "nothing"),

		// Data.
		refused("an MD5 of three bytes", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, ContentMd5: []byte("abc")}, "content_md5"),
		refused("an upload that nothing tells apart", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, Filename: "x"}, "content_md5"),
		refused("an upload that leads elsewhere", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, FilenameRoot: "x", Filename: "../../etc/passwd"}, "filename"),
		refused("an upload into the parent", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, FilenameRoot: "..", Filename: "x"}, "filename_root"),
		refused("an upload named with control characters", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, FilenameRoot: "x", Filename: "a\x00b"}, "filename"),
		refused("an upload with a name of a megabyte", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, FilenameRoot: "x", Filename: megabyte}, "filename"),
		refused("an upload that has expired", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, FilenameRoot: "x", ExpiresIn: durationpb.New(-1)}, "expires_in"),
		refused("an upload that never expires", upload, &service.CreateUploadLocationRequest{Project: project, Domain: domain, FilenameRoot: "x", ExpiresIn: &durationpb.Duration{Seconds: 1 << 60}}, "expires_in"),
		refusedWith(codes.NotFound, "an upload to an unknown project", upload, &service.CreateUploadLocationRequest{Project: "nobody", Domain: domain, FilenameRoot: "x"}, "project"),
		refused("an upload to an archived project", upload, &service.CreateUploadLocationRequest{Project: "old", Domain: domain, FilenameRoot: "x"}, "project"),
		refused("data at no address", getData, &service.GetDataRequest{}, "flyte_url"),
		refused("data at another address", getData, &service.GetDataRequest{FlyteUrl: "file:///etc/passwd"}, "flyte_url"),
		refused("data at half an address", getData, &service.GetDataRequest{FlyteUrl: "flyte://v1/weather/development/taken/n0/x"}, "flyte_url"),
		{"a download of a file that is no upload", func(ctx context.Context, a *api) error {
			_, err := a.data.CreateDownloadLocation(ctx, &service.CreateDownloadLocationRequest{NativeUrl: "file:///etc/passwd"}) //nolint:staticcheck // Older clients call it.
			return err
		}, codes.InvalidArgument, "native_url"},
		{"a link to no kind of artifact", func(ctx context.Context, a *api) error {
			_, err := a.data.CreateDownloadLink(ctx, &service.CreateDownloadLinkRequest{})
			return err
		}, codes.InvalidArgument, "artifact_type"},

		// Schedules and logs.
		refused("more next slots than there are", func(a *api) func(in, *tminusv1.GetScheduleRequest, ...opt) (*tminusv1.GetScheduleResponse, error) {
			return a.schedules.GetSchedule
		}, &tminusv1.GetScheduleRequest{Project: project, Domain: domain, Name: "daily", Next: 101}, "next"),
		refused("firings of an outcome that there is not", listFirings, &tminusv1.ListFiringsRequest{Filters: "eq(outcome,lost)"}, "outcome"),
		refusedWith(codes.NotFound, "firings of an unknown project", listFirings, &tminusv1.ListFiringsRequest{Project: "nobody"}, "project"),
		refusedWith(codes.NotFound, "firings of an unknown domain", listFirings, &tminusv1.ListFiringsRequest{Domain: "moon"}, "domain"),
		refused("firings of a bad name", listFirings, &tminusv1.ListFiringsRequest{Name: "a/b"}, "name"),
		{"logs of what never ran", func(ctx context.Context, a *api) error {
			stream, err := a.logs.ReadLogs(ctx, &tminusv1.ReadLogsRequest{Project: project, Domain: domain, Name: "never"})
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		}, codes.NotFound, "never"},
	}
	// Each annotation with a value that it cannot have.
	for _, pair := range [][2]string{
		{"timezone", "Mars/Olympus"},
		{"timezone", "Local"},
		{"dst-gap", "both"},
		{"dst-repeat", "never"},
		{"start-at", "tomorrow"},
		{"end-at", "2026-13-01T00:00:00Z"},
		{"end-at", "2020-01-01T00:00:00Z"},
		{"jitter", "-5m"},
		{"jitter", "soon"},
		{"catch-up", "some"},
		{"catch-up", "-1"},
		{"catch-up-window", "0s"},
		{"overlap", "perhaps"},
		{"launch-deadline", "never"},
		{"pause-on-failure", "0"},
		{"max-runs", "many"},
		{"max-runs", "99999999999"},
		{"exclude", "holidays"},
		{"exclude", "rate(5 minutes)"},
		{"exclude", "* * * * *"},
		{"priority", "high"},
		{"timezon", "UTC"}, // There is no such annotation.
	} {
		key := "tminus.dev/" + pair[0]
		rows = append(rows, refused("annotation "+pair[0]+": "+pair[1], createPlan, annotated(key, pair[1]), key))
	}
	return rows
}

// Whatever is wrong with a request, its sender is told the field, and nothing is stored.
func TestBadInput(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx := t.Context()
	a.register(t)
	if _, err := a.RegisterProject(ctx, &admin.ProjectRegisterRequest{Project: &admin.Project{Id: "old", State: admin.Project_ARCHIVED}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateExecution(ctx, launch(func(r *admin.ExecutionCreateRequest) { r.Name = "taken" })); err != nil {
		t.Fatal(err)
	}
	before := a.counts(t)
	for _, row := range badInputs() {
		t.Run(row.name, func(t *testing.T) {
			err := row.call(t.Context(), a)
			if code := status.Code(err); code != row.code {
				t.Errorf("code %s, want %s: %v", code, row.code, err)
			}
			message := status.Convert(err).Message()
			if !strings.Contains(message, row.want) {
				t.Errorf("the message does not contain %q: %s", row.want, message)
			}
			if len(message) > 2000 {
				t.Errorf("the message is %d bytes long", len(message))
			}
			if diff := cmp.Diff(before, a.counts(t)); diff != "" {
				t.Errorf("something was stored (-before +after):\n%s", diff)
			}
		})
	}
	if log := a.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("bad input is no error of the server's:\n%s", log)
	}
}
