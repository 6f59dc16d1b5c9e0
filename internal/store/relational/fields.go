package relational

import "tminus.dev/internal/store"

// The enumerations of fields.
var (
	projectStates = map[string]any{
		"ACTIVE": int64(0), "ARCHIVED": int64(1), "SYSTEM_GENERATED": int64(2), "SYSTEM_ARCHIVED": int64(3),
	}
	entityStates = map[string]any{
		"NAMED_ENTITY_ACTIVE": int64(0), "NAMED_ENTITY_ARCHIVED": int64(1), "SYSTEM_GENERATED": int64(2),
	}
	planStates      = map[string]any{"INACTIVE": int64(0), "ACTIVE": int64(1)}
	executionStates = map[string]any{"EXECUTION_ACTIVE": int64(0), "EXECUTION_ARCHIVED": int64(1)}
	executionModes  = map[string]any{
		"MANUAL": int64(0), "SCHEDULED": int64(1), "SYSTEM": int64(2), "RELAUNCH": int64(3),
		"CHILD_WORKFLOW": int64(4), "RECOVERED": int64(5), "TRIGGER": int64(6),
	}
	scheduleTypes = map[string]any{"NONE": "NONE", "CRON": "CRON", "FIXED_RATE": "FIXED_RATE"}
	truths        = map[string]any{"false": int64(0), "true": int64(1)}
	phases        = names(store.Undefined, store.Queued, store.Running, store.Succeeded, store.Failed, store.Aborting,
		store.Aborted, store.TimedOut, store.Skipped, store.Recovered, store.Retryable, store.Succeeding, store.Failing,
		"DYNAMIC_RUNNING", "INITIALIZING", "WAITING_FOR_RESOURCES")
)

func names(phases ...store.Phase) map[string]any {
	m := make(map[string]any, len(phases))
	for _, p := range phases {
		m[string(p)] = string(p)
	}
	return m
}
