package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3/database"

	"tminus.dev/internal/store/relational"
)

//go:embed migrations/*.sql
var migrations embed.FS

func schema(migrations fs.FS) relational.Schema {
	return relational.Schema{Dialect: database.DialectSQLite3, Files: migrations}
}

// Versions are those of the schema in cfg.Dir, which stays as it is.
func Versions(ctx context.Context, cfg Config) (relational.Versions, error) {
	path := filepath.Join(cfg.Dir, fileName)
	if _, err := os.Stat(path); err != nil {
		return relational.Versions{}, fmt.Errorf("read the schema in %s: %w", cfg.Dir, err)
	}
	v, err := versions(ctx, path, migrations)
	if err != nil {
		return v, fmt.Errorf("read the schema in %s: %w", cfg.Dir, err)
	}
	return v, nil
}

// versions opens the file for reading only, so that it stays as it is, and
// without a WAL, unless one was left to be read, so that none is made.
func versions(ctx context.Context, path string, migrations fs.FS) (v relational.Versions, err error) {
	mode := "&mode=ro"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		mode += "&immutable=1"
	}
	db, err := sql.Open("sqlite", dataSource(path, []string{"busy_timeout(10000)"}, mode))
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return schema(migrations).Versions(ctx, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'goose_db_version'`)
}
