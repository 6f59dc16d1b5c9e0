package relational_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"tminus.dev/internal/store/relational"
	"tminus.dev/internal/store/sqlite"
)

// TestListsUseTheirIndexes keeps what runs over millions of rows from reading
// or sorting them all.
func TestListsUseTheirIndexes(t *testing.T) {
	dir := t.TempDir()
	made, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "tminus.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	statements, err := relational.Statements()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		t.Run(s.Name, func(t *testing.T) {
			rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+s.Text, make([]any, strings.Count(s.Text, "?"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var plan strings.Builder
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				plan.WriteString(detail + "\n")
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(plan.String(), s.Index) || strings.Contains(plan.String(), "TEMP B-TREE") {
				t.Errorf("it does not use %s, or it sorts:\n%s", s.Index, plan.String())
			}
		})
	}
}
