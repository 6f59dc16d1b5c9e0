package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"tminus.dev/internal/store/relational"
)

//go:embed migrations/*.sql
var migrations embed.FS

func schema(migrations fs.FS) relational.Schema {
	return relational.Schema{Dialect: database.DialectPostgres, Files: migrations, Oldest: `SELECT oldest FROM compatibility`}
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

// oldest is the first major version of PostgreSQL that will do.
const oldest = 13

// supported refuses a server that is too old. It asks the server: what a pooler
// says at the start of a connection may be its own.
func supported(ctx context.Context, db *sql.DB) error {
	var version string
	var number int
	if err := db.QueryRowContext(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int`).Scan(&version, &number); err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	if number < oldest*10_000 {
		return fmt.Errorf("the server is PostgreSQL %s, and tminus needs %d or newer: upgrade the server, or name another one", version, oldest)
	}
	return nil
}

// migrate brings the schema up to date, or refuses it. It has connections of its
// own: a migration may take longer than a statement otherwise does.
func migrate(ctx context.Context, config *pgx.ConnConfig, migrations fs.FS, keep bool) (err error) {
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := supported(ctx, db); err != nil {
		return err
	}
	s := schema(migrations)
	v, err := s.Versions(ctx, db, versionsExist)
	if err != nil {
		return err
	}
	if err := v.Check(keep); err != nil || v.Database >= v.Known {
		return err
	}
	// One process at a time. Those that find another at it leave their connection
	// to a pooler, which may need it for the one that does it. Replicas at work can
	// meet a migration in a deadlock: then nothing of it stays, and it runs again.
	for deadlocks := 0; ; {
		done, err := migrateAlone(ctx, db, s)
		switch {
		case deadlocked(err) && deadlocks < maxDeadlocks:
			deadlocks++
		case err != nil, done:
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for others that migrate: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// maxDeadlocks is how often migrating is tried again.
const maxDeadlocks = 50

func deadlocked(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == deadlockDetected
}

// migrateAlone brings the schema up to date unless another process is at it. The
// lock is that of a transaction: it goes through a pooler, and is released when
// its holder dies. goose runs on other connections.
func migrateAlone(ctx context.Context, db *sql.DB, s relational.Schema) (done bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() {
		if e := tx.Rollback(); !errors.Is(e, sql.ErrTxDone) {
			err = errors.Join(err, e)
		}
	}()
	if _, err := tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		return false, err
	}
	var locked bool
	err = tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended('tminus: migrate', 0))`).Scan(&locked)
	if err != nil || !locked {
		return false, err
	}
	return true, s.Migrate(ctx, db)
}
