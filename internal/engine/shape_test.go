package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
)

// due makes n schedules of a project that are due at the same minute.
func due(t *testing.T, db *sqlite.DB, project string, n int) {
	t.Helper()
	now := time.Now()
	if err := db.CreateProject(t.Context(), store.Project{ID: project, Name: project, CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id := ident.ID{Key: ident.Key{Project: project, Domain: "development", Name: fmt.Sprint("plan", i)}, Version: "v1"}
		if err := db.CreatePlan(t.Context(), store.Plan{ID: id, Workflow: id, ScheduleType: store.Cron, CreatedAt: now, UpdatedAt: now}); err != nil {
			t.Fatal(err)
		}
		if err := db.Activate(t.Context(), id, &schedule.Spec{Expression: "0 1 * * ? *"}, store.Change{At: now}); err != nil {
			t.Fatal(err)
		}
	}
}

// counter counts launches by project and by the second, from 01:00 on.
type counter struct {
	*target
	perSecond map[string]map[int]int
}

func (c *counter) Launch(ctx context.Context, fs []schedule.Firing) []error {
	c.mu.Lock()
	for _, f := range fs {
		p := f.LaunchPlan.Project
		if c.perSecond[p] == nil {
			c.perSecond[p] = map[int]int{}
		}
		c.perSecond[p][int(time.Since(f.Slot).Seconds())]++
	}
	c.mu.Unlock()
	return c.target.Launch(ctx, fs)
}

func TestLaunchesKeepToTheirRate(t *testing.T) {
	for _, tc := range []struct {
		name string
		rate engine.Rate
		// how many launches of each project within the first so many seconds, at most, and when the last one is
		project string
		within  int
		most    int
		last    int
	}{
		{"in total", engine.Rate{PerSecond: 10}, "large", 5, 60, 14},
		{"of a project", engine.Rate{ProjectPerSecond: 5}, "large", 10, 55, 26},
		{"with a burst", engine.Rate{PerSecond: 10, Burst: 50}, "large", 5, 100, 10},
		{"a burst of one project does not delay another's", engine.Rate{PerSecond: 10}, "small", 2, 10, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, db *sqlite.DB) {
				due(t, db, "large", 120)
				due(t, db, "small", 10)
				c := &counter{target: newTarget(), perSecond: map[string]map[int]int{}}
				e := engine.New(db, c, engine.Config{Rate: tc.rate})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- e.Run(ctx) }()
				time.Sleep(62 * time.Minute)
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				total, early, last := 0, 0, 0
				for second, n := range c.perSecond[tc.project] {
					total += n
					last = max(last, second)
					if second < tc.within {
						early += n
					}
				}
				if want := map[string]int{"large": 120, "small": 10}[tc.project]; total != want {
					t.Errorf("%d launches, want %d", total, want)
				}
				if early > tc.most || last > tc.last {
					t.Errorf("%d in the first %d seconds, and the last after %d; at most %d and %d", early, tc.within, last, tc.most, tc.last)
				}
			})
		})
	}
}
