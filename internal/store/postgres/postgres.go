// Package postgres keeps everything of store in PostgreSQL, for any number of
// processes at once.
//
// It works through a pooler that hands out a server's connections by the
// transaction, such as PgBouncer: nothing is kept in a session, and what a
// transaction needs it sets itself. Only Listen wants a connection of its own.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tminus.dev/internal/store"
	"tminus.dev/internal/store/relational"
)

// Config says where the database is.
type Config struct {
	// URL is as libpq has it: postgres://user:password@host:port/database, with
	// several hosts separated by commas where one of them takes over from another.
	// What it does not say the PG… variables of the environment do. Unless it says
	// otherwise, only a server that takes writes is connected to
	// (target_session_attrs=read-write), and a host gets 5 s to answer (connect_timeout=5).
	URL string
	// Connections is the most connections to the server, without those of Listen
	// and of migrations; 0 means 16.
	Connections int
	// Answer is how long a statement may take; 0 means 15 s. It also bounds how
	// long the server keeps a transaction whose client has gone silent.
	Answer time.Duration
	// KeepSchema refuses a database whose schema is older than what is known,
	// which is brought up to date otherwise.
	KeepSchema bool
}

func (c Config) withDefaults() Config {
	c.Connections = cmp.Or(c.Connections, 16)
	c.Answer = cmp.Or(c.Answer, 15*time.Second)
	return c
}

// DB is an open database. Its methods are those of storetest.Store and can be
// called at the same time.
type DB struct {
	*relational.DB

	pool   *sql.DB
	config *pgx.ConnConfig
}

// Open opens the database and brings its schema up to date; any number of
// processes may do so at once. It refuses a server older than PostgreSQL 13, and
// a database whose schema is newer than it knows, unless that says that it may be used. Errors do not have the password.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	return open(ctx, cfg, migrations)
}

func open(ctx context.Context, cfg Config, migrations fs.FS) (_ *DB, err error) {
	cfg = cfg.withDefaults()
	config, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, config, migrations, cfg.KeepSchema); err != nil {
		return nil, fmt.Errorf("open database %s: %w", name(config), err)
	}
	pool := sql.OpenDB(&connector{config: config, answer: cfg.Answer})
	pool.SetMaxOpenConns(cfg.Connections)
	pool.SetMaxIdleConns(cfg.Connections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	return &DB{
		DB: relational.New(pool, pool, &relational.Dialect{
			Instr: "strpos", Numbered: true, Locks: true, LockName: lockName,
			Clock: `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`,
			Bulk:  newBulks().run, Notify: notify, Failed: known, Again: again,
		}),
		pool: pool, config: config,
	}, nil
}

// name is the database as people know it.
func name(config *pgx.ConnConfig) string {
	return fmt.Sprintf("%s on %s", config.Database, config.Host)
}

// Close closes the connections.
func (db *DB) Close() error { return db.pool.Close() }

func lockName(ctx context.Context, tx *sql.Tx, name string) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, name)
	return err
}

// The conditions that are told apart; see PostgreSQL's appendix of error codes.
const (
	uniqueViolation      = "23505"
	readOnlyTransaction  = "25006"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	classConnection      = "08"
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
	idleInTransaction    = "25P03"
)

// known says in store's terms what err is, where there is one.
func known(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == uniqueViolation {
		return store.ErrExists
	}
	return err
}

// again says that a transaction which failed with err changed nothing and may get
// through when it runs again. Where it broke off before its commit was sent the
// server rolled it back; after that nobody knows.
func again(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && (e.Code == serializationFailure || e.Code == deadlockDetected || e.Code == readOnlyTransaction) {
		return true
	}
	if _, committing := errors.AsType[*commitError](err); committing {
		return false
	}
	return lost(err)
}

// ends says that the connection which e came from is of no use any more.
func ends(e *pgconn.PgError) bool {
	switch e.Code {
	case readOnlyTransaction, adminShutdown, crashShutdown, cannotConnectNow, idleInTransaction:
		return true
	}
	return strings.HasPrefix(e.Code, classConnection)
}
