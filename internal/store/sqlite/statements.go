package sqlite

import (
	"context"
	"database/sql"

	"tminus.dev/internal/store/relational"
)

// texts are the statements that run for many rows, by how many those are: one or bulk.
type texts map[*relational.Bulk]struct{ one, many string }

// bulk is how many rows one statement of a batch takes. Running a statement
// costs as much as a few rows, so that beyond some dozens more make no difference.
const bulk = 64

func newTexts() texts {
	all := make(texts)
	for _, s := range relational.Bulks() {
		of := func(rows int) string { return s.Text("VALUES " + relational.Values(rows, len(s.Columns))) }
		all[s] = struct{ one, many string }{of(1), of(bulk)}
	}
	return all
}

// run runs a statement in tx for all the rows that args holds.
func (all texts) run(ctx context.Context, tx *sql.Tx, s *relational.Bulk, args []any, each func(*sql.Rows) error) (changed int, err error) {
	// The transaction ends with its context; its statements need not each watch it.
	ctx = context.WithoutCancel(ctx)
	text := all[s]
	for len(args) > 0 {
		query, n := text.one, len(s.Columns)
		if len(args) >= bulk*n {
			query, n = text.many, bulk*n
		}
		rows, err := runOnce(ctx, tx, query, s.Returning, args[:n], each)
		if err != nil {
			return 0, err
		}
		changed += rows
		args = args[n:]
	}
	return changed, nil
}

func runOnce(ctx context.Context, tx *sql.Tx, query string, returning bool, args []any, each func(*sql.Rows) error) (changed int, err error) {
	if !returning {
		r, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		n, err := r.RowsAffected()
		return int(n), err
	}
	rows, err := tx.QueryContext(ctx, query, args...) //nolint:rowserrcheck // Each does.
	if err != nil {
		return 0, err
	}
	return 0, relational.Each(rows, each)
}
