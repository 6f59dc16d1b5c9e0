package sqlite

import (
	"context"
	"database/sql"
	"io/fs"

	"tminus.dev/internal/ident"
)

// OpenMigrated is Open with other migrations than the embedded ones.
func OpenMigrated(ctx context.Context, cfg Config, migrations fs.FS) (*DB, error) {
	return open(ctx, cfg, migrations)
}

// Migrations are the embedded ones.
func Migrations() fs.FS { return migrations }

// Corrupt implements storetest.Corrupter.
func (db *DB) Corrupt(ctx context.Context, key ident.Key, expression string) error {
	_, err := db.write.ExecContext(ctx, `UPDATE schedules SET expression = ? WHERE project = ? AND domain = ? AND name = ?`,
		expression, key.Project, key.Domain, key.Name)
	return err
}

// Pools are the database's connections: the one that writes, and those that read.
func (db *DB) Pools() (write, read *sql.DB) { return db.write, db.read }
