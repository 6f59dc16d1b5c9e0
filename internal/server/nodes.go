package server

import (
	"context"
	"errors"
	"fmt"
	"math"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// node reads the node with that identifier.
func (s *Server) node(ctx context.Context, field string, id *core.NodeExecutionIdentifier) (store.NodeExecution, error) {
	execution, node, err := nodeKey(field, id)
	if err != nil {
		return store.NodeExecution{}, err
	}
	return s.readNode(ctx, execution, node)
}

func (s *Server) readNode(ctx context.Context, execution ident.Key, node string) (store.NodeExecution, error) {
	n, err := s.store.Node(ctx, execution, node)
	if errors.Is(err, store.ErrNotFound) {
		return n, notFound("execution %s has no node %q yet", execution, node)
	}
	return n, err
}

// GetNodeExecution returns one node of an execution.
func (a *adminService) GetNodeExecution(ctx context.Context, r *admin.NodeExecutionGetRequest) (*admin.NodeExecution, error) {
	n, err := a.node(ctx, "id", r.GetId())
	if err != nil {
		return nil, err
	}
	return wireNode(n)
}

// ListNodeExecutions returns the nodes of an execution: of the top level, or beneath one node.
func (a *adminService) ListNodeExecutions(ctx context.Context, r *admin.NodeExecutionListRequest) (*admin.NodeExecutionList, error) {
	execution, err := key("workflow_execution_id", r.GetWorkflowExecutionId())
	if err != nil {
		return nil, err
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	parent := r.GetUniqueParentId()
	if parent != "" {
		if err := checkNode("unique_parent_id", parent); err != nil {
			return nil, err
		}
	}
	if _, err := a.readExecution(ctx, execution); err != nil {
		return nil, err
	}
	q.Filters = append(q.Filters, store.Filter{Field: "parent", Op: store.Eq, Values: []string{parent}})
	nodes, token, err := page(ctx, q, a.nodesOf(execution), wireNode)
	if err != nil {
		return nil, err
	}
	return &admin.NodeExecutionList{NodeExecutions: nodes, Token: token}, nil
}

func (s *Server) nodesOf(execution ident.Key) func(context.Context, store.Query) ([]store.NodeExecution, error) {
	return func(ctx context.Context, q store.Query) ([]store.NodeExecution, error) {
		return s.store.Nodes(ctx, execution, q)
	}
}

// ListNodeExecutionsForTask returns the nodes that a task spawned. Tasks here spawn none.
func (a *adminService) ListNodeExecutionsForTask(ctx context.Context, r *admin.NodeExecutionForTaskListRequest) (*admin.NodeExecutionList, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	if _, err := a.attempt(ctx, "task_execution_id", r.GetTaskExecutionId()); err != nil {
		return nil, err
	}
	return &admin.NodeExecutionList{}, nil
}

// GetDynamicNodeWorkflow would return the graph that a dynamic node produced.
func (*adminService) GetDynamicNodeWorkflow(context.Context, *admin.GetDynamicNodeWorkflowRequest) (*admin.DynamicNodeWorkflowResponse, error) {
	return nil, status.Error(codes.Unimplemented, "dynamic nodes are not run here, so no node has a workflow of its own")
}

// GetNodeExecutionData returns a node's inputs and outputs.
func (a *adminService) GetNodeExecutionData(ctx context.Context, r *admin.NodeExecutionGetDataRequest) (*admin.NodeExecutionGetDataResponse, error) {
	n, err := a.node(ctx, "id", r.GetId())
	if err != nil {
		return nil, err
	}
	inputs, outputs, err := literals("node "+n.Node, n.Inputs, n.Outputs)
	if err != nil {
		return nil, err
	}
	return &admin.NodeExecutionGetDataResponse{FullInputs: inputs, FullOutputs: outputs, FlyteUrls: nodeURLs(n.Execution, n.Node)}, nil
}

func wireNode(n store.NodeExecution) (*admin.NodeExecution, error) {
	urls := nodeURLs(n.Execution, n.Node)
	closure := &admin.NodeExecutionClosure{
		Phase:     core.NodeExecution_Phase(core.NodeExecution_Phase_value[string(n.Phase)]),
		StartedAt: instant(n.StartedAt),
		Duration:  took(n.StartedAt, n.EndedAt, n.UpdatedAt),
		CreatedAt: instant(n.CreatedAt),
		UpdatedAt: instant(n.UpdatedAt),
	}
	switch {
	case len(n.Error) > 0:
		failure, err := executionError("node "+n.Node, n.Error)
		if err != nil {
			return nil, err
		}
		closure.OutputResult = &admin.NodeExecutionClosure_Error{Error: failure}
	case n.Phase == store.Succeeded:
		closure.OutputResult = &admin.NodeExecutionClosure_OutputUri{OutputUri: urls.GetOutputs()}
	}
	return &admin.NodeExecution{
		Id:       wireNodeID(n.Execution, n.Node),
		InputUri: urls.GetInputs(),
		Closure:  closure,
		Metadata: &admin.NodeExecutionMetaData{SpecNodeId: n.SpecNode, IsParentNode: n.IsGroup},
	}, nil
}

// attempt reads the attempt of a task with that identifier.
func (s *Server) attempt(ctx context.Context, field string, id *core.TaskExecutionIdentifier) (store.TaskExecution, error) {
	if id == nil {
		return store.TaskExecution{}, invalid.Field(field, "is missing")
	}
	task, err := identifier(field+".task_id", id.GetTaskId(), core.ResourceType_TASK)
	if err != nil {
		return store.TaskExecution{}, err
	}
	execution, node, err := nodeKey(field+".node_execution_id", id.GetNodeExecutionId())
	if err != nil {
		return store.TaskExecution{}, err
	}
	t, err := s.readAttempt(ctx, execution, node, id.GetRetryAttempt())
	if err != nil {
		return t, err
	}
	if t.Task != task {
		return t, notFound("%s.task_id: node %q of execution %s runs task %s, not %s", field, node, execution, t.Task, task)
	}
	return t, nil
}

func (s *Server) readAttempt(ctx context.Context, execution ident.Key, node string, attempt uint32) (store.TaskExecution, error) {
	if attempt > math.MaxInt32 {
		return store.TaskExecution{}, invalid.Field("id.retry_attempt", "is %d; %d is the most", attempt, math.MaxInt32)
	}
	t, err := s.store.Task(ctx, execution, node, int(attempt))
	if errors.Is(err, store.ErrNotFound) {
		return t, notFound("node %q of execution %s has no attempt %d", node, execution, attempt)
	}
	return t, err
}

// GetTaskExecution returns one attempt of a task.
func (a *adminService) GetTaskExecution(ctx context.Context, r *admin.TaskExecutionGetRequest) (*admin.TaskExecution, error) {
	t, err := a.attempt(ctx, "id", r.GetId())
	if err != nil {
		return nil, err
	}
	return a.wireAttempt(t)
}

// ListTaskExecutions returns the attempts of a node's task.
func (a *adminService) ListTaskExecutions(ctx context.Context, r *admin.TaskExecutionListRequest) (*admin.TaskExecutionList, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	n, err := a.node(ctx, "node_execution_id", r.GetNodeExecutionId())
	if err != nil {
		return nil, err
	}
	attempts, token, err := page(ctx, q, a.attemptsOf(n.Execution, n.Node), a.wireAttempt)
	if err != nil {
		return nil, err
	}
	return &admin.TaskExecutionList{TaskExecutions: attempts, Token: token}, nil
}

func (s *Server) attemptsOf(execution ident.Key, node string) func(context.Context, store.Query) ([]store.TaskExecution, error) {
	return func(ctx context.Context, q store.Query) ([]store.TaskExecution, error) {
		return s.store.Tasks(ctx, execution, node, q)
	}
}

// GetTaskExecutionData returns an attempt's inputs and outputs.
func (a *adminService) GetTaskExecutionData(ctx context.Context, r *admin.TaskExecutionGetDataRequest) (*admin.TaskExecutionGetDataResponse, error) {
	t, err := a.attempt(ctx, "id", r.GetId())
	if err != nil {
		return nil, err
	}
	inputs, outputs, err := literals(fmt.Sprintf("attempt %d of node %s", t.Attempt, t.Node), t.Inputs, t.Outputs)
	if err != nil {
		return nil, err
	}
	return &admin.TaskExecutionGetDataResponse{FullInputs: inputs, FullOutputs: outputs, FlyteUrls: attemptURLs(t)}, nil
}

func (s *Server) wireAttempt(t store.TaskExecution) (*admin.TaskExecution, error) {
	urls := attemptURLs(t)
	closure := &admin.TaskExecutionClosure{
		Phase:     core.TaskExecution_Phase(core.TaskExecution_Phase_value[string(t.Phase)]),
		Logs:      s.logLinks(t),
		StartedAt: instant(t.StartedAt),
		Duration:  took(t.StartedAt, t.EndedAt, t.UpdatedAt),
		CreatedAt: instant(t.CreatedAt),
		UpdatedAt: instant(t.UpdatedAt),
		Reason:    t.Reason,
		TaskType:  t.TaskType,
	}
	if t.Reason != "" {
		closure.Reasons = []*admin.Reason{{OccurredAt: instant(t.UpdatedAt), Message: t.Reason}}
	}
	switch {
	case len(t.Error) > 0:
		failure, err := executionError("task of node "+t.Node, t.Error)
		if err != nil {
			return nil, err
		}
		closure.OutputResult = &admin.TaskExecutionClosure_Error{Error: failure}
	case t.Phase == store.Succeeded:
		closure.OutputResult = &admin.TaskExecutionClosure_OutputUri{OutputUri: urls.GetOutputs()}
	}
	return &admin.TaskExecution{
		Id: &core.TaskExecutionIdentifier{
			TaskId:          workflow.Identifier(core.ResourceType_TASK, t.Task),
			NodeExecutionId: wireNodeID(t.Execution, t.Node),
			RetryAttempt:    attemptNumber(t),
		},
		InputUri: urls.GetInputs(),
		Closure:  closure,
	}, nil
}

func attemptNumber(t store.TaskExecution) uint32 {
	return uint32(max(t.Attempt, 0)) //nolint:gosec // No task is tried that often.
}
