package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

func exerciseLateness(t *testing.T, open func(t *testing.T) Store) {
	t.Run("what waits", func(t *testing.T) {
		s := open(t)
		me := session(t, s)
		scheduled(t, s, "due", spec("* * * * *"))
		scheduled(t, s, "held", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Overlap: schedule.OverlapBufferAll}})
		advance(t, s, at(2)) // 12:01 and 12:02 of each.
		same(t, "before the first", waiting(t, s, at(0)), []string(nil))
		same(t, "first attempts", waiting(t, s, at(1)), []string{"due 12:01", "held 12:01"})
		for _, f := range claim(t, s, me, at(2)) {
			switch {
			case f.LaunchPlan.Name == "held":
				settle(t, s, failed(f, at(9)))
			case f.Slot.Equal(at(1)):
				settle(t, s, launched(f, at(2)))
			}
		}
		// due 12:02 is being launched; held 12:01 waits for another attempt, held 12:02 for held 12:01.
		same(t, "later attempts", waiting(t, s, at(5)), []string{"held 12:01", "held 12:02"})
		same(t, "later attempts of some", waiting(t, s, at(1)), []string{"held 12:01"})
		check(t, s.Deactivate(t.Context(), id("held", "v1"), ada(at(2))))
		same(t, "once it is stopped", waiting(t, s, at(5)), []string(nil))
		check(t, s.Leave(t.Context(), me))
		same(t, "whose launch nobody does", waiting(t, s, at(5)), []string{"due 12:02"})
	})

	t.Run("jitter", func(t *testing.T) {
		s := open(t)
		jittered := spec("0 * * * *")
		jittered.Policy.Jitter = 30 * time.Minute
		scheduled(t, s, "a", jittered)
		advance(t, s, at(60))
		attempt := bySlot(t, s, key("a"))[0].AttemptAt
		same(t, "before the planned attempt", waiting(t, s, attempt.Add(-time.Second)), []string(nil))
		same(t, "after it", waiting(t, s, attempt), []string{"a 13:00"})
	})

	t.Run("behind", func(t *testing.T) {
		s := open(t)
		awake(t, s, at(10))
		scheduled(t, s, "a", spec("* * * * *")) // Its latest missed slot is caught up.
		advance(t, s, at(9))
		same(t, "catch-up", waiting(t, s, at(60)), []string(nil))
	})

	t.Run("timings", func(t *testing.T) {
		s := open(t)
		own := spec("* * * * *")
		own.Policy.LateAfter = 7 * time.Second
		scheduled(t, s, "plain", spec("* * * * *"))
		scheduled(t, s, "own", own)
		plain, limited := must(s.Schedule(t.Context(), key("plain")))(t), must(s.Schedule(t.Context(), key("own")))(t)
		got := must(s.Timings(t.Context(), []int64{plain.ID, limited.ID, limited.ID + 100}))(t)
		same(t, "timings", got, map[int64]schedule.Schedule{limited.ID: limited})
		same(t, "of none", len(must(s.Timings(t.Context(), nil))(t)), 0)
	})

	t.Run("list", func(t *testing.T) {
		s := open(t)
		a, b := lasting("a"), over("b")
		b.Since = at(2)
		put(t, s, a, b)
		same(t, "all", must(s.Alerts(t.Context(), store.Query{Limit: 10}))(t), []store.Alert{b, a})
		same(t, "of one", must(s.Alerts(t.Context(), store.Query{Name: "a", Limit: 10}))(t), []store.Alert{a})
		same(t, "since", must(s.Alerts(t.Context(), store.Query{
			Filters: []store.Filter{{Field: "since", Op: store.Gt, Values: []string{at(1).Format(time.RFC3339)}}}, Limit: 10,
		}))(t), []store.Alert{b})
	})

	t.Run("stopped", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for _, name := range []string{"fires", "inactive", "paused", "failed", "over"} {
			scheduled(t, s, name, spec("* * * * *"))
			a := lasting("x")
			a.Schedule = key(name)
			if name == "over" {
				a.EndedAt = at(1)
			}
			put(t, s, a)
		}
		check(t, s.Deactivate(ctx, id("inactive", "v1"), ada(at(1))))
		check(t, s.Deactivate(ctx, id("over", "v1"), ada(at(1))))
		check(t, s.Pause(ctx, key("paused"), "maintenance", time.Time{}, ada(at(1))))
		check(t, s.Pause(ctx, key("failed"), "3 failed in a row", time.Time{}, store.Change{By: "tminus", Why: "pause-on-failure", At: at(1)}))
		got := must(s.StoppedAlerts(ctx))(t)
		slices.SortFunc(got, func(a, b ident.Key) int { return strings.Compare(a.Name, b.Name) })
		same(t, "stopped", got, []ident.Key{key("inactive"), key("paused")})
	})
}

// waiting is what waits, each once.
func waiting(t *testing.T, s Store, before time.Time) []string {
	t.Helper()
	var all []string
	check(t, s.Waiting(t.Context(), before, func(f schedule.Firing) error {
		all = append(all, fmt.Sprintf("%s %s", f.LaunchPlan.Name, f.Slot.Format("15:04")))
		return nil
	}))
	slices.Sort(all)
	return slices.Compact(all)
}
