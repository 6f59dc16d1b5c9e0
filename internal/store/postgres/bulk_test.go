package postgres_test

import (
	"database/sql"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
	"tminus.dev/internal/store/relational"
)

// TestBulksFindRowsByTheirKeys keeps the planner of the server from reading all
// that is pending for each batch, when its statistics were made before a herd
// came due and say that next to nothing is.
func TestBulksFindRowsByTheirKeys(t *testing.T) {
	t.Parallel()
	db := open(t, postgrestest.URL(t))
	const firings = `INSERT INTO firings (slot, schedule_id, plan_id, outcome, kind, queue, owner, tried, recorded_at, count, attempts, max_running, buffer, overlap, reason, stopped)
		SELECT $1::bigint, n, n, $2::bigint, 0, 0, 0, 0, 0, 1, 0, 0, 0, '', '', '' FROM generate_series(1, $3::bigint) n`
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.Pool().ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	updated := 0
	check := func(when string) {
		texts, columns := postgres.BulkTexts()
		for i, text := range texts {
			plan := explain(t, db, text, columns[i])
			for _, bad := range []string{"Seq Scan on", "Hash Join", "Merge Join", "Materialize"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s, %s\nreads whole tables:\n%s", when, text, plan)
				}
			}
			if strings.Contains(plan, "Update on firings") {
				updated++
				if !byKey.MatchString(plan) {
					t.Errorf("%s, %s\ndoes not find firings by their key:\n%s", when, text, plan)
				}
			}
		}
	}
	exec("VACUUM ANALYZE")
	exec(firings, 1, 0, 3000)
	check("with the first herd")
	exec("UPDATE firings SET outcome = 1")
	exec(firings, 2, 1, 50_000)
	exec("VACUUM ANALYZE firings")
	exec(firings, 3, 0, 50_000)
	check("with a herd after others")
	if updated == 0 {
		t.Error("no statement updates firings")
	}
}

var byKey = regexp.MustCompile(`Index Cond: \(\((slot|schedule_id) = .*\) AND \((slot|schedule_id) = .*\)\)`)

// explain says how the server would run a statement for 2000 rows.
func explain(t *testing.T, db *postgres.DB, text string, columns []relational.Column) string {
	t.Helper()
	arrays := make([]any, len(columns))
	for i, c := range columns {
		value := "1"
		if c.Type == relational.Bytes {
			value = `"\\x01"`
		}
		arrays[i] = "{" + value + strings.Repeat(","+value, 1999) + "}"
	}
	tx, err := db.Pool().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // Nothing was changed.
	rows, err := tx.QueryContext(t.Context(), "EXPLAIN "+text, arrays...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// TestArrays has the server read every kind of array that statements take,
// with what arrays have of their own in the values.
func TestArrays(t *testing.T) {
	t.Parallel()
	db := open(t, postgrestest.URL(t))
	args := []any{
		int64(0), "", []byte("a"),
		int64(math.MinInt64), `{"a", \ NULL}`,
		[]byte{0, 255, '"', '\\'},
		nil, nil, nil,
		int64(math.MaxInt64), "NULL",
		[]byte{},
		int64(-1), " 'é'\n\t\\\\ ", []byte("}"),
	}
	const columns = 3
	numbers, err := postgres.Numbers(args, columns)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := postgres.Texts(args[1:], columns)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := postgres.Blobs(args[2:], columns)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.Pool().QueryContext(t.Context(), "SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])", numbers, texts, blobs)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []any
	for rows.Next() {
		var n sql.NullInt64
		var s sql.NullString
		var b []byte
		if err := rows.Scan(&n, &s, &b); err != nil {
			t.Fatal(err)
		}
		value := func(valid bool, v any) any {
			if !valid {
				return nil
			}
			return v
		}
		got = append(got, value(n.Valid, n.Int64), value(s.Valid, s.String), value(b != nil, b))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(args, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for name, err := range map[string]error{
		"numbers": second(postgres.Numbers([]any{"1"}, 1)), "texts": second(postgres.Texts([]any{1}, 1)), "blobs": second(postgres.Blobs([]any{"1"}, 1)),
	} {
		if err == nil {
			t.Errorf("%s take values of another type", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
