package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// statements are those that run for every firing, prepared once.
type statements struct{ insert, move, settle bulkStmt }

func prepare(ctx context.Context, db *sql.DB) (s statements, err error) {
	for _, p := range []struct {
		stmt *bulkStmt
		text func(rows int) string
	}{
		{&s.insert, insertFirings}, {&s.move, moveSchedules}, {&s.settle, settleFirings},
	} {
		if p.stmt.one, err = db.PrepareContext(ctx, p.text(1)); err != nil {
			return s, fmt.Errorf("prepare: %w", err)
		}
		if p.stmt.many, err = db.PrepareContext(ctx, p.text(bulk)); err != nil {
			return s, fmt.Errorf("prepare: %w", err)
		}
	}
	return s, nil
}

// bulk is how many rows one statement of a batch takes. Running a statement
// costs as much as a few rows, so that beyond some dozens more make no difference.
const bulk = 64

// bulkStmt is a statement in two sizes: for one row and for bulk rows.
type bulkStmt struct{ one, many *sql.Stmt }

// exec runs the statement in tx for all the rows, each of which has so many args.
func (s bulkStmt) exec(ctx context.Context, tx *sql.Tx, columns int, args []any) error {
	for len(args) > 0 {
		stmt, n := s.one, columns
		if len(args) >= bulk*columns {
			stmt, n = s.many, bulk*columns
		}
		//nolint:sqlclosecheck // The transaction closes its statements.
		if _, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, args[:n]...); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// values is the text of a VALUES clause with parameters for so many rows.
func values(rows, columns int) string {
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	return row + strings.Repeat(","+row, rows-1)
}
