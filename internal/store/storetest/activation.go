package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

func exerciseActivation(t *testing.T, open func(t *testing.T) Store) {
	s := open(t)

	t.Run("counts from now", func(t *testing.T) {
		ctx := t.Context()
		want := schedule.Spec{Expression: "* * * * *", KickoffInput: "kickoff_time", Policy: schedule.Policy{
			Timezone: "Europe/Berlin", StartAt: at(-60), Jitter: time.Second, CatchUp: schedule.CatchUpAll, Exclude: []string{"5 * * * *"}, Priority: -3,
		}}
		plan := scheduled(t, s, "new", &want)
		got := must(s.Schedule(ctx, plan.Key))(t)
		if got.ID == 0 {
			t.Error("the schedule has no ID")
		}
		same(t, "schedule", got, schedule.Schedule{
			ID: got.ID, LaunchPlan: plan, Spec: want, Active: true, Cursor: noon, Anchor: noon, Next: at(1), UpdatedAt: noon,
		})
		advance(t, s, noon, noon)
		same(t, "ledger", ledger(t, s, plan.Key), []string(nil))
	})

	t.Run("a version takes over between two slots", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "handover", spec("* * * * *")), id("handover", "v2")
		register(t, s, v2)
		before := must(s.Schedule(ctx, v1.Key))(t)
		check(t, s.Activate(ctx, v2, spec("*/2 * * * *"), at(3), noon))
		after := must(s.Schedule(ctx, v1.Key))(t)
		same(t, "ID", after.ID, before.ID)
		same(t, "version", after.LaunchPlan, v2)
		advance(t, s, at(6), noon)
		// The old version had 12:03, so the new one begins at 12:04.
		same(t, "ledger", ledger(t, s, v1.Key), []string{
			"12:01 v1 pending", "12:02 v1 pending", "12:03 v1 pending", "12:04 v2 pending", "12:06 v2 pending",
		})
		same(t, "runs since activation", must(s.Schedule(ctx, v1.Key))(t).Runs, 2)
	})

	t.Run("a long backlog is planned to its end", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "backlog", spec("* * * * *")), id("backlog", "v2")
		register(t, s, v2)
		check(t, s.Activate(ctx, v2, nil, at(2500), noon))
		same(t, "firings", len(ledger(t, s, v1.Key)), 2500)
	})

	t.Run("what the old version missed is caught up as it said", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "missed", spec("* * * * *")), id("missed", "v2")
		register(t, s, v2)
		check(t, s.Activate(ctx, v2, spec("0 0 * * *"), at(5), at(4)))
		same(t, "ledger", ledger(t, s, v1.Key), []string{
			"12:01 v1 missed 2 to 12:02", "12:03 v1 pending", "12:04 v1 pending", "12:05 v1 pending",
		})
	})

	t.Run("a rate", func(t *testing.T) {
		ctx := t.Context()
		v1, v2, v3 := scheduled(t, s, "rate", spec("rate(1 hour)")), id("rate", "v2"), id("rate", "v3")
		register(t, s, v2, v3)
		anchored := func(t *testing.T, anchor time.Time) {
			t.Helper()
			same(t, "anchor", must(s.Schedule(ctx, v1.Key))(t).Anchor, anchor)
		}
		check(t, s.Activate(ctx, v2, spec("rate(1 hour)"), at(10), noon))
		anchored(t, noon) // It did not change, and keeps its phase.
		same(t, "next", must(s.Schedule(ctx, v1.Key))(t).Next, noon.Add(time.Hour))
		check(t, s.Activate(ctx, v3, spec("rate(2 hours)"), at(20), noon))
		anchored(t, at(20))
		check(t, s.Deactivate(ctx, v3, at(30), noon))
		check(t, s.Activate(ctx, v3, spec("rate(2 hours)"), at(40), noon))
		anchored(t, at(40))
	})

	t.Run("of the active version changes nothing", func(t *testing.T) {
		ctx := t.Context()
		plan := scheduled(t, s, "again", spec("* * * * *"))
		before, schedule := must(s.Plan(ctx, plan))(t), must(s.Schedule(ctx, plan.Key))(t)
		check(t, s.Activate(ctx, plan, spec("* * * * *"), at(5), noon))
		same(t, "plan", must(s.Plan(ctx, plan))(t), before)
		same(t, "schedule", must(s.Schedule(ctx, plan.Key))(t), schedule)
	})

	t.Run("without a schedule stops the old one's", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "unscheduled", spec("* * * * *")), id("unscheduled", "v2")
		register(t, s, v2)
		check(t, s.Activate(ctx, v2, nil, at(1), noon))
		advance(t, s, at(5), noon)
		same(t, "ledger", ledger(t, s, v1.Key), []string{"12:01 v1 skipped"})
		stopped := must(s.Schedule(ctx, v1.Key))(t)
		same(t, "active", stopped.Active, false)
		same(t, "next", stopped.Next, time.Time{})
		check(t, s.Activate(ctx, v2, spec("* * * * *"), at(7), noon))
		same(t, "next of the active version, given a schedule", must(s.Schedule(ctx, v1.Key))(t).Next, at(8))
	})

	t.Run("of what cannot be planned is refused", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "refused", spec("* * * * *")), id("refused", "v2")
		register(t, s, v2)
		before := must(s.Schedule(ctx, v1.Key))(t)
		if err := s.Activate(ctx, v2, spec("every now and then"), at(3), noon); err == nil {
			t.Error("the expression was accepted")
		}
		same(t, "active version", must(s.ActivePlan(ctx, v1.Key))(t).ID, v1)
		same(t, "schedule", must(s.Schedule(ctx, v1.Key))(t), before)
		same(t, "ledger", ledger(t, s, v1.Key), []string(nil))
	})

	t.Run("ends", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "ends", spec("* * * * *")), id("ends", "v2")
		register(t, s, v2)
		check(t, s.Deactivate(ctx, v2, at(1), noon)) // It is not the active one.
		same(t, "active version", must(s.ActivePlan(ctx, v1.Key))(t).ID, v1)
		check(t, s.Deactivate(ctx, v1, at(2), noon))
		_, err := s.ActivePlan(ctx, v1.Key)
		wantError(t, err, store.ErrNotFound)
		advance(t, s, at(9), noon)
		same(t, "ledger", ledger(t, s, v1.Key), []string{"12:01 v1 skipped", "12:02 v1 skipped"})
		check(t, s.Activate(ctx, v1, spec("* * * * *"), at(10), noon))
		advance(t, s, at(11), noon)
		same(t, "ledger after the gap", ledger(t, s, v1.Key), []string{"12:01 v1 skipped", "12:02 v1 skipped", "12:11 v1 pending"})
	})
}

// exerciseStop is what pending firings become when their schedule stops. They
// may have been pending for long: put off by jitter, tried again, or held back
// by an overlap policy.
func exerciseStop(t *testing.T, open func(t *testing.T) Store) {
	const deactivated = "the launch plan was deactivated before this slot was launched"
	v1, v2, v3 := id("a", "v1"), id("a", "v2"), id("a", "v3")
	for _, c := range []struct {
		name string
		stop func(ctx context.Context, s Store) error
		want string // the reason; empty when the slots are to launch
	}{
		{"a pending slot launched after deactivation", func(ctx context.Context, s Store) error {
			return s.Deactivate(ctx, v2, at(4), noon)
		}, deactivated},
		{"a pending slot launched after a version without a schedule took over", func(ctx context.Context, s Store) error {
			return s.Activate(ctx, v3, nil, at(4), noon)
		}, deactivated},
		{"a pending slot launched during a pause", func(ctx context.Context, s Store) error {
			return s.Pause(ctx, v2.Key, "maintenance", at(4))
		}, "paused before this slot was launched: maintenance"},
		{"a version with a schedule leaves pending slots to launch", func(ctx context.Context, s Store) error {
			return s.Activate(ctx, v3, spec("* * * * *"), at(4), noon)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			every := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}
			register(t, s, v1, v2, v3)
			check(t, s.Activate(ctx, v1, every, noon, noon))
			bystander := scheduled(t, s, "b", spec("1 * * * *"))
			advance(t, s, at(2), noon)
			for _, f := range must(s.Firings(ctx, of(v1.Key)))(t) {
				if f.Slot.Equal(at(1)) {
					f.Outcome, f.SettledAt = schedule.Launched, at(1)
				} else {
					f.Attempts, f.Reason, f.AttemptAt = 1, "no answer", at(20)
				}
				check(t, s.Settle(ctx, []schedule.Firing{f}))
			}
			check(t, s.Activate(ctx, v2, every, at(2), noon))
			advance(t, s, at(3), noon)
			check(t, c.stop(ctx, s)) // 12:04 is due and not planned yet.

			outcome, waiting := schedule.Skipped, []string{"b 12:01"}
			if c.want == "" {
				outcome, waiting = schedule.Pending, []string{"a 12:02", "a 12:03", "a 12:04", "b 12:01"}
			}
			same(t, "ledger", ledger(t, s, v1.Key), []string{
				"12:01 v1 launched", "12:02 v1 " + string(outcome), "12:03 v2 " + string(outcome), "12:04 v2 " + string(outcome),
			})
			same(t, "the other's ledger", ledger(t, s, bystander.Key), []string{"12:01 v1 pending"})
			got := due(t, s, at(60), 10)
			slices.Sort(got)
			same(t, "due in the end", got, waiting)
			for _, f := range must(s.Firings(ctx, of(v1.Key)))(t) {
				if f.Outcome == schedule.Skipped {
					same(t, "reason", f.Reason, c.want)
					same(t, "settled", f.SettledAt, at(4))
				}
			}
		})
	}
}

// exerciseClockBehind activates with a time that was read before a planner
// moved the cursor past it, or from a clock that was set back.
func exerciseClockBehind(t *testing.T, open func(t *testing.T) Store) {
	v1, v2 := id("a", "v1"), id("a", "v2")
	none := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpNone}}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, s Store)
		want   []string
	}{
		{"a version that took over before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			check(t, s.Activate(t.Context(), v2, none, at(3), noon))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending", "12:06 v2 pending"}},
		{"a schedule resumed before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			check(t, s.Pause(t.Context(), v1.Key, "maintenance", at(5)))
			check(t, s.Activate(t.Context(), v1, none, at(3), noon))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 skipped", "12:06 v1 pending"}},
		{"a launch plan activated again before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			check(t, s.Deactivate(t.Context(), v1, at(5), noon))
			check(t, s.Activate(t.Context(), v1, none, at(3), noon))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 skipped", "12:06 v1 pending"}},
		{"a broken schedule resumed before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			corrupter, ok := s.(Corrupter)
			if !ok {
				t.Fatalf("%T is no Corrupter", s)
			}
			check(t, corrupter.Corrupt(t.Context(), v1.Key, "every now and then"))
			advance(t, s, at(6), noon)
			check(t, corrupter.Corrupt(t.Context(), v1.Key, none.Expression))
			check(t, s.Activate(t.Context(), v1, none, at(3), noon))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending", "12:06 v1 pending"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			register(t, s, v1, v2)
			check(t, s.Activate(ctx, v1, none, noon, noon))
			advance(t, s, at(5), at(5))
			c.change(t, s)
			got := must(s.Schedule(ctx, v1.Key))(t)
			same(t, "cursor", got.Cursor, at(5))
			same(t, "next", got.Next, at(6))
			advance(t, s, at(6), noon)
			same(t, "ledger", ledger(t, s, v1.Key), c.want)
		})
	}
}

func exercisePause(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()

	t.Run("stops a schedule until it is activated", func(t *testing.T) {
		plan := scheduled(t, s, "paused", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}})
		anchor := must(s.Schedule(ctx, plan.Key))(t).Anchor
		advance(t, s, at(2), noon)
		check(t, s.Pause(ctx, plan.Key, "3 executions in a row failed", at(2)))
		paused := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "reason", paused.Paused, "3 executions in a row failed")
		same(t, "still active", paused.Active, true)
		same(t, "next", paused.Next, time.Time{})
		same(t, "updated", paused.UpdatedAt, at(2))
		advance(t, s, at(5), noon)
		check(t, s.Activate(ctx, plan, &paused.Spec, at(5), noon))
		resumed := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "reason after it is resumed", resumed.Paused, "")
		same(t, "updated after it is resumed", resumed.UpdatedAt, at(5))
		same(t, "anchor", resumed.Anchor, anchor)
		same(t, "runs", resumed.Runs, 2)
		advance(t, s, at(6), noon)
		// It has no slots from the pause, nor the one at which it was resumed.
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 skipped", "12:02 v1 skipped", "12:06 v1 pending"})
	})
	t.Run("leaves no slot that was due without an outcome", func(t *testing.T) {
		plan := scheduled(t, s, "behind", spec("* * * * *"))
		check(t, s.Pause(ctx, plan.Key, "maintenance", at(3).Add(time.Second)))
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 missed 2 to 12:02", "12:03 v1 skipped"})
	})
	t.Run("takes a reason", func(t *testing.T) {
		plan := scheduled(t, s, "reason", spec("* * * * *"))
		if err := s.Pause(ctx, plan.Key, "", noon); err == nil {
			t.Error("an empty reason was accepted")
		}
		same(t, "next", must(s.Schedule(ctx, plan.Key))(t).Next, at(1))
	})
	t.Run("is for active schedules", func(t *testing.T) {
		wantError(t, s.Pause(ctx, key("unknown"), "maintenance", noon), store.ErrNotFound)
		plan := scheduled(t, s, "inactive", spec("* * * * *"))
		check(t, s.Deactivate(ctx, plan, noon, noon))
		wantError(t, s.Pause(ctx, plan.Key, "maintenance", noon), store.ErrNotFound)
	})
}
