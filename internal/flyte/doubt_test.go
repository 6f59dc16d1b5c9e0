package flyte_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// TestWhatWasLaunchedIsNotGivenUp has Flyte launch a slot and lose the answer, and
// then something that would have the slot given up.
func TestWhatWasLaunchedIsNotGivenUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		policy schedule.Policy
		then   func(w *world)
	}{
		{"its deadline comes", schedule.Policy{LaunchDeadline: 10 * time.Second}, func(w *world) {
			w.admin.LoseReplies(1)
			time.Sleep(20 * time.Second)
			w.admin.LoseReplies(0)
		}},
		{"it is refused from then on", schedule.Policy{}, func(w *world) {
			w.admin.Refuse(status.Error(codes.PermissionDenied, "not any more"), "CreateExecution")
			w.admin.LoseReplies(0)
		}},
		{"its launch plan is deactivated", schedule.Policy{}, func(w *world) {
			if err := w.db.Deactivate(w.Context(), planID("report"), store.Change{At: time.Now()}); err != nil {
				w.Error(err)
			}
			down(w.T, w.admin, true)
			time.Sleep(20 * time.Minute)
			down(w.T, w.admin, false)
			w.admin.LoseReplies(0)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, engine.Rate{})
				w.activate("0 1 * * *", tc.policy, "report")
				time.Sleep(time.Until(midnight.Add(time.Hour - time.Second)))
				w.admin.LoseReplies(1)
				w.until(time.Minute, "launched on Flyte", func() bool { return len(w.admin.Executions()) == 1 })
				tc.then(w)
				w.until(10*time.Minute, "recorded", func() bool { return len(w.firings(schedule.Launched)) == 1 })
				w.once(w.firings(schedule.Launched))
			})
		})
	}
}

// TestWhatMayRunHoldsTheNextSlotBack loses the answer to a launch whose execution
// then runs, of which the database knows nothing, when the next slot comes due.
func TestWhatMayRunHoldsTheNextSlotBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		overlap  schedule.Overlap
		launched int
	}{{schedule.OverlapSkip, 1}, {schedule.OverlapBufferAll, 1}, {"", 2}} {
		t.Run(string(tc.overlap), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, engine.Rate{})
				w.admin.Propel(flytetest.Propeller{Run: flytetest.For(time.Hour)})
				w.activate("0,1 1 * * *", schedule.Policy{Overlap: tc.overlap}, "report")
				time.Sleep(time.Until(midnight.Add(time.Hour - time.Second)))
				w.admin.LoseReplies(1)
				time.Sleep(2 * time.Minute)
				w.admin.LoseReplies(0)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if got := len(w.admin.Executions()); got != tc.launched {
					t.Errorf("%d run at the same time, want %d", got, tc.launched)
				}
			})
		})
	}
}

// TestAStillbornExecutionIsLaunchedAgainWhoeverLaunchesIt has Kubernetes refuse an
// execution and the answer get lost, so that the slot is launched again under a name which is used up.
func TestAStillbornExecutionIsLaunchedAgainWhoeverLaunchesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, engine.Rate{})
		w.activate("0 1 * * *", schedule.Policy{}, "report")
		time.Sleep(time.Until(midnight.Add(time.Hour - time.Second)))
		w.admin.KubernetesDown(true)
		w.admin.LoseReplies(1, "CreateExecution")
		time.Sleep(time.Minute)
		w.admin.KubernetesDown(false)
		w.admin.LoseReplies(0)
		w.until(10*time.Minute, "begun", func() bool {
			fs := w.firings(schedule.Launched)
			return len(fs) == 1 && fs[0].Relaunches > 0 && len(w.admin.Executions()) == fs[0].Relaunches+1
		})
	})
}

// TestAnAttemptIsNotUsedUpWhereNobodyCanTell has flyteadmin's database go down between
// the answer that an execution exists and the question whose it is.
func TestAnAttemptIsNotUsedUpWhereNobodyCanTell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, engine.Rate{})
		w.activate("0 1 * * *", schedule.Policy{}, "report")
		time.Sleep(time.Until(midnight.Add(time.Hour - time.Second)))
		w.admin.LoseReplies(1, "CreateExecution")
		w.admin.Refuse(status.Error(codes.Internal, "no database"), "GetExecution")
		w.until(time.Minute, "launched on Flyte", func() bool { return len(w.admin.Executions()) == 1 })
		w.admin.LoseReplies(0)
		time.Sleep(time.Minute)
		w.admin.Refuse(nil, "GetExecution")
		w.until(time.Minute, "recorded", func() bool { return len(w.firings(schedule.Launched)) == 1 })
		if f := w.firings(schedule.Launched)[0]; f.Attempts > 0 {
			t.Errorf("attempts were used up: %+v", f)
		}
	})
}
