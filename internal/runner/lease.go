package runner

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// holding is an execution that this process runs.
type holding struct {
	cancel context.CancelCauseFunc
	// lost is closed when the execution is, or may be, another runner's. Nothing
	// more of it is recorded then.
	lost chan struct{}
}

// giveUp leaves an execution to others: its tasks end, and nothing more of it is recorded.
func (r *Runner) giveUp(h *holding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.lose()
}

// lose needs the lock of the Runner.
func (h *holding) lose() {
	select {
	case <-h.lost:
	default:
		close(h.lost)
		h.cancel(errLost)
	}
}

// keep renews the lease of this runner until ctx ends, when nothing of its
// executions runs any more; then it retires, so that nobody has to wait for it.
//
// The lease counts from before the database was asked, and is given up early
// enough that tasks have their Grace before others take their executions over.
func (r *Runner) keep(ctx context.Context) {
	select {
	case <-r.cleared: // Before, there may be tasks of an earlier process.
	case <-ctx.Done():
		return
	}
	lapse := time.AfterFunc(r.cfg.Lease, r.lapse)
	defer lapse.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			r.retire(context.WithoutCancel(ctx))
			return
		}
		asked, pause := time.Now(), r.cfg.Lease/leaseBeats
		if err := r.renew(ctx); err == nil {
			until := asked.Add(2 * r.cfg.Lease / 3)
			lapse.Reset(time.Until(until))
			r.renewed(until)
		} else if ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "cannot renew the lease of this runner; without it its tasks end and others take them over",
				slog.Any("error", err), slog.Duration("lease", r.cfg.Lease))
			pause /= leaseBeats
		}
		timer.Reset(pause)
	}
}

// leaseBeats is how often a lease is renewed before it ends.
const leaseBeats = 6

func (r *Runner) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Lease/leaseBeats)
	defer cancel()
	at, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	return r.store.RenewRunner(ctx, r.id, at, r.cfg.Lease)
}

// retire lets others take over at once what is unfinished.
func (r *Runner) retire(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	if err := r.store.RetireRunner(ctx, r.id); err != nil {
		r.cfg.Log.WarnContext(ctx, "cannot retire; others take over what is unfinished when the lease is over",
			slog.Any("error", err), slog.Duration("lease", r.cfg.Lease))
	}
}

// renewed says until when this runner has its executions.
func (r *Runner) renewed(until time.Time) {
	r.mu.Lock()
	fresh := !r.has()
	r.until = until
	r.mu.Unlock()
	if fresh {
		r.Wake()
	}
}

// has says that what is recorded as this runner's is so. It needs the lock.
func (r *Runner) has() bool { return !r.cfg.Shared || time.Now().Before(r.until) }

// lapse gives up all executions, as others may take them over soon.
func (r *Runner) lapse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.active) > 0 {
		r.cfg.Log.Error("could not renew the lease of this runner; ending its tasks", slog.Int("executions", len(r.active)))
	}
	for _, h := range r.active {
		h.lose()
	}
}

// attend ends the executions that somebody terminated or took over, and says
// which are this runner's without being run.
func (r *Runner) attend(ctx context.Context) (idle []ident.Key, err error) {
	r.mu.Lock()
	active := maps.Clone(r.active)
	r.mu.Unlock()
	held, err := r.store.HeldExecutions(ctx, r.id)
	if err != nil {
		return nil, err
	}
	for _, e := range held {
		switch h, ok := active[e.Key]; {
		case !ok:
			idle = append(idle, e.Key)
		case e.Phase == store.Aborting:
			h.cancel(errTerminated)
		}
		delete(active, e.Key)
	}
	for _, h := range active {
		r.giveUp(h) // Or it has ended, and there is nothing more to record.
	}
	return idle, nil
}
