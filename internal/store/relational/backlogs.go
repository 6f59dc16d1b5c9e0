package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var backlogEntity = entity{
	noun: "backlogs", prefix: "backlog",
	columns: "b.id, b.schedule_id, p.project, p.domain, p.name, p.version, b.kind, b.first, b.last, b.cursor, b.newest_first, b.per_minute," +
		" b.include, b.by_whom, b.note, b.created_at, b.ended_at, b.ended, b.recorded," +
		" b.plan_id, b.expression, b.policy, b.anchor, s.project_id",
	from: "backlogs b {outer} JOIN launch_plans p ON p.id = b.plan_id {outer} JOIN schedules s ON s.id = b.schedule_id",
	fields: map[string]field{
		"id":         {column: "b.id", kind: integer},
		"project":    {column: "p.project"},
		"domain":     {column: "p.domain"},
		"name":       {column: "p.name"},
		"kind":       {column: "b.kind", kind: enum, values: kindValues},
		"ended":      {column: "b.ended"},
		"created_at": {column: "b.created_at", kind: instants},
		"ended_at":   {column: "b.ended_at", kind: instants, optional: true},
	},
	order: "b.id DESC", tie: []string{"b.id"},
}

var (
	selectDueBacklogs = "SELECT " + backlogEntity.columns + " FROM " + backlogEntity.from + " WHERE b.next_at <= ? ORDER BY b.next_at, b.id LIMIT ?"
	selectBacklogsOf  = "SELECT " + backlogEntity.columns + " FROM " + backlogEntity.from + " WHERE b.schedule_id = ? AND b.next_at IS NOT NULL ORDER BY b.id"
)

// backlogRow is a backlog with the schedule as it was when it began.
type backlogRow struct {
	store.Backlog
	schedule scheduleRow
}

func scanBacklog(rows *sql.Rows) (b backlogRow, err error) {
	var kind int
	var include, policy string
	id, s := &b.LaunchPlan, &b.schedule
	err = rows.Scan(&b.ID, &b.ScheduleID, &id.Project, &id.Domain, &id.Name, &id.Version, &kind, instant{&b.First}, instant{&b.Last},
		instant{&b.Cursor}, &b.NewestFirst, &b.PerMinute, &include, &b.By, &b.Note, instant{&b.CreatedAt}, instant{&b.EndedAt}, &b.Ended, &b.Recorded,
		&s.plan, &s.Spec.Expression, &policy, instant{&s.Anchor}, &s.project)
	if err == nil && (kind < 0 || kind >= len(kinds)) {
		err = fmt.Errorf("%d is no kind", kind)
	}
	if err != nil {
		return b, err
	}
	b.Kind = kinds[kind]
	for o := range strings.FieldsSeq(include) {
		b.Include = append(b.Include, schedule.Outcome(o))
	}
	s.ID, s.LaunchPlan = b.ScheduleID, b.LaunchPlan
	s.decode(policy)
	return b, nil
}

// rest is what of b is not recorded yet.
func (b backlogRow) rest() schedule.Backlog {
	return schedule.Backlog{First: b.First, Last: b.Last, Cursor: b.Cursor, NewestFirst: b.NewestFirst, Kind: b.Kind}
}

var insertBacklogs = &Bulk{
	Columns: slices.Concat(
		columns(Int, "schedule_id, plan_id, kind, first, last, newest_first, per_minute, anchor, created_at"),
		columns(Text, "include, expression, policy, by_whom, note")),
	Returning: true,
	text: `INSERT INTO backlogs (schedule_id, plan_id, kind, first, last, newest_first, per_minute, anchor, created_at,
		include, expression, policy, by_whom, note, next_at, ended, recorded)
		SELECT v.*, v.created_at, '', 0 FROM v WHERE true RETURNING id`,
}

// backlogArgs appends the row of a backlog whose slots are those of s, in the
// order of insertBacklogs.
func backlogArgs(args []any, s *scheduleRow, b *store.Backlog) ([]any, error) {
	policy, err := encode(s.Spec.Policy)
	if err != nil {
		return nil, err
	}
	kind, err := kindCode(b.Kind)
	if err != nil {
		return nil, err
	}
	include := make([]string, len(b.Include))
	for i, o := range b.Include {
		include[i] = string(o)
	}
	return append(args, s.ID, s.plan, kind, micros(b.First), micros(b.Last), flag(b.NewestFirst), int64(b.PerMinute), micros(s.Anchor), micros(b.CreatedAt),
		strings.Join(include, " "), s.Spec.Expression, policy, b.By, b.Note), nil
}

// CreateBackfill opens a backfill of a launch plan's schedule.
func (db *DB) CreateBackfill(ctx context.Context, key ident.Key, b store.Backlog, c store.Change) (store.Backlog, error) {
	err := db.update(ctx, "backfill "+key.String(), func(tx transaction) error {
		s, err := activeSchedule(ctx, tx, key)
		if err != nil {
			return err
		}
		b.Kind, b.ScheduleID, b.LaunchPlan, b.By, b.Note, b.CreatedAt = schedule.KindBackfill, s.ID, s.LaunchPlan, c.By, c.Why, c.At
		b.EndedAt, b.Ended, b.Recorded, b.Launched, b.Failed = time.Time{}, "", 0, 0, 0
		args, err := backlogArgs(nil, &s, &b)
		if err != nil {
			return err
		}
		if _, err := tx.bulk(ctx, insertBacklogs, args, func(rows *sql.Rows) error { return rows.Scan(&b.ID) }); err != nil {
			return err
		}
		return tx.notify(ctx)
	})
	return b, err
}

// Backlogs lists catch-ups and backfills, the newest first.
func (db *DB) Backlogs(ctx context.Context, q store.Query) ([]store.Backlog, error) {
	rows, err := list(ctx, db, &backlogEntity, q, scanBacklog)
	if err != nil {
		return nil, err
	}
	backlogs := make([]store.Backlog, len(rows))
	for i, r := range rows {
		kind, err := kindCode(r.Kind)
		if err != nil {
			return nil, err
		}
		if err := db.reading().row(ctx, `SELECT coalesce(sum(CASE WHEN outcome = 1 THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN outcome = 4 THEN 1 ELSE 0 END), 0)
			FROM firings WHERE schedule_id = ? AND slot BETWEEN ? AND ? AND kind = ?`, r.ScheduleID, micros(r.First), micros(r.Last), kind).
			Scan(&r.Launched, &r.Failed); err != nil {
			return nil, db.failed(ctx, "count launches", err)
		}
		backlogs[i] = r.Backlog
	}
	return backlogs, nil
}

// CancelBacklog ends a backlog where it is.
func (db *DB) CancelBacklog(ctx context.Context, id int64, c store.Change) (store.Backlog, error) {
	var b backlogRow
	err := db.update(ctx, fmt.Sprint("cancel backlog ", id), func(tx transaction) (err error) {
		if b, err = get(ctx, tx.session, &backlogEntity, scanBacklog, "b.id = ?"+tx.lockRows("b"), id); err != nil || b.Ended != "" {
			return err
		}
		return cancel(ctx, tx, &b, because("cancelled", c), c.At)
	})
	return b.Backlog, err
}

// cancel ends b. Slots that came due are skipped, but those recorded that another
// one is to launch as well; those that a backfill was to add have no outcome of their own.
func cancel(ctx context.Context, tx transaction, b *backlogRow, reason string, now time.Time) error {
	kind, err := kindCode(b.Kind)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE firings SET outcome = 2, reason = ?, settled_at = ?
		WHERE schedule_id = ? AND slot BETWEEN ? AND ? AND kind = ? AND outcome = 0 AND owner = 0 AND tried = 0
			AND NOT EXISTS (SELECT 1 FROM backlogs o WHERE o.schedule_id = firings.schedule_id AND o.next_at IS NOT NULL AND o.id <> ?
				AND firings.slot BETWEEN o.first AND o.last)`,
		reason, micros(now), b.ScheduleID, micros(b.First), micros(b.Last), kind, b.ID); err != nil {
		return fmt.Errorf("skip pending firings: %w", err)
	}
	if b.Kind == schedule.KindCatchUp {
		var first, last time.Time
		count := 0
		if err := b.schedule.planning(func() (err error) {
			first, last, count, err = b.rest().Left(b.schedule.Schedule)
			return err
		}); err == nil && count > 0 { // What cannot be planned has no slots that anybody could tell.
			if _, err := insert(ctx, tx, &b.schedule, []schedule.Firing{{
				Kind: schedule.KindCatchUp, Slot: first, Last: last, Count: count, Outcome: schedule.Skipped, Reason: reason, RecordedAt: now, SettledAt: now,
			}}); err != nil {
				return err
			}
		}
	}
	b.Ended, b.EndedAt = reason, now
	_, err = tx.exec(ctx, `UPDATE backlogs SET ended = ?, ended_at = ?, next_at = NULL WHERE id = ?`, reason, micros(now), b.ID)
	return err
}

// cancelCatchUp ends what a schedule that stops still has to catch up.
func cancelCatchUp(ctx context.Context, tx transaction, s *scheduleRow, reason string, now time.Time) error {
	open, err := collect(ctx, tx.session, scanBacklog, selectBacklogsOf+tx.lockRows("b"), s.ID)
	if err != nil {
		return fmt.Errorf("read backlogs: %w", err)
	}
	for i := range open {
		if err := cancel(ctx, tx, &open[i], reason, now); err != nil {
			return fmt.Errorf("cancel backlog: %w", err)
		}
	}
	return nil
}

// turn is about how many slots of a backlog are recorded before the next one has its turn.
const turn = 20

// Fill records the next slots of backlogs, about limit in all.
func (db *DB) Fill(ctx context.Context, session int64, now time.Time, limit, claim int) (filled store.Filled, err error) {
	err = db.update(ctx, "fill backlogs", func(tx transaction) error {
		filled = store.Filled{}
		if claim > 0 {
			if err := alive(ctx, tx, session, now); err != nil {
				return err
			}
		}
		open, err := collect(ctx, tx.session, scanBacklog, selectDueBacklogs+tx.takeRows("b"), micros(now), max(1, limit/turn))
		if err != nil {
			return err
		}
		part := max(1, limit/max(1, len(open)))
		all := make([]filledRow, 0, len(open))
		seen := make(map[firingKey]bool)
		var fresh []*schedule.Firing
		for i := range open {
			f, err := fill(ctx, tx, &open[i], now, part)
			if err != nil {
				return fmt.Errorf("backlog %d: %w", open[i].ID, err)
			}
			if open[i].Ended != "" {
				continue
			}
			// Of a slot that two backlogs share, the first has the firing.
			f.firings = slices.DeleteFunc(f.firings, func(f schedule.Firing) bool { return seen[keyOf(f)] })
			for j := range f.firings {
				seen[keyOf(f.firings[j])] = true
				fresh = append(fresh, &f.firings[j])
			}
			all = append(all, f)
		}
		if claim > 0 {
			filled.Launch = claimNew(fresh, session, claim)
		}
		inserted, err := recordFilled(ctx, tx, all, now)
		if err != nil {
			return err
		}
		filled.Launch = slices.DeleteFunc(filled.Launch, func(f schedule.Firing) bool { return !inserted[keyOf(f)] })
		for i := range all {
			filled.Recorded += all[i].recorded
		}
		return nil
	})
	if err != nil {
		return store.Filled{}, err
	}
	return filled, nil
}

// filledRow is a backlog with the next of its slots.
type filledRow struct {
	*backlogRow
	firings []schedule.Firing
	rest    schedule.Backlog
	done    bool
	pause   time.Duration // until it goes on
	// recorded are those of the slots that are to launch.
	recorded int
}

// fill plans the next slots of b, and those that are there already it makes
// pending again if they are to be. It ends b if it cannot be planned any more.
func fill(ctx context.Context, tx transaction, b *backlogRow, now time.Time, most int) (f filledRow, err error) {
	f.backlogRow = b
	if b.PerMinute > 0 {
		most = min(most, max(1, b.PerMinute/60))
		f.pause = time.Minute * time.Duration(most) / time.Duration(b.PerMinute)
	}
	if err := b.schedule.planning(func() (err error) {
		f.firings, f.rest, f.done, err = b.rest().Fill(b.schedule.Schedule, now, most)
		return err
	}); err != nil {
		return f, cancel(ctx, tx, b, err.Error(), now)
	}
	if b.Kind == schedule.KindBackfill {
		if f.recorded, err = reviveSome(ctx, tx, b, f.firings); err != nil {
			return f, err
		}
		f.firings, err = unskipped(ctx, tx, b, f.firings)
	}
	return f, err
}

var (
	fillFirings = &Bulk{
		Columns:   insertFirings.Columns,
		Returning: true,
		text:      insertFirings.text + ` RETURNING slot, schedule_id`,
	}
	moveBacklogs = &Bulk{
		Columns: slices.Concat(columns(Int, "id, cursor, recorded, next_at, ended_at"), columns(Text, "ended")),
		text: `UPDATE backlogs SET cursor = v.cursor, recorded = backlogs.recorded + v.recorded, next_at = v.next_at, ended_at = v.ended_at, ended = v.ended
			FROM v WHERE backlogs.id = v.id`,
	}
)

// recordFilled stores the firings of backlogs, as far as their slots have none,
// and how far the backlogs are. It says which firings it stored.
func recordFilled(ctx context.Context, tx transaction, filled []filledRow, now time.Time) (inserted map[firingKey]bool, err error) {
	var firings []any
	of := make(map[firingKey]*filledRow)
	for i := range filled {
		f := &filled[i]
		for j := range f.firings {
			of[keyOf(f.firings[j])] = f
			if firings, err = firingArgs(firings, &f.firings[j], &f.schedule); err != nil {
				return nil, err
			}
		}
	}
	inserted = make(map[firingKey]bool, len(of))
	_, err = tx.bulk(ctx, fillFirings, firings, func(rows *sql.Rows) error {
		key, err := scanKey(rows)
		if err == nil {
			of[key].recorded++
			inserted[key] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("record firings: %w", err)
	}
	var moves []any
	for i := range filled {
		f := &filled[i]
		next, ended, endedAt := optional(now.Add(f.pause)), "", any(nil)
		if f.done {
			next, ended, endedAt = nil, store.BacklogDone, micros(now)
		}
		moves = append(moves, f.ID, optional(f.rest.Cursor), int64(f.recorded), next, endedAt, ended)
	}
	if _, err := tx.bulk(ctx, moveBacklogs, moves, nil); err != nil {
		return nil, fmt.Errorf("move cursors: %w", err)
	}
	return inserted, nil
}

// unskipped leaves out the slots that a range of skipped ones stands for, unless
// the backfill includes those.
func unskipped(ctx context.Context, tx transaction, b *backlogRow, firings []schedule.Firing) ([]schedule.Firing, error) {
	if len(firings) == 0 || slices.Contains(b.Include, schedule.Skipped) {
		return firings, nil
	}
	from, to := firings[0].Slot, firings[len(firings)-1].Slot
	if b.NewestFirst {
		from, to = to, from
	}
	ranges, err := collect(ctx, tx.session, scanRange,
		`SELECT slot, last FROM firings WHERE schedule_id = ? AND slot <= ? AND last >= ? AND outcome = 2 AND outcome > 1`,
		b.ScheduleID, micros(to.Add(rangeAfter)), micros(from))
	if err != nil {
		return nil, fmt.Errorf("read skipped ranges: %w", err)
	}
	return slices.DeleteFunc(firings, func(f schedule.Firing) bool {
		return slices.ContainsFunc(ranges, func(r [2]time.Time) bool { return !f.Slot.Before(r[0]) && !f.Slot.After(r[1]) })
	}), nil
}

// scanRange reads the first and the last slot of a range.
func scanRange(rows *sql.Rows) (r [2]time.Time, err error) {
	err = rows.Scan(instant{&r[0]}, instant{&r[1]})
	r[0] = r[0].Add(-rangeAfter)
	return r, err
}

// reviveSome makes those of the slots pending again whose outcome the backfill
// includes, and says how many.
func reviveSome(ctx context.Context, tx transaction, b *backlogRow, firings []schedule.Firing) (int, error) {
	if len(b.Include) == 0 {
		return 0, nil
	}
	var bits int64
	for _, o := range b.Include {
		if i := slices.Index(outcomes, o); i > 1 {
			bits |= 1 << i
		}
	}
	args := make([]any, 0, len(reviveFirings.Columns)*len(firings))
	for i := range firings {
		var err error
		if args, err = reviveArgs(args, &firings[i], b.schedule.project, bits); err != nil {
			return 0, err
		}
	}
	n, err := tx.bulk(ctx, reviveFirings, args, nil)
	if err != nil {
		return 0, fmt.Errorf("launch slots again: %w", err)
	}
	return n, nil
}
