package postgres

import (
	"context"
	"database/sql"
	"io/fs"
)

// OpenMigrated is Open with other migrations than the embedded ones.
func OpenMigrated(ctx context.Context, cfg Config, migrations fs.FS) (*DB, error) {
	return open(ctx, cfg, migrations)
}

// Migrations are the embedded ones.
func Migrations() fs.FS { return migrations }

// Exec implements storetest.Corrupter.
func (db *DB) Exec(ctx context.Context, statement string) error {
	_, err := db.pool.ExecContext(ctx, statement)
	return err
}

// Pool is the database's connections.
func (db *DB) Pool() *sql.DB { return db.pool }

// Numbers, Texts and Blobs write arrays.
var (
	Numbers = numbers
	Texts   = texts
	Blobs   = blobs
)
