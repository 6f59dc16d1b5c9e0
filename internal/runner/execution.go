package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// execution is one execution in progress.
type execution struct {
	*Runner
	*holding
	stored       store.Execution
	envs         []*core.KeyValuePair
	tasks        map[ident.ID]*core.TaskTemplate
	subWorkflows map[ident.ID]*core.CompiledWorkflow
	primary      *core.CompiledWorkflow
	// limit has an element for each of its task processes; nil means that only Config.Parallel limits them.
	limit chan struct{}
	// prior is what an earlier process recorded of its nodes, by NodeExecution.Node.
	prior map[string]store.NodeExecution
}

// execute runs an execution to its end and records it, unless the process ends first.
func (r *Runner) execute(ctx context.Context, x *execution) {
	log := r.cfg.Log.With(slog.String("execution", x.stored.String()))
	var ended store.Execution
	outputs, err := x.outcome(ctx, log)
	if !errors.Is(err, errLeft) {
		ended, err = x.finish(ctx, outputs, err)
	}
	r.leave(x.stored.Key)
	r.Wake()
	switch {
	case err == nil:
		log.DebugContext(ctx, "execution ended", slog.String("phase", string(ended.Phase)))
		r.cfg.Finished(ended)
	case errors.Is(err, errLeft):
		log.InfoContext(ctx, "execution left unfinished", slog.Any("cause", context.Cause(ctx)))
	case !errors.Is(err, errUnchanged):
		log.ErrorContext(ctx, "cannot record an execution", slog.Any("error", err))
	}
}

// outcome runs x. Whatever goes wrong in it, a bug of ours included, is x's failure alone.
func (x *execution) outcome(ctx context.Context, log *slog.Logger) (outputs *core.LiteralMap, err error) {
	defer recovered(ctx, log, &err)
	if x.stored.Phase == store.Aborting {
		return nil, errAborted // Its processes were ended before it was taken up.
	}
	if err := x.load(ctx); err != nil {
		return nil, err
	}
	inputs, err := literalMap(x.stored.Inputs)
	if err != nil {
		return nil, systemError(codeWorkflow, "the inputs recorded for this execution are unreadable: %v", err)
	}
	return x.workflow(ctx, x.primary, newScope("", "", x.primary, inputs))
}

// recovered makes a panic an error.
func recovered(ctx context.Context, log *slog.Logger, err *error) {
	if p := recover(); p != nil {
		log.ErrorContext(ctx, "panic; the execution fails", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		*err = systemError(codeInternal, "tminus failed, which is a bug: %v", p)
	}
}

// load reads what e runs, and what was done of it.
func (x *execution) load(ctx context.Context) error {
	if err := x.loadDefinition(ctx); err != nil {
		return err
	}
	var spec admin.ExecutionSpec
	if err := proto.Unmarshal(x.stored.Spec, &spec); err != nil {
		return systemError(codeWorkflow, "the spec recorded for this execution is unreadable: %v", err)
	}
	if n := spec.GetMaxParallelism(); n > 0 {
		x.limit = make(chan struct{}, n)
	}
	x.envs = spec.GetEnvs().GetValues() // With those of the launch plan, which the launch put there.
	x.prior = make(map[string]store.NodeExecution)
	return x.eachNode(ctx, nil, func(n store.NodeExecution) error {
		x.prior[n.Node] = n
		return nil
	})
}

func (x *execution) loadDefinition(ctx context.Context) error {
	kind, id := store.Workflow, x.stored.Workflow
	if x.stored.Kind == store.Task {
		kind, id = store.Task, x.stored.LaunchPlan
	}
	var d store.Definition
	err := x.read(ctx, "read definition", func(ctx context.Context) (err error) {
		d, err = x.store.Definition(ctx, kind, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return systemError(codeWorkflow, "%s %s is not registered", kind, id)
	}
	if err != nil {
		return err
	}
	var closure *core.CompiledWorkflowClosure
	if kind == store.Task {
		var c admin.TaskClosure
		if err = proto.Unmarshal(d.Closure, &c); err == nil {
			closure = singleTask(id, c.GetCompiledTask())
		}
	} else {
		var c admin.WorkflowClosure
		if err = proto.Unmarshal(d.Closure, &c); err == nil {
			closure = c.GetCompiledWorkflow()
		}
	}
	if err != nil {
		return systemError(codeWorkflow, "the compiled %s %s is unreadable: %v", kind, id, err)
	}
	x.primary = closure.GetPrimary()
	x.tasks = make(map[ident.ID]*core.TaskTemplate, len(closure.GetTasks()))
	for _, t := range closure.GetTasks() {
		x.tasks[workflow.ID(t.GetTemplate().GetId())] = t.GetTemplate()
	}
	x.subWorkflows = make(map[ident.ID]*core.CompiledWorkflow, len(closure.GetSubWorkflows()))
	for _, w := range closure.GetSubWorkflows() {
		x.subWorkflows[workflow.ID(w.GetTemplate().GetId())] = w
	}
	if x.primary.GetTemplate() == nil {
		return systemError(codeWorkflow, "the compiled %s %s is empty", kind, id)
	}
	return nil
}

// singleTask is the workflow of one node that an execution of a task runs.
func singleTask(id ident.ID, t *core.CompiledTask) *core.CompiledWorkflowClosure {
	node := &core.Node{Id: workflow.TaskNode, Target: &core.Node_TaskNode{TaskNode: &core.TaskNode{
		Reference: &core.TaskNode_ReferenceId{ReferenceId: workflow.Identifier(core.ResourceType_TASK, id)},
	}}}
	for name := range t.GetTemplate().GetInterface().GetInputs().GetVariables() {
		node.Inputs = append(node.Inputs, promiseOf(workflow.StartNode, name))
	}
	var outputs []*core.Binding
	for name := range t.GetTemplate().GetInterface().GetOutputs().GetVariables() {
		outputs = append(outputs, promiseOf(workflow.TaskNode, name))
	}
	template := proto.CloneOf(t.GetTemplate())
	template.Id = workflow.Identifier(core.ResourceType_TASK, id)
	return &core.CompiledWorkflowClosure{
		Primary: &core.CompiledWorkflow{Template: &core.WorkflowTemplate{
			Interface: template.GetInterface(), Nodes: []*core.Node{node}, Outputs: outputs,
		}},
		Tasks: []*core.CompiledTask{{Template: template}},
	}
}

func promiseOf(node, variable string) *core.Binding {
	return &core.Binding{Var: variable, Binding: &core.BindingData{Value: &core.BindingData_Promise{
		Promise: &core.OutputReference{NodeId: node, Var: variable},
	}}}
}

// finish records the end of an execution. Somebody may have terminated it in
// the meantime; then that is its end.
func (x *execution) finish(ctx context.Context, outputs *core.LiteralMap, failed error) (ended store.Execution, err error) {
	encoded, err := proto.Marshal(outputs)
	if err != nil && failed == nil {
		failed = systemError(codeBadOutputs, "the outputs cannot be recorded: %v", err)
	}
	failure := asNodeError(failed)
	if failure == nil && failed != nil && !errors.Is(failed, errAborted) {
		failure = systemError(codeInternal, "%v", failed)
	}
	if failed != nil {
		if err := x.abortNodes(ctx); err != nil {
			return store.Execution{}, err
		}
	}
	err = x.record(ctx, "end execution", func(ctx context.Context) (err error) {
		ended, err = x.store.UpdateExecution(ctx, x.stored.Key, func(e *store.Execution) error {
			switch {
			case e.Phase.Terminal():
				return errUnchanged
			case e.Runner != x.id:
				return store.ErrTaken
			}
			switch {
			case e.Phase == store.Aborting, errors.Is(failed, errAborted):
				e.Phase = store.Aborted
			case failure == nil:
				e.Phase, e.Outputs = store.Succeeded, encoded
			case failure.timedOut:
				e.Phase, e.Error = store.TimedOut, failure.ofExecution(e.Kind)
			default:
				e.Phase, e.Error = store.Failed, failure.ofExecution(e.Kind)
			}
			e.EndedAt = now()
			e.UpdatedAt = e.EndedAt
			return nil
		})
		return err
	})
	return ended, err
}

// ofExecution is the error as an execution has it, which says where it came from.
func (e *nodeError) ofExecution(kind store.Kind) []byte {
	if e.node == "" || kind == store.Task {
		return e.encode()
	}
	whole := &nodeError{cause: proto.CloneOf(e.cause)}
	whole.cause.Message = fmt.Sprintf("node %s: %s", validText(e.node), e.cause.GetMessage())
	return whole.encode()
}

func literalMap(b []byte) (*core.LiteralMap, error) {
	var m core.LiteralMap
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	return &m, nil
}
