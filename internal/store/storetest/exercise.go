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
	// Corrupt puts an expression into a stored schedule, past all checks.
	Corrupt(ctx context.Context, key ident.Key, expression string) error
}

// Exercise runs the contract on databases that open opens. Each must be empty,
// implement Corrupter, and close itself when its test ends.
func Exercise(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, subject := range []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) Store)
	}{
		{"projects", exerciseProjects},
		{"named entities", exerciseNamedEntities},
		{"definitions", exerciseDefinitions},
		{"plans", exercisePlans},
		{"activation", exerciseActivation},
		{"pause", exercisePause},
		{"stop", exerciseStop},
		{"clock behind the cursor", exerciseClockBehind},
		{"advance", exerciseAdvance},
		{"launches", exerciseLaunches},
		{"firings", exerciseFirings},
		{"every slot once", exerciseSlots},
		{"every slot of an active schedule", exerciseHistory},
		{"executions", exerciseExecutions},
		{"nodes and tasks", exerciseParts},
		{"queries", exerciseQueries},
		{"filters", exerciseFilters},
		{"clock", exerciseClock},
		{"cancellation", exerciseCancellation},
	} {
		t.Run(subject.name, func(t *testing.T) { subject.run(t, open) })
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
	check(t, s.Activate(t.Context(), i, spec, noon, noon))
	return i
}

// advance plans everything that is due.
func advance(t *testing.T, s Store, now, since time.Time) {
	t.Helper()
	for {
		n := must(s.Advance(t.Context(), now, since, 100))(t)
		if n == 0 {
			return
		}
	}
}

// due is what is to be launched by now, in that order.
func due(t *testing.T, s Store, now time.Time, limit int) []string {
	t.Helper()
	var names []string
	for _, f := range must(s.Due(t.Context(), now, limit))(t) {
		names = append(names, f.LaunchPlan.Name+f.Slot.Format(" 15:04"))
	}
	return names
}

// ledger is what the ledger says of a launch plan, oldest first and one line a firing.
func ledger(t *testing.T, s Store, k ident.Key) []string {
	t.Helper()
	q := of(k)
	q.SortBy, q.Ascending = "slot", true
	var lines []string
	for _, f := range must(s.Firings(t.Context(), q))(t) {
		line := fmt.Sprintf("%s %s %s", f.Slot.Format("15:04"), f.LaunchPlan.Version, f.Outcome)
		if f.Count != 1 {
			line += fmt.Sprintf(" %d to %s", f.Count, f.Last.Format("15:04"))
		}
		lines = append(lines, line)
	}
	return lines
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
			"Advance":       func() error { _, err := s.Advance(ctx, at(1), noon, 10); return err },
			"Due":           func() error { _, err := s.Due(ctx, at(1), 10); return err },
			"Settle":        func() error { return s.Settle(ctx, nil) },
			"Activate":      func() error { return s.Activate(ctx, plan, nil, noon, noon) },
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
			if _, err := s.Advance(ctx, at(m+1), noon, schedules); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		advance(t, s, at(minutes), noon)
		for i := range schedules {
			same(t, "firings", len(ledger(t, s, key(fmt.Sprint("s", i)))), minutes)
		}
	})
}
