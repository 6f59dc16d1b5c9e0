package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"tminus.dev/internal/ident"
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
			ID: got.ID, LaunchPlan: plan, Spec: want, Active: true, Cursor: noon, Anchor: noon, Next: at(1), Revision: 1, UpdatedAt: noon,
		})
		advance(t, s, noon)
		same(t, "ledger", ledger(t, s, plan.Key), []string(nil))
	})

	t.Run("a version takes over between two slots", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "handover", spec("* * * * *")), id("handover", "v2")
		register(t, s, v2)
		before := must(s.Schedule(ctx, v1.Key))(t)
		check(t, s.Activate(ctx, v2, spec("*/2 * * * *"), ada(at(3))))
		after := must(s.Schedule(ctx, v1.Key))(t)
		same(t, "ID", after.ID, before.ID)
		same(t, "version", after.LaunchPlan, v2)
		advance(t, s, at(6))
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
		check(t, s.Activate(ctx, v2, nil, ada(at(2500))))
		same(t, "firings", len(ledger(t, s, v1.Key)), 2500)
	})

	t.Run("what the old version missed is caught up as it said", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "missed", spec("* * * * *")), id("missed", "v2")
		register(t, s, v2)
		awake(t, s, at(4))
		check(t, s.Activate(ctx, v2, spec("0 0 * * *"), ada(at(5))))
		awake(t, s, noon)
		same(t, "ledger", ledger(t, s, v1.Key), []string{
			"12:01 v1 missed 2 to 12:02", "12:03 v1 pending catch-up", "12:04 v1 pending", "12:05 v1 pending",
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
		check(t, s.Activate(ctx, v2, spec("rate(1 hour)"), ada(at(10))))
		anchored(t, noon) // It did not change, and keeps its phase.
		same(t, "next", must(s.Schedule(ctx, v1.Key))(t).Next, noon.Add(time.Hour))
		check(t, s.Activate(ctx, v3, spec("rate(2 hours)"), ada(at(20))))
		anchored(t, at(20))
		check(t, s.Deactivate(ctx, v3, ada(at(30))))
		check(t, s.Activate(ctx, v3, spec("rate(2 hours)"), ada(at(40))))
		anchored(t, at(40))
	})

	t.Run("of the active version changes nothing", func(t *testing.T) {
		ctx := t.Context()
		plan := scheduled(t, s, "again", spec("* * * * *"))
		before, schedule := must(s.Plan(ctx, plan))(t), must(s.Schedule(ctx, plan.Key))(t)
		check(t, s.Activate(ctx, plan, spec("* * * * *"), ada(at(5))))
		same(t, "plan", must(s.Plan(ctx, plan))(t), before)
		same(t, "schedule", must(s.Schedule(ctx, plan.Key))(t), schedule)
	})

	t.Run("without a schedule stops the old one's", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "unscheduled", spec("* * * * *")), id("unscheduled", "v2")
		register(t, s, v2)
		check(t, s.Activate(ctx, v2, nil, ada(at(1))))
		advance(t, s, at(5))
		same(t, "ledger", ledger(t, s, v1.Key), []string{"12:01 v1 skipped"})
		stopped := must(s.Schedule(ctx, v1.Key))(t)
		same(t, "active", stopped.Active, false)
		same(t, "next", stopped.Next, time.Time{})
		check(t, s.Activate(ctx, v2, spec("* * * * *"), ada(at(7))))
		same(t, "next of the active version, given a schedule", must(s.Schedule(ctx, v1.Key))(t).Next, at(8))
	})

	t.Run("of what cannot be planned is refused", func(t *testing.T) {
		ctx := t.Context()
		v1, v2 := scheduled(t, s, "refused", spec("* * * * *")), id("refused", "v2")
		register(t, s, v2)
		before := must(s.Schedule(ctx, v1.Key))(t)
		if err := s.Activate(ctx, v2, spec("every now and then"), ada(at(3))); err == nil {
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
		check(t, s.Deactivate(ctx, v2, ada(at(1)))) // It is not the active one.
		same(t, "active version", must(s.ActivePlan(ctx, v1.Key))(t).ID, v1)
		check(t, s.Deactivate(ctx, v1, ada(at(2))))
		_, err := s.ActivePlan(ctx, v1.Key)
		wantError(t, err, store.ErrNotFound)
		advance(t, s, at(9))
		same(t, "ledger", ledger(t, s, v1.Key), []string{"12:01 v1 skipped", "12:02 v1 skipped"})
		check(t, s.Activate(ctx, v1, spec("* * * * *"), ada(at(10))))
		advance(t, s, at(11))
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
			return s.Deactivate(ctx, v2, ada(at(4)))
		}, deactivated},
		{"a pending slot launched after a version without a schedule took over", func(ctx context.Context, s Store) error {
			return s.Activate(ctx, v3, nil, ada(at(4)))
		}, deactivated},
		{"a pending slot launched during a pause", func(ctx context.Context, s Store) error {
			return s.Pause(ctx, v2.Key, "maintenance", time.Time{}, ada(at(4)))
		}, "paused before this slot was launched: maintenance"},
		{"a version with a schedule leaves pending slots to launch", func(ctx context.Context, s Store) error {
			return s.Activate(ctx, v3, spec("* * * * *"), ada(at(4)))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			every := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}
			register(t, s, v1, v2, v3)
			check(t, s.Activate(ctx, v1, every, ada(noon)))
			bystander := scheduled(t, s, "b", spec("1 * * * *"))
			advance(t, s, at(2))
			me := session(t, s)
			for _, f := range claim(t, s, me, at(2)) {
				if f.LaunchPlan == v1 && f.Slot.Equal(at(1)) {
					settle(t, s, launched(f, at(1)))
				} else {
					settle(t, s, failed(f, at(20)))
				}
			}
			check(t, s.Activate(ctx, v2, every, ada(at(2))))
			advance(t, s, at(3))
			check(t, c.stop(ctx, s)) // 12:04 is due and not planned yet.

			outcome, tried, waiting := "skipped", "pending", []string{"b 12:01"}
			if c.want == "" {
				outcome, tried, waiting = "pending", "pending", []string{"a 12:02", "a 12:03", "a 12:04", "b 12:01"}
			}
			want := []string{"12:01 v1 launched", "12:02 v1 " + tried, "12:03 v2 " + outcome, "12:04 v2 " + outcome}
			same(t, "ledger", ledger(t, s, v1.Key), want)
			same(t, "the other's ledger", ledger(t, s, bystander.Key), []string{"12:01 v1 pending"})
			got := names(claim(t, s, me, at(60)))
			slices.Sort(got)
			same(t, "due in the end", got, waiting)
			want[1] = "12:02 v1 " + outcome // It was tried, and turned out not to have been launched.
			same(t, "ledger in the end", ledger(t, s, v1.Key), want)
			for _, f := range must(s.Firings(ctx, of(v1.Key)))(t) {
				if f.Outcome == schedule.Skipped {
					same(t, "reason", f.Reason, c.want)
					settled := at(4)
					if f.Tried {
						settled = at(60)
					}
					same(t, "settled", f.SettledAt, settled)
				}
			}
		})
	}
}

// exerciseUnderWay stops a schedule between the claim of a firing and its end.
func exerciseUnderWay(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name  string
		owner func(f schedule.Firing) *schedule.Firing // what the owner settles; nil when it died
		there bool                                     // the execution is there
		want  string
	}{
		{"launched", func(f schedule.Firing) *schedule.Firing { f = launched(f, at(2)); return &f }, true, "12:01 v1 launched"},
		{"refused", func(f schedule.Firing) *schedule.Firing { f = dead(f, at(2)); return &f }, false, "12:01 v1 dead"},
		{"failed for now", func(f schedule.Firing) *schedule.Firing { f = failed(f, at(50)); return &f }, false, "12:01 v1 skipped"},
		{"failed, but for the answer", func(f schedule.Firing) *schedule.Firing { f = failed(f, at(50)); return &f }, true, "12:01 v1 launched"},
		{"its owner died before the launch", func(schedule.Firing) *schedule.Firing { return nil }, false, "12:01 v1 skipped"},
		{"its owner died after the launch", func(schedule.Firing) *schedule.Firing { return nil }, true, "12:01 v1 launched"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", spec("* * * * *"))
			advance(t, s, at(1))
			first, second := session(t, s), session(t, s)
			f := claim(t, s, first, at(1))[0]
			if c.there {
				created(t, s, executionOf(f, store.Running))
			}
			check(t, s.Deactivate(ctx, plan, ada(at(1))))
			stopped := bySlot(t, s, plan.Key)[0]
			same(t, "its owner", stopped.Owner, first)
			same(t, "why it is stopped", stopped.Stopped, "the launch plan was deactivated before this slot was launched")
			if done := c.owner(f); done != nil {
				settle(t, s, *done)
			} else {
				check(t, s.Leave(ctx, first))
			}
			same(t, "launched after the stop", names(claim(t, s, second, at(3))), []string(nil))
			same(t, "ledger", ledger(t, s, plan.Key), []string{c.want})
		})
	}
}

// executionOf is the execution that f launches.
func executionOf(f schedule.Firing, phase store.Phase) store.Execution {
	return store.Execution{
		Key:        ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()},
		LaunchPlan: f.LaunchPlan, Kind: store.LaunchPlan, Slot: f.Slot, Phase: phase, CreatedAt: f.Slot, UpdatedAt: f.Slot,
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
			check(t, s.Activate(t.Context(), v2, none, ada(at(3))))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending", "12:06 v2 pending"}},
		{"a schedule resumed before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			check(t, s.Pause(t.Context(), v1.Key, "maintenance", time.Time{}, ada(at(5))))
			check(t, s.Activate(t.Context(), v1, none, ada(at(3))))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 skipped", "12:06 v1 pending"}},
		{"a launch plan activated again before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			check(t, s.Deactivate(t.Context(), v1, ada(at(5))))
			check(t, s.Activate(t.Context(), v1, none, ada(at(3))))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 skipped", "12:06 v1 pending"}},
		{"a broken schedule resumed before the cursor planned a missed slot again", func(t *testing.T, s Store) {
			t.Helper()
			corrupt(t, s, v1.Key, "every now and then")
			advance(t, s, at(6))
			corrupt(t, s, v1.Key, none.Expression)
			check(t, s.Activate(t.Context(), v1, none, ada(at(3))))
		}, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending", "12:06 v1 pending"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			register(t, s, v1, v2)
			check(t, s.Activate(ctx, v1, none, ada(noon)))
			awake(t, s, at(5))
			advance(t, s, at(5))
			awake(t, s, noon)
			c.change(t, s)
			got := must(s.Schedule(ctx, v1.Key))(t)
			same(t, "cursor", got.Cursor, at(5))
			same(t, "next", got.Next, at(6))
			advance(t, s, at(6))
			same(t, "ledger", ledger(t, s, v1.Key), c.want)
		})
	}
}

func exercisePause(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	all := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}

	for name, resume := range map[string]func(plan ident.ID) error{
		"resumed":   func(plan ident.ID) error { return s.Resume(ctx, plan.Key, ada(at(5))) },
		"activated": func(plan ident.ID) error { return s.Activate(ctx, plan, spec("1 1 1 1 *"), ada(at(5))) },
	} {
		t.Run("stops a schedule until it is "+name, func(t *testing.T) {
			plan := scheduled(t, s, name, all)
			anchor := must(s.Schedule(ctx, plan.Key))(t).Anchor
			advance(t, s, at(2))
			check(t, s.Pause(ctx, plan.Key, "3 executions in a row failed", time.Time{}, ada(at(2))))
			paused := must(s.Schedule(ctx, plan.Key))(t)
			same(t, "note", paused.Paused, "3 executions in a row failed")
			same(t, "by", paused.PausedBy, "ada")
			same(t, "still active", paused.Active, true)
			same(t, "next", paused.Next, time.Time{})
			same(t, "updated", paused.UpdatedAt, at(2))
			advance(t, s, at(5))
			check(t, resume(plan))
			resumed := must(s.Schedule(ctx, plan.Key))(t)
			same(t, "note after it is resumed", resumed.Paused, "")
			same(t, "by after it is resumed", resumed.PausedBy, "")
			same(t, "updated after it is resumed", resumed.UpdatedAt, at(5))
			same(t, "anchor", resumed.Anchor, anchor)
			same(t, "runs", resumed.Runs, 2)
			advance(t, s, at(6))
			// It is not owed the slots of the pause, nor the one at which it was resumed.
			same(t, "ledger", ledger(t, s, plan.Key), []string{
				"12:01 v1 skipped", "12:02 v1 skipped", "12:03 v1 skipped 3 to 12:05", "12:06 v1 pending",
			})
			same(t, "reason", bySlot(t, s, plan.Key)[2].Reason, "paused by ada: 3 executions in a row failed")
		})
	}

	for _, c := range []struct {
		name string
		then func(t *testing.T, plan ident.ID) // after 12:06, when nobody planned since 12:02
		want []string
	}{
		{"goes on by itself when it is planned", func(*testing.T, ident.ID) {}, []string{"12:05 v1 pending", "12:06 v1 pending"}},
		{"has ended when somebody deactivates", func(t *testing.T, plan ident.ID) {
			t.Helper()
			check(t, s.Deactivate(ctx, plan, ada(at(6))))
		}, []string{"12:05 v1 skipped", "12:06 v1 skipped"}},
		{"has ended when somebody resumes", func(t *testing.T, plan ident.ID) {
			t.Helper()
			check(t, s.Resume(ctx, plan.Key, ada(at(6))))
		}, []string{"12:05 v1 pending", "12:06 v1 pending"}},
		{"has ended when another version takes over", func(t *testing.T, plan ident.ID) {
			t.Helper()
			v2 := ident.ID{Key: plan.Key, Version: "v2"}
			register(t, s, v2)
			check(t, s.Activate(ctx, v2, all, ada(at(6))))
		}, []string{"12:05 v1 pending", "12:06 v1 pending"}},
		{"has ended when somebody pauses again", func(t *testing.T, plan ident.ID) {
			t.Helper()
			check(t, s.Pause(ctx, plan.Key, "again", time.Time{}, ada(at(6))))
		}, []string{"12:05 v1 skipped", "12:06 v1 skipped"}},
	} {
		t.Run("with an end "+c.name, func(t *testing.T) {
			plan := scheduled(t, s, "until "+c.name, all)
			check(t, s.Pause(ctx, plan.Key, "maintenance", at(4), ada(at(2))))
			paused := must(s.Schedule(ctx, plan.Key))(t)
			same(t, "until", paused.PausedUntil, at(4))
			c.then(t, plan)
			advance(t, s, at(6))
			same(t, "ledger", ledger(t, s, plan.Key), append([]string{
				"12:01 v1 skipped", "12:02 v1 skipped", "12:03 v1 skipped 2 to 12:04",
			}, c.want...))
			var ended store.Revision
			for _, r := range must(s.Revisions(ctx, plan.Key, store.Query{Limit: 10}))(t) {
				if r.Action == "resume" {
					ended = r
				}
			}
			same(t, "who resumed it", ended.By, "tminus")
			same(t, "from", ended.From, at(4))
		})
	}
	t.Run("with an end does not go on before it", func(t *testing.T) {
		plan := scheduled(t, s, "until", all)
		check(t, s.Pause(ctx, plan.Key, "maintenance", at(4).Add(time.Second), ada(at(2))))
		advance(t, s, at(4))
		same(t, "note", must(s.Schedule(ctx, plan.Key))(t).Paused, "maintenance")
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 skipped", "12:02 v1 skipped"})
	})
	t.Run("can be another", func(t *testing.T) {
		plan := scheduled(t, s, "another", all)
		check(t, s.Pause(ctx, plan.Key, "maintenance", at(60), ada(at(1))))
		check(t, s.Pause(ctx, plan.Key, "longer", time.Time{}, ada(at(3))))
		check(t, s.Resume(ctx, plan.Key, ada(at(5))))
		same(t, "ledger", ledger(t, s, plan.Key), []string{
			"12:01 v1 skipped", "12:02 v1 skipped 2 to 12:03", "12:04 v1 skipped 2 to 12:05",
		})
		same(t, "reason", bySlot(t, s, plan.Key)[2].Reason, "paused by ada: longer")
	})
	t.Run("leaves no slot that was due without an outcome", func(t *testing.T) {
		plan := scheduled(t, s, "behind", spec("* * * * *"))
		awake(t, s, at(3))
		check(t, s.Pause(ctx, plan.Key, "maintenance", time.Time{}, ada(at(3).Add(time.Second))))
		awake(t, s, noon)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 missed", "12:02 v1 skipped catch-up", "12:03 v1 skipped"})
	})
	t.Run("takes a note", func(t *testing.T) {
		plan := scheduled(t, s, "note", spec("* * * * *"))
		if err := s.Pause(ctx, plan.Key, "", time.Time{}, ada(noon)); err == nil {
			t.Error("an empty note was accepted")
		}
		same(t, "next", must(s.Schedule(ctx, plan.Key))(t).Next, at(1))
	})
	t.Run("is for active schedules", func(t *testing.T) {
		plan := scheduled(t, s, "inactive", spec("* * * * *"))
		check(t, s.Deactivate(ctx, plan, ada(noon)))
		for _, k := range []ident.Key{key("unknown"), plan.Key} {
			wantError(t, s.Pause(ctx, k, "maintenance", time.Time{}, ada(noon)), store.ErrNotFound)
			wantError(t, s.Resume(ctx, k, ada(noon)), store.ErrNotFound)
		}
	})
	t.Run("ends nothing where there is none", func(t *testing.T) {
		plan := scheduled(t, s, "running", spec("* * * * *"))
		before := must(s.Schedule(ctx, plan.Key))(t)
		check(t, s.Resume(ctx, plan.Key, ada(at(5))))
		same(t, "schedule", must(s.Schedule(ctx, plan.Key))(t), before)
	})
}

// exerciseManual records single slots by hand.
func exerciseManual(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()

	t.Run("a skipped slot does not launch", func(t *testing.T) {
		plan := scheduled(t, s, "skip", spec("* * * * *"))
		check(t, s.Skip(ctx, plan.Key, at(2), ada(noon)))
		advance(t, s, at(3))
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending", "12:02 v1 skipped manual", "12:03 v1 pending"})
		same(t, "reason", bySlot(t, s, plan.Key)[1].Reason, "skipped by ada: a test")
	})
	t.Run("a skip is taken back while its slot has not come", func(t *testing.T) {
		plan := scheduled(t, s, "unskip", spec("* * * * *"))
		for _, slot := range []time.Time{at(1), at(2), at(3)} {
			check(t, s.Skip(ctx, plan.Key, slot, ada(noon)))
		}
		advance(t, s, at(1))
		wantError(t, s.Unskip(ctx, plan.Key, at(1), ada(at(1))), store.ErrNotFound)
		check(t, s.Unskip(ctx, plan.Key, at(2), ada(at(1))))
		wantError(t, s.Unskip(ctx, plan.Key, at(2), ada(at(1))), store.ErrNotFound)
		wantError(t, s.Unskip(ctx, plan.Key, at(3), ada(at(3))), store.ErrNotFound) // It is due, planned or not.
		wantError(t, s.Unskip(ctx, plan.Key, at(9), ada(at(1))), store.ErrNotFound)
		f := must(s.RunNow(ctx, plan.Key, at(8), ada(at(1))))(t)
		exec(t, s, "UPDATE firings SET outcome = 2, tried = 1, settled_at = 0 WHERE slot = %d AND schedule_id = %d", at(8).UnixMicro(), f.ScheduleID)
		wantError(t, s.Unskip(ctx, plan.Key, at(8), ada(at(1))), store.ErrNotFound) // It was skipped while it was launched, perhaps.
		advance(t, s, at(3))
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 skipped manual", "12:02 v1 pending", "12:03 v1 skipped manual", "12:08 v1 skipped manual"})
	})
	t.Run("what was decided is not skipped", func(t *testing.T) {
		plan := scheduled(t, s, "decided", spec("* * * * *"))
		advance(t, s, at(2))
		for _, slot := range []time.Time{at(0), at(1), at(2)} {
			wantError(t, s.Skip(ctx, plan.Key, slot, ada(at(2))), store.ErrExists)
		}
		check(t, s.Skip(ctx, plan.Key, at(3), ada(at(2))))
		wantError(t, s.Skip(ctx, plan.Key, at(3), ada(at(2))), store.ErrExists)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending", "12:02 v1 pending", "12:03 v1 skipped manual"})
	})
	t.Run("a run at once", func(t *testing.T) {
		plan := scheduled(t, s, "run", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{LaunchDeadline: time.Hour, Priority: 3, Overlap: schedule.OverlapSkip}})
		f := must(s.RunNow(ctx, plan.Key, noon, ada(noon)))(t)
		same(t, "firing", f, schedule.Firing{
			ScheduleID: f.ScheduleID, LaunchPlan: plan, Kind: schedule.KindManual, Slot: noon, Last: noon, Count: 1, Outcome: schedule.Pending,
			AttemptAt: noon, Deadline: noon.Add(time.Hour), Priority: 3, Overlap: schedule.OverlapSkip, RecordedAt: noon,
		})
		same(t, "stored", bySlot(t, s, plan.Key), []schedule.Firing{f})
		_, err := s.RunNow(ctx, plan.Key, noon, ada(noon))
		wantError(t, err, store.ErrExists)
		same(t, "runs of the schedule", must(s.Schedule(ctx, plan.Key))(t).Runs, 0)
	})
	t.Run("a run in the place of a coming slot", func(t *testing.T) {
		plan := scheduled(t, s, "place", spec("* * * * *"))
		must(s.RunNow(ctx, plan.Key, at(1), ada(noon)))(t)
		advance(t, s, at(2))
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending manual", "12:02 v1 pending"})
	})
	t.Run("a run during a pause", func(t *testing.T) {
		plan := scheduled(t, s, "paused", spec("* * * * *"))
		check(t, s.Pause(ctx, plan.Key, "maintenance", time.Time{}, ada(noon)))
		must(s.RunNow(ctx, plan.Key, at(2).Add(time.Second), ada(at(2).Add(time.Second))))(t)
		check(t, s.Resume(ctx, plan.Key, ada(at(3))))
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 skipped 3 to 12:03", "12:02 v1 pending manual"})
	})
	t.Run("a slot that somebody skipped or ran is none of the runs of a schedule", func(t *testing.T) {
		for name, finish := range map[string]func(plan ident.ID){
			"counted":               func(ident.ID) { advance(t, s, at(9)) },
			"counted when it stops": func(plan ident.ID) { check(t, s.Pause(ctx, plan.Key, "maintenance", time.Time{}, ada(at(9)))) },
		} {
			plan := scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{MaxRuns: 2}})
			check(t, s.Skip(ctx, plan.Key, at(2), ada(noon)))
			must(s.RunNow(ctx, plan.Key, at(3), ada(noon)))(t)
			finish(plan)
			var slots []string
			for _, f := range bySlot(t, s, plan.Key) {
				slots = append(slots, f.Slot.Format("15:04 ")+string(f.Kind))
			}
			same(t, name, slots, []string{"12:01 scheduled", "12:02 manual", "12:03 manual", "12:04 scheduled"})
			same(t, "runs "+name, must(s.Schedule(ctx, plan.Key))(t).Runs, 2)
		}
	})
	t.Run("only of active schedules", func(t *testing.T) {
		plan := scheduled(t, s, "inactive", spec("* * * * *"))
		check(t, s.Deactivate(ctx, plan, ada(noon)))
		for _, k := range []ident.Key{key("unknown"), plan.Key} {
			_, err := s.RunNow(ctx, k, at(1), ada(noon))
			wantError(t, err, store.ErrNotFound)
			wantError(t, s.Skip(ctx, k, at(1), ada(noon)), store.ErrNotFound)
			wantError(t, s.Unskip(ctx, k, at(1), ada(noon)), store.ErrNotFound)
		}
	})
}

func exerciseRevisions(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	first := schedule.Spec{Expression: "* * * * *", KickoffInput: "kickoff_time", Policy: schedule.Policy{Priority: 4}}
	second := schedule.Spec{Expression: "rate(1 hour)"}
	v1, v2 := scheduled(t, s, "a", &first), id("a", "v2")
	register(t, s, v2)
	scheduled(t, s, "bystander", spec("* * * * *"))
	for _, err := range []error{
		s.Pause(ctx, v1.Key, "maintenance", at(30), ada(at(2).Add(time.Second))),
		s.Resume(ctx, v1.Key, ada(at(4))),
		s.Skip(ctx, v1.Key, at(9), ada(at(5))),
		s.Unskip(ctx, v1.Key, at(9), ada(at(6))),
		s.Activate(ctx, v1, &first, ada(at(6))), // It is active, and not paused.
		s.Activate(ctx, v2, &second, ada(at(7))),
		s.Deactivate(ctx, v2, ada(at(8))),
		s.Activate(ctx, v1, &first, ada(at(7))), // With a time from before the cursor.
	} {
		check(t, err)
	}
	must(s.RunNow(ctx, v1.Key, noon, ada(at(8))))(t)
	got := must(s.Revisions(ctx, v1.Key, store.Query{SortBy: "number", Ascending: true, Limit: 20}))(t)
	var want []store.Revision
	for i, r := range []struct {
		action   string
		plan     ident.ID
		spec     schedule.Spec
		at, from time.Time
		anchor   time.Time
		active   bool
		paused   string
	}{
		{"activate", v1, first, noon, noon, noon, true, ""},
		{"pause", v1, first, at(2).Add(time.Second), at(2).Add(time.Second), noon, true, "maintenance"},
		{"resume", v1, first, at(4), at(4), noon, true, ""},
		{"skip 2026-03-02T12:09:00Z", v1, first, at(5), at(4), noon, true, ""},
		{"unskip 2026-03-02T12:09:00Z", v1, first, at(6), at(4), noon, true, ""},
		{"activate", v2, second, at(7), at(7), at(7), true, ""},
		{"deactivate", v2, second, at(8), at(8), at(7), false, ""},
		{"activate", v1, first, at(7), at(8), at(7), true, ""},
		{"run 2026-03-02T12:00:30Z", v1, first, at(8), at(8), at(7), true, ""},
	} {
		revision := store.Revision{
			ScheduleID: must(s.Schedule(ctx, v1.Key))(t).ID, Number: i + 1, LaunchPlan: r.plan, Spec: r.spec, Anchor: r.anchor,
			Active: r.active, Paused: r.paused, Action: r.action, By: "ada", Why: "a test", At: r.at, From: r.from,
		}
		if r.paused != "" {
			revision.PausedUntil = at(30)
		}
		want = append(want, revision)
	}
	same(t, "revisions", got, want)
	same(t, "revision in force", must(s.Schedule(ctx, v1.Key))(t).Revision, len(want))
	newest := must(s.Revisions(ctx, v1.Key, store.Query{Limit: 1}))(t)
	same(t, "the newest", newest, want[len(want)-1:])
	same(t, "of a launch plan without any", must(s.Revisions(ctx, key("unknown"), store.Query{Limit: 1}))(t), []store.Revision(nil))
}

func exerciseActivateAll(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	there := scheduled(t, s, "there", spec("* * * * *"))
	register(t, s, id("known", "v1"))
	plans := []store.Activation{
		{Plan: planOf(id("new", "v1")), Schedule: spec("*/5 * * * *")},
		{Plan: planOf(id("known", "v1")), Schedule: spec("*/6 * * * *")},
		{Plan: planOf(id("there", "v2")), Schedule: spec("*/7 * * * *")},
		{Plan: planOf(id("bare", "v1"))},
	}
	check(t, s.ActivateAll(ctx, plans, ada(at(1))))
	for _, p := range plans {
		same(t, p.Name, must(s.ActivePlan(ctx, p.Key))(t).ID, p.ID)
		got, err := s.Schedule(ctx, p.Key)
		if p.Schedule == nil {
			wantError(t, err, store.ErrNotFound)
			continue
		}
		check(t, err)
		same(t, p.Name, []string{got.LaunchPlan.Version, got.Spec.Expression}, []string{p.Version, p.Schedule.Expression})
	}
	same(t, "the version before", must(s.Plan(ctx, there))(t).Active, false)

	// A pause goes on with another version, to its end.
	check(t, s.Pause(ctx, there.Key, "maintenance", at(60), ada(at(2))))
	check(t, s.ActivateAll(ctx, []store.Activation{{Plan: planOf(id("there", "v3")), Schedule: spec("*/8 * * * *")}}, ada(at(10))))
	paused := must(s.Schedule(ctx, there.Key))(t)
	same(t, "paused", []any{paused.LaunchPlan.Version, paused.Paused, paused.PausedBy, paused.PausedUntil, paused.Next}, []any{"v3", "maintenance", "ada", at(60), time.Time{}})
	check(t, s.ActivateAll(ctx, []store.Activation{{Plan: planOf(id("there", "v3")), Schedule: spec("*/8 * * * *")}}, ada(at(11))))
	same(t, "paused after it is activated again", must(s.Schedule(ctx, there.Key))(t), paused)
	advance(t, s, at(68))
	same(t, "ledger after the pause", ledger(t, s, there.Key)[1:], []string{"12:07 v2 skipped", "12:16 v3 skipped 7 to 13:00", "13:08 v3 pending"})

	// A rate has the phase that is given, and no slot of before the change.
	rate := store.Activation{Plan: planOf(id("phase", "v1")), Schedule: &schedule.Spec{Expression: "rate(10 minutes)", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}}, Anchor: at(3)}
	check(t, s.ActivateAll(ctx, []store.Activation{rate}, ada(at(68))))
	phase := must(s.Schedule(ctx, rate.Key))(t)
	same(t, "anchor, cursor and next", []time.Time{phase.Anchor, phase.Cursor, phase.Next}, []time.Time{at(3), at(68), at(73)})
	advance(t, s, at(83))
	same(t, "ledger of the rate", ledger(t, s, rate.Key), []string{"13:13 v1 pending", "13:23 v1 pending"})

	// What was registered before stays, unless it is replaced.
	other := planOf(id("new", "v1"))
	other.Workflow, other.Spec = id("other", "v9"), []byte("other")
	again := store.Activation{Plan: other, Schedule: spec("*/9 * * * *")}
	check(t, s.ActivateAll(ctx, []store.Activation{again}, ada(at(84))))
	same(t, "not replaced", []any{string(must(s.Plan(ctx, other.ID))(t).Spec), must(s.Schedule(ctx, other.Key))(t).Spec.Expression}, []any{string(planOf(other.ID).Spec), "*/5 * * * *"})
	again.Replace = true
	check(t, s.ActivateAll(ctx, []store.Activation{again}, ada(at(84))))
	same(t, "replaced", []any{string(must(s.ActivePlan(ctx, other.Key))(t).Spec), must(s.ActivePlan(ctx, other.Key))(t).Workflow, must(s.Schedule(ctx, other.Key))(t).Spec.Expression}, []any{"other", id("other", "v9"), "*/9 * * * *"})

	bad := []store.Activation{{Plan: planOf(id("good", "v1")), Schedule: spec("* * * * *")}, {Plan: planOf(id("bad", "v1")), Schedule: spec("every now and then")}}
	if err := s.ActivateAll(ctx, bad, ada(at(84))); err == nil {
		t.Error("what cannot be planned was activated")
	}
	_, err := s.Plan(ctx, id("good", "v1"))
	wantError(t, err, store.ErrNotFound)
}
