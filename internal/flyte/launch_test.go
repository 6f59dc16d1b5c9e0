package flyte_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/core"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/flyte/flytetest"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// TestABurstTakesAsLongAsFlyteNeeds has slots come due at once before a
// flyteadmin that serves 200 a second, goes on working for callers that have gone, and
// is slower the more ask at once.
func TestABurstTakesAsLongAsFlyteNeeds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		slots int
		load  flytetest.Load
		most  time.Duration
	}{
		{1000, flytetest.Load{PerSecond: 200}, 7 * time.Second},
		{1000, flytetest.Load{PerSecond: 200, Workers: 2}, 7 * time.Second},
		{1000, flytetest.Load{PerSecond: 200, Workers: 8, Crowded: 100}, 8 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, engine.Rate{})
			w.admin.Work(tc.load)
			w.activate("0 1 * * *", schedule.Policy{}, names(tc.slots)...)
			time.Sleep(time.Until(midnight.Add(time.Hour)))
			took := w.until(time.Minute, "launched", func() bool { return w.admin.Calls()["CreateExecution"] == tc.slots })
			t.Logf("%+v: %d in %s, at most %d in flight, %v", tc.load, tc.slots, took, w.admin.MostInFlight(), w.admin.Calls())
			if took > tc.most {
				t.Errorf("%+v: %d took %s", tc.load, tc.slots, took)
			}
			w.until(time.Minute, "recorded", func() bool { return len(w.firings(schedule.Launched)) == tc.slots })
			w.once(w.firings(schedule.Launched))
			for _, f := range w.firings(schedule.Launched) {
				if f.Attempts > 0 {
					t.Fatalf("an attempt was used up: %+v", f)
				}
			}
		})
	}
}

// TestAFarFlyteadminIsAskedByMany has a flyteadmin whose answers take 20 ms, and
// then hardly longer, which is no reason to take others for waiting there.
func TestAFarFlyteadminIsAskedByMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, engine.Rate{})
		w.activate("0 1 * * *", schedule.Policy{}, names(5000)...)
		slot := midnight.Add(time.Hour)
		w.admin.Latency(func(string) time.Duration {
			if time.Since(slot) < 100*time.Millisecond {
				return 20 * time.Millisecond
			}
			return 21500 * time.Microsecond
		})
		time.Sleep(time.Until(slot))
		took := w.until(time.Minute, "launched", func() bool { return len(w.admin.Executions()) == 5000 })
		t.Logf("%s, at most %d in flight", took, w.admin.MostInFlight())
		if took > 2500*time.Millisecond {
			t.Errorf("5000 took %s", took)
		}
	})
}

var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestBadDays has a hundred slots come due while something does not work, for a
// while. Each launches once in the end, and none is given up.
func TestBadDays(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		begin, end func(a *flytetest.Server)
		problem    string // why launches are held back meanwhile; empty where they may be
		attempts   bool   // may be used up
		relaunched bool   // under other names
	}{
		{
			name: "flyteadmin is down", problem: "Unavailable",
			begin: func(a *flytetest.Server) { down(t, a, true) }, end: func(a *flytetest.Server) { down(t, a, false) },
		},
		{
			name: "its database is down", problem: "InvalidArgument: failed to validate",
			begin: func(a *flytetest.Server) { a.DatabaseDown(true) }, end: func(a *flytetest.Server) { a.DatabaseDown(false) },
		},
		{
			name: "a proxy has nothing behind it", problem: "Unimplemented",
			begin: func(a *flytetest.Server) {
				a.Refuse(status.Error(codes.Unimplemented, "unexpected HTTP status code received from server: 404 (Not Found)"), "CreateExecution")
			}, end: func(a *flytetest.Server) { a.Refuse(nil, "CreateExecution") },
		},
		{
			name: "the token is no good", problem: "Unauthenticated",
			begin: func(a *flytetest.Server) { a.RequireToken("another") }, end: func(a *flytetest.Server) { a.RequireToken() },
		},
		{
			name:  "half of the replies are lost",
			begin: func(a *flytetest.Server) { a.LoseReplies(0.5) }, end: func(a *flytetest.Server) { a.LoseReplies(0) },
		},
		{
			name:  "half of the calls come to nothing",
			begin: func(a *flytetest.Server) { a.FailBefore(0.5) }, end: func(a *flytetest.Server) { a.FailBefore(0) },
		},
		{
			name:  "there is a limit before it",
			begin: func(a *flytetest.Server) { a.Throttle(20) }, end: func(a *flytetest.Server) { a.Throttle(0) },
		},
		{
			name: "something is broken in it", attempts: true,
			begin: func(a *flytetest.Server) { a.Refuse(status.Error(codes.Internal, "a bug"), "CreateExecution") },
			end:   func(a *flytetest.Server) { a.Refuse(nil, "CreateExecution") },
		},
		{
			name: "Kubernetes is down", problem: "could not start it", attempts: true, relaunched: true,
			begin: func(a *flytetest.Server) { a.KubernetesDown(true) }, end: func(a *flytetest.Server) { a.KubernetesDown(false) },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, engine.Rate{})
				w.activate("0 1 * * *", schedule.Policy{}, names(100)...)
				w.admin.Propel(flytetest.Propeller{Run: flytetest.For(time.Hour)})
				time.Sleep(time.Until(midnight.Add(time.Hour - time.Second)))
				tc.begin(w.admin)
				time.Sleep(2 * time.Minute)
				if got := w.launcher.Problem(); !strings.Contains(got, tc.problem) {
					t.Errorf("launches are held back as %q, want %q", got, tc.problem)
				}
				before := w.admin.Calls()["CreateExecution"]
				tc.end(w.admin)
				w.until(10*time.Minute, "launched", func() bool { return len(w.firings(schedule.Launched)) == 100 })
				w.until(time.Minute, "open", func() bool { return w.launcher.Problem() == "" })
				t.Logf("%d calls before the end of it, %d after", before, w.admin.Calls()["CreateExecution"]-before)
				begun := 0
				for _, x := range w.admin.Executions() {
					if x.GetClosure().GetPhase() != core.WorkflowExecution_FAILED {
						begun++
					}
				}
				if begun != 100 {
					t.Errorf("%d began for 100 firings", begun)
				}
				if !tc.relaunched {
					w.once(w.firings(schedule.Launched))
				}
				for _, f := range w.firings(schedule.Launched) {
					if f.Attempts > 0 && !tc.attempts {
						t.Fatalf("an attempt was used up: %+v", f)
					}
				}
			})
		})
	}
}

func down(t *testing.T, a *flytetest.Server, is bool) {
	t.Helper()
	if err := a.Down(is); err != nil {
		t.Error(err)
	}
}

// TestWhatIsAskedFor compares a request with what Flyte's own scheduler would ask
// for, and looks at the annotations.
func TestWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, engine.Rate{})
		w.activate("0 1 * * *", schedule.Policy{}, "report")
		time.Sleep(time.Until(midnight.Add(time.Hour + time.Second)))
		w.until(time.Minute, "launched", func() bool { return len(w.firings(schedule.Launched)) == 1 })
		x := w.admin.Executions()[0]
		slot := midnight.Add(time.Hour)
		if got, want := x.GetId().GetName(), schedule.ExecutionName(planID("report"), slot); got != want {
			t.Errorf("the name is %s, want %s", got, want)
		}
		m := x.GetSpec().GetMetadata()
		if m.GetMode() != admin.ExecutionMetadata_SCHEDULED || !m.GetScheduledAt().AsTime().Equal(slot) {
			t.Errorf("the metadata is %v", m)
		}
		want := map[string]string{"team": "sales", "tminus.dev/slot": "2000-01-01T01:00:00Z", "tminus.dev/kind": "scheduled"}
		if got := x.GetSpec().GetAnnotations().GetValues(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the annotations are %v", got)
		}
		if len(x.GetSpec().GetLabels().GetValues()) > 0 {
			t.Errorf("labels are asked for: %v", x.GetSpec().GetLabels())
		}
		here, err := w.db.Execution(t.Context(), ident.Key{Project: "shop", Domain: "production", Name: x.GetId().GetName()})
		if err != nil {
			t.Fatal(err)
		}
		inputs := &core.LiteralMap{}
		if err := proto.Unmarshal(here.Inputs, inputs); err != nil || !inputs.GetLiterals()["at"].GetScalar().GetPrimitive().GetDatetime().AsTime().Equal(slot) {
			t.Errorf("the inputs are %v, %v", inputs, err)
		}
	})
}

// TestNamesThatAreTaken has executions on Flyte before they are launched.
func TestNamesThatAreTaken(t *testing.T) {
	t.Parallel()
	slot := midnight.Add(time.Hour)
	for _, tc := range []struct {
		name    string
		there   func(r *admin.ExecutionCreateRequest)
		outcome schedule.Outcome
		reason  string
	}{
		{"by Flyte's own scheduler", func(*admin.ExecutionCreateRequest) {}, schedule.Launched, ""},
		{"by somebody who says no slot", func(r *admin.ExecutionCreateRequest) { r.Spec.Metadata.ScheduledAt = nil }, schedule.Launched, ""},
		{"by another launch plan", func(r *admin.ExecutionCreateRequest) { r.Spec.LaunchPlan.Name = "other" }, schedule.Dead, "is taken on Flyte by an execution of"},
		{"by another slot", func(r *admin.ExecutionCreateRequest) { r.Spec.Metadata.ScheduledAt.Seconds++ }, schedule.Dead, "the execution of the slot 2000-01-01T01:00:01Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, engine.Rate{})
				w.activate("0 1 * * *", schedule.Policy{}, "report", "other")
				r := w.request("report", slot)
				tc.there(r)
				if _, err := w.client().CreateExecution(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(slot.Add(time.Minute)))
				synctest.Wait()
				fs := slices.DeleteFunc(w.firings(tc.outcome), func(f schedule.Firing) bool { return f.LaunchPlan.Name != "report" })
				if len(fs) != 1 || !strings.Contains(fs[0].Reason, tc.reason) {
					t.Errorf("%s are %+v", tc.outcome, fs)
				}
			})
		})
	}
}

// TestFlyteRefuses has Flyte refuse launches for good.
func TestFlyteRefuses(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, engine.Rate{})
			w.admin.Refuse(status.Error(code, "because"), "CreateExecution")
			w.activate("0 1 * * *", schedule.Policy{}, "report")
			time.Sleep(time.Until(midnight.Add(time.Hour + time.Minute)))
			synctest.Wait()
			if fs := w.firings(schedule.Dead); len(fs) != 1 || !strings.Contains(fs[0].Reason, "because") {
				t.Errorf("%s: dead are %+v", code, fs)
			}
			if p := w.launcher.Problem(); p != "" {
				t.Errorf("%s: all are held back: %s", code, p)
			}
		})
	}
}

// TestFlyteSkips has more executions run on Flyte than the launch plan's concurrency
// policy allows, of which tminus knows nothing.
func TestFlyteSkips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, engine.Rate{})
		w.activate("0 1 * * *", schedule.Policy{MaxRunning: 1}, "report")
		w.admin.Refuse(status.Error(codes.AlreadyExists, "concurrency limit (1) reached for launch plan report; skipping execution"), "CreateExecution")
		time.Sleep(time.Until(midnight.Add(time.Hour + time.Minute)))
		synctest.Wait()
		if fs := w.firings(schedule.Skipped); len(fs) != 1 || !strings.Contains(fs[0].Reason, "oncurrency limit (1) reached") {
			t.Errorf("skipped are %+v", fs)
		}
	})
}

// TestPoliciesKnowWhatRunsOnFlyte has executions run, fail and be replaced there.
func TestPoliciesKnowWhatRunsOnFlyte(t *testing.T) {
	t.Parallel()
	run := func(d time.Duration, phase core.WorkflowExecution_Phase) flytetest.Propeller {
		return flytetest.Propeller{Queue: time.Second, Start: time.Second, Run: func(*admin.Execution) (time.Duration, core.WorkflowExecution_Phase) { return d, phase }}
	}
	for _, tc := range []struct {
		name      string
		policy    schedule.Policy
		propeller flytetest.Propeller
		want      string // the outcomes of the first five slots, one each ten minutes
		ended     string // the phases of their executions
	}{
		{
			"overlap skips",
			schedule.Policy{Overlap: schedule.OverlapSkip},
			run(15*time.Minute, core.WorkflowExecution_SUCCEEDED),
			"launched skipped launched skipped launched", "SUCCEEDED SUCCEEDED RUNNING",
		},
		{
			"overlap replaces",
			schedule.Policy{Overlap: schedule.OverlapTerminateOther},
			run(15*time.Minute, core.WorkflowExecution_SUCCEEDED),
			"launched launched launched launched launched", "ABORTED ABORTED ABORTED ABORTED RUNNING",
		},
		{
			"two failures pause",
			schedule.Policy{PauseOnFailure: 2},
			run(time.Minute, core.WorkflowExecution_FAILED),
			"launched launched", "FAILED FAILED",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, engine.Rate{})
				w.admin.Propel(tc.propeller)
				w.activate("*/10 * * * *", tc.policy, "report")
				time.Sleep(52 * time.Minute)
				synctest.Wait()
				fs, err := w.db.Firings(t.Context(), store.Query{Limit: 100, SortBy: "slot", Ascending: true})
				if err != nil {
					t.Fatal(err)
				}
				var outcomes, phases []string
				for _, f := range fs {
					outcomes = append(outcomes, string(f.Outcome))
				}
				if got := strings.Join(outcomes, " "); got != tc.want {
					t.Errorf("the outcomes are %s, want %s", got, tc.want)
				}
				es, err := w.db.Executions(t.Context(), store.Query{Limit: 100, SortBy: "created_at", Ascending: true})
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range es {
					phases = append(phases, string(x.Phase))
				}
				if got := strings.Join(phases, " "); got != tc.ended {
					t.Errorf("the executions are %s, want %s", got, tc.ended)
				}
				s, err := w.db.Schedule(t.Context(), planID("report").Key)
				if err != nil || (s.Paused != "") != (tc.policy.PauseOnFailure > 0) {
					t.Errorf("paused as %q, %v", s.Paused, err)
				}
			})
		})
	}
}

// TestALaunchThatWasNotRecordedIsFound has a schedule stop, or its policy change its
// mind, between a launch on Flyte and the record of it.
func TestALaunchThatWasNotRecordedIsFound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		policy   schedule.Policy
		launches bool // Flyte takes what is launched
		stop     func(w *world) error
		outcome  schedule.Outcome
	}{
		{"deactivated", schedule.Policy{}, true, func(w *world) error {
			return w.db.Deactivate(w.Context(), planID("report"), store.Change{By: "ada", At: time.Now()})
		}, schedule.Launched},
		{"paused", schedule.Policy{}, true, func(w *world) error {
			return w.db.Pause(w.Context(), planID("report").Key, "looking into it", time.Time{}, store.Change{By: "ada", At: time.Now()})
		}, schedule.Launched},
		{"overlap is skip", schedule.Policy{Overlap: schedule.OverlapSkip}, true, func(*world) error { return nil }, schedule.Launched},
		{"deactivated, and not launched", schedule.Policy{}, false, func(w *world) error {
			return w.db.Deactivate(w.Context(), planID("report"), store.Change{By: "ada", At: time.Now()})
		}, schedule.Skipped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, engine.Rate{})
				w.activate("0 1 * * *", tc.policy, "report")
				w.forgetful.fails.Store(true)
				if !tc.launches {
					w.admin.FailBefore(1, "CreateExecution")
				}
				time.Sleep(time.Until(midnight.Add(time.Hour + 30*time.Second)))
				if err := tc.stop(w); err != nil {
					t.Fatal(err)
				}
				w.forgetful.fails.Store(false)
				w.engine.Wake()
				time.Sleep(time.Minute)
				synctest.Wait()
				fs, err := w.db.Firings(t.Context(), store.Query{Limit: 10})
				if err != nil || len(fs) != 1 || fs[0].Outcome != tc.outcome {
					t.Errorf("the firings are %+v, %v", fs, err)
				}
				if n := len(w.admin.Executions()); (n == 1) != tc.launches {
					t.Errorf("there are %d executions on Flyte", n)
				}
				es, err := w.db.Executions(t.Context(), store.Query{Limit: 10})
				if err != nil || (len(es) == 1) != tc.launches {
					t.Errorf("here are %d, %v", len(es), err)
				}
			})
		})
	}
}
