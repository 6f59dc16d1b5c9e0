package postgres_test

import (
	"database/sql"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/internal/store/postgres"
	"tminus.dev/internal/store/postgres/postgrestest"
)

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
