// Command enginebench measures how fast tminus fires: N schedules come due in
// the same minute, and the engine plans them, records them in SQLite, launches
// them to a launcher that does nothing and records the outcomes. It prints a
// table for docs/performance.md. Each N runs in a process of its own, so that
// the memory is that of N alone.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tminus.dev/internal/engine"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store/sqlite"
)

func main() {
	n := flag.Int("n", 0, "measure this many schedules only, in this process")
	idle := flag.Duration("idle", 10*time.Second, "how long to watch the idle engine afterwards")
	dir := flag.String("dir", "", "directory for the databases; default the system's temporary one")
	flag.Parse()
	if err := run(context.Background(), *n, *idle, *dir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "enginebench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, idle time.Duration, dir string, w io.Writer) error {
	if n > 0 {
		return measure(ctx, n, idle, dir, w)
	}
	fmt.Fprintln(w, "| schedules due at once | all settled after | firings/s | lateness p50 | p99 | CPU while firing | resident (peak) | resident (idle) | idle CPU |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		cmd := exec.CommandContext(ctx, self, "-n", strconv.Itoa(n), "-idle", idle.String(), "-dir", dir) //nolint:gosec // It is this program itself.
		cmd.Stdout, cmd.Stderr = w, os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

func measure(ctx context.Context, n int, idle time.Duration, parent string, w io.Writer) (err error) {
	dir, err := os.MkdirTemp(parent, "enginebench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Every schedule is due at each full minute; those that come before the
	// measured one are in the past of the cursor.
	lead := 3*time.Second + time.Duration(n)*40*time.Microsecond
	slot := time.Now().Add(lead).Truncate(time.Minute).Add(time.Minute)
	if err := prepare(ctx, dir, n, slot); err != nil {
		return err
	}
	if time.Until(slot) < time.Second {
		return fmt.Errorf("preparing %d schedules took too long; they are due already", n)
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer db.Close()

	settled, done := 0, make(chan struct{})
	eng := engine.New(db, nothing{}, engine.Config{Settled: func(fs []schedule.Firing) {
		if settled += len(fs); settled == n {
			close(done)
		}
	}})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- eng.Run(ctx) }()

	<-time.After(time.Until(slot))
	before := cpu()
	<-done
	took := time.Since(slot)
	burst := cpu() - before
	peak := memory("VmHWM")
	p50, p99, err := lateness(ctx, dir, n)
	if err != nil {
		return err
	}
	before, begin := cpu(), time.Now()
	<-time.After(idle)
	share := float64(cpu()-before) / float64(time.Since(begin))
	stop()
	if err := <-ended; err != nil {
		return err
	}
	fmt.Fprintf(w, "| %d | %s | %.0f | %s | %s | %s | %d MB | %d MB | %.2f %% |\n", n, took.Round(time.Millisecond),
		float64(n)/took.Seconds(), p50.Round(time.Millisecond), p99.Round(time.Millisecond), burst.Round(10*time.Millisecond),
		peak>>10, memory("VmRSS")>>10, 100*share)
	return nil
}

// nothing is a launcher that accepts everything and does nothing.
type nothing struct{}

func (nothing) Launch(_ context.Context, fs []schedule.Firing) []error { return make([]error, len(fs)) }

func (nothing) Terminate(context.Context, ident.Key, string, string) error { return nil }

// prepare fills a database with n active schedules, in bulk: one by one through
// the API takes a transaction each, which is not what is measured here.
func prepare(ctx context.Context, dir string, n int, slot time.Time) error {
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "tminus.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetMaxOpenConns(1)
	now, next := strconv.FormatInt(time.Now().UnixMicro(), 10), strconv.FormatInt(slot.UnixMicro(), 10)
	for _, statement := range []string{
		`CREATE TEMP TABLE numbers AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < ` + strconv.Itoa(n) + `) SELECT n FROM c`,
		`INSERT INTO launch_plans (id, project, domain, name, version, workflow_project, workflow_domain, workflow_name, workflow_version, active, schedule_type, created_at, updated_at)
		 SELECT n, 'default', 'development', 'plan-' || n, 'v1', 'default', 'development', 'plan-' || n, 'v1', 1, 'CRON', ` + now + `, ` + now + ` FROM numbers`,
		`INSERT INTO schedules (id, project_id, version, project, domain, name, plan_id, expression, kickoff_input, policy, active, paused, problem, cursor, anchor, next_at, runs, updated_at)
		 SELECT n, 1, 'v1', 'default', 'development', 'plan-' || n, n, 'cron(' || strftime('%M %H', ` + next + `/1000000, 'unixepoch') || ' * * ? *)', 'kickoff_time', '', 1, '', '', ` + now + `, ` + now + `, ` + next + `, 0, ` + now + ` FROM numbers`,
		`INSERT INTO revisions (schedule_id, number, plan_id, expression, kickoff_input, policy, anchor, active, paused, action, by_whom, why, at, from_at)
		 SELECT id, 1, plan_id, expression, kickoff_input, policy, anchor, 1, '', 'activate', '', '', cursor, cursor FROM schedules`,
		`UPDATE schedules SET revision = 1`,
		`DROP TABLE numbers`,
		`PRAGMA wal_checkpoint(TRUNCATE)`,
	} {
		if _, err := raw.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// lateness reads two quantiles of the lateness of n launched firings.
func lateness(ctx context.Context, dir string, n int) (p50, p99 time.Duration, err error) {
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "tminus.db")+"?mode=ro")
	if err != nil {
		return 0, 0, err
	}
	defer raw.Close()
	var launched int
	if err := raw.QueryRowContext(ctx, `SELECT count(*) FROM firings WHERE outcome = 1`).Scan(&launched); err != nil {
		return 0, 0, err
	}
	if launched != n {
		return 0, 0, fmt.Errorf("%d firings are launched in the ledger, want %d", launched, n)
	}
	at := func(share float64) (d time.Duration) {
		var micros int64
		if e := raw.QueryRowContext(ctx, `SELECT settled_at - slot FROM firings ORDER BY 1 LIMIT 1 OFFSET ?`, int(share*float64(n-1))).Scan(&micros); err == nil {
			err = e
		}
		return time.Duration(micros) * time.Microsecond
	}
	return at(0.50), at(0.99), err
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is a field of /proc/self/status, in KiB; 0 where there is none.
func memory(field string) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				return 0
			}
			return kb
		}
	}
	return 0
}
