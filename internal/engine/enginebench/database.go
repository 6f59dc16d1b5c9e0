package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // sql.Open("pgx") below.
	"golang.org/x/sync/errgroup"

	"tminus.dev/internal/store/postgres/postgrestest"
	"tminus.dev/internal/store/relational"
	"tminus.dev/internal/store/sqlite"
)

// database is an empty one, with the schema in it.
type database struct {
	// dir is SQLite's, url is PostgreSQL's; one of them is empty.
	dir, url string
	server   *postgrestest.Server
}

// Settings of the server that are not PostgreSQL's defaults: room in memory, and
// for a minute of work between checkpoints, as anybody gives a server for this.
// It is durable: fsync and synchronous_commit are on.
var serverSettings = map[string]string{"shared_buffers": "1GB", "max_wal_size": "4GB"}

func openDatabase(name, parent string) (*database, error) {
	switch name {
	case "sqlite":
		dir, err := os.MkdirTemp(parent, "enginebench")
		if err != nil {
			return nil, err
		}
		db, err := sqlite.Open(context.Background(), sqlite.Config{Dir: dir})
		if err != nil {
			return nil, err
		}
		return &database{dir: dir}, db.Close()
	case "postgres":
		server, err := postgrestest.Run(serverSettings)
		if err != nil {
			return nil, err
		}
		url, err := server.Create()
		return &database{url: url, server: server}, err
	default:
		return nil, fmt.Errorf("-databases: %q is none of sqlite and postgres", name)
	}
}

func (d *database) close() error {
	if d.server != nil {
		return d.server.Close()
	}
	return os.RemoveAll(d.dir)
}

// raw is the database without what tminus makes of it.
func (d *database) raw() (*sql.DB, error) {
	if d.server != nil {
		return sql.Open("pgx", d.url)
	}
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(d.dir, "tminus.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-65536)&_pragma=busy_timeout(10000)")
	if err == nil {
		raw.SetMaxOpenConns(1)
	}
	return raw, err
}

// prepare fills the database with active schedules, in bulk: one by one
// through the API takes a transaction each, which is another measurement.
func (d *database) prepare(ctx context.Context, j *job) (err error) {
	raw, err := d.raw()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	now := time.Now()
	j.schedule(now)
	micros := func(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }
	numbers := `WITH RECURSIVE c (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM c WHERE n < ` + strconv.Itoa(j.Schedules) + `) `
	if d.server != nil {
		numbers = `WITH c (n) AS (SELECT CAST(generate_series AS BIGINT) FROM generate_series(1, ` + strconv.Itoa(j.Schedules) + `)) `
	}
	into := func(table, columns, values string) string {
		return numbers + `INSERT INTO ` + table + ` (` + columns + `) SELECT ` + values + ` FROM c`
	}
	const plan = `'plan-' || CAST(n AS TEXT)`
	statements := []string{
		into("launch_plans", "id, project, domain, name, version, workflow_project, workflow_domain, workflow_name, workflow_version, active, schedule_type, created_at, updated_at",
			"n, 'default', 'development', "+plan+", 'v1', 'default', 'development', "+plan+", 'v1', 1, 'CRON', "+micros(now)+", "+micros(now)),
		into("schedules", "id, project_id, version, project, domain, name, plan_id, expression, kickoff_input, policy, priority, active, paused, paused_by, problem, cursor, anchor, next_at, runs, revision, updated_at",
			"n, 1, 'v1', 'default', 'development', "+plan+", n, "+j.expression+", 'kickoff_time', '"+j.policy+"', 0, 1, '', '', '', "+j.cursor+", "+j.cursor+", "+j.next+", 0, 1, "+micros(now)),
		`INSERT INTO revisions (schedule_id, number, plan_id, expression, kickoff_input, policy, anchor, active, paused, action, by_whom, why, at, from_at)
		 SELECT id, 1, plan_id, expression, kickoff_input, policy, anchor, 1, '', 'activate', '', '', cursor, cursor FROM schedules`,
	}
	if !j.awake.IsZero() {
		statements = append(statements, `UPDATE engine SET awake_at = `+micros(j.awake)+`, since = `+micros(j.awake.Add(-time.Hour)))
	}
	if d.server != nil {
		for _, table := range []string{"launch_plans", "schedules"} {
			statements = append(statements, `SELECT setval(pg_get_serial_sequence('`+table+`', 'id'), `+strconv.Itoa(j.Schedules)+`)`)
		}
		statements = append(statements, `VACUUM ANALYZE`, `CHECKPOINT`)
	} else {
		statements = append(statements, `PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	for _, statement := range statements {
		if _, err := raw.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if j.awake.IsZero() && !j.Begin.IsZero() && time.Until(j.Begin) < time.Second {
		return fmt.Errorf("preparing %d schedules took %s, and they are due already", j.Schedules, time.Since(now).Round(time.Second))
	}
	return nil
}

// lateness reads two quantiles of the lateness of the firings that were measured.
func (d *database) lateness(ctx context.Context, j *job, r *result) (p50, p99 time.Duration, err error) {
	if j.End.IsZero() {
		return 0, 0, nil
	}
	raw, err := d.raw()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	from := fmt.Sprintf(" FROM firings WHERE outcome = 1 AND slot >= %d AND slot < %d", j.Begin.UnixMicro(), j.End.UnixMicro())
	var launched int
	if err := raw.QueryRowContext(ctx, `SELECT count(*)`+from).Scan(&launched); err != nil {
		return 0, 0, err
	}
	if launched != r.Firings {
		return 0, 0, fmt.Errorf("%d firings are launched in the ledger, want %d", launched, r.Firings)
	}
	for _, q := range []struct {
		share float64
		d     *time.Duration
	}{{0.50, &p50}, {0.99, &p99}} {
		var micros int64
		place := strconv.Itoa(int(q.share * float64(launched-1)))
		if err := raw.QueryRowContext(ctx, `SELECT settled_at - slot`+from+` ORDER BY 1 LIMIT 1 OFFSET `+place).Scan(&micros); err != nil {
			return 0, 0, err
		}
		*q.d = time.Duration(micros) * time.Microsecond
	}
	return p50, p99, nil
}

// batch is how many rows a transaction of the engine takes.
const batch = 2000

// plain inserts the rows of the ledger once more, in as many streams, without reading, planning or
// moving anything: into the ledger's own table, emptied, and into one with the
// primary key as its only index. It says how many rows a second that were.
func (d *database) plain(ctx context.Context, want int) (same, bare float64, err error) {
	raw, err := d.raw()
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	names, rows, err := contents(ctx, raw)
	if err == nil && len(rows) != want {
		err = fmt.Errorf("%d firings are recorded, want %d", len(rows), want)
	}
	if err != nil {
		return 0, 0, err
	}
	key := `CREATE TABLE bare AS SELECT * FROM firings WHERE false; CREATE UNIQUE INDEX bare_key ON bare (slot, schedule_id)`
	for _, statement := range []string{key, `DELETE FROM firings`, `VACUUM`} {
		if _, err := raw.ExecContext(ctx, statement); err != nil {
			return 0, 0, err
		}
	}
	for _, t := range []struct {
		table string
		rate  *float64
	}{{"firings", &same}, {"bare", &bare}} {
		begun := time.Now()
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(streams(d.server != nil))
		for some := range slices.Chunk(rows, batch) {
			g.Go(func() error { return d.insert(ctx, raw, t.table, names, some) })
		}
		if err := g.Wait(); err != nil {
			return 0, 0, err
		}
		*t.rate = float64(len(rows)) / time.Since(begun).Seconds()
	}
	return same, bare, nil
}

// contents are the columns and rows of the ledger.
func contents(ctx context.Context, raw *sql.DB) (names []string, all [][]any, err error) {
	rows, err := raw.QueryContext(ctx, `SELECT * FROM firings ORDER BY slot, schedule_id`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	if names, err = rows.Columns(); err != nil {
		return nil, nil, err
	}
	for rows.Next() {
		row, to := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, nil, err
		}
		all = append(all, row)
	}
	return names, all, rows.Err()
}

// insert inserts rows in one transaction: by arrays into PostgreSQL, and 64 at a
// time into SQLite.
func (d *database) insert(ctx context.Context, raw *sql.DB, table string, names []string, rows [][]any) error {
	into := `INSERT INTO ` + table + ` (` + strings.Join(names, ", ") + `) `
	if d.server != nil {
		var columns []string
		var args []any
		for i := range names {
			if _, text := rows[0][i].(string); text {
				columns, args = append(columns, fmt.Sprintf("$%d::text[]", i+1)), append(args, column[string](rows, i))
			} else {
				columns, args = append(columns, fmt.Sprintf("$%d::bigint[]", i+1)), append(args, column[int64](rows, i))
			}
		}
		_, err := raw.ExecContext(ctx, into+`SELECT * FROM unnest(`+strings.Join(columns, ", ")+`) ON CONFLICT DO NOTHING`, args...)
		return err
	}
	tx, err := raw.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(rows, 64) {
		if _, err := tx.ExecContext(ctx, into+`VALUES `+relational.Values(len(some), len(names))+` ON CONFLICT DO NOTHING`, slices.Concat(some...)...); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// column is one column of rows; nil stands for NULL.
func column[T any](rows [][]any, i int) []*T {
	all := make([]*T, len(rows))
	for n, row := range rows {
		if v, ok := row[i].(T); ok {
			all[n] = &v
		}
	}
	return all
}

// cpu is the processor time that the server's processes have used so far; 0 where there is none.
func (d *database) cpu() time.Duration {
	if d.server == nil {
		return 0
	}
	parent := strconv.Itoa(d.server.PID())
	for {
		own := ticks(parent, "")
		processes, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return 0
		}
		total := own
		for _, p := range processes {
			total += ticks(filepath.Base(p), parent)
		}
		if ticks(parent, "") == own { // None ended meanwhile, whose time went over to its parent.
			return total
		}
	}
}

// ticks is the processor time of a process, and of its children that have
// ended, as /proc has it in hundredths of a second. A process with another
// parent than that, where one is given, counts nothing.
func ticks(pid, parent string) (total time.Duration) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat") //nolint:gosec // pid is a number.
	if err != nil {
		return 0 // It has ended, or this system has no /proc.
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // The name before may have spaces.
	fields := strings.Fields(rest)
	if len(fields) < 15 || (parent != "" && fields[1] != parent) {
		return 0
	}
	for _, f := range fields[11:15] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0
		}
		total += time.Duration(n) * 10 * time.Millisecond
	}
	return total
}
