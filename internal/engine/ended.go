package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Ended tells the engine that an execution has ended: it may let a waiting slot
// launch, or be one failure too many for its schedule.
func (e *Engine) Ended(ctx context.Context, x store.Execution) error {
	defer e.Wake()
	if x.Slot.IsZero() || x.Phase == store.Succeeded || x.Phase == store.Aborted {
		return nil
	}
	key := x.LaunchPlan.Key
	s, err := e.ledger.Schedule(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	most := min(s.Spec.Policy.PauseOnFailure, schedule.MaxPauseOnFailure)
	if most == 0 || !s.Active || s.Paused != "" {
		return nil
	}
	latest, err := e.ledger.Executions(ctx, store.Query{
		Project: key.Project, Domain: key.Domain,
		Filters: []store.Filter{
			{Field: "launch_plan.name", Op: store.Eq, Values: []string{key.Name}},
			{Field: "mode", Op: store.Eq, Values: []string{"1"}},
			{Field: "phase", Op: store.ValueIn, Values: []string{string(store.Succeeded), string(store.Failed), string(store.TimedOut)}},
			{Field: "created_at", Op: store.Gte, Values: []string{s.UpdatedAt.Format(time.RFC3339Nano)}},
		},
		Limit: most,
	})
	if err != nil {
		return err
	}
	if len(latest) < most || slices.ContainsFunc(latest, func(x store.Execution) bool { return x.Phase == store.Succeeded }) {
		return nil
	}
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return err
	}
	reason := fmt.Sprintf("%d failed in a row, %s the last", most, x.Name)
	err = e.ledger.Pause(ctx, key, reason, time.Time{}, store.Change{By: "tminus", Why: "pause-on-failure", At: now})
	if errors.Is(err, store.ErrNotFound) {
		return nil // It was deactivated just now.
	}
	if err != nil {
		return err
	}
	e.cfg.Paused(x, most)
	e.cfg.Log.WarnContext(ctx, "schedule paused; resume it with tminus schedules resume",
		slog.String("launch_plan", key.String()), slog.String("reason", reason))
	return nil
}
