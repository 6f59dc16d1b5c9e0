package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

const (
	selectSwept = `SELECT s.id, s.plan_id, s.project_id, s.project, s.domain, s.name, s.version, s.expression, s.policy, s.paused, s.paused_until,
		s.cursor, s.anchor, s.next_at, s.runs, s.active, s.problem, s.revision,
		(SELECT count(*) FROM firings f WHERE f.schedule_id = s.id AND f.slot > ? AND f.slot <= ?)
		FROM schedules s WHERE `
	sweptNext = selectSwept + "s.id > ? ORDER BY s.id LIMIT ?"
	sweptOne  = selectSwept + "s.id = ?"
)

// sweptRow is a schedule, and how many firings it has in the time that is
// checked. Its Next is as it is kept: the end of a pause, while there is one.
type sweptRow struct {
	scheduleRow
	firings int
}

func scanSwept(rows *sql.Rows) (s sweptRow, err error) {
	var policy string
	err = rows.Scan(&s.ID, &s.plan, &s.project, &s.LaunchPlan.Project, &s.LaunchPlan.Domain, &s.LaunchPlan.Name, &s.LaunchPlan.Version,
		&s.Spec.Expression, &policy, &s.Paused, instant{&s.PausedUntil}, instant{&s.Cursor}, instant{&s.Anchor}, instant{&s.Next}, &s.Runs, &s.Active,
		&s.Problem, &s.Revision, &s.firings)
	s.decode(policy)
	return s, err
}

// Sweep checks schedules without trusting what planning keeps of them: their
// place in the timer queue, and, from their revisions, whether each slot between
// since and now has an outcome.
func (db *DB) Sweep(ctx context.Context, after int64, since, now time.Time, limit int) (swept store.Swept, err error) {
	operation := "check schedules"
	until := now.Add(-sweepMargin)
	rows, err := collect(ctx, db.reading(), scanSwept, sweptNext, micros(since), micros(until), after, limit)
	if err != nil {
		return swept, db.failed(ctx, operation, err)
	}
	swept.Schedules = len(rows)
	if len(rows) == 0 {
		return swept, nil
	}
	if len(rows) == limit {
		swept.Last = rows[len(rows)-1].ID
	}
	revisions, err := db.revisionsOf(ctx, rows[0].ID, rows[len(rows)-1].ID)
	if err != nil {
		return swept, db.failed(ctx, operation, err)
	}
	calendars, err := db.calendarsOf(ctx, rows, until)
	if err != nil {
		return swept, db.failed(ctx, operation, err)
	}
	for i := range rows {
		row := &rows[i]
		if changed, err := db.remind(ctx, row, calendars, now, &swept); err != nil {
			return swept, err
		} else if changed {
			continue // It is checked the next time.
		}
		_, misplaced := place(&row.scheduleRow)
		known := revisions[row.ID]
		if misplaced == "" && (len(known) == 0 || expected(known, since, earlier(until, row.Cursor)) == row.firings) {
			continue
		}
		// It may be wrong; what a transaction sees decides.
		err := db.update(ctx, operation, func(tx transaction) error {
			return repair(ctx, tx, row.ID, revisions[row.ID], since, now, &swept)
		})
		if err != nil {
			return swept, err
		}
	}
	if swept.Last == 0 {
		orphans, err := db.orphans(ctx)
		if err != nil {
			return swept, err
		}
		belied, err := db.belied(ctx, since)
		if err != nil {
			return swept, err
		}
		swept.Repairs = slices.Concat(swept.Repairs, orphans, belied)
	}
	return swept, nil
}

// calendarsOf are the calendars that schedules exclude and that were put on before
// a time; those of none if they exclude none, as most do.
func (db *DB) calendarsOf(ctx context.Context, rows []sweptRow, before time.Time) (map[string]store.Calendar, error) {
	byName := make(map[string]store.Calendar)
	if !slices.ContainsFunc(rows, func(r sweptRow) bool { return r.Active && len(r.Spec.Policy.Calendars) > 0 }) {
		return byName, nil
	}
	all, err := collect(ctx, db.reading(), scanCalendar, "SELECT "+calendarEntity.columns+" FROM "+calendarEntity.from+" WHERE c.updated_at <= ?", micros(before))
	for _, c := range all {
		byName[c.Name] = c
	}
	return byName, err
}

// remind gives a schedule the days of its calendars that it has not, as the
// process ended which was to.
func (db *DB) remind(ctx context.Context, row *sweptRow, calendars map[string]store.Calendar, now time.Time, swept *store.Swept) (changed bool, err error) {
	if !row.Active {
		return false, nil
	}
	for _, had := range row.Spec.Policy.Calendars {
		if cal, ok := calendars[had.Name]; !ok || cal.Equal(had) {
			continue
		}
		reminded := false
		err := db.update(ctx, "check schedules", func(tx transaction) error {
			cal, err := get(ctx, tx.session, &calendarEntity, scanCalendar, "c.name = ?"+tx.holdRows("c"), had.Name)
			if err != nil {
				return err
			}
			since, err := sinceWhen(ctx, tx, now)
			if err != nil {
				return err
			}
			reminded, err = recalendar(ctx, tx, row.LaunchPlan.Key, cal, since, now)
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if reminded {
			changed = true
			swept.Repairs = append(swept.Repairs, store.Repair{LaunchPlan: row.LaunchPlan, Found: "it had not got the days of the calendar " + had.Name + " as they are now"})
		}
	}
	return changed, nil
}

// sweepMargin leaves alone what is being planned at this moment.
const sweepMargin = time.Minute

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// revisionsOf reads the revisions of schedules from one to another, oldest first.
func (db *DB) revisionsOf(ctx context.Context, from, to int64) (map[int64][]store.Revision, error) {
	all, err := collect(ctx, db.reading(), scanRevision, "SELECT "+revisionEntity.columns+" FROM "+revisionEntity.from+
		" WHERE r.schedule_id BETWEEN ? AND ? ORDER BY r.schedule_id, r.number", from, to)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64][]store.Revision)
	for _, r := range all {
		byID[r.ScheduleID] = append(byID[r.ScheduleID], r)
	}
	return byID, nil
}

// stretch is a time during which one revision decided which slots there are.
type stretch struct {
	store.Revision
	timetable schedule.Timetable
	from, to  time.Time // after the one, up to the other
}

// stretches are the times from since to until in which slots were owed. What is
// done to a schedule that was set aside leaves it there, unless it is planned anew.
func stretches(revisions []store.Revision, since, until time.Time) (all []stretch) {
	aside := false
	for i, r := range revisions {
		from, to := later(since, r.From), until
		if i+1 < len(revisions) {
			to = earlier(to, revisions[i+1].From)
		}
		switch {
		case r.Action == actionProblem:
			aside = true
		case r.Action == "activate", r.Action == "resume", strings.HasPrefix(r.Action, actionCalendar):
			aside = false
		}
		if !r.Active || aside || !from.Before(to) {
			continue
		}
		if timetable, err := r.Spec.Compile(r.Anchor); err == nil {
			all = append(all, stretch{r, timetable, from, to})
		}
	}
	return all
}

func expected(revisions []store.Revision, since, until time.Time) (slots int) {
	for _, s := range stretches(revisions, since, until) {
		slots += s.timetable.Count(s.from, s.to)
	}
	return slots
}

// maxRepairs bounds how many slots of one schedule a sweep looks at, and how many it repairs.
const (
	maxSlots   = 10_000
	maxRepairs = 100
)

// repair puts right what is wrong with one schedule.
func repair(ctx context.Context, tx transaction, id int64, revisions []store.Revision, since, now time.Time, swept *store.Swept) error {
	rows, err := collect(ctx, tx.session, scanSwept, sweptOne+tx.lockRows("s"), micros(since), micros(now), id)
	if err != nil || len(rows) == 0 {
		return err
	}
	s := &rows[0].scheduleRow
	if next, found := place(s); found != "" {
		if _, why := plan(s, s.Cursor, s.Cursor); why != nil {
			err = broken(ctx, tx, s, why, now)
		} else {
			_, err = tx.exec(ctx, `UPDATE schedules SET next_at = ? WHERE id = ?`, optional(next), s.ID)
		}
		if err != nil {
			return err
		}
		swept.Repairs = append(swept.Repairs, store.Repair{LaunchPlan: s.LaunchPlan, Found: found})
	}
	if len(revisions) < s.Revision {
		return nil // It was changed just now, and is checked the next time.
	}
	c, err := coverage(ctx, tx, s, since)
	if err != nil {
		return err
	}
	looked, repaired := 0, 0
	for _, st := range stretches(revisions, since, earlier(now.Add(-sweepMargin), s.Cursor)) {
		if st.Spec.Policy.MaxRuns > 0 && st.Number < s.Revision {
			st.to = c.planned(st.from, st.to)
		}
		for slot := st.timetable.Next(st.from); !slot.IsZero() && !slot.After(st.to); slot = st.timetable.Next(slot) {
			if looked++; looked > maxSlots || repaired == maxRepairs {
				return nil
			}
			if c.has(slot) {
				continue
			}
			found, err := amend(ctx, tx, *s, st.Revision, slot, now)
			if err != nil {
				return err
			}
			if found == "" {
				continue
			}
			repaired++
			swept.Repairs = append(swept.Repairs, store.Repair{LaunchPlan: s.LaunchPlan, Slot: slot, Found: found})
		}
	}
	return nil
}

// covered are the slots of a schedule that have an outcome, or will get one.
type covered struct {
	own   map[int64]bool
	spans []span
	// last are slots that planning came to.
	last []time.Time
}

// span is slots from the first to the last, both inclusive.
type span struct{ first, last time.Time }

func (c *covered) add(s span) { c.spans = append(c.spans, s) }

func (c *covered) has(slot time.Time) bool {
	return c.own[slot.Unix()] || slices.ContainsFunc(c.spans, func(s span) bool { return !slot.Before(s.first) && !slot.After(s.last) })
}

// planned is the last slot after from, and up to the other, that planning came
// to; from if there is none. After its last run a schedule is owed no slots, and
// no revision says when that was.
func (c *covered) planned(from, to time.Time) time.Time {
	last := from
	for _, slot := range c.last {
		if !slot.After(to) {
			last = later(last, slot)
		}
	}
	return last
}

// coverage reads what says which slots after since have an outcome, or will get one.
func coverage(ctx context.Context, tx transaction, s *scheduleRow, since time.Time) (*covered, error) {
	c := &covered{own: make(map[int64]bool)}
	const columns = "SELECT slot, schedule_id, last, kind FROM firings WHERE schedule_id = ? AND "
	scan := func(rows *sql.Rows) (struct{}, error) {
		var slot, last time.Time
		var id int64
		var kind int
		err := rows.Scan(instant{&slot}, &id, instant{&last}, &kind)
		if last.IsZero() {
			last = slot
			c.own[slot.Unix()] = true
		} else {
			c.add(span{slot.Add(-rangeAfter), last})
		}
		if kind < len(kinds) && (kinds[kind] == schedule.KindScheduled || kinds[kind] == schedule.KindCatchUp) {
			c.last = append(c.last, last)
		}
		return struct{}{}, err
	}
	// First: one that ends between the two has its firings there by then.
	open, err := collect(ctx, tx.session, scanBacklog, selectBacklogsOf, s.ID)
	if err != nil {
		return nil, err
	}
	for _, b := range open {
		c.add(span{b.First, b.Last})
	}
	if _, err := collect(ctx, tx.session, scan, columns+"slot > ? ORDER BY slot LIMIT ?", s.ID, micros(since), 2*maxSlots); err != nil {
		return nil, err
	}
	if _, err := collect(ctx, tx.session, scan, columns+"outcome > 1 AND last >= ?", s.ID, micros(since)); err != nil {
		return nil, err
	}
	return c, nil
}

// amend gives a slot an outcome that has none: it launches late where catch-up
// would have let it, and was missed otherwise.
func amend(ctx context.Context, tx transaction, s scheduleRow, r store.Revision, slot, now time.Time) (found string, err error) {
	s.Spec, s.LaunchPlan = r.Spec, r.LaunchPlan
	f := schedule.Found(s.Schedule, slot, now)
	if !s.Active || r.Paused != "" {
		f = schedule.Lost(s.Schedule, slot, now)
	}
	n, err := insert(ctx, tx, &s, []schedule.Firing{f})
	if err != nil || n == 0 {
		return "", err // It has one by now.
	}
	return fmt.Sprintf("slot %s had no outcome, and is %s now", slot.UTC().Format(time.RFC3339), f.Outcome), nil
}

// place is where an active schedule belongs in the timer queue, and what is
// wrong with where it is; empty when nothing is.
func place(s *scheduleRow) (next time.Time, found string) {
	if !s.Active || s.Problem != "" {
		return s.Next, ""
	}
	verb, what := "fire", "its next slot is "
	if s.Paused != "" {
		verb, what, next = "go on", "its pause ends at ", s.PausedUntil
	} else if planned, err := plan(s, s.Cursor, s.Cursor); err == nil {
		next = planned.Next
	} else if s.Next.IsZero() {
		return next, "it was not to fire again, and cannot be planned: " + err.Error()
	} else {
		return s.Next, "" // Whoever plans it says so.
	}
	switch {
	case next.Equal(s.Next):
		return next, ""
	case next.IsZero():
		return next, fmt.Sprintf("it was to %s at %s, and there is no such time", verb, s.Next.UTC().Format(time.RFC3339))
	case s.Next.IsZero():
		return next, fmt.Sprintf("it was not to %s again, and %s%s", verb, what, next.UTC().Format(time.RFC3339))
	default:
		return next, fmt.Sprintf("it was to %s at %s, and %s%s", verb, s.Next.UTC().Format(time.RFC3339), what, next.UTC().Format(time.RFC3339))
	}
}

// selectOrphans says twice that there is an owner: once in the words of the index, once to enter it.
const selectOrphans = selectPending + ` WHERE f.outcome = 0 AND f.owner <> 0 AND f.owner > 0
	AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = f.owner)`

// orphans releases firings that are claimed by a session which is not there.
func (db *DB) orphans(ctx context.Context) (repairs []store.Repair, err error) {
	err = db.update(ctx, "release firings", func(tx transaction) error {
		repairs = nil
		firings, err := collect(ctx, tx.session, scanPending, selectOrphans)
		if err != nil {
			return err
		}
		for i := range firings {
			repairs = append(repairs, store.Repair{
				LaunchPlan: firings[i].LaunchPlan, Found: "slot " + firings[i].Slot.UTC().Format(time.RFC3339) + " was claimed by a session that is not there",
			})
		}
		_, err = settle(ctx, tx, firings)
		return err
	})
	return repairs, err
}

const selectGivenUp = `SELECT f.slot, f.schedule_id, p.project, p.domain, p.name, p.version, f.relaunches, f.settled_at
	FROM firings f {outer} JOIN launch_plans p ON p.id = f.plan_id
	WHERE f.outcome > 1 AND f.outcome IN (2, 4) AND f.tried = 1 AND (f.settled_at, f.slot, f.schedule_id) > (?, ?, ?)
	ORDER BY f.settled_at, f.slot, f.schedule_id LIMIT ?`

func scanGivenUp(rows *sql.Rows) (f schedule.Firing, err error) {
	id := &f.LaunchPlan
	err = rows.Scan(instant{&f.Slot}, &f.ScheduleID, &id.Project, &id.Domain, &id.Name, &id.Version, &f.Relaunches, instant{&f.SettledAt})
	f.Tried = true
	return f, err
}

// belied makes launched the firings that were given up after since while a launch
// of theirs was under way, which came through and whose engine did not live to
// record it.
func (db *DB) belied(ctx context.Context, since time.Time) (repairs []store.Repair, err error) {
	const operation = "look for launches of firings that were given up"
	last := schedule.Firing{SettledAt: since}
	for more := true; more; {
		some, err := collect(ctx, db.reading(), scanGivenUp, selectGivenUp, micros(last.SettledAt), micros(last.Slot), last.ScheduleID, maxPending)
		if err != nil {
			return repairs, db.failed(ctx, operation, err)
		}
		if more = len(some) == maxPending; more {
			last = some[len(some)-1]
		}
		there, err := launchedBefore(ctx, db.reading(), some)
		if err != nil {
			return repairs, db.failed(ctx, operation, err)
		}
		var launched []schedule.Firing
		for _, f := range some {
			if at, is := there[keyOf(f)]; is {
				f.Outcome, f.SettledAt = schedule.Launched, at
				launched = append(launched, f)
				repairs = append(repairs, store.Repair{
					LaunchPlan: f.LaunchPlan, Found: "slot " + f.Slot.UTC().Format(time.RFC3339) + " was given up, and has been launched all the same",
				})
			}
		}
		if len(launched) == 0 {
			continue
		}
		if err := db.update(ctx, operation, func(tx transaction) error {
			_, err := attest(ctx, tx, launched)
			return err
		}); err != nil {
			return repairs, err
		}
	}
	return repairs, nil
}

// change runs a statement, and says how many rows it changed.
func (db *DB) change(ctx context.Context, operation, statement string, args ...any) (changed int, err error) {
	err = db.update(ctx, operation, func(tx transaction) error {
		r, err := tx.exec(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		changed = int(n)
		return err
	})
	return changed, err
}

// Prune deletes settled firings, messages and executions that have ended, a few
// at a time. It looks for them outside of the transactions, in which nobody else
// writes on some databases, and goes past those that stay once.
func (db *DB) Prune(ctx context.Context, r store.Retention, limit int) (pruned store.Pruned, err error) {
	pruned.After = r.After
	looked := 0
	if !r.Firings.IsZero() {
		if looked, err = db.pruneFirings(ctx, r, limit, &pruned); err != nil {
			return pruned, err
		}
		letters, err := db.change(ctx, "delete old dead letters", deleteOldLetters, micros(r.Firings), limit)
		if err != nil {
			return pruned, err
		}
		pruned.More = looked == limit || letters == limit
	}
	if !r.Messages.IsZero() {
		if pruned.Messages, err = db.change(ctx, "delete old messages", deleteOldMessages, micros(r.Messages), limit); err != nil {
			return pruned, err
		}
		pruned.More = pruned.More || pruned.Messages == limit
	}
	if !r.Executions.IsZero() {
		if looked, err = db.pruneExecutions(ctx, r, limit, &pruned); err != nil {
			return pruned, err
		}
		pruned.More = pruned.More || looked == limit
	}
	return pruned, nil
}

func (db *DB) pruneFirings(ctx context.Context, r store.Retention, limit int, pruned *store.Pruned) (looked int, err error) {
	const operation = "delete old firings"
	old, err := collect(ctx, db.reading(), scanOldFiring, selectOldFirings,
		micros(r.Firings), micros(r.After.Slot), r.After.ScheduleID, micros(r.Firings), limit)
	if err != nil {
		return 0, db.failed(ctx, operation, err)
	}
	if len(old) == 0 {
		return 0, nil
	}
	last := old[len(old)-1]
	pruned.After.Slot, pruned.After.ScheduleID = last.slot, last.schedule
	if slices.ContainsFunc(old, func(f oldFiring) bool { return f.over }) {
		pruned.Firings, err = db.change(ctx, operation, deleteOldFirings,
			micros(r.After.Slot), r.After.ScheduleID, micros(last.slot), last.schedule, micros(r.Firings))
	}
	return len(old), err
}

func (db *DB) pruneExecutions(ctx context.Context, r store.Retention, limit int, pruned *store.Pruned) (looked int, err error) {
	const operation = "delete old executions"
	old, err := collect(ctx, db.reading(), scanOldExecution, selectOldExecutions,
		r.Keep, max(r.Keep-1, 0), micros(r.After.EndedAt), r.After.ExecutionID, micros(r.Executions), limit)
	if err != nil {
		return 0, db.failed(ctx, operation, err)
	}
	var ids []any
	for _, x := range old {
		pruned.After.EndedAt, pruned.After.ExecutionID = x.ended, x.id
		if !x.kept {
			ids = append(ids, x.id)
			pruned.Executions = append(pruned.Executions, store.Execution{Key: x.key})
		}
	}
	if len(ids) == 0 {
		return len(old), nil
	}
	return len(old), db.update(ctx, operation, func(tx transaction) error {
		for _, those := range []string{"task_executions WHERE execution_id", "node_executions WHERE execution_id", "executions WHERE id"} {
			if _, err := tx.exec(ctx, "DELETE FROM "+those+" IN "+Values(1, len(ids)), ids...); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	selectOldFirings = `SELECT slot, schedule_id, outcome <> 0 AND settled_at < ? FROM firings
		WHERE (slot, schedule_id) > (?, ?) AND slot < ? ORDER BY slot, schedule_id LIMIT ?`
	deleteOldFirings = `DELETE FROM firings
		WHERE (slot, schedule_id) > (?, ?) AND (slot, schedule_id) <= (?, ?) AND outcome <> 0 AND settled_at < ?`
)

const deleteOldLetters = `DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE received_at < ? ORDER BY received_at LIMIT ?)`

// oldFiring is one whose slot is old; it need not be over for that.
type oldFiring struct {
	slot     time.Time
	schedule int64
	over     bool
}

func scanOldFiring(rows *sql.Rows) (f oldFiring, err error) {
	err = rows.Scan(instant{&f.slot}, &f.schedule, &f.over)
	return f, err
}

// selectOldExecutions says of each whether it is one of the latest of its launch
// plan, and counts no further than that takes.
const selectOldExecutions = `SELECT e.id, e.project, e.domain, e.name, e.ended_at,
	? > 0 AND NOT EXISTS (SELECT 1 FROM executions y WHERE y.project = e.project AND y.domain = e.domain AND y.launched_name = e.launched_name
		AND y.created_at > e.created_at ORDER BY y.created_at LIMIT 1 OFFSET ?)
	FROM executions e WHERE e.open = 0 AND (e.ended_at, e.id) > (?, ?) AND e.ended_at < ? ORDER BY e.ended_at, e.id LIMIT ?`

type oldExecution struct {
	id    int64
	key   ident.Key
	ended time.Time
	kept  bool
}

func scanOldExecution(rows *sql.Rows) (x oldExecution, err error) {
	err = rows.Scan(&x.id, &x.key.Project, &x.key.Domain, &x.key.Name, instant{&x.ended}, &x.kept)
	return x, err
}
