package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/store"
)

// alertColumns are those of alerts, in the order of putAlerts.
const alertColumns = "project, domain, name, kind, reason, end_reason, grp, slot, lateness, most, count, since, ended_at, end_slot, changed_at, told_at"

const selectAlerts = "SELECT " + alertColumns + " FROM alerts WHERE "

var (
	putAlerts = &Bulk{
		Columns: slices.Concat(
			columns(Text, "project, domain, name, kind, reason, end_reason, grp"),
			columns(Int, "slot, lateness, most, count, since, ended_at, end_slot, changed_at, told_at")),
		text: "INSERT INTO alerts (" + alertColumns + `) SELECT * FROM v WHERE true ON CONFLICT (project, domain, name, kind) DO UPDATE SET
			reason = excluded.reason, end_reason = excluded.end_reason, grp = excluded.grp, slot = excluded.slot,
			lateness = excluded.lateness, most = excluded.most, count = excluded.count, since = excluded.since,
			ended_at = excluded.ended_at, end_slot = excluded.end_slot, changed_at = excluded.changed_at, told_at = excluded.told_at`,
	}
	dropAlerts = &Bulk{
		Columns: columns(Text, "project, domain, name, kind"),
		text:    "DELETE FROM alerts WHERE (project, domain, name, kind) IN (SELECT project, domain, name, kind FROM v)",
	}
	insertMessages = &Bulk{
		Columns: slices.Concat(columns(Text, "id, channel"), columns(Int, "place, deadline, due_at"), columns(Bytes, "body")),
		text: `INSERT INTO alert_messages (id, channel, deadline, due_at, attempts, error, result, body)
			SELECT id, channel, deadline, due_at, 0, '', '', body FROM v ORDER BY place`,
	}
)

var alertEntity = entity{
	noun: "alerts", prefix: "alert", columns: alertColumns, from: "alerts",
	fields: map[string]field{
		"project":  {column: "project"},
		"domain":   {column: "domain"},
		"name":     {column: "name"},
		"kind":     {column: "kind"},
		"slot":     {column: "slot", kind: instants},
		"since":    {column: "since", kind: instants},
		"ended_at": {column: "ended_at", kind: instants, optional: true},
		"told_at":  {column: "told_at", kind: instants, optional: true},
	},
	order: "since DESC, project, domain, name, kind", tie: []string{"project", "domain", "name", "kind"},
}

// Alerts lists alerts, those that ended among them until people were told.
func (db *DB) Alerts(ctx context.Context, q store.Query) ([]store.Alert, error) {
	return list(ctx, db, &alertEntity, q, scanAlert)
}

func scanAlert(rows *sql.Rows) (a store.Alert, err error) {
	var lateness, most int64
	err = rows.Scan(&a.Schedule.Project, &a.Schedule.Domain, &a.Schedule.Name, &a.Kind, &a.Reason, &a.EndReason, &a.Group,
		instant{&a.Slot}, &lateness, &most, &a.Count, instant{&a.Since}, instant{&a.EndedAt}, instant{&a.EndSlot},
		instant{&a.ChangedAt}, instant{&a.ToldAt})
	a.Lateness, a.Limit = time.Duration(lateness)*time.Microsecond, time.Duration(most)*time.Microsecond
	return a, err
}

func keepAlerts(ctx context.Context, tx transaction, alerts []store.Alert) error {
	args := make([]any, 0, len(putAlerts.Columns)*len(alerts))
	for i := range alerts {
		a := &alerts[i]
		args = append(args, a.Schedule.Project, a.Schedule.Domain, a.Schedule.Name, string(a.Kind), a.Reason, a.EndReason, a.Group,
			micros(a.Slot), a.Lateness.Microseconds(), a.Limit.Microseconds(), int64(a.Count), micros(a.Since), optional(a.EndedAt),
			optional(a.EndSlot), micros(a.ChangedAt), optional(a.ToldAt))
	}
	_, err := tx.bulk(ctx, putAlerts, args, nil)
	return err
}

// appendAlertID appends what identifies an alert, as the columns of its key.
func appendAlertID(args []any, id store.AlertID) []any {
	return append(args, id.Schedule.Project, id.Schedule.Domain, id.Schedule.Name, string(id.Kind))
}

// OpenAlerts visits the alerts that last.
func (db *DB) OpenAlerts(ctx context.Context, each func(id store.AlertID, slot time.Time)) error {
	rows, err := db.reading().query(ctx, `SELECT project, domain, name, kind, slot FROM alerts WHERE ended_at IS NULL`)
	if err == nil {
		err = Each(rows, func(rows *sql.Rows) error {
			var id store.AlertID
			var slot time.Time
			err := rows.Scan(&id.Schedule.Project, &id.Schedule.Domain, &id.Schedule.Name, &id.Kind, instant{&slot})
			if err == nil {
				each(id, slot)
			}
			return err
		})
	}
	return db.failed(ctx, "read alerts", err)
}

// book locks what alerts are changed under, and reads the clock after that, so
// that the clock never goes back from one change to the next.
func book(ctx context.Context, tx transaction) (b store.AlertBook, err error) {
	if err := tx.row(ctx, `SELECT told_at FROM alert_book`+tx.lockRows("alert_book")).Scan(instant{&b.ToldAt}); err != nil {
		return b, err
	}
	b.Now, err = tx.now(ctx)
	return b, err
}

// AmendAlerts changes alerts as amend says.
func (db *DB) AmendAlerts(ctx context.Context, ids []store.AlertID, amend func(now time.Time, found []store.Alert) []store.Alert) error {
	if len(ids) == 0 {
		return nil
	}
	return db.update(ctx, "change alerts", func(tx transaction) error {
		b, err := book(ctx, tx)
		if err != nil {
			return err
		}
		var args []any
		for _, id := range ids {
			args = appendAlertID(args, id)
		}
		found, err := collect(ctx, tx.session, scanAlert, selectAlerts+"(project, domain, name, kind) IN (VALUES "+Values(len(ids), 4)+")", args...)
		if err != nil {
			return err
		}
		return keepAlerts(ctx, tx, amend(b.Now, found))
	})
}

const (
	selectUntold = selectAlerts + "(told_at IS NULL OR ended_at IS NOT NULL) ORDER BY changed_at LIMIT ?"
	selectTold   = selectAlerts + "ended_at IS NULL AND told_at <= ? ORDER BY changed_at LIMIT ?"
)

// AnnounceAlerts has announce decide what people are told.
func (db *DB) AnnounceAlerts(ctx context.Context, remind time.Duration, limit int, announce func(store.AlertBook) store.AlertChanges) error {
	return db.update(ctx, "announce alerts", func(tx transaction) error {
		b, err := book(ctx, tx)
		if err != nil {
			return err
		}
		if b.Alerts, err = collect(ctx, tx.session, scanAlert, selectUntold, limit); err != nil {
			return err
		}
		if remind > 0 {
			told, err := collect(ctx, tx.session, scanAlert, selectTold, micros(b.Now.Add(-remind)), limit)
			if err != nil {
				return err
			}
			b.Alerts = append(b.Alerts, told...)
			slices.SortStableFunc(b.Alerts, func(a, b store.Alert) int { return a.ChangedAt.Compare(b.ChangedAt) })
			b.Alerts = b.Alerts[:min(limit, len(b.Alerts))]
		}
		if b.Groups, err = groups(ctx, tx, b.Alerts); err != nil {
			return err
		}
		return publish(ctx, tx, b.Now, announce(b))
	})
}

// maxGroups is how many groups one statement counts.
const maxGroups = 500

// groups counts the members of the groups that alerts are in.
func groups(ctx context.Context, tx transaction, alerts []store.Alert) (map[string]int, error) {
	named := make(map[string]int)
	var names []any
	for _, a := range alerts {
		if _, known := named[a.Group]; a.Group != "" && !known {
			named[a.Group] = 0
			names = append(names, a.Group)
		}
	}
	for some := range slices.Chunk(names, maxGroups) {
		rows, err := tx.query(ctx, `SELECT grp, count(*) FROM alerts WHERE grp <> '' AND grp IN `+Values(1, len(some))+` GROUP BY grp`, some...)
		if err != nil {
			return nil, err
		}
		err = Each(rows, func(rows *sql.Rows) error {
			var name string
			var members int
			err := rows.Scan(&name, &members)
			named[name] = members
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return named, nil
}

// publish stores an announcement.
func publish(ctx context.Context, tx transaction, now time.Time, c store.AlertChanges) error {
	if len(c.Put)+len(c.Drop)+len(c.Messages) == 0 {
		return nil
	}
	if err := keepAlerts(ctx, tx, c.Put); err != nil {
		return err
	}
	var drop []any
	for _, id := range c.Drop {
		drop = appendAlertID(drop, id)
	}
	if _, err := tx.bulk(ctx, dropAlerts, drop, nil); err != nil {
		return err
	}
	var messages []any
	for i, m := range c.Messages {
		messages = append(messages, m.ID, m.Channel, int64(i), micros(m.Deadline), micros(now), m.Body)
	}
	if _, err := tx.bulk(ctx, insertMessages, messages, nil); err != nil {
		return fmt.Errorf("record messages: %w", err)
	}
	_, err := tx.exec(ctx, `UPDATE alert_book SET told_at = ?`, micros(now))
	return err
}

const selectOldestMessage = `SELECT id, deadline, due_at, attempts, body FROM alert_messages WHERE channel = ? AND result = '' ORDER BY seq LIMIT 1`

// ClaimAlertMessage gives the oldest message of a channel to its caller. Of
// those that find it free at once, the first to count its attempt has it.
func (db *DB) ClaimAlertMessage(ctx context.Context, channel string, lease time.Duration) (store.AlertClaim, error) {
	const operation = "claim a message"
	for {
		s := db.reading()
		var due time.Time
		var attempts int
		m := store.AlertMessage{Channel: channel}
		err := s.row(ctx, selectOldestMessage, channel).Scan(&m.ID, instant{&m.Deadline}, instant{&due}, &attempts, &m.Body)
		if errors.Is(err, sql.ErrNoRows) {
			return store.AlertClaim{}, nil
		}
		if err != nil {
			return store.AlertClaim{}, db.failed(ctx, operation, err)
		}
		now, err := s.now(ctx)
		if err != nil {
			return store.AlertClaim{}, db.failed(ctx, operation, err)
		}
		if due.After(now) {
			return store.AlertClaim{Wait: due.Sub(now)}, nil
		}
		claimed := false
		err = db.update(ctx, operation, func(tx transaction) error {
			r, err := tx.exec(ctx, `UPDATE alert_messages SET attempts = attempts + 1, due_at = ? WHERE id = ? AND attempts = ? AND result = ''`,
				micros(now.Add(lease)), m.ID, attempts)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			claimed = n > 0
			return err
		})
		if err != nil {
			return store.AlertClaim{}, err
		}
		if claimed {
			return store.AlertClaim{Message: m, Attempt: attempts + 1, Left: m.Deadline.Sub(now)}, nil
		}
	}
}

// SettleAlertMessage records how an attempt to send ended.
func (db *DB) SettleAlertMessage(ctx context.Context, r store.AlertReceipt) error {
	return db.update(ctx, "settle a message", func(tx transaction) error {
		now, err := tx.now(ctx)
		if err != nil {
			return err
		}
		result, settled := r.Result, now
		if result == store.AlertRetry {
			result, settled = "", time.Time{}
		}
		changed, err := tx.exec(ctx, `UPDATE alert_messages SET due_at = ?, error = ?, result = ?, settled_at = ?
			WHERE id = ? AND attempts = ? AND result = ''`,
			micros(now.Add(r.After)), r.Error, string(result), optional(settled), r.ID, r.Attempt)
		if err != nil {
			return err
		}
		if n, err := changed.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return store.ErrNotFound
	})
}

// deleteOldMessages deletes messages that were settled before an instant, and
// those that nobody sends: their channel is not configured any more.
const deleteOldMessages = `DELETE FROM alert_messages WHERE seq IN (
	SELECT seq FROM alert_messages WHERE coalesce(settled_at, deadline) < ? ORDER BY seq LIMIT ?)`
