package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A peer that has gone without a word is noticed after about so long, both when
// it is sent something and when it is waited for.
const (
	unanswered     = 5 * time.Second
	connectTimeout = 5 * time.Second
)

// parse reads a URL. What it says of a wrong one never has its password.
func parse(text string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, errors.New("the URL of the database cannot be read: use postgres://user:password@host:port/database, " +
			"with special characters in the password percent-encoded")
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		why := "use postgres://user:password@host:port/database"
		if inner := errors.Unwrap(err); inner != nil && !tells(inner.Error(), u) {
			why = inner.Error()
		}
		return nil, fmt.Errorf("the URL of the database cannot be read: %s", why)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.ValidateConnect == nil && !u.Query().Has("target_session_attrs") {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tminus"
	}
	config.DialFunc = (&net.Dialer{
		Timeout:         config.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: unanswered / 2, Interval: time.Second, Count: 3},
		Control:         boundUnacknowledged,
	}).DialContext
	// A pooler gives every transaction another session: nothing is prepared. The
	// types of arguments are those that they have in Go.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.StatementCacheCapacity, config.DescriptionCacheCapacity = 0, 0
	// A session that some Listen had before, through a pooler, is still told.
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
	return config, nil
}

// tells says that a text has something of u that is secret.
func tells(text string, u *url.URL) bool {
	password, _ := u.User.Password()
	for _, secret := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword")} {
		if secret != "" && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
			return true
		}
	}
	return false
}

// connector makes connections. What one of them learns of the server, that it
// stops or only reads by now, goes for all the others that there are.
type connector struct {
	config *pgx.ConnConfig
	answer time.Duration
	// era is counted up when connections that were made before are of no use any more.
	era atomic.Int64
}

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	era := c.era.Load()
	made, err := stdlib.GetConnector(*c.config).Connect(ctx)
	if err != nil {
		return nil, err
	}
	std, ok := made.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no connection of pgx", made), made.Close())
	}
	return &conn{Conn: std, of: c, era: era}, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return stdlib.GetDefaultDriver() }

// conn is a connection whose statements are answered in time or fail.
type conn struct {
	*stdlib.Conn

	of  *connector
	era int64
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return c.era == c.of.era.Load() && !c.Conn.Conn().IsClosed() }

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	ctx, cancel := context.WithTimeout(ctx, unanswered)
	defer cancel()
	return c.Conn.ResetSession(ctx)
}

// CheckNamedValue implements driver.NamedValueChecker.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if s, ok := v.Value.(string); ok {
		v.Value = clean(s)
	}
	return nil
}

// clean is a text as PostgreSQL takes it: UTF-8 without NUL. What tasks and
// their messages come to be need not be that.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// slack is what the server gets to say itself that a statement took too long.
const slack = 2 * time.Second

// inTransaction says that what was done on c is not committed yet.
func (c *conn) inTransaction() bool { return c.Conn.Conn().PgConn().TxStatus() != 'I' }

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	bounded, cancel := context.WithTimeout(ctx, c.of.answer+slack)
	defer cancel()
	r, err := c.Conn.ExecContext(bounded, query, args)
	return r, c.failed(ctx, bounded, err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	reading := !c.inTransaction()
	bounded, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(c.of.answer+slack, cancel)
	r, err := c.Conn.QueryContext(bounded, query, args)
	timer.Stop()
	if err != nil {
		defer cancel()
		err = c.failed(ctx, bounded, err)
		if reading && lost(err) {
			err = driver.ErrBadConn // It can be read once more, on another connection.
		}
		return nil, err
	}
	of, ok := r.(*stdlib.Rows)
	if !ok {
		cancel()
		return nil, errors.Join(fmt.Errorf("%T are no rows of pgx", r), r.Close())
	}
	return &rows{Rows: of, ctx: ctx, bounded: bounded, conn: c, timer: timer, cancel: cancel}, nil
}

// rows come in time, each of them.
type rows struct {
	*stdlib.Rows

	ctx     context.Context //nolint:containedctx // That of the query, which is read as long as there are rows.
	bounded context.Context //nolint:containedctx // Likewise, until the timer ends it.
	conn    *conn
	timer   *time.Timer
	cancel  context.CancelFunc
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	r.timer.Reset(r.conn.of.answer + slack)
	defer r.timer.Stop()
	err := r.Rows.Next(dest)
	if err == io.EOF { //nolint:errorlint // The end of the rows is exactly this; a connection that ends is more.
		return err
	}
	return r.conn.failed(r.ctx, r.bounded, err)
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	defer r.cancel()
	return r.Rows.Close()
}

// begin begins a transaction whose client may go silent for so many milliseconds.
// What is committed is to last, whatever the session, which may be a pooler's,
// was told by others; a synchronous_commit that promises more stays. The statements
// are written for nested loops over indexes, the only plan that SQLite has, too. It
// is the right one whatever the statistics say, which were made before a herd came
// due as a rule, and would have all that is pending read for each batch.
const begin = `begin isolation level read committed;
	set local statement_timeout = %[1]d; set local idle_in_transaction_session_timeout = %[1]d;
	set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_material = off;
	set local jit = off;
	select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'`

// BeginTx implements driver.ConnBeginTx. The server gives up on a transaction
// whose client has gone, so that others do not wait for its locks.
func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	bounded, cancel := context.WithTimeout(ctx, c.of.answer+slack)
	defer cancel()
	begun, err := c.Conn.Conn().BeginTx(bounded, pgx.TxOptions{BeginQuery: fmt.Sprintf(begin, c.of.answer.Milliseconds())})
	if err = c.failed(ctx, bounded, err); err != nil {
		if lost(err) {
			err = driver.ErrBadConn // Nothing is done yet, and another connection does as well.
		}
		return nil, err
	}
	return &tx{ctx: context.WithoutCancel(ctx), conn: c, begun: begun}, nil
}

// tx ends whatever becomes of the context that it began with: once the end is on
// its way, only the answer says what came of it.
type tx struct {
	ctx   context.Context //nolint:containedctx // driver.Tx takes none.
	conn  *conn
	begun pgx.Tx
}

// Commit implements driver.Tx.
func (t *tx) Commit() error {
	bounded, cancel := context.WithTimeout(t.ctx, t.conn.of.answer+slack)
	defer cancel()
	if err := t.conn.failed(t.ctx, bounded, t.begun.Commit(bounded)); err != nil {
		return &commitError{err}
	}
	return nil
}

// Rollback implements driver.Tx.
func (t *tx) Rollback() error {
	bounded, cancel := context.WithTimeout(t.ctx, unanswered)
	defer cancel()
	if err := t.conn.failed(t.ctx, bounded, t.begun.Rollback(bounded)); err != nil && !lost(err) {
		return err
	}
	return nil // The server rolls back what was on a connection that is lost.
}

// commitError is why it is not known whether a transaction was committed.
type commitError struct{ err error }

func (e *commitError) Error() string { return "commit: " + e.err.Error() }

func (e *commitError) Unwrap() error { return e.err }

// lostError is an error that ended a connection.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }

func (e *lostError) Unwrap() error { return e.err }

// lost says that err ended a connection.
func lost(err error) bool {
	_, ok := errors.AsType[*lostError](err)
	return ok || errors.Is(err, driver.ErrBadConn)
}

// failed is told of what came of something on c. Its answer knows what ended the
// connection; ctx is the caller's, and bounded that with the time for an answer.
func (c *conn) failed(ctx, bounded context.Context, err error) error {
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, driver.ErrBadConn):
		return err
	case bounded.Err() != nil:
		c.of.drop(c.era)
		// It was not the caller's context that ended.
		return fmt.Errorf("the database gave no answer within %s: %s", c.of.answer+slack, err.Error())
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); (ok && ends(e)) || (!ok && c.Conn.Conn().IsClosed()) {
		c.of.drop(c.era)
		return &lostError{err}
	}
	return err
}

// drop ends the connections that were made until now, unless that was done since era.
func (c *connector) drop(era int64) { c.era.CompareAndSwap(era, era+1) }
