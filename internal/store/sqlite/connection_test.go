package sqlite_test

import (
	"fmt"
	"strings"
	"testing"

	"tminus.dev/internal/store/sqlite"
)

// TestKeptStatements has more statements than a connection keeps, some too long
// to be kept, and a schema that changes under those that are.
func TestKeptStatements(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	write, _ := db.Pools()
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := write.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE numbers (n INTEGER)")
	sum := func(more int, padding string) (total int) {
		t.Helper()
		if err := write.QueryRowContext(t.Context(), fmt.Sprintf("SELECT coalesce(sum(n), 0) + %d %s FROM numbers WHERE n >= ?", more, padding), 1).Scan(&total); err != nil {
			t.Fatal(err)
		}
		return total
	}
	want := 0
	for round := range 3 {
		for i := range 250 {
			if got := sum(i, ""); got != want+i {
				t.Fatalf("round %d: %d, want %d", round, got, want+i)
			}
		}
		if got := sum(7, "/* "+strings.Repeat("-", 20_000)+" */"); got != want+7 {
			t.Fatalf("round %d, a long statement: %d, want %d", round, got, want+7)
		}
		exec("INSERT INTO numbers (n) VALUES (?)", 5)
		want += 5
		exec(fmt.Sprintf("ALTER TABLE numbers ADD COLUMN more%d INTEGER; CREATE INDEX numbers_%d ON numbers (n, more%d)", round, round, round))
	}
	exec("DROP TABLE numbers")
	if _, err := write.ExecContext(t.Context(), "SELECT sum(n) FROM numbers"); err == nil || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("a table that is gone: %v", err)
	}
}
