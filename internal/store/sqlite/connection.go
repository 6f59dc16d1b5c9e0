package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"modernc.org/sqlite"
)

// connector opens connections that keep their statements prepared: to prepare
// one takes longer than to run most of them.
type connector struct{ driver.Connector }

func newConnector(dataSource string) (driver.Connector, error) {
	c, err := sqlite.NewConnector(dataSource)
	if err != nil {
		return nil, err
	}
	return connector{c}, nil
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := opened.(driverConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T lacks methods of a connection", opened), opened.Close())
	}
	// Its only error is a size of 0. One that is put out has no rows open: a
	// transaction reads those of one statement before it runs another.
	kept, err := simplelru.NewLRU(keptStatements, func(_ string, s *statement) { _ = s.Close() })
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &connection{driverConn: conn, kept: kept}, nil
}

// keptStatements is how many statements a connection keeps. Those that the
// engine runs all the time are some thirty; of what people list there is no end.
const keptStatements = 100

// longest is the length of the longest statement that is kept. Longer ones have
// lists, and hardly ever come a second time.
const longest = 8 << 10

// driverConn is what a connection of the driver can do.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// statement is one of the driver, prepared.
type statement struct {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type connection struct {
	driverConn
	kept *simplelru.LRU[string, *statement]
}

// prepare prepares a query, once as long as it is kept.
func (c *connection) prepare(ctx context.Context, query string) (*statement, error) {
	if s, ok := c.kept.Get(query); ok {
		return s, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	exec, ok := prepared.(driver.StmtExecContext)
	ask, also := prepared.(driver.StmtQueryContext)
	if !ok || !also {
		return nil, errors.Join(fmt.Errorf("%T lacks methods of a statement", prepared), prepared.Close())
	}
	s := &statement{prepared, exec, ask}
	c.kept.Add(query, s)
	return s, nil
}

// ExecContext implements driver.ExecerContext.
func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(query) > longest {
		return c.driverConn.ExecContext(ctx, query, args)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(query) > longest {
		return c.driverConn.QueryContext(ctx, query, args)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args)
}

// Close implements driver.Conn.
func (c *connection) Close() error {
	c.kept.Purge()
	return c.driverConn.Close()
}
