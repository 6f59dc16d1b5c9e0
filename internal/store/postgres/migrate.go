package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"tminus.dev/internal/store/relational"
)

//go:embed migrations/*.sql
var migrations embed.FS

func schema(migrations fs.FS) relational.Schema {
	return relational.Schema{Dialect: database.DialectPostgres, Files: migrations}
}

const versionsExist = `SELECT to_regclass('goose_db_version') IS NOT NULL`

// Versions are those of the schema, which stays as it is.
func Versions(ctx context.Context, cfg Config) (v relational.Versions, err error) {
	config, err := parse(cfg.URL)
	if err != nil {
		return v, err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	if v, err = schema(migrations).Versions(ctx, db, versionsExist); err != nil {
		return v, fmt.Errorf("read the schema of %s: %w", name(config), err)
	}
	return v, nil
}

// migrate brings the schema up to date, or refuses it. It has connections of its
// own: a migration may take longer than a statement otherwise does.
func migrate(ctx context.Context, config *pgx.ConnConfig, migrations fs.FS, keep bool) (err error) {
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	s := schema(migrations)
	v, err := s.Versions(ctx, db, versionsExist)
	if err != nil {
		return err
	}
	if err := v.Check(keep); err != nil || v.Database == v.Known {
		return err
	}
	// One process at a time. A lock of a transaction goes through a pooler, and is
	// released when its holder dies; goose runs on other connections.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if e := tx.Rollback(); !errors.Is(e, sql.ErrTxDone) {
			err = errors.Join(err, e)
		}
	}()
	if _, err := tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return err
	}
	if err := lockName(ctx, tx, "tminus: migrate"); err != nil {
		return fmt.Errorf("wait for others that migrate: %w", err)
	}
	return s.Migrate(ctx, db)
}
