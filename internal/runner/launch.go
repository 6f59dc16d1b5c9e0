package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/launchplan"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Launch queues the executions of firings, in one transaction. For each firing
// the answer is in the same place: nil when its execution is there, from now on
// or since before; an error that wraps schedule.ErrRefused when no retry can
// help; and any other error when one can.
func (r *Runner) Launch(ctx context.Context, firings []schedule.Firing) []error {
	errs := make([]error, len(firings))
	projects := make(map[string]error)
	plans := make(map[ident.ID]planResult)
	var es []store.Execution
	var of []int // the firings of es
	for i, f := range firings {
		closed, known := projects[f.LaunchPlan.Project]
		if !known {
			closed = r.closed(ctx, f.LaunchPlan.Project)
			projects[f.LaunchPlan.Project] = closed
		}
		plan, known := plans[f.LaunchPlan]
		if !known && closed == nil {
			plan = r.plan(ctx, f.LaunchPlan)
			plans[f.LaunchPlan] = plan
		}
		if err := cmp.Or(closed, plan.err); err != nil {
			errs[i] = err
			continue
		}
		e, err := launchplan.NewScheduled(plan.Plan, f.Slot, now())
		if err != nil {
			errs[i] = fmt.Errorf("%w: launch plan %s: %w", schedule.ErrRefused, f.LaunchPlan, err)
			continue
		}
		es, of = append(es, e), append(of, i)
	}
	if len(es) == 0 {
		return errs
	}
	created, err := r.store.CreateExecutions(ctx, es)
	for n, i := range of {
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("create execution %s: %w", es[n].Key, err)
		case !created[n]:
			errs[i] = r.sameLaunch(ctx, es[n])
		}
	}
	r.Wake()
	return errs
}

// closed says why nothing is launched in a project; nil means that it is.
func (r *Runner) closed(ctx context.Context, id string) error {
	project, err := r.store.Project(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: project %s is not registered", schedule.ErrRefused, id)
	case err != nil:
		return fmt.Errorf("read project %s: %w", id, err)
	case project.Archived():
		return fmt.Errorf("%w: project %s is archived", schedule.ErrRefused, id)
	}
	return nil
}

type planResult struct {
	store.Plan
	err error
}

func (r *Runner) plan(ctx context.Context, id ident.ID) planResult {
	plan, err := r.store.Plan(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return planResult{err: fmt.Errorf("%w: launch plan %s is not registered", schedule.ErrRefused, id)}
	case err != nil:
		return planResult{err: fmt.Errorf("read launch plan %s: %w", id, err)}
	default:
		return planResult{Plan: plan}
	}
}

// sameLaunch reports why the execution that has e's name already is not e.
func (r *Runner) sameLaunch(ctx context.Context, e store.Execution) error {
	there, err := r.store.Execution(ctx, e.Key)
	if err != nil {
		return fmt.Errorf("read execution %s: %w", e.Key, err)
	}
	if !there.Launches(e.LaunchPlan.Key, e.Slot) {
		return fmt.Errorf("%w: the name %s is taken by an execution of %s", schedule.ErrRefused, e.Key, there.LaunchPlan)
	}
	return nil
}
