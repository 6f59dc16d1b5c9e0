package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// overlapPoll is how soon a firing that waits for an execution looks again.
const overlapPoll = time.Second

// scene is what the overlap policies of one launch plan look at.
type scene struct {
	running  []store.Execution
	launched int         // launched since running was read
	pending  []time.Time // slots of its firings that wait to be launched
}

// maxPending bounds how far a scene looks ahead; it is read anew for every batch.
const maxPending = 1000

func (e *Engine) look(ctx context.Context, plan ident.Key) (*scene, error) {
	running, err := e.ledger.RunningOf(ctx, plan)
	if err != nil {
		return nil, err
	}
	pending, err := e.ledger.Firings(ctx, store.Query{
		Project: plan.Project, Domain: plan.Domain, Name: plan.Name,
		Filters: []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{string(schedule.Pending)}}},
		SortBy:  "slot", Ascending: true, Limit: maxPending,
	})
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
			f.Reason, f.AttemptAt = "waits for the execution it replaces to end", now.Add(overlapPoll)
		case schedule.Wait:
			f.Reason, f.AttemptAt = "waits for an earlier execution to end", now.Add(overlapPoll)
		}
		settled = append(settled, f)
	}
	return launch, settled, nil
}

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
