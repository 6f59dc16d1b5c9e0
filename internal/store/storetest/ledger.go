package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

func exerciseAdvance(t *testing.T, open func(t *testing.T) Store) {
	t.Run("records firings and moves the cursor", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{
			LaunchDeadline: time.Hour, Priority: 7, Overlap: schedule.OverlapSkip, MaxRunning: 3,
		}})
		same(t, "taken", must(s.Advance(ctx, 0, at(1), 10, 0))(t).Schedules, 1)
		got := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "cursor", got.Cursor, at(1))
		same(t, "next", got.Next, at(2))
		same(t, "runs", got.Runs, 1)
		same(t, "updated", got.UpdatedAt, noon)
		same(t, "firings", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{{
			ScheduleID: got.ID, LaunchPlan: plan, Kind: schedule.KindScheduled, Slot: at(1), Last: at(1), Count: 1, Outcome: schedule.Pending,
			AttemptAt: at(1), Deadline: at(61), Priority: 7, Overlap: schedule.OverlapSkip, MaxRunning: 3, RecordedAt: at(1),
		}})
		same(t, "taken again", must(s.Advance(ctx, 0, at(1), 10, 0))(t).Schedules, 0)
	})

	t.Run("takes the soonest, up to the limit", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "later", spec("2 * * * *"))
		scheduled(t, s, "soonest", spec("1 * * * *"))
		scheduled(t, s, "latest", spec("3 * * * *"))
		same(t, "taken", must(s.Advance(ctx, 0, at(5), 2, 0))(t).Schedules, 2)
		for name, want := range map[string]int{"soonest": 1, "later": 1, "latest": 0} {
			same(t, "firings of "+name, len(ledger(t, s, key(name))), want)
		}
		same(t, "taken next", must(s.Advance(ctx, 0, at(5), 2, 0))(t).Schedules, 1)
	})

	t.Run("catches up as the policy says", func(t *testing.T) {
		s := open(t)
		awake(t, s, at(5))
		for name, c := range map[string]struct {
			catchUp schedule.CatchUp
			want    []string
		}{
			"latest": {schedule.CatchUpLatest, []string{"12:01 v1 missed 3 to 12:03", "12:04 v1 pending catch-up", "12:05 v1 pending"}},
			"none":   {schedule.CatchUpNone, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending"}},
			"two":    {2, []string{"12:01 v1 missed 2 to 12:02", "12:03 v1 pending catch-up", "12:04 v1 pending catch-up", "12:05 v1 pending"}},
		} {
			plan := scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: c.catchUp}})
			advanced := must(s.Advance(t.Context(), 0, at(5), 10, 0))(t)
			same(t, "ledger of "+name, ledger(t, s, plan.Key), c.want)
			same(t, "dropped of "+name, names(advanced.Dropped), []string{name + " 12:01"})
			for i, f := range bySlot(t, s, plan.Key) {
				if f.Kind == schedule.KindCatchUp {
					same(t, "behind", f.Behind, true)
					same(t, "attempt", f.AttemptAt, at(5).Add(time.Duration(i-1)*time.Microsecond))
				}
			}
		}
	})

	t.Run("does not grow with the time since the last one", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		all := schedule.Policy{CatchUp: schedule.CatchUpAll, CatchUpWindow: 365 * 24 * time.Hour}
		const schedules, minutes = 12, 1100
		for i := range schedules {
			scheduled(t, s, fmt.Sprint("s", i), &schedule.Spec{Expression: "* * * * *", Policy: all})
		}
		if taken := must(s.Advance(ctx, 0, at(minutes), schedules, 0))(t).Schedules; taken == 0 || taken == schedules {
			t.Errorf("one transaction took %d schedules with %d slots each", taken, minutes)
		}
		advance(t, s, at(minutes))
		for i := range schedules {
			same(t, "firings", len(ledger(t, s, key(fmt.Sprint("s", i)))), minutes)
		}
	})

	t.Run("sets aside what cannot be planned", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		bad, good := scheduled(t, s, "bad", spec("* * * * *")), scheduled(t, s, "good", spec("* * * * *"))
		corrupt(t, s, bad.Key, "every now and then")
		dropped := must(s.Advance(ctx, 0, at(2), 10, 0))(t).Dropped
		advance(t, s, at(2))
		got := must(s.Schedule(ctx, bad.Key))(t)
		same(t, "dropped", dropped, []schedule.Firing{{
			ScheduleID: got.ID, LaunchPlan: bad, Kind: schedule.KindScheduled, Slot: at(1), Last: at(1), Count: 1,
			Outcome: schedule.Missed, Reason: "could not be planned: " + got.Problem, RecordedAt: at(2), SettledAt: at(2),
		}})
		if got.Problem == "" {
			t.Error("the problem is not told")
		}
		same(t, "next", got.Next, time.Time{})
		same(t, "cursor", got.Cursor, noon)
		revisions := must(s.Revisions(ctx, bad.Key, store.Query{Limit: 1}))(t)
		same(t, "revision", revisions, []store.Revision{{
			ScheduleID: got.ID, Number: 2, LaunchPlan: bad, Spec: got.Spec, Anchor: got.Anchor, Active: true,
			Action: "problem", By: "tminus", Why: got.Problem, At: at(2), From: noon,
		}})
		same(t, "ledger of the bad one", ledger(t, s, bad.Key), []string(nil))
		same(t, "ledger of the good one", ledger(t, s, good.Key), []string{"12:01 v1 pending", "12:02 v1 pending"})
		if err := s.Activate(ctx, bad, spec("* * * * *"), ada(at(3))); err == nil {
			t.Error("it was resumed though it cannot be planned")
		}
		corrupt(t, s, bad.Key, "* * * * *")
		check(t, s.Activate(ctx, bad, spec("* * * * *"), ada(at(4))))
		advance(t, s, at(5))
		same(t, "problem after the repair", must(s.Schedule(ctx, bad.Key))(t).Problem, "")
		same(t, "ledger after the repair", ledger(t, s, bad.Key), []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending"})
	})

	t.Run("resumes what has no slot to miss", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		corrupt(t, s, plan.Key, "every now and then")
		advance(t, s, at(1))
		corrupt(t, s, plan.Key, "30 * * * *")
		check(t, s.Activate(ctx, plan, spec("30 * * * *"), ada(at(2))))
		same(t, "next", must(s.Schedule(ctx, plan.Key))(t).Next, at(30))
		same(t, "ledger", ledger(t, s, plan.Key), []string(nil))
	})

	t.Run("replaces a bad version", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		v1, v2 := scheduled(t, s, "a", spec("* * * * *")), id("a", "v2")
		register(t, s, v2)
		corrupt(t, s, v1.Key, "every now and then")
		check(t, s.Activate(ctx, v2, spec("* * * * *"), ada(at(2))))
		advance(t, s, at(3))
		same(t, "ledger", ledger(t, s, v1.Key), []string{"12:03 v2 pending"})
	})
}

func exerciseLaunches(t *testing.T, open func(t *testing.T) Store) {
	t.Run("are tried again until they settle", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", prioritized(1))
		other := scheduled(t, s, "b", prioritized(0))
		advance(t, s, at(1))
		me := session(t, s)
		claimed := claim(t, s, me, at(1))
		same(t, "due", names(claimed), []string{"a 12:01", "b 12:01"})
		f := claimed[0]
		same(t, "as it is claimed", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{f})
		same(t, "owner", f.Owner, me)
		same(t, "tried", f.Tried, true)
		same(t, "due again while they are claimed", names(claim(t, s, me, at(1))), []string(nil))

		f = failed(f, at(5))
		settle(t, s, f, failed(claimed[1], at(4)))
		f.Owner = 0
		same(t, "still pending", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{f})
		// What waits under a high priority does not hold up the others.
		same(t, "due meanwhile", names(claim(t, s, me, at(4))), []string{other.Name + " 12:01"})
		claimed = claim(t, s, me, at(5))
		same(t, "due in the end", names(claimed), []string{plan.Name + " 12:01"})

		f = launched(claimed[0], at(5))
		f.Reason = ""
		settle(t, s, f)
		f.Owner = 0
		same(t, "settled", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{f})
		same(t, "due after that", names(claim(t, s, me, at(5))), []string(nil))
	})

	t.Run("settle once", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		f := claim(t, s, session(t, s), at(1))[0]
		first, second, unknown := launched(f, at(1)), dead(f, at(2)), launched(f, at(2))
		unknown.Slot = at(40)
		same(t, "settled of one that is not there", must(s.Settle(ctx, []schedule.Firing{first, unknown}))(t), 1)
		same(t, "settled again", must(s.Settle(ctx, []schedule.Firing{second}))(t), 0)
		first.Owner = 0
		same(t, "firings", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{first})
	})

	t.Run("before all others are excluded are recorded, and the schedule says why it stops", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		y := noon.Year() + 1
		sp := spec("* * * * ? *")
		sp.Policy.Exclude = []string{fmt.Sprintf("* * * * ? %d-2199", y)}
		sp.Policy.CatchUp = schedule.CatchUpNone
		plan := scheduled(t, s, "a", sp)
		later := time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
		awake(t, s, later)
		advance(t, s, later)
		got := must(s.Schedule(ctx, plan.Key))(t)
		if !got.Next.IsZero() || got.Problem == "" {
			t.Errorf("next %s, problem %q", got.Next, got.Problem)
		}
		same(t, "cursor", got.Cursor, later.Add(-time.Minute))
		last := must(s.Revisions(t.Context(), plan.Key, store.Query{Limit: 1}))(t)[0]
		same(t, "revision", []any{last.Action, last.Why, last.From}, []any{"problem", got.Problem, got.Cursor})
	})

	t.Run("settle in bulk", func(t *testing.T) {
		s := open(t)
		plan := scheduled(t, s, "a", spec("* * * * *"))
		const many = 777
		advance(t, s, at(many))
		firings := claim(t, s, session(t, s), at(many))
		same(t, "due", len(firings), many)
		for i := range firings {
			firings[i] = dead(firings[i], at(many))
			firings[i].Reason = fmt.Sprint("reason ", i)
		}
		settle(t, s, firings...)
		for i := range firings {
			firings[i].Owner = 0
		}
		same(t, "settled", bySlot(t, s, plan.Key), firings)
	})

	t.Run("say when the next are due", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		type agenda struct{ Slot, Live, Behind, Backlog time.Time }
		next := func(t *testing.T, want agenda) {
			t.Helper()
			same(t, "next", agenda{must(s.NextSlot(ctx))(t), must(s.NextAttempt(ctx, false))(t), must(s.NextAttempt(ctx, true))(t), must(s.NextStep(ctx))(t)}, want)
		}
		next(t, agenda{})
		high, low := scheduled(t, s, "a", prioritized(9)), scheduled(t, s, "b", &schedule.Spec{Expression: "3 * * * *"})
		next(t, agenda{Slot: at(1)})
		awake(t, s, at(3))
		advance(t, s, at(3))
		next(t, agenda{Slot: at(4), Live: at(3), Behind: at(3)}) // 12:02 is caught up with.
		for _, f := range claim(t, s, session(t, s), at(3)) {
			again := at(20)
			if f.LaunchPlan == low {
				again = at(10)
			}
			settle(t, s, failed(f, again))
		}
		next(t, agenda{Slot: at(4), Live: at(10), Behind: at(20)})
		check(t, s.Pause(ctx, high.Key, "maintenance", at(50), ada(at(3))))
		next(t, agenda{Slot: at(50), Live: at(3), Behind: at(3)}) // To see whether they were launched.
		claim(t, s, session(t, s), at(3))
		next(t, agenda{Slot: at(50), Live: at(10)})
		must(s.CreateBackfill(ctx, low.Key, store.Backlog{First: at(-120), Last: at(0)}, ada(at(3))))(t)
		next(t, agenda{Slot: at(50), Live: at(10), Backlog: at(3)})
		check(t, s.Deactivate(ctx, high, ada(at(3))))
		next(t, agenda{Slot: at(63), Live: at(10), Backlog: at(3)})
	})
}

func exerciseFirings(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	a, b := scheduled(t, s, "a", spec("* * * * *")), scheduled(t, s, "b", spec("*/2 * * * *"))
	awake(t, s, at(3))
	advance(t, s, at(5))
	outcomes := map[string]schedule.Outcome{"a 12:03": schedule.Launched, "a 12:04": schedule.Skipped, "b 12:04": schedule.Dead}
	for _, f := range claim(t, s, session(t, s), at(5)) {
		if o, ok := outcomes[f.LaunchPlan.Name+f.Slot.Format(" 15:04")]; ok {
			f.Outcome, f.SettledAt = o, at(6)
			settle(t, s, f)
		}
	}
	where := func(field string, op store.Op, values ...string) []store.Filter {
		return []store.Filter{{Field: field, Op: op, Values: values}}
	}
	for _, c := range []struct {
		name string
		q    store.Query
		want []string
	}{
		{"newest first", store.Query{}, []string{"a 12:05", "b 12:04", "a 12:04", "a 12:03", "b 12:02", "a 12:02", "a 12:01"}},
		{"a page", store.Query{Limit: 2, Offset: 2}, []string{"a 12:04", "a 12:03"}},
		{"of one launch plan", of(b.Key), []string{"b 12:04", "b 12:02"}},
		{"of one project", store.Query{Project: a.Project, Limit: 1}, []string{"a 12:05"}},
		{"of none", store.Query{Project: "other"}, nil},
		{"oldest first", store.Query{SortBy: "slot", Ascending: true, Limit: 3}, []string{"a 12:01", "a 12:02", "b 12:02"}},
		{"pending", store.Query{Filters: where("outcome", store.Eq, "pending")}, []string{"a 12:05", "b 12:02", "a 12:02"}},
		{"launched", store.Query{Filters: where("outcome", store.Eq, "launched")}, []string{"a 12:03"}},
		{"not launched", store.Query{Filters: where("outcome", store.ValueIn, "missed", "skipped", "dead")}, []string{"b 12:04", "a 12:04", "a 12:01"}},
		{"pending or dead", store.Query{Filters: where("outcome", store.ValueIn, "dead", "pending")}, []string{"a 12:05", "b 12:04", "b 12:02", "a 12:02"}},
		{"settled", store.Query{Filters: where("outcome", store.Ne, "pending")}, []string{"b 12:04", "a 12:04", "a 12:03", "a 12:01"}},
		{"of a time", store.Query{Filters: append(where("slot", store.Gte, "2026-03-02T12:03:00Z"), where("slot", store.Lt, "2026-03-02T13:04:00+01:00")...)}, []string{"a 12:03"}},
		{"of a kind", store.Query{Filters: where("kind", store.Eq, "catch-up")}, []string{"b 12:02", "a 12:02"}},
		{"of a version", store.Query{Filters: where("version", store.Eq, "v2")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.q.Limit == 0 {
				c.q.Limit = 100
			}
			same(t, "firings", names(must(s.Firings(ctx, c.q))(t)), c.want)
		})
	}
	t.Run("schedules, the next to fire first", func(t *testing.T) {
		stopped := scheduled(t, s, "0", spec("* * * * *"))
		check(t, s.Deactivate(ctx, stopped, ada(noon)))
		scheduled(t, s, "c", spec("1 * * * *"))
		urgent := scheduled(t, s, "d", &schedule.Spec{Expression: "1 * * * *", Policy: schedule.Policy{Priority: 1}})
		var got []string
		for _, x := range must(s.Schedules(ctx, store.Query{Project: a.Project, Limit: 10}))(t) {
			got = append(got, x.LaunchPlan.Name)
		}
		same(t, "schedules", got, []string{"d", "c", "a", "b", "0"})
		var visited []string
		check(t, s.EachSchedule(ctx, store.Query{Project: a.Project, Limit: 1, Offset: 1}, func(x schedule.Schedule) error {
			visited = append(visited, x.LaunchPlan.Name)
			return nil
		}))
		same(t, "visited", visited, got)
		enough := errors.New("enough")
		visits := 0
		if err := s.EachSchedule(ctx, store.Query{}, func(schedule.Schedule) error {
			visits++
			return enough
		}); err != enough || visits != 1 { //nolint:errorlint // The contract is that it comes back as it is.
			t.Errorf("after %d visits the error is %v, want %v itself after one", visits, err, enough)
		}
		wantError(t, s.EachSchedule(ctx, filtered("nome", store.Eq, "x"), func(schedule.Schedule) error { return nil }), store.ErrBadQuery)
		check(t, s.Deactivate(ctx, urgent, ada(noon)))
		active := must(s.Schedules(ctx, store.Query{Filters: where("active", store.Eq, "true"), Limit: 10, Offset: 2}))(t)
		same(t, "the last active one", active[0].LaunchPlan, b)
		same(t, "how many more", len(active), 1)
	})
}

// exerciseRedrive launches again what was given up.
func exerciseRedrive(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name  string
		q     store.RedriveQuery
		limit int
		want  []string
	}{
		{"all", store.RedriveQuery{}, 10, []string{"a 12:01", "b 12:01", "a 12:02", "b 12:02"}},
		{"of a project", store.RedriveQuery{Project: "flytesnacks"}, 10, []string{"a 12:01", "b 12:01", "a 12:02", "b 12:02"}},
		{"of another", store.RedriveQuery{Project: "weather"}, 10, nil},
		{"of a launch plan", store.RedriveQuery{Project: "flytesnacks", Domain: "development", Name: "b"}, 10, []string{"b 12:01", "b 12:02"}},
		{"of a slot", store.RedriveQuery{Slot: at(2)}, 10, []string{"a 12:02", "b 12:02"}},
		{"of a slot of a launch plan", store.RedriveQuery{Project: "flytesnacks", Domain: "development", Name: "b", Slot: at(2)}, 10, []string{"b 12:02"}},
		{"up to a limit, the earliest first", store.RedriveQuery{}, 1, []string{"a 12:01"}},
		{"of what was launched", store.RedriveQuery{Slot: at(3)}, 10, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			for _, name := range []string{"a", "b"} {
				scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{LaunchDeadline: time.Hour, Priority: 5, MaxRunning: 100}})
			}
			advance(t, s, at(3))
			me := session(t, s)
			for _, f := range claim(t, s, me, at(3)) {
				if f.Slot.Equal(at(3)) {
					settle(t, s, launched(f, at(3)))
				} else {
					settle(t, s, dead(f, at(3)))
				}
			}
			same(t, "redriven", must(s.Redrive(ctx, c.q, c.limit, ada(at(30))))(t), len(c.want))
			again := claim(t, s, me, at(31))
			slices.SortFunc(again, func(a, b schedule.Firing) int { return a.AttemptAt.Compare(b.AttemptAt) })
			same(t, "launched again", names(again), c.want)
			for i, f := range again {
				same(t, "firing", f, schedule.Firing{
					ScheduleID: f.ScheduleID, LaunchPlan: f.LaunchPlan, Kind: schedule.KindScheduled, Slot: f.Slot, Last: f.Slot, Count: 1,
					Outcome: schedule.Pending, Behind: true, Owner: me, Tried: true, AttemptAt: at(30).Add(time.Duration(i) * time.Microsecond),
					Deadline: at(90).Add(time.Duration(i) * time.Microsecond), Priority: 5, MaxRunning: 100, RecordedAt: at(3),
				})
			}
		})
	}
}

// exerciseSlots has many plan the same slots at once, with versions changing meanwhile.
func exerciseSlots(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	const schedules, minutes, planners = 20, 12, 8
	for i := range schedules {
		scheduled(t, s, fmt.Sprint("s", i), spec("* * * * *"))
		register(t, s, id(fmt.Sprint("s", i), "v2"))
	}
	var all sync.WaitGroup
	for p := range planners {
		all.Go(func() {
			for m := range minutes {
				now := at(m + 1)
				if err := step(ctx, s, p, m, now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	advance(t, s, at(minutes))
	for i := range schedules {
		var want, got []string
		for m := range minutes {
			want = append(want, at(m+1).Format("15:04"))
		}
		q := of(key(fmt.Sprint("s", i)))
		q.SortBy, q.Ascending = "slot", true
		for _, f := range must(s.Firings(ctx, q))(t) {
			got = append(got, f.Slot.Format("15:04"))
		}
		same(t, fmt.Sprint("slots of schedule ", i), got, want)
	}
}

// step is what one of several planners does in a minute.
func step(ctx context.Context, s Store, planner, minute int, now time.Time) error {
	if planner == 0 {
		version := [...]string{"v1", "v2"}[minute%2]
		return s.Activate(ctx, id(fmt.Sprint("s", minute), version), spec("* * * * *"), ada(now))
	}
	_, err := s.Advance(ctx, 0, now, 7, 0)
	return err
}
