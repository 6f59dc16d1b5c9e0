package storetest

import (
	"testing"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// elsewhere is an execution of a slot on a Flyte, to be looked at at an instant.
func elsewhere(f schedule.Firing, lookAt time.Time) store.Execution {
	k := f.LaunchPlan.Key
	k.Name = f.Execution()
	return store.Execution{
		Key: k, LaunchPlan: f.LaunchPlan, Kind: store.LaunchPlan, Phase: store.Queued, Runner: store.Elsewhere, Mode: 1, Slot: f.Slot,
		CreatedAt: f.Slot, UpdatedAt: f.Slot, LookAt: lookAt,
	}
}

func exerciseElsewhere(t *testing.T, open func(t *testing.T) Store) {
	t.Run("no runner takes them", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		queued := elsewhere(schedule.Firing{LaunchPlan: id("a", "v1"), Slot: at(1)}, at(2))
		running := elsewhere(schedule.Firing{LaunchPlan: id("b", "v1"), Slot: at(1)}, at(2))
		running.Phase = store.Running
		created(t, s, queued, running)
		same(t, "taken", len(must(s.TakeExecutions(ctx, "web-1", at(60), 10))(t)), 0)
		same(t, "held", len(must(s.HeldExecutions(ctx, "web-1"))(t)), 0)
	})

	t.Run("are looked at in turn", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		same(t, "next of none", must(s.NextElsewhere(ctx))(t), time.Time{})
		first := elsewhere(schedule.Firing{LaunchPlan: id("a", "v1"), Slot: at(1)}, at(2))
		second := elsewhere(schedule.Firing{LaunchPlan: id("b", "v1"), Slot: at(1)}, at(3))
		created(t, s, second, first)
		same(t, "next", must(s.NextElsewhere(ctx))(t), at(2))
		same(t, "before", len(must(s.ClaimElsewhere(ctx, at(1), time.Minute, 10))(t)), 0)
		got := must(s.ClaimElsewhere(ctx, at(5), time.Minute, 1))(t)
		want := first
		want.LookAt = at(6)
		same(t, "the first", got, []store.Execution{want})
		same(t, "the second", executionNames(must(s.ClaimElsewhere(ctx, at(5), time.Minute, 10))(t)), []string{second.Name})
		same(t, "claimed", len(must(s.ClaimElsewhere(ctx, at(5), time.Minute, 10))(t)), 0)
		same(t, "after the lease", len(must(s.ClaimElsewhere(ctx, at(6), time.Minute, 10))(t)), 2)
	})

	t.Run("end once", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		x := elsewhere(schedule.Firing{LaunchPlan: id("a", "v1"), Slot: at(1)}, at(2))
		created(t, s, x)
		x.Phase, x.StartedAt, x.LookAt = store.Running, at(2), at(4)
		same(t, "ended", len(must(s.SettleElsewhere(ctx, at(3), []store.Execution{x}))(t)), 0)
		x.UpdatedAt = at(3)
		same(t, "running", must(s.Execution(ctx, x.Key))(t), x)
		x.Phase, x.EndedAt, x.LookAt, x.Error = store.Failed, at(4), time.Time{}, []byte("error")
		same(t, "ended", executionNames(must(s.SettleElsewhere(ctx, at(5), []store.Execution{x}))(t)), []string{x.Name})
		x.UpdatedAt = at(5)
		same(t, "failed", must(s.Execution(ctx, x.Key))(t), x)
		x.Phase = store.Succeeded
		same(t, "again", len(must(s.SettleElsewhere(ctx, at(6), []store.Execution{x}))(t)), 0)
		same(t, "still", must(s.Execution(ctx, x.Key))(t).Phase, store.Failed)
		same(t, "next", must(s.NextElsewhere(ctx))(t), time.Time{})
	})

	t.Run("are ended on demand", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		x := elsewhere(schedule.Firing{LaunchPlan: id("a", "v1"), Slot: at(1)}, at(9))
		created(t, s, x)
		must(s.UpdateExecution(ctx, x.Key, func(e *store.Execution) error {
			e.Phase, e.AbortCause, e.AbortedBy, e.LookAt = store.Aborting, "enough", "ada", at(3)
			return nil
		}))(t)
		x.Phase, x.LookAt = store.Running, at(20) // As somebody saw it who did not know.
		must(s.SettleElsewhere(ctx, at(3), []store.Execution{x}))(t)
		got := must(s.Execution(ctx, x.Key))(t)
		same(t, "phase", got.Phase, store.Aborting)
		same(t, "look at", got.LookAt, at(3))
		x.Phase, x.EndedAt, x.LookAt, x.AbortCause, x.AbortedBy = store.Aborted, at(5), time.Time{}, "said Flyte", "flyte"
		same(t, "ended", len(must(s.SettleElsewhere(ctx, at(5), []store.Execution{x}))(t)), 1)
		got = must(s.Execution(ctx, x.Key))(t)
		same(t, "cause", []string{string(got.Phase), got.AbortCause, got.AbortedBy}, []string{"ABORTED", "enough", "ada"})
	})

	t.Run("let those go on that wait for them", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		buffered := spec("* * * * *")
		buffered.Policy.Overlap = schedule.OverlapBufferOne
		scheduled(t, s, "a", buffered)
		advance(t, s, at(1))
		me := session(t, s)
		fs := claim(t, s, me, at(1))
		x := elsewhere(fs[0], at(2))
		created(t, s, x)
		settle(t, s, launched(fs[0], at(1)))
		advance(t, s, at(2))
		same(t, "beside it", len(claim(t, s, me, at(2))), 0)
		x.Phase, x.EndedAt, x.LookAt = store.Succeeded, at(3), time.Time{}
		must(s.SettleElsewhere(ctx, at(3), []store.Execution{x}))(t)
		same(t, "after it", len(claim(t, s, me, at(3))), 1)
	})

	t.Run("launch again under another name", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		me := session(t, s)
		f := claim(t, s, me, at(1))[0]
		x := elsewhere(f, at(2))
		created(t, s, x)
		settle(t, s, launched(f, at(1)))
		again := must(s.Relaunch(ctx, at(2), x, "no Kubernetes"))(t)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending"})
		if again.Execution() == x.Name || again.Relaunches != 1 {
			t.Errorf("it launches again as %+v", again)
		}
		got := must(s.Execution(ctx, x.Key))(t)
		same(t, "execution", []string{string(got.Phase), got.AbortCause}, []string{"ABORTED", "no Kubernetes"})
		_, err := s.Relaunch(ctx, at(2), x, "no Kubernetes")
		wantError(t, err, store.ErrNotFound)

		same(t, "at once", len(claim(t, s, me, at(2))), 0)
		f = claim(t, s, me, at(3))[0]
		same(t, "name", f.Execution(), again.Execution())
		created(t, s, elsewhere(f, at(4)))
		settle(t, s, launched(f, at(3)))
		same(t, "in the end", ledger(t, s, plan.Key), []string{"12:01 v1 launched"})
		same(t, "its execution", must(s.Firings(ctx, of(plan.Key)))(t)[0].Execution(), again.Execution())
	})

	t.Run("launch again before it is recorded that they were launched", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		me := session(t, s)
		f := claim(t, s, me, at(1))[0]
		x := elsewhere(f, at(2))
		created(t, s, x)
		must(s.Relaunch(ctx, at(2), x, "no Kubernetes"))(t)
		same(t, "settled", must(s.Settle(ctx, []schedule.Firing{launched(f, at(2))}))(t), 0)
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending"})
		again := claim(t, s, me, at(3))[0]
		same(t, "relaunches", again.Relaunches, 1)
	})

	t.Run("are dead where the schedule has stopped", func(t *testing.T) {
		s, ctx := open(t), t.Context()
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		f := claim(t, s, session(t, s), at(1))[0]
		x := elsewhere(f, at(2))
		created(t, s, x)
		settle(t, s, launched(f, at(1)))
		check(t, s.Deactivate(ctx, plan, ada(at(2))))
		got := must(s.Relaunch(ctx, at(3), x, "no Kubernetes"))(t)
		same(t, "outcome", got.Outcome, schedule.Dead)
		same(t, "reason", got.Reason, "no Kubernetes; it is not launched again: the schedule is not active any more")
	})
}

// exerciseDoubt has launches of which nobody knows whether they came through elsewhere.
func exerciseDoubt(t *testing.T, open func(t *testing.T) Store) {
	verify := func(t *testing.T, s Store, session int64, now time.Time) store.Claimed {
		t.Helper()
		return must(s.Claim(t.Context(), store.Claim{Session: session, Now: now, Verify: true, Share: everything}))(t)
	}

	t.Run("is looked into again when that was said, though the schedule has stopped", func(t *testing.T) {
		s := open(t)
		plan := scheduled(t, s, "a", spec("* * * * *"))
		advance(t, s, at(1))
		me := session(t, s)
		settle(t, s, failed(claim(t, s, me, at(1))[0], at(9)))
		check(t, s.Deactivate(t.Context(), plan, ada(at(2))))
		doubtful := verify(t, s, me, at(2)).Verify
		same(t, "at once", names(doubtful), []string{"a 12:01"})
		settle(t, s, failed(doubtful[0], at(5)))
		same(t, "before", len(verify(t, s, me, at(4)).Verify), 0)
		same(t, "then", names(verify(t, s, me, at(5)).Verify), []string{"a 12:01"})
	})

	t.Run("holds back those whose policy it concerns", func(t *testing.T) {
		s := open(t)
		skip := spec("* * * * *")
		skip.Policy.Overlap = schedule.OverlapSkip
		plan := scheduled(t, s, "a", skip)
		advance(t, s, at(1))
		me := session(t, s)
		settle(t, s, failed(claim(t, s, me, at(1))[0], at(3)))
		advance(t, s, at(2))
		got := verify(t, s, me, at(2))
		same(t, "launched", names(got.Launch), []string(nil))
		doubtful := verify(t, s, me, at(3))
		same(t, "launched", names(doubtful.Launch), []string(nil))
		same(t, "in doubt", names(doubtful.Verify), []string{"a 12:01"})
		f := doubtful.Verify[0]
		f.Tried = false
		settle(t, s, failed(f, at(4)))
		same(t, "without a doubt", names(verify(t, s, me, at(4)).Launch), []string{"a 12:01"})
		same(t, "ledger", ledger(t, s, plan.Key), []string{"12:01 v1 pending", "12:02 v1 skipped"})
	})
}
