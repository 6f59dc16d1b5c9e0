package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// The database is asked for new executions this often even if nobody calls Wake.
const poll = 30 * time.Second

// loop starts executions until ctx ends. They run under work.
func (r *Runner) loop(ctx, work context.Context, running *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	takes := []func(context.Context, context.Context, *sync.WaitGroup) (done bool, err error){
		r.endLeftovers, r.takeLeftovers, r.takeQueued,
	}
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		var err error
		for done := true; done && err == nil && ctx.Err() == nil; {
			if done, err = takes[0](ctx, work, running); done {
				takes, pause = takes[1:], firstPause
			}
		}
		wait := poll
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.cfg.Log.ErrorContext(ctx, "cannot take up executions; trying again",
				slog.Any("error", err), slog.Duration("pause", pause))
			wait, pause = pause, min(2*pause, lastPause)
		default:
			pause = firstPause
		}
		timer.Reset(wait)
	}
}

// inProgress are the phases of executions that somebody has taken up.
var inProgress = []store.Phase{store.Running, store.Aborting, store.Failing, store.Succeeding}

// takeLeftovers starts executions that a previous process had in progress, and
// says whether those were all.
func (r *Runner) takeLeftovers(ctx, work context.Context, running *sync.WaitGroup) (bool, error) {
	return r.take(ctx, work, running, inProgress)
}

// takeQueued starts as many queued executions as there is room for. There may always be more.
func (r *Runner) takeQueued(ctx, work context.Context, running *sync.WaitGroup) (bool, error) {
	_, err := r.take(ctx, work, running, []store.Phase{store.Queued, store.Undefined})
	return false, err
}

// take starts executions in these phases, oldest first, and says whether there was room for all.
func (r *Runner) take(ctx, work context.Context, running *sync.WaitGroup, phases []store.Phase) (bool, error) {
	// Those that are in progress here may be among them, so one more shows whether any is not.
	es, err := r.store.OpenExecutions(ctx, phases, r.cfg.Executions+1)
	if err != nil {
		return false, err
	}
	for _, e := range es {
		run, cancel := context.WithCancelCause(work)
		if entered, full := r.enter(e.Key, cancel); entered {
			r.start(run, cancel, e, running)
		} else {
			cancel(nil)
			if full {
				return false, nil
			}
		}
	}
	return true, nil
}

func (r *Runner) start(ctx context.Context, cancel context.CancelCauseFunc, e store.Execution, running *sync.WaitGroup) {
	running.Go(func() {
		defer cancel(nil)
		r.execute(ctx, e)
	})
}

// enter puts an execution among those in progress unless it is there or they are full.
func (r *Runner) enter(key ident.Key, cancel context.CancelCauseFunc) (entered, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.active[key]; known {
		return false, false
	}
	if len(r.active) >= r.cfg.Executions {
		return false, true
	}
	r.active[key] = cancel
	return true, false
}

func (r *Runner) leave(key ident.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.active, key)
}

// claim makes a queued execution a running one, and reads again one in progress.
// It has been entered before, so that Terminate finds it from here on.
func (r *Runner) claim(ctx context.Context, listed store.Execution) (claimed store.Execution, err error) {
	started := now()
	err = r.record(ctx, "claim execution", func(ctx context.Context) (err error) {
		claimed, err = r.store.UpdateExecution(ctx, listed.Key, func(e *store.Execution) error {
			switch {
			case e.Phase.Terminal():
				return errUnchanged
			case queued(e.Phase):
				e.Phase, e.StartedAt, e.UpdatedAt = store.Running, started, started
			case queued(listed.Phase) && !e.StartedAt.Equal(started):
				return errUnchanged // Somebody else's. With this time it is ours, and only the reply was lost.
			}
			return nil
		})
		return err
	})
	return claimed, err
}

// queued says that an execution in phase p has not been taken up.
func queued(p store.Phase) bool { return p == store.Queued || p == store.Undefined }
