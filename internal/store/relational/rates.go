package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// A rate counts from when its keeper begins to: from when AWS was told of it. Until
// then it has no slots, whatever a preview says.

// isCounted is that the keeper holds the rate that a row of schedules has. What it
// holds is the schedule as it was at the revision that was applied.
const isCounted = `EXISTS (SELECT 1 FROM rules r JOIN revisions a ON a.schedule_id = r.schedule_id AND a.number = r.applied
	WHERE r.schedule_id = schedules.id AND r.held <> '' AND a.active = 1 AND a.paused = '' AND a.expression = schedules.expression)`

// isRate is that the expression of a row of schedules counts, or perhaps more than that.
const isRate = `(expression LIKE '%rate(%' OR expression LIKE '%@every%')`

// uncounted says that s is a rate that its keeper does not count yet.
func uncounted(ctx context.Context, tx transaction, s *scheduleRow) (is bool, err error) {
	if !s.Spec.IsRate() {
		return false, nil
	}
	err = tx.row(ctx, `SELECT CASE WHEN (SELECT keeper FROM engine) = 'local' OR `+isCounted+` THEN 0 ELSE 1 END FROM schedules WHERE id = ?`, s.ID).Scan(&is)
	return is, err
}

// recount has a rate count from an instant. The slots that it is thought to have
// had are decided up to a time: those of which there was no word were missed.
func recount(ctx context.Context, tx transaction, s *scheduleRow, from, until, now time.Time, why string) error {
	have, err := firingsAfter(ctx, tx, []scheduleRow{*s})
	if err != nil {
		return err
	}
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return err
	}
	for _, slot := range have[s.ID] { // What fired ahead of others stays a slot, and so do they.
		if !slot.After(from) && timetable.Match(slot) {
			until = later(until, slot)
		}
	}
	for !s.Next.IsZero() && !s.Next.After(until) {
		planned, err := schedule.Audit(s.Schedule, until, now, schedule.Silent(until), have[s.ID])
		if err != nil {
			return err
		}
		if _, err := record(ctx, tx, []plannedRow{{s, planned, nil}}, now); err != nil {
			return err
		}
		if !planned.Cursor.After(s.Cursor) {
			break
		}
		s.Cursor, s.Next, s.Runs = planned.Cursor, planned.Next, planned.Runs
	}
	if s.Next.IsZero() || s.Anchor.Equal(from) {
		return nil // It has ended, or counts from there anyhow.
	}
	s.Anchor = from
	planned, err := plan(s, s.Cursor, s.Cursor)
	if err != nil {
		return err
	}
	s.Next = planned.Next
	if _, err := tx.exec(ctx, `UPDATE schedules SET anchor = ?, next_at = ? WHERE id = ?`, micros(from), optional(s.Next), s.ID); err != nil {
		return err
	}
	return revise(ctx, tx, s, actionAnchor, store.Change{By: "tminus", Why: why, At: now})
}

// dueRates are rates that have slots which are not decided. It locks them.
func dueRates(ctx context.Context, tx transaction, now time.Time) ([]scheduleRow, error) {
	due, err := collect(ctx, tx.session, scanSchedule, "SELECT "+scheduleEntity.columns+" FROM schedules s WHERE active = 1 AND next_at <= ? AND "+isRate+
		" ORDER BY s.id"+tx.lockRows("s"), micros(now))
	if err != nil {
		return nil, fmt.Errorf("find schedules: %w", err)
	}
	return due, nil
}

// finishRates decides the slots of due rates up to now, before somebody else counts them.
func finishRates(ctx context.Context, tx transaction, due []scheduleRow, now time.Time) error {
	since, err := sinceWhen(ctx, tx, now)
	if err != nil {
		return err
	}
	for i := range due {
		if err := finish(ctx, tx, &due[i], now, since); err != nil {
			return err
		}
	}
	return nil
}

// countsFrom is why a rate counts from an instant.
func countsFrom(from time.Time) string {
	return "the rate counts from " + from.UTC().Format(time.RFC3339) + " in AWS"
}

// begins says that a rule which was settled may be one with which a rate begins to count.
func begins(r *store.Rule) bool { return r.Error == "" && r.Active && !r.Paused && r.Spec.IsRate() }

// countSettled has rates count from now whose rules are applied: where nothing was
// held for them, or something else. Schedules are locked before rules.
func countSettled(ctx context.Context, tx transaction, now time.Time, rules []store.Rule) error {
	rates, ids := make(map[int64]*store.Rule, len(rules)), make([]int64, len(rules))
	for i := range rules {
		ids[i], rates[rules[i].ScheduleID] = rules[i].ScheduleID, &rules[i]
	}
	schedules, err := collect(ctx, tx.session, scanSchedule, "SELECT "+scheduleEntity.columns+" FROM schedules s WHERE s.id IN "+Values(1, len(ids))+
		" ORDER BY s.id"+tx.lockRows("s"), arguments(ids)...)
	if err != nil {
		return fmt.Errorf("find schedules: %w", err)
	}
	for i := range schedules {
		s, r := &schedules[i], rates[schedules[i].ID]
		if !s.Active || s.Paused != "" || s.Problem != "" || s.Spec.Expression != r.Spec.Expression {
			continue // It is applied again.
		}
		var before string
		var leased time.Time
		if err := tx.row(ctx, `SELECT held, leased_until FROM rules WHERE schedule_id = ?`, s.ID).Scan(&before, instant{&leased}); err != nil {
			return err
		}
		if !leased.Equal(r.LeasedUntil) {
			continue // It is another's by now.
		}
		fresh, err := uncounted(ctx, tx, s)
		if err != nil {
			return err
		}
		if !fresh && before == r.Held {
			continue
		}
		until := s.Cursor
		if !fresh {
			until = now // It counted until it was moved.
		}
		if err := recount(ctx, tx, s, now, until, now, countsFrom(now)); err != nil {
			return err
		}
		if before == "" {
			continue
		}
		if _, err := tx.exec(ctx, `UPDATE rules SET replaced_at = ? WHERE schedule_id = ?`, micros(now), s.ID); err != nil {
			return err
		}
	}
	return nil
}

// leftover is for how long word may still come of a rule that another has replaced.
const leftover = 2 * time.Minute

// counts says why word of t does not tell from when a rate counts; empty means that it does.
func counts(ctx context.Context, tx transaction, s *scheduleRow, t time.Time) (problem string, err error) {
	var held string
	var replaced time.Time
	err = tx.row(ctx, `SELECT held, replaced_at FROM rules WHERE schedule_id = ?`, s.ID).Scan(&held, instant{&replaced})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for the rule: %w", err)
	}
	pending, err := uncounted(ctx, tx, s)
	if err != nil {
		return "", err
	}
	at := t.UTC().Format(time.RFC3339)
	switch timetable, err := s.Spec.Compile(s.Anchor); {
	case err != nil:
		return "", err
	case pending && held != "":
		return fmt.Sprintf("%s is no slot of %s, which AWS does not hold yet: it is word of what it holds", at, s.Spec.Expression), nil
	case !replaced.IsZero() && t.Before(replaced.Add(min(leftover, timetable.Period()/2))):
		return fmt.Sprintf("%s is no slot of %s, which AWS holds since %s: it is word of what it held before", at, s.Spec.Expression, replaced.UTC().Format(time.RFC3339)), nil
	}
	return "", nil
}
