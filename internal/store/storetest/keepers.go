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

func exerciseDeadLetters(t *testing.T, open func(t *testing.T) Store) {
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
