package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tminus.dev/internal/store"
)

// Beat renews a session, or begins one.
func (db *DB) Beat(ctx context.Context, session int64, now time.Time, lease time.Duration) (b store.Beat, err error) {
	err = db.update(ctx, "renew session", func(tx transaction) (err error) {
		b = store.Beat{Session: session}
		if b.Session, err = renew(ctx, tx, session, now, lease); err != nil {
			return err
		}
		if b.Since, err = awake(ctx, tx, now); err != nil {
			return err
		}
		if b.Released, err = bury(ctx, tx, now, lease); err != nil {
			return err
		}
		return tx.row(ctx, `SELECT count(*) FROM sessions`).Scan(&b.Replicas)
	})
	return b, err
}

func renew(ctx context.Context, tx transaction, session int64, now time.Time, lease time.Duration) (int64, error) {
	expires := micros(now.Add(lease))
	if session != 0 {
		r, err := tx.exec(ctx, `UPDATE sessions SET expires_at = ? WHERE id = ? AND expires_at > ?`, expires, session, micros(now))
		if err != nil {
			return 0, err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return session, err
		}
	}
	err := tx.row(ctx, `INSERT INTO sessions (started_at, expires_at) VALUES (?, ?) RETURNING id`, micros(now), expires).Scan(&session)
	return session, err
}

// outage is how long nobody may have given a sign of life before the slots of
// that time count as missed. A quick restart is none, nor is a slow disk.
const outage = time.Minute

// awake records that somebody can fire at now. A clock that was set back must
// not make slots of the future missed ones.
func awake(ctx context.Context, tx transaction, now time.Time) (since time.Time, err error) {
	t := micros(now)
	err = tx.row(ctx, `UPDATE engine SET since = CASE WHEN ? - awake_at > ? OR since > ? THEN ? ELSE since END, awake_at = ? RETURNING since`,
		t, outage.Microseconds(), t, t, t).Scan(instant{&since})
	return since, err
}

// watch is who keeps time on a database, and since when what comes due is seen.
type watch struct {
	keeper store.Keeper
	// Somebody has been able to launch since the one, and did so last at the other.
	since, awake time.Time
	// And to take messages.
	readSince, read time.Time
}

func watching(ctx context.Context, tx transaction) (w watch, err error) {
	err = tx.row(ctx, `SELECT keeper, since, awake_at, read_since, read_at FROM engine`).
		Scan(&w.keeper, instant{&w.since}, instant{&w.awake}, instant{&w.readSince}, instant{&w.read})
	if err != nil {
		err = fmt.Errorf("read since when it fires: %w", err)
	}
	return w, err
}

// unbroken is since, or now where the last sign of life is too long ago.
func unbroken(since, last, now time.Time) time.Time {
	if now.Sub(last) > outage {
		return now
	}
	return since
}

// from is the instant from which somebody has been able to fire without a break.
func (w watch) from(now time.Time) time.Time {
	since := unbroken(w.since, w.awake, now)
	if w.keeper == store.KeeperAWS {
		since = later(since, unbroken(w.readSince, w.read, now))
	}
	return since
}

// by is an error, store.ErrKept, where another than keeper keeps time by now: whoever
// was stopped while others took over must not go on as if nothing had happened.
func (w watch) by(keeper store.Keeper) error {
	if w.keeper != keeper {
		return fmt.Errorf("%w: %s; start this tminus again, with the scheme that the others have", store.ErrKept, w.keeper)
	}
	return nil
}

// sinceWhen is the instant from which somebody has been able to fire without a break.
func sinceWhen(ctx context.Context, tx transaction, now time.Time) (since time.Time, err error) {
	w, err := watching(ctx, tx)
	return w.from(now), err
}

// keptSince is sinceWhen for those who fire what a keeper keeps the time of.
func keptSince(ctx context.Context, tx transaction, keeper store.Keeper, now time.Time) (since time.Time, err error) {
	w, err := watching(ctx, tx)
	if err == nil {
		err = w.by(keeper)
	}
	return w.from(now), err
}

// Attend records that messages can be taken at now.
func (db *DB) Attend(ctx context.Context, now time.Time) error {
	t := micros(now)
	return db.update(ctx, "record that messages are taken", func(tx transaction) error {
		w, err := watching(ctx, tx)
		if err == nil {
			err = w.by(store.KeeperAWS)
		}
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE engine SET
				read_since = CASE WHEN ? - read_at > ? OR read_since > ? THEN ? ELSE read_since END, read_at = ?`,
			t, outage.Microseconds(), t, t, t)
		return err
	})
}

// bury ends the sessions that are over and releases what they had claimed. One
// that ends far in the future is from before the clock was set back.
func bury(ctx context.Context, tx transaction, now time.Time, lease time.Duration) (released int, err error) {
	over, err := collect(ctx, tx.session, scanID, `SELECT id FROM sessions WHERE expires_at <= ? OR expires_at > ?`+tx.endRows("sessions"),
		micros(now), micros(now.Add(farOff*lease)))
	if err != nil {
		return 0, err
	}
	for _, id := range over {
		n, err := release(ctx, tx, id)
		if err != nil {
			return 0, err
		}
		released += n
	}
	return released, nil
}

// farOff is how many leases ahead no session ends, as replicas may have different ones.
const farOff = 100

func scanID(rows *sql.Rows) (id int64, err error) {
	err = rows.Scan(&id)
	return id, err
}

const releaseFirings = `UPDATE firings SET owner = 0 WHERE outcome = 0 AND owner <> 0 AND owner = ?`

// release ends a session first: that waits for those who claim for it, whose
// claims are then there to be released.
func release(ctx context.Context, tx transaction, session int64) (int, error) {
	if _, err := tx.exec(ctx, `DELETE FROM sessions WHERE id = ?`, session); err != nil {
		return 0, fmt.Errorf("end session: %w", err)
	}
	r, err := tx.exec(ctx, releaseFirings, session)
	if err != nil {
		return 0, fmt.Errorf("release firings: %w", err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// Leave ends a session and releases what it had claimed.
func (db *DB) Leave(ctx context.Context, session int64) error {
	return db.update(ctx, "end session", func(tx transaction) error {
		_, err := release(ctx, tx, session)
		return err
	})
}

// alive makes sure that a session is not over, and stays so until tx has ended.
func alive(ctx context.Context, tx transaction, session int64, now time.Time) error {
	var id int64
	err := tx.row(ctx, `SELECT id FROM sessions WHERE id = ? AND expires_at > ?`+tx.keepRows("sessions"), session, micros(now)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrGone
	}
	return err
}
