package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// waits is the reason of a firing that its overlap policy holds back.
const waits = "waits for an earlier execution to end"

// waitPoll is how soon a firing that waits looks again if nobody tells the
// engine that the execution has ended, as when it ended while no engine ran.
const waitPoll = time.Minute

// waitingRoom remembers the launch plans whose firings wait for executions to
// end, and which of them have seen one end since.
type waitingRoom struct {
	mu    sync.Mutex
	plans map[ident.Key]bool
}

// enter is to be called before the running executions are read: an end that
// comes after the reading is then not missed.
func (w *waitingRoom) enter(plan ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plans[plan] = false
}

// leave says that no firing of plan waits after all.
func (w *waitingRoom) leave(plan ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.plans, plan)
}

// call says that an execution of plan has ended.
func (w *waitingRoom) call(plan ident.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waiting := w.plans[plan]; waiting {
		w.plans[plan] = true
	}
}

// called takes the plans that have seen an execution end.
func (w *waitingRoom) called() []ident.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var plans []ident.Key
	for plan, called := range w.plans {
		if called {
			plans = append(plans, plan)
			delete(w.plans, plan)
		}
	}
	return plans
}

// recall makes due the firings that waited for an execution that has ended.
func (e *Engine) recall(ctx context.Context, now time.Time) error {
	for _, plan := range e.waiting.called() {
		pending, err := e.pending(ctx, plan)
		if err != nil {
			e.waiting.enter(plan)
			e.waiting.call(plan)
			return err
		}
		var due []schedule.Firing
		for _, f := range pending {
			if f.Reason == waits && f.AttemptAt.After(now) {
				f.AttemptAt = now
				due = append(due, f)
			}
		}
		if err := e.ledger.Settle(ctx, due); err != nil {
			e.waiting.enter(plan)
			e.waiting.call(plan)
			return err
		}
	}
	return nil
}

// scene is what the overlap policies of one launch plan look at.
type scene struct {
	running  []store.Execution
	launched int         // launched since running was read
	pending  []time.Time // slots of its firings that are to be launched
	waits    bool        // a firing waits for an execution to end
}

// maxPending bounds how far a scene looks ahead; it is read anew for every batch.
const maxPending = 1000

// pending lists the firings of a launch plan that are to be launched, by slot.
func (e *Engine) pending(ctx context.Context, plan ident.Key) ([]schedule.Firing, error) {
	return e.ledger.Firings(ctx, store.Query{
		Project: plan.Project, Domain: plan.Domain, Name: plan.Name,
		Filters: []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{string(schedule.Pending)}}},
		SortBy:  "slot", Ascending: true, Limit: maxPending,
	})
}

func (e *Engine) look(ctx context.Context, plan ident.Key) (*scene, error) {
	e.waiting.enter(plan)
	running, err := e.ledger.RunningOf(ctx, plan)
	if err != nil {
		return nil, err
	}
	pending, err := e.pending(ctx, plan)
	if err != nil {
		return nil, err
	}
	s := &scene{running: running}
	for _, f := range pending {
		s.pending = append(s.pending, f.Slot)
	}
	return s, nil
}

// before counts the firings that wait with an earlier slot.
func (s *scene) before(slot time.Time) int {
	n := 0
	for _, t := range s.pending {
		if t.Before(slot) {
			n++
		}
	}
	return n
}

func (s *scene) remove(slot time.Time) {
	s.pending = slices.DeleteFunc(s.pending, slot.Equal)
}

// decide sorts due firings by their overlap policies into those to launch and
// those that are settled without.
func (e *Engine) decide(ctx context.Context, due []schedule.Firing, now time.Time) (launch, settled []schedule.Firing, err error) {
	var judged []schedule.Firing
	for _, f := range due {
		if f.MaxRunning == 0 && (f.Overlap == "" || f.Overlap == schedule.OverlapAllow) {
			launch = append(launch, f)
		} else {
			judged = append(judged, f)
		}
	}
	slices.SortStableFunc(judged, func(a, b schedule.Firing) int { return a.Slot.Compare(b.Slot) })
	scenes := make(map[ident.Key]*scene)
	for _, f := range judged {
		s := scenes[f.LaunchPlan.Key]
		if s == nil {
			if s, err = e.look(ctx, f.LaunchPlan.Key); err != nil {
				return nil, nil, err
			}
			scenes[f.LaunchPlan.Key] = s
		}
		verdict, reason := schedule.Decide(f, len(s.running)+s.launched, s.before(f.Slot))
		switch verdict {
		case schedule.Launch:
			s.launched++
			s.remove(f.Slot)
			launch = append(launch, f)
			continue
		case schedule.Skip:
			s.remove(f.Slot)
			f.Outcome, f.Reason, f.SettledAt = schedule.Skipped, reason, now
		case schedule.Replace:
			for _, x := range s.running {
				cause := fmt.Sprintf("replaced by the slot %s (overlap is %s)", f.Slot.Format(time.RFC3339), f.Overlap)
				if err := e.launcher.Terminate(ctx, x.Key, cause, "tminus"); err != nil && !errors.Is(err, store.ErrNotFound) {
					return nil, nil, err
				}
			}
			s.waits = true
			f.Reason, f.AttemptAt = waits, now.Add(waitPoll)
		case schedule.Wait:
			s.waits = true
			f.Reason, f.AttemptAt = waits, now.Add(waitPoll)
		}
		settled = append(settled, f)
	}
	for plan, s := range scenes {
		if !s.waits {
			e.waiting.leave(plan)
		}
	}
	return launch, settled, nil
}

// Ended tells the engine that an execution has ended: it may let a waiting slot
// launch, or be one failure too many for its schedule.
func (e *Engine) Ended(ctx context.Context, x store.Execution) error {
	e.waiting.call(x.LaunchPlan.Key)
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
	most := s.Spec.Policy.PauseOnFailure
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
	return e.ledger.Pause(ctx, key, fmt.Sprintf("%d executions in a row failed, %s the last", most, x.Name), now)
}
