package sqlite

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
	_, err := db.write.ExecContext(ctx, statement)
	return err
}

// Pools are the database's connections: the one that writes, and those that read.
func (db *DB) Pools() (write, read *sql.DB) { return db.write, db.read }
