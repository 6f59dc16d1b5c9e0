package runner

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"tminus.dev/internal/store"
)

// page is how many records are read at once.
const page = 500

// interruption is what an attempt says that tminus did not see the end of.
func interruption() *nodeError {
	return systemError(codeInterrupted, "%s", errInterrupted).mayRetry()
}

// killTime is how long a busy machine may take to end what was killed.
const killTime = 10 * time.Second

// clear makes sure, before anything starts again, that nothing is left of a
// previous tminus that might interfere with it.
func (r *Runner) clear(ctx, _ context.Context, _ *sync.WaitGroup) (bool, error) {
	cleared, err := r.endLeftovers(ctx)
	if cleared {
		close(r.cleared)
	}
	return cleared, err
}

// endLeftovers ends the processes and containers that a previous tminus left behind.
func (r *Runner) endLeftovers(ctx context.Context) (bool, error) {
	if r.cfg.Mode != Process {
		if err := r.removeContainers(ctx); err != nil {
			return false, err
		}
	}
	root := filepath.Join(r.cfg.Dir, executionsDir)
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, r.cfg.Grace}, {syscall.SIGKILL, killTime}} {
		found, err := signalLeftovers(root, step.signal)
		if found == 0 || err != nil {
			return err == nil, err
		}
		r.cfg.Log.WarnContext(ctx, "ending processes of a previous run",
			slog.Int("processes", found), slog.String("signal", step.signal.String()))
		gone, err := awaitLeftovers(ctx, root, step.wait)
		if gone || err != nil {
			return gone, err
		}
	}
	return false, errors.New("processes of a previous run do not end")
}

// awaitLeftovers waits until no process of a previous run is left, up to limit.
func awaitLeftovers(ctx context.Context, root string, limit time.Duration) (gone bool, err error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	tick := time.NewTicker(50 * time.Millisecond) // Other people's children cannot be waited for.
	defer tick.Stop()
	for {
		if found, err := signalLeftovers(root, 0); found == 0 || err != nil {
			return err == nil, err
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// openPhases are those of nodes and attempts that have not ended.
var openPhases = []string{string(store.Undefined), string(store.Queued), string(store.Running), string(store.Failing)}

var unfinished = []store.Filter{{Field: "phase", Op: store.ValueIn, Values: openPhases}}

// eachNode calls take for the recorded nodes of x that pass the filters.
func (x *execution) eachNode(ctx context.Context, filters []store.Filter, take func(store.NodeExecution) error) error {
	for offset := 0; ; offset += page {
		var nodes []store.NodeExecution
		err := x.read(ctx, "read nodes", func(ctx context.Context) (err error) {
			nodes, err = x.store.Nodes(ctx, x.stored.Key, store.Query{
				Filters: filters, SortBy: "created_at", Ascending: true, Limit: page, Offset: offset,
			})
			return err
		})
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if err := take(n); err != nil {
				return err
			}
		}
		if len(nodes) < page {
			return nil
		}
	}
}

// lastAttempt is the latest recorded attempt at node; false when there is none.
func (x *execution) lastAttempt(ctx context.Context, node string) (last store.TaskExecution, found bool, err error) {
	err = x.read(ctx, "read attempts", func(ctx context.Context) error {
		latest, err := x.store.Tasks(ctx, x.stored.Key, node, store.Query{SortBy: "retry_attempt", Limit: 1})
		if found = len(latest) > 0; found {
			last = latest[0]
		}
		return err
	})
	return last, found, err
}

// abortNodes records as aborted what of an execution that ended is recorded as unfinished.
func (x *execution) abortNodes(ctx context.Context) error {
	return x.record(ctx, "abort nodes", func(ctx context.Context) error {
		for {
			// Those that are aborted pass the filter no more, so the first page is always the next.
			nodes, err := x.store.Nodes(ctx, x.stored.Key, store.Query{Filters: unfinished, Limit: page})
			if err != nil || len(nodes) == 0 {
				return err
			}
			for _, n := range nodes {
				if err := x.abortNode(ctx, n); err != nil {
					return err
				}
			}
		}
	})
}

func (x *execution) abortNode(ctx context.Context, n store.NodeExecution) error {
	tasks, err := x.store.Tasks(ctx, n.Execution, n.Node, store.Query{Filters: unfinished, Limit: page})
	if err != nil {
		return err
	}
	for _, t := range tasks {
		t.Phase, t.Reason = store.Aborted, errAborted.Error()
		t.EndedAt = now()
		t.UpdatedAt = t.EndedAt
		if err := x.store.PutTask(ctx, x.id, t); err != nil {
			return err
		}
	}
	n.Phase = store.Aborted
	n.EndedAt = now()
	n.UpdatedAt = n.EndedAt
	return x.store.PutNode(ctx, x.id, n)
}
