package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/store"
)

// KeepTime says who keeps the time of all schedules from now on.
func (db *DB) KeepTime(ctx context.Context, k store.Keeper, now time.Time) (held int, err error) {
	err = db.update(ctx, "say who keeps time", func(tx transaction) error {
		rates, err := dueRates(ctx, tx, now) // Schedules are locked first by all who lock them.
		if err != nil {
			return err
		}
		var before store.Keeper
		if err := tx.row(ctx, `SELECT keeper FROM engine`+tx.haveRows("engine")).Scan(&before); err != nil {
			return err
		}
		if before == k && k != store.KeeperLocal {
			// What was activated at the moment of the change may have none, or that of before.
			if _, err := tx.exec(ctx, ruleBehind, micros(now), micros(now)); err != nil {
				return err
			}
		}
		if before != k {
			if err := alone(ctx, tx, before, now); err != nil {
				return err
			}
			if err := finishRates(ctx, tx, rates, now); err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `UPDATE engine SET keeper = ?`, string(k)); err != nil {
				return err
			}
			statement, args := ruleEach, []any{micros(now), micros(now)}
			if k == store.KeeperLocal {
				statement, args = ruleLook+` WHERE held <> ''`, args[:1]
			}
			if _, err := tx.exec(ctx, statement, args...); err != nil {
				return err
			}
		}
		return tx.row(ctx, `SELECT count(*) FROM rules WHERE held <> ''`).Scan(&held)
	})
	return held, err
}

// alone makes sure that nobody fires schedules whose time another keeps.
func alone(ctx context.Context, tx transaction, keeper store.Keeper, now time.Time) error {
	if !tx.db.dialect.Locks {
		return nil // Nobody else has this database open.
	}
	var others int
	if err := tx.row(ctx, `SELECT count(*) FROM sessions WHERE expires_at > ?`, micros(now)).Scan(&others); err != nil {
		return err
	}
	if others > 0 {
		return fmt.Errorf("%w: %s, for %d others on this database", store.ErrKept, keeper, others)
	}
	return nil
}

// Awake is when somebody who fires schedules last gave a sign of life; zero means that nobody ever did.
func (db *DB) Awake(ctx context.Context) (at time.Time, err error) {
	err = db.reading().row(ctx, `SELECT nullif(awake_at, 0) FROM engine`).Scan(instant{&at})
	return at, db.failed(ctx, "read who fires schedules", err)
}

const (
	ruleColumns = `INSERT INTO rules (schedule_id, generation, applied, tried, attempts, due_at, changed_at, held, error) `
	// What somebody is at is due when his lease is over. If it is to be looked at again
	// whatever he settles, it is due an instant later, by which settling tells.
	ruleAgain = ` ON CONFLICT (schedule_id) DO UPDATE SET generation = excluded.generation, attempts = 0,
		due_at = CASE WHEN rules.leased_until IS NULL THEN excluded.due_at ELSE rules.leased_until + 1 END`
	ruleLook   = `UPDATE rules SET due_at = CASE WHEN leased_until IS NULL THEN CAST(? AS BIGINT) ELSE leased_until + 1 END`
	ruleOne    = ruleColumns + `VALUES (?, ?, 0, 0, 0, ?, ?, '', '')` + ruleAgain
	ruleBehind = ruleColumns + `SELECT s.id, c.number, 0, 0, 0, CAST(? AS BIGINT), CAST(? AS BIGINT), '', ''
		FROM schedules s JOIN (SELECT schedule_id, max(number) AS number FROM revisions WHERE action IN ('activate', 'deactivate', 'pause', 'resume') GROUP BY schedule_id) c
			ON c.schedule_id = s.id LEFT JOIN rules r ON r.schedule_id = s.id
		WHERE CASE WHEN r.schedule_id IS NULL THEN s.active = 1 ELSE r.generation < c.number END ORDER BY s.id` + ruleAgain
	ruleEach = ruleColumns + `SELECT id, revision, 0, 0, 0, CAST(? AS BIGINT), CAST(? AS BIGINT), '', '' FROM schedules WHERE active = 1` + ruleAgain
)

// rule has whoever keeps time hold s as it is now.
func rule(ctx context.Context, tx transaction, s *scheduleRow, now time.Time) error {
	var k store.Keeper // It does not change under s: what is activated while it does is seen by the one or the other.
	err := tx.row(ctx, `SELECT keeper FROM engine`+tx.keepRows("engine")).Scan(&k)
	if err == nil && k != store.KeeperLocal {
		_, err = tx.exec(ctx, ruleOne, s.ID, int64(s.Revision), micros(now), micros(now))
	}
	if err != nil {
		return fmt.Errorf("record what AWS is to hold: %w", err)
	}
	return nil
}

// unrule has whoever keeps time look at schedules again that do not fire any more.
func unrule(ctx context.Context, tx transaction, ids []int64, now time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.exec(ctx, ruleLook+` WHERE schedule_id IN `+Values(1, len(ids)), append([]any{micros(now)}, arguments(ids)...)...)
	return err
}

const selectRules = `SELECT r.schedule_id, r.generation, s.project, s.domain, s.name, s.version, s.expression, s.kickoff_input, s.policy, s.anchor,
	CASE WHEN (SELECT keeper FROM engine) = 'local' THEN 0 ELSE s.active END, s.paused, s.problem, s.next_at, r.applied, r.tried, r.attempts, r.due_at, r.leased_until, r.changed_at, r.held, r.error
	FROM rules r {outer} JOIN schedules s ON s.id = r.schedule_id`

func scanRule(rows *sql.Rows) (r store.Rule, err error) {
	var s scheduleRow
	var policy string
	id := &r.LaunchPlan
	err = rows.Scan(&r.ScheduleID, &r.Generation, &id.Project, &id.Domain, &id.Name, &id.Version, &r.Spec.Expression, &r.Spec.KickoffInput, &policy,
		instant{&r.Anchor}, &r.Active, &s.Paused, &s.Problem, instant{&s.Next}, &r.Applied, &r.Tried, &r.Attempts, instant{&r.DueAt},
		instant{&r.LeasedUntil}, instant{&r.ChangedAt}, &r.Held, &r.Error)
	s.decode(policy)
	r.Spec.Policy = s.Spec.Policy
	r.Paused = s.Paused != ""
	if ended := s.Next.IsZero() && !r.Paused && s.Problem == ""; ended {
		r.Active = false
	}
	return r, err
}

// ClaimRules takes rules that are due.
func (db *DB) ClaimRules(ctx context.Context, now time.Time, lease time.Duration, limit int) (rules []store.Rule, err error) {
	err = db.update(ctx, "claim rules", func(tx transaction) (err error) {
		rules, err = collect(ctx, tx.session, scanRule, selectRules+` WHERE r.due_at <= ? ORDER BY r.due_at, r.schedule_id LIMIT ?`+tx.takeRows("r"), micros(now), limit)
		if err != nil || len(rules) == 0 {
			return err
		}
		until := now.Add(lease)
		ids := make([]any, len(rules))
		for i := range rules {
			ids[i] = rules[i].ScheduleID
			rules[i].LeasedUntil = until
		}
		_, err = tx.exec(ctx, `UPDATE rules SET tried = 1, due_at = ?, leased_until = ? WHERE schedule_id IN `+Values(1, len(ids)),
			append([]any{micros(until), micros(until)}, ids...)...)
		return err
	})
	return rules, err
}

var settleRules = &Bulk{
	Columns: append(
		columns(Int, "schedule_id, generation, tried, attempts, due_at, lease, now"),
		columns(Text, "held, error")...),
	text: `UPDATE rules SET applied = CASE WHEN v.error = '' THEN v.generation ELSE rules.applied END, tried = v.tried, attempts = v.attempts,
			due_at = CASE WHEN rules.due_at = rules.leased_until THEN v.due_at ELSE v.now END, leased_until = NULL, changed_at = v.now, held = v.held, error = v.error
		FROM v WHERE rules.schedule_id = v.schedule_id AND rules.leased_until = v.lease`,
}

// SettleRules records what became of rules that were claimed. Rates begin to count
// with that: their schedules are locked before their rules, as by all who change both.
func (db *DB) SettleRules(ctx context.Context, now time.Time, rules []store.Rule) error {
	var rates []store.Rule
	var ids []int64
	rest := make(map[int64]*store.Rule, len(rules))
	for i := range rules {
		if r := &rules[i]; begins(r) {
			rates = append(rates, *r)
		} else {
			ids, rest[r.ScheduleID] = append(ids, r.ScheduleID), r
		}
	}
	const operation = "settle rules"
	if len(rates) > 0 {
		if err := db.update(ctx, operation, func(tx transaction) error {
			if err := countSettled(ctx, tx, now, rates); err != nil {
				return err
			}
			var args []any
			for i := range rates {
				args = append(args, settledArgs(&rates[i], now)...)
			}
			_, err := tx.bulk(ctx, settleRules, args, nil)
			return err
		}); err != nil {
			return err
		}
	}
	_, err := db.changeRules(ctx, operation, ids, func(tx transaction, ids []int64) (int, error) {
		var args []any
		for _, id := range ids {
			args = append(args, settledArgs(rest[id], now)...)
		}
		return tx.bulk(ctx, settleRules, args, nil)
	})
	return err
}

func settledArgs(r *store.Rule, now time.Time) []any {
	return []any{
		r.ScheduleID, int64(r.Generation), flag(r.Tried), int64(r.Attempts), optional(r.DueAt), micros(r.LeasedUntil), micros(now), r.Held, r.Error,
	}
}

// changeRules calls change for rules of schedules: at once for those that nobody has
// locked, and then, in a transaction of its own, for each that somebody had. Those who
// change schedules lock rules of several, in whatever order; they would wait for one
// who waits here with a lock in hand, and he for them. It says how many changed.
func (db *DB) changeRules(ctx context.Context, operation string, ids []int64, change func(tx transaction, ids []int64) (int, error)) (changed int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	var taken []int64
	n := 0
	if err := db.update(ctx, operation, func(tx transaction) error {
		free, err := collect(ctx, tx.session, scanID, `SELECT schedule_id FROM rules WHERE schedule_id IN `+Values(1, len(ids))+tx.takeRows("rules"), arguments(ids)...)
		if err != nil {
			return err
		}
		taken = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return slices.Contains(free, id) })
		n, err = change(tx, free)
		return err
	}); err != nil {
		return 0, err
	}
	changed = n
	for _, id := range taken {
		if err := db.update(ctx, operation, func(tx transaction) error {
			n, err = change(tx, []int64{id})
			return err
		}); err != nil {
			return changed, err
		}
		changed += n
	}
	return changed, nil
}

// NextRule is when a rule is due next.
func (db *DB) NextRule(ctx context.Context) (next time.Time, err error) {
	err = db.reading().row(ctx, `SELECT min(due_at) FROM rules WHERE due_at IS NOT NULL`).Scan(instant{&next})
	return next, db.failed(ctx, "read the next rule", err)
}

// Rule is what is to be held for the schedule of a launch plan.
func (db *DB) Rule(ctx context.Context, key ident.Key) (store.Rule, error) {
	r, err := first(ctx, db.reading(), scanRule, selectRules+" WHERE r.schedule_id = "+scheduleID, key.Project, key.Domain, key.Name)
	return r, db.failed(ctx, "read the rule of "+key.String(), err)
}

// RulesOf are the rules of schedules, by their numbers.
func (db *DB) RulesOf(ctx context.Context, ids []int64) (map[int64]store.Rule, error) {
	byID := make(map[int64]store.Rule)
	if len(ids) == 0 {
		return byID, nil
	}
	rules, err := collect(ctx, db.reading(), scanRule, selectRules+" WHERE r.schedule_id IN "+Values(1, len(ids)), arguments(ids)...)
	for _, r := range rules {
		byID[r.ScheduleID] = r
	}
	return byID, db.failed(ctx, "read rules", err)
}

// EachRule visits all rules.
func (db *DB) EachRule(ctx context.Context, visit func(store.Rule) error) error {
	return visitEach(ctx, db, "list rules", scanRule, visit, selectRules+" ORDER BY r.schedule_id")
}

// renewals is how many rules are made due at once.
const renewals = 500

// RenewRules makes rules due that nobody is at.
func (db *DB) RenewRules(ctx context.Context, now time.Time, ids []int64) (renewed int, err error) {
	const operation = "renew rules"
	if ids == nil {
		if ids, err = collect(ctx, db.reading(), scanID, `SELECT schedule_id FROM rules WHERE leased_until IS NULL`); err != nil {
			return 0, db.failed(ctx, operation, err)
		}
	}
	for some := range slices.Chunk(ids, renewals) {
		n, err := db.changeRules(ctx, operation, some, func(tx transaction, ids []int64) (int, error) {
			if len(ids) == 0 {
				return 0, nil
			}
			r, err := tx.exec(ctx, `UPDATE rules SET due_at = ?, attempts = 0 WHERE leased_until IS NULL AND schedule_id IN `+Values(1, len(ids)),
				append([]any{micros(now)}, arguments(ids)...)...)
			if err != nil {
				return 0, err
			}
			n, err := r.RowsAffected()
			return int(n), err
		})
		renewed += n
		if err != nil {
			return renewed, err
		}
	}
	return renewed, nil
}
