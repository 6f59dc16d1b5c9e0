package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

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

// triage sorts due firings into those to launch, in the order they came, and
// those that are settled without: too late, or held back by their overlap policy.
func (e *Engine) triage(ctx context.Context, due []schedule.Firing, now time.Time) (launch, settled []schedule.Firing, err error) {
	var bySlot []int // those that have to be judged
	for i := range due {
		if !due[i].Unconditional() || late(due[i], now) {
			bySlot = append(bySlot, i)
		}
	}
	if len(bySlot) == 0 {
		return due, nil, nil
	}
	slices.SortStableFunc(bySlot, func(a, b int) int { return due[a].Slot.Compare(due[b].Slot) })
	scenes := make(map[ident.Key]*scene)
	held := make([]bool, len(due))
	for _, i := range bySlot {
		f, verdict, err := e.judge(ctx, scenes, due[i], now)
		if err != nil {
			return nil, nil, err
		}
		if held[i] = verdict != schedule.Launch; held[i] {
			settled = append(settled, f)
		}
	}
	for plan, s := range scenes {
		if !s.waits {
			e.waiting.leave(plan)
		}
	}
	for i, f := range due {
		if !held[i] {
			launch = append(launch, f)
		}
	}
	return launch, settled, nil
}

// tardy is how long after its deadline a firing still gets the attempt that was due at it.
const tardy = time.Minute

func late(f schedule.Firing, now time.Time) bool { return now.Sub(f.Deadline) > tardy }

// judge decides one due firing that is late or has conditions, and returns it as
// it is then to be recorded.
func (e *Engine) judge(ctx context.Context, scenes map[ident.Key]*scene, f schedule.Firing, now time.Time) (schedule.Firing, schedule.Verdict, error) {
	// A launch that was accepted but not recorded is repeated, whatever the
	// policies say: they would hold it back because of its own execution.
	if there, err := e.accepted(ctx, f); err != nil || there {
		return f, schedule.Launch, err
	}
	if late(f, now) {
		f.Outcome, f.SettledAt = schedule.Dead, now
		f.Reason = strings.TrimSuffix("not launched by its deadline "+f.Deadline.Format(time.RFC3339)+": "+f.Reason, ": ")
		return f, schedule.Skip, nil
	}
	s := scenes[f.LaunchPlan.Key]
	if s == nil {
		var err error
		if s, err = e.look(ctx, f.LaunchPlan.Key); err != nil {
			return f, 0, err
		}
		scenes[f.LaunchPlan.Key] = s
	}
	verdict, reason := schedule.Decide(f, len(s.running)+s.launched, s.before(f.Slot))
	switch verdict {
	case schedule.Launch:
		s.launched++
		s.remove(f.Slot)
	case schedule.Skip:
		s.remove(f.Slot)
		f.Outcome, f.Reason, f.SettledAt = schedule.Skipped, reason, now
	case schedule.Replace:
		s.waits = true
		if err := e.replace(ctx, s, f); err != nil {
			return settle(f, err, now), verdict, nil
		}
		f.Reason, f.AttemptAt = waits, now.Add(waitPoll)
	case schedule.Wait:
		s.waits = true
		f.Reason, f.AttemptAt = waits, now.Add(waitPoll)
	}
	return f, verdict, nil
}

// accepted says whether the execution of f is there.
func (e *Engine) accepted(ctx context.Context, f schedule.Firing) (bool, error) {
	x, err := e.ledger.Execution(ctx, ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && x.Launches(f.LaunchPlan.Key, f.Slot), err
}

// replace ends what runs in favour of f.
func (e *Engine) replace(ctx context.Context, s *scene, f schedule.Firing) error {
	cause := fmt.Sprintf("replaced by the slot %s (overlap is %s)", f.Slot.Format(time.RFC3339), f.Overlap)
	for _, x := range s.running {
		if err := e.launcher.Terminate(ctx, x.Key, cause, "tminus"); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("end execution %s: %w", x.Name, err)
		}
	}
	return nil
}
