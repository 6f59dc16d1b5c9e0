package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// migrations holds NNNNN_name.sql files under migrations/; each runs in a
// transaction of its own, in order, once.
//
//go:embed migrations/*.sql
var migrations embed.FS

func migrate(ctx context.Context, db *sql.DB, migrations fs.FS) error {
	p, err := provider(db, migrations)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		if failure, ok := errors.AsType[*goose.PartialError](err); ok {
			return fmt.Errorf("bring the schema to version %d (it stays as it was before): %w", failure.Failed.Source.Version, failure.Err)
		}
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

func provider(db *sql.DB, migrations fs.FS) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(database.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

// refuseNewer reports a database whose schema is newer than the newest
// migration. It opens the file for reading only, so that such a file stays as
// it is, and without a WAL, unless one was left to be read, so that none is made.
func refuseNewer(ctx context.Context, path string, migrations fs.FS) (err error) {
	mode := "&mode=ro"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		mode += "&immutable=1"
	}
	db, err := sql.Open("sqlite", dataSource(path, []string{"busy_timeout(10000)"}, mode))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var migrated bool
	if err := db.QueryRowContext(ctx,
		`SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'`).Scan(&migrated); err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	if !migrated {
		return nil
	}
	var version int64
	if err := db.QueryRowContext(ctx,
		`SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&version); err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	p, err := provider(db, migrations)
	if err != nil {
		return err
	}
	var newest int64
	for _, source := range p.ListSources() {
		newest = max(newest, source.Version)
	}
	if version > newest {
		return fmt.Errorf("its schema has version %d, and this tminus knows versions up to %d: "+
			"use the newer tminus that wrote it, or restore a backup from before", version, newest)
	}
	return nil
}
