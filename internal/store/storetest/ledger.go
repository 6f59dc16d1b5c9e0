package storetest

import (
	"context"
	"fmt"
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
		same(t, "taken", must(s.Advance(ctx, at(1), noon, 10))(t), 1)
		got := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "cursor", got.Cursor, at(1))
		same(t, "next", got.Next, at(2))
		same(t, "runs", got.Runs, 1)
		same(t, "updated", got.UpdatedAt, noon)
		same(t, "firings", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{{
			ScheduleID: got.ID, LaunchPlan: plan, Slot: at(1), Last: at(1), Count: 1, Outcome: schedule.Pending,
			AttemptAt: at(1), Deadline: at(61), Priority: 7, Overlap: schedule.OverlapSkip, MaxRunning: 3, RecordedAt: at(1),
		}})
		same(t, "taken again", must(s.Advance(ctx, at(1), noon, 10))(t), 0)
	})

	t.Run("takes the soonest, up to the limit", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "later", spec("2 * * * *"))
		scheduled(t, s, "soonest", spec("1 * * * *"))
		scheduled(t, s, "latest", spec("3 * * * *"))
		same(t, "taken", must(s.Advance(ctx, at(5), noon, 2))(t), 2)
		for name, want := range map[string]int{"soonest": 1, "later": 1, "latest": 0} {
			same(t, "firings of "+name, len(ledger(t, s, key(name))), want)
		}
		same(t, "taken next", must(s.Advance(ctx, at(5), noon, 2))(t), 1)
	})

	t.Run("catches up as the policy says", func(t *testing.T) {
		s := open(t)
		for name, c := range map[string]struct {
			catchUp schedule.CatchUp
			want    []string
		}{
			"latest": {schedule.CatchUpLatest, []string{"12:01 v1 missed 3 to 12:03", "12:04 v1 pending", "12:05 v1 pending"}},
			"none":   {schedule.CatchUpNone, []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending"}},
			"two":    {2, []string{"12:01 v1 missed 2 to 12:02", "12:03 v1 pending", "12:04 v1 pending", "12:05 v1 pending"}},
		} {
			plan := scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: c.catchUp}})
			advance(t, s, at(5), at(5))
			same(t, "ledger of "+name, ledger(t, s, plan.Key), c.want)
		}
	})

	t.Run("does not grow with an outage", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		all := schedule.Policy{CatchUp: schedule.CatchUpAll, CatchUpWindow: 365 * 24 * time.Hour}
		const schedules, minutes = 12, 1100
		for i := range schedules {
			scheduled(t, s, fmt.Sprint("s", i), &schedule.Spec{Expression: "* * * * *", Policy: all})
		}
		if taken := must(s.Advance(ctx, at(minutes), at(minutes), schedules))(t); taken == 0 || taken == schedules {
			t.Errorf("one transaction took %d schedules with %d slots each", taken, minutes)
		}
		advance(t, s, at(minutes), at(minutes))
		for i := range schedules {
			same(t, "firings", len(ledger(t, s, key(fmt.Sprint("s", i)))), minutes)
		}
	})

	t.Run("sets aside what cannot be planned", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		corrupter, ok := s.(Corrupter)
		if !ok {
			t.Fatalf("%T is no Corrupter", s)
		}
		bad, good := scheduled(t, s, "bad", spec("* * * * *")), scheduled(t, s, "good", spec("* * * * *"))
		check(t, corrupter.Corrupt(ctx, bad.Key, "every now and then"))
		advance(t, s, at(2), noon)
		got := must(s.Schedule(ctx, bad.Key))(t)
		if got.Problem == "" {
			t.Error("the problem is not told")
		}
		same(t, "next", got.Next, time.Time{})
		same(t, "cursor", got.Cursor, noon)
		same(t, "ledger of the bad one", ledger(t, s, bad.Key), []string(nil))
		same(t, "ledger of the good one", ledger(t, s, good.Key), []string{"12:01 v1 pending", "12:02 v1 pending"})
		if err := s.Activate(ctx, bad, spec("* * * * *"), at(3), noon); err == nil {
			t.Error("it was resumed though it cannot be planned")
		}
		check(t, corrupter.Corrupt(ctx, bad.Key, "* * * * *"))
		check(t, s.Activate(ctx, bad, spec("* * * * *"), at(4), noon))
		advance(t, s, at(5), noon)
		same(t, "problem after the repair", must(s.Schedule(ctx, bad.Key))(t).Problem, "")
		same(t, "ledger after the repair", ledger(t, s, bad.Key), []string{"12:01 v1 missed 4 to 12:04", "12:05 v1 pending"})
	})

	t.Run("resumes what has no slot to miss", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		corrupter, ok := s.(Corrupter)
		if !ok {
			t.Fatalf("%T is no Corrupter", s)
		}
		plan := scheduled(t, s, "a", spec("* * * * *"))
		check(t, corrupter.Corrupt(ctx, plan.Key, "every now and then"))
		advance(t, s, at(1), noon)
		check(t, corrupter.Corrupt(ctx, plan.Key, "30 * * * *"))
		check(t, s.Activate(ctx, plan, spec("30 * * * *"), at(2), noon))
		same(t, "next", must(s.Schedule(ctx, plan.Key))(t).Next, at(30))
		same(t, "ledger", ledger(t, s, plan.Key), []string(nil))
	})

	t.Run("replaces a bad version", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		v1, v2 := scheduled(t, s, "a", spec("* * * * *")), id("a", "v2")
		register(t, s, v2)
		corrupter, ok := s.(Corrupter)
		if !ok {
			t.Fatalf("%T is no Corrupter", s)
		}
		check(t, corrupter.Corrupt(ctx, v1.Key, "every now and then"))
		check(t, s.Activate(ctx, v2, spec("* * * * *"), at(2), noon))
		advance(t, s, at(3), noon)
		same(t, "ledger", ledger(t, s, v1.Key), []string{"12:03 v2 pending"})
	})
}

func exerciseLaunches(t *testing.T, open func(t *testing.T) Store) {
	prioritized := func(priority int) *schedule.Spec {
		return &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Priority: priority}}
	}

	t.Run("come by priority, then by attempt", func(t *testing.T) {
		s := open(t)
		for name, priority := range map[string]int{"low": -5, "high": 2_000_000_000, "middle": 0} {
			scheduled(t, s, name, prioritized(priority))
		}
		advance(t, s, at(2), noon)
		same(t, "due", due(t, s, at(2), 10), []string{"high 12:01", "high 12:02", "middle 12:01", "middle 12:02", "low 12:01", "low 12:02"})
		same(t, "due, up to a limit", due(t, s, at(2), 3), []string{"high 12:01", "high 12:02", "middle 12:01"})
		same(t, "due a minute before", due(t, s, at(1), 10), []string{"high 12:01", "middle 12:01", "low 12:01"})
	})

	t.Run("are tried again until they settle", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", prioritized(1))
		other := scheduled(t, s, "b", prioritized(0))
		advance(t, s, at(1), noon)
		f := must(s.Due(ctx, at(1), 1))(t)[0]
		same(t, "first", f.LaunchPlan, plan)

		f.Attempts, f.Reason, f.AttemptAt = 1, "no answer", at(5)
		check(t, s.Settle(ctx, []schedule.Firing{f}))
		same(t, "still pending", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{f})
		// What waits under a high priority does not hold up the others.
		same(t, "due meanwhile", due(t, s, at(4), 10), []string{other.Name + " 12:01"})
		same(t, "due in the end", due(t, s, at(5), 10), []string{plan.Name + " 12:01", other.Name + " 12:01"})

		f.Outcome, f.Reason, f.SettledAt = schedule.Launched, "", at(5)
		check(t, s.Settle(ctx, []schedule.Firing{f}))
		same(t, "settled", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{f})
		same(t, "due after that", due(t, s, at(5), 10), []string{other.Name + " 12:01"})
	})

	t.Run("settle once", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1), noon)
		first := must(s.Due(ctx, at(1), 1))(t)[0]
		second, unknown := first, first
		first.Outcome, first.SettledAt = schedule.Skipped, at(1)
		second.Outcome, second.SettledAt = schedule.Dead, at(2)
		unknown.Slot, unknown.Outcome = at(40), schedule.Launched
		check(t, s.Settle(ctx, []schedule.Firing{first}))
		check(t, s.Settle(ctx, []schedule.Firing{second, unknown}))
		same(t, "firings", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{first})
	})

	t.Run("that are launched while their schedule stops are launched", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(2), noon)
		underWay := must(s.Due(ctx, at(2), 2))(t)
		check(t, s.Deactivate(ctx, plan, at(2), noon))
		underWay[0].Outcome, underWay[0].SettledAt = schedule.Launched, at(2)
		underWay[1].Outcome, underWay[1].SettledAt, underWay[1].Reason = schedule.Dead, at(2), "refused"
		check(t, s.Settle(ctx, underWay))
		outcomes := map[schedule.Outcome]int{}
		for _, f := range must(s.Firings(ctx, of(plan.Key)))(t) {
			outcomes[f.Outcome]++
		}
		same(t, "outcomes", outcomes, map[schedule.Outcome]int{schedule.Launched: 1, schedule.Skipped: 1})
	})

	t.Run("before all others are excluded are recorded, and the schedule says why it stops", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		y := noon.Year() + 1
		sp := spec("* * * * ? *")
		sp.Policy.Exclude = []string{fmt.Sprintf("* * * * ? %d-2199", y)}
		sp.Policy.CatchUp = schedule.CatchUpNone
		plan := scheduled(t, s, "a", sp)
		later := time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
		advance(t, s, later, later)
		got := must(s.Schedule(ctx, plan.Key))(t)
		if !got.Next.IsZero() || got.Problem == "" {
			t.Errorf("next %s, problem %q", got.Next, got.Problem)
		}
		same(t, "cursor", got.Cursor, later.Add(-time.Minute))
	})

	t.Run("settle in bulk", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		const many = 777
		advance(t, s, at(many), noon)
		firings := must(s.Due(ctx, at(many), 10_000))(t)
		same(t, "due", len(firings), many)
		for i := range firings {
			firings[i].Outcome, firings[i].SettledAt, firings[i].Reason = schedule.Dead, at(many), fmt.Sprint("reason ", i)
		}
		check(t, s.Settle(ctx, firings))
		q := of(plan.Key)
		q.SortBy, q.Ascending = "slot", true
		same(t, "settled", must(s.Firings(ctx, q))(t), firings)
	})

	t.Run("say when the next are due", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		next := func(t *testing.T, slot, attempt time.Time) {
			t.Helper()
			s, a, err := s.NextDue(ctx)
			check(t, err)
			same(t, "next slot", s, slot)
			same(t, "next attempt", a, attempt)
		}
		next(t, time.Time{}, time.Time{})
		high, low := scheduled(t, s, "a", prioritized(9)), scheduled(t, s, "b", &schedule.Spec{Expression: "3 * * * *"})
		next(t, at(1), time.Time{})
		advance(t, s, at(3), at(3))
		next(t, at(4), at(2))
		for _, f := range must(s.Due(ctx, at(3), 10))(t) {
			f.AttemptAt = at(20)
			if f.LaunchPlan == low {
				f.AttemptAt = at(10)
			}
			check(t, s.Settle(ctx, []schedule.Firing{f}))
		}
		next(t, at(4), at(10))
		check(t, s.Pause(ctx, high.Key, "maintenance", at(3)))
		next(t, at(63), at(10))
	})
}

func exerciseFirings(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := open(t), t.Context()
	a, b := scheduled(t, s, "a", spec("* * * * *")), scheduled(t, s, "b", spec("*/2 * * * *"))
	advance(t, s, at(5), at(3))
	outcomes := map[string]schedule.Outcome{"a 12:03": schedule.Launched, "a 12:04": schedule.Skipped, "b 12:04": schedule.Dead}
	for _, f := range must(s.Due(ctx, at(5), 100))(t) {
		if o, ok := outcomes[f.LaunchPlan.Name+f.Slot.Format(" 15:04")]; ok {
			f.Outcome, f.SettledAt = o, at(6)
			check(t, s.Settle(ctx, []schedule.Firing{f}))
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
		{"of a version", store.Query{Filters: where("version", store.Eq, "v2")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.q.Limit == 0 {
				c.q.Limit = 100
			}
			var got []string
			for _, f := range must(s.Firings(ctx, c.q))(t) {
				got = append(got, f.LaunchPlan.Name+f.Slot.Format(" 15:04"))
			}
			same(t, "firings", got, c.want)
		})
	}
	t.Run("schedules, the next to fire first", func(t *testing.T) {
		stopped := scheduled(t, s, "0", spec("* * * * *"))
		check(t, s.Deactivate(ctx, stopped, noon, noon))
		scheduled(t, s, "c", spec("1 * * * *"))
		var got []string
		for _, x := range must(s.Schedules(ctx, store.Query{Project: a.Project, Limit: 10}))(t) {
			got = append(got, x.LaunchPlan.Name)
		}
		same(t, "schedules", got, []string{"c", "a", "b", "0"})
		active := must(s.Schedules(ctx, store.Query{Filters: where("active", store.Eq, "true"), Limit: 10, Offset: 2}))(t)
		same(t, "the last active one", active[0].LaunchPlan, b)
		same(t, "how many more", len(active), 1)
	})
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
	advance(t, s, at(minutes), noon)
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
		return s.Activate(ctx, id(fmt.Sprint("s", minute), version), spec("* * * * *"), now, noon)
	}
	_, err := s.Advance(ctx, now, noon, 7)
	return err
}
