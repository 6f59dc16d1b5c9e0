package relational

import "tminus.dev/internal/store"

// Statement is a statement that runs over many rows, in SQLite's dialect.
type Statement struct{ Name, Text, Index string }

// Statements are those that must find their rows by an index, and what SQLite
// says when they do.
func Statements() ([]Statement, error) {
	var failed error
	listed := func(e *entity, q store.Query, scope ...condition) string {
		q.Limit = 10
		text, _, err := e.query(q, scope)
		if err != nil {
			failed = err
		}
		return text
	}
	key := store.Query{Project: "p", Domain: "d", Name: "n"}
	place := store.Query{Project: "p", Domain: "d"}
	filter := func(q store.Query, field, value string) store.Query {
		q.Filters = []store.Filter{{Field: field, Op: store.Eq, Values: []string{value}}}
		return q
	}
	ofSchedule := condition{sql: "f.schedule_id = ?"}
	pending := filter(key, "outcome", "pending")
	pending.SortBy, pending.Ascending = "slot", true
	pending, pendingScope := narrowed(pending) // What overlap policies read before every launch.
	bulk := func(s *Bulk) string { return s.Text("VALUES " + Values(2, len(s.Columns))) }

	statements := []Statement{
		{"due schedules", selectDue, "schedules_due"},
		{"due firings", selectDueFirings, "firings_pending (queue=? AND attempt_at<?)"},
		{"queues", selectQueues, "firings_pending (queue>?)"},
		{"pending firings that policies look at", selectPendingOf, "firings_waiting (schedule_id=?)"},
		{"launches under way that policies look at", selectOwnedOf, "firings_"},
		{"claimed firings", bulk(claimFirings), "firings USING PRIMARY KEY (slot=? AND schedule_id=?)"},
		{"firings launched again", bulk(reviveFirings), "firings USING PRIMARY KEY (slot=? AND schedule_id=?)"},
		{"firings of a session", selectOwned, "firings_owned (owner=?)"},
		{"released firings", releaseFirings, "firings_owned (owner=?)"},
		{"orphans", selectOrphans, "firings_owned"},
		{"firings that were given up", selectGivenUp, "firings_given_up ((settled_at,slot,schedule_id)>(?,?,?))"},
		{"due backlogs", selectDueBacklogs, "backlogs_due (next_at<?)"},
		{"open backlogs of a schedule", selectBacklogsOf, "backlogs_by_schedule (schedule_id=?)"},
		{"next step of a backlog", selectNextStep, "backlogs_due"},
		{"swept schedules", sweptNext, "s USING INTEGER PRIMARY KEY (rowid>?)"},
		{"old firings", selectOldFirings, "firings USING PRIMARY KEY ((slot,schedule_id)>(?,?) AND slot<?)"},
		{"deleted firings", deleteOldFirings, "firings USING PRIMARY KEY ((slot,schedule_id)>(?,?) AND (slot,schedule_id)<(?,?))"},
		{"schedules of a calendar", "SELECT s.id " + activeUsers + " AND u.schedule_id > ? ORDER BY u.schedule_id LIMIT ?", "u USING PRIMARY KEY (calendar=? AND schedule_id>?)"},
		{"old executions", selectOldExecutions, "executions_ended (ended_at>? AND ended_at<?)"},
		{"keys of running executions", selectRunningKeys, "executions_running"},
		{"revisions of a schedule", listed(&revisionEntity, store.Query{}, condition{sql: "r.schedule_id = ?"}), "r USING PRIMARY KEY (schedule_id=?)"},
		{"firings that wait for another attempt", selectWaiting, "firings_held (slot<?)"},
		{"alerts to tell", selectUntold, "alerts_untold"},
		{"oldest message", selectOldestMessage, "alert_messages_open (channel=?)"},
		{"next slot", selectNextSlot, "schedules_due"},
		{"moved schedules", bulk(moveSchedules), "schedules USING INTEGER PRIMARY KEY"},
		{"settled firings", bulk(settleFirings), "firings USING PRIMARY KEY (slot=? AND schedule_id=?)"},
		{"schedules", listed(&scheduleEntity, store.Query{}), "schedules_due"},
		{"recalled firings", selectScheduleID, "sqlite_autoindex_schedules_1 (project=? AND domain=? AND name=?)"},
		{"firings", listed(&firingEntity, store.Query{}), "SCAN f"},
		{"firings of a schedule", listed(&firingEntity, store.Query{}, ofSchedule), "firings_by_schedule (schedule_id=?)"},
		{"pending firings of a launch plan, by slot", listed(&firingEntity, pending, pendingScope...), "firings_waiting (schedule_id=?)"},
		{"skipped firings of a schedule that stops", skipPending, "firings_waiting (schedule_id=?)"},
		{"stopped firings of a schedule that stops", stopTried, "firings_waiting (schedule_id=?)"},
		{"dead firings", listed(&firingEntity, filter(store.Query{}, "outcome", "dead"),
			indexed(filter(store.Query{}, "outcome", "dead").Filters)...), "firings_unlaunched"},
		{"dead firings of a schedule", listed(&firingEntity, filter(store.Query{}, "outcome", "dead"),
			append(indexed(filter(store.Query{}, "outcome", "dead").Filters), ofSchedule)...), "firings_unlaunched_by_schedule (schedule_id=?)"},
		{"executions", listed(&executionEntity, place), "executions_by_age (project=? AND domain=?)"},
		{"executions of a launch plan", listed(&executionEntity, filter(place, "launch_plan.name", "n")), "executions_by_launched"},
		{"executions of a workflow", listed(&executionEntity, filter(place, "workflow.name", "n")), "executions_by_workflow"},
		{"queued executions", selectQueued, "executions_queued"},
		{"executions of a runner", selectHeld, "executions_in_progress"},
		{"executions of runners that are over", selectAbandoned, "executions_in_progress"},
		{"running executions", selectRunning, "executions_running"},
		{"launch plans", listed(&planEntity, place), "launch_plans_by_age"},
		{"workflows", listed(definitionEntity[store.Workflow], place, condition{sql: "kind = ?"}), "definitions_by_age"},
		{"names of launch plans", listed(namedEntities[store.LaunchPlan], place), "v USING COVERING INDEX"},
	}
	db := New(nil, nil, &Dialect{Outer: "CROSS", Instr: "instr"})
	for i := range statements {
		statements[i].Text = db.text(statements[i].Text)
	}
	return statements, failed
}
