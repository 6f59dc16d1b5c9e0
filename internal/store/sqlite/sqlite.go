// Package sqlite keeps everything of store in one SQLite file, for one process.
//
// There is one connection that writes and a pool beside it that reads; in WAL
// mode neither waits for the other. A transaction is on disk when its method
// returns: synchronous is FULL.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"tminus.dev/internal/store"
	"tminus.dev/internal/store/relational"
)

// Config says where the database is.
type Config struct {
	// Dir holds the database and belongs to one process at a time. It is
	// created, with the parents it lacks, for its owner alone.
	Dir string
	// Readers is how many connections read at once; 0 means 4.
	Readers int
	// KeepSchema refuses a database whose schema is older than what is known,
	// which is brought up to date otherwise.
	KeepSchema bool
}

// The names of the files in Config.Dir. SQLite puts tminus.db-wal and tminus.db-shm beside the first.
const (
	fileName = "tminus.db"
	lockName = "tminus.lock"
)

// DB is an open database. Its methods are those of storetest.Store and can be
// called at the same time.
type DB struct {
	*relational.DB

	lock *lock
	// write has one connection, so that transactions that write take turns here
	// and never meet a busy database.
	write *sql.DB
	read  *sql.DB
}

// Open opens the database in cfg.Dir, creates it if there is none and brings
// its schema up to date. It refuses a directory that another process, or
// another DB of this one, has open, and a database whose schema is newer than
// it knows; both are left as they are.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	db, err := open(ctx, cfg, migrations)
	if err != nil {
		return nil, fmt.Errorf("open database in %s: %w", cfg.Dir, err)
	}
	return db, nil
}

func open(ctx context.Context, cfg Config, migrations fs.FS) (_ *DB, err error) {
	if cfg.Dir == "" {
		return nil, errors.New("the directory is not set")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db := &DB{}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if db.lock, err = acquire(filepath.Join(dir, lockName)); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	if err := create(path); err != nil {
		return nil, err
	}
	v, err := versions(ctx, path, migrations)
	if err != nil {
		return nil, err
	}
	if err := v.Check(cfg.KeepSchema); err != nil {
		return nil, err
	}
	// fdatasync saves a commit the journaling of timestamps; SQLite uses it
	// wherever there is one, but its translation to Go has to be told.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	writer, err := newConnector(dataSource(path, writerPragmas, "&_txlock=immediate"))
	if err != nil {
		return nil, err
	}
	db.write = sql.OpenDB(writer)
	db.write.SetMaxOpenConns(1)
	if err := schema(migrations).Migrate(ctx, db.write); err != nil {
		return nil, err
	}
	// The directory is this process's alone, so the sessions in it are of processes that are gone.
	if _, err := db.write.ExecContext(ctx, `UPDATE firings SET owner = 0 WHERE outcome = 0 AND owner <> 0; DELETE FROM sessions`); err != nil {
		return nil, fmt.Errorf("end the sessions of before: %w", err)
	}
	reader, err := newConnector(dataSource(path, readerPragmas, ""))
	if err != nil {
		return nil, err
	}
	db.read = sql.OpenDB(reader)
	readers := cmp.Or(cfg.Readers, 4)
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	db.DB = relational.New(db.write, db.read, &relational.Dialect{
		Outer: "CROSS", Instr: "instr", Bulk: newTexts().run, Failed: known,
	})
	return db, nil
}

// create makes the database's file, for its owner alone, unless it is there.
// SQLite gives the files beside it the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // The operator chose the directory.
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// The settings of every connection. A reader can meet a busy database only
// while the writer resets the WAL, but then it has to wait.
var (
	writerPragmas = []string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)", "checkpoint_fullfsync(1)",
		"foreign_keys(1)", "cache_size(-65536)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)", "temp_store(MEMORY)",
	}
	readerPragmas = []string{
		"busy_timeout(10000)", "query_only(1)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-16384)", "temp_store(MEMORY)",
	}
)

func dataSource(path string, pragmas []string, more string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode() + more}
	return u.String()
}

// Close closes the database and lets others open it.
func (db *DB) Close() error {
	var errs []error
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close()) // The last to close takes the WAL into the database.
	}
	if db.lock != nil {
		errs = append(errs, db.lock.release())
	}
	return errors.Join(errs...)
}

// known says in store's terms what err is, where there is one.
func known(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return store.ErrExists
		}
	}
	return err
}
