package engine

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Housekeeping checks the ledger and keeps it small.
type Housekeeping interface {
	Sweep(ctx context.Context, after int64, since, now time.Time, limit int) (store.Swept, error)
	Prune(ctx context.Context, r store.Retention, limit int) (store.Pruned, error)
}

// Sweep says how the ledger is checked and kept small; the zero value checks it
// and keeps everything.
type Sweep struct {
	// Every is how often the whole ledger is checked; 0 means an hour, and below zero never.
	Every time.Duration
	// Firings and Executions are how long settled firings, and executions that
	// have ended, are kept; 0 means for good.
	Firings, Executions time.Duration
	// Keep is how many of the latest executions of each launch plan are kept however old they are.
	Keep int
	// Pruned is told of executions that were deleted, so that their files go too; nil means nobody is.
	Pruned func([]store.Execution)
}

func (s Sweep) withDefaults() Sweep {
	s.Every = cmp.Or(s.Every, time.Hour)
	if s.Pruned == nil {
		s.Pruned = func([]store.Execution) {}
	}
	return s
}

// The ledger is checked and pruned in small steps, with a rest between them, so
// that neither is ever in the way of a launch.
const (
	// firstSweep is the part of Sweep.Every after which the first one begins: a start has better things to do.
	firstSweep = 12

	sweepBatch = 500
	pruneBatch = 500
	sweepRest  = 50 * time.Millisecond
)

// keepMessages is how long messages about alerts that were sent, or lost, tell what became of them.
const keepMessages = 30 * 24 * time.Hour

// sweep checks every schedule once, deletes what is too old, and says when to do so again.
func (e *Engine) sweep(ctx context.Context) (time.Duration, error) {
	if e.cfg.Sweep.Every < 0 {
		return time.Hour, nil
	}
	if !e.started {
		e.started = true
		return e.cfg.Sweep.Every / firstSweep, nil
	}
	for after, first := int64(0), true; first || after > 0; first = false {
		now, err := e.ledger.Now(ctx)
		if err != nil {
			return 0, err
		}
		// Each slot is looked at twice, in case one sweep does not come to its end.
		swept, err := e.ledger.Sweep(ctx, after, now.Add(-2*e.cfg.Sweep.Every), now, sweepBatch)
		if err != nil {
			return 0, err
		}
		var lost []schedule.Firing
		for _, r := range swept.Repairs {
			e.cfg.Log.WarnContext(ctx, "the sweeper repaired a schedule",
				slog.String("launch_plan", r.LaunchPlan.String()), slog.String("found", r.Found))
			if !r.Slot.IsZero() {
				lost = append(lost, schedule.Firing{
					LaunchPlan: r.LaunchPlan, Kind: schedule.KindScheduled, Slot: r.Slot, Last: r.Slot, Count: 1,
					Outcome: schedule.Missed, Reason: r.Found, RecordedAt: now, SettledAt: now,
				})
			}
		}
		if len(swept.Repairs) > 0 {
			e.cfg.Settled(lost)
			e.Wake()
		}
		after = swept.Last
		if err := rest(ctx); err != nil {
			return 0, err
		}
	}
	if err := e.prune(ctx); err != nil {
		return 0, err
	}
	return e.cfg.Sweep.Every, nil
}

func (e *Engine) prune(ctx context.Context) error {
	var after store.Place
	for {
		now, err := e.ledger.Now(ctx)
		if err != nil {
			return err
		}
		r := store.Retention{Keep: e.cfg.Sweep.Keep, After: after, Messages: now.Add(-keepMessages)}
		if d := e.cfg.Sweep.Firings; d > 0 {
			r.Firings = now.Add(-d)
		}
		if d := e.cfg.Sweep.Executions; d > 0 {
			r.Executions = now.Add(-d)
		}
		pruned, err := e.ledger.Prune(ctx, r, pruneBatch)
		if err != nil {
			return err
		}
		if len(pruned.Executions) > 0 {
			e.cfg.Sweep.Pruned(pruned.Executions)
		}
		if !pruned.More {
			return nil
		}
		after = pruned.After
		if err := rest(ctx); err != nil {
			return err
		}
	}
}

// rest lets others have their turn.
func rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(sweepRest):
		return nil
	}
}
