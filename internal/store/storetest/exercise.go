package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Corrupter is what a database adds to Store for Exercise alone.
type Corrupter interface {
	// Exec runs a statement past all checks.
	Exec(ctx context.Context, statement string) error
}

// exec runs a statement past all checks.
func exec(t fataler, s Store, format string, args ...any) {
	t.Helper()
	corrupter, ok := s.(Corrupter)
	if !ok {
		t.Fatalf("%T is no Corrupter", s)
	}
	if err := corrupter.Exec(context.Background(), fmt.Sprintf(format, args...)); err != nil {
		t.Fatalf("%v", err)
	}
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// corrupt puts an expression into a stored schedule.
func corrupt(t *testing.T, s Store, k ident.Key, expression string) {
	t.Helper()
	exec(t, s, "UPDATE schedules SET expression = '%s' WHERE name = '%s'", expression, k.Name)
}

// awake makes slots missed that are before since, however long ago the last beat was.
func awake(t fataler, s Store, since time.Time) {
	t.Helper()
	last := farOff.AddDate(1, 0, 0).UnixMicro()
	exec(t, s, "UPDATE engine SET since = %d, awake_at = %d, read_since = %d, read_at = %d", since.UnixMicro(), last, since.UnixMicro(), last)
}

// farOff is when the sessions of tests beat that are not about sessions: they
// last, and leave since when there were beats as it is.
var farOff = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// session begins a session that lasts.
func session(t *testing.T, s Store) int64 {
	t.Helper()
	return must(s.Beat(t.Context(), 0, farOff, time.Hour))(t).Session
}

// everything is a Share of all there is.
func everything(projects []string) []int {
	shares := make([]int, len(projects))
	for i := range shares {
		shares[i] = 10_000
	}
	return shares
}

// claim claims all that is due in the live lane, and then all that is behind it.
func claim(t *testing.T, s Store, session int64, now time.Time) []schedule.Firing {
	t.Helper()
	live := must(s.Claim(t.Context(), store.Claim{Session: session, Now: now, Share: everything}))(t)
	behind := must(s.Claim(t.Context(), store.Claim{Session: session, Now: now, Share: everything, Behind: true}))(t)
	return append(live.Launch, behind.Launch...)
}

// fill records slots of backlogs, and says how many are to launch. Nobody claims them yet.
func fill(t *testing.T, s Store, now time.Time, limit int) int {
	t.Helper()
	return must(s.Fill(t.Context(), 0, now, limit, 0))(t).Recorded
}

// settle settles firings, all of which must be the caller's.
func settle(t *testing.T, s Store, fs ...schedule.Firing) {
	t.Helper()
	same(t, "firings settled", must(s.Settle(t.Context(), fs))(t), len(fs))
}

// launched is f after a launch that was accepted.
func launched(f schedule.Firing, now time.Time) schedule.Firing {
	f.Outcome, f.SettledAt = schedule.Launched, now
	return f
}

// failed is f after a launch that is tried again.
func failed(f schedule.Firing, again time.Time) schedule.Firing {
	f.Attempts, f.Reason, f.AttemptAt = f.Attempts+1, "no answer", again
	return f
}

// dead is f after a launch that was refused.
func dead(f schedule.Firing, now time.Time) schedule.Firing {
	f.Outcome, f.Reason, f.SettledAt = schedule.Dead, "refused", now
	return f
}

// ada changes something at an instant.
func ada(at time.Time) store.Change { return store.Change{By: "ada", Why: "a test", At: at} }

// Exercise runs the contract on databases that open opens. Each must be empty,
// implement Corrupter, and close itself when its test ends.
func Exercise(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	fresh := func(t *testing.T) Store {
		t.Helper()
		s := open(t)
		awake(t, s, noon)
		return s
	}
	for _, subject := range []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) Store)
	}{
		{"projects", exerciseProjects},
		{"named entities", exerciseNamedEntities},
		{"definitions", exerciseDefinitions},
		{"plans", exercisePlans},
		{"activation", exerciseActivation},
		{"activation of many", exerciseActivateAll},
		{"calendars", exerciseCalendars},
		{"pause", exercisePause},
		{"stop", exerciseStop},
		{"stop under way", exerciseUnderWay},
		{"doubt", exerciseDoubt},
		{"skip and run now", exerciseManual},
		{"revisions", exerciseRevisions},
		{"clock behind the cursor", exerciseClockBehind},
		{"advance", exerciseAdvance},
		{"launches", exerciseLaunches},
		{"firings", exerciseFirings},
		{"redrive", exerciseRedrive},
		{"sessions", exerciseSessions},
		{"claims", exerciseClaims},
		{"policies", exercisePolicies},
		{"catch-up", exerciseCatchUp},
		{"backfill", exerciseBackfill},
		{"rules", exerciseRules},
		{"intake", exerciseIntake},
		{"audit", exerciseAudit},
		{"rates that AWS counts", exerciseRates},
		{"dead letters", exerciseDeadLetters},
		{"sweep", exerciseSweep},
		{"prune", exercisePrune},
		{"alerts", exerciseAlerts},
		{"lateness", exerciseLateness},
		{"every slot once", exerciseSlots},
		{"every slot of an active schedule", exerciseHistory},
		{"every slot of a schedule that AWS keeps", exerciseKeptHistory},
		{"executions", exerciseExecutions},
		{"runners", exerciseRunners},
		{"elsewhere", exerciseElsewhere},
		{"nodes and tasks", exerciseParts},
		{"queries", exerciseQueries},
		{"filters", exerciseFilters},
		{"clock", exerciseClock},
		{"cancellation", exerciseCancellation},
	} {
		t.Run(subject.name, func(t *testing.T) { subject.run(t, fresh) })
	}
}

// noon is when the tests begin: half a minute after a slot of "* * * * *".
var noon = time.Date(2026, 3, 2, 12, 0, 30, 0, time.UTC)

// at is so many minutes after the full minute before noon: a slot of "* * * * *".
func at(minutes int) time.Time {
	return noon.Truncate(time.Minute).Add(time.Duration(minutes) * time.Minute)
}

func key(name string) ident.Key {
	return ident.Key{Project: "flytesnacks", Domain: "development", Name: name}
}

func id(name, version string) ident.ID { return ident.ID{Key: key(name), Version: version} }

// of asks for everything of one name.
func of(k ident.Key) store.Query {
	return store.Query{Project: k.Project, Domain: k.Domain, Name: k.Name, Limit: 10_000}
}

func spec(expression string) *schedule.Spec { return &schedule.Spec{Expression: expression} }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// register stores versions of a launch plan.
func register(t *testing.T, s Store, ids ...ident.ID) {
	t.Helper()
	for _, i := range ids {
		check(t, s.CreatePlan(t.Context(), planOf(i)))
	}
}

func planOf(i ident.ID) store.Plan {
	return store.Plan{
		ID: i, Workflow: id("workflow", i.Version), ScheduleType: store.Cron, CreatedAt: noon, UpdatedAt: noon,
	}
}

// scheduled registers a launch plan and activates it at noon.
func scheduled(t *testing.T, s Store, name string, spec *schedule.Spec) ident.ID {
	t.Helper()
	i := id(name, "v1")
	register(t, s, i)
	check(t, s.Activate(t.Context(), i, spec, ada(noon)))
	return i
}

// advance plans everything that is due.
func advance(t *testing.T, s Store, now time.Time) {
	t.Helper()
	for must(s.Advance(t.Context(), 0, now, 100, 0))(t).Schedules > 0 {
	}
}

// names are launch plans and slots.
func names(fs []schedule.Firing) []string {
	var names []string
	for _, f := range fs {
		names = append(names, f.LaunchPlan.Name+f.Slot.Format(" 15:04"))
	}
	return names
}

// ledger is what the ledger says of a launch plan, oldest first and one line a firing.
func ledger(t *testing.T, s Store, k ident.Key) []string {
	t.Helper()
	var lines []string
	for _, f := range bySlot(t, s, k) {
		line := fmt.Sprintf("%s %s %s", f.Slot.Format("15:04"), f.LaunchPlan.Version, f.Outcome)
		if f.Kind != schedule.KindScheduled {
			line += " " + string(f.Kind)
		}
		if f.Count != 1 {
			line += fmt.Sprintf(" %d to %s", f.Count, f.Last.Format("15:04"))
		}
		lines = append(lines, line)
	}
	return lines
}

// bySlot is what the ledger has of a launch plan, oldest first.
func bySlot(t *testing.T, s Store, k ident.Key) []schedule.Firing {
	t.Helper()
	q := of(k)
	q.SortBy, q.Ascending = "slot", true
	return must(s.Firings(t.Context(), q))(t)
}

func exerciseClock(t *testing.T, open func(t *testing.T) Store) {
	s := open(t)
	before := time.Now().Add(-time.Minute)
	now := must(s.Now(t.Context()))(t)
	if now.Before(before) || now.After(time.Now().Add(time.Minute)) {
		t.Errorf("the clock says %s", now)
	}
	if now.Location() != time.UTC {
		t.Errorf("the clock is in %s", now.Location())
	}
	same(t, "the clock's fraction of a microsecond", now.Nanosecond()%1000, 0)
}

func exerciseCancellation(t *testing.T, open func(t *testing.T) Store) {
	t.Run("before", func(t *testing.T) {
		s := open(t)
		plan := scheduled(t, s, "a", spec("* * * * *"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range map[string]func() error{
			"Advance":       func() error { _, err := s.Advance(ctx, 0, at(1), 10, 0); return err },
			"Claim":         func() error { _, err := s.Claim(ctx, store.Claim{Now: at(1), Share: everything}); return err },
			"Settle":        func() error { _, err := s.Settle(ctx, nil); return err },
			"Beat":          func() error { _, err := s.Beat(ctx, 0, noon, time.Minute); return err },
			"Fill":          func() error { _, err := s.Fill(ctx, 0, noon, 10, 0); return err },
			"NextSlot":      func() error { _, err := s.NextSlot(ctx); return err },
			"NextAttempt":   func() error { _, err := s.NextAttempt(ctx, false); return err },
			"NextStep":      func() error { _, err := s.NextStep(ctx); return err },
			"Activate":      func() error { return s.Activate(ctx, plan, nil, ada(noon)) },
			"CreateProject": func() error { return s.CreateProject(ctx, store.Project{ID: "p"}) },
			"Projects":      func() error { _, err := s.Projects(ctx, store.Query{Limit: 1}); return err },
			"Plan":          func() error { _, err := s.Plan(ctx, plan); return err },
		} {
			t.Run(name, func(t *testing.T) { wantError(t, call(), context.Canceled) })
		}
		same(t, "ledger", ledger(t, s, plan.Key), []string(nil))
		_, err := s.Project(t.Context(), "p")
		wantError(t, err, store.ErrNotFound)
	})

	t.Run("in the middle", func(t *testing.T) {
		s := open(t)
		const schedules, minutes = 50, 40
		for i := range schedules {
			scheduled(t, s, fmt.Sprint("s", i), spec("* * * * *"))
		}
		for m := range minutes {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			if _, err := s.Advance(ctx, 0, at(m+1), schedules, 0); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		advance(t, s, at(minutes))
		for i := range schedules {
			same(t, "firings", len(ledger(t, s, key(fmt.Sprint("s", i)))), minutes)
		}
	})
}
