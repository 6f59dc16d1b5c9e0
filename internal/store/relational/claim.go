package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// Claim takes due firings for a session, as far as their policies let them launch.
func (db *DB) Claim(ctx context.Context, c store.Claim) (claimed store.Claimed, err error) {
	err = db.update(ctx, "claim firings", func(tx transaction) error {
		claimed = store.Claimed{}
		if err := alive(ctx, tx, c.Session, c.Now); err != nil {
			return err
		}
		due, more, err := takeDue(ctx, tx, c)
		if err != nil {
			return err
		}
		claimed.More = more
		return decide(ctx, tx, c, due, &claimed)
	})
	if err != nil {
		return store.Claimed{}, err
	}
	return claimed, nil
}

// selectPending reads what a pending firing has. Every column costs a million
// rows a noticeable part of a second.
const selectPending = `SELECT f.slot, f.schedule_id, p.project, p.domain, p.name, p.version, f.kind, f.queue, f.owner, f.tried, f.attempt_at, f.deadline,
	f.recorded_at, f.attempts, f.relaunches, f.overlap, f.max_running, f.buffer, f.reason, f.stopped
	FROM firings f {outer} JOIN launch_plans p ON p.id = f.plan_id`

const selectDueFirings = selectPending + `
	WHERE f.outcome = 0 AND f.owner = 0 AND f.queue = ? AND f.attempt_at <= ? ORDER BY f.attempt_at, f.slot, f.schedule_id LIMIT ?`

func scanPending(rows *sql.Rows) (f schedule.Firing, err error) {
	var kind int
	var queue int64
	err = rows.Scan(instant{&f.Slot}, &f.ScheduleID, &f.LaunchPlan.Project, &f.LaunchPlan.Domain, &f.LaunchPlan.Name, &f.LaunchPlan.Version,
		&kind, &queue, &f.Owner, &f.Tried, instant{&f.AttemptAt}, instant{&f.Deadline}, instant{&f.RecordedAt},
		&f.Attempts, &f.Relaunches, &f.Overlap, &f.MaxRunning, &f.Buffer, &f.Reason, &f.Stopped)
	if err == nil && (kind < 0 || kind >= len(kinds)) {
		err = fmt.Errorf("%d is no kind", kind)
	}
	if err != nil {
		return f, err
	}
	f.Kind, f.Outcome, f.Last, f.Count = kinds[kind], schedule.Pending, f.Slot, 1
	f.Behind, f.Priority = queue >= behindQueues, priorityOf(queue)
	return f, nil
}

// takeDue reads due firings and keeps others from taking them until tx has
// ended: of each project at most its share, the highest priority first. It goes
// from queue to queue, so that firings which wait for a later attempt are passed
// over in one step.
func takeDue(ctx context.Context, tx transaction, c store.Claim) (due []schedule.Firing, more bool, err error) {
	queues, err := queuesOf(ctx, tx.session, c.Behind)
	if err != nil {
		return nil, false, err
	}
	queues = slices.DeleteFunc(queues, func(q queue) bool { return q.first.After(c.Now) })
	names, ids, err := projectsOf(ctx, tx, queues)
	if err != nil || len(names) == 0 {
		return nil, false, err
	}
	left := make(map[int64]int, len(ids))
	for i, share := range c.Share(names) {
		left[ids[i]] = share
	}
	for _, q := range queues {
		project := projectOf(q.queue)
		if left[project] <= 0 {
			more = true
			continue
		}
		some, err := collect(ctx, tx.session, scanPending, selectDueFirings+tx.takeRows("f"), q.queue, micros(c.Now), left[project])
		if err != nil {
			return nil, false, err
		}
		left[project] -= len(some)
		more = more || left[project] == 0
		due = append(due, some...)
	}
	return due, more, nil
}

// projectsOf names the projects of queues, each once.
func projectsOf(ctx context.Context, tx transaction, queues []queue) (names []string, ids []int64, err error) {
	for _, q := range queues {
		id := projectOf(q.queue)
		if slices.Contains(ids, id) {
			continue
		}
		var name string
		if err := tx.row(ctx, `SELECT coalesce((SELECT identifier FROM projects WHERE id = ?), '')`, id).Scan(&name); err != nil {
			return nil, nil, err
		}
		names, ids = append(names, name), append(ids, id)
	}
	return names, ids, nil
}

// decide claims those of the due firings that may launch, and records what
// becomes of the others.
func decide(ctx context.Context, tx transaction, c store.Claim, due []schedule.Firing, claimed *store.Claimed) error {
	doubtful, err := unsure(ctx, tx, c, due)
	if err != nil {
		return err
	}
	judged := make(map[int64][]schedule.Firing) // by schedule
	for i := range due {
		switch f := &due[i]; {
		case f.Unconditional() && !f.Overdue(c.Now):
			claimed.Launch = append(claimed.Launch, *f)
		case doubtful[keyOf(*f)]:
			claimed.Verify = append(claimed.Verify, *f)
		default:
			judged[f.ScheduleID] = append(judged[f.ScheduleID], *f)
		}
	}
	if err := judge(ctx, tx, c.Now, judged, claimed); err != nil {
		return err
	}
	if len(judged) > 0 { // Those that were let in go back to their places.
		place := make(map[firingKey]int, len(due))
		for i := range due {
			place[keyOf(due[i])] = i
		}
		slices.SortFunc(claimed.Launch, func(a, b schedule.Firing) int { return place[keyOf(a)] - place[keyOf(b)] })
	}
	args := make([]any, 0, len(claimFirings.Columns)*(len(claimed.Launch)+len(claimed.Verify)))
	for _, some := range [][]schedule.Firing{claimed.Launch, claimed.Verify} {
		for i := range some {
			f := &some[i]
			f.Owner, f.Tried = c.Session, true
			args = append(args, micros(f.Slot), f.ScheduleID, f.Owner)
		}
	}
	n, err := tx.bulk(ctx, claimFirings, args, nil)
	if err == nil && n != len(claimed.Launch)+len(claimed.Verify) {
		err = fmt.Errorf("claimed %d firings of %d", n, len(claimed.Launch)+len(claimed.Verify))
	}
	return err
}

// unsure are the due firings that may have an execution elsewhere of which
// nothing is here, and that are not simply launched again.
func unsure(ctx context.Context, tx transaction, c store.Claim, due []schedule.Firing) (map[firingKey]bool, error) {
	if !c.Verify {
		return nil, nil //nolint:nilnil // None.
	}
	var tried []schedule.Firing
	for i := range due {
		if f := &due[i]; f.Tried && (!f.Unconditional() || f.Overdue(c.Now)) {
			tried = append(tried, *f)
		}
	}
	there, err := launchedBefore(ctx, tx.session, tried)
	if err != nil {
		return nil, err
	}
	doubtful := make(map[firingKey]bool, len(tried))
	for _, f := range tried {
		if _, is := there[keyOf(f)]; !is {
			doubtful[keyOf(f)] = true
		}
	}
	return doubtful, nil
}

// judge lets the policies decide. The schedules are locked for it: what two
// replicas see running would otherwise leave out what the other lets in.
// Firings of a schedule that somebody else has locked stay as they are.
func judge(ctx context.Context, tx transaction, now time.Time, due map[int64][]schedule.Firing, claimed *store.Claimed) error {
	if len(due) == 0 {
		return nil
	}
	args := make([]any, 0, len(due))
	for id := range due {
		args = append(args, id)
	}
	locked, err := collect(ctx, tx.session, scanID,
		`SELECT id FROM schedules WHERE id IN `+Values(1, len(args))+` ORDER BY id`+tx.takeRows("schedules"), args...)
	if err != nil {
		return err
	}
	claimed.More = claimed.More || len(locked) < len(due)
	var settled []schedule.Firing
	for _, id := range locked {
		scene, err := look(ctx, tx, due[id])
		if err != nil {
			return err
		}
		for _, j := range schedule.Judge(due[id], scene, now) {
			switch j.Verdict {
			case schedule.Launch:
				claimed.Launch = append(claimed.Launch, j.Firing)
				continue
			case schedule.Settle:
				claimed.Settled = append(claimed.Settled, j.Firing)
			case schedule.Replace:
				for _, x := range j.End {
					claimed.End = append(claimed.End, store.End{Execution: x, For: j.Firing})
				}
			case schedule.Wait:
			}
			settled = append(settled, j.Firing)
		}
	}
	_, err = settle(ctx, tx, settled)
	return err
}

// maxPending bounds how many of the firings of a launch plan that wait its
// policies look at. Those that are being launched are all looked at: each has its place.
const maxPending = 1000

const (
	selectOwnedOf   = selectPending + ` WHERE f.outcome = 0 AND f.owner <> 0 AND f.schedule_id = ?`
	selectPendingOf = selectPending + ` WHERE f.outcome = 0 AND f.owner = 0 AND f.schedule_id = ? ORDER BY f.slot LIMIT ?`
)

// look reads what the policies of a launch plan look at.
func look(ctx context.Context, tx transaction, due []schedule.Firing) (scene schedule.Scene, err error) {
	plan := due[0].LaunchPlan.Key
	// In this order: a launch that is settled between the two is seen to run.
	owned, err := collect(ctx, tx.session, scanPending, selectOwnedOf, due[0].ScheduleID)
	if err != nil {
		return scene, err
	}
	waiting, err := collect(ctx, tx.session, scanPending, selectPendingOf, due[0].ScheduleID, maxPending)
	if err != nil {
		return scene, err
	}
	// One that was given up between the two is in both.
	waiting = slices.DeleteFunc(waiting, func(f schedule.Firing) bool {
		return slices.ContainsFunc(owned, func(o schedule.Firing) bool { return o.Slot.Equal(f.Slot) })
	})
	scene.Pending = append(owned, waiting...)
	if scene.Running, err = collect(ctx, tx.session, scanExecutionKey, selectRunningKeys, plan.Project, plan.Domain, plan.Name); err != nil {
		return scene, err
	}
	there, err := launchedBefore(ctx, tx.session, due)
	if err != nil {
		return scene, err
	}
	scene.There = make(map[time.Time]bool, len(there))
	for _, f := range due {
		if _, is := there[keyOf(f)]; is {
			scene.There[f.Slot] = true
		}
	}
	return scene, nil
}

// launchedBefore finds out which of the firings that were tried have their
// execution already, and when that was made: the answer may have been lost.
func launchedBefore(ctx context.Context, s session, firings []schedule.Firing) (map[firingKey]time.Time, error) {
	tried := make(map[ident.Key]schedule.Firing) // by execution
	names := make(map[ident.Key][]any)           // by project and domain
	for _, f := range firings {
		if f.Tried {
			place := ident.Key{Project: f.LaunchPlan.Project, Domain: f.LaunchPlan.Domain}
			names[place] = append(names[place], f.Execution())
			tried[ident.Key{Project: place.Project, Domain: place.Domain, Name: f.Execution()}] = f
		}
	}
	there := make(map[firingKey]time.Time)
	for place, some := range names {
		found, err := collect(ctx, s, scanLaunch, selectLaunches+Values(1, len(some)), append([]any{place.Project, place.Domain}, some...)...)
		if err != nil {
			return nil, fmt.Errorf("look for executions: %w", err)
		}
		for _, x := range found {
			if f := tried[x.Key]; x.Launches(f.LaunchPlan.Key, f.Slot) {
				there[keyOf(f)] = x.CreatedAt
			}
		}
	}
	return there, nil
}

// selectLaunches reads what says whose executions those are.
const selectLaunches = `SELECT project, domain, name, kind, launched_project, launched_domain, launched_name, slot, created_at
	FROM executions WHERE project = ? AND domain = ? AND name IN `

func scanLaunch(rows *sql.Rows) (x store.Execution, err error) {
	plan := &x.LaunchPlan
	err = rows.Scan(&x.Project, &x.Domain, &x.Name, &x.Kind, &plan.Project, &plan.Domain, &plan.Name, instant{&x.Slot}, instant{&x.CreatedAt})
	return x, err
}

const selectRunningKeys = `SELECT project, domain, name FROM executions WHERE open = 1 AND kind = 'launch_plan'
	AND launched_project = ? AND launched_domain = ? AND launched_name = ? ORDER BY created_at, id`

func scanExecutionKey(rows *sql.Rows) (k ident.Key, err error) {
	err = rows.Scan(&k.Project, &k.Domain, &k.Name)
	return k, err
}

const selectScheduleID = "SELECT s.id FROM schedules s WHERE s.id = " + scheduleID

// recall makes due the firings of a launch plan that wait for an execution to
// end. The schedule is locked, so that a firing which is judged at this moment is
// either seen here or sees that the execution has ended.
func recall(ctx context.Context, tx transaction, plan ident.Key, now time.Time) error {
	ids, err := collect(ctx, tx.session, scanID, selectScheduleID+tx.lockRows("s"), plan.Project, plan.Domain, plan.Name)
	if err != nil || len(ids) == 0 {
		return err
	}
	waiting, err := collect(ctx, tx.session, scanPending, selectPendingOf, ids[0], maxPending)
	if err != nil {
		return err
	}
	var due []schedule.Firing
	for _, f := range waiting {
		if schedule.Waits(f) && f.AttemptAt.After(now) {
			f.AttemptAt = now
			due = append(due, f)
		}
	}
	if n, err := settle(ctx, tx, due); err != nil || n == 0 {
		return err
	}
	return tx.notify(ctx)
}
