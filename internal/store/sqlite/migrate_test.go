package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// TestMigrationFromTheFirstLedger brings a database up to date that an engine
// without sessions kept, with something of each kind in it.
func TestMigrationFromTheFirstLedger(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	at := func(minute int) int64 { return noon.Add(time.Duration(minute) * time.Minute).UnixMicro() }
	when := func(minute int) time.Time { return time.UnixMicro(at(minute)).UTC() }

	old := raw(t, dir)
	files := migrationsTo(t, 1)
	first, err := files.Sub("migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(database.DialectSQLite3, old, first,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(ctx); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO projects (id, identifier, name, description, state, created_at) VALUES (7, 'p', '', '', 0, 0)`,
		`INSERT INTO launch_plans (id, project, domain, name, version, workflow_project, workflow_domain, workflow_name, workflow_version,
			active, schedule_type, created_at, updated_at)
			VALUES (1, 'p', 'd', 'plain', 'v1', 'p', 'd', 'w', 'v1', 1, 'CRON', 0, 0), (2, 'p', 'd', 'urgent', 'v1', 'p', 'd', 'w', 'v1', 1, 'CRON', 0, 0)`,
		`INSERT INTO launch_plan_messages (plan_id) VALUES (1), (2)`,
		fmt.Sprintf(`INSERT INTO schedules (id, project, domain, name, plan_id, expression, kickoff_input, policy, active, paused, problem,
				cursor, anchor, next_at, runs, updated_at)
			VALUES (1, 'p', 'd', 'plain', 1, '* * * * *', 'kickoff_time', '', 1, '', '', %[1]d, %[2]d, %[3]d, 5, %[2]d),
				(2, 'p', 'd', 'urgent', 2, '* * * * *', '', '{"priority":-9}', 1, 'maintenance', '', %[1]d, %[2]d, NULL, 0, %[2]d)`,
			at(5), at(0), at(6)),
		fmt.Sprintf(`INSERT INTO firings (slot, schedule_id, plan_id, outcome, priority, attempt_at, deadline, recorded_at, settled_at, last, count,
				attempts, overlap, max_running, reason)
			VALUES (%[1]d, 1, 1, 3, 0, NULL, NULL, %[5]d, %[5]d, %[2]d, 2, 0, '', 0, 'down'),
				(%[3]d, 1, 1, 1, 0, %[3]d, %[6]d, %[3]d, %[3]d, NULL, 1, 0, '', 0, ''),
				(%[4]d, 1, 1, 0, 0, %[4]d, %[6]d, %[4]d, NULL, NULL, 1, 2, 'skip', 3, 'no answer'),
				(%[5]d, 1, 1, 0, 0, %[5]d, %[6]d, %[5]d, NULL, NULL, 1, 0, '', 0, ''),
				(%[5]d, 2, 2, 3, -9, NULL, NULL, %[5]d, %[5]d, NULL, 1, 0, '', 0, 'down')`,
			at(1), at(2), at(3), at(4), at(5), at(90)),
	} {
		if _, err := old.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	db := openIn(t, dir)
	same := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", what, diff)
		}
	}
	plan := func(name string) ident.ID {
		return ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: name}, Version: "v1"}
	}
	firings, err := db.Firings(ctx, store.Query{SortBy: "slot", Ascending: true, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	same("firings", firings, []schedule.Firing{
		{
			ScheduleID: 1, LaunchPlan: plan("plain"), Kind: schedule.KindScheduled, Slot: when(1), Last: when(2), Count: 2,
			Outcome: schedule.Missed, Reason: "down", RecordedAt: when(5), SettledAt: when(5),
		},
		{
			ScheduleID: 1, LaunchPlan: plan("plain"), Kind: schedule.KindScheduled, Slot: when(3), Last: when(3), Count: 1,
			Outcome: schedule.Launched, Tried: true, AttemptAt: when(3), Deadline: when(90), RecordedAt: when(3), SettledAt: when(3),
		},
		{
			ScheduleID: 1, LaunchPlan: plan("plain"), Kind: schedule.KindScheduled, Slot: when(4), Last: when(4), Count: 1,
			Outcome: schedule.Pending, Reason: "no answer", Tried: true, Attempts: 2, AttemptAt: when(4), Deadline: when(90),
			Overlap: schedule.OverlapSkip, MaxRunning: 3, RecordedAt: when(4),
		},
		{ // It may have been launched: nobody wrote that down before a launch.
			ScheduleID: 1, LaunchPlan: plan("plain"), Kind: schedule.KindScheduled, Slot: when(5), Last: when(5), Count: 1,
			Outcome: schedule.Pending, Tried: true, AttemptAt: when(5), Deadline: when(90), RecordedAt: when(5),
		},
		{
			ScheduleID: 2, LaunchPlan: plan("urgent"), Kind: schedule.KindScheduled, Slot: when(5), Last: when(5), Count: 1,
			Outcome: schedule.Missed, Reason: "down", Priority: -9, RecordedAt: when(5), SettledAt: when(5),
		},
	})

	schedules, err := db.Schedules(ctx, store.Query{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	plain := schedule.Schedule{
		ID: 1, LaunchPlan: plan("plain"), Spec: schedule.Spec{Expression: "* * * * *", KickoffInput: "kickoff_time"},
		Active: true, Cursor: when(5), Anchor: when(0), Next: when(6), Runs: 5, Revision: 1, UpdatedAt: when(0),
	}
	urgent := schedule.Schedule{
		ID: 2, LaunchPlan: plan("urgent"), Spec: schedule.Spec{Expression: "* * * * *", Policy: schedule.Policy{Priority: -9}},
		Active: true, Paused: "maintenance", Cursor: when(5), Anchor: when(0), Revision: 1, UpdatedAt: when(0),
	}
	same("schedules", schedules, []schedule.Schedule{plain, urgent})
	revisions, err := db.Revisions(ctx, urgent.LaunchPlan.Key, store.Query{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	same("revisions", revisions, []store.Revision{{
		ScheduleID: 2, Number: 1, LaunchPlan: urgent.LaunchPlan, Spec: urgent.Spec, Anchor: when(0), Active: true, Paused: "maintenance",
		Action: "activate", Why: "as it was when revisions began", At: when(0), From: when(5),
	}})

	// An engine goes on from there: what was missed since, what is due, and the pause.
	beat, err := db.Beat(ctx, 0, when(8), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	same("since", beat.Since, when(8))
	if _, err := db.Advance(ctx, beat.Session, when(8), 10, 0); err != nil {
		t.Fatal(err)
	}
	if err := db.Resume(ctx, urgent.LaunchPlan.Key, store.Change{By: "ada", At: when(8)}); err != nil {
		t.Fatal(err)
	}
	projects := []string{}
	claimed, err := db.Claim(ctx, store.Claim{Session: beat.Session, Now: when(8), Share: func(p []string) []int {
		projects = append(projects, p...)
		return []int{10}
	}})
	if err != nil {
		t.Fatal(err)
	}
	same("projects", projects, []string{"p"})
	var slots []time.Time
	for _, f := range claimed.Launch {
		slots = append(slots, f.Slot)
	}
	same("slots that launch", slots, []time.Time{when(4), when(5), when(8)})
	firings, err = db.Firings(ctx, store.Query{Name: "urgent", Project: "p", Domain: "d", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	same("slots of the pause", firings[0].Count, 3)
}
