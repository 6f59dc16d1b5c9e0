package alert_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tminus.dev/internal/alert"
	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// launcher stands for where executions run.
type launcher struct {
	mu   sync.Mutex
	fail error
	slow time.Duration
}

func (l *launcher) set(fail error, slow time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail, l.slow = fail, slow
}

func (l *launcher) Launch(_ context.Context, fs []schedule.Firing) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	time.Sleep(l.slow)
	errs := make([]error, len(fs))
	for i := range errs {
		errs[i] = l.fail
	}
	return errs
}

func (l *launcher) Terminate(context.Context, ident.Key, string, string) error { return nil }

func openIn(t *testing.T, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// scheduled registers a launch plan and activates it.
func scheduled(t *testing.T, db *sqlite.DB, name string, spec schedule.Spec) {
	t.Helper()
	id := ident.ID{Key: plan(name), Version: "v1"}
	now := time.Now()
	if err := db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: now, UpdatedAt: now}); err != nil {
		t.Fatal(err)
	}
	if err := db.Activate(t.Context(), id, &spec, store.Change{At: now}); err != nil {
		t.Fatal(err)
	}
}

// replica is an engine, and what watches it.
type replica struct {
	*engine.Engine
	watcher *alert.Watcher
}

// start runs a replica until what is returned ends it.
func start(t *testing.T, db *sqlite.DB, l *launcher, a *alert.Alerter) (r replica, stop func()) {
	t.Helper()
	r.watcher = alert.NewWatcher(db, a)
	r.Engine = engine.New(db, l, engine.Config{Settled: r.watcher.Settled, Paused: r.watcher.Paused, Lease: 4 * time.Minute})
	firing, endFiring := context.WithCancel(t.Context())
	watching, endWatching := context.WithCancel(t.Context())
	fired, watched := make(chan error, 1), make(chan error, 1)
	go func() { fired <- r.Run(firing) }()
	go func() { watched <- r.watcher.Run(watching) }()
	return r, func() {
		endFiring()
		if err := <-fired; err != nil {
			t.Error(err)
		}
		endWatching()
		if err := <-watched; err != nil {
			t.Error(err)
		}
	}
}

// TestWhatEnginesHavePeopleTold runs whole engines on a real database and a
// simulated clock. Each step lasts until a minute of the first hour.
func TestWhatEnginesHavePeopleTold(t *testing.T) {
	refused := fmt.Errorf("%w: no such workflow", schedule.ErrRefused)
	down := errors.New("connection refused")
	type step struct {
		until int
		do    func(t *testing.T, db *sqlite.DB, l *launcher, r replica)
		told  []string
	}
	fail := func(err error) func(*testing.T, *sqlite.DB, *launcher, replica) {
		return func(_ *testing.T, _ *sqlite.DB, l *launcher, _ replica) { l.set(err, 0) }
	}
	for _, tc := range []struct {
		name     string
		spec     schedule.Spec
		replicas int
		steps    []step
	}{
		{
			name: "a launch that is refused, and the next that is not", spec: schedule.Spec{Expression: "*/10 * * * *"}, replicas: 1,
			steps: []step{
				{until: 19, do: fail(refused), told: []string{"began dead a: the launch of slot 2000-01-01T00:10:00Z was given up"}},
				{until: 29, do: fail(nil), told: []string{"ended dead a: the launch of slot 2000-01-01T00:10:00Z was given up"}},
			},
		},
		{
			name: "two replicas tell once", spec: schedule.Spec{Expression: "*/10 * * * *"}, replicas: 2,
			steps: []step{
				{until: 19, do: fail(refused), told: []string{"began dead a: the launch of slot 2000-01-01T00:10:00Z was given up"}},
				{until: 29, do: fail(nil), told: []string{"ended dead a: the launch of slot 2000-01-01T00:10:00Z was given up"}},
			},
		},
		{
			name: "a slot that waits for another attempt", spec: schedule.Spec{Expression: "*/20 * * * *"}, replicas: 1,
			steps: []step{
				{until: 25, do: fail(down)},
				{until: 26, told: []string{"began late a: slot 2000-01-01T00:20:00Z is 5m15s late, limit 5m"}},
				{until: 39, do: fail(nil)},
				{until: 45, told: []string{"ended late a"}},
			},
		},
		{
			name: "a limit of its own", spec: schedule.Spec{Expression: "*/20 * * * *", Policy: schedule.Policy{LateAfter: 10 * time.Second}}, replicas: 2,
			steps: []step{
				{until: 22, do: func(_ *testing.T, _ *sqlite.DB, l *launcher, _ replica) { l.set(nil, 12*time.Second) }, told: []string{"began late a"}},
				{until: 45, do: func(_ *testing.T, _ *sqlite.DB, l *launcher, _ replica) { l.set(nil, 2*time.Second) }, told: []string{"ended late a"}},
			},
		},
		{
			name: "jitter is no lateness", spec: schedule.Spec{Expression: "*/20 * * * *", Policy: schedule.Policy{LateAfter: 5 * time.Second, Jitter: 15 * time.Minute}}, replicas: 1,
			steps: []step{{until: 59}},
		},
		{
			name: "stopped", spec: schedule.Spec{Expression: "*/10 * * * *"}, replicas: 1,
			steps: []step{
				{until: 12, do: fail(refused), told: []string{"began dead a"}},
				{until: 15, do: func(t *testing.T, db *sqlite.DB, _ *launcher, _ replica) {
					t.Helper()
					if err := db.Pause(t.Context(), plan("a"), "maintenance", time.Time{}, store.Change{By: "ada", At: time.Now()}); err != nil {
						t.Error(err)
					}
				}, told: []string{"ended dead a"}},
			},
		},
		{
			name: "executions that fail", spec: schedule.Spec{Expression: "*/10 * * * *", Policy: schedule.Policy{PauseOnFailure: 2}}, replicas: 1,
			steps: []step{
				{until: 11, do: ends(11, store.Failed)},
				{until: 25, do: ends(21, store.Failed), told: []string{"began failing a: 2 executions failed in a row"}},
				{until: 35, do: func(t *testing.T, db *sqlite.DB, l *launcher, r replica) {
					t.Helper()
					if err := db.Resume(t.Context(), plan("a"), store.Change{By: "ada", At: time.Now()}); err != nil {
						t.Error(err)
					}
					r.Wake()
					ends(31, store.Succeeded)(t, db, l, r)
				}, told: []string{"ended failing a"}},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db, l, p := openIn(t, dir), &launcher{}, &people{}
				scheduled(t, db, "a", tc.spec)
				var first replica
				var stops []func()
				for i := range tc.replicas {
					r, stop := start(t, db, l, listening(db, quick, p))
					stops = append(stops, stop)
					if i == 0 {
						first = r
					}
				}
				for _, s := range tc.steps {
					if s.do != nil {
						s.do(t, db, l, first)
					}
					time.Sleep(time.Until(at(s.until)))
					synctest.Wait()
					got := p.told()
					for i := range got {
						if i < len(s.told) {
							got[i] = got[i][:min(len(got[i]), len(s.told[i]))]
						}
					}
					same(t, fmt.Sprint("told by minute ", s.until), got, s.told)
				}
				for _, stop := range stops {
					stop()
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// ends makes the execution of the slot before a minute, at that minute, and ends it.
func ends(minute int, phase store.Phase) func(*testing.T, *sqlite.DB, *launcher, replica) {
	return func(t *testing.T, db *sqlite.DB, _ *launcher, r replica) {
		t.Helper()
		time.Sleep(time.Until(at(minute)))
		slot := at(minute).Truncate(10 * time.Minute)
		id := ident.ID{Key: plan("a"), Version: "v1"}
		x := store.Execution{
			Key: ident.Key{Project: id.Project, Domain: id.Domain, Name: schedule.ExecutionName(id, slot)}, Kind: store.LaunchPlan, LaunchPlan: id,
			Phase: phase, Mode: 1, Slot: slot, CreatedAt: time.Now(), UpdatedAt: time.Now(), EndedAt: time.Now(),
		}
		if _, err := db.CreateExecutions(t.Context(), []store.Execution{x}); err != nil {
			t.Error(err)
		}
		r.watcher.Finished(x)
		if err := r.Ended(t.Context(), x); err != nil {
			t.Error(err)
		}
	}
}

// TestAMissedSlotIsToldByWhoStartsNext: while nothing runs, slots pass that are not caught up.
func TestAMissedSlotIsToldByWhoStartsNext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, l, p := openIn(t, dir), &launcher{}, &people{}
		scheduled(t, db, "a", schedule.Spec{Expression: "*/10 * * * *", Policy: schedule.Policy{CatchUp: schedule.CatchUpNone}})
		_, stop := start(t, db, l, listening(db, quick, p))
		time.Sleep(time.Until(at(5)))
		stop()
		time.Sleep(time.Until(at(35)))
		_, stop = start(t, db, l, listening(db, quick, p))
		time.Sleep(time.Until(at(39)))
		same(t, "told", p.told(), []string{"began missed a: 3 slots were missed, 2000-01-01T00:30:00Z the last"})
		time.Sleep(time.Until(at(45)))
		same(t, "told once it fires", p.told(), []string{"ended missed a: 3 slots were missed, 2000-01-01T00:30:00Z the last"})
		stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// damage changes a database behind its back.
func damage(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "tminus.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASlotThatWasLostIsTold has a schedule that cannot be planned for a while,
// and one with a slot that is gone from the ledger until the sweeper comes by.
func TestASlotThatWasLostIsTold(t *testing.T) {
	for _, tc := range []struct {
		name, damage, repair string
		damaged, told, ended int // at and by these minutes
	}{
		{"a problem", "UPDATE schedules SET expression = 'every now and then'", "UPDATE schedules SET expression = '*/10 * * * *'", 8, 19, 39},
		{"the sweeper", "DELETE FROM firings", "", 11, 69, 75},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db, l, p := openIn(t, dir), &launcher{}, &people{}
				scheduled(t, db, "a", schedule.Spec{Expression: "*/10 * * * *"})
				r, stop := start(t, db, l, listening(db, quick, p))
				time.Sleep(time.Until(at(tc.damaged).Add(time.Second / 2)))
				synctest.Wait()
				damage(t, dir, tc.damage)
				time.Sleep(time.Until(at(tc.told).Add(time.Second / 2)))
				synctest.Wait()
				const missed = "missed a: slot 2000-01-01T00:10:00Z was missed"
				same(t, "told", p.told(), []string{"began " + missed})
				if tc.repair != "" {
					damage(t, dir, tc.repair)
					if err := db.Resume(t.Context(), plan("a"), store.Change{By: "ada", At: time.Now()}); err != nil {
						t.Error(err)
					}
					r.Wake()
				}
				time.Sleep(time.Until(at(tc.ended)))
				same(t, "told once it fires", p.told(), []string{"ended " + missed})
				stop()
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestAWebhookHearsOfADeadLaunch goes all the way, on the real clock: what is
// refused is told over HTTP, and after a restart that it is over.
func TestAWebhookHearsOfADeadLaunch(t *testing.T) {
	url, taken := listen(t, nil)
	db, l := openIn(t, t.TempDir()), &launcher{fail: fmt.Errorf("%w: no such workflow", schedule.ErrRefused)}
	defer db.Close()
	scheduled(t, db, "a", schedule.Spec{Expression: "0 0 1 1 *"})
	// What was told just before the end may be told again, under the same ID.
	heard := map[string]bool{}
	hear := func() map[string]int {
		var n alert.Notification
		for again := true; again; heard[n.ID] = true {
			n = alert.Notification{}
			if err := json.Unmarshal((<-taken).body, &n); err != nil {
				t.Error(err)
			}
			again = heard[n.ID]
		}
		return map[string]int{"began": n.Began.Count, "ended": n.Ended.Count}
	}
	for _, step := range []struct {
		do   func(now time.Time) error
		want map[string]int
	}{
		{func(now time.Time) error {
			return discard(db.RunNow(t.Context(), plan("a"), now.UTC().Truncate(time.Second), store.Change{By: "ada", At: now}))
		}, map[string]int{"began": 1, "ended": 0}},
		{func(now time.Time) error {
			return db.Deactivate(t.Context(), ident.ID{Key: plan("a"), Version: "v1"}, store.Change{By: "ada", At: now})
		}, map[string]int{"began": 0, "ended": 1}},
	} {
		a, err := alert.New(db, alert.Config{Webhook: alert.Webhook{URL: url}})
		if err != nil {
			t.Fatal(err)
		}
		if err := step.do(time.Now()); err != nil {
			t.Fatal(err)
		}
		_, stop := start(t, db, l, a)
		same(t, "alerts", hear(), step.want)
		stop()
	}
}

func discard[T any](_ T, err error) error { return err }
