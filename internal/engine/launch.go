package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"tminus.dev/internal/schedule"
)

// settleTime bounds the recording of launches that were accepted while the
// engine was told to stop.
const settleTime = 10 * time.Second

// launchDue launches the firings that are due and records what came of it. If
// the process ends between the two, the same launch is repeated under the same
// name by whoever finds the firing still pending.
func (e *Engine) launchDue(ctx context.Context) (time.Duration, error) {
	now, err := e.ledger.Now(ctx)
	if err != nil {
		return 0, err
	}
	if err := e.recall(ctx, now); err != nil {
		return 0, err
	}
	due, err := e.ledger.Due(ctx, now, e.cfg.Batch)
	if err != nil {
		return 0, err
	}
	if len(due) > 0 {
		if err := e.attempt(ctx, due, now); err != nil {
			return 0, err
		}
	}
	if len(due) == e.cfg.Batch {
		return 0, nil // More may be due.
	}
	_, attempt, err := e.ledger.NextDue(ctx)
	if err != nil {
		return 0, err
	}
	return e.until(ctx, attempt)
}

func (e *Engine) attempt(ctx context.Context, due []schedule.Firing, now time.Time) error {
	launch, settled, err := e.triage(ctx, due, now)
	if err != nil {
		return err
	}
	if len(launch) > 0 {
		errs := e.ask(ctx, launch)
		if now, err = e.ledger.Now(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		for i, f := range launch {
			if errs[i] != nil && ctx.Err() != nil {
				continue // Told to stop; the firing stays as it is.
			}
			settled = append(settled, settle(f, errs[i], now))
		}
	}
	if len(settled) == 0 {
		return nil
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err := e.ledger.Settle(record, settled); err != nil {
		return err
	}
	if e.cfg.Settled != nil {
		e.cfg.Settled(settled)
	}
	return nil
}

// ask launches fs. A launcher that panics on one of them fails that one alone.
func (e *Engine) ask(ctx context.Context, fs []schedule.Firing) (errs []error) {
	defer func() {
		p := recover()
		switch {
		case p == nil:
		case len(fs) == 1:
			e.cfg.Log.ErrorContext(ctx, "panic in a launch", slog.String("launch_plan", fs[0].LaunchPlan.String()),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			errs = []error{fmt.Errorf("the launch failed, which is a bug: %v", p)}
		default:
			errs = nil
			for i := range fs {
				errs = append(errs, e.ask(ctx, fs[i:i+1])...)
			}
		}
	}()
	return e.launcher.Launch(ctx, fs)
}

// The pause before a failed launch is tried again doubles from the first to the
// last of these, and varies by a quarter so that many do not come back at once.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// settle is what becomes of f after a launch that returned err.
func settle(f schedule.Firing, err error, now time.Time) schedule.Firing {
	if err == nil {
		f.Outcome, f.Reason, f.SettledAt = schedule.Launched, "", now
		return f
	}
	f.Attempts++
	f.Reason = err.Error()
	if errors.Is(err, schedule.ErrRefused) || !now.Before(f.Deadline) {
		f.Outcome, f.SettledAt = schedule.Dead, now
		return f
	}
	pause := min(firstRetry<<min(f.Attempts-1, 20), lastRetry)
	pause += rand.N(pause/2) - pause/4 //nolint:gosec // Spreads load; nothing depends on its being secret.
	f.AttemptAt = now.Add(pause)
	if f.AttemptAt.After(f.Deadline) {
		f.AttemptAt = f.Deadline // The last attempt.
	}
	return f
}
