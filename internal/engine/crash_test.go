package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// errCrashed is what every call answers after the crash: the process is gone.
var errCrashed = errors.New("crashed")

// fuse lets a number of steps pass and then crashes: before the step's effect,
// or after it but before the caller learns of it.
type fuse struct {
	steps int
	after bool
	blown chan struct{}
}

func (f *fuse) isBlown() bool {
	select {
	case <-f.blown:
		return true
	default:
		return false
	}
}

func (f *fuse) step(do func() error) error {
	if f.isBlown() {
		return errCrashed
	}
	if f.steps--; f.steps >= 0 {
		return do()
	}
	if f.after {
		if err := do(); err != nil {
			return err
		}
	}
	close(f.blown)
	return errCrashed
}

// mortal is a ledger and a launcher that crash with their fuse.
type mortal struct {
	engine.Ledger
	target *target
	plan   *fuse // the planning loop's steps
	launch *fuse // the launching loop's steps
}

func (m *mortal) Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (a store.Advanced, err error) {
	err = m.plan.step(func() error {
		a, err = m.Ledger.Advance(ctx, session, now, limit, claim)
		return err
	})
	return a, err
}

func (m *mortal) Claim(ctx context.Context, c store.Claim) (claimed store.Claimed, err error) {
	err = m.launch.step(func() error {
		claimed, err = m.Ledger.Claim(ctx, c)
		return err
	})
	return claimed, err
}

func (m *mortal) Settle(ctx context.Context, fs []schedule.Firing) (n int, err error) {
	err = m.launch.step(func() error {
		n, err = m.Ledger.Settle(ctx, fs)
		return err
	})
	return n, err
}

// Beat and Leave are no steps, but a process that is gone does neither.
func (m *mortal) Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (store.Beat, error) {
	if m.plan.isBlown() || m.launch.isBlown() {
		return store.Beat{}, errCrashed
	}
	return m.Ledger.Beat(ctx, session, now, lease)
}

func (m *mortal) Leave(ctx context.Context, session int64) error {
	if m.plan.isBlown() || m.launch.isBlown() {
		return errCrashed
	}
	return m.Ledger.Leave(ctx, session)
}

func (m *mortal) Launch(ctx context.Context, fs []schedule.Firing) []error {
	// A crash in the middle of a batch: half of it is accepted.
	half := len(fs) / 2
	errs := m.target.Launch(ctx, fs[:half])
	err := m.launch.step(func() error {
		errs = append(errs, m.target.Launch(ctx, fs[half:])...)
		return nil
	})
	for len(errs) < len(fs) {
		errs = append(errs, err)
	}
	return errs
}

func (m *mortal) Terminate(context.Context, ident.Key, string, string) error { return nil }

// TestACrashAtAnyStepLosesAndDoublesNothing crashes the engine at each step of
// the path in turn, before and after the step's effect, starts another one on
// the same database, and expects every slot to be launched exactly once.
func TestACrashAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	for _, loop := range []string{"planning", "launching"} {
		for _, after := range []bool{false, true} {
			for steps := 0; ; steps++ {
				if !crashAt(t, loop, steps, after) {
					if steps < 5 {
						t.Errorf("the %s loop took %d steps only; too few for a test", loop, steps)
					}
					break // It ran to the end: every step has had its crash.
				}
			}
		}
	}
}

// crashAt runs ten minutes of schedules with one crash and reports whether it came.
func crashAt(t *testing.T, loop string, steps int, after bool) (crashed bool) {
	t.Helper()
	const never = 1 << 30
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db := open(t, dir)
		all := schedule.Policy{CatchUp: schedule.CatchUpAll}
		plans := []string{"a", "b", "c"}
		for _, name := range plans {
			activate(t, db, name, "*/2 * * * ? *", all)
		}
		begin := time.Now()
		target := newTarget()
		m := &mortal{Ledger: db, target: target, plan: &fuse{steps: never}, launch: &fuse{steps: never}}
		f := &fuse{steps: steps, after: after, blown: make(chan struct{})}
		if loop == "planning" {
			m.plan, m.launch.blown = f, f.blown
		} else {
			m.launch, m.plan.blown = f, f.blown
		}
		_, stop := start(t, m, m)
		select {
		case <-f.blown:
			crashed = true
		case <-time.After(10*time.Minute + time.Second):
		}
		stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}

		db = open(t, dir)
		_, stop = start(t, db, target)
		time.Sleep(time.Until(begin.Add(10*time.Minute + time.Second)))
		synctest.Wait()
		stop()
		for _, name := range plans {
			fs := firings(t, db, name)
			if len(fs) != 5 {
				t.Errorf("crash of the %s loop at step %d (after its effect: %t): %s has %v", loop, steps, after, name, story(fs))
			}
			for _, f := range fs {
				if f.Outcome != schedule.Launched {
					t.Errorf("crash of the %s loop at step %d (after its effect: %t): %s is %s", loop, steps, after, f.Slot, f.Outcome)
				}
				if _, launched := target.executions[f.Execution()]; !launched {
					t.Errorf("crash of the %s loop at step %d (after its effect: %t): %s is recorded as launched and was not", loop, steps, after, f.Slot)
				}
			}
		}
		if len(target.executions) != 5*len(plans) {
			t.Errorf("crash of the %s loop at step %d (after its effect: %t): %d executions, want %d", loop, steps, after, len(target.executions), 5*len(plans))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
	return crashed
}
