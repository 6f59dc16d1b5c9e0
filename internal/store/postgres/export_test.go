package postgres

import (
	"context"
	"database/sql"
	"io/fs"

	"tminus.dev/internal/store/relational"
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

// BulkTexts are the statements that run in bulk, as the server gets them.
func BulkTexts() (texts []string, columns [][]relational.Column) {
	all := newBulks()
	for _, s := range relational.Bulks() {
		texts, columns = append(texts, all[s]), append(columns, s.Columns)
	}
	return texts, columns
}
