// Package relational keeps everything of store in a relational database: what
// SQLite and PostgreSQL do alike. The packages sqlite and postgres open a
// database, bring its schema up to date and say in a Dialect how they differ.
package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// Dialect is how databases differ. Statements are written once, with a ? for
// each argument and the words below in braces.
type Dialect struct {
	// Outer is the {outer} before a JOIN whose left table has to be the outer
	// loop, so that rows come in the order of an index; empty where the planner
	// sees that by itself.
	Outer string
	// Instr is {instr}, the function that says where a text has another: its
	// first argument is the one searched, and 0 means nowhere.
	Instr string
	// Numbered says that arguments are $1, $2 and so on.
	Numbered bool
	// Locks says that transactions which write run at the same time, so that rows
	// have to be locked. Elsewhere they take turns.
	Locks bool
	// LockName makes other transactions that lock the same name wait until tx has
	// ended. It is called where there are Locks.
	LockName func(ctx context.Context, tx *sql.Tx, name string) error
	// Clock is an expression for the time by the database's clock, in microseconds
	// since 1970, at the instant it is evaluated; empty where that is this machine's.
	Clock string
	// Bulk runs a statement for all of its rows, and says how many rows of the
	// table that changed. With a Returning, each is called for every row that came of it instead.
	Bulk func(ctx context.Context, tx *sql.Tx, s *Bulk, args []any, each func(*sql.Rows) error) (changed int, err error)
	// Notify makes the engines on this database look for what there is to do, once
	// tx is committed; nil where there is no engine but the caller's own.
	Notify func(ctx context.Context, tx *sql.Tx) error
	// Failed is told of every error that is the database's, and says what it is
	// in store's terms where there is one.
	Failed func(err error) error
	// Again says that a transaction which failed with err changed nothing, and may
	// get through when it runs again; nil where none does.
	Again func(err error) bool
}

// DB is a database. Its methods are those of storetest.Store but Close, and can
// be called at the same time.
type DB struct {
	write, read *sql.DB
	dialect     *Dialect
	words       *strings.Replacer
}

// New is a database whose schema is up to date. Transactions that write run on
// one pool of connections and all else on the other, which may be the same.
func New(write, read *sql.DB, d *Dialect) *DB {
	return &DB{write, read, d, strings.NewReplacer("{outer}", d.Outer, "{instr}", d.Instr)}
}

// text is a statement in the database's dialect.
func (db *DB) text(statement string) string {
	if strings.Contains(statement, "{") {
		statement = db.words.Replace(statement)
	}
	if !db.dialect.Numbered {
		return statement
	}
	return Numbered(statement)
}

// session runs statements on a database, or in a transaction of one.
type session struct {
	db *DB
	on interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

func (s session) query(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	return s.on.QueryContext(ctx, s.db.text(statement), args...)
}

func (s session) row(ctx context.Context, statement string, args ...any) *sql.Row {
	return s.on.QueryRowContext(ctx, s.db.text(statement), args...)
}

func (s session) exec(ctx context.Context, statement string, args ...any) (sql.Result, error) {
	return s.on.ExecContext(ctx, s.db.text(statement), args...)
}

// now is the time by the database's clock.
func (s session) now(ctx context.Context) (t time.Time, err error) {
	if s.db.dialect.Clock == "" {
		return time.Now().UTC().Truncate(time.Microsecond), nil
	}
	err = s.row(ctx, "SELECT "+s.db.dialect.Clock).Scan(instant{&t})
	return t, err
}

// Now is the one clock by which slots are due: replicas need not agree on theirs.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	t, err := db.reading().now(ctx)
	return t, db.failed(ctx, "read the clock", err)
}

// reading is for what reads outside of transactions.
func (db *DB) reading() session { return session{db, db.read} }

// transaction is a session that writes, all or nothing.
type transaction struct {
	session
	tx *sql.Tx
}

// bulk runs s for the rows that args holds.
func (t transaction) bulk(ctx context.Context, s *Bulk, args []any, each func(*sql.Rows) error) (changed int, err error) {
	if len(args) == 0 {
		return 0, nil
	}
	return t.db.dialect.Bulk(ctx, t.tx, s, args, each)
}

// lock keeps other transactions that lock key waiting until t has ended.
func (t transaction) lock(ctx context.Context, key ident.Key) error {
	if !t.db.dialect.Locks {
		return nil
	}
	return t.db.dialect.LockName(ctx, t.tx, key.String())
}

// lockRows ends a SELECT that locks the rows it finds in a table until t has
// ended. References to the rows, which need their keys to stay, need not wait.
func (t transaction) lockRows(table string) string {
	if !t.db.dialect.Locks {
		return ""
	}
	return LockRows(table)
}

// LockRows is lockRows where there are locks.
func LockRows(table string) string { return " FOR NO KEY UPDATE OF " + table }

// takeRows is lockRows that leaves out rows which others have locked.
func (t transaction) takeRows(table string) string {
	if !t.db.dialect.Locks {
		return ""
	}
	return t.lockRows(table) + " SKIP LOCKED"
}

// endRows is takeRows for rows that are to be deleted: it leaves out those that
// others keep as well.
func (t transaction) endRows(table string) string {
	if !t.db.dialect.Locks {
		return ""
	}
	return " FOR UPDATE OF " + table + " SKIP LOCKED"
}

// haveRows is lockRows for which those wait as well who keep the rows.
func (t transaction) haveRows(table string) string {
	if !t.db.dialect.Locks {
		return ""
	}
	return " FOR UPDATE OF " + table
}

// keepRows ends a SELECT that keeps the rows it finds from being deleted until t has ended.
func (t transaction) keepRows(table string) string {
	if !t.db.dialect.Locks {
		return ""
	}
	return " FOR KEY SHARE OF " + table
}

// holdRows ends a SELECT that keeps the rows it finds from being changed until t has ended.
func (t transaction) holdRows(table string) string {
	if !t.db.dialect.Locks {
		return ""
	}
	return " FOR SHARE OF " + table
}

// notify has other engines look for what t gave them to do, so that they need
// not find it by polling. It is for what people do and for what is rare:
// transactions that notify commit one after the other.
func (t transaction) notify(ctx context.Context) error {
	if t.db.dialect.Notify == nil {
		return nil
	}
	return t.db.dialect.Notify(ctx, t.tx)
}

// maxAttempts is how often a transaction runs that others get in the way of.
const maxAttempts = 5

// update runs change in a transaction that writes. change may run again when
// the transaction was rolled back, and must not count on what it did before.
func (db *DB) update(ctx context.Context, operation string, change func(tx transaction) error) error {
	var err error
	for attempt := range maxAttempts {
		if attempt > 0 && !pause(ctx, attempt) {
			break
		}
		err = db.attempt(ctx, change)
		if err == nil || db.dialect.Again == nil || !db.dialect.Again(err) {
			break
		}
	}
	return db.failed(ctx, operation, err)
}

// pause waits a moment, not the same one as others who failed at the same time.
func pause(ctx context.Context, attempt int) bool {
	t := time.NewTimer(rand.N(time.Duration(attempt) * 20 * time.Millisecond)) //nolint:gosec // Nobody gains by guessing it.
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (db *DB) attempt(ctx context.Context, change func(tx transaction) error) error {
	// Rows that are read to be changed are locked. SQLite knows one level, the highest.
	tx, err := db.write.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	if err := change(transaction{session{db, tx}, tx}); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

// view runs read in a transaction that writes nothing.
func (db *DB) view(ctx context.Context, read func(tx transaction) error) error {
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	return errors.Join(read(transaction{session{db, tx}, tx}), rollback(tx))
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil // The end of the context got there first.
}

// failed says in which operation err came up, and in store's terms what it is.
func (db *DB) failed(ctx context.Context, operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // A database may know only that it was interrupted.
	case errors.Is(err, sql.ErrNoRows):
		err = store.ErrNotFound
	default:
		err = db.dialect.Failed(err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// Numbered is a statement with $1, $2 and so on in place of each ?. It is
// written anew each time: lists are too many to keep, and a microsecond is
// little beside what a statement takes on its way to a server.
func Numbered(statement string) string {
	var b strings.Builder
	b.Grow(len(statement) + 32)
	for n := 1; ; n++ {
		before, after, found := strings.Cut(statement, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		fmt.Fprintf(&b, "$%d", n)
		statement = after
	}
}
