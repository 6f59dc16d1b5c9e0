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

// backlogs lists those of a launch plan.
func backlogs(t *testing.T, s Store, k ident.Key) []store.Backlog {
	t.Helper()
	return must(s.Backlogs(t.Context(), of(k)))(t)
}

// slots are the minutes of firings that are pending and nobody has claimed, in the order in which they launch.
func slots(t *testing.T, s Store, k ident.Key) []string {
	t.Helper()
	q := of(k)
	q.Filters = []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{"pending"}}}
	firings := must(s.Firings(t.Context(), q))(t)
	slices.SortFunc(firings, func(a, b schedule.Firing) int { return a.AttemptAt.Compare(b.AttemptAt) })
	var slots []string
	for _, f := range firings {
		slots = append(slots, f.Slot.Format("15:04"))
	}
	return slots
}

func minutes(numbers ...int) []string {
	var slots []string
	for _, n := range numbers {
		slots = append(slots, at(n).Format("15:04"))
	}
	return slots
}

func exerciseCatchUp(t *testing.T, open func(t *testing.T) Store) {
	late := func(t *testing.T, policy schedule.Policy) (Store, ident.ID) {
		t.Helper()
		s := open(t)
		policy.CatchUp = schedule.CatchUpAll
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: policy})
		awake(t, s, at(30))
		advance(t, s, at(30))
		return s, plan
	}

	t.Run("of many slots goes bit by bit beside live firing", func(t *testing.T) {
		s, plan := late(t, schedule.Policy{})
		ctx := t.Context()
		same(t, "cursor", must(s.Schedule(ctx, plan.Key))(t).Cursor, at(30))
		same(t, "runs", must(s.Schedule(ctx, plan.Key))(t).Runs, 30)
		same(t, "ledger before", ledger(t, s, plan.Key), []string{"12:30 v1 pending"})
		b := backlogs(t, s, plan.Key)[0]
		want := store.Backlog{
			ID: b.ID, ScheduleID: b.ScheduleID, LaunchPlan: plan, Kind: schedule.KindCatchUp, First: at(1), Last: at(29),
			By: "tminus", Note: "missed while tminus could not fire", CreatedAt: at(30),
		}
		same(t, "backlog", b, want)
		me := session(t, s)
		same(t, "live", names(claim(t, s, me, at(30))), []string{"a 12:30"})

		same(t, "recorded", fill(t, s, at(31), 10), 10)
		want.Cursor, want.Recorded = at(10), 10
		same(t, "backlog after a part", backlogs(t, s, plan.Key), []store.Backlog{want})
		firings := claim(t, s, me, at(32))
		same(t, "claimed", len(firings), 10)
		for i, f := range firings {
			same(t, "firing", f, schedule.Firing{
				ScheduleID: f.ScheduleID, LaunchPlan: plan, Kind: schedule.KindCatchUp, Slot: at(i + 1), Last: at(i + 1), Count: 1,
				Outcome: schedule.Pending, Behind: true, Owner: me, Tried: true, AttemptAt: at(31).Add(time.Duration(i) * time.Microsecond),
				Deadline: at(31).Add(24 * time.Hour), RecordedAt: at(31),
			})
		}
		settle(t, s, launched(firings[0], at(32)), dead(firings[1], at(32)))
		same(t, "recorded", fill(t, s, at(31), 15), 15)
		same(t, "the rest", fill(t, s, at(33), 15), 4)
		same(t, "after the rest", fill(t, s, at(33), 15), 0)
		want.Cursor, want.Recorded, want.Launched, want.Failed = at(29), 29, 1, 1
		want.EndedAt, want.Ended = at(33), store.BacklogDone
		same(t, "backlog in the end", backlogs(t, s, plan.Key), []store.Backlog{want})
		same(t, "firings", len(ledger(t, s, plan.Key)), 30)
	})

	for name, damage := range map[string]string{"an expression": "expression = '* * *'", "a policy": "policy = '{'"} {
		t.Run("that cannot be planned any more, for "+name+", is in nobody's way", func(t *testing.T) {
			for end, by := range map[string]func(t *testing.T, s Store, plan ident.ID){
				"": func(t *testing.T, s Store, _ ident.ID) { t.Helper(); fill(t, s, at(32), 100) },
				"cancelled by ada: a test": func(t *testing.T, s Store, plan ident.ID) {
					t.Helper()
					must(s.CancelBacklog(t.Context(), backlogs(t, s, plan.Key)[0].ID, ada(at(32))))(t)
				},
				"deactivated": func(t *testing.T, s Store, plan ident.ID) {
					t.Helper()
					check(t, s.Deactivate(t.Context(), plan, ada(at(32))))
				},
			} {
				s, plan := late(t, schedule.Policy{})
				other := scheduled(t, s, "b", spec("* * * * *"))
				must(s.CreateBackfill(t.Context(), other.Key, store.Backlog{First: at(-9), Last: at(0)}, ada(at(30))))(t)
				fill(t, s, at(31), 2)
				exec(t, s, "UPDATE backlogs SET %s WHERE kind = 1", damage)
				by(t, s, plan)
				got := backlogs(t, s, plan.Key)[0]
				if got.EndedAt.IsZero() || !strings.Contains(got.Ended, end) {
					t.Errorf("%q: it ended at %s: %q", end, got.EndedAt, got.Ended)
				}
				fill(t, s, at(33), 100)
				same(t, "the other", len(slots(t, s, other.Key)), 10)
			}
		})
	}

	t.Run("newest first", func(t *testing.T) {
		s, plan := late(t, schedule.Policy{CatchUpOrder: schedule.NewestFirst})
		claim(t, s, session(t, s), at(30))
		fill(t, s, at(30), 3)
		fill(t, s, at(31), 2)
		same(t, "slots", slots(t, s, plan.Key)[1:], minutes(29, 28, 27, 26, 25))
		same(t, "cursor", backlogs(t, s, plan.Key)[0].Cursor, at(25))
	})

	for _, c := range []struct {
		name   string
		stop   func(t *testing.T, s Store, plan ident.ID)
		reason string
		ended  string
	}{
		{"a pause", func(t *testing.T, s Store, plan ident.ID) {
			t.Helper()
			check(t, s.Pause(t.Context(), plan.Key, "maintenance", time.Time{}, ada(at(31).Add(time.Second))))
		}, "paused before this slot was launched: maintenance", "12:31 v1 skipped"},
		{"deactivation", func(t *testing.T, s Store, plan ident.ID) {
			t.Helper()
			check(t, s.Deactivate(t.Context(), plan, ada(at(31).Add(time.Second))))
		}, "the launch plan was deactivated before this slot was launched", "12:31 v1 skipped"},
		{"somebody", func(t *testing.T, s Store, plan ident.ID) {
			t.Helper()
			must(s.CancelBacklog(t.Context(), backlogs(t, s, plan.Key)[0].ID, ada(at(31).Add(time.Second))))(t)
		}, "cancelled by ada: a test", ""},
	} {
		t.Run("ended by "+c.name, func(t *testing.T) {
			s, plan := late(t, schedule.Policy{})
			fill(t, s, at(30), 2)
			c.stop(t, s, plan)
			b := backlogs(t, s, plan.Key)[0]
			same(t, "why it ended", b.Ended, c.reason)
			same(t, "when", b.EndedAt, at(31).Add(time.Second))
			same(t, "recorded after that", fill(t, s, at(40), 10), 0)
			want := []string{"12:01 v1 skipped catch-up", "12:02 v1 skipped catch-up", "12:03 v1 skipped catch-up 27 to 12:29"}
			if c.ended == "" {
				want = append(want, "12:30 v1 pending")
			} else {
				want = append(want, "12:30 v1 skipped", c.ended)
			}
			same(t, "ledger", ledger(t, s, plan.Key), want)
			same(t, "reason", bySlot(t, s, plan.Key)[2].Reason, c.reason)
		})
	}

	t.Run("goes on with the version that missed", func(t *testing.T) {
		s, plan := late(t, schedule.Policy{})
		v2 := id("a", "v2")
		register(t, s, v2)
		check(t, s.Activate(t.Context(), v2, spec("0 0 1 1 *"), ada(at(30))))
		fill(t, s, at(31), 100)
		got := ledger(t, s, plan.Key)
		same(t, "firings", len(got), 30)
		same(t, "the last caught up with", got[28], "12:29 v1 pending catch-up")
	})
}

func exerciseBackfill(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name    string
		b       store.Backlog
		fills   []int // what one Fill after the other records, with a limit of 4
		want    []string
		pending []string // in the order of launches
	}{
		{
			"what is missing, with both bounds",
			store.Backlog{First: at(-2), Last: at(2)},
			[]int{3, 0},
			[]string{"11:58 v1 pending backfill", "11:59 v1 pending backfill", "12:00 v1 pending backfill"},
			minutes(-2, -1, 0),
		},
		{
			"bit by bit",
			store.Backlog{First: at(-6), Last: at(-1)},
			[]int{4, 2, 0},
			nil, minutes(-6, -5, -4, -3, -2, -1),
		},
		{
			"the newest first",
			store.Backlog{First: at(-6), Last: at(-1), NewestFirst: true},
			[]int{4, 2, 0},
			nil, minutes(-1, -2, -3, -4, -5, -6),
		},
		{
			"bounds between slots",
			store.Backlog{First: at(-2).Add(-time.Second), Last: at(-1).Add(time.Second)},
			[]int{2, 0},
			nil, minutes(-2, -1),
		},
		{"no slot at all", store.Backlog{First: at(-2).Add(time.Second), Last: at(-2).Add(2 * time.Second)}, []int{0}, nil, nil},
		{
			"what is dead too",
			store.Backlog{First: at(1), Last: at(3), Include: []schedule.Outcome{schedule.Dead}},
			[]int{1, 0},
			nil, minutes(2),
		},
		{
			"what was skipped or is dead",
			store.Backlog{First: at(1), Last: at(4), Include: []schedule.Outcome{schedule.Dead, schedule.Skipped}},
			[]int{2, 0},
			nil, minutes(2, 3),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", spec("* * * * *"))
			check(t, s.Skip(ctx, plan.Key, at(3), ada(noon)))
			advance(t, s, at(4))
			me := session(t, s)
			for i, f := range claim(t, s, me, at(4)) {
				if i == 1 {
					settle(t, s, dead(f, at(4)))
				} else {
					settle(t, s, launched(f, at(4)))
				}
			}
			before := ledger(t, s, plan.Key)
			b := must(s.CreateBackfill(ctx, plan.Key, c.b, ada(at(4))))(t)
			want := c.b
			want.ID, want.ScheduleID, want.LaunchPlan, want.Kind = b.ID, b.ScheduleID, plan, schedule.KindBackfill
			want.By, want.Note, want.CreatedAt = "ada", "a test", at(4)
			same(t, "backfill", b, want)
			same(t, "as it is listed", backlogs(t, s, plan.Key), []store.Backlog{want})
			var fills []int
			for i := range c.fills {
				fills = append(fills, fill(t, s, at(5).Add(time.Duration(i)*time.Second), 4))
			}
			same(t, "recorded", fills, c.fills)
			same(t, "pending", slots(t, s, plan.Key), c.pending)
			if c.want != nil {
				same(t, "ledger", ledger(t, s, plan.Key), append(c.want, before...))
			}
			again := claim(t, s, me, at(6))
			same(t, "claimed", len(again), len(c.pending))
			for i, f := range again {
				same(t, "kind", f.Kind, schedule.KindBackfill)
				same(t, "behind", f.Behind, true)
				if i == 0 {
					settle(t, s, dead(f, at(6)))
				} else {
					settle(t, s, launched(f, at(6)))
				}
			}
			done := backlogs(t, s, plan.Key)[0]
			same(t, "how it ended", done.Ended, store.BacklogDone)
			same(t, "recorded, launched, failed", []int{done.Recorded, done.Launched, done.Failed},
				[]int{len(again), max(0, len(again)-1), min(1, len(again))})
		})
	}

	t.Run("fills in missed slots", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpNone}})
		awake(t, s, at(4))
		advance(t, s, at(4))
		must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(1), Last: at(2)}, ada(at(4))))(t)
		same(t, "recorded", fill(t, s, at(4), 10), 2)
		// The range stands for the slots that have no firing of their own.
		same(t, "ledger", ledger(t, s, plan.Key), []string{
			"12:01 v1 pending backfill", "12:01 v1 missed 3 to 12:03", "12:02 v1 pending backfill", "12:04 v1 pending",
		})
	})

	t.Run("fills in the slots of a pause only when asked to", func(t *testing.T) {
		for _, c := range []struct {
			include     []schedule.Outcome
			newestFirst bool
			want        []string
		}{
			{nil, false, minutes(0)},
			{nil, true, minutes(0)},
			{[]schedule.Outcome{schedule.Dead}, false, minutes(0)},
			{[]schedule.Outcome{schedule.Skipped}, false, minutes(0, 1, 2, 3)},
			{[]schedule.Outcome{schedule.Skipped}, true, minutes(3, 2, 1, 0)},
		} {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", spec("* * * * *"))
			check(t, s.Pause(ctx, plan.Key, "maintenance", time.Time{}, ada(noon)))
			check(t, s.Resume(ctx, plan.Key, ada(at(4))))
			must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(0), Last: at(3), Include: c.include, NewestFirst: c.newestFirst}, ada(at(4))))(t)
			fill(t, s, at(4), 10)
			same(t, fmt.Sprintf("slots with %v, newest first %t", c.include, c.newestFirst), slots(t, s, plan.Key), c.want)
		}
	})

	t.Run("keeps to its rate", func(t *testing.T) {
		for _, c := range []struct {
			perMinute, fill int
			next            time.Duration
		}{
			{0, 100, 0}, {6, 1, 10 * time.Second}, {60, 1, time.Second}, {600, 10, time.Second}, {60_000, 100, 100 * time.Millisecond},
		} {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", spec("* * * * *"))
			must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-1000), Last: at(0), PerMinute: c.perMinute}, ada(at(0))))(t)
			name := fmt.Sprint(c.perMinute, " a minute: ")
			same(t, name+"recorded", fill(t, s, at(1), 100), c.fill)
			same(t, name+"next", must(s.NextStep(ctx))(t), at(1).Add(c.next))
			if c.next > 0 {
				same(t, name+"recorded before", fill(t, s, at(1).Add(c.next-time.Microsecond), 100), 0)
			}
			same(t, name+"recorded next", fill(t, s, at(1).Add(c.next), 100), c.fill)
		}
	})

	t.Run("beside others", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for i := range 3 {
			plan := scheduled(t, s, fmt.Sprint("s", i), spec("* * * * *"))
			must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-1000), Last: at(0)}, ada(at(0))))(t)
		}
		// Together, one after the other in turn, and together again.
		for i, limit := range []int{60, 10, 10, 10, 10, 90} {
			same(t, "in all", fill(t, s, at(1).Add(time.Duration(i)*time.Second), limit), limit)
		}
		for i, want := range []int{70, 60, 60} {
			same(t, "recorded", backlogs(t, s, key(fmt.Sprint("s", i)))[0].Recorded, want)
		}
	})

	t.Run("claims what it records", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for name, overlap := range map[string]schedule.Overlap{"a": "", "b": schedule.OverlapSkip} {
			plan := scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Overlap: overlap}})
			must(s.RunNow(ctx, plan.Key, at(-2), ada(at(0))))(t)
			must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-4), Last: at(-1)}, ada(at(0))))(t)
		}
		me := session(t, s)
		filled := must(s.Fill(ctx, me, at(1), 100, 2))(t)
		same(t, "recorded", filled.Recorded, 6)
		var claimed []string
		for _, f := range filled.Launch {
			claimed = append(claimed, f.LaunchPlan.Name+" "+f.Slot.Format("15:04"))
			same(t, "owner, tried, kind", []any{f.Owner, f.Tried, f.Kind}, []any{me, true, schedule.KindBackfill})
		}
		same(t, "claimed", claimed, []string{"a 11:56", "a 11:57"})
		for i, f := range filled.Launch {
			filled.Launch[i] = launched(f, at(1))
		}
		settle(t, s, filled.Launch...)
		same(t, "ledger", ledger(t, s, key("a")), []string{"11:56 v1 launched backfill", "11:57 v1 launched backfill", "11:58 v1 pending manual", "11:59 v1 pending backfill"})
		same(t, "the other ledger", slots(t, s, key("b")), minutes(-2, -4, -3, -1))
		_, err := s.Fill(ctx, me+1, at(2), 100, 1)
		wantError(t, err, store.ErrGone)
	})

	t.Run("of the same slots", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		// The second comes with a higher priority, and is claimed first where both are.
		plan := scheduled(t, s, "a", spec("* * * * *"))
		must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-9), Last: at(0)}, ada(at(0))))(t)
		v2 := id("a", "v2")
		register(t, s, v2)
		urgent := &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Priority: 5}}
		check(t, s.Activate(ctx, v2, urgent, ada(at(0).Add(time.Second))))
		must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-9), Last: at(-2)}, ada(at(0).Add(time.Second))))(t)
		must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-9), Last: at(-2)}, ada(at(0).Add(time.Second))))(t)
		me := session(t, s)
		filled := must(s.Fill(ctx, me, at(1), 100, 5))(t)
		same(t, "in all", filled.Recorded, 10)
		same(t, "claimed", len(filled.Launch), 5)
		for i, f := range filled.Launch {
			filled.Launch[i] = launched(f, at(1))
		}
		settle(t, s, filled.Launch...)
		var recorded []int
		for _, b := range backlogs(t, s, plan.Key) {
			recorded = append(recorded, b.Recorded)
		}
		same(t, "recorded", recorded, []int{0, 0, 10})
	})

	t.Run("is cancelled", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("0 0 1 1 *"))
		check(t, s.Activate(ctx, plan, nil, ada(noon)))
		v2 := id("a", "v2")
		register(t, s, v2)
		check(t, s.Activate(ctx, v2, spec("* * * * *"), ada(noon)))
		b := must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(-9), Last: at(0)}, ada(at(0))))(t)
		fill(t, s, at(1), 1)
		me := session(t, s)
		claimed := claim(t, s, me, at(1))[0]
		fill(t, s, at(2), 2)
		got := must(s.CancelBacklog(ctx, b.ID, ada(at(3))))(t)
		same(t, "why it ended", got.Ended, "cancelled by ada: a test")
		same(t, "when", got.EndedAt, at(3))
		same(t, "recorded", got.Recorded, 3)
		same(t, "cancelled again", must(s.CancelBacklog(ctx, b.ID, ada(at(4))))(t).EndedAt, at(3))
		settle(t, s, launched(claimed, at(4)))
		same(t, "recorded after that", fill(t, s, at(9), 10), 0)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"11:51 v2 launched backfill", "11:52 v2 skipped backfill", "11:53 v2 skipped backfill"})
	})

	t.Run("is cancelled while catching up comes to the same slots", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll}})
		awake(t, s, at(30))
		advance(t, s, at(30))
		b := must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(10), Last: at(12), PerMinute: 120}, ada(at(30))))(t)
		exec(t, s, "UPDATE backlogs SET next_at = %d WHERE id <> %d", at(31).UnixMicro(), b.ID)
		same(t, "recorded", fill(t, s, at(30), 100), 2)
		must(s.CancelBacklog(ctx, b.ID, ada(at(30))))(t)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:10 v1 pending backfill", "12:11 v1 pending backfill", "12:30 v1 pending"})
		fill(t, s, at(31), 100)
		same(t, "slots", len(slots(t, s, plan.Key)), 30)
	})

	t.Run("is cancelled beside another", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		var ids []int64
		for _, first := range []int{-9, -7} {
			ids = append(ids, must(s.CreateBackfill(ctx, plan.Key, store.Backlog{First: at(first), Last: at(first + 4), PerMinute: 6}, ada(at(0))))(t).ID)
		}
		for i := range 3 {
			fill(t, s, at(1).Add(time.Duration(i)*10*time.Second), 100)
		}
		cancelled := func(id int64, at time.Time, want ...string) {
			t.Helper()
			must(s.CancelBacklog(ctx, id, ada(at)))(t)
			same(t, "ledger", ledger(t, s, plan.Key), want)
		}
		cancelled(ids[0], at(2), "11:51 v1 skipped backfill", "11:52 v1 skipped backfill", "11:53 v1 pending backfill", "11:54 v1 pending backfill", "11:55 v1 pending backfill")
		cancelled(ids[1], at(3), "11:51 v1 skipped backfill", "11:52 v1 skipped backfill", "11:53 v1 skipped backfill", "11:54 v1 skipped backfill", "11:55 v1 skipped backfill")
	})

	t.Run("of what is not there", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		_, err := s.CancelBacklog(ctx, 77, ada(noon))
		wantError(t, err, store.ErrNotFound)
		plan := scheduled(t, s, "a", spec("* * * * *"))
		check(t, s.Deactivate(ctx, plan, ada(noon)))
		for _, k := range []ident.Key{key("unknown"), plan.Key} {
			_, err := s.CreateBackfill(ctx, k, store.Backlog{First: at(-2), Last: at(-1)}, ada(noon))
			wantError(t, err, store.ErrNotFound)
		}
	})
}
