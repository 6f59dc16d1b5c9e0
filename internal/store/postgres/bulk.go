package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
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
		if s.Lock != "" {
			all[s] += relational.LockRows(s.Lock)
		}
	}
	return all
}

// run runs a statement in tx once for all the rows that args holds.
func (all bulks) run(ctx context.Context, tx *sql.Tx, s *relational.Bulk, args []any, each func(*sql.Rows) error) (changed int, err error) {
	columns := make([]any, len(s.Columns))
	for i, c := range s.Columns {
		switch c.Type {
		case relational.Int:
			columns[i], err = numbers(args[i:], len(s.Columns))
		case relational.Text:
			columns[i], err = texts(args[i:], len(s.Columns))
		case relational.Bytes:
			columns[i], err = blobs(args[i:], len(s.Columns))
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

// numbers is an array of every stride-th of args as PostgreSQL reads it. The
// driver would get there too, by way of a pointer for each number.
func numbers(args []any, stride int) (string, error) {
	array := make([]byte, 0, 2+len(args)/stride*12)
	array = append(array, '{')
	for i := 0; i < len(args); i += stride {
		if i > 0 {
			array = append(array, ',')
		}
		switch v := args[i].(type) {
		case nil:
			array = append(array, "NULL"...)
		case int64:
			array = strconv.AppendInt(array, v, 10)
		default:
			return "", fmt.Errorf("%T is not what it takes", v)
		}
	}
	return string(append(array, '}')), nil
}

// texts is numbers for texts.
func texts(args []any, stride int) (string, error) {
	array := make([]byte, 0, 2+len(args)/stride*12)
	array = append(array, '{')
	for i := 0; i < len(args); i += stride {
		if i > 0 {
			array = append(array, ',')
		}
		switch v := args[i].(type) {
		case nil:
			array = append(array, "NULL"...)
		case string:
			array = append(array, '"')
			for _, c := range []byte(clean(v)) {
				if c == '"' || c == '\\' {
					array = append(array, '\\')
				}
				array = append(array, c)
			}
			array = append(array, '"')
		default:
			return "", fmt.Errorf("%T is not what it takes", v)
		}
	}
	return string(append(array, '}')), nil
}

// blobs is every stride-th of args, the first one first.
func blobs(args []any, stride int) ([][]byte, error) {
	column := make([][]byte, 0, (len(args)+stride-1)/stride)
	for i := 0; i < len(args); i += stride {
		v, ok := args[i].([]byte)
		if !ok && args[i] != nil {
			return nil, fmt.Errorf("%T is not what it takes", args[i])
		}
		column = append(column, v)
	}
	return column, nil
}
