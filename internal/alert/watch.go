package alert

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Ledger is where firings are; package storetest says what each method promises.
type Ledger interface {
	Now(ctx context.Context) (time.Time, error)
	Waiting(ctx context.Context, before time.Time, visit func(schedule.Firing) error) error
	Timings(ctx context.Context, ids []int64) (map[int64]schedule.Schedule, error)
	StoppedAlerts(ctx context.Context) ([]ident.Key, error)
}

// Watcher makes observations of what becomes of firings and executions, and
// looks into the ledger for what nothing happens to: slots that wait for too
// long, and schedules that were stopped.
//
// Slots are late from their planned attempt on, which is the slot and its
// jitter. Only slots that came due are: not catch-up, backfills, slots that are
// launched again, nor what somebody ran.
type Watcher struct {
	ledger  Ledger
	alerter *Alerter
	wake    chan struct{}

	mu sync.Mutex
	// launched holds launches that may have been late.
	launched []schedule.Firing
}

// NewWatcher makes a watcher that tells a what it finds; Run starts both.
func NewWatcher(l Ledger, a *Alerter) *Watcher {
	return &Watcher{ledger: l, alerter: a, wake: make(chan struct{}, 1)}
}

const (
	// every is how often the ledger is asked for what nothing happens to.
	every = 15 * time.Second
	// maxTimings is how many schedules are read at once.
	maxTimings = 500
)

// Settled takes firings as engine.Config.Settled has them. It does no I/O, and never blocks.
func (w *Watcher) Settled(firings []schedule.Firing) {
	var seen []Observation
	var slow []schedule.Firing
	for _, f := range firings {
		o := Observation{Schedule: f.LaunchPlan.Key, Slot: f.Slot, At: f.SettledAt, Reason: f.Reason}
		switch {
		case f.Outcome == schedule.Dead:
			o.Event = Died
		case f.Outcome == schedule.Missed:
			o.Event, o.Slot, o.Count = Missed, f.Last, f.Count
		case f.Outcome != schedule.Launched || !planned(f):
			continue
		case f.Lateness() > w.prompt():
			slow = append(slow, f)
			continue
		default:
			o.Event, o.Lateness = Launched, f.Lateness()
		}
		seen = append(seen, o)
	}
	w.alerter.Observe(seen...)
	if len(slow) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.launched) < maxPending {
		w.launched = append(w.launched, slow...)
	} else {
		w.alerter.drop(len(slow))
	}
	signal(w.wake)
}

// planned says that a firing is of a slot that came due, and launches beside nothing more urgent.
func planned(f schedule.Firing) bool { return f.Kind == schedule.KindScheduled && !f.Behind }

// prompt is how late no schedule takes a slot for late. So it takes no look at
// the schedule's own limit.
func (w *Watcher) prompt() time.Duration {
	if l := w.alerter.cfg.LateAfter; l > 0 {
		return min(l, schedule.LeastLateAfter)
	}
	return schedule.LeastLateAfter
}

// Finished takes an execution that has ended.
func (w *Watcher) Finished(x store.Execution) {
	if x.Phase == store.Succeeded && !x.Slot.IsZero() {
		w.alerter.Observe(Observation{Schedule: x.LaunchPlan.Key, Event: Succeeded, Slot: x.Slot, At: x.EndedAt})
	}
}

// Paused takes the execution that was the last of so many to fail in a row, so that its schedule was paused.
func (w *Watcher) Paused(x store.Execution, failures int) {
	w.alerter.Observe(Observation{
		Schedule: x.LaunchPlan.Key, Event: Failing, Slot: x.Slot, Count: failures, At: x.EndedAt,
		Reason: fmt.Sprintf("paused; %s was the last to fail", x.Name),
	})
}

// Run runs the alerter, and looks until ctx ends. Then it returns nil after all
// that was taken is recorded. A ledger that fails does not end it.
func (w *Watcher) Run(ctx context.Context) error {
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var told sync.WaitGroup
	told.Go(func() { _ = w.alerter.Run(telling) }) //nolint:errcheck // It returns nil.
	defer told.Wait()
	defer stop()
	next := time.Now()
	for ctx.Err() == nil {
		err := w.judge(ctx)
		if err == nil && !time.Now().Before(next) {
			next = time.Now().Add(every)
			err = w.look(ctx)
		}
		wake := w.wake
		if err != nil && ctx.Err() == nil {
			w.alerter.cfg.Log.ErrorContext(ctx, "cannot look for what is late; trying again", slog.Any("error", err))
			wake, next = nil, time.Now().Add(time.Second)
		}
		sleep(ctx, wake, time.Until(next))
		sleep(ctx, nil, min(time.Until(next), gather))
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := w.judge(last); err != nil {
		w.alerter.cfg.Log.ErrorContext(ctx, "cannot tell what was late", slog.Any("error", err))
	}
	return nil
}

// judge finds out which of the launches that took their time were late.
func (w *Watcher) judge(ctx context.Context) error {
	w.mu.Lock()
	launched := w.launched
	w.launched = nil
	w.mu.Unlock()
	for len(launched) > 0 {
		some := launched[:min(len(launched), maxTimings)]
		if err := w.observe(ctx, Launched, some, time.Time{}); err != nil {
			w.mu.Lock()
			w.launched = append(launched, w.launched...)
			w.mu.Unlock()
			return err
		}
		launched = launched[len(some):]
	}
	return nil
}

// look asks the ledger for slots that wait, and for schedules that were stopped.
func (w *Watcher) look(ctx context.Context) error {
	now, err := w.ledger.Now(ctx)
	if err != nil {
		return err
	}
	var some []schedule.Firing
	err = w.ledger.Waiting(ctx, now.Add(-w.prompt()), func(f schedule.Firing) error {
		if !planned(f) {
			return nil
		}
		if some = append(some, f); len(some) < maxTimings {
			return nil
		}
		defer func() { some = some[:0] }()
		return w.observe(ctx, Waiting, some, now)
	})
	if err == nil {
		err = w.observe(ctx, Waiting, some, now)
	}
	if err != nil {
		return err
	}
	stopped, err := w.ledger.StoppedAlerts(ctx)
	if err != nil {
		return err
	}
	for _, key := range stopped {
		w.alerter.Observe(Observation{Schedule: key, Event: Stopped, At: now, Reason: "the schedule was stopped"})
	}
	return nil
}

// observe observes firings as late as they are: when they were launched, or now.
func (w *Watcher) observe(ctx context.Context, event Event, firings []schedule.Firing, now time.Time) error {
	ids := make([]int64, len(firings))
	for i, f := range firings {
		ids[i] = f.ScheduleID
	}
	slices.Sort(ids)
	timings, err := w.ledger.Timings(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	for _, f := range firings {
		s := timings[f.ScheduleID] // The zero Schedule has the default policy.
		at := cmp.Or(now, f.SettledAt)
		limit := cmp.Or(s.Spec.Policy.LateAfter, w.alerter.cfg.LateAfter)
		lateness := at.Sub(f.Slot)
		if lateness > limit && s.Spec.Policy.Jitter > 0 {
			attempt, err := s.Attempt(f.Slot)
			if err != nil {
				continue // Whoever plans it says so.
			}
			lateness = at.Sub(attempt)
		}
		w.alerter.Observe(Observation{
			Schedule: f.LaunchPlan.Key, Event: event, Slot: f.Slot, Lateness: lateness, Limit: limit, Reason: f.Reason, At: at,
		})
	}
	return nil
}
