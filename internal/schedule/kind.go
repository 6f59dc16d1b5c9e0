package schedule

// Kind says why a slot was recorded.
type Kind string

// The kinds of firings.
const (
	// Scheduled firings came due, and were recorded then.
	Scheduled Kind = "scheduled"
	// CaughtUp firings came due while nothing could fire.
	CaughtUp Kind = "catch-up"
	// Backfilled firings were asked for as part of a range of slots.
	Backfilled Kind = "backfill"
	// Manual firings were asked for one by one.
	Manual Kind = "manual"
)
