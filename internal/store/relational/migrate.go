package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// Schema is how a schema came to be: NNNNN_name.sql files in a folder
// migrations, each of which runs in a transaction of its own, in order, once.
type Schema struct {
	// Dialect is goose's name of the database.
	Dialect database.Dialect
	Files   fs.FS
	// Oldest is a query for the version that a program has to know, or a later
	// one, to run on a database whose schema is newer; empty means that only those
	// that know its schema do.
	Oldest string
}

func (s Schema) provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(s.Files, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(s.Dialect, db, files, goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

// Migrate brings the schema of db up to date.
func (s Schema) Migrate(ctx context.Context, db *sql.DB) error {
	p, err := s.provider(db)
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

// Versions are those of a schema: the one that a database has, 0 while it has
// none, the one that this tminus knows, and where that is older the one that it
// has to know at least.
type Versions struct {
	Database int64 `json:"database"`
	Known    int64 `json:"known"`
	Oldest   int64 `json:"oldest,omitempty"`
}

// Versions reads the version of db's schema. exists is a query that says
// whether there is the table goose_db_version.
func (s Schema) Versions(ctx context.Context, db *sql.DB, exists string) (v Versions, err error) {
	p, err := s.provider(db)
	if err != nil {
		return v, err
	}
	for _, source := range p.ListSources() {
		v.Known = max(v.Known, source.Version)
	}
	var migrated bool
	if err := db.QueryRowContext(ctx, exists).Scan(&migrated); err != nil {
		return v, fmt.Errorf("read the schema: %w", err)
	}
	if !migrated {
		return v, nil
	}
	if err := db.QueryRowContext(ctx,
		`SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&v.Database); err != nil {
		return v, fmt.Errorf("read the version of the schema: %w", err)
	}
	if v.Database <= v.Known {
		return v, nil
	}
	v.Oldest = v.Database
	if s.Oldest != "" {
		if err := db.QueryRowContext(ctx, s.Oldest).Scan(&v.Oldest); err != nil {
			return v, fmt.Errorf("read which versions the schema is for: %w", err)
		}
	}
	return v, nil
}

// Check refuses a schema that is newer than what is known, unless it is for
// those that know no more; and one that is older, where it is to stay as it is.
func (v Versions) Check(keep bool) error {
	switch {
	case v.Oldest > v.Known:
		return fmt.Errorf("its schema has version %d, and this tminus knows versions up to %d: "+
			"use the newer tminus that wrote it, or restore a backup from before", v.Database, v.Known)
	case v.Database < v.Known && keep:
		return fmt.Errorf("its schema has version %d, and this tminus needs version %d: run tminus migrate, or set database.migrate to true",
			v.Database, v.Known)
	}
	return nil
}
