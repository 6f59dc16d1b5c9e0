package relational

import (
	"context"
	"database/sql"
	"fmt"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

var revisionEntity = entity{
	noun: "revisions", prefix: "revision",
	columns: "r.schedule_id, r.number, p.project, p.domain, p.name, p.version, r.expression, r.kickoff_input, r.policy, r.active," +
		" r.paused, r.paused_until, r.action, r.by_whom, r.why, r.at, r.from_at, r.anchor",
	from: "revisions r {outer} JOIN launch_plans p ON p.id = r.plan_id",
	fields: map[string]field{
		"number":  {column: "r.number", kind: integer},
		"version": {column: "p.version"},
		"action":  {column: "r.action"},
		"by":      {column: "r.by_whom"},
		"at":      {column: "r.at", kind: instants},
	},
	order: "r.number DESC", tie: []string{"r.number"},
}

func scanRevision(rows *sql.Rows) (r store.Revision, err error) {
	var s scheduleRow
	var policy string
	id := &r.LaunchPlan
	err = rows.Scan(&r.ScheduleID, &r.Number, &id.Project, &id.Domain, &id.Name, &id.Version, &r.Spec.Expression, &r.Spec.KickoffInput, &policy,
		&r.Active, &r.Paused, instant{&r.PausedUntil}, &r.Action, &r.By, &r.Why, instant{&r.At}, instant{&r.From}, instant{&r.Anchor})
	s.decode(policy)
	r.Spec.Policy = s.Spec.Policy
	return r, err
}

// actionProblem is the action of a revision with which a schedule was set aside,
// until one that makes it fire again.
const actionProblem = "problem"

// revise records what a schedule is from its cursor on, as the next revision.
func revise(ctx context.Context, tx transaction, s *scheduleRow, action string, c store.Change) error {
	policy, err := encode(s.Spec.Policy)
	if err != nil {
		return err
	}
	if s.unread != nil {
		policy = "" // What cannot be read is not worth repeating.
	}
	err = tx.row(ctx, `UPDATE schedules SET revision = revision + 1 WHERE id = ? RETURNING revision`, s.ID).Scan(&s.Revision)
	if err != nil {
		return fmt.Errorf("count revisions: %w", err)
	}
	if _, err := tx.exec(ctx, `INSERT INTO revisions (schedule_id, number, plan_id, expression, kickoff_input, policy, anchor, active, paused, paused_until,
			action, by_whom, why, at, from_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, int64(s.Revision), s.plan, s.Spec.Expression, s.Spec.KickoffInput, policy, micros(s.Anchor), flag(s.Active), s.Paused, optional(s.PausedUntil),
		action, c.By, c.Why, micros(c.At), micros(s.Cursor)); err != nil {
		return fmt.Errorf("record revision: %w", err)
	}
	switch action {
	case "activate", "deactivate", "pause", "resume":
		return rule(ctx, tx, s, c.At)
	}
	return nil
}

// Revisions lists the revisions of a launch plan's schedule, the newest first.
func (db *DB) Revisions(ctx context.Context, key ident.Key, q store.Query) ([]store.Revision, error) {
	q.Project, q.Domain, q.Name = "", "", ""
	return list(ctx, db, &revisionEntity, q, scanRevision, condition{
		"r.schedule_id = " + scheduleID,
		[]any{key.Project, key.Domain, key.Name},
	})
}
