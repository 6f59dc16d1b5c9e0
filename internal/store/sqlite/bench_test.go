//go:build darwin || linux

package sqlite

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// expressions all have a slot at every full minute or hour, in every dialect.
var expressions = []string{
	"* * * * *", "*/1 0-23 * * *", "* * 1-31 * *", "cron(* * * * ? *)", "cron(0/1 * ? * * *)", "rate(1 minute)",
}

// midnight is when the schedules of benchmarks begin to count.
var midnight = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// fill makes n schedules that are due every minute. It writes them itself:
// activating them one by one would take as many transactions.
func fill(tb testing.TB, db *DB, n int) {
	tb.Helper()
	ctx := tb.Context()
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		tb.Fatal(err)
	}
	fill := func() error {
		if _, err := tx.ExecContext(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO launch_plans (id, project, domain, name, version, workflow_project, workflow_domain, workflow_name, workflow_version,
				active, schedule_type, created_at, updated_at)
			SELECT i, 'flytesnacks', 'development', format('app.workflows.nightly_%07d', i), '9f2c1e7a0b', 'flytesnacks', 'development',
				'app.workflows.nightly', '9f2c1e7a0b', 1, 'CRON', 0, 0 FROM n`, n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO launch_plan_messages SELECT id, zeroblob(300), zeroblob(100) FROM launch_plans`); err != nil {
			return err
		}
		for i, e := range expressions {
			if _, err := tx.ExecContext(ctx, `INSERT INTO schedules (project_id, project, domain, name, version, plan_id, expression, kickoff_input, policy,
					active, paused, problem, cursor, anchor, next_at, runs, updated_at)
				SELECT 1, project, domain, name, version, id, ?1, 'kickoff_time', '', 1, '', '', ?2, ?2, ?3, 0, ?2 FROM launch_plans WHERE id % ?4 = ?5`,
				e, midnight.UnixMicro(), midnight.Add(time.Minute).UnixMicro(), len(expressions), i); err != nil {
				return err
			}
		}
		return tx.Commit()
	}
	if err := fill(); err != nil {
		tb.Fatal(err)
	}
}

func openBench(tb testing.TB, schedules int) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), Config{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	fill(tb, db, schedules)
	return db
}

// fire records and settles the firings of all schedules that are due at now, as an
// engine does whose launches take no time: Advance hands them over claimed.
func fire(ctx context.Context, tb testing.TB, db *DB, session int64, now time.Time, batch int, spent *[2]time.Duration) int {
	tb.Helper()
	if _, err := db.Beat(ctx, session, now, time.Hour); err != nil {
		tb.Fatal(err)
	}
	fired := 0
	for {
		t0 := time.Now()
		advanced, err := db.Advance(ctx, session, now, batch, batch)
		if err != nil {
			tb.Fatal(err)
		}
		t1 := time.Now()
		launched := advanced.Launch
		for i := range launched {
			launched[i].Outcome, launched[i].SettledAt = schedule.Launched, now
		}
		written, err := db.Settle(ctx, launched)
		if err != nil || written != len(launched) {
			tb.Fatalf("settled %d firings of %d: %v", written, len(launched), err)
		}
		spent[0] += t1.Sub(t0)
		spent[1] += time.Since(t1)
		fired += len(launched)
		if advanced.Schedules == 0 {
			return fired
		}
	}
}

// begin begins a session for fire, at midnight.
func begin(tb testing.TB, db *DB) int64 {
	tb.Helper()
	b, err := db.Beat(tb.Context(), 0, midnight, time.Hour)
	if err != nil {
		tb.Fatal(err)
	}
	return b.Session
}

func BenchmarkFire(b *testing.B) {
	for _, schedules := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("schedules=%d", schedules), func(b *testing.B) {
			db := openBench(b, schedules)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var spent [2]time.Duration
			fired := 0
			now, session := midnight, begin(b, db)
			before := cpu(b)
			for b.Loop() {
				now = now.Add(time.Minute)
				fired += fire(ctx, b, db, session, now, 2000, &spent)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(fired), "cpu-µs")
			for i, unit := range []string{"advance-µs", "settle-µs"} {
				b.ReportMetric(float64(spent[i].Microseconds())/float64(fired), unit)
			}
			b.ReportMetric(float64(fired)/b.Elapsed().Seconds(), "firings/s")
		})
	}
}

func BenchmarkActivate(b *testing.B) {
	for _, schedules := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("schedules=%d", schedules), func(b *testing.B) {
			db := openBench(b, schedules)
			plans := []ident.ID{benchPlan("v1"), benchPlan("v2")}
			for _, p := range plans {
				if err := db.CreatePlan(b.Context(), store.Plan{ID: p, CreatedAt: midnight, UpdatedAt: midnight}); err != nil {
					b.Fatal(err)
				}
			}
			i := 0
			for b.Loop() {
				i++
				if err := db.Activate(b.Context(), plans[i%2], &schedule.Spec{Expression: "* * * * *"}, store.Change{At: midnight}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchPlan(version string) ident.ID {
	return ident.ID{Key: ident.Key{Project: "flytesnacks", Domain: "development", Name: "app.workflows.new"}, Version: version}
}

// BenchmarkClaim fires all schedules of a minute as when launches cannot keep up
// with slots: they are recorded first, and claimed from the ledger.
func BenchmarkClaim(b *testing.B) {
	for _, schedules := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("schedules=%d", schedules), func(b *testing.B) {
			const batch = 2000
			db, ctx := openBench(b, schedules), b.Context()
			session, now, claimed := begin(b, db), midnight, 0
			var spent time.Duration
			for b.Loop() {
				now = now.Add(time.Minute)
				if _, err := db.Beat(ctx, session, now, time.Hour); err != nil {
					b.Fatal(err)
				}
				for taken := 1; taken > 0; {
					a, err := db.Advance(ctx, session, now, batch, 0)
					if err != nil {
						b.Fatal(err)
					}
					taken = a.Schedules
				}
				for more := true; more; {
					begun := time.Now()
					c, err := db.Claim(ctx, store.Claim{Session: session, Now: now, Share: func(projects []string) []int {
						return slices.Repeat([]int{batch}, len(projects))
					}})
					if err != nil {
						b.Fatal(err)
					}
					spent += time.Since(begun)
					more = c.More
					claimed += len(c.Launch)
					for i := range c.Launch {
						c.Launch[i].Outcome, c.Launch[i].SettledAt = schedule.Launched, now
					}
					if _, err := db.Settle(ctx, c.Launch); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(claimed), "claim-µs")
			b.ReportMetric(float64(claimed)/b.Elapsed().Seconds(), "firings/s")
		})
	}
}

// BenchmarkFirings lists the newest firings: of one launch plan, of all, and of what went wrong.
func BenchmarkFirings(b *testing.B) {
	const schedules, minutes = 10_000, 10
	db := openBench(b, schedules)
	var spent [2]time.Duration
	session := begin(b, db)
	for m := range minutes {
		fire(b.Context(), b, db, session, midnight.Add(time.Duration(m+1)*time.Minute), 2000, &spent)
	}
	for name, q := range map[string]store.Query{
		"of=one":  {Project: "flytesnacks", Domain: "development", Name: "app.workflows.nightly_0005000", Limit: minutes},
		"of=all":  {Limit: 100},
		"of=dead": {Limit: 100, Filters: []store.Filter{{Field: "outcome", Op: store.Eq, Values: []string{"dead"}}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := db.Firings(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCreateExecutions(b *testing.B) {
	db := openBench(b, 1)
	const batch = 1000
	i := 0
	for b.Loop() {
		es := make([]store.Execution, batch)
		for j := range es {
			i++
			plan := benchPlan("v1")
			es[j] = store.Execution{
				Key:        ident.Key{Project: plan.Project, Domain: plan.Domain, Name: schedule.ExecutionName(plan, midnight.Add(time.Duration(i)*time.Second))},
				LaunchPlan: plan, Kind: store.LaunchPlan, Workflow: plan, Phase: store.Queued, Mode: 1, CreatedAt: midnight, UpdatedAt: midnight,
				Spec: make([]byte, 500), Inputs: make([]byte, 100),
			}
		}
		if _, err := db.CreateExecutions(b.Context(), es); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "executions/s")
}

// cpu is the processor time that this process has used. Unlike the time on the
// wall it tells the same on a busy machine.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
