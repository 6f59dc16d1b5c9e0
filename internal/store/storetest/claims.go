package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

func prioritized(priority int) *schedule.Spec {
	return &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Priority: priority}}
}

// limited shares so many firings with each project.
func limited(n int) func([]string) []int {
	return func(projects []string) []int { return slices.Repeat([]int{n}, len(projects)) }
}

func exerciseClaims(t *testing.T, open func(t *testing.T) Store) {
	t.Run("come by priority, then by attempt", func(t *testing.T) {
		all := []string{"high 12:01", "high 12:02", "middle 12:01", "middle 12:02", "low 12:01", "low 12:02"}
		for _, c := range []struct {
			name  string
			limit int
			now   time.Time
			want  []string
			more  bool
		}{
			{"all", 10, at(2), all, false},
			{"up to a limit", 3, at(2), all[:3], true},
			{"none", 0, at(2), nil, true},
			{"a minute before", 10, at(1), []string{"high 12:01", "middle 12:01", "low 12:01"}, false},
			{"before all", 10, at(0), nil, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				s, ctx := open(t), t.Context()
				for name, priority := range map[string]int{"low": -2_000_000_000, "high": 2_000_000_000, "middle": 0} {
					scheduled(t, s, name, prioritized(priority))
				}
				advance(t, s, at(2))
				got := must(s.Claim(ctx, store.Claim{Session: session(t, s), Now: c.now, Share: limited(c.limit)}))(t)
				same(t, "claimed", names(got.Launch), c.want)
				same(t, "more", got.More, c.more)
			})
		}
	})

	t.Run("are shared between projects", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		for _, p := range []string{"flytesnacks", "weather"} {
			check(t, s.CreateProject(ctx, store.Project{ID: p, CreatedAt: noon}))
		}
		for i := range 5 {
			scheduled(t, s, fmt.Sprint("s", i), prioritized(9))
		}
		other := ident.ID{Key: ident.Key{Project: "weather", Domain: "development", Name: "w"}, Version: "v1"}
		register(t, s, other)
		check(t, s.Activate(ctx, other, prioritized(-9), ada(noon)))
		advance(t, s, at(2))
		me := session(t, s)
		shares := map[string]int{"flytesnacks": 3, "weather": 2}
		for _, want := range []map[string]int{
			{"flytesnacks": 3, "weather": 2}, {"flytesnacks": 3}, {"flytesnacks": 3}, {"flytesnacks": 1}, {},
		} {
			got := must(s.Claim(ctx, store.Claim{Session: me, Now: at(2), Share: func(projects []string) []int {
				var some []int
				for _, p := range projects {
					some = append(some, shares[p])
				}
				same(t, "projects", slices.Sorted(slices.Values(projects)), slices.Sorted(maps.Keys(want)))
				return some
			}}))(t)
			count := make(map[string]int)
			for _, f := range got.Launch {
				count[f.LaunchPlan.Project]++
			}
			same(t, "claimed", count, want)
		}
	})

	t.Run("in two lanes", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "late", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpAll, Priority: 9}})
		scheduled(t, s, "live", spec("3 * * * *"))
		awake(t, s, at(3))
		advance(t, s, at(3))
		must(s.RunNow(ctx, key("live"), at(3).Add(time.Second), ada(at(3))))(t)
		me := session(t, s)
		for _, c := range []struct {
			behind bool
			want   []string
		}{
			{false, []string{"late 12:03", "live 12:03", "live 12:03"}},
			{true, []string{"late 12:01", "late 12:02"}},
		} {
			got := must(s.Claim(ctx, store.Claim{Session: me, Now: at(4), Share: everything, Behind: c.behind}))(t)
			same(t, fmt.Sprintf("behind=%t", c.behind), names(got.Launch), c.want)
			same(t, "more", got.More, false)
		}
	})

	t.Run("past the deadline are dead", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", &schedule.Spec{Expression: "1 * * * *", Policy: schedule.Policy{LaunchDeadline: time.Hour}})
		advance(t, s, at(1))
		got := must(s.Claim(ctx, store.Claim{Session: session(t, s), Now: at(70), Share: everything}))(t)
		same(t, "claimed", names(got.Launch), []string(nil))
		same(t, "settled", names(got.Settled), []string{"a 12:01"})
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 dead"})
	})

	t.Run("when they are recorded", func(t *testing.T) {
		for _, c := range []struct {
			name   string
			before func(t *testing.T, s Store) // with a schedule "a" of every minute
			policy schedule.Policy
			claim  int
			want   []string
		}{
			{"due", func(*testing.T, Store) {}, schedule.Policy{}, 10, []string{"a 12:01", "b 12:01"}},
			{"none asked for", func(*testing.T, Store) {}, schedule.Policy{}, 0, nil},
			{"as many as asked for, the highest priority first", func(*testing.T, Store) {}, schedule.Policy{Priority: 1}, 1, []string{"a 12:01"}},
			{"with a policy that looks at what runs", func(*testing.T, Store) {}, schedule.Policy{MaxRunning: 1, Priority: -1}, 10, []string{"b 12:01"}},
			{"nothing before what has to be looked at", func(*testing.T, Store) {}, schedule.Policy{MaxRunning: 1, Priority: 1}, 10, nil},
			{"put off by jitter", func(*testing.T, Store) {}, schedule.Policy{Jitter: time.Minute}, 10, []string{"b 12:01"}},
			{"not what was skipped before", func(t *testing.T, s Store) {
				t.Helper()
				check(t, s.Skip(t.Context(), key("a"), at(1), ada(noon)))
			}, schedule.Policy{}, 10, []string{"b 12:01"}},
			{"not what somebody runs already", func(t *testing.T, s Store) {
				t.Helper()
				must(s.RunNow(t.Context(), key("a"), at(1), ada(noon)))(t)
			}, schedule.Policy{}, 10, []string{"b 12:01"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				s, ctx := open(t), t.Context()
				scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: c.policy})
				scheduled(t, s, "b", spec("* * * * *"))
				c.before(t, s)
				me := session(t, s)
				got := must(s.Advance(ctx, me, at(1), 10, c.claim))(t)
				slices.SortFunc(got.Launch, func(a, b schedule.Firing) int { return cmp.Compare(a.LaunchPlan.Name, b.LaunchPlan.Name) })
				same(t, "schedules", got.Schedules, 2)
				same(t, "claimed", names(got.Launch), c.want)
				for _, f := range got.Launch {
					same(t, "as it is recorded", bySlot(t, s, f.LaunchPlan.Key), []schedule.Firing{f})
					same(t, "owner", f.Owner, me)
				}
				settle(t, s, got.Launch...)
			})
		}
	})

	t.Run("when they are recorded, and the session's own run of that slot is under way", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", spec("* * * * *"))
		me := session(t, s)
		must(s.RunNow(ctx, key("a"), at(1), ada(noon)))(t)
		same(t, "claimed", names(claim(t, s, me, noon)), []string{"a 12:01"})
		same(t, "claimed again", names(must(s.Advance(ctx, me, at(1), 10, 10))(t).Launch), []string(nil))
	})

	t.Run("go to one session each", func(t *testing.T) {
		s := open(t)
		const schedules, minutes, sessions = 30, 10, 4
		for i := range schedules {
			policy := schedule.Policy{Priority: i % 3}
			if i%2 == 0 {
				policy.MaxRunning = 1000
			}
			scheduled(t, s, fmt.Sprint("s", i), &schedule.Spec{Expression: "* * * * *", Policy: policy})
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		owners := make(map[string][]int64)
		for range sessions {
			me := session(t, s)
			all.Go(func() {
				if err := fire(t.Context(), s, me, at(minutes), func(f schedule.Firing) {
					mu.Lock()
					defer mu.Unlock()
					slot := f.LaunchPlan.Name + f.Slot.Format(" 15:04")
					owners[slot] = append(owners[slot], me)
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		same(t, "firings", len(owners), schedules*minutes)
		for slot, o := range owners {
			if len(o) != 1 {
				t.Errorf("%s went to the sessions %v", slot, o)
			}
		}
		pending := store.Query{Limit: 10, Filters: []store.Filter{{Field: "outcome", Op: store.Ne, Values: []string{"launched"}}}}
		same(t, "firings that were not launched", must(s.Firings(t.Context(), pending))(t), []schedule.Firing(nil))
	})
}

// fire plans and launches all that is due, as one of several replicas, until nothing is left.
func fire(ctx context.Context, s Store, session int64, now time.Time, launch func(schedule.Firing)) error {
	for {
		advanced, err := s.Advance(ctx, session, now, 7, 5)
		if err != nil {
			return err
		}
		claimed, err := s.Claim(ctx, store.Claim{Session: session, Now: now, Share: limited(9)})
		if err != nil {
			return err
		}
		mine := append(advanced.Launch, claimed.Launch...)
		for i := range mine {
			launch(mine[i])
			mine[i] = launched(mine[i], now)
		}
		written, err := s.Settle(ctx, mine)
		switch {
		case err != nil:
			return err
		case written != len(mine):
			return fmt.Errorf("settled %d firings of %d", written, len(mine))
		case len(mine) == 0 && advanced.Schedules == 0 && !claimed.More:
			return nil
		}
	}
}

// exercisePolicies has two replicas claim firings of one launch plan, which wait
// for each other's executions or are not let in beside them.
func exercisePolicies(t *testing.T, open func(t *testing.T) Store) {
	const runs = 24
	for _, c := range []struct {
		name   string
		policy schedule.Policy
		most   int  // how many run at once
		all    bool // each of them runs in the end
	}{
		{"one at a time, all of them", schedule.Policy{Overlap: schedule.OverlapBufferAll}, 1, true},
		{"two at a time", schedule.Policy{MaxRunning: 2}, 2, false},
		{"not beside another", schedule.Policy{Overlap: schedule.OverlapSkip}, 1, false},
		{"one at a time, and one that waits", schedule.Policy{Overlap: schedule.OverlapBufferOne}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", &schedule.Spec{Expression: "0 0 1 1 *", Policy: c.policy})
			for i := range runs {
				must(s.RunNow(ctx, plan.Key, noon.Add(time.Duration(i)*time.Second), ada(noon)))(t)
			}
			h := &hall{most: c.most}
			both, stop := context.WithCancel(ctx)
			defer stop()
			var all sync.WaitGroup
			for range 2 {
				me := session(t, s)
				all.Go(func() {
					if err := h.visit(both, s, plan.Key, me); err != nil {
						t.Error(err)
						stop() // The other would wait for what this one does not end.
					}
				})
			}
			all.Wait()
			outcomes := make(map[schedule.Outcome]int)
			for _, f := range bySlot(t, s, plan.Key) {
				outcomes[f.Outcome]++
			}
			same(t, "firings with an outcome", outcomes[schedule.Launched]+outcomes[schedule.Skipped], runs)
			if outcomes[schedule.Launched] == 0 || (c.all && outcomes[schedule.Skipped] > 0) {
				t.Errorf("outcomes are %v", outcomes)
			}
		})
	}

	t.Run("recall what waits when an execution ends", func(t *testing.T) {
		for _, c := range []struct {
			phase store.Phase
			want  []string
		}{
			{store.Succeeded, []string{"a 12:02"}},
			{store.Failed, []string{"a 12:02"}},
			{store.Aborted, []string{"a 12:02"}},
			{store.Running, nil},
			{store.Aborting, nil},
		} {
			s, ctx := open(t), t.Context()
			plan := scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Overlap: schedule.OverlapBufferAll}})
			me := session(t, s)
			advance(t, s, at(1))
			f := claim(t, s, me, at(1))[0]
			created(t, s, executionOf(f, store.Running))
			settle(t, s, launched(f, at(1)))
			advance(t, s, at(2))
			same(t, "claimed while it runs", names(claim(t, s, me, at(2))), []string(nil))
			waits := bySlot(t, s, plan.Key)[1]
			if !waits.AttemptAt.After(at(2)) || !schedule.Waits(waits) {
				t.Errorf("it is judged again at %s, because it %s", waits.AttemptAt, waits.Reason)
			}
			now := at(2).Add(time.Second)
			must(s.UpdateExecution(ctx, executionOf(f, "").Key, func(e *store.Execution) error {
				e.Phase, e.UpdatedAt = c.phase, now
				return nil
			}))(t)
			same(t, "claimed with an earlier one that is "+string(c.phase), names(claim(t, s, me, now)), c.want)
		}
	})

	t.Run("replace what runs", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Overlap: schedule.OverlapCancelOther}})
		me := session(t, s)
		advance(t, s, at(1))
		f := claim(t, s, me, at(1))[0]
		running := executionOf(f, store.Running)
		created(t, s, running)
		settle(t, s, launched(f, at(1)))
		advance(t, s, at(2))
		got := must(s.Claim(ctx, store.Claim{Session: me, Now: at(2), Share: everything}))(t)
		same(t, "claimed", names(got.Launch), []string(nil))
		same(t, "how many to end", len(got.End), 1)
		same(t, "to end", got.End[0].Execution, running.Key)
		same(t, "in favour of", names([]schedule.Firing{got.End[0].For}), []string{"a 12:02"})
		must(s.UpdateExecution(ctx, running.Key, func(e *store.Execution) error {
			e.Phase, e.UpdatedAt = store.Aborted, at(2)
			return nil
		}))(t)
		same(t, "claimed after that", names(claim(t, s, me, at(2))), []string{"a 12:02"})
	})

	t.Run("do not hold back a launch that was accepted and not recorded", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		scheduled(t, s, "a", &schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Overlap: schedule.OverlapSkip}})
		gone, me := session(t, s), session(t, s)
		advance(t, s, at(1))
		created(t, s, executionOf(claim(t, s, gone, at(1))[0], store.Running))
		check(t, s.Leave(ctx, gone))
		same(t, "claimed", names(claim(t, s, me, at(2))), []string{"a 12:01"})
	})
}

// hall counts the executions that run at once.
type hall struct {
	most int

	mu      sync.Mutex
	running int
	begun   []ident.Key // those that are recorded, and can end
}

func (h *hall) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running++
	if h.running > h.most {
		return fmt.Errorf("%d executions run", h.running)
	}
	return nil
}

func (h *hall) begin(key ident.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun = append(h.begun, key)
}

// leave takes the oldest out, if there is one. It has not ended yet.
func (h *hall) leave() (key ident.Key, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.begun) == 0 {
		return key, false
	}
	h.running--
	key, h.begun = h.begun[0], h.begun[1:]
	return key, true
}

// visit launches what it can claim and ends what runs, until nothing is pending.
func (h *hall) visit(ctx context.Context, s Store, plan ident.Key, session int64) error {
	q := of(plan)
	q.Filters = []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{"pending"}}}
	for {
		claimed, err := s.Claim(ctx, store.Claim{Session: session, Now: at(1), Share: limited(5)})
		if err != nil {
			return err
		}
		for i, f := range claimed.Launch {
			if err := h.enter(); err != nil {
				return err
			}
			if _, err := s.CreateExecutions(ctx, []store.Execution{executionOf(f, store.Running)}); err != nil {
				return err
			}
			claimed.Launch[i] = launched(f, at(1))
		}
		if _, err := s.Settle(ctx, claimed.Launch); err != nil {
			return err
		}
		for _, f := range claimed.Launch {
			h.begin(executionOf(f, "").Key)
		}
		if key, ok := h.leave(); ok {
			if _, err := s.UpdateExecution(ctx, key, func(e *store.Execution) error {
				e.Phase, e.UpdatedAt = store.Succeeded, at(1)
				return nil
			}); err != nil {
				return err
			}
		}
		pending, err := s.Firings(ctx, q)
		if err != nil || len(pending) == 0 {
			return err
		}
	}
}
