package relational

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

var (
	// namedSchedules are the schedules of launch plans, in an order in which two
	// transactions that lock them never wait for each other.
	namedSchedules = &Bulk{
		Columns: columns(Text, "project, domain, name"), Returning: true, Lock: "s",
		text: "SELECT " + scheduleEntity.columns + ` FROM v JOIN schedule_names n ON n.project = v.project AND n.domain = v.domain AND n.name = v.name
			JOIN schedules s ON s.id = n.schedule_id ORDER BY s.id`,
	}
	// ownFirings are those of schedules after their cursors that are no ranges.
	ownFirings = &Bulk{
		Columns: columns(Int, "id, after"), Returning: true,
		text: `SELECT f.slot, f.schedule_id FROM v JOIN firings f ON f.schedule_id = v.id AND f.slot > v.after WHERE f.last IS NULL`,
	}
	// thoseFirings are the slots that have a firing of their own.
	thoseFirings = &Bulk{
		Columns: columns(Int, "slot, schedule_id"), Returning: true,
		text: `SELECT f.slot, f.schedule_id FROM v JOIN firings f ON f.slot = v.slot AND f.schedule_id = v.schedule_id`,
	}
	anchorSchedules = &Bulk{
		Columns: columns(Int, "id, anchor"),
		text:    `UPDATE schedules SET anchor = v.anchor FROM v WHERE schedules.id = v.id`,
	}
	insertLetters = &Bulk{
		Columns: slices.Concat(
			columns(Text, "message, project, domain, name, reason"),
			columns(Int, "sent_at, receives, received_at, time"),
			columns(Bytes, "body")),
		text: `INSERT INTO dead_letters (message, project, domain, name, reason, sent_at, receives, received_at, time, body)
			SELECT v.* FROM v WHERE true ON CONFLICT (message) DO NOTHING`,
	}
)

// intake is the word of one schedule, and what it came to.
type intake struct {
	plannedRow
	*schedule.Intake
	words []*store.Message
}

// Deliver decides what messages come to, in one transaction.
func (db *DB) Deliver(ctx context.Context, now time.Time, messages []store.Message) (d store.Delivered, err error) {
	err = db.update(ctx, "take messages", func(tx transaction) error {
		d = store.Delivered{}
		since, err := keptSince(ctx, tx, store.KeeperAWS, now)
		if err != nil {
			return err
		}
		var refusals []refusal
		refuse := func(s *scheduleRow, m *store.Message, reason string) {
			refusals = append(refusals, refusal{m, s, reason})
		}
		words := make(map[ident.Key][]*store.Message)
		places := make(map[*store.Message]int)
		for i := range messages {
			if m := &messages[i]; m.Problem != "" {
				refuse(nil, m, m.Problem)
			} else {
				words[m.LaunchPlan] = append(words[m.LaunchPlan], m)
				places[m] = i
			}
		}
		intakes, err := open(ctx, tx, words, refuse, now, since)
		if err != nil {
			return err
		}
		decided, err := decidedBefore(ctx, tx, intakes)
		if err != nil {
			return err
		}
		all := make([]plannedRow, 0, len(intakes))
		for i := range intakes {
			in := &intakes[i]
			in.Counts = func(t time.Time) string {
				why, failure := counts(ctx, tx, in.scheduleRow, t)
				err = cmp.Or(err, failure)
				return why
			}
			take := func() error {
				for _, m := range in.words {
					early, problem := in.Take(m.Time, func(slot time.Time) bool { return decided[firingKey{micros(slot), in.ID}] })
					if early {
						d.Early = append(d.Early, places[m])
					} else if problem != "" {
						refuse(in.scheduleRow, m, problem)
					}
				}
				return nil
			}
			if why := in.planning(take); why != nil {
				return fmt.Errorf("%s: %w", in.LaunchPlan, why)
			}
			if err != nil {
				return err
			}
			in.planned = in.Planned()
			all = append(all, in.plannedRow)
		}
		slices.Sort(d.Early)
		d.Dropped = dropped(nil, all, now)
		if d.Recorded, err = record(ctx, tx, slices.DeleteFunc(all, plannedRow.idle), now); err != nil {
			return err
		}
		if err := conclude(ctx, tx, intakes, now); err != nil {
			return err
		}
		if d.SetAside, err = setWordAside(ctx, tx, refusals, now); err != nil {
			return err
		}
		d.Known = len(messages) - d.Recorded - d.SetAside - len(d.Early)
		return nil
	})
	if err != nil {
		return store.Delivered{}, err
	}
	return d, nil
}

// refusal is a message that launches nothing, and why. schedule is that of its
// launch plan; nil where there is none.
type refusal struct {
	*store.Message
	schedule *scheduleRow
	reason   string
}

// setWordAside makes dead letters of refused messages, and says of how many. Word
// of what was a slot when it came due, and has its outcome, is late and no more.
func setWordAside(ctx context.Context, tx transaction, refusals []refusal, now time.Time) (int, error) {
	letters := make([]any, 0, len(insertLetters.Columns)*len(refusals))
	for _, r := range refusals {
		if r.schedule != nil {
			slot, err := slotThen(ctx, tx, r.schedule, r.Time)
			if err != nil {
				return 0, err
			}
			if !slot.IsZero() {
				if known, err := isDecided(ctx, tx, r.schedule, slot); err != nil {
					return 0, err
				} else if known {
					continue
				}
			}
		}
		letters = append(letters, r.ID, r.LaunchPlan.Project, r.LaunchPlan.Domain, r.LaunchPlan.Name, r.reason,
			optional(r.SentAt), int64(r.Receives), micros(now), optional(r.Time), blob(r.Body))
	}
	n, err := tx.bulk(ctx, insertLetters, letters, nil)
	if err != nil {
		return 0, fmt.Errorf("set messages aside: %w", err)
	}
	return n, nil
}

// idle says that planning changed nothing.
func (r plannedRow) idle() bool {
	return len(r.planned.Firings) == 0 && r.planned.Backlog == nil && r.planned.Problem == "" && r.planned.Cursor.Equal(r.Cursor) &&
		(r.planned.Next.Equal(r.Next) || r.Paused != "")
}

// open finds the schedules of launch plans, and locks them. It refuses the words
// of those that have none which could fire.
func open(ctx context.Context, tx transaction, words map[ident.Key][]*store.Message, refuse func(*scheduleRow, *store.Message, string), now, since time.Time) ([]intake, error) {
	names := make([]any, 0, 3*len(words))
	for key := range words {
		names = append(names, key.Project, key.Domain, key.Name)
	}
	var found []scheduleRow
	if _, err := tx.bulk(ctx, namedSchedules, names, func(rows *sql.Rows) error {
		s, err := scanSchedule(rows)
		found = append(found, s)
		return err
	}); err != nil {
		return nil, fmt.Errorf("find schedules: %w", err)
	}
	var active []*scheduleRow
	for i := range found {
		s := &found[i]
		if s.Active && s.Paused != "" && !s.PausedUntil.IsZero() && !s.PausedUntil.After(now) {
			if err := resumeByItself(ctx, tx, s, now); err != nil {
				return nil, err
			}
			var err error
			if *s, err = get(ctx, tx.session, &scheduleEntity, scanSchedule, "s.id = ?", s.ID); err != nil {
				return nil, err
			}
		}
		if s.Active {
			active = append(active, s)
			continue
		}
		for _, m := range words[s.LaunchPlan.Key] {
			refuse(s, m, inactive(s.LaunchPlan.Key))
		}
		delete(words, s.LaunchPlan.Key)
	}
	if err := allAhead(ctx, tx, active); err != nil {
		return nil, err
	}
	intakes := make([]intake, 0, len(active))
	for _, s := range active {
		those := words[s.LaunchPlan.Key]
		delete(words, s.LaunchPlan.Key)
		in, problem, err := begin(ctx, tx, s, now, since)
		if err != nil {
			return nil, err
		}
		if problem != "" {
			for _, m := range those {
				refuse(s, m, problem)
			}
			continue
		}
		slices.SortFunc(those, func(a, b *store.Message) int { return a.Time.Compare(b.Time) })
		intakes = append(intakes, intake{plannedRow{scheduleRow: s}, in, those})
	}
	for key, those := range words {
		for _, m := range those {
			refuse(nil, m, inactive(key))
		}
	}
	return intakes, nil
}

// inactive is why word of a launch plan launches nothing that has no schedule which could fire.
func inactive(plan ident.Key) string {
	return fmt.Sprintf("launch plan %s has no active version with a schedule", plan)
}

// begin makes s ready to take word, or says why it cannot be.
func begin(ctx context.Context, tx transaction, s *scheduleRow, now, since time.Time) (in *schedule.Intake, problem string, err error) {
	if s.Problem != "" {
		return nil, "its schedule " + problemReason(s), nil
	}
	if why := s.planning(func() (err error) {
		in, err = schedule.NewIntake(s.Schedule, now, since)
		return err
	}); why != nil {
		return nil, "its schedule could not be planned: " + why.Error(), broken(ctx, tx, s, why, now)
	}
	return in, "", nil
}

// allAhead reads the slots of schedules after their cursors that have firings, where taking word of others needs it.
func allAhead(ctx context.Context, tx transaction, schedules []*scheduleRow) error {
	byID := make(map[int64]*scheduleRow)
	var args []any
	for _, s := range schedules {
		if s.Spec.Policy.MaxRuns > 0 || s.Spec.IsRate() {
			byID[s.ID] = s
			args = append(args, s.ID, micros(s.Cursor))
		}
	}
	if _, err := tx.bulk(ctx, ownFirings, args, func(rows *sql.Rows) error {
		k, err := scanKey(rows)
		if s := byID[k.schedule]; s != nil {
			s.Ahead = append(s.Ahead, time.UnixMicro(k.slot))
		}
		return err
	}); err != nil {
		return fmt.Errorf("look for firings: %w", err)
	}
	return nil
}

// decidedBefore are those of the slots that there is word of, up to the cursors,
// which have an outcome or will get one.
func decidedBefore(ctx context.Context, tx transaction, intakes []intake) (map[firingKey]bool, error) {
	decided := make(map[firingKey]bool)
	var asked []any
	past := make(map[int64][]time.Time)
	for _, in := range intakes {
		for _, m := range in.words {
			if slot := in.Slot(m.Time); !slot.IsZero() && !slot.After(in.Cursor) {
				asked = append(asked, micros(slot), in.ID)
				past[in.ID] = append(past[in.ID], slot)
			}
		}
	}
	if _, err := tx.bulk(ctx, thoseFirings, asked, func(rows *sql.Rows) error {
		k, err := scanKey(rows)
		decided[k] = true
		return err
	}); err != nil {
		return nil, fmt.Errorf("look for firings: %w", err)
	}
	for _, in := range intakes {
		var covered *covered
		for _, slot := range past[in.ID] {
			k := firingKey{micros(slot), in.ID}
			if decided[k] {
				continue
			}
			if covered == nil {
				var err error
				if covered, err = coverage(ctx, tx, in.scheduleRow, slices.MinFunc(past[in.ID], time.Time.Compare).Add(-time.Microsecond)); err != nil {
					return nil, err
				}
			}
			decided[k] = covered.has(slot)
		}
	}
	return decided, nil
}

// conclude records what word of slots changed beside firings and cursors: when
// rates count from another instant, and which schedules have fired for the last time.
func conclude(ctx context.Context, tx transaction, intakes []intake, now time.Time) error {
	var anchors []any
	for _, in := range intakes {
		if !in.Anchor.Equal(in.scheduleRow.Anchor) {
			anchors = append(anchors, in.ID, micros(in.Anchor))
		}
	}
	if _, err := tx.bulk(ctx, anchorSchedules, anchors, nil); err != nil {
		return fmt.Errorf("record from when rates count: %w", err)
	}
	var ended []int64
	for _, in := range intakes {
		for _, m := range in.Moves {
			s := in.scheduleRow
			s.Anchor, s.Cursor = m.Anchor, m.From
			if err := revise(ctx, tx, s, actionAnchor, store.Change{By: "tminus", Why: countsFrom(s.Anchor), At: now}); err != nil {
				return err
			}
		}
		if in.planned.Next.IsZero() && !in.Next.IsZero() {
			ended = append(ended, in.ID)
		}
	}
	return unrule(ctx, tx, ended, now)
}

// actionAnchor is the action of a revision with which a rate counts from another instant.
const actionAnchor = "anchor"

// selectSilent reads schedules that are due and of which there should have been
// word by now, and those whose pause has ended. Rates that nobody counts have no slots.
const selectSilent = `SELECT id, plan_id, project_id, project, domain, name, version, expression, policy, paused, cursor, anchor, next_at, runs FROM schedules
	WHERE next_at <= ? AND (paused <> '' OR next_at <= ? AND (NOT ` + isRate + ` OR ` + isCounted + `)) ORDER BY next_at, priority DESC, id LIMIT ?`

// Audit decides slots for which there was no word.
func (db *DB) Audit(ctx context.Context, now, heard time.Time, limit int) (a store.Advanced, err error) {
	err = db.update(ctx, "audit schedules", func(tx transaction) error {
		a = store.Advanced{}
		w, err := watching(ctx, tx)
		if err == nil {
			err = w.by(store.KeeperAWS)
		}
		if err != nil {
			return err
		}
		// While messages cannot be taken it is not over what catch-up is to decide.
		since := unbroken(w.since, w.awake, now)
		if now.Sub(w.read) <= outage {
			since = later(since, w.readSince)
		}
		until, why := earlier(heard, now), schedule.Silent(heard)
		if before := since.Add(-time.Microsecond); before.After(until) {
			until, why = before, schedule.Down(since)
		}
		due, err := collect(ctx, tx.session, scanDue, selectSilent+tx.takeRows("schedules"), micros(now), micros(until), limit)
		if err != nil {
			return err
		}
		have, err := firingsAfter(ctx, tx, due)
		if err != nil {
			return err
		}
		all := make([]plannedRow, 0, len(due))
		var ended []int64
		firings := 0
		for i := range due {
			s := &due[i]
			a.Schedules++
			if s.Paused != "" {
				if err := resumeByItself(ctx, tx, s, now); err != nil {
					return err
				}
				continue
			}
			r := plannedRow{scheduleRow: s}
			r.err = s.planning(func() (err error) {
				r.planned, err = schedule.Audit(s.Schedule, until, now, why, have[s.ID])
				return err
			})
			all = append(all, r)
			if r.err == nil && r.planned.Next.IsZero() {
				ended = append(ended, s.ID)
			}
			if firings += len(r.planned.Firings); firings >= maxBatch {
				break
			}
		}
		if _, err := record(ctx, tx, all, now); err != nil {
			return err
		}
		a.Dropped = dropped(due, all, now)
		return unrule(ctx, tx, ended, now)
	})
	if err != nil {
		return store.Advanced{}, err
	}
	return a, nil
}

// firingsAfter are the slots after the cursors of schedules that have firings of their own.
func firingsAfter(ctx context.Context, tx transaction, schedules []scheduleRow) (map[int64][]time.Time, error) {
	args := make([]any, 0, 2*len(schedules))
	for i := range schedules {
		if s := &schedules[i]; s.Paused == "" {
			args = append(args, s.ID, micros(s.Cursor))
		}
	}
	have := make(map[int64][]time.Time)
	if _, err := tx.bulk(ctx, ownFirings, args, func(rows *sql.Rows) error {
		k, err := scanKey(rows)
		have[k.schedule] = append(have[k.schedule], time.UnixMicro(k.slot))
		return err
	}); err != nil {
		return nil, fmt.Errorf("look for firings: %w", err)
	}
	return have, nil
}

var letterEntity = entity{
	noun: "dead letters", prefix: "dead_letter",
	columns: letterColumns + ", NULL", // Lists do without the bodies.
	from:    "dead_letters l",
	fields: map[string]field{
		"id":          {column: "l.id", kind: integer},
		"project":     {column: "l.project"},
		"domain":      {column: "l.domain"},
		"name":        {column: "l.name"},
		"reason":      {column: "l.reason"},
		"received_at": {column: "l.received_at", kind: instants},
	},
	order: "l.id DESC", tie: []string{"l.id"},
}

const letterColumns = "l.id, l.message, l.sent_at, l.receives, l.received_at, l.project, l.domain, l.name, l.time, l.reason"

func scanLetter(rows *sql.Rows) (l store.DeadLetter, err error) {
	p := &l.LaunchPlan
	err = rows.Scan(&l.ID, &l.Message.ID, instant{&l.SentAt}, &l.Receives, instant{&l.ReceivedAt}, &p.Project, &p.Domain, &p.Name, instant{&l.Time}, &l.Reason, &l.Body)
	return l, err
}

// DeadLetters lists dead letters, by default the newest first.
func (db *DB) DeadLetters(ctx context.Context, q store.Query) ([]store.DeadLetter, error) {
	return list(ctx, db, &letterEntity, q, scanLetter)
}

// DeadLetter reads a dead letter.
func (db *DB) DeadLetter(ctx context.Context, id int64) (store.DeadLetter, error) {
	whole := letterEntity
	whole.columns = letterColumns + ", l.body"
	l, err := get(ctx, db.reading(), &whole, scanLetter, "l.id = ?", id)
	return l, db.failed(ctx, fmt.Sprintf("read dead letter %d", id), err)
}

// DropDeadLetters deletes dead letters, and says how many there were.
func (db *DB) DropDeadLetters(ctx context.Context, ids []int64) (dropped int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	return db.change(ctx, "drop dead letters", "DELETE FROM dead_letters WHERE id IN "+Values(1, len(ids)), arguments(ids)...)
}

// RedriveDeadLetter launches the slot that a dead letter is about, and drops it.
func (db *DB) RedriveDeadLetter(ctx context.Context, id int64, plan ident.Key, at time.Time, c store.Change) (f schedule.Firing, err error) {
	there := false
	err = db.update(ctx, fmt.Sprintf("redrive dead letter %d", id), func(tx transaction) error {
		if err := one(tx.exec(ctx, "DELETE FROM dead_letters WHERE id = ?", id)); err != nil {
			return err
		}
		s, err := activeSchedule(ctx, tx, plan)
		if err != nil {
			return err
		}
		slot, err := slotThen(ctx, tx, &s, at)
		if err != nil {
			return err
		}
		if slot.IsZero() { // Nobody was owed it, and somebody wants it all the same.
			if timetable, err := s.Spec.Compile(s.Anchor); err == nil {
				slot = timetable.SlotOf(at)
			}
		}
		if slot.IsZero() {
			slot = at.Truncate(time.Second)
		}
		if there, err = isDecided(ctx, tx, &s, slot); err != nil || there {
			f.Slot = slot
			return err
		}
		f, err = runNow(ctx, tx, &s, slot, c)
		return err
	})
	if err == nil && there {
		err = store.ErrExists
	}
	return f, err
}

// selectRevisionsNear reads the revisions that decided which slots there are up
// to an instant, the last first. Those which begin with the same slot are few.
var selectRevisionsNear = "SELECT " + revisionEntity.columns + " FROM " + revisionEntity.from +
	" WHERE r.schedule_id = ? AND r.from_at <= ? ORDER BY r.number DESC LIMIT 100"

// slotThen is the slot that word of t is about, going by what s was when it came
// due; the zero time means that none was owed then.
func slotThen(ctx context.Context, tx transaction, s *scheduleRow, t time.Time) (time.Time, error) {
	revisions, err := collect(ctx, tx.session, scanRevision, selectRevisionsNear, s.ID, micros(t.Add(schedule.MostOff)))
	if err != nil {
		return time.Time{}, fmt.Errorf("look for revisions: %w", err)
	}
	var until time.Time // zero is for good
	for _, r := range revisions {
		if timetable, err := r.Spec.Compile(r.Anchor); err == nil && r.Active {
			if slot := timetable.SlotOf(t); slot.After(r.From) && (until.IsZero() || !slot.After(until)) {
				return slot, nil
			}
		}
		if until = r.From; until.Before(t.Add(-schedule.MostOff)) {
			break
		}
	}
	return time.Time{}, nil
}

// isDecided says whether a slot has an outcome or will get one.
func isDecided(ctx context.Context, tx transaction, s *scheduleRow, slot time.Time) (bool, error) {
	c, err := coverage(ctx, tx, s, slot.Add(-time.Microsecond))
	return err == nil && c.has(slot), err
}
