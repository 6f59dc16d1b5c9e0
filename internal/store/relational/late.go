package relational

import (
	"context"
	"database/sql"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// maxWaiting bounds how many firings are looked at that wait for their first
// attempt, and how many that wait for another.
const maxWaiting = 50_000

// selectWaiting reads what a first attempt did not launch: it failed, or an earlier
// execution held it up. Each such firing has a reason, and few others have.
const selectWaiting = selectPending + ` WHERE f.outcome = 0 AND f.reason <> '' AND f.slot <= ? AND f.queue < ? ORDER BY f.slot, f.schedule_id LIMIT ?`

// Waiting visits live firings that should have been launched.
func (db *DB) Waiting(ctx context.Context, before time.Time, visit func(schedule.Firing) error) error {
	const operation = "read what waits"
	s := db.reading()
	queues, err := collect(ctx, s, scanQueue, selectQueues, 0, int64(behindQueues-1))
	if err != nil {
		return db.failed(ctx, operation, err)
	}
	left := maxWaiting
	for _, q := range queues {
		if left == 0 || q.first.After(before) {
			continue
		}
		n, err := waiting(ctx, s, visit, selectDueFirings, q.queue, micros(before), left)
		if err != nil {
			return db.failed(ctx, operation, err)
		}
		left -= n
	}
	_, err = waiting(ctx, s, visit, selectWaiting, micros(before), int64(behindQueues), maxWaiting)
	return db.failed(ctx, operation, err)
}

func waiting(ctx context.Context, s session, visit func(schedule.Firing) error, query string, args ...any) (n int, err error) {
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	err = Each(rows, func(rows *sql.Rows) error {
		n++
		f, err := scanPending(rows)
		if err != nil || f.Stopped != "" {
			return err
		}
		return visit(f)
	})
	return n, err
}

// Timings reads schedules that have a policy.
func (db *DB) Timings(ctx context.Context, ids []int64) (map[int64]schedule.Schedule, error) {
	if len(ids) == 0 {
		return map[int64]schedule.Schedule{}, nil
	}
	found, err := collect(ctx, db.reading(), scanListed, "SELECT "+scheduleEntity.columns+" FROM "+scheduleEntity.from+
		" WHERE s.policy <> '' AND s.id IN "+Values(1, len(ids)), arguments(ids)...)
	if err != nil {
		return nil, db.failed(ctx, "read schedules", err)
	}
	byID := make(map[int64]schedule.Schedule, len(found))
	for _, s := range found {
		byID[s.ID] = s
	}
	return byID, nil
}

// StoppedAlerts names the schedules of alerts that last which do not fire any more.
func (db *DB) StoppedAlerts(ctx context.Context) ([]ident.Key, error) {
	keys, err := collect(ctx, db.reading(), scanExecutionKey, `SELECT DISTINCT a.project, a.domain, a.name FROM alerts a
		JOIN schedule_names n ON n.project = a.project AND n.domain = a.domain AND n.name = a.name JOIN schedules s ON s.id = n.schedule_id
		WHERE a.ended_at IS NULL AND (s.active = 0 OR (s.paused <> '' AND s.paused_by <> 'tminus'))`)
	return keys, db.failed(ctx, "read alerts", err)
}
