package engine_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// The simulated clock of testing/synctest starts at midnight UTC 2000-01-01.

// target stands for where executions run. Like a real one it knows executions
// by name and keeps them when tminus crashes.
type target struct {
	mu         sync.Mutex
	executions map[string]time.Time // name → slot
	calls      []string             // "15:04 name" of every launch asked for
	fail       func(f schedule.Firing) error
	terminated []string
}

func newTarget() *target { return &target{executions: map[string]time.Time{}} }

func (t *target) Launch(_ context.Context, fs []schedule.Firing) []error {
	t.mu.Lock()
	defer t.mu.Unlock()
	errs := make([]error, len(fs))
	for i, f := range fs {
		t.calls = append(t.calls, f.Slot.UTC().Format("15:04")+" "+f.LaunchPlan.Name)
		if t.fail != nil {
			if errs[i] = t.fail(f); errs[i] != nil {
				continue
			}
		}
		t.executions[f.Execution()] = f.Slot
	}
	return errs
}

func (t *target) Terminate(_ context.Context, x ident.Key, _, _ string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.terminated = append(t.terminated, x.Name)
	return nil
}

func open(t *testing.T, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func planID(name string) ident.ID {
	return ident.ID{Key: ident.Key{Project: "default", Domain: "development", Name: name}, Version: "v1"}
}

// activate registers a launch plan and activates it.
func activate(t *testing.T, db *sqlite.DB, name, expression string, policy schedule.Policy) {
	t.Helper()
	id := planID(name)
	now := time.Now()
	err := db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: now, UpdatedAt: now})
	if err != nil {
		t.Fatal(err)
	}
	spec := &schedule.Spec{Expression: expression, Policy: policy}
	if err := db.Activate(t.Context(), id, spec, store.Change{At: now}); err != nil {
		t.Fatal(err)
	}
}

// start runs an engine until the returned function is called, which waits for its end.
func start(t *testing.T, ledger engine.Ledger, launcher engine.Launcher) (e *engine.Engine, stop func()) {
	t.Helper()
	e = engine.New(ledger, launcher, engine.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return e, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func firings(t *testing.T, db *sqlite.DB, name string) []schedule.Firing {
	t.Helper()
	fs, err := db.Firings(t.Context(), store.Query{Project: "default", Domain: "development", Name: name, SortBy: "slot", Ascending: true, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// story tells firings as "15:04 outcome", with "..15:04 x3" for a run.
func story(fs []schedule.Firing) []string {
	var lines []string
	for _, f := range fs {
		line := f.Slot.UTC().Format("15:04")
		if f.Count > 1 {
			line += fmt.Sprintf("..%s x%d", f.Last.UTC().Format("15:04"), f.Count)
		}
		lines = append(lines, line+" "+string(f.Outcome))
	}
	return lines
}

// bubble runs a test on a simulated clock with a real database in dir.
func bubble(t *testing.T, test func(t *testing.T, db *sqlite.DB)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := open(t, t.TempDir())
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, db)
	})
}

func TestADayOfSlotsEachLaunchedOnTime(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		slots := map[string]int{ // in the 24 hours after midnight, the midnight after included
			"* * * * ? *": 24 * 60, "*/10 * * * *": 144, "rate(7 minutes)": 205, "0 0 * * ? *": 1, "30 9 ? * SAT *": 1, "0 0 1 1 ? 2001": 0,
		}
		for i, expression := range slices.Sorted(maps.Keys(slots)) {
			activate(t, db, fmt.Sprint("plan", i), expression, schedule.Policy{})
		}
		target := newTarget()
		_, stop := start(t, db, target)
		time.Sleep(24*time.Hour + time.Second)
		synctest.Wait()
		stop()

		total := 0
		for i, expression := range slices.Sorted(maps.Keys(slots)) {
			fs := firings(t, db, fmt.Sprint("plan", i))
			if len(fs) != slots[expression] {
				t.Errorf("%s: %d slots, want %d", expression, len(fs), slots[expression])
			}
			total += len(fs)
			for _, f := range fs {
				if f.Outcome != schedule.Launched || f.Lateness() != 0 {
					t.Fatalf("%s: slot %s is %s, %s late", expression, f.Slot, f.Outcome, f.Lateness())
				}
			}
		}
		if len(target.calls) != total || len(target.executions) != total {
			t.Errorf("%d launches made %d executions, want %d", len(target.calls), len(target.executions), total)
		}
	})
}

// endless is a launcher whose launches take an age.
type endless struct{ *target }

func (endless) Launch(ctx context.Context, fs []schedule.Firing) []error {
	<-ctx.Done()
	return slices.Repeat([]error{ctx.Err()}, len(fs))
}

func TestRecordingDoesNotWaitForLaunches(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		const schedules = 40
		for i := range schedules {
			activate(t, db, fmt.Sprint("plan", i), "0 1 * * ? *", schedule.Policy{})
		}
		e := engine.New(db, endless{newTarget()}, engine.Config{Batch: 2, Planners: 2})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		recorded, err := db.Firings(t.Context(), store.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(recorded) != schedules {
			t.Errorf("%d slots are recorded a second after they came due, while a launch takes its time, want %d", len(recorded), schedules)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAChangeWakesTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "yearly", "0 0 1 6 ? *", schedule.Policy{})
		target := newTarget()
		e, stop := start(t, db, target)
		time.Sleep(90 * time.Second)
		activate(t, db, "minutely", "* * * * ? *", schedule.Policy{})
		e.Wake()
		time.Sleep(45 * time.Second)
		synctest.Wait()
		stop()
		fs := firings(t, db, "minutely")
		if diff := cmp.Diff([]string{"00:02 launched"}, story(fs)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if fs[0].Lateness() != 0 {
			t.Errorf("%s late", fs[0].Lateness())
		}
	})
}

func TestSlotsMissedWhileDownFollowTheCatchUpPolicy(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "latest", "0 * * * ? *", schedule.Policy{})
		activate(t, db, "none", "0 * * * ? *", schedule.Policy{CatchUp: schedule.CatchUpNone})
		activate(t, db, "all", "0 * * * ? *", schedule.Policy{CatchUp: schedule.CatchUpAll})
		activate(t, db, "two", "0 * * * ? *", schedule.Policy{CatchUp: 2, CatchUpWindow: 90 * time.Minute})
		target := newTarget()
		_, stop := start(t, db, target)
		time.Sleep(90 * time.Minute) // 01:30
		stop()
		time.Sleep(3 * time.Hour) // 04:30
		_, stop = start(t, db, target)
		time.Sleep(time.Hour) // 05:30
		stop()
		for name, want := range map[string][]string{
			"latest": {"01:00 launched", "02:00..03:00 x2 missed", "04:00 launched", "05:00 launched"},
			"none":   {"01:00 launched", "02:00..04:00 x3 missed", "05:00 launched"},
			"all":    {"01:00 launched", "02:00 launched", "03:00 launched", "04:00 launched", "05:00 launched"},
			"two":    {"01:00 launched", "02:00 missed", "03:00 launched", "04:00 launched", "05:00 launched"},
		} {
			fs := firings(t, db, name)
			if diff := cmp.Diff(want, story(fs)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			for _, f := range fs {
				if f.Outcome == schedule.Missed && f.Reason == "" {
					t.Errorf("%s: %s is missed without a reason", name, f.Slot)
				}
			}
		}
	})
}

// stuck is a database that cannot be written for a while.
type stuck struct {
	*sqlite.DB
	from, to time.Time
}

func (s *stuck) full(now time.Time) error {
	if now.After(s.from) && now.Before(s.to) {
		return errors.New("disk is full")
	}
	return nil
}

func (s *stuck) Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (store.Advanced, error) {
	if err := s.full(now); err != nil {
		return store.Advanced{}, err
	}
	return s.DB.Advance(ctx, session, now, limit, claim)
}

func (s *stuck) Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (store.Beat, error) {
	if err := s.full(now); err != nil {
		return store.Beat{}, err
	}
	return s.DB.Beat(ctx, session, now, lease)
}

func TestAnOutageOfTheDatabaseCountsAsDown(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		activate(t, db, "minutely", "*/10 * * * ? *", schedule.Policy{})
		begin := time.Now()
		ledger := &stuck{DB: db, from: begin.Add(5 * time.Minute), to: begin.Add(65 * time.Minute)}
		_, stop := start(t, ledger, newTarget())
		time.Sleep(80*time.Minute + time.Second)
		stop()
		want := []string{"00:10..00:50 x5 missed", "01:00 launched", "01:10 launched", "01:20 launched"}
		if diff := cmp.Diff(want, story(firings(t, db, "minutely"))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestALaunchThatFailsIsTriedAgainUntilItsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		deadline := schedule.Policy{LaunchDeadline: 10 * time.Minute}
		activate(t, db, "recovers", "0 1 * * ? *", deadline)
		activate(t, db, "refused", "0 1 * * ? *", deadline)
		activate(t, db, "hopeless", "0 1 * * ? *", deadline)
		target := newTarget()
		target.fail = func(f schedule.Firing) error {
			switch {
			case f.LaunchPlan.Name == "refused":
				return fmt.Errorf("%w: no such workflow", schedule.ErrRefused)
			case f.LaunchPlan.Name == "hopeless" || f.Attempts < 4:
				return errors.New("connection reset")
			}
			return nil
		}
		_, stop := start(t, db, target)
		time.Sleep(2 * time.Hour)
		stop()
		for name, want := range map[string]struct {
			outcome  schedule.Outcome
			reason   string
			attempts [2]int // at least, at most
			late     [2]time.Duration
		}{
			"recovers": {schedule.Launched, "", [2]int{4, 4}, [2]time.Duration{11 * time.Second, 19 * time.Second}},
			"refused":  {schedule.Dead, "launch refused: no such workflow", [2]int{1, 1}, [2]time.Duration{0, 0}},
			"hopeless": {schedule.Dead, "connection reset", [2]int{9, 12}, [2]time.Duration{10 * time.Minute, 10 * time.Minute}},
		} {
			fs := firings(t, db, name)
			if len(fs) != 1 {
				t.Fatalf("%s: %v", name, story(fs))
			}
			f := fs[0]
			if f.Outcome != want.outcome || f.Reason != want.reason ||
				f.Attempts < want.attempts[0] || f.Attempts > want.attempts[1] ||
				f.Lateness() < want.late[0] || f.Lateness() > want.late[1] {
				t.Errorf("%s: %s (%s) after %d failed attempts, %s after the slot; want %+v", name, f.Outcome, f.Reason, f.Attempts, f.Lateness(), want)
			}
		}
	})
}

// A zone can vanish with an update of the time zone database.
func TestAPoisonedScheduleStopsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db := open(t, dir)
		activate(t, db, "poison", "* * * * ? *", schedule.Policy{Timezone: "Europe/Berlin"})
		activate(t, db, "healthy", "* * * * ? *", schedule.Policy{})
		raw, err := sql.Open("sqlite", filepath.Join(dir, "tminus.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.ExecContext(t.Context(), `UPDATE schedules SET policy = replace(policy, 'Berlin', 'Atlantis')`); err != nil {
			t.Fatal(err)
		}
		if err := raw.Close(); err != nil {
			t.Fatal(err)
		}
		_, stop := start(t, db, newTarget())
		time.Sleep(3*time.Minute + time.Second)
		stop()
		want := []string{"00:01 launched", "00:02 launched", "00:03 launched"}
		if diff := cmp.Diff(want, story(firings(t, db, "healthy"))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		s, err := db.Schedule(t.Context(), planID("poison").Key)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.Problem, "Europe/Atlantis") || !s.Next.IsZero() {
			t.Errorf("the broken schedule says %q and is next due %s", s.Problem, s.Next)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
