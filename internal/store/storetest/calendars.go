package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// days is a calendar of days of March 2026, the month of noon.
func days(t *testing.T, name string, of ...int) schedule.Calendar {
	t.Helper()
	var dates []time.Time
	for _, d := range of {
		dates = append(dates, time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC))
	}
	return must(schedule.NewCalendar(name, dates))(t)
}

// excluding is a schedule of each morning at 9 o'clock, but for days of calendars.
func excluding(calendars ...string) *schedule.Spec {
	return &schedule.Spec{Expression: "0 9 * * *", Policy: schedule.Policy{Exclude: calendars}}
}

// march is a time in the morning of a day in March 2026.
func march(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC) }

func exerciseCalendars(t *testing.T, open func(t *testing.T) Store) {
	s := open(t)
	put := func(t *testing.T, at time.Time, c schedule.Calendar) int {
		t.Helper()
		return must(s.PutCalendar(t.Context(), c, ada(at)))(t)
	}
	// next is when a schedule fires, and its revision.
	next := func(t *testing.T, k ident.Key) string {
		t.Helper()
		got := must(s.Schedule(t.Context(), k))(t)
		text := "never"
		if !got.Next.IsZero() {
			text = got.Next.Format("January 2 15:04")
		}
		return fmt.Sprintf("%s, revision %d", text, got.Revision)
	}

	t.Run("are stored, listed and replaced", func(t *testing.T) {
		ctx := t.Context()
		if _, err := s.Calendar(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		put(t, noon, days(t, "b", 4, 3, 4))
		put(t, at(1), days(t, "a", 5))
		b := store.Calendar{Calendar: days(t, "b", 3, 4), By: "ada", Why: "a test", UpdatedAt: noon}
		a := store.Calendar{Calendar: days(t, "a", 5), By: "ada", Why: "a test", UpdatedAt: at(1)}
		same(t, "calendars", must(s.Calendars(ctx, store.Query{Limit: 10}))(t), []store.Calendar{a, b})
		put(t, at(2), days(t, "b", 3, 4))
		same(t, "one put again as it is", must(s.Calendar(ctx, "b"))(t), b)
		put(t, at(2), days(t, "b", 3))
		b.Calendar, b.UpdatedAt = days(t, "b", 3), at(2)
		same(t, "one that was replaced", must(s.Calendar(ctx, "b"))(t), b)
		check(t, s.DeleteCalendar(ctx, "a"))
		check(t, s.DeleteCalendar(ctx, "b"))
		wantError(t, s.DeleteCalendar(ctx, "b"), store.ErrNotFound)
	})

	t.Run("are resolved by an activation", func(t *testing.T) {
		ctx := t.Context()
		plan := id("resolved", "v1")
		register(t, s, plan)
		if err := s.Activate(ctx, plan, excluding("x", "y"), ada(noon)); err == nil || err.Error() !=
			"activate launch plan "+plan.String()+": "+schedule.NoCalendar("x").Error() {
			t.Errorf("without the calendars: %v", err)
		}
		put(t, noon, days(t, "x", 3))
		put(t, noon, days(t, "y", 4))
		asked := excluding("y", "x", "y")
		asked.Policy.Calendars = []schedule.Calendar{days(t, "y", 30)}
		check(t, s.Activate(ctx, plan, asked, ada(noon)))
		same(t, "calendars", must(s.Schedule(ctx, plan.Key))(t).Spec.Policy.Calendars, []schedule.Calendar{days(t, "x", 3), days(t, "y", 4)})
		same(t, "next", next(t, plan.Key), "March 5 09:00, revision 1")
		same(t, "revision", must(s.Revisions(ctx, plan.Key, store.Query{Limit: 1}))(t)[0].Spec.Policy, must(s.Schedule(ctx, plan.Key))(t).Spec.Policy)
		check(t, s.Deactivate(ctx, plan, ada(noon)))
	})

	t.Run("change the schedules that name them", func(t *testing.T) {
		ctx := t.Context()
		put(t, noon, days(t, "z", 3))
		put(t, noon, days(t, "other", 6))
		plan, both, stopped, dropped := scheduled(t, s, "one", excluding("z")), scheduled(t, s, "both", excluding("other", "z")),
			scheduled(t, s, "stopped", excluding("z")), scheduled(t, s, "dropped", excluding("z"))
		check(t, s.Deactivate(ctx, stopped, ada(noon)))
		v2 := id("dropped", "v2")
		register(t, s, v2)
		check(t, s.Activate(ctx, v2, spec("0 9 * * *"), ada(noon)))

		same(t, "changed", put(t, at(1), days(t, "z", 3, 4, 5)), 2)
		same(t, "one", next(t, plan.Key), "March 6 09:00, revision 2")
		same(t, "both", next(t, both.Key), "March 7 09:00, revision 2")
		same(t, "dropped", next(t, dropped.Key), "March 3 09:00, revision 2")
		r := must(s.Revisions(ctx, plan.Key, store.Query{Limit: 1}))(t)[0]
		same(t, "revision", []string{r.Action, r.By, r.Why, r.From.String()}, []string{"calendar z", "ada", "a test", at(1).String()})
		same(t, "changed by the same days", put(t, at(2), days(t, "z", 3, 4, 5)), 0)

		var used *store.CalendarInUseError
		if err := s.DeleteCalendar(ctx, "z"); !errors.As(err, &used) || used.Calendar != "z" || (used.By != plan.Key && used.By != both.Key) {
			t.Errorf("deleted while in use: %v", err)
		}
		check(t, s.Deactivate(ctx, plan, ada(at(3))))
		check(t, s.Deactivate(ctx, both, ada(at(3))))
		check(t, s.DeleteCalendar(ctx, "z"))
	})

	t.Run("decide what came due before, and nothing of the past later", func(t *testing.T) {
		put(t, noon, days(t, "past", 4))
		plan := scheduled(t, s, "past", excluding("past"))
		// The 3rd is due and not planned yet; the 4th was excluded when it came due.
		same(t, "changed", put(t, march(5, 8), days(t, "past", 3, 5)), 1)
		same(t, "next", next(t, plan.Key), "March 6 09:00, revision 2")
		var slots []string
		for _, f := range bySlot(t, s, plan.Key) {
			slots = append(slots, f.Slot.Format("January 2"))
		}
		same(t, "slots", slots, []string{"March 3"})
	})

	t.Run("leave a pause as it is", func(t *testing.T) {
		ctx := t.Context()
		put(t, noon, days(t, "paused", 20))
		plan := scheduled(t, s, "paused", excluding("paused"))
		check(t, s.Pause(ctx, plan.Key, "away", march(9, 12), ada(noon)))
		put(t, at(1), days(t, "paused", 10))
		got := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "pause", []string{got.Paused, got.PausedUntil.String()}, []string{"away", march(9, 12).String()})
		advance(t, s, march(9, 13))
		same(t, "after the pause", next(t, plan.Key), "March 11 09:00, revision 4")
	})

	t.Run("reach those that a crash kept them from", func(t *testing.T) {
		ctx := t.Context()
		put(t, noon, days(t, "cut", 20))
		plan := scheduled(t, s, "cut", excluding("cut"))
		// So it is when the process ends right after the calendar is stored.
		store3 := func() {
			third := days(t, "cut", 3).Days[0]
			exec(t, s, "UPDATE calendars SET days = '[%d]' WHERE name = 'cut'", third)
		}
		store3()
		same(t, "before", next(t, plan.Key), "March 3 09:00, revision 1")
		same(t, "changed when it is put again", put(t, at(1), days(t, "cut", 3)), 1)
		same(t, "after", next(t, plan.Key), "March 4 09:00, revision 2")
		put(t, at(2), days(t, "cut", 20))
		same(t, "back", next(t, plan.Key), "March 3 09:00, revision 3")
		store3()
		same(t, "repairs while it may be under way", swept(t, s, at(2)), []store.Repair(nil))
		same(t, "repairs", swept(t, s, at(4)), []store.Repair{{LaunchPlan: plan, Found: "it had not got the days of the calendar cut as they are now"}})
		same(t, "swept", next(t, plan.Key), "March 4 09:00, revision 4")
		r := must(s.Revisions(ctx, plan.Key, store.Query{Limit: 1}))(t)[0]
		same(t, "revision", []string{r.Action, r.By, r.Why, r.From.String()}, []string{"calendar cut", "ada", "a test", at(4).String()})
		same(t, "repairs after that", swept(t, s, at(6)), []store.Repair(nil))
	})

	t.Run("change any number of schedules", func(t *testing.T) {
		put(t, noon, days(t, "many", 20))
		const many = 401 // It takes three transactions.
		for i := range many {
			scheduled(t, s, fmt.Sprint("many", i), excluding("many"))
		}
		same(t, "changed", put(t, at(1), days(t, "many", 3)), many)
		same(t, "the last", next(t, key(fmt.Sprint("many", many-1))), "March 4 09:00, revision 2")
		same(t, "changed again", put(t, at(2), days(t, "many", 3)), 0)
	})

	t.Run("that take every slot are a problem, which others end", func(t *testing.T) {
		ctx := t.Context()
		put(t, noon, days(t, "all", 20))
		sp := excluding("all")
		sp.Policy.EndAt = march(4, 12)
		plan := scheduled(t, s, "all", sp)
		put(t, at(1), days(t, "all", 3, 4))
		got := must(s.Schedule(ctx, plan.Key))(t)
		if got.Problem == "" || !got.Next.IsZero() {
			t.Errorf("all slots are excluded: next %s, problem %q", got.Next, got.Problem)
		}
		put(t, at(2), days(t, "all", 3))
		got = must(s.Schedule(ctx, plan.Key))(t)
		same(t, "problem", got.Problem, "")
		same(t, "next", got.Next, march(4, 9))
	})
}
