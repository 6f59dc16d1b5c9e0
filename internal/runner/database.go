package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tminus.dev/internal/store"
)

// The pause after a failed operation doubles from the first to the last of these.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

// record repeats write until it succeeds. It gives up with errLeft when the
// process ends first or the execution is another runner's, and with write's
// error where a repetition cannot help.
func (x *execution) record(ctx context.Context, operation string, write func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx) // An execution's end is recorded although its context has ended.
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		select {
		case <-x.lost:
			return errLeft
		default:
		}
		err := bounded(ctx, write)
		switch {
		case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, errUnchanged):
			return err
		case errors.Is(err, store.ErrTaken):
			x.giveUp(x.holding)
			return errLeft
		}
		x.cfg.Log.ErrorContext(ctx, "database failed; trying again",
			slog.String("operation", operation), slog.Any("error", err), slog.Duration("pause", pause))
		select {
		case <-time.After(pause):
		case <-x.lost:
			return errLeft
		case <-x.gone:
			return errLeft
		}
	}
}

// read repeats get until it succeeds, finds nothing, or ctx ends.
func (r *Runner) read(ctx context.Context, operation string, get func(context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := bounded(ctx, get)
		if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrBadQuery) {
			return err
		}
		if ctx.Err() == nil {
			r.cfg.Log.ErrorContext(ctx, "database failed; trying again",
				slog.String("operation", operation), slog.Any("error", err), slog.Duration("pause", pause))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return stopped(ctx)
		}
	}
}

// bounded runs one database operation, which must not hang for ever.
func bounded(ctx context.Context, op func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, lastPause)
	defer cancel()
	return op(ctx)
}
