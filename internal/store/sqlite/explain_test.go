package sqlite

import (
	"strings"
	"testing"

	"tminus.dev/internal/store"
)

// TestListsUseTheirIndexes keeps what runs over millions of rows from reading
// or sorting them all.
func TestListsUseTheirIndexes(t *testing.T) {
	db, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	listed := func(e *entity, q store.Query, scope ...condition) string {
		t.Helper()
		q.Limit = 10
		text, _, err := e.query(q, scope)
		if err != nil {
			t.Fatal(err)
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

	for _, c := range []struct{ name, query, index string }{
		{"due schedules", selectDue, "schedules_due"},
		{"due firings", selectPending, "firings_pending"},
		{"next slot", selectNextSlot, "schedules_due"},
		{"next attempt", selectNextAttempt, "firings_pending (priority=?)"},
		{"moved schedules", moveSchedules(2), "schedules USING INTEGER PRIMARY KEY"},
		{"settled firings", settleFirings(2), "firings USING PRIMARY KEY (slot=? AND schedule_id=?)"},
		{"schedules", listed(&scheduleEntity, store.Query{}), "schedules_due"},
		{"firings", listed(&firingEntity, store.Query{}), "SCAN f"},
		{"firings of a schedule", listed(&firingEntity, store.Query{}, ofSchedule), "firings_by_schedule (schedule_id=?)"},
		{"pending firings of a launch plan, by slot", listed(&firingEntity, pending, pendingScope...), "firings_waiting (schedule_id=?)"},
		{"skipped firings of a schedule that stops", skipPending, "firings_waiting (schedule_id=?)"},
		{"dead firings", listed(&firingEntity, filter(store.Query{}, "outcome", "dead"),
			indexed(filter(store.Query{}, "outcome", "dead").Filters)...), "firings_unlaunched"},
		{"dead firings of a schedule", listed(&firingEntity, filter(store.Query{}, "outcome", "dead"),
			append(indexed(filter(store.Query{}, "outcome", "dead").Filters), ofSchedule)...), "firings_unlaunched_by_schedule (schedule_id=?)"},
		{"executions", listed(&executionEntity, place), "executions_by_age (project=? AND domain=?)"},
		{"executions of a launch plan", listed(&executionEntity, filter(place, "launch_plan.name", "n")), "executions_by_launched"},
		{"executions of a workflow", listed(&executionEntity, filter(place, "workflow.name", "n")), "executions_by_workflow"},
		{"open executions", selectOpen(""), "executions_open"},
		{"running executions", selectRunning, "executions_running"},
		{"launch plans", listed(&planEntity, place), "launch_plans_by_age"},
		{"workflows", listed(definitionEntity[store.Workflow], place, condition{sql: "kind = ?"}), "definitions_by_age"},
		{"names of launch plans", listed(namedEntities[store.LaunchPlan], place), "v USING COVERING INDEX"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, err := db.write.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+c.query, make([]any, strings.Count(c.query, "?"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var plan strings.Builder
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				plan.WriteString(detail + "\n")
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(plan.String(), c.index) || strings.Contains(plan.String(), "TEMP B-TREE") {
				t.Errorf("it does not use %s, or it sorts:\n%s", c.index, plan.String())
			}
		})
	}
}
