package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// kept has AWS keep the time of a database.
func kept(t *testing.T, s Store) Store {
	t.Helper()
	must(s.KeepTime(t.Context(), store.KeeperAWS, noon))(t)
	return s
}

// rules are what AWS is to hold.
func rules(t *testing.T, s Store) (all []string) {
	t.Helper()
	check(t, s.EachRule(t.Context(), func(r store.Rule) error {
		text := fmt.Sprintf("%s %s generation %d, applied %d", r.LaunchPlan.Name, r.LaunchPlan.Version, r.Generation, r.Applied)
		if !r.Active {
			text += ", inactive"
		}
		if r.Paused {
			text += ", paused"
		}
		if !r.DueAt.IsZero() {
			text += ", due " + r.DueAt.Format("15:04:05")
		}
		if r.Held != "" {
			text += ", held " + r.Held
		}
		if r.Error != "" {
			text += ", error " + r.Error
		}
		all = append(all, text)
		return nil
	}))
	return all
}

// applied claims all rules that are due, and settles them as applied.
func applied(t *testing.T, s Store, now time.Time) []store.Rule {
	t.Helper()
	claimed := must(s.ClaimRules(t.Context(), now, time.Minute, 100))(t)
	for i := range claimed {
		claimed[i].Held, claimed[i].DueAt, claimed[i].Tried = "yes", time.Time{}, true
	}
	check(t, s.SettleRules(t.Context(), now, claimed))
	return claimed
}

func exerciseRules(t *testing.T, open func(t *testing.T) Store) {
	t.Run("are none while tminus keeps time itself", func(t *testing.T) {
		s := open(t)
		scheduled(t, s, "a", spec("* * * * *"))
		same(t, "rules", rules(t, s), []string(nil))
		same(t, "next", must(s.NextRule(t.Context()))(t), time.Time{})
		_, err := s.Rule(t.Context(), key("a"))
		wantError(t, err, store.ErrNotFound)
	})

	t.Run("are there for what was active when AWS takes over", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", spec("* * * * *"))
		check(t, s.Deactivate(ctx, scheduled(t, s, "b", spec("* * * * *")), ada(noon)))
		kept(t, s)
		same(t, "rules", rules(t, s), []string{"a v1 generation 1, applied 0, due 12:00:30"})
		same(t, "next", must(s.NextRule(ctx))(t), noon)
		applied(t, s, noon)
		same(t, "held on the way back", must(s.KeepTime(ctx, store.KeeperLocal, noon))(t), 1)
		same(t, "rules", rules(t, s), []string{"a v1 generation 1, applied 1, inactive, due 12:00:30, held yes"})
		kept(t, s)
		same(t, "rules", rules(t, s), []string{"a v1 generation 1, applied 1, due 12:00:30, held yes"})
		exec(t, s, "DELETE FROM rules")
		kept(t, s)
		same(t, "what has none", rules(t, s), []string{"a v1 generation 1, applied 0, due 12:00:30"})
	})

	t.Run("follow what people do", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		v1, v2 := id("a", "v1"), id("a", "v2")
		register(t, s, v1, v2)
		same(t, "before it was active", rules(t, s), []string(nil))
		for _, c := range []struct {
			what string
			do   func() error
			want string
		}{
			{"activate", func() error { return s.Activate(ctx, v1, spec("* * * * *"), ada(at(1))) }, "a v1 generation 1, applied 0, due 12:01:00"},
			{"activate again", func() error { return s.Activate(ctx, v1, spec("* * * * *"), ada(at(2))) }, "a v1 generation 1, applied 1, held yes"},
			{"another version", func() error { return s.Activate(ctx, v2, spec("5 * * * *"), ada(at(3))) }, "a v2 generation 2, applied 1, due 12:03:00, held yes"},
			{"an inactive version", func() error { return s.Deactivate(ctx, v1, ada(at(4))) }, "a v2 generation 2, applied 2, held yes"},
			{"a slot run early", func() error { return discard(s.RunNow(ctx, v1.Key, at(65), ada(at(4)))) }, "a v2 generation 2, applied 2, held yes"},
			{"pause", func() error { return s.Pause(ctx, v1.Key, "n", time.Time{}, ada(at(5))) }, "a v2 generation 4, applied 2, paused, due 12:05:00, held yes"},
			{"resume", func() error { return s.Resume(ctx, v1.Key, ada(at(6))) }, "a v2 generation 5, applied 4, due 12:06:00, held yes"},
			{"deactivate", func() error { return s.Deactivate(ctx, v2, ada(at(7))) }, "a v2 generation 6, applied 5, inactive, due 12:07:00, held yes"},
		} {
			check(t, c.do())
			same(t, c.what, rules(t, s), []string{c.want})
			applied(t, s, at(100))
		}
	})

	t.Run("are one claimer's for a lease", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "rate(5 minutes)", KickoffInput: "at", Policy: schedule.Policy{Jitter: time.Second}})
		scheduled(t, s, "b", spec("* * * * *"))
		same(t, "before they are due", len(must(s.ClaimRules(ctx, noon.Add(-time.Second), time.Minute, 9))(t)), 0)
		first := must(s.ClaimRules(ctx, noon, time.Minute, 1))(t)
		same(t, "claimed", first, []store.Rule{{
			ScheduleID: first[0].ScheduleID, Generation: 1, LaunchPlan: plan, Anchor: noon, Active: true,
			Spec:  schedule.Spec{Expression: "rate(5 minutes)", KickoffInput: "at", Policy: schedule.Policy{Jitter: time.Second}},
			DueAt: noon, LeasedUntil: noon.Add(time.Minute), ChangedAt: noon,
		}})
		second := must(s.ClaimRules(ctx, noon, time.Minute, 9))(t)
		same(t, "the other", second[0].LaunchPlan.Name, "b")
		same(t, "claimed again", len(must(s.ClaimRules(ctx, noon, time.Minute, 9))(t)), 0)
		same(t, "renewed", must(s.RenewRules(ctx, noon, nil))(t), 0)

		again := must(s.ClaimRules(ctx, at(2), time.Minute, 9))(t)
		same(t, "after the lease", len(again), 2)
		same(t, "tried", again[0].Tried, true)
		first[0].Held = "late"
		check(t, s.SettleRules(ctx, at(2), first))
		same(t, "what the first one says then", must(s.Rule(ctx, plan.Key))(t).Held, "")
		again[0].Held, again[0].Error, again[0].Attempts, again[0].DueAt = "half", "no", 3, at(9)
		check(t, s.SettleRules(ctx, at(3), again[:1]))
		got := must(s.Rule(ctx, plan.Key))(t)
		want := again[0]
		want.LeasedUntil, want.ChangedAt = time.Time{}, at(3)
		same(t, "settled", got, want)
		same(t, "in step", got.InStep(), false)
		same(t, "by number", must(s.RulesOf(ctx, []int64{got.ScheduleID, 999}))(t), map[int64]store.Rule{got.ScheduleID: want})
		same(t, "renewed", must(s.RenewRules(ctx, at(4), []int64{got.ScheduleID, 999}))(t), 1)
		got = must(s.Rule(ctx, plan.Key))(t)
		same(t, "due", got.DueAt, at(4))
		same(t, "attempts", got.Attempts, 0)
	})

	t.Run("that change while somebody is at them are due when he is done", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		claimed := must(s.ClaimRules(ctx, noon, time.Minute, 9))(t)
		check(t, s.Deactivate(ctx, plan, ada(noon)))
		same(t, "meanwhile", len(must(s.ClaimRules(ctx, noon.Add(time.Second), time.Minute, 9))(t)), 0)
		claimed[0].Held, claimed[0].DueAt = "yes", time.Time{}
		check(t, s.SettleRules(ctx, noon.Add(2*time.Second), claimed))
		same(t, "rules", rules(t, s), []string{"a v1 generation 2, applied 1, inactive, due 12:00:32, held yes"})
		same(t, "in step", must(s.Rule(ctx, plan.Key))(t).InStep(), false)
	})

	t.Run("of what ends while somebody is at them are taken out when he is done", func(t *testing.T) {
		for name, end := range map[string]func(t *testing.T, s Store){
			"by word": func(t *testing.T, s Store) {
				same(t, "delivered", deliver(t, s, at(1), word("1", "a", at(1))), [3]int{1, 0, 0})
			},
			"without word": func(t *testing.T, s Store) { must(s.Audit(t.Context(), at(7), at(2), 10))(t) },
			"on the way back to tminus": func(t *testing.T, s Store) {
				exec(t, s, "UPDATE rules SET held = 'yes'") // From an attempt before.
				same(t, "held", must(s.KeepTime(t.Context(), store.KeeperLocal, at(1)))(t), 1)
			},
		} {
			t.Run(name, func(t *testing.T) {
				s, ctx := kept(t, open(t)), t.Context()
				plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{MaxRuns: 1}})
				claimed := must(s.ClaimRules(ctx, noon, 10*time.Minute, 9))(t)
				end(t, s)
				same(t, "meanwhile", len(must(s.ClaimRules(ctx, at(8), time.Minute, 9))(t)), 0)
				claimed[0].Held, claimed[0].DueAt = "yes", time.Time{}
				check(t, s.SettleRules(ctx, at(9), claimed))
				same(t, "rules", rules(t, s), []string{"a v1 generation 1, applied 1, inactive, due 12:09:00, held yes"})
				same(t, "in step", must(s.Rule(ctx, plan.Key))(t).InStep(), false)
				again := must(s.ClaimRules(ctx, at(9), time.Minute, 9))(t)
				same(t, "claimed again", len(again), 1)
				again[0].Held, again[0].DueAt = "", time.Time{}
				check(t, s.SettleRules(ctx, at(9), again))
				same(t, "in the end", rules(t, s), []string{"a v1 generation 1, applied 1, inactive"})
				same(t, "in step", must(s.Rule(ctx, plan.Key))(t).InStep(), true)
			})
		}
	})

	t.Run("that cannot be written at the end of a pause are no problem of the schedule's", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		check(t, s.Pause(ctx, plan.Key, "n", at(2), ada(at(1))))
		exec(t, s, "ALTER TABLE rules RENAME TO others") // As a database that fails for a moment.
		_, err := s.Audit(ctx, at(3), at(3), 10)
		if err == nil || !strings.Contains(err.Error(), "rules") {
			t.Errorf("the error is %v", err)
		}
		exec(t, s, "ALTER TABLE others RENAME TO rules")
		got := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "problem", got.Problem, "")
		same(t, "paused", got.Paused, "n")
		must(s.Audit(ctx, at(3), at(3), 10))(t)
		same(t, "then", rules(t, s), []string{"a v1 generation 3, applied 0, due 12:02:00"})
	})

	t.Run("are put right by whoever starts where another release changed schedules", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		scheduled(t, s, "b", spec("* * * * *"))
		applied(t, s, noon)
		check(t, s.Deactivate(ctx, plan, ada(at(1))))
		exec(t, s, "UPDATE rules SET generation = 1, due_at = NULL")
		must(s.RunNow(ctx, key("b"), at(-9), ada(at(1))))(t)
		must(s.KeepTime(ctx, store.KeeperAWS, at(2)))(t)
		same(t, "rules", rules(t, s), []string{"a v1 generation 2, applied 1, inactive, due 12:02:00, held yes", "b v1 generation 1, applied 1, held yes"})
	})

	t.Run("are one keeper's: nobody fires what another keeps the time of", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", spec("* * * * *"))
		session := must(s.Beat(ctx, 0, noon, 2*time.Second))(t).Session
		_, err := s.Deliver(ctx, at(1), []store.Message{word("1", "a", at(1))})
		wantError(t, err, store.ErrKept)
		_, err = s.Audit(ctx, at(9), at(1), 10)
		wantError(t, err, store.ErrKept)
		wantError(t, s.Attend(ctx, at(1)), store.ErrKept)
		must(s.KeepTime(ctx, store.KeeperAWS, noon.Add(5*time.Second)))(t)
		session = must(s.Beat(ctx, session, at(2), 2*time.Second))(t).Session // It had been stopped.
		_, err = s.Advance(ctx, session, at(2), 10, 10)
		wantError(t, err, store.ErrKept)
		same(t, "ledger", ledger(t, s, key("a")), []string(nil))
	})

	t.Run("say when somebody who fires was there last", func(t *testing.T) {
		s := open(t)
		exec(t, s, "UPDATE engine SET awake_at = 0")
		same(t, "never", must(s.Awake(t.Context()))(t), time.Time{})
		must(s.Beat(t.Context(), 0, at(3), time.Minute))(t)
		same(t, "then", must(s.Awake(t.Context()))(t), at(3))
	})
}

// word is a message about a slot.
func word(id, name string, at time.Time) store.Message {
	return store.Message{ID: id, Body: []byte("{" + id + "}"), SentAt: at, Receives: 1, LaunchPlan: key(name), Time: at}
}

// deliver delivers messages, and says what came of them: recorded, known, set aside.
func deliver(t *testing.T, s Store, now time.Time, messages ...store.Message) [3]int {
	t.Helper()
	d := must(s.Deliver(t.Context(), now, messages))(t)
	return [3]int{d.Recorded, d.Known, d.SetAside}
}

// reasons are those of the dead letters, the oldest first.
func reasons(t *testing.T, s Store) (all []string) {
	t.Helper()
	for _, l := range must(s.DeadLetters(t.Context(), store.Query{Limit: 100, SortBy: "id", Ascending: true}))(t) {
		all = append(all, l.Message.ID+": "+l.Reason)
	}
	return all
}

func exerciseIntake(t *testing.T, open func(t *testing.T) Store) {
	t.Run("makes a firing of each slot, once", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		other := scheduled(t, s, "b", spec("* * * * *"))
		now := at(1).Add(20 * time.Second)
		same(t, "delivered", deliver(t, s, now, word("1", "a", at(1).Add(7*time.Second)), word("2", "b", at(1)), word("1", "a", at(1).Add(7*time.Second))), [3]int{2, 1, 0})
		same(t, "again", deliver(t, s, now, word("1", "a", at(1).Add(7*time.Second)), word("3", "b", at(1))), [3]int{0, 2, 0})
		got := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "cursor", got.Cursor, at(1))
		same(t, "next", got.Next, at(2))
		same(t, "runs", got.Runs, 1)
		same(t, "firings", must(s.Firings(ctx, of(plan.Key)))(t), []schedule.Firing{{
			ScheduleID: got.ID, LaunchPlan: plan, Kind: schedule.KindScheduled, Slot: at(1), Last: at(1), Count: 1, Outcome: schedule.Pending,
			AttemptAt: at(1), Deadline: now.Add(24 * time.Hour), RecordedAt: now,
		}})
		same(t, "the other's", ledger(t, s, other.Key), []string{"12:01 v1 pending"})
		same(t, "dead letters", reasons(t, s), []string(nil))
	})

	t.Run("takes slots in any order", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		same(t, "third", deliver(t, s, at(3), word("3", "a", at(3))), [3]int{1, 0, 0})
		same(t, "cursor", must(s.Schedule(ctx, plan.Key))(t).Cursor, noon)
		same(t, "the rest", deliver(t, s, at(4), word("4", "a", at(4)), word("2", "a", at(2)), word("3", "a", at(3)), word("1", "a", at(1))), [3]int{3, 1, 0})
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending", "12:02 v1 pending", "12:03 v1 pending", "12:04 v1 pending"})
		same(t, "audited", must(s.Audit(ctx, at(4), at(3), 10))(t).Dropped, []schedule.Firing(nil))
		same(t, "cursor", must(s.Schedule(ctx, plan.Key))(t).Cursor, at(4))
		same(t, "ledger", len(ledger(t, s, plan.Key)), 4)
	})

	t.Run("sets aside what nobody can launch", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		scheduled(t, s, "a", spec("5 * * * *"))
		gone := scheduled(t, s, "gone", spec("* * * * *"))
		check(t, s.Deactivate(ctx, gone, ada(at(1))))
		corrupt(t, s, scheduled(t, s, "bad", spec("* * * * *")).Key, "now and then")
		register(t, s, id("untimed", "v1"))
		check(t, s.Activate(ctx, id("untimed", "v1"), nil, ada(noon)))
		messages := []store.Message{
			{ID: "poison", Body: []byte("}{\xff\x00"), SentAt: noon, Receives: 3, Problem: "not JSON"},
			word("nobody", "nobody", at(2)),
			word("gone", "gone", at(2)),
			word("untimed", "untimed", at(2)),
			word("no slot", "a", at(6)),
			word("future", "a", at(65)),
			word("bad", "bad", at(2)),
			word("past", "a", at(5).Add(-24*time.Hour)),
		}
		same(t, "delivered", deliver(t, s, at(10), messages...), [3]int{0, 0, 8})
		same(t, "again", deliver(t, s, at(11), messages...), [3]int{0, 8, 0})
		got := reasons(t, s)
		slices.Sort(got)
		for i, want := range []string{
			"bad: its schedule could not be planned: ",
			"future: the slot 2026-03-02T13:05:00Z lies in the future",
			"gone: launch plan flytesnacks/development/gone has no active version with a schedule",
			"no slot: 2026-03-02T12:06:00Z is no slot of 5 * * * *; the next one is 2026-03-02T13:05:00Z",
			"nobody: launch plan flytesnacks/development/nobody has no active version with a schedule",
			"past: the slot 2026-03-01T12:05:00Z came due before the schedule was activated",
			"poison: not JSON",
			"untimed: launch plan flytesnacks/development/untimed has no active version with a schedule",
		} {
			if i >= len(got) || !strings.HasPrefix(got[i], want) {
				t.Errorf("dead letters: got %q, want one that begins with %q", got, want)
				break
			}
		}
	})

	t.Run("knows late word of what was a slot when it came due", func(t *testing.T) {
		v2 := id("a", "v2")
		activate := func(expression string, now time.Time) func(*testing.T, Store, ident.ID) {
			return func(t *testing.T, s Store, _ ident.ID) {
				register(t, s, v2)
				check(t, s.Activate(t.Context(), v2, spec(expression), ada(now)))
			}
		}
		for name, c := range map[string]struct {
			expression string
			change     func(t *testing.T, s Store, plan ident.ID)
			at         time.Time
			want       [3]int
			ledger     string
		}{
			"of a version before":         {"* * * * *", activate("0 10 * * *", at(1).Add(20*time.Second)), at(1).Add(30 * time.Second), [3]int{0, 1, 0}, "12:01 v1 pending"},
			"of a rate before":            {"rate(1 minute)", activate("0 10 * * *", at(2)), at(1).Add(31 * time.Second), [3]int{0, 1, 0}, "12:01 v1 pending"},
			"of a schedule before a rate": {"* * * * *", activate("rate(1 hour)", at(2).Add(-time.Second)), at(1).Add(30 * time.Second), [3]int{0, 1, 0}, "12:01 v1 pending"},
			"of none of a version before": {"3 * * * *", activate("0 10 * * *", at(2)), at(1).Add(30 * time.Second), [3]int{0, 0, 1}, ""},
			"from after the change":       {"* * * * *", activate("0 10 * * *", at(1).Add(20*time.Second)), at(2), [3]int{0, 0, 1}, "12:01 v1 pending"},
			"of what was deactivated then": {"* * * * *", func(t *testing.T, s Store, plan ident.ID) {
				check(t, s.Deactivate(t.Context(), plan, ada(at(1).Add(20*time.Second))))
			}, at(1).Add(30 * time.Second), [3]int{0, 1, 0}, "12:01 v1 skipped"},
			"of what was deactivated before": {"* * * * *", func(t *testing.T, s Store, plan ident.ID) {
				check(t, s.Deactivate(t.Context(), plan, ada(at(1).Add(-time.Second))))
			}, at(1).Add(30 * time.Second), [3]int{0, 0, 1}, ""},
		} {
			t.Run(name, func(t *testing.T) {
				s := kept(t, open(t))
				plan := scheduled(t, s, "a", spec(c.expression))
				applied(t, s, noon)
				c.change(t, s, plan)
				same(t, "delivered", deliver(t, s, at(3), word("1", "a", c.at)), c.want)
				same(t, "ledger", strings.Join(ledger(t, s, plan.Key), ", "), c.ledger)
			})
		}
	})

	t.Run("knows word again of a slot that a rate had before it counted anew", func(t *testing.T) {
		s := kept(t, open(t))
		scheduled(t, s, "a", spec("rate(5 minutes)"))
		applied(t, s, noon)
		for i, d := range []time.Duration{5 * time.Minute, 10 * time.Minute, 17*time.Minute + 30*time.Second} {
			same(t, "delivered", deliver(t, s, noon.Add(d), word(strconv.Itoa(i), "a", noon.Add(d))), [3]int{1, 0, 0})
		}
		again := noon.Add(10 * time.Minute)
		same(t, "again", deliver(t, s, noon.Add(18*time.Minute), word("again", "a", again)), [3]int{0, 1, 0})
		same(t, "dead letters", reasons(t, s), []string(nil))
	})

	t.Run("knows what fired ahead of others when a rate counts anew", func(t *testing.T) {
		for name, c := range map[string]struct {
			policy schedule.Policy
			want   []string
		}{
			"none":             {schedule.Policy{CatchUp: schedule.CatchUpNone}, []string{"12:05 missed", "12:10 pending", "12:17 pending", "12:22 pending"}},
			"latest":           {schedule.Policy{}, []string{"12:05 pending", "12:10 pending", "12:17 pending", "12:22 pending"}},
			"all, three times": {schedule.Policy{CatchUp: schedule.CatchUpAll, MaxRuns: 3}, []string{"12:05 pending", "12:10 pending", "12:17 pending"}},
			"all, four times":  {schedule.Policy{CatchUp: schedule.CatchUpAll, MaxRuns: 4}, []string{"12:05 pending", "12:10 pending", "12:17 pending", "12:22 pending"}},
		} {
			t.Run(name, func(t *testing.T) {
				s := kept(t, open(t))
				plan := scheduled(t, s, "a", &schedule.Spec{Expression: "rate(5 minutes)", Policy: c.policy})
				applied(t, s, noon)
				for _, d := range []time.Duration{10 * time.Minute, 17 * time.Minute, 22 * time.Minute, 27 * time.Minute} {
					if d < 27*time.Minute || c.policy.MaxRuns > 0 {
						deliver(t, s, noon.Add(d), word(d.String(), "a", noon.Add(d)))
					}
				}
				var got []string
				for _, f := range bySlot(t, s, plan.Key) {
					got = append(got, f.Slot.Format("15:04 ")+string(f.Outcome))
					same(t, "slots in one firing", f.Count, 1)
				}
				same(t, "slots", got, c.want)
				same(t, "found by the sweeper", swept(t, s, noon.Add(35*time.Minute)), []store.Repair(nil))
			})
		}
	})

	t.Run("leaves what has not come by its own clock in the queue", func(t *testing.T) {
		s := kept(t, open(t))
		plan := scheduled(t, s, "a", spec("* * * * *"))
		d := must(s.Deliver(t.Context(), at(1), []store.Message{word("1", "a", at(1)), word("2", "a", at(2))}))(t)
		same(t, "delivered", d, store.Delivered{Recorded: 1, Early: []int{1}})
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending"})
	})

	t.Run("leaves out what a policy takes away", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		for name, p := range map[string]schedule.Policy{
			"excluded": {Exclude: []string{"2 * * * *"}},
			"early":    {StartAt: at(3)},
			"over":     {EndAt: at(1)},
			"runs":     {MaxRuns: 1},
		} {
			scheduled(t, s, name, &schedule.Spec{Expression: "* * * * *", Policy: p})
		}
		paused := scheduled(t, s, "paused", spec("* * * * *"))
		check(t, s.Pause(ctx, paused.Key, "wait", time.Time{}, ada(noon)))
		must(s.Deliver(ctx, at(1), []store.Message{word("runs 1", "runs", at(1)), word("runs 1 again", "runs", at(1))}))(t)
		same(t, "delivered", deliver(t, s, at(2), word("1", "excluded", at(2)), word("2", "early", at(2)), word("3", "over", at(2)), word("4", "runs", at(2)), word("5", "paused", at(2))), [3]int{0, 5, 0})
		same(t, "after max-runs", ledger(t, s, key("runs")), []string{"12:01 v1 pending"})
		same(t, "its rule", must(s.Rule(ctx, key("runs")))(t).Active, false)
		same(t, "dead letters", reasons(t, s), []string(nil))
	})

	t.Run("goes on after a pause that ends by itself", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		check(t, s.Pause(ctx, plan.Key, "wait", at(3), ada(noon)))
		applied(t, s, noon)
		same(t, "delivered", deliver(t, s, at(4), word("3", "a", at(3)), word("4", "a", at(4))), [3]int{1, 1, 0})
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 skipped 3 to 12:03", "12:04 v1 pending"})
		same(t, "rules", rules(t, s), []string{"a v1 generation 3, applied 2, due 12:03:00, held yes"})
	})

	t.Run("leaves what came due while nobody could take it to catch-up", func(t *testing.T) {
		s := kept(t, open(t))
		plan := scheduled(t, s, "a", spec("* * * * *"))
		awake(t, s, at(5))
		same(t, "delivered", deliver(t, s, at(5), word("2", "a", at(2)), word("4", "a", at(4)), word("5", "a", at(5))), [3]int{1, 2, 0})
		must(s.Audit(t.Context(), at(5), time.Time{}, 10))(t)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 missed 3 to 12:03", "12:04 v1 pending catch-up", "12:05 v1 pending"})
		same(t, "delivered again", deliver(t, s, at(6), word("1", "a", at(1)), word("4", "a", at(4))), [3]int{0, 2, 0})
	})

	t.Run("leaves what came due while messages could not be taken to catch-up", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan, other := scheduled(t, s, "a", spec("* * * * *")), scheduled(t, s, "b", spec("* * * * *"))
		exec(t, s, "UPDATE engine SET read_at = %d", noon.UnixMicro())
		var all []store.Message
		for n := 1; n <= 180; n++ {
			all = append(all, word(strconv.Itoa(n), "a", at(n)))
			if n < 180 {
				same(t, "audited meanwhile", must(s.Audit(ctx, at(n), noon, 10))(t).Schedules, 0)
			}
			if n == 90 {
				v2 := id("b", "v2")
				register(t, s, v2)
				check(t, s.Activate(ctx, v2, spec("0 10 * * *"), ada(at(n))))
			}
		}
		same(t, "changed meanwhile", ledger(t, s, other.Key), []string{"12:01 v1 missed 88 to 13:28", "13:29 v1 pending catch-up", "13:30 v1 pending"})
		check(t, s.Attend(ctx, at(180)))
		same(t, "delivered", deliver(t, s, at(180), all...), [3]int{1, 179, 0})
		must(s.Audit(ctx, at(180), noon, 10))(t)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 missed 178 to 14:58", "14:59 v1 pending catch-up", "15:00 v1 pending"})
		for n := 181; n < 190; n++ {
			check(t, s.Attend(ctx, at(n)))
		}
		check(t, s.Attend(ctx, at(190).Add(-time.Second))) // A second less than a minute later.
		same(t, "without a break", deliver(t, s, at(190), word("late", "a", at(181))), [3]int{1, 0, 0})
	})

	t.Run("takes a rate from when AWS counts it", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", spec("rate(10 minutes)"))
		applied(t, s, noon)
		first := noon.Add(3 * time.Minute)
		same(t, "first", deliver(t, s, first, word("1", "a", first)), [3]int{1, 0, 0})
		got := must(s.Schedule(ctx, plan.Key))(t)
		same(t, "anchor", got.Anchor, first.Add(-10*time.Minute))
		same(t, "cursor", got.Cursor, first)
		same(t, "next", got.Next, first.Add(10*time.Minute))
		same(t, "the same once more", deliver(t, s, first, word("1", "a", first)), [3]int{0, 1, 0})
		second := first.Add(10*time.Minute + 2*time.Second) // A little late, which changes nothing.
		same(t, "second", deliver(t, s, second, word("2", "a", second), word("2'", "a", second)), [3]int{1, 1, 0})
		third := first.Add(24 * time.Minute) // Somebody has changed the rule.
		same(t, "third", deliver(t, s, third, word("3", "a", third)), [3]int{1, 0, 0})
		var slots []string
		for _, f := range bySlot(t, s, plan.Key) {
			slots = append(slots, f.Slot.Format("15:04:05"))
		}
		same(t, "slots", slots, []string{"12:03:30", "12:13:30", "12:27:30"})
		same(t, "rules", rules(t, s), []string{"a v1 generation 1, applied 1, held yes"})
		awake(t, s, noon)
		same(t, "found by the sweeper", swept(t, s, third.Add(5*time.Minute)), []store.Repair(nil))
	})

	t.Run("takes word of two rules of a rate at once", func(t *testing.T) {
		s := kept(t, open(t))
		scheduled(t, s, "a", &schedule.Spec{Expression: "rate(3 minutes)", Policy: schedule.Policy{CatchUp: schedule.CatchUpNone}})
		awake(t, s, at(30)) // Nobody could take it before.
		first, second := noon.Add(260*time.Second), noon.Add(380*time.Second)
		same(t, "delivered", deliver(t, s, at(30), word("1", "a", first), word("2", "a", second)), [3]int{0, 2, 0})
		must(s.Audit(t.Context(), at(30), time.Time{}, 10))(t)
		awake(t, s, noon)
		same(t, "found by the sweeper", swept(t, s, at(40)), []store.Repair(nil))
	})

	t.Run("knows the next slot of a rate whose first word was of an excluded one", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "rate(10 minutes)", Policy: schedule.Policy{Exclude: []string{"3 12 * * ? *"}}})
		first := noon.Truncate(time.Minute).Add(3 * time.Minute)
		same(t, "delivered", deliver(t, s, first, word("1", "a", first)), [3]int{0, 1, 0})
		same(t, "next", must(s.Schedule(ctx, plan.Key))(t).Next, first.Add(10*time.Minute))
		same(t, "found by the sweeper", swept(t, s, first.Add(5*time.Minute)), []store.Repair(nil))
	})
}

func exerciseAudit(t *testing.T, open func(t *testing.T) Store) {
	t.Run("launches what there was no word of as catch-up says", func(t *testing.T) {
		for name, c := range map[string]struct {
			catchUp schedule.CatchUp
			want    []string
		}{
			"latest": {schedule.CatchUpLatest, []string{"12:01 v1 missed 2 to 12:03", "12:02 v1 pending", "12:04 v1 pending catch-up"}},
			"none":   {schedule.CatchUpNone, []string{"12:01 v1 missed 3 to 12:04", "12:02 v1 pending"}},
			"all":    {schedule.CatchUpAll, []string{"12:01 v1 pending catch-up", "12:02 v1 pending", "12:03 v1 pending catch-up", "12:04 v1 pending catch-up"}},
		} {
			s, ctx := kept(t, open(t)), t.Context()
			plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: c.catchUp}})
			deliver(t, s, at(2), word("2", "a", at(2)))
			same(t, name+": too early", must(s.Audit(ctx, at(9), noon, 10))(t).Schedules, 0)
			got := must(s.Audit(ctx, at(9), at(4), 10))(t)
			same(t, name+": schedules", got.Schedules, 1)
			same(t, name+": ledger", ledger(t, s, plan.Key), c.want)
			if len(got.Dropped) > 0 && !strings.HasPrefix(got.Dropped[0].Reason, "no word of it had come by 2026-03-02T12:04:00Z: catch-up is "+name) {
				t.Errorf("%s: reason %q", name, got.Dropped[0].Reason)
			}
			same(t, name+": next", must(s.Schedule(ctx, plan.Key))(t).Next, at(5))
			same(t, name+": again", must(s.Audit(ctx, at(9), at(4), 10))(t).Schedules, 0)
			same(t, name+": word that comes late", deliver(t, s, at(10), word("1", "a", at(1)), word("4", "a", at(4))), [3]int{0, 2, 0})
			same(t, name+": ledger", ledger(t, s, plan.Key), c.want)
			same(t, name+": found by the sweeper", swept(t, s, at(11)), []store.Repair(nil))
		}
	})

	t.Run("takes those that are due, up to the limit", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		for i := range 5 {
			scheduled(t, s, fmt.Sprint("s", i), spec("* * * * *"))
		}
		check(t, s.Pause(ctx, key("s0"), "wait", at(8), ada(noon)))
		same(t, "some", must(s.Audit(ctx, at(3), at(2), 3))(t).Schedules, 3)
		same(t, "the rest", must(s.Audit(ctx, at(3), at(2), 3))(t).Schedules, 1)
		same(t, "none", must(s.Audit(ctx, at(3), at(2), 3))(t).Schedules, 0)
		same(t, "the paused one", must(s.Audit(ctx, at(8), at(2), 3))(t).Schedules, 1)
		same(t, "goes on", must(s.Schedule(ctx, key("s0")))(t).Paused, "")
	})

	t.Run("sets aside what cannot be planned", func(t *testing.T) {
		s, ctx := kept(t, open(t)), t.Context()
		bad, good := scheduled(t, s, "bad", spec("* * * * *")), scheduled(t, s, "good", spec("* * * * *"))
		corrupt(t, s, bad.Key, "every now and then")
		same(t, "dropped", names(must(s.Audit(ctx, at(3), at(1), 10))(t).Dropped), []string{"bad 12:01"})
		same(t, "ledger", ledger(t, s, good.Key), []string{"12:01 v1 pending catch-up"})
		if must(s.Schedule(ctx, bad.Key))(t).Problem == "" {
			t.Error("the problem is not told")
		}
	})
}

// moved claims all rules that are due, and settles them as applied somewhere.
func moved(t *testing.T, s Store, now time.Time, where string) {
	t.Helper()
	must(s.RenewRules(t.Context(), now, nil))(t)
	claimed := must(s.ClaimRules(t.Context(), now, time.Minute, 100))(t)
	for i := range claimed {
		claimed[i].Held, claimed[i].DueAt, claimed[i].Tried = where, time.Time{}, true
	}
	check(t, s.SettleRules(t.Context(), now, claimed))
}

func exerciseRates(t *testing.T, open func(t *testing.T) Store) {
	m := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	type things map[int]func(t *testing.T, s Store)
	another := func(expression string, n int) func(t *testing.T, s Store) {
		return func(t *testing.T, s Store) {
			register(t, s, id("a", "v2"))
			check(t, s.Activate(t.Context(), id("a", "v2"), spec(expression), ada(m(n))))
		}
	}
	apply := func(n int) func(t *testing.T, s Store) { return func(t *testing.T, s Store) { applied(t, s, m(n)) } }
	keep := func(k store.Keeper, n int) func(t *testing.T, s Store) {
		return func(t *testing.T, s Store) { must(s.KeepTime(t.Context(), k, m(n)))(t) }
	}
	for name, c := range map[string]struct {
		local      bool // tminus keeps time at first
		expression string
		do         things // at minutes after noon, when it is activated
		words      []int  // that come
		until      int
		want       string
		letters    int
	}{
		"a rule that is put at once": {false, "rate(1 hour)", things{0: apply(0)}, []int{60, 120}, 150, "13:00:30 pending, 14:00:30 pending", 0},
		"a rule that is put hours late": {
			false, "rate(1 hour)",
			things{190: apply(190)},
			[]int{250, 310},
			340,
			"16:10:30 pending, 17:10:30 pending", 0,
		},
		"a rule of a cron expression that is put hours late": {
			false, "0 * * * *",
			things{190: apply(190)},
			[]int{240},
			260,
			"13:00:00 pending catch-up, 14:00:00 pending catch-up, 15:00:00 pending catch-up, 16:00:00 pending", 0,
		},
		"a rule that never sends":  {false, "rate(1 hour)", things{10: apply(10)}, nil, 140, "13:10:30 pending catch-up, 14:10:30 pending catch-up", 0},
		"a rule that is never put": {false, "rate(1 hour)", nil, nil, 200, "", 0},
		"a rule that is never put, and deactivated": {false, "rate(1 hour)", things{130: func(t *testing.T, s Store) {
			check(t, s.Deactivate(t.Context(), id("a", "v1"), ada(m(130))))
		}}, nil, 200, "", 0},
		"a rule that is never put, and then that of another version": {false, "rate(1 hour)", things{130: another("rate(1 hour)", 130), 140: apply(140)}, []int{200}, 210, "15:20:30 pending", 0},
		"a take-over": {true, "rate(1 hour)", things{20: keep(store.KeeperAWS, 20), 21: apply(21)}, []int{81, 141}, 160, "13:21:30 pending, 14:21:30 pending", 0},
		"a take-over after a while": {
			true, "rate(1 hour)",
			things{130: keep(store.KeeperAWS, 130), 140: apply(140)},
			[]int{200},
			210,
			"13:00:30 pending, 14:00:30 pending, 15:20:30 pending", 0,
		},
		"a rule that is put elsewhere": {
			false, "rate(1 hour)",
			things{0: apply(0), 90: func(t *testing.T, s Store) { moved(t, s, m(90), "there") }},
			[]int{60, 150},
			170,
			"13:00:30 pending, 14:30:30 pending", 0,
		},
		"a rule that is put again where it is": {
			false, "rate(1 hour)",
			things{0: apply(0), 90: func(t *testing.T, s Store) { moved(t, s, m(90), "yes") }},
			[]int{60, 120},
			170,
			"13:00:30 pending, 14:00:30 pending", 0,
		},
		"a pause": {false, "rate(1 hour)", things{
			0:  apply(0),
			70: func(t *testing.T, s Store) { check(t, s.Pause(t.Context(), key("a"), "n", time.Time{}, ada(m(70)))) },
			71: apply(71),
			90: func(t *testing.T, s Store) { check(t, s.Resume(t.Context(), key("a"), ada(m(90)))) },
			91: apply(91),
		}, []int{60, 151}, 170, "13:00:30 skipped, 14:31:30 pending", 0},
		"the same rate of another version": {
			false, "rate(1 hour)",
			things{0: apply(0), 70: another("rate(1 hour)", 70), 71: apply(71)},
			[]int{60, 120},
			150,
			"13:00:30 pending, 14:00:30 pending", 0,
		},
		"another rate, and word of the one before": {
			false, "rate(7 minutes)",
			things{0: apply(0), 15: another("rate(1 day)", 15), 29: apply(29)},
			[]int{7, 14, 21, 28, 30},
			40,
			"12:07:30 pending, 12:14:30 pending", 3,
		},
		"another rate that begins at once": {
			false, "rate(7 minutes)",
			things{0: apply(0), 15: another("rate(1 hour)", 15), 16: apply(16)},
			[]int{7, 14, 19},
			40,
			"12:07:30 pending, 12:14:30 pending, 12:19:30 pending", 0,
		},
		"a rule that AWS had before": {false, "rate(1 hour)", things{10: apply(10)}, []int{5}, 30, "12:05:30 pending", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			if !c.local {
				kept(t, s)
			}
			plan := scheduled(t, s, "a", spec(c.expression))
			local := c.local
			for n := 0; n <= c.until; n++ {
				if do := c.do[n]; do != nil {
					do(t, s)
					local = false
				}
				if slices.Contains(c.words, n) {
					deliver(t, s, m(n), word(fmt.Sprint("word ", n), "a", m(n)))
				}
				if !local {
					must(s.Audit(ctx, m(n), m(n-6), 10))(t)
				}
			}
			var got []string
			for _, f := range bySlot(t, s, plan.Key) {
				text := f.Slot.Format(time.TimeOnly) + " " + string(f.Outcome)
				if f.Kind != schedule.KindScheduled {
					text += " " + string(f.Kind)
				}
				if f.Count > 1 {
					text += fmt.Sprint(" x", f.Count)
				}
				got = append(got, text)
			}
			same(t, "ledger", strings.Join(got, ", "), c.want)
			same(t, "letters", len(reasons(t, s)), c.letters)
			same(t, "found by the sweeper", swept(t, s, m(c.until+1)), []store.Repair(nil))
		})
	}
}

func exerciseDeadLetters(t *testing.T, open func(t *testing.T) Store) {
	t.Run("are listed, dropped and kept for a while", func(t *testing.T) { exerciseLetters(t, open) })

	t.Run("launch a slot that has no outcome", func(t *testing.T) {
		late := 7*time.Second + 300*time.Millisecond
		for name, c := range map[string]struct {
			expression string
			policy     schedule.Policy
			at         time.Time
			change     func(t *testing.T, s Store, plan ident.ID)
			slot       time.Time
			err        error
		}{
			"within the minute":            {"* * * * *", schedule.Policy{}, at(6).Add(late), nil, at(6), nil},
			"of a rate":                    {"rate(5 minutes)", schedule.Policy{}, noon.Add(10*time.Minute - late), nil, noon.Add(10 * time.Minute), nil},
			"that was excluded":            {"* * * * *", schedule.Policy{Exclude: []string{"6 * * * *"}}, at(6).Add(late), nil, at(6), nil},
			"before the activation":        {"* * * * *", schedule.Policy{}, at(-6).Add(late), nil, at(-6), nil},
			"of no slot":                   {"0 10 * * *", schedule.Policy{}, at(6).Add(late), nil, at(6).Add(7 * time.Second), nil},
			"that was caught up":           {"* * * * *", schedule.Policy{CatchUp: schedule.CatchUpAll}, at(2).Add(late), nil, at(2), store.ErrExists},
			"that was missed, with others": {"* * * * *", schedule.Policy{CatchUp: schedule.CatchUpNone}, at(2).Add(late), nil, at(2), store.ErrExists},
			"of the version before": {"* * * * *", schedule.Policy{CatchUp: schedule.CatchUpAll}, at(2).Add(late), func(t *testing.T, s Store, _ ident.ID) {
				v2 := id("a", "v2")
				register(t, s, v2)
				check(t, s.Activate(t.Context(), v2, spec("0 10 * * *"), ada(at(5))))
			}, at(2), store.ErrExists},
			"of the rate before": {"rate(1 minute)", schedule.Policy{CatchUp: schedule.CatchUpAll}, noon.Add(2*time.Minute + late), func(t *testing.T, s Store, _ ident.ID) {
				v2 := id("a", "v2")
				register(t, s, v2)
				check(t, s.Activate(t.Context(), v2, spec("rate(7 minutes)"), ada(at(5))))
			}, noon.Add(2 * time.Minute), store.ErrExists},
		} {
			t.Run(name, func(t *testing.T) {
				s, ctx := kept(t, open(t)), t.Context()
				plan := scheduled(t, s, "a", &schedule.Spec{Expression: c.expression, Policy: c.policy})
				applied(t, s, noon)
				m := word("1", "a", c.at)
				m.Problem = "it could not be recorded"
				deliver(t, s, at(7), m)
				must(s.Audit(ctx, at(9), at(4), 10))(t)
				if c.change != nil {
					c.change(t, s, plan)
				}
				before := len(bySlot(t, s, plan.Key))
				f, err := s.RedriveDeadLetter(ctx, must(s.DeadLetters(ctx, store.Query{Limit: 1}))(t)[0].ID, plan.Key, c.at, ada(at(10)))
				wantError(t, err, c.err)
				same(t, "slot", f.Slot.UTC(), c.slot)
				if c.err != nil {
					before--
				}
				same(t, "firings", len(bySlot(t, s, plan.Key)), before+1)
				same(t, "letters left", len(must(s.DeadLetters(ctx, store.Query{Limit: 1}))(t)), 0)
			})
		}
	})
}

func exerciseLetters(t *testing.T, open func(t *testing.T) Store) {
	s, ctx := kept(t, open(t)), t.Context()
	plan := scheduled(t, s, "a", spec("* * * * *"))
	deliver(t, s, at(1), store.Message{ID: "m1", Body: []byte("}{\xff\x00"), SentAt: noon, Receives: 3, Problem: "not JSON"},
		word("m2", "a", at(-5)), word("m3", "nobody", at(1)))
	letters := must(s.DeadLetters(ctx, store.Query{Limit: 10, SortBy: "id", Ascending: true}))(t)
	same(t, "letters", len(letters), 3)
	first := letters[slices.IndexFunc(letters, func(l store.DeadLetter) bool { return l.Message.ID == "m1" })]
	whole := store.DeadLetter{
		ID: first.ID, Reason: "not JSON", ReceivedAt: at(1),
		Message: store.Message{ID: "m1", Body: []byte("}{\xff\x00"), SentAt: noon, Receives: 3},
	}
	same(t, "by number", must(s.DeadLetter(ctx, first.ID))(t), whole)
	whole.Body = nil
	same(t, "letter", first, whole)
	q := of(ident.Key{Project: "flytesnacks"})
	same(t, "of a project", len(must(s.DeadLetters(ctx, q))(t)), 2)
	second := must(s.DeadLetters(ctx, of(plan.Key)))(t)[0]

	_, err := s.RedriveDeadLetter(ctx, 999, plan.Key, at(-5), ada(at(2)))
	wantError(t, err, store.ErrNotFound)
	_, err = s.RedriveDeadLetter(ctx, second.ID, key("nobody"), at(-5), ada(at(2)))
	wantError(t, err, store.ErrNotFound)
	f := must(s.RedriveDeadLetter(ctx, second.ID, plan.Key, at(-5), ada(at(2))))(t)
	same(t, "firing", f.Execution(), schedule.ExecutionName(plan, at(-5)))
	same(t, "ledger", ledger(t, s, plan.Key), []string{"11:55 v1 pending manual"})
	_, err = s.RedriveDeadLetter(ctx, second.ID, plan.Key, at(-5), ada(at(2)))
	wantError(t, err, store.ErrNotFound)
	_, err = s.RedriveDeadLetter(ctx, first.ID, plan.Key, at(-5), ada(at(2)))
	wantError(t, err, store.ErrExists)
	same(t, "left", len(must(s.DeadLetters(ctx, store.Query{Limit: 10}))(t)), 1)
	must(s.Prune(ctx, store.Retention{Firings: at(1)}, 10))(t)
	same(t, "as old as is kept", len(must(s.DeadLetters(ctx, store.Query{Limit: 10}))(t)), 1)
	deliver(t, s, at(3), store.Message{ID: "m4", Problem: "no"})
	must(s.Prune(ctx, store.Retention{Firings: at(2)}, 10))(t)
	same(t, "after those that are too old", len(must(s.DeadLetters(ctx, store.Query{Limit: 10}))(t)), 1)
	must(s.Prune(ctx, store.Retention{Firings: at(4)}, 10))(t)
	same(t, "in the end", len(must(s.DeadLetters(ctx, store.Query{Limit: 10}))(t)), 0)
	deliver(t, s, at(3), store.Message{ID: "m5", Problem: "no"})
	last := must(s.DeadLetters(ctx, store.Query{Limit: 10}))(t)[0].ID
	same(t, "dropped", must(s.DropDeadLetters(ctx, []int64{first.ID, last, 999}))(t), 1)
	_, err = s.DeadLetter(ctx, first.ID)
	wantError(t, err, store.ErrNotFound)
}
