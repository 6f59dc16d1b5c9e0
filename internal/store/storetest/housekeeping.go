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

// swept checks all schedules, of which there are few.
func swept(t *testing.T, s Store, now time.Time) []store.Repair {
	t.Helper()
	got := must(s.Sweep(t.Context(), 0, noon.Add(-time.Hour), now, 100))(t)
	same(t, "last", got.Last, int64(0))
	return got.Repairs
}

func exerciseSweep(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name, damage string
		found        string // empty when nothing is wrong
	}{
		{"nothing", "next_at = next_at", ""},
		{"no next slot", "next_at = NULL", "it was not to fire again, and its next slot is 2026-03-02T12:03:00Z"},
		{"a next slot too late", fmt.Sprintf("next_at = %d", at(90).UnixMicro()), "it was to fire at 2026-03-02T13:30:00Z, and its next slot is 2026-03-02T12:03:00Z"},
		{"a next slot that is decided", fmt.Sprintf("next_at = %d", at(1).UnixMicro()), "it was to fire at 2026-03-02T12:01:00Z, and its next slot is 2026-03-02T12:03:00Z"},
		{"a problem", "next_at = NULL, problem = 'too hot'", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", spec("* * * * *"))
			scheduled(t, s, "b", spec("* * * * *"))
			advance(t, s, at(2))
			exec(t, s, "UPDATE schedules SET %s WHERE name = 'a'", c.damage)
			before := must(s.Schedule(ctx, plan.Key))(t)
			var want []store.Repair
			if c.found != "" {
				want = []store.Repair{{LaunchPlan: plan, Found: c.found}}
				before.Next = at(3)
			}
			same(t, "repairs", swept(t, s, at(5)), want)
			same(t, "schedule", must(s.Schedule(ctx, plan.Key))(t), before)
			same(t, "repairs after that", swept(t, s, at(5)), []store.Repair(nil))
			if c.found != "" {
				advance(t, s, at(5))
				same(t, "firings", len(ledger(t, s, plan.Key)), 5)
			}
		})
	}

	t.Run("what is due no more and cannot be planned", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		exec(t, s, "UPDATE schedules SET next_at = NULL, expression = 'every now and then'")
		repairs := swept(t, s, at(5))
		if len(repairs) != 1 || !strings.Contains(repairs[0].Found, "it was not to fire again, and cannot be planned: ") {
			t.Errorf("repairs are %v", repairs)
		}
		if got := must(s.Schedule(ctx, plan.Key))(t); got.Problem == "" {
			t.Error("the problem is not told")
		}
		same(t, "repairs after that", swept(t, s, at(5)), []store.Repair(nil))
	})

	for _, c := range []struct {
		name, damage, found string
		until               time.Time
	}{
		{"a pause whose end was lost", "next_at = NULL", "it was not to go on again, and its pause ends at 2026-03-02T12:04:00Z", at(4)},
		{"a pause that would last too long", fmt.Sprintf("next_at = %d", at(90).UnixMicro()), "it was to go on at 2026-03-02T13:30:00Z, and its pause ends at 2026-03-02T12:04:00Z", at(4)},
		{"a pause for good with an end", fmt.Sprintf("next_at = %d", at(5).UnixMicro()), "it was to go on at 2026-03-02T12:05:00Z, and there is no such time", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			plan := scheduled(t, s, "a", spec("* * * * *"))
			advance(t, s, at(1))
			check(t, s.Pause(t.Context(), plan.Key, "maintenance", c.until, ada(at(2))))
			exec(t, s, "UPDATE schedules SET %s", c.damage)
			same(t, "repairs", swept(t, s, at(5)), []store.Repair{{LaunchPlan: plan, Found: c.found}})
			same(t, "repairs after that", swept(t, s, at(5)), []store.Repair(nil))
			want := []string{"12:01 v1 skipped", "12:02 v1 skipped"}
			if !c.until.IsZero() {
				want = append(want, "12:03 v1 skipped 2 to 12:04", "12:05 v1 pending")
			}
			advance(t, s, at(5))
			same(t, "ledger", ledger(t, s, plan.Key), want)
		})
	}

	t.Run("of schedules that end by themselves", func(t *testing.T) {
		for _, c := range []struct {
			name       string
			runs, lost int
			change     func(s Store, plan ident.ID) error // at 12:09
			want       []string                           // firings that were lost and are there again
		}{
			{"while they last", 20, 3, nil, []string{"12:03 v1 pending catch-up"}},
			{"that have ended", 4, 3, nil, []string{"12:03 v1 pending catch-up"}},
			{"the last slot", 4, 4, nil, []string{"12:04 v1 pending catch-up"}},
			{"what comes after it", 4, 6, nil, nil},
			{"before they changed", 4, 3, func(s Store, plan ident.ID) error { return s.Deactivate(t.Context(), plan, ada(at(9))) }, []string{"12:03 v1 missed"}},
			{"what comes after it, before they changed", 4, 6, func(s Store, plan ident.ID) error {
				return s.Activate(t.Context(), plan, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{MaxRuns: 5}}, ada(at(9)))
			}, nil},
			{"nor before a pause", 4, 6, func(s Store, plan ident.ID) error {
				return s.Pause(t.Context(), plan.Key, "maintenance", time.Time{}, ada(at(9)))
			}, nil},
			{"nor what somebody ran", 4, 6, func(s Store, plan ident.ID) error {
				if _, err := s.RunNow(t.Context(), plan.Key, at(8), ada(at(8))); err != nil {
					return err
				}
				return s.Pause(t.Context(), plan.Key, "maintenance", time.Time{}, ada(at(9)))
			}, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := open(t)
				plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{MaxRuns: c.runs}})
				advance(t, s, at(7))
				if c.change != nil {
					check(t, c.change(s, plan))
				}
				exec(t, s, "DELETE FROM firings WHERE slot = %d", at(c.lost).UnixMicro())
				left := ledger(t, s, plan.Key)
				same(t, "repairs", len(swept(t, s, at(12))), len(c.want))
				var added []string
				for _, line := range ledger(t, s, plan.Key) {
					if !slices.Contains(left, line) {
						added = append(added, line)
					}
				}
				same(t, "added", added, c.want)
				same(t, "repairs after that", swept(t, s, at(12)), []store.Repair(nil))
			})
		}
	})

	for _, c := range []struct {
		name   string
		policy schedule.Policy
		lost   string // the firings that are deleted
		now    time.Time
		want   []string
	}{
		{"a slot without an outcome launches late", schedule.Policy{}, "slot = %d", at(9), []string{"12:03 v1 pending catch-up"}},
		{"or was missed, without catch-up", schedule.Policy{CatchUp: schedule.CatchUpNone}, "slot = %d", at(9), []string{"12:03 v1 missed"}},
		{"or was missed, when it is too old", schedule.Policy{CatchUpWindow: time.Minute}, "slot = %d", at(9), []string{"12:03 v1 missed"}},
		{"several slots", schedule.Policy{}, "slot >= %d AND slot < 1772452980000000", at(9), []string{"12:01 v1 pending catch-up", "12:02 v1 pending catch-up"}},
		{"what was just planned is left alone", schedule.Policy{}, "slot = %d", at(3).Add(30 * time.Second), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: c.policy})
			advance(t, s, at(5))
			first := at(3)
			if len(c.want) > 1 {
				first = at(1)
			}
			exec(t, s, "DELETE FROM firings WHERE "+c.lost, first.UnixMicro())
			left := ledger(t, s, plan.Key)
			same(t, "repairs", len(swept(t, s, c.now)), len(c.want))
			var added []string
			for _, line := range ledger(t, s, plan.Key) {
				if !slices.Contains(left, line) {
					added = append(added, line)
				}
			}
			same(t, "added", added, c.want)
			same(t, "repairs after that", swept(t, s, c.now), []store.Repair(nil))
		})
	}

	t.Run("of schedules that do not fire", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for name, change := range map[string]func(name string) error{
			"inactive": func(name string) error { return s.Deactivate(ctx, id(name, "v1"), ada(at(1))) },
			"paused":   func(name string) error { return s.Pause(ctx, key(name), "maintenance", at(9), ada(at(1))) },
			"for good": func(name string) error { return s.Pause(ctx, key(name), "maintenance", time.Time{}, ada(at(1))) },
			"ended":    func(string) error { return nil },
		} {
			scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{MaxRuns: 1}})
			check(t, change(name))
		}
		advance(t, s, at(2))
		same(t, "repairs", swept(t, s, at(3)), []store.Repair(nil))
	})

	t.Run("of a schedule that was set aside", func(t *testing.T) {
		for name, change := range map[string]func(t *testing.T, s Store, plan ident.Key){
			"and found by planning":     func(t *testing.T, s Store, _ ident.Key) { advance(t, s, at(4)) },
			"and found when it changed": func(*testing.T, Store, ident.Key) {},
			"and run meanwhile": func(t *testing.T, s Store, plan ident.Key) {
				advance(t, s, at(4))
				check(t, discard(s.RunNow(t.Context(), plan, at(4).Add(time.Second), ada(at(5)))))
			},
		} {
			t.Run(name, func(t *testing.T) {
				s, ctx := open(t), t.Context()
				v1, v2 := scheduled(t, s, "a", spec("* * * * *")), id("a", "v2")
				register(t, s, v2)
				advance(t, s, at(2))
				// Which slots it has from here on is not to be told.
				exec(t, s, "UPDATE schedules SET policy = '{'")
				change(t, s, v1.Key)
				check(t, s.Activate(ctx, v2, spec("* * * * *"), ada(at(8))))
				advance(t, s, at(9))
				before := ledger(t, s, v1.Key)
				same(t, "repairs", swept(t, s, at(12)), []store.Repair(nil))
				same(t, "ledger", ledger(t, s, v1.Key), before)
			})
		}
	})

	t.Run("goes through all", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for i := range 7 {
			scheduled(t, s, fmt.Sprint("s", i), spec("* * * * *"))
		}
		exec(t, s, "UPDATE schedules SET next_at = NULL")
		var counts []int
		repairs := 0
		for after, first := int64(0), true; first || after > 0; first = false {
			got := must(s.Sweep(ctx, after, noon, at(1), 3))(t)
			counts = append(counts, got.Schedules)
			repairs += len(got.Repairs)
			after = got.Last
		}
		same(t, "checked", counts, []int{3, 3, 1})
		same(t, "repaired", repairs, 7)
	})

	t.Run("releases what a session holds that is not there", func(t *testing.T) {
		s := open(t)
		plan := scheduled(t, s, "a", spec("* * * * *"))
		scheduled(t, s, "b", spec("* * * * *"))
		advance(t, s, at(1))
		me := session(t, s)
		claim(t, s, me, at(1))
		exec(t, s, "UPDATE firings SET owner = %d WHERE schedule_id = %d", me+100, must(s.Schedule(t.Context(), plan.Key))(t).ID)
		same(t, "repairs", swept(t, s, at(2)), []store.Repair{{
			LaunchPlan: plan, Found: "slot 2026-03-02T12:01:00Z was claimed by a session that is not there",
		}})
		same(t, "repairs after that", swept(t, s, at(2)), []store.Repair(nil))
		same(t, "claimed again", names(claim(t, s, me, at(2))), []string{"a 12:01"})
	})

	t.Run("finds launches that nobody lived to record", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(3))
		me := session(t, s)
		for _, f := range claim(t, s, me, at(3)) {
			settle(t, s, dead(f, at(3))) // The launch of the second is under way.
			if f.Slot.Equal(at(2)) {
				must(s.CreateExecutions(ctx, []store.Execution{executionOf(f, store.Running)}))(t)
			}
		}
		old := must(s.RunNow(ctx, plan.Key, at(-10_000), ada(at(3))))(t)
		for _, f := range claim(t, s, me, at(3)) {
			must(s.CreateExecutions(ctx, []store.Execution{executionOf(f, store.Running)}))(t)
			exec(t, s, "UPDATE firings SET outcome = 4, owner = 0, settled_at = %d WHERE slot = %d", at(3).UnixMicro(), old.Slot.UnixMicro())
		}
		repair := func(slot string) store.Repair {
			return store.Repair{LaunchPlan: plan, Found: "slot " + slot + " was given up, and has been launched all the same"}
		}
		same(t, "repairs", swept(t, s, at(5)), []store.Repair{repair("2026-02-23T13:20:00Z"), repair("2026-03-02T12:02:00Z")})
		same(t, "ledger", ledger(t, s, plan.Key), []string{"13:20 v1 launched manual", "12:01 v1 dead", "12:02 v1 launched", "12:03 v1 dead"})
		same(t, "repairs after that", swept(t, s, at(5)), []store.Repair(nil))
	})
}

func exercisePrune(t *testing.T, open func(t *testing.T) Store) {
	t.Run("firings", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(6))
		me := session(t, s)
		for _, f := range claim(t, s, me, at(6)) {
			switch {
			case f.Slot.Equal(at(2)): // It stays pending.
			case f.Slot.Equal(at(4)):
				settle(t, s, dead(f, at(30))) // It was settled late.
			default:
				settle(t, s, launched(f, f.Slot))
			}
		}
		check(t, s.Pause(ctx, plan.Key, "maintenance", time.Time{}, ada(at(6))))
		check(t, s.Resume(ctx, plan.Key, ada(at(9))))
		check(t, s.Skip(ctx, plan.Key, at(50), ada(at(9))))
		r := store.Retention{Firings: at(20)}
		for _, c := range []struct {
			more bool
			want []string
		}{
			{true, []string{"12:02 v1 pending", "12:03 v1 launched", "12:04 v1 dead", "12:05 v1 launched", "12:06 v1 launched", "12:07 v1 skipped 3 to 12:09", "12:50 v1 skipped manual"}},
			{true, []string{"12:02 v1 pending", "12:04 v1 dead", "12:05 v1 launched", "12:06 v1 launched", "12:07 v1 skipped 3 to 12:09", "12:50 v1 skipped manual"}},
			{true, []string{"12:02 v1 pending", "12:04 v1 dead", "12:07 v1 skipped 3 to 12:09", "12:50 v1 skipped manual"}},
			{false, []string{"12:02 v1 pending", "12:04 v1 dead", "12:50 v1 skipped manual"}},
		} {
			before := len(ledger(t, s, plan.Key))
			got := must(s.Prune(ctx, r, 2))(t)
			same(t, "ledger", ledger(t, s, plan.Key), c.want)
			same(t, "how many were deleted", got.Firings, before-len(c.want))
			same(t, "more", got.More, c.more)
			r.After = got.After
		}
		same(t, "what is settled by now", must(s.Prune(ctx, store.Retention{Firings: at(40)}, 10))(t).Firings, 1)
	})

	t.Run("messages", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		write(t, s, messages("c", "sent", "sent too", "open"))
		for range 2 {
			settleMessage(t, s, claimMessage(t, s, "c", time.Minute), store.AlertSent, 0)
		}
		same(t, "none so old", must(s.Prune(ctx, store.Retention{Messages: fromNow(-time.Hour)}, 10))(t).Messages, 0)
		// In half an hour nobody has given up what is to be tried for an hour.
		same(t, "one at a time", must(s.Prune(ctx, store.Retention{Messages: fromNow(time.Hour / 2)}, 1))(t).Messages, 1)
		same(t, "the other", must(s.Prune(ctx, store.Retention{Messages: fromNow(time.Hour / 2)}, 10))(t).Messages, 1)
		same(t, "what is open", claimMessage(t, s, "c", time.Minute).Message.ID, "open")
		same(t, "what nobody sends", must(s.Prune(ctx, store.Retention{Messages: fromNow(2 * time.Hour)}, 10))(t).Messages, 1)
	})

	for _, c := range []struct {
		name    string
		r       store.Retention
		limit   int
		deleted []string // one after the other
	}{
		{"executions by age", store.Retention{Executions: at(3)}, 10, []string{"f0", "f1", "f2"}},
		{"executions in batches, the first to end first", store.Retention{Executions: at(3)}, 2, []string{"f0", "f1", "f2"}},
		{"executions in batches beside those that stay", store.Retention{Executions: at(9), Keep: 2}, 1, []string{"f0", "f1", "f2"}},
		{"executions but the latest of each launch plan", store.Retention{Executions: at(9), Keep: 2}, 10, []string{"f0", "f1", "f2"}}, // f6, which is open, is one of them.
		{"executions but more than there are", store.Retention{Executions: at(9), Keep: 20}, 10, nil},
		{"all but what is open", store.Retention{Executions: at(9)}, 10, []string{"f0", "f1", "f2", "f3", "f4", "f5"}},
		{"nothing", store.Retention{}, 10, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			// f0 to f3 and the open f6 are of one launch plan, f4 and f5 of another.
			for i := range 7 {
				e := store.Execution{
					Key: key(fmt.Sprint("f", i)), Kind: store.LaunchPlan, LaunchPlan: id("a", "v1"), Phase: store.Succeeded,
					CreatedAt: at(i), UpdatedAt: at(i), EndedAt: at(i),
				}
				switch {
				case i == 6:
					e.Phase, e.EndedAt = store.Running, time.Time{}
				case i > 3:
					e.LaunchPlan = id("b", "v1")
				}
				created(t, s, e)
				check(t, s.PutNode(ctx, "", store.NodeExecution{Execution: e.Key, Node: "n0", Phase: store.Succeeded}))
				check(t, s.PutTask(ctx, "", store.TaskExecution{Execution: e.Key, Node: "n0", Phase: store.Succeeded}))
			}
			var deleted []string
			for more := true; more; {
				got := must(s.Prune(ctx, c.r, c.limit))(t)
				deleted = append(deleted, executionNames(got.Executions)...)
				more, c.r.After = got.More, got.After
			}
			same(t, "deleted", deleted, c.deleted)
			left := must(s.Executions(ctx, store.Query{Limit: 10}))(t)
			same(t, "left", len(left), 7-len(c.deleted))
			for _, name := range c.deleted {
				_, err := s.Execution(ctx, key(name))
				wantError(t, err, store.ErrNotFound)
				_, err = s.Node(ctx, key(name), "n0")
				wantError(t, err, store.ErrNotFound)
				_, err = s.Task(ctx, key(name), "n0", 0)
				wantError(t, err, store.ErrNotFound)
			}
			for _, e := range left {
				check(t, discard(s.Node(ctx, e.Key, "n0")))
				check(t, discard(s.Task(ctx, e.Key, "n0", 0)))
			}
		})
	}
}
