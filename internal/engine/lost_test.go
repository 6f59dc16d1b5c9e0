package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// forgetful is a ledger that fails to record the first outcome: the launch was
// accepted, and tminus does not know.
type forgetful struct {
	*sqlite.DB
	forgot bool
}

func (l *forgetful) Settle(ctx context.Context, fs []schedule.Firing) (int, error) {
	if !l.forgot {
		l.forgot = true
		return 0, errors.New("disk is full")
	}
	return l.DB.Settle(ctx, fs)
}

// run runs an engine with m as its launcher for a while.
func (m *machine) run(t *testing.T, ledger engine.Ledger, d time.Duration) {
	t.Helper()
	m.engine = engine.New(ledger, m, engine.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.engine.Run(ctx) }()
	time.Sleep(d)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	m.wg.Wait()
}

func TestALaunchWhoseOutcomeWasLostIsNotHeldBackByItsOwnExecution(t *testing.T) {
	for _, policy := range []schedule.Policy{
		{},
		{MaxRunning: 1},
		{Overlap: schedule.OverlapSkip},
		{Overlap: schedule.OverlapBufferOne},
		{Overlap: schedule.OverlapBufferAll},
		{Overlap: schedule.OverlapCancelOther},
		{Overlap: schedule.OverlapTerminateOther},
	} {
		t.Run(fmt.Sprint(policy.Overlap, policy.MaxRunning), func(t *testing.T) {
			bubble(t, func(t *testing.T, db *sqlite.DB) {
				activate(t, db, "plan", "0 1 * * ? *", policy)
				m := &machine{t: t, db: db, lasts: 10 * time.Minute, ends: store.Succeeded}
				m.run(t, &forgetful{DB: db}, 2*time.Hour)
				fs := firings(t, db, "plan")
				if diff := cmp.Diff([]string{"01:00 launched"}, story(fs)); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				x, err := db.Execution(t.Context(), ident.Key{Project: "default", Domain: "development", Name: fs[0].Execution()})
				if err != nil || x.Phase != store.Succeeded {
					t.Errorf("its execution is %s, %v", x.Phase, err)
				}
			})
		})
	}
}

func TestAFiringPastItsDeadlineIsNotLaunched(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "plan", "0 1 1 * ? *", schedule.Policy{LaunchDeadline: time.Minute, CatchUp: schedule.CatchUpNone})
		target := newTarget()
		target.fail = func(schedule.Firing) error { return errors.New("connection refused") }
		_, stop := start(t, db, target)
		time.Sleep(time.Hour + 500*time.Millisecond) // The first attempt has failed.
		stop()
		time.Sleep(72 * time.Hour)
		target.fail = nil
		_, stop = start(t, db, target)
		time.Sleep(time.Minute)
		stop()
		fs := firings(t, db, "plan")
		if len(fs) != 1 || fs[0].Outcome != schedule.Dead || !strings.Contains(fs[0].Reason, "deadline") || !strings.Contains(fs[0].Reason, "connection refused") {
			t.Errorf("got %+v", fs)
		}
		if len(target.executions) != 0 {
			t.Errorf("launched %v", target.executions)
		}
	})
}

// clumsy panics on one launch plan and cannot terminate anything.
type clumsy struct{ *target }

func (c clumsy) Launch(ctx context.Context, fs []schedule.Firing) []error {
	for _, f := range fs {
		if f.LaunchPlan.Name == "poison" {
			panic("nil map")
		}
	}
	return c.target.Launch(ctx, fs)
}

func (clumsy) Terminate(context.Context, ident.Key, string, string) error {
	return errors.New("permission denied")
}

func TestALaunchThatPanicsFailsAlone(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "poison", "* * * * ? *", schedule.Policy{LaunchDeadline: time.Second})
		activate(t, db, "healthy", "* * * * ? *", schedule.Policy{})
		_, stop := start(t, db, clumsy{newTarget()})
		time.Sleep(2*time.Minute + 10*time.Second)
		stop()
		if diff := cmp.Diff([]string{"00:01 launched", "00:02 launched"}, story(firings(t, db, "healthy"))); diff != "" {
			t.Errorf("healthy (-want +got):\n%s", diff)
		}
		poisoned := firings(t, db, "poison")
		if diff := cmp.Diff([]string{"00:01 dead", "00:02 dead"}, story(poisoned)); diff != "" {
			t.Fatalf("poison (-want +got):\n%s", diff)
		}
		if !strings.Contains(poisoned[0].Reason, "nil map") {
			t.Errorf("reason: %s", poisoned[0].Reason)
		}
	})
}

func TestAnExecutionThatCannotBeReplacedHoldsUpNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "stuck", "* * * * ? *", schedule.Policy{Overlap: schedule.OverlapTerminateOther})
		activate(t, db, "healthy", "* * * * ? *", schedule.Policy{})
		now := time.Now()
		if _, err := db.CreateExecutions(t.Context(), []store.Execution{{
			Key: ident.Key{Project: "default", Domain: "development", Name: "hung"}, Kind: store.LaunchPlan,
			LaunchPlan: planID("stuck"), Workflow: planID("stuck"), Phase: store.Running, CreatedAt: now, UpdatedAt: now,
		}}); err != nil {
			t.Fatal(err)
		}
		_, stop := start(t, db, clumsy{newTarget()})
		time.Sleep(2*time.Minute + 10*time.Second)
		stop()
		if diff := cmp.Diff([]string{"00:01 launched", "00:02 launched"}, story(firings(t, db, "healthy"))); diff != "" {
			t.Errorf("healthy (-want +got):\n%s", diff)
		}
		for _, f := range firings(t, db, "stuck") {
			if f.Outcome != schedule.Pending || !strings.Contains(f.Reason, "permission denied") {
				t.Errorf("%s is %s: %s", f.Slot, f.Outcome, f.Reason)
			}
		}
	})
}

func TestLaunchesThatAreDueTogetherGoByPriority(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "low", "0 1 * * ? *", schedule.Policy{Priority: -1})
		activate(t, db, "normal", "0 1 * * ? *", schedule.Policy{})
		activate(t, db, "high", "0 1 * * ? *", schedule.Policy{Priority: 100, Overlap: schedule.OverlapSkip})
		target := newTarget()
		_, stop := start(t, db, target)
		time.Sleep(61 * time.Minute)
		stop()
		if diff := cmp.Diff([]string{"01:00 high", "01:00 normal", "01:00 low"}, target.calls); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestTheEngineSaysWhyItCannotFire(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		begin := time.Now()
		ledger := &stuck{DB: db, from: begin.Add(5 * time.Minute), to: begin.Add(10 * time.Minute)}
		e := engine.New(ledger, newTarget(), engine.Config{})
		if e.Problem() == "" {
			t.Error("no problem before it runs")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		for _, check := range []struct {
			at   time.Duration
			want string
		}{{4 * time.Minute, ""}, {7 * time.Minute, "cannot keep its place among the replicas: disk is full"}, {12 * time.Minute, ""}} {
			time.Sleep(time.Until(begin.Add(check.at)))
			if got := e.Problem(); got != check.want {
				t.Errorf("after %s: got %q, want %q", check.at, got, check.want)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// hiccup is a ledger that cannot claim firings for a moment.
type hiccup struct {
	*sqlite.DB
	from, to time.Time
}

func (l *hiccup) Claim(ctx context.Context, c store.Claim) (store.Claimed, error) {
	if now := time.Now(); now.After(l.from) && now.Before(l.to) {
		return store.Claimed{}, errors.New("disk I/O error")
	}
	return l.DB.Claim(ctx, c)
}

func TestADatabaseErrorForgetsNobodyWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		begin := time.Now()
		policy := schedule.Policy{Overlap: schedule.OverlapBufferAll, EndAt: begin.Add(20 * time.Minute)}
		plans := []string{"a", "b", "c"}
		for _, name := range plans {
			activate(t, db, name, "*/10 * * * ? *", policy)
		}
		end := begin.Add(25*time.Minute + 30*time.Second) // of the first executions
		m := &machine{t: t, db: db, lasts: 15*time.Minute + 30*time.Second, ends: store.Succeeded}
		m.run(t, &hiccup{DB: db, from: end.Add(-time.Millisecond), to: end.Add(50 * time.Millisecond)}, time.Hour)
		for _, name := range plans {
			fs := firings(t, db, name)
			if diff := cmp.Diff([]string{"00:10 launched", "00:20 launched"}, story(fs)); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", name, diff)
			}
			if late := fs[1].SettledAt.Sub(end); late > time.Second {
				t.Errorf("%s was launched %s after what it waited for had ended", name, late)
			}
		}
	})
}
