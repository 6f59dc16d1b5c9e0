package simulation_test

import (
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// check proves the invariants from the ledger and the target's log.
func check(w *world) {
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Errorf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
	}
	schedules, err := w.db.Schedules(w.t.Context(), store.Query{Limit: 1000})
	if err != nil {
		fail("%v", err)
	}
	w.target.mu.Lock()
	defer w.target.mu.Unlock()
	accepted := map[string][]*launch{} // by launch plan and slot
	for key, l := range w.target.launches {
		if l.ended == 0 {
			fail("execution %s never ended", key.Name)
		}
		at := place(l.firing.LaunchPlan.Key, l.firing.Slot)
		accepted[at] = append(accepted[at], l)
	}
	if w.flyte != nil {
		accepted = w.flyte.accepted(fail)
	}
	for at, ls := range accepted {
		if len(ls) > 1 {
			fail("slot %s was launched %d times", at, len(ls))
		}
	}
	recorded := map[string]bool{}
	for _, s := range schedules {
		for at := range checkSchedule(w, s, accepted, fail) {
			recorded[at] = true
		}
	}
	for at := range accepted {
		if !recorded[at] {
			fail("slot %s was launched and is not in the ledger", at)
		}
	}
}

func place(plan ident.Key, slot time.Time) string {
	return plan.Name + " " + slot.UTC().Format("02 15:04:05")
}

// checkSchedule proves that each slot has the outcome it should have, and
// returns the slots that were launched.
func checkSchedule(w *world, s schedule.Schedule, accepted map[string][]*launch, fail func(string, ...any)) map[string]bool {
	ctx, key := w.t.Context(), s.LaunchPlan.Key
	firings, err := w.db.Firings(ctx, store.Query{Project: key.Project, Domain: key.Domain, Name: key.Name, SortBy: "slot", Ascending: true, Limit: 100_000})
	if err != nil {
		fail("%v", err)
	}
	revisions, err := w.db.Revisions(ctx, key, store.Query{Limit: 10_000})
	if err != nil {
		fail("%v", err)
	}
	slices.Reverse(revisions)

	launched := map[string]bool{}
	own := map[int64]schedule.Firing{}
	var ranges []schedule.Firing
	for _, f := range firings {
		at := place(key, f.Slot)
		if f.Count > 1 || f.Outcome == schedule.Missed {
			ranges = append(ranges, f)
			continue
		}
		own[f.Slot.Unix()] = f
		there := len(accepted[at]) > 0
		if there != (f.Outcome == schedule.Launched) {
			fail("slot %s is %s (%s), and launched is %t", at, f.Outcome, f.Reason, there)
		}
		if f.Outcome == schedule.Pending || f.Owner != 0 {
			fail("slot %s is still %s, claimed by %d", at, f.Outcome, f.Owner)
		}
		if f.Outcome != schedule.Launched && f.Reason == "" {
			fail("slot %s is %s without a reason", at, f.Outcome)
		}
		if f.Outcome == schedule.Launched {
			launched[at] = true
		}
	}
	checkOverlap(w, key, own, accepted, fail)

	// What there was word of out of order may be ahead of a change, where the clock was set back in between.
	ahead := w.cloud != nil && len(w.jumps) > 0
	wanted := map[int64]bool{} // every slot that some revision has
	for i, r := range revisions {
		if r.Number != i+1 {
			fail("revision %d of %s is the %d.", r.Number, key.Name, i+1)
		}
		end := s.Cursor
		if i+1 < len(revisions) {
			end = revisions[i+1].From
		}
		if !r.Active {
			continue
		}
		timetable, err := r.Spec.Compile(r.Anchor)
		if err != nil {
			fail("%v", err)
			continue
		}
		for slot := timetable.Next(r.From); !slot.IsZero() && !slot.After(end); slot = timetable.Next(slot) {
			wanted[slot.Unix()] = true
			covering := 0
			for _, f := range ranges {
				if !f.Slot.After(slot) && !f.Last.Before(slot) {
					covering++
				}
			}
			f, is := own[slot.Unix()]
			switch {
			case !is && covering != 1:
				fail("slot %s has no firing and is in %d ranges (revision %d, from %s to %s)", place(key, slot), covering, r.Number, r.From, end)
			case is && r.Paused != "" && !ahead && (f.Kind == schedule.KindScheduled || f.Kind == schedule.KindCatchUp) && f.Outcome == schedule.Launched:
				fail("slot %s was launched during a pause", place(key, slot))
			case is && f.Kind == schedule.KindCatchUp && r.Spec.Policy.CatchUp == schedule.CatchUpNone:
				fail("slot %s was caught up under none", place(key, slot))
			}
		}
	}
	for at, f := range own {
		if !ahead && !wanted[at] && (f.Kind == schedule.KindScheduled || f.Kind == schedule.KindCatchUp) {
			fail("slot %s is %s, and no revision has it", place(key, f.Slot), f.Outcome)
		}
	}
	for _, f := range ranges {
		if f.Outcome != schedule.Missed && f.Outcome != schedule.Skipped || f.Reason == "" {
			fail("the slots from %s to %s are %s (%q)", place(key, f.Slot), place(key, f.Last), f.Outcome, f.Reason)
		}
	}
	return launched
}

// launchTime is how long the engines wait for a launch.
const launchTime = 15 * time.Second

// checkOverlap proves that no launch was let in that its policy forbids. A clock
// that jumps ahead ends all sessions at once, so that a launch under way is no
// longer counted; no ledger can help that, and docs/guarantees.md says so. On a
// Flyte an execution runs from its creation to its end there, whatever tminus had
// heard of either.
func checkOverlap(w *world, key ident.Key, own map[int64]schedule.Firing, accepted map[string][]*launch, fail func(string, ...any)) {
	var all []*launch
	for _, f := range own {
		all = append(all, accepted[place(key, f.Slot)]...)
	}
	limit := func(f schedule.Firing) int {
		if f.Overlap == "" || f.Overlap == schedule.OverlapAllow {
			return int(f.MaxRunning)
		}
		return 1
	}
	for _, l := range all {
		most := limit(l.firing)
		if most == 0 {
			continue
		}
		running := 1
		for _, other := range all {
			if other != l && other.claim.after < l.claim.before && other.outlasts(l.claim) && !w.jumped(other.claim.at, other.begun) {
				running++
			}
		}
		if running > most {
			fail("%d executions of %s run when %s (overlap %q, at most %d) begins", running, key.Name, l.firing.Slot.Format("15:04:05"), l.firing.Overlap, l.firing.MaxRunning)
		}
	}
}
