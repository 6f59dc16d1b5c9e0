package sqlite_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
	"tminus.dev/internal/store/sqlite"
	"tminus.dev/internal/store/storetest"
)

var _ storetest.Store = (*sqlite.DB)(nil)

func openIn(t *testing.T, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestContract(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) storetest.Store {
		t.Helper()
		return openIn(t, t.TempDir())
	})
}

// refused expects Open to fail with an error that says all the parts.
func refused(t *testing.T, dir string, parts ...string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err == nil {
		db.Close()
		t.Fatal("it was opened")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, and does not say %q", err, part)
		}
	}
}

func TestOpenIsPrivate(t *testing.T) {
	there := t.TempDir()
	if err := os.Chmod(there, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(there, "made", "data")
	openIn(t, dir)
	for name, want := range map[string]fs.FileMode{
		there:                               0o755, // It was there, and stays as it was.
		filepath.Dir(dir):                   0o700,
		dir:                                 0o700,
		filepath.Join(dir, "tminus.db"):     0o600,
		filepath.Join(dir, "tminus.db-wal"): 0o600,
		filepath.Join(dir, "tminus.db-shm"): 0o600,
		filepath.Join(dir, "tminus.lock"):   0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

func TestOpenTakesAnyPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c=d#e%20&ü")
	openIn(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "tminus.db-wal")); err != nil {
		t.Error(err)
	}
}

func TestOpenNeedsADirectory(t *testing.T) {
	refused(t, "", "directory is not set")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, file, "not a directory")
}

func TestOpenRefusesAnotherDatabase(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tminus.db"), bytes.Repeat([]byte("tminus "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "not a database")
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, dir, dir, fmt.Sprintf("this process (%d)", os.Getpid()), "stop it")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openIn(t, dir)
}

func TestReopenKeepsEverything(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	plan := ident.ID{Key: ident.Key{Project: "p", Domain: "d", Name: "n"}, Version: "v"}
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	everything := func(db *sqlite.DB) []any {
		t.Helper()
		q := store.Query{Limit: 100}
		var all []any
		keep := func(list any, err error) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, list)
		}
		keep(db.Plans(ctx, q))
		keep(db.Schedules(ctx, q))
		keep(db.Firings(ctx, q))
		keep(db.Executions(ctx, q))
		return all
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		db.CreatePlan(ctx, store.Plan{ID: plan, Spec: []byte("spec"), CreatedAt: noon, UpdatedAt: noon}),
		db.Activate(ctx, plan, &schedule.Spec{Expression: "* * * * *"}, store.Change{At: noon}),
		second(db.Advance(ctx, 0, noon.Add(time.Hour), 10, 0)),
		second(db.CreateExecutions(ctx, []store.Execution{{Key: plan.Key, Phase: store.Running, CreatedAt: noon}})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := everything(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, everything(openIn(t, dir))); diff != "" {
		t.Errorf("what was stored differs (-before +after):\n%s", diff)
	}
}

func second[T any](_ T, err error) error { return err }

// raw opens the file past the package.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "tminus.db"))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestOpenLeavesANewerDatabaseAlone(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	newer := raw(t, dir)
	if _, err := newer.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	refused(t, dir, "version 99", "up to 9", dir)
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the files changed (-before +after):\n%s", diff)
	}
}

// contents are the files of a directory but the lock.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if e.Name() == "tminus.lock" {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// migrationsTo are the embedded migrations up to a version.
func migrationsTo(t *testing.T, version int) fstest.MapFS {
	t.Helper()
	names, err := fs.Glob(sqlite.Migrations(), "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	some := make(fstest.MapFS)
	for _, name := range names[:min(version, len(names))] {
		data, err := fs.ReadFile(sqlite.Migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		some[name] = &fstest.MapFile{Data: data}
	}
	return some
}

func TestFailedMigrationKeepsTheDatabase(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	project := store.Project{ID: "flytesnacks", CreatedAt: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	if err := db.CreateProject(ctx, project); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	migrations := migrationsTo(t, math.MaxInt)
	migrations["migrations/99999_broken.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\n" +
		"DELETE FROM projects;\nCREATE TABLE half_done (id INTEGER PRIMARY KEY) STRICT;\nDROP TABLE there_is_none;\n")}
	broken, err := sqlite.OpenMigrated(ctx, sqlite.Config{Dir: dir}, migrations)
	if err == nil {
		broken.Close()
		t.Fatal("the broken migration went through")
	}
	for _, part := range []string{"version 99999", "there_is_none"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, and does not say %q", err, part)
		}
	}

	db = openIn(t, dir)
	got, err := db.Project(ctx, project.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(project, got); diff != "" {
		t.Errorf("what was stored differs (-want +got):\n%s", diff)
	}
	write, _ := db.Pools()
	var tables int
	if err := write.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE name = 'half_done'`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != 0 {
		t.Error("half of the migration stayed")
	}
}

func TestSettingsAreInForceOnEveryConnection(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(ctx, sqlite.Config{Dir: t.TempDir(), Readers: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write, read := db.Pools()
	for _, pool := range []struct {
		db          *sql.DB
		connections int
		queryOnly   string
	}{{write, 1, "0"}, {read, 3, "1"}} {
		if got := pool.db.Stats().MaxOpenConnections; got != pool.connections {
			t.Errorf("a pool has %d connections, want %d", got, pool.connections)
		}
		for range pool.connections {
			c, err := pool.db.Conn(ctx) // Held, so that the next is another.
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for pragma, want := range map[string]string{
				"journal_mode": "wal",
				"synchronous":  "2", // FULL
				"foreign_keys": "1",
				"busy_timeout": "10000",
				"query_only":   pool.queryOnly,
			} {
				var got string
				if err := c.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("%s is %s, want %s", pragma, got, want)
				}
			}
		}
	}
}
