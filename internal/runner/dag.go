package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// Why the context of a part of an execution ends, besides those of the whole.
var (
	errSiblingFailed = errors.New("another node failed")
	errGroupTimeout  = errors.New("the sub-workflow's timeout expired")
)

// maxNesting is how deeply sub-workflows may nest; workflow.Compile allows fewer.
const maxNesting = 100

// nodesAhead is how many nodes of a workflow are taken up, recorded as QUEUED,
// beyond those that could run at once. It bounds what a wide workflow costs while it waits.
const nodesAhead = 64

// graph is a workflow on its way: which of its nodes wait for what.
type graph struct {
	nodes map[string]*core.Node
	// waiting counts the nodes that a node still waits for, next are those that wait for it.
	waiting map[string]int
	next    map[string][]string
	// ready are the nodes that can start, in the order of the template where nothing else decides.
	ready []*core.Node
	left  int // nodes that have not succeeded
}

func newGraph(c *core.CompiledWorkflow) *graph {
	g := &graph{nodes: map[string]*core.Node{}, waiting: map[string]int{}, next: map[string][]string{}}
	upstream := workflow.Upstream(c)
	for _, n := range c.GetTemplate().GetNodes() {
		if n.GetId() == workflow.StartNode || n.GetId() == workflow.EndNode {
			continue
		}
		g.nodes[n.GetId()] = n
		g.left++
		for _, up := range upstream[n.GetId()] {
			g.waiting[n.GetId()]++
			g.next[up] = append(g.next[up], n.GetId())
		}
		if g.waiting[n.GetId()] == 0 {
			g.ready = append(g.ready, n)
		}
	}
	return g
}

// done makes ready what waited for node alone.
func (g *graph) done(node string) {
	g.left--
	for _, id := range g.next[node] {
		if g.waiting[id]--; g.waiting[id] == 0 {
			g.ready = append(g.ready, g.nodes[id])
		}
	}
}

// result is what a node came to.
type result struct {
	node    string
	outputs *core.LiteralMap
	err     error
}

// workflow runs the nodes of c, each as soon as those it waits for have
// succeeded, and binds the outputs. When a node fails the others are aborted or,
// if the workflow says FAIL_AFTER_EXECUTABLE_NODES_COMPLETE, all that do not
// depend on it still run. The error is a *nodeError, errAborted or errLeft.
func (x *execution) workflow(ctx context.Context, c *core.CompiledWorkflow, s *scope) (*core.LiteralMap, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g := newGraph(c)
	goOn := c.GetTemplate().GetMetadata().GetOnFailure() == core.WorkflowMetadata_FAIL_AFTER_EXECUTABLE_NODES_COMPLETE

	var failed, ended error // what failed first, and whether anything ended unfinished
	if f := x.failedBefore(g, s); f != nil && !goOn {
		return nil, f
	}
	results := make(chan result, len(g.nodes))
	for running := 0; ; {
		for ended == nil && (failed == nil || goOn) && len(g.ready) > 0 && running < x.cfg.Parallel+nodesAhead {
			n := g.ready[0]
			g.ready = g.ready[1:]
			running++
			go func() {
				outputs, err := x.node(ctx, n, s)
				results <- result{n.GetId(), outputs, err}
			}()
		}
		if running == 0 {
			break
		}
		r := <-results
		running--
		switch {
		case r.err == nil:
			s.put(r.node, r.outputs)
			g.done(r.node)
		case asNodeError(r.err) != nil:
			if failed == nil {
				failed = r.err
			}
			if !goOn {
				cancel(errSiblingFailed)
			}
		case ended == nil || errors.Is(r.err, errLeft):
			ended = r.err
		}
	}
	switch {
	case failed != nil && (!goOn || ended == nil):
		return nil, failed
	case ended != nil:
		return nil, ended
	case g.left > 0:
		return nil, systemError(codeWorkflow, "%d nodes wait for each other", g.left)
	}
	outputs, err := s.bind(c.GetTemplate().GetOutputs())
	if err != nil {
		return nil, userError(codeBinding, "the outputs cannot be bound: %v", err)
	}
	return outputs, nil
}

// failedBefore is the failure of a node that is recorded already, or nil.
func (x *execution) failedBefore(g *graph, s *scope) error {
	for id := range g.nodes {
		if n, ok := x.prior[s.prefix+id]; ok && (n.Phase == store.Failed || n.Phase == store.TimedOut) {
			return priorError(n)
		}
	}
	return nil
}

func priorError(n store.NodeExecution) *nodeError {
	return &nodeError{cause: storedError(n.Error), node: n.Node, timedOut: n.Phase == store.TimedOut}
}

// node runs one node and records what becomes of it.
func (x *execution) node(ctx context.Context, n *core.Node, s *scope) (outputs *core.LiteralMap, err error) {
	log := x.cfg.Log.With(slog.String("execution", x.stored.String()), slog.String("node", s.prefix+n.GetId()))
	defer recovered(ctx, log, &err)
	record, known := x.prior[s.prefix+n.GetId()]
	if known && record.Phase.Terminal() {
		return priorResult(record)
	}
	if !known {
		record = store.NodeExecution{
			Execution: x.stored.Key, Node: s.prefix + n.GetId(), SpecNode: n.GetId(), Parent: s.parent,
			IsGroup: n.GetWorkflowNode() != nil, Phase: store.Queued, CreatedAt: now(),
		}
	}
	outputs, err = x.runNode(ctx, log, n, s, &record)
	if errors.Is(err, errLeft) {
		return nil, err
	}
	failure := asNodeError(err)
	switch {
	case err == nil:
		record.Phase = store.Succeeded
		if record.Outputs, err = proto.Marshal(outputs); err != nil {
			return nil, systemError(codeBadOutputs, "the outputs cannot be recorded: %v", err)
		}
	case failure != nil:
		if failure.node == "" {
			failure.node = record.Node
		}
		record.Phase, record.Error = store.Failed, failure.encode()
		if failure.timedOut {
			record.Phase = store.TimedOut
		}
	default:
		record.Phase = store.Aborted
	}
	record.EndedAt = now()
	if stored := x.putNode(ctx, &record); stored != nil {
		return nil, stored
	}
	return outputs, err
}

// runNode runs one node. A panic, a bug of ours, fails it alone.
func (x *execution) runNode(ctx context.Context, log *slog.Logger, n *core.Node, s *scope, record *store.NodeExecution) (outputs *core.LiteralMap, err error) {
	defer recovered(ctx, log, &err)
	inputs, err := s.bind(n.GetInputs())
	if err != nil {
		return nil, userError(codeBinding, "the inputs cannot be bound: %v", err)
	}
	if record.Inputs, err = proto.Marshal(inputs); err != nil {
		return nil, userError(codeBinding, "the inputs cannot be recorded: %v", err)
	}
	if err := x.putNode(ctx, record); err != nil {
		return nil, err
	}
	switch target := n.GetTarget().(type) {
	case *core.Node_TaskNode:
		id := workflow.ID(target.TaskNode.GetReferenceId())
		task, ok := x.tasks[id]
		if !ok {
			return nil, systemError(codeWorkflow, "task %s is not in the compiled workflow", id)
		}
		return x.task(ctx, n, task, inputs, record)
	case *core.Node_WorkflowNode:
		id := workflow.ID(target.WorkflowNode.GetSubWorkflowRef())
		sub, ok := x.subWorkflows[id]
		if !ok {
			return nil, systemError(codeWorkflow, "workflow %s is not in the compiled workflow; nodes of launch plans cannot run here", id)
		}
		return x.group(ctx, n, sub, s, inputs, record)
	default:
		return nil, systemError(codeWorkflow, "only nodes of tasks and sub-workflows can run here")
	}
}

// group runs a sub-workflow. Its nodes are called after its own node and, as in
// Flyte, its attempt, of which there is one: "n0-0-n1".
func (x *execution) group(ctx context.Context, n *core.Node, c *core.CompiledWorkflow, s *scope, inputs *core.LiteralMap, record *store.NodeExecution) (*core.LiteralMap, error) {
	inner := newScope(record.Node, record.Node+"-0-", c, inputs)
	if inner.depth = s.depth + 1; inner.depth > maxNesting {
		return nil, systemError(codeWorkflow, "sub-workflows nest more than %d levels deep", maxNesting)
	}
	if err := x.running(ctx, record); err != nil {
		return nil, err
	}
	limit, ok := positive(n.GetMetadata().GetTimeout())
	if ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errGroupTimeout)
		defer cancel()
	}
	outputs, err := x.workflow(ctx, c, inner)
	if errors.Is(err, errAborted) && errors.Is(context.Cause(ctx), errGroupTimeout) {
		failure := userError(codeTimeout, "the sub-workflow ran longer than its timeout of %s", limit)
		failure.timedOut = true
		return nil, failure
	}
	return outputs, err
}

// priorResult is what a node that an earlier process brought to its end came to.
func priorResult(n store.NodeExecution) (*core.LiteralMap, error) {
	switch n.Phase {
	case store.Failed, store.TimedOut:
		return nil, priorError(n)
	case store.Aborted:
		return nil, errAborted
	default:
		outputs, err := literalMap(n.Outputs)
		if err != nil {
			return nil, systemError(codeBadOutputs, "the recorded outputs of node %s are unreadable: %v", n.Node, err)
		}
		return outputs, nil
	}
}

// running records that a node runs, if that is not recorded yet.
func (x *execution) running(ctx context.Context, record *store.NodeExecution) error {
	if record.Phase == store.Running {
		return nil
	}
	record.Phase, record.StartedAt = store.Running, now()
	return x.putNode(ctx, record)
}

func (x *execution) putNode(ctx context.Context, record *store.NodeExecution) error {
	record.UpdatedAt = now()
	return x.record(ctx, "record node", func(ctx context.Context) error { return x.store.PutNode(ctx, x.id, *record) })
}

// positive is d, if it is a limit.
func positive(d *durationpb.Duration) (time.Duration, bool) {
	if d == nil || d.CheckValid() != nil || d.AsDuration() <= 0 {
		return 0, false
	}
	return d.AsDuration(), true
}
