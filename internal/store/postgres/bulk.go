package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"tminus.dev/internal/store/relational"
)

// bulks are the statements that run for many rows: each takes an array for
// every column, so that it is the same however many rows there are.
type bulks map[*relational.Bulk]string

// arrays are the types of the arrays, by the type of what is in them.
var arrays = map[relational.Type]string{relational.Int: "bigint[]", relational.Text: "text[]", relational.Bytes: "bytea[]"}

func newBulks() bulks {
	all := make(bulks)
	for _, s := range relational.Bulks() {
		columns := make([]string, len(s.Columns))
		for i, c := range s.Columns {
			columns[i] = fmt.Sprintf("$%d::%s", i+1, arrays[c.Type])
		}
		all[s] = s.Text("SELECT * FROM unnest(" + strings.Join(columns, ", ") + ")")
	}
	return all
}

// run runs a statement in tx once for all the rows that args holds.
func (all bulks) run(ctx context.Context, tx *sql.Tx, s *relational.Bulk, args []any, each func(*sql.Rows) error) (changed int, err error) {
	columns := make([]any, len(s.Columns))
	for i, c := range s.Columns {
		switch c.Type {
		case relational.Int:
			columns[i], err = column(args[i:], len(s.Columns), func(v int64) int64 { return v })
		case relational.Text:
			columns[i], err = column(args[i:], len(s.Columns), clean)
		case relational.Bytes:
			columns[i], err = column(args[i:], len(s.Columns), func(v []byte) []byte { return v })
		}
		if err != nil {
			return 0, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	if s.Returning {
		rows, err := tx.QueryContext(ctx, all[s], columns...) //nolint:rowserrcheck // Each does.
		if err != nil {
			return 0, err
		}
		return 0, relational.Each(rows, each)
	}
	r, err := tx.ExecContext(ctx, all[s], columns...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// column is every stride-th of args, the first one first; nil stands for NULL.
func column[T any](args []any, stride int, as func(T) T) ([]*T, error) {
	column := make([]*T, 0, (len(args)+stride-1)/stride)
	for i := 0; i < len(args); i += stride {
		if args[i] == nil {
			column = append(column, nil)
			continue
		}
		v, ok := args[i].(T)
		if !ok {
			return nil, fmt.Errorf("%T is not what it takes", args[i])
		}
		v = as(v)
		column = append(column, &v)
	}
	return column, nil
}
