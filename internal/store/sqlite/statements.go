package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"tminus.dev/internal/store/relational"
)

// statements are those that run for many rows, prepared once.
type statements map[*relational.Bulk]prepared

// prepared is a statement in two sizes: for one row and for bulk rows.
type prepared struct{ one, many *sql.Stmt }

// bulk is how many rows one statement of a batch takes. Running a statement
// costs as much as a few rows, so that beyond some dozens more make no difference.
const bulk = 64

func prepare(ctx context.Context, db *sql.DB) (statements, error) {
	all := make(statements)
	for _, s := range relational.Bulks() {
		one, err := db.PrepareContext(ctx, s.Text("VALUES "+relational.Values(1, len(s.Columns))))
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		many, err := db.PrepareContext(ctx, s.Text("VALUES "+relational.Values(bulk, len(s.Columns))))
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		all[s] = prepared{one, many}
	}
	return all, nil
}

// run runs a statement in tx for all the rows that args holds.
func (all statements) run(ctx context.Context, tx *sql.Tx, s *relational.Bulk, args []any, each func(*sql.Rows) error) (changed int, err error) {
	// The transaction ends with its context; its statements need not each watch it.
	ctx = context.WithoutCancel(ctx)
	p := all[s]
	for len(args) > 0 {
		stmt, n := p.one, len(s.Columns)
		if len(args) >= bulk*n {
			stmt, n = p.many, bulk*n
		}
		stmt = tx.StmtContext(ctx, stmt) // The transaction closes it.
		rows, err := runOnce(ctx, stmt, s.Returning, args[:n], each)
		if err != nil {
			return 0, err
		}
		changed += rows
		args = args[n:]
	}
	return changed, nil
}

func runOnce(ctx context.Context, stmt *sql.Stmt, returning bool, args []any, each func(*sql.Rows) error) (changed int, err error) {
	if !returning {
		r, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return 0, err
		}
		n, err := r.RowsAffected()
		return int(n), err
	}
	rows, err := stmt.QueryContext(ctx, args...) //nolint:rowserrcheck // Each does.
	if err != nil {
		return 0, err
	}
	return 0, relational.Each(rows, each)
}
