package engine_test

import (
	"context"
	"errors"
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

// machine runs executions for a time and then ends them, in the store, as a runner does.
type machine struct {
	t      *testing.T
	db     *sqlite.DB
	engine *engine.Engine
	lasts  time.Duration
	ends   store.Phase
	wg     sync.WaitGroup
}

func (m *machine) Launch(ctx context.Context, fs []schedule.Firing) []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		key := ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain, Name: f.Execution()}
		_, errs[i] = m.db.CreateExecutions(ctx, []store.Execution{{
			Key: key, Kind: store.LaunchPlan, LaunchPlan: f.LaunchPlan, Workflow: f.LaunchPlan,
			Phase: store.Running, Mode: 1, Slot: f.Slot, CreatedAt: time.Now(), UpdatedAt: time.Now(), StartedAt: time.Now(),
		}})
		m.wg.Go(func() {
			time.Sleep(m.lasts)
			m.end(key, m.ends)
		})
	}
	return errs
}

func (m *machine) Terminate(_ context.Context, key ident.Key, _, _ string) error {
	m.end(key, store.Aborted)
	return nil
}

var errEnded = errors.New("has ended")

func (m *machine) end(key ident.Key, phase store.Phase) {
	ctx := context.WithoutCancel(m.t.Context())
	x, err := m.db.UpdateExecution(ctx, key, func(x *store.Execution) error {
		if x.Phase.Terminal() {
			return errEnded
		}
		x.Phase, x.EndedAt, x.UpdatedAt = phase, time.Now(), time.Now()
		return nil
	})
	if errors.Is(err, errEnded) {
		return
	}
	if err != nil {
		m.t.Error(err)
		return
	}
	if err := m.engine.Ended(ctx, x); err != nil {
		m.t.Error(err)
	}
}

// oneHour runs a schedule of every ten minutes for an hour and a half on m.
func oneHour(t *testing.T, m *machine, policy schedule.Policy) []schedule.Firing {
	t.Helper()
	var fs []schedule.Firing
	bubble(t, func(t *testing.T, db *sqlite.DB) {
		policy.EndAt = time.Now().Add(time.Hour)
		activate(t, db, "plan", "*/10 * * * ? *", policy)
		m.t, m.db = t, db
		m.engine = engine.New(db, m, engine.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.engine.Run(ctx) }()
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		m.wg.Wait()
		fs = firings(t, db, "plan")
	})
	return fs
}

func TestOverlapPolicies(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy schedule.Policy
		lasts  time.Duration
		want   []string // slot and outcome, and when it was launched
	}{
		{
			name: "allow", lasts: 24 * time.Minute,
			want: []string{"00:10 launched 00:10", "00:20 launched 00:20", "00:30 launched 00:30", "00:40 launched 00:40", "00:50 launched 00:50", "01:00 launched 01:00"},
		},
		{
			name: "skip", policy: schedule.Policy{Overlap: schedule.OverlapSkip}, lasts: 24 * time.Minute,
			want: []string{"00:10 launched 00:10", "00:20 skipped", "00:30 skipped", "00:40 launched 00:40", "00:50 skipped", "01:00 skipped"},
		},
		{
			name: "buffer-one", policy: schedule.Policy{Overlap: schedule.OverlapBufferOne}, lasts: 24 * time.Minute,
			want: []string{"00:10 launched 00:10", "00:20 launched 00:34", "00:30 skipped", "00:40 launched 00:58", "00:50 skipped", "01:00 launched 01:22"},
		},
		{
			name: "buffer-all", policy: schedule.Policy{Overlap: schedule.OverlapBufferAll}, lasts: 15 * time.Minute,
			want: []string{"00:10 launched 00:10", "00:20 launched 00:25", "00:30 launched 00:40", "00:40 launched 00:55", "00:50 launched 01:10", "01:00 launched 01:25"},
		},
		{
			name: "terminate-other", policy: schedule.Policy{Overlap: schedule.OverlapTerminateOther}, lasts: 15 * time.Minute,
			want: []string{"00:10 launched 00:10", "00:20 launched 00:20", "00:30 launched 00:30", "00:40 launched 00:40", "00:50 launched 00:50", "01:00 launched 01:00"},
		},
		{
			name: "Flyte's concurrency policy", policy: schedule.Policy{MaxRunning: 2}, lasts: 24 * time.Minute,
			want: []string{"00:10 launched 00:10", "00:20 launched 00:20", "00:30 skipped", "00:40 launched 00:40", "00:50 launched 00:50", "01:00 skipped"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, f := range oneHour(t, &machine{lasts: tc.lasts, ends: store.Succeeded}, tc.policy) {
				line := f.Slot.UTC().Format("15:04") + " " + string(f.Outcome)
				if f.Outcome == schedule.Launched {
					line += f.SettledAt.UTC().Truncate(time.Minute).Format(" 15:04")
				} else if f.Reason == "" {
					t.Errorf("%s without a reason", line)
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailuresInARowPauseASchedule(t *testing.T) {
	for _, tc := range []struct {
		name string
		ends store.Phase
		want []string
	}{
		{"failing", store.Failed, []string{"00:10 launched", "00:20 launched", "00:30 launched"}},
		{"succeeding", store.Succeeded, []string{"00:10 launched", "00:20 launched", "00:30 launched", "00:40 launched", "00:50 launched", "01:00 launched"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs := oneHour(t, &machine{lasts: time.Minute, ends: tc.ends}, schedule.Policy{PauseOnFailure: 3})
			if diff := cmp.Diff(tc.want, story(fs)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
