package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var outcomeValues = map[string]any{
	"pending": int64(0), "launched": int64(1), "skipped": int64(2), "missed": int64(3), "dead": int64(4),
}

var firingEntity = entity{
	noun: "firings", prefix: "firing",
	columns: "f.slot, f.schedule_id, p.project, p.domain, p.name, p.version, f.outcome, f.priority, f.attempt_at, f.deadline," +
		" f.recorded_at, f.settled_at, f.last, f.count, f.attempts, f.overlap, f.max_running, f.reason",
	// CROSS keeps firings the outer loop, in the order of its key.
	from: "firings f {outer} JOIN launch_plans p ON p.id = f.plan_id",
	fields: map[string]field{
		"project":     {column: "p.project"},
		"domain":      {column: "p.domain"},
		"name":        {column: "p.name"},
		"version":     {column: "p.version"},
		"outcome":     {column: "f.outcome", kind: enum, values: outcomeValues},
		"reason":      {column: "f.reason"},
		"priority":    {column: "f.priority", kind: integer},
		"attempts":    {column: "f.attempts", kind: integer},
		"slot":        {column: "f.slot", kind: instants},
		"attempt_at":  {column: "f.attempt_at", kind: instants, optional: true},
		"recorded_at": {column: "f.recorded_at", kind: instants},
		"settled_at":  {column: "f.settled_at", kind: instants, optional: true},
	},
	order: "f.slot DESC, f.schedule_id DESC", tie: []string{"f.slot", "f.schedule_id"},
}

func scanFiring(rows *sql.Rows) (f schedule.Firing, err error) {
	var outcome int
	err = rows.Scan(instant{&f.Slot}, &f.ScheduleID, &f.LaunchPlan.Project, &f.LaunchPlan.Domain, &f.LaunchPlan.Name, &f.LaunchPlan.Version,
		&outcome, &f.Priority, instant{&f.AttemptAt}, instant{&f.Deadline}, instant{&f.RecordedAt}, instant{&f.SettledAt},
		instant{&f.Last}, &f.Count, &f.Attempts, &f.Overlap, &f.MaxRunning, &f.Reason)
	if err != nil {
		return f, err
	}
	if f.Last.IsZero() {
		f.Last = f.Slot
	}
	if outcome < 0 || outcome >= len(outcomes) {
		return f, fmt.Errorf("%d is no outcome", outcome)
	}
	f.Outcome = outcomes[outcome]
	return f, nil
}

// Firings lists firings, by default the newest slot first.
func (db *DB) Firings(ctx context.Context, q store.Query) ([]schedule.Firing, error) {
	q, scope := narrowed(q)
	return list(ctx, db, &firingEntity, q, scanFiring, scope...)
}

// narrowed puts what q asks for into conditions that lead to the indexes, and
// returns what is left of q.
func narrowed(q store.Query) (store.Query, []condition) {
	scope := indexed(q.Filters)
	if q.Project != "" && q.Domain != "" && q.Name != "" {
		// One launch plan's firings are found by its schedule, in the order of an index.
		scope = append(scope, condition{
			"f.schedule_id = (SELECT id FROM schedules WHERE project = ? AND domain = ? AND name = ?)",
			[]any{q.Project, q.Domain, q.Name},
		})
		q.Project, q.Domain, q.Name = "", "", ""
	}
	return q, scope
}

// indexed repeats what filters say of the outcome in the words of the partial
// indexes, which cannot see the values of parameters.
func indexed(filters []store.Filter) []condition {
	for _, f := range filters {
		known, err := firingEntity.field(f.Field)
		if err != nil || known.column != "f.outcome" || (f.Op != store.Eq && f.Op != store.ValueIn) {
			continue
		}
		least, most := int64(len(outcomes)), int64(0)
		for _, v := range f.Values {
			code, ok := known.values[v].(int64)
			if !ok {
				return nil
			}
			least, most = min(least, code), max(most, code)
		}
		switch {
		case most == 0:
			return []condition{{sql: "f.outcome = 0"}}
		case least > 1:
			return []condition{{sql: "f.outcome > 1"}}
		}
	}
	return nil
}

const selectPriority = `SELECT max(priority) FROM firings WHERE outcome = 0 AND priority < ?`

// selectPending reads what a pending firing has. Every column costs a million
// rows a noticeable part of a second.
const selectPending = `SELECT f.slot, f.schedule_id, p.project, p.domain, p.name, p.version, f.attempt_at, f.deadline, f.recorded_at,
	f.attempts, f.overlap, f.max_running, f.reason
	FROM firings f {outer} JOIN launch_plans p ON p.id = f.plan_id
	WHERE f.outcome = 0 AND f.priority = ? AND f.attempt_at <= ? ORDER BY f.attempt_at, f.slot, f.schedule_id LIMIT ?`

func scanPending(rows *sql.Rows) (f schedule.Firing, err error) {
	err = rows.Scan(instant{&f.Slot}, &f.ScheduleID, &f.LaunchPlan.Project, &f.LaunchPlan.Domain, &f.LaunchPlan.Name, &f.LaunchPlan.Version,
		instant{&f.AttemptAt}, instant{&f.Deadline}, instant{&f.RecordedAt}, &f.Attempts, &f.Overlap, &f.MaxRunning, &f.Reason)
	f.Outcome, f.Last, f.Count = schedule.Pending, f.Slot, 1
	return f, err
}

// Due lists pending firings that are to be launched by now.
func (db *DB) Due(ctx context.Context, now time.Time, limit int) ([]schedule.Firing, error) {
	firings, err := db.due(ctx, now, limit)
	return firings, db.failed(ctx, "list due firings", err)
}

// due goes from one priority to the next lower one, so that firings which wait
// for a later attempt under a high priority are passed over in one step.
func (db *DB) due(ctx context.Context, now time.Time, limit int) (firings []schedule.Firing, err error) {
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rollback(tx)) }()
	s := session{db, tx}
	for above := int64(math.MaxInt64); len(firings) < limit; {
		var priority sql.NullInt64
		if err := s.row(ctx, selectPriority, above).Scan(&priority); err != nil {
			return nil, err
		}
		if !priority.Valid {
			break
		}
		above = priority.Int64
		some, err := collect(ctx, s, scanPending, selectPending, above, micros(now), limit-len(firings))
		if err != nil {
			return nil, err
		}
		for i := range some {
			some[i].Priority = int(above)
		}
		firings = append(firings, some...)
	}
	return firings, nil
}
