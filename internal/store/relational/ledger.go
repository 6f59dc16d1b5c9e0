package relational

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// selectDue reads what schedule.Plan looks at.
const selectDue = `SELECT id, plan_id, project_id, project, domain, name, version, expression, policy, paused, cursor, anchor, next_at, runs FROM schedules
	WHERE next_at <= ? ORDER BY next_at, priority DESC, id LIMIT ?`

func scanDue(rows *sql.Rows) (s scheduleRow, err error) {
	var policy string
	err = rows.Scan(&s.ID, &s.plan, &s.project, &s.LaunchPlan.Project, &s.LaunchPlan.Domain, &s.LaunchPlan.Name, &s.LaunchPlan.Version,
		&s.Spec.Expression, &policy, &s.Paused, instant{&s.Cursor}, instant{&s.Anchor}, instant{&s.Next}, &s.Runs)
	s.Active = true
	s.decode(policy)
	return s, err
}

// plannedRow is a schedule and what planning it came to.
type plannedRow struct {
	*scheduleRow
	planned schedule.Planned
	err     error
}

// maxBatch is about how many firings one Advance records. Schedules with many
// slots would make a transaction of a thousand each.
const maxBatch = 10_000

// Advance plans schedules that are due and records what that comes to. It takes
// fewer than limit, though more are due, when those it took have many slots.
func (db *DB) Advance(ctx context.Context, session int64, now time.Time, limit, claim int) (a store.Advanced, err error) {
	err = db.update(ctx, "advance schedules", func(tx transaction) error {
		a = store.Advanced{}
		if claim > 0 {
			if err := alive(ctx, tx, session, now); err != nil {
				return err
			}
		}
		since, err := keptSince(ctx, tx, store.KeeperLocal, now)
		if err != nil {
			return err
		}
		due, err := collect(ctx, tx.session, scanDue, selectDue+tx.takeRows("schedules"), micros(now), limit)
		if err != nil {
			return err
		}
		all := make([]plannedRow, 0, len(due))
		firings := 0
		for i := range due {
			a.Schedules++
			if due[i].Paused != "" {
				if err := resumeByItself(ctx, tx, &due[i], now); err != nil {
					return err
				}
				continue
			}
			if err := lookAhead(ctx, tx, &due[i]); err != nil {
				return err
			}
			p, err := plan(&due[i], now, since)
			all = append(all, plannedRow{&due[i], p, err})
			if firings += len(p.Firings); firings >= maxBatch {
				break
			}
		}
		if claim > 0 {
			a.Launch = claimNew(dueLive(all, now), session, claim)
		}
		inserted, err := record(ctx, tx, all, now)
		if err != nil {
			return err
		}
		if inserted < firings && len(a.Launch) > 0 {
			if a.Launch, err = owned(ctx, tx, session, a.Launch); err != nil {
				return err
			}
		}
		a.Dropped = dropped(due, all, now)
		return nil
	})
	if err != nil {
		return store.Advanced{}, err
	}
	return a, nil
}

// dropped are the planned firings that do not launch, and the slots at which
// schedules were set aside.
func dropped(due []scheduleRow, all []plannedRow, now time.Time) (fs []schedule.Firing) {
	for _, r := range all {
		for i := range r.planned.Firings {
			if f := &r.planned.Firings[i]; f.Outcome != schedule.Pending {
				fs = append(fs, *f)
			}
		}
	}
	for i := range due {
		if s := &due[i]; s.Problem != "" {
			fs = append(fs, schedule.Firing{
				ScheduleID: s.ID, LaunchPlan: s.LaunchPlan, Kind: schedule.KindScheduled, Slot: s.Next, Last: s.Next, Count: 1,
				Outcome: schedule.Missed, Reason: problemReason(s), RecordedAt: now, SettledAt: now,
			})
		}
	}
	return fs
}

// lookAhead finds the slots that s need not plan any more, where that matters.
func lookAhead(ctx context.Context, tx transaction, s *scheduleRow) (err error) {
	if s.Spec.Policy.MaxRuns == 0 {
		return nil
	}
	s.Ahead, err = collect(ctx, tx.session, scanSlot, `SELECT slot FROM firings WHERE schedule_id = ? AND slot > ?`, s.ID, micros(s.Cursor))
	return err
}

func scanSlot(rows *sql.Rows) (slot time.Time, err error) {
	err = rows.Scan(instant{&slot})
	return slot, err
}

// claimNew claims firings that are not recorded yet, those that launch whatever
// runs, the highest priority first, unless one with a higher priority has to be judged.
func claimNew(fs []*schedule.Firing, session int64, most int) []schedule.Firing {
	free := make([]*schedule.Firing, 0, len(fs))
	least := math.MinInt
	for _, f := range fs {
		if f.Unconditional() {
			free = append(free, f)
		} else {
			least = max(least, f.Priority)
		}
	}
	slices.SortStableFunc(free, func(a, b *schedule.Firing) int { return cmp.Compare(b.Priority, a.Priority) })
	claimed := make([]schedule.Firing, 0, min(len(free), most))
	for _, f := range free {
		if len(claimed) == most || f.Priority < least {
			break
		}
		f.Owner, f.Tried = session, true
		claimed = append(claimed, *f)
	}
	return claimed
}

// dueLive are the planned firings that are due, but those behind.
func dueLive(all []plannedRow, now time.Time) (due []*schedule.Firing) {
	for _, r := range all {
		for i := range r.planned.Firings {
			if f := &r.planned.Firings[i]; f.Outcome == schedule.Pending && !f.Behind && !f.AttemptAt.After(now) {
				due = append(due, f)
			}
		}
	}
	return due
}

const selectOwned = `SELECT slot, schedule_id FROM firings WHERE outcome = 0 AND owner <> 0 AND owner = ? AND kind = 0`

// owned are those of claimed that are the session's in the ledger: where a slot
// had a firing already, that one stands, even where the session launches it.
func owned(ctx context.Context, tx transaction, session int64, claimed []schedule.Firing) ([]schedule.Firing, error) {
	there := make(map[firingKey]bool)
	keys, err := collect(ctx, tx.session, scanKey, selectOwned, session)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		there[k] = true
	}
	return slices.DeleteFunc(claimed, func(f schedule.Firing) bool { return !there[keyOf(f)] }), nil
}

// firingKey is what tells firings apart.
type firingKey struct{ slot, schedule int64 }

func keyOf(f schedule.Firing) firingKey { return firingKey{micros(f.Slot), f.ScheduleID} }

func scanKey(rows *sql.Rows) (k firingKey, err error) {
	err = rows.Scan(&k.slot, &k.schedule)
	return k, err
}

// The statements that run for every firing.
var (
	insertFirings = &Bulk{
		Columns: slices.Concat(
			columns(Int, "slot, schedule_id, plan_id, outcome, kind, queue, owner, tried, attempt_at, deadline, recorded_at, settled_at,"+
				" last, count, attempts, max_running, buffer"),
			columns(Text, "overlap, reason")),
		text: `INSERT INTO firings (slot, schedule_id, plan_id, outcome, kind, queue, owner, tried, attempt_at, deadline, recorded_at, settled_at,
			last, count, attempts, max_running, buffer, overlap, reason, stopped)
			SELECT v.*, '' FROM v WHERE true ON CONFLICT (slot, schedule_id) DO NOTHING`,
	}
	moveSchedules = &Bulk{
		Columns: columns(Int, "id, cursor, next_at, runs"),
		text:    `UPDATE schedules SET cursor = v.cursor, next_at = v.next_at, runs = v.runs FROM v WHERE schedules.id = v.id`,
	}
	// A firing whose schedule stopped meanwhile is not tried again: whoever takes
	// it next finds out whether it was launched.
	settleFirings = &Bulk{
		Columns: slices.Concat(
			columns(Int, "slot, schedule_id, owner, outcome, tried, attempts, attempt_at, settled_at"),
			columns(Text, "reason")),
		text: `UPDATE firings SET owner = 0, outcome = v.outcome, tried = v.tried, reason = v.reason, attempts = v.attempts, settled_at = v.settled_at,
				attempt_at = CASE WHEN firings.stopped = '' THEN v.attempt_at ELSE firings.attempt_at END
			FROM v WHERE ` + theFiring("firings.outcome = 0 AND firings.owner = v.owner"),
	}
	// A launch that came through is a fact, whatever others made of the firing in
	// the meantime, who could not know of it.
	attestFirings = &Bulk{
		Columns: columns(Int, "slot, schedule_id, settled_at"),
		text: `UPDATE firings SET outcome = 1, reason = '', settled_at = v.settled_at
			FROM v WHERE ` + theFiring("firings.tried = 1 AND firings.outcome IN (2, 4)"),
	}
	claimFirings = &Bulk{
		Columns: columns(Int, "slot, schedule_id, owner"),
		text: `UPDATE firings SET owner = v.owner, tried = 1
			FROM v WHERE ` + theFiring("firings.outcome = 0 AND firings.owner = 0"),
	}
)

// theFiring is that a row of firings is the one that a row of v names, and meets
// a condition. The condition is made to look as if it needed both rows: no planner
// with statistics of another hour may take it for the better way to find the row,
// and read all that is pending for each batch.
func theFiring(condition string) string {
	return "firings.slot = v.slot AND firings.schedule_id = v.schedule_id AND CASE WHEN firings.slot = v.slot THEN " + condition + " END"
}

// rangeAfter is how long after its first slot a range is kept, so that it never
// takes the place of a firing of that slot's own. Slots are whole seconds.
const rangeAfter = time.Microsecond

// firingArgs appends the row of a firing, in the order of insertFirings.
func firingArgs(args []any, f *schedule.Firing, s *scheduleRow) ([]any, error) {
	outcome, err := outcomeCode(f.Outcome)
	if err != nil {
		return nil, err
	}
	kind, err := kindCode(f.Kind)
	if err != nil {
		return nil, err
	}
	slot := f.Slot
	var last any
	if f.Outcome == schedule.Missed || f.Count > 1 {
		slot, last = slot.Add(rangeAfter), micros(f.Last)
	}
	return append(args, micros(slot), s.ID, s.plan, outcome, kind, queueOf(f, s.project), f.Owner, flag(f.Tried),
		optional(f.AttemptAt), optional(f.Deadline), micros(f.RecordedAt), optional(f.SettledAt), last,
		int64(f.Count), int64(f.Attempts), int64(f.MaxRunning), int64(f.Buffer), string(f.Overlap), f.Reason), nil
}

// insert stores firings of one schedule whose slots have none, and says how many that were.
func insert(ctx context.Context, tx transaction, s *scheduleRow, fs []schedule.Firing) (int, error) {
	args := make([]any, 0, len(insertFirings.Columns)*len(fs))
	for i := range fs {
		var err error
		if args, err = firingArgs(args, &fs[i], s); err != nil {
			return 0, err
		}
	}
	n, err := tx.bulk(ctx, insertFirings, args, nil)
	if err != nil {
		return 0, fmt.Errorf("record firings: %w", err)
	}
	return n, nil
}

// record stores firings and the new positions of their schedules. It says how
// many firings were stored: those of slots that had none.
func record(ctx context.Context, tx transaction, all []plannedRow, now time.Time) (inserted int, err error) {
	firings := make([]any, 0, len(insertFirings.Columns)*len(all))
	moves := make([]any, 0, len(moveSchedules.Columns)*len(all))
	var backlogs []any
	for _, r := range all {
		if r.err != nil {
			if err := broken(ctx, tx, r.scheduleRow, r.err, now); err != nil {
				return 0, err
			}
			continue
		}
		for i := range r.planned.Firings {
			if firings, err = firingArgs(firings, &r.planned.Firings[i], r.scheduleRow); err != nil {
				return 0, err
			}
		}
		if p := r.planned.Backlog; p != nil {
			if backlogs, err = backlogArgs(backlogs, r.scheduleRow, &store.Backlog{
				Kind: p.Kind, First: p.First, Last: p.Last, NewestFirst: p.NewestFirst, By: "tminus", Note: "missed while tminus could not fire",
				CreatedAt: now,
			}); err != nil {
				return 0, err
			}
		}
		if r.planned.Problem != "" {
			if err := setAside(ctx, tx, r.ID, r.planned.Problem, r.planned.Cursor, now); err != nil {
				return 0, err
			}
		}
		moves = append(moves, r.ID, micros(r.planned.Cursor), optional(r.planned.Next), int64(r.planned.Runs))
	}
	if inserted, err = tx.bulk(ctx, insertFirings, firings, nil); err != nil {
		return 0, fmt.Errorf("record firings: %w", err)
	}
	if _, err := tx.bulk(ctx, insertBacklogs, backlogs, func(*sql.Rows) error { return nil }); err != nil {
		return 0, fmt.Errorf("record catch-up: %w", err)
	}
	if _, err := tx.bulk(ctx, moveSchedules, moves, nil); err != nil {
		return 0, fmt.Errorf("move cursors: %w", err)
	}
	return inserted, nil
}

// broken sets a schedule aside that cannot be planned.
func broken(ctx context.Context, tx transaction, s *scheduleRow, why error, now time.Time) error {
	s.Problem = why.Error()
	if _, err := tx.exec(ctx, `UPDATE schedules SET next_at = NULL WHERE id = ?`, s.ID); err != nil {
		return fmt.Errorf("record problem: %w", err)
	}
	return setAside(ctx, tx, s.ID, s.Problem, s.Cursor, now)
}

// setAside records why a schedule fires no slots after cursor, as a revision
// from which it is owed none.
func setAside(ctx context.Context, tx transaction, id int64, problem string, cursor, now time.Time) error {
	s, err := get(ctx, tx.session, &scheduleEntity, scanSchedule, "s.id = ?", id)
	if err != nil {
		return fmt.Errorf("record problem: %w", err)
	}
	if _, err := tx.exec(ctx, `UPDATE schedules SET problem = ? WHERE id = ?`, problem, id); err != nil {
		return fmt.Errorf("record problem: %w", err)
	}
	s.Cursor = cursor
	return revise(ctx, tx, &s, actionProblem, store.Change{By: "tminus", Why: problem, At: now})
}

// Settle records what became of firings that were claimed.
func (db *DB) Settle(ctx context.Context, firings []schedule.Firing) (written int, err error) {
	err = db.update(ctx, "settle firings", func(tx transaction) (err error) {
		written, err = settle(ctx, tx, firings)
		return err
	})
	return written, err
}

func settle(ctx context.Context, tx transaction, firings []schedule.Firing) (int, error) {
	firings, err := undead(ctx, tx, firings)
	if err != nil {
		return 0, err
	}
	args := make([]any, 0, len(settleFirings.Columns)*len(firings))
	for i := range firings {
		f := &firings[i]
		outcome, err := outcomeCode(f.Outcome)
		if err != nil {
			return 0, err
		}
		args = append(args, micros(f.Slot), f.ScheduleID, f.Owner, outcome, flag(f.Tried), int64(f.Attempts), optional(f.AttemptAt), optional(f.SettledAt),
			f.Reason)
	}
	written, err := tx.bulk(ctx, settleFirings, args, nil)
	if err != nil || written == len(firings) {
		return written, err
	}
	attested, err := attest(ctx, tx, firings)
	return written + attested, err
}

// attest makes launched those of firings that were, where somebody gave them up.
func attest(ctx context.Context, tx transaction, firings []schedule.Firing) (int, error) {
	var args []any
	for i := range firings {
		if f := &firings[i]; f.Outcome == schedule.Launched {
			args = append(args, micros(f.Slot), f.ScheduleID, micros(f.SettledAt))
		}
	}
	return tx.bulk(ctx, attestFirings, args, nil)
}

// undead finds out which of the firings that are given up have been launched all
// the same: an answer may have been lost, and the ones after it failed.
func undead(ctx context.Context, tx transaction, firings []schedule.Firing) ([]schedule.Firing, error) {
	var dead []schedule.Firing
	for _, f := range firings {
		if f.Outcome == schedule.Dead {
			dead = append(dead, f)
		}
	}
	there, err := launchedBefore(ctx, tx.session, dead)
	if err != nil || len(there) == 0 {
		return firings, err
	}
	firings = slices.Clone(firings)
	for i := range firings {
		f := &firings[i]
		if at, is := there[keyOf(*f)]; is && f.Outcome == schedule.Dead {
			f.Outcome, f.Reason, f.SettledAt = schedule.Launched, "", at
		}
	}
	return firings, nil
}

// isMissing says that err is that there is no such record.
func isMissing(err error) bool {
	return errors.Is(err, sql.ErrNoRows) || errors.Is(err, store.ErrNotFound)
}

// outcomes and kinds are known in the database by their places here.
var (
	outcomes = []schedule.Outcome{schedule.Pending, schedule.Launched, schedule.Skipped, schedule.Missed, schedule.Dead}
	kinds    = []schedule.Kind{schedule.KindScheduled, schedule.KindCatchUp, schedule.KindBackfill, schedule.KindManual}
)

func outcomeCode(o schedule.Outcome) (int64, error) {
	i := slices.Index(outcomes, o)
	if i < 0 {
		return 0, fmt.Errorf("%q is no outcome", string(o))
	}
	return int64(i), nil
}

func kindCode(k schedule.Kind) (int64, error) {
	i := slices.Index(kinds, k)
	if i < 0 {
		return 0, fmt.Errorf("%q is no kind of firing", string(k))
	}
	return int64(i), nil
}

// queueOf is the queue in which a firing waits: its lane, then its project, then
// its priority, the highest first.
func queueOf(f *schedule.Firing, project int64) int64 {
	queue := project<<32 | (1<<31 - 1 - int64(f.Priority))
	if f.Behind {
		queue |= behindQueues
	}
	return queue
}

// The queues of firings that are behind begin here.
const behindQueues = 1 << 62

func projectOf(queue int64) int64 { return queue &^ behindQueues >> 32 }

func priorityOf(queue int64) int { return int(1<<31 - 1 - queue&(1<<32-1)) }

// NextSlot is when a schedule is due next.
func (db *DB) NextSlot(ctx context.Context) (next time.Time, err error) {
	err = db.reading().row(ctx, selectNextSlot).Scan(instant{&next})
	return next, db.failed(ctx, "read the next slot", err)
}

// NextStep is when a backlog has slots to record next.
func (db *DB) NextStep(ctx context.Context) (next time.Time, err error) {
	err = db.reading().row(ctx, selectNextStep).Scan(instant{&next})
	return next, db.failed(ctx, "read the next step of a backlog", err)
}

// NextAttempt is when a firing of a lane is due next.
func (db *DB) NextAttempt(ctx context.Context, behind bool) (next time.Time, err error) {
	queues, err := queuesOf(ctx, db.reading(), behind)
	for _, q := range queues {
		if next.IsZero() || q.first.Before(next) {
			next = q.first
		}
	}
	return next, db.failed(ctx, "read the next attempt", err)
}

// queuesOf are the queues of a lane that have firings, the first one first.
func queuesOf(ctx context.Context, s session, behind bool) ([]queue, error) {
	least, most := int64(0), int64(behindQueues-1)
	if behind {
		least, most = behindQueues, behindQueues<<1-1
	}
	return collect(ctx, s, scanQueue, selectQueues, least, most)
}

const (
	selectNextSlot = `SELECT min(next_at) FROM schedules`
	selectNextStep = `SELECT min(next_at) FROM backlogs WHERE next_at IS NOT NULL`
)

// queue is one that has firings, and when the first of them is due.
type queue struct {
	queue int64
	first time.Time
}

// selectQueues steps from one queue to the next, and never through one.
const selectQueues = `WITH RECURSIVE q (queue, most) AS (
		SELECT (SELECT min(queue) FROM firings WHERE outcome = 0 AND owner = 0 AND queue >= v.least), v.most FROM (SELECT CAST(? AS BIGINT) AS least, CAST(? AS BIGINT) AS most) v
		UNION ALL
		SELECT (SELECT min(queue) FROM firings WHERE outcome = 0 AND owner = 0 AND queue > q.queue), q.most FROM q WHERE q.queue IS NOT NULL AND q.queue <= q.most)
	SELECT q.queue, (SELECT min(attempt_at) FROM firings WHERE outcome = 0 AND owner = 0 AND queue = q.queue) FROM q
	WHERE q.queue IS NOT NULL AND q.queue <= q.most`

func scanQueue(rows *sql.Rows) (q queue, err error) {
	err = rows.Scan(&q.queue, instant{&q.first})
	return q, err
}
