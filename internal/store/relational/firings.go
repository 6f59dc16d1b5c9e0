package relational

import (
	"context"
	"database/sql"
	"fmt"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var outcomeValues = map[string]any{
	"pending": int64(0), "launched": int64(1), "skipped": int64(2), "missed": int64(3), "dead": int64(4),
}

var kindValues = map[string]any{
	"scheduled": int64(0), "catch-up": int64(1), "backfill": int64(2), "manual": int64(3),
}

var firingEntity = entity{
	noun: "firings", prefix: "firing",
	columns: "f.slot, f.schedule_id, p.project, p.domain, p.name, p.version, f.outcome, f.kind, f.queue, f.owner, f.tried, f.attempt_at, f.deadline," +
		" f.recorded_at, f.settled_at, f.last, f.count, f.attempts, f.relaunches, f.overlap, f.max_running, f.buffer, f.reason, f.stopped",
	// CROSS keeps firings the outer loop, in the order of its key.
	from: "firings f {outer} JOIN launch_plans p ON p.id = f.plan_id",
	fields: map[string]field{
		"project":     {column: "p.project"},
		"domain":      {column: "p.domain"},
		"name":        {column: "p.name"},
		"version":     {column: "p.version"},
		"outcome":     {column: "f.outcome", kind: enum, values: outcomeValues},
		"reason":      {column: "f.reason"},
		"kind":        {column: "f.kind", kind: enum, values: kindValues},
		"priority":    {column: "(2147483647 - f.queue % 4294967296)", kind: integer},
		"attempts":    {column: "f.attempts", kind: integer},
		"slot":        {column: "f.slot", kind: instants},
		"last":        {column: "f.last", kind: instants, optional: true}, // of ranges alone
		"attempt_at":  {column: "f.attempt_at", kind: instants, optional: true},
		"recorded_at": {column: "f.recorded_at", kind: instants},
		"settled_at":  {column: "f.settled_at", kind: instants, optional: true},
	},
	order: "f.slot DESC, f.schedule_id DESC", tie: []string{"f.slot", "f.schedule_id"},
}

func scanFiring(rows *sql.Rows) (f schedule.Firing, err error) {
	var outcome, kind int
	var queue int64
	err = rows.Scan(instant{&f.Slot}, &f.ScheduleID, &f.LaunchPlan.Project, &f.LaunchPlan.Domain, &f.LaunchPlan.Name, &f.LaunchPlan.Version,
		&outcome, &kind, &queue, &f.Owner, &f.Tried, instant{&f.AttemptAt}, instant{&f.Deadline}, instant{&f.RecordedAt}, instant{&f.SettledAt},
		instant{&f.Last}, &f.Count, &f.Attempts, &f.Relaunches, &f.Overlap, &f.MaxRunning, &f.Buffer, &f.Reason, &f.Stopped)
	if err != nil {
		return f, err
	}
	if f.Last.IsZero() {
		f.Last = f.Slot
	} else {
		f.Slot = f.Slot.Add(-rangeAfter)
	}
	f.Behind, f.Priority = queue >= behindQueues, priorityOf(queue)
	if outcome < 0 || outcome >= len(outcomes) || kind < 0 || kind >= len(kinds) {
		return f, fmt.Errorf("%d is no outcome, or %d no kind", outcome, kind)
	}
	f.Outcome, f.Kind = outcomes[outcome], kinds[kind]
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
			"f.schedule_id = " + scheduleID,
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
