package runner

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

const (
	// page is how many records are read at once.
	page = 500
	// manyLeftovers is far more than one process has in progress.
	manyLeftovers = 10_000
)

// interruption is what an attempt says that tminus did not see the end of.
func interruption() *nodeError {
	return systemError(codeInterrupted, "%s", errInterrupted).mayRetry()
}

// endLeftovers ends the processes that a previous tminus left behind, before
// anything starts again that they might interfere with.
func (r *Runner) endLeftovers(ctx, _ context.Context, _ *sync.WaitGroup) (bool, error) {
	es, err := r.store.OpenExecutions(ctx, inProgress, manyLeftovers)
	if err != nil {
		return false, err
	}
	for _, e := range es {
		dir := filepath.Join(r.cfg.Dir, executionDir(e.Key))
		records, err := fs.Glob(os.DirFS(dir), "*/*/"+processFile)
		if err != nil {
			return false, err
		}
		for _, record := range records {
			if ctx.Err() != nil {
				return false, nil
			}
			r.endLeftover(ctx, filepath.Join(dir, filepath.Dir(record)))
		}
	}
	return true, nil
}

// endLeftover ends what is left of the attempt in dir.
func (r *Runner) endLeftover(ctx context.Context, dir string) {
	log := r.cfg.Log.With(slog.String("dir", dir))
	if r.cfg.Mode != Process {
		r.removeContainer(ctx, dir)
	}
	switch found, err := endLeftover(ctx, dir, r.cfg.Grace); {
	case err != nil:
		// It may be over all the same; the attempt is recorded as interrupted either way.
		log.ErrorContext(ctx, "cannot end a process of a previous run", slog.Any("error", err))
	case found:
		log.WarnContext(ctx, "ended a process of a previous run")
	}
	if err := os.Remove(filepath.Join(dir, processFile)); err != nil {
		log.WarnContext(ctx, "cannot remove the record of a process", slog.Any("error", err))
	}
}

// openPhases are those of nodes and attempts that have not ended.
var openPhases = []string{string(store.Undefined), string(store.Queued), string(store.Running), string(store.Failing)}

var open = []store.Filter{{Field: "phase", Op: store.ValueIn, Values: openPhases}}

// eachNode calls take for the recorded nodes of x that pass the filters.
func (x *execution) eachNode(ctx context.Context, filters []store.Filter, take func(store.NodeExecution) error) error {
	for offset := 0; ; offset += page {
		var nodes []store.NodeExecution
		err := x.read(ctx, "read nodes", func(ctx context.Context) (err error) {
			nodes, err = x.store.Nodes(ctx, x.Key, store.Query{
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
	for offset := 0; ; offset += page {
		var tasks []store.TaskExecution
		err := x.read(ctx, "read attempts", func(ctx context.Context) (err error) {
			tasks, err = x.store.Tasks(ctx, x.Key, node, store.Query{
				SortBy: "created_at", Ascending: true, Limit: page, Offset: offset,
			})
			return err
		})
		if err != nil {
			return last, false, err
		}
		for _, t := range tasks {
			if !found || t.Attempt >= last.Attempt {
				last, found = t, true
			}
		}
		if len(tasks) < page {
			return last, found, nil
		}
	}
}

// abortNodes records as aborted what of an execution that ended is recorded as unfinished.
func (r *Runner) abortNodes(ctx context.Context, key ident.Key) error {
	return r.record(ctx, "abort nodes", func(ctx context.Context) error {
		for {
			// Those that are aborted pass the filter no more, so the first page is always the next.
			nodes, err := r.store.Nodes(ctx, key, store.Query{Filters: open, Limit: page})
			if err != nil || len(nodes) == 0 {
				return err
			}
			for _, n := range nodes {
				if err := r.abortNode(ctx, n); err != nil {
					return err
				}
			}
		}
	})
}

func (r *Runner) abortNode(ctx context.Context, n store.NodeExecution) error {
	tasks, err := r.store.Tasks(ctx, n.Execution, n.Node, store.Query{Filters: open, Limit: page})
	if err != nil {
		return err
	}
	for _, t := range tasks {
		t.Phase, t.Reason = store.Aborted, errAborted.Error()
		t.EndedAt = now()
		t.UpdatedAt = t.EndedAt
		if err := r.store.PutTask(ctx, t); err != nil {
			return err
		}
	}
	n.Phase = store.Aborted
	n.EndedAt = now()
	n.UpdatedAt = n.EndedAt
	return r.store.PutNode(ctx, n)
}
