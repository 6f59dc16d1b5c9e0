package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// channel is where engines are told that there is something to do.
const channel = "tminus"

func notify(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_notify($1, '')`, channel)
	return err
}

// The pause after a connection that failed doubles from the first to the last of these.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Listen calls wake, which must not block, whenever some process on this
// database gave engines something to do, until ctx ends; then it returns nil. It
// keeps a connection of its own. While it has none, and through a pooler that
// gives every transaction another session, nobody is told: engines have to look
// by themselves now and then.
func (db *DB) Listen(ctx context.Context, wake func()) error {
	pause := firstPause
	for {
		listened := db.listen(ctx, wake)
		if listened {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// probe is how long a connection is trusted that has nothing to tell.
const probe = 30 * time.Second

// listen listens until its connection fails, and says whether there was one.
func (db *DB) listen(ctx context.Context, wake func()) (listened bool) {
	config := db.config.Copy()
	var heard bool
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { heard = true }
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.Close(end) // It has failed, or is not needed any more.
	}()
	if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
		return false
	}
	wake() // What there was to hear before was said to nobody.
	for {
		heard = false
		wait, cancel := context.WithTimeout(ctx, probe)
		err := c.PgConn().WaitForNotification(wait)
		cancel()
		switch {
		case heard:
			wake()
		case err == nil:
		case ctx.Err() != nil || c.IsClosed() || !pgconn.Timeout(err):
			return true
		default:
			answer, cancel := context.WithTimeout(ctx, unanswered)
			err := c.Ping(answer)
			cancel()
			if err != nil {
				return true
			}
		}
	}
}
