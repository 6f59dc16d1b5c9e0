package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/store"
	"tminus.dev/internal/workflow"
)

// errTimeout says that an attempt's timeout ended its context.
var errTimeout = errors.New("the timeout expired")

// taskNode is a node that runs a task.
type taskNode struct {
	*execution
	record *store.NodeExecution
	task   *core.TaskTemplate
	// image is the container's, or what the node puts in its place.
	image  string
	inputs *core.LiteralMap
	// attempts is how often the task may be tried, at least once.
	attempts int
	// timeout is for each attempt; 0 is none.
	timeout time.Duration
}

// task runs a task until an attempt succeeds, fails for good, or is the last.
//
// As in Flyte, the node's retries and timeout go before the task's, a failure is
// tried again unless its error document says that it is not recoverable, and
// the timeout is one attempt's. In contrast to Flyte, retries also pay for what
// the system does to an attempt.
func (x *execution) task(ctx context.Context, n *core.Node, task *core.TaskTemplate, inputs *core.LiteralMap, record *store.NodeExecution) (*core.LiteralMap, error) {
	t := taskNode{
		execution: x, record: record, task: task, inputs: inputs,
		image:    task.GetContainer().GetImage(),
		attempts: 1 + int(n.GetMetadata().GetRetries().GetRetries()),
	}
	if t.attempts == 1 {
		t.attempts += int(task.GetMetadata().GetRetries().GetRetries())
	}
	if image := n.GetTaskNode().GetOverrides().GetContainerImage(); image != "" {
		t.image = image
	}
	var ok bool
	if t.timeout, ok = positive(n.GetMetadata().GetTimeout()); !ok {
		t.timeout, _ = positive(task.GetMetadata().GetTimeout())
	}
	number, outputs, err := t.resume(ctx)
	for outputs == nil && err == nil {
		if outputs, err = t.try(ctx, number); t.again(number, err) {
			err = nil
		}
		number++
	}
	return outputs, t.explain(number, err)
}

// again says that there is another attempt after number, which failed with err.
func (t *taskNode) again(number int, err error) bool {
	failure := asNodeError(err)
	return failure != nil && failure.retryable && number+1 < t.attempts
}

// explain is err, after number attempts, as the node has it.
func (t *taskNode) explain(number int, err error) error {
	failure := asNodeError(err)
	if failure == nil || !failure.retryable || number < 2 {
		return err
	}
	last := proto.CloneOf(failure.cause)
	last.Code = retriesExhausted + last.GetCode()
	last.Message = fmt.Sprintf("attempt %d of %d: %s", number, t.attempts, last.GetMessage())
	return &nodeError{cause: last, timedOut: failure.timedOut}
}

// resume goes on after the attempts that an earlier process recorded: it is the
// number of the next, or what the task came to already.
func (t *taskNode) resume(ctx context.Context) (number int, outputs *core.LiteralMap, err error) {
	if _, known := t.prior[t.record.Node]; !known {
		return 0, nil, nil
	}
	last, found, err := t.lastAttempt(ctx, t.record.Node)
	if err != nil || !found {
		return 0, nil, err
	}
	number = last.Attempt
	switch last.Phase {
	case store.Succeeded:
		outputs, err := literalMap(last.Outputs)
		if err != nil {
			return number, nil, systemError(codeBadOutputs, "the recorded outputs of attempt %d are unreadable: %v", number, err)
		}
		return number, outputs, nil
	case store.Failed:
		cause := storedError(last.Error)
		return number + 1, nil, &nodeError{cause: cause, timedOut: cause.GetCode() == codeTimeout}
	case store.Aborted:
		return number, nil, errAborted
	case store.Retryable:
		return number + 1, nil, nil
	default:
		failure := interruption()
		if last.Runner != "" && last.Runner != t.id {
			failure = systemError(codeInterrupted, "interrupted: runner %s stopped while it ran, or was out of reach", last.Runner).mayRetry()
		}
		if err := t.settle(ctx, &last, nil, failure); err != nil {
			return number, nil, err
		}
		if t.again(number, failure) {
			return number + 1, nil, nil
		}
		return number + 1, nil, failure
	}
}

// slot waits until another task process may run. release gives the place back.
func (x *execution) slot(ctx context.Context) (release func(), err error) {
	if x.limit == nil {
		return func() { <-x.slots }, x.acquire(ctx, x.slots)
	}
	if err := x.acquire(ctx, x.limit); err != nil {
		return nil, err
	}
	if err := x.acquire(ctx, x.slots); err != nil {
		<-x.limit
		return nil, err
	}
	return func() { <-x.slots; <-x.limit }, nil
}

func (x *execution) acquire(ctx context.Context, slots chan<- struct{}) error {
	select { // Of several ready cases select takes any, and these come first.
	case <-ctx.Done():
		return stopped(ctx)
	case <-x.stopping:
		return errLeft
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return stopped(ctx)
	case <-x.stopping:
		return errLeft
	}
}

// try makes one attempt, and records it. The record is there before the process
// is: what a crash leaves in between counts as an attempt, so that a task
// without retries never runs twice.
func (t *taskNode) try(ctx context.Context, number int) (*core.LiteralMap, error) {
	release, err := t.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := t.running(ctx, t.record); err != nil {
		return nil, err
	}
	started := now()
	record := store.TaskExecution{
		Execution: t.stored.Key, Node: t.record.Node, Attempt: number,
		Task: workflow.ID(t.task.GetId()), TaskType: t.task.GetType(),
		Phase: store.Running, Inputs: t.record.Inputs, Runner: t.id, Dir: attemptDir(t.stored.Key, t.record.Node, number),
		CreatedAt: started, StartedAt: started,
	}
	a, err := t.prepare(number, record.Dir)
	if err == nil {
		if err := t.putTask(ctx, &record); err != nil {
			return nil, err
		}
	}
	var outputs *core.LiteralMap
	if err == nil {
		outputs, err = a.run(ctx)
	}
	if stored := t.settle(ctx, &record, outputs, err); stored != nil {
		return nil, stored
	}
	return outputs, err
}

// settle records what an attempt came to.
func (t *taskNode) settle(ctx context.Context, record *store.TaskExecution, outputs *core.LiteralMap, err error) error {
	failure := asNodeError(err)
	switch {
	case err == nil:
		record.Phase = store.Succeeded
		if record.Outputs, err = proto.Marshal(outputs); err != nil {
			return systemError(codeBadOutputs, "the outputs cannot be recorded: %v", err)
		}
	case failure == nil:
		record.Phase, record.Reason = store.Aborted, reasonOf(ctx)
	default:
		record.Phase, record.Reason, record.Error = store.Failed, Gist(failure.cause.GetMessage()), failure.encode()
		if t.again(record.Attempt, failure) {
			record.Phase = store.Retryable
		}
	}
	record.EndedAt = now()
	return t.putTask(ctx, record)
}

// reasonOf says why ctx ended.
func reasonOf(ctx context.Context) string {
	if cause := context.Cause(ctx); cause != nil {
		return cause.Error()
	}
	return errAborted.Error()
}

func (t *taskNode) putTask(ctx context.Context, record *store.TaskExecution) error {
	record.UpdatedAt = now()
	return t.execution.record(ctx, "record attempt", func(ctx context.Context) error {
		return t.store.PutTask(ctx, t.id, *record)
	})
}
