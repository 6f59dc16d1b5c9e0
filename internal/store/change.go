package store

import (
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// Change says who changed something, why, and when.
type Change struct {
	// By is a principal, such as ada@laptop; what a client claims to be until somebody asks it to prove it.
	By string
	// Why is for people; empty when nobody said.
	Why string
	At  time.Time
}

// RedriveQuery picks dead firings. Empty fields do not restrict.
type RedriveQuery struct {
	Project, Domain, Name string
	Slot                  time.Time
}

// BacklogDone is what Ended says of a backlog that was recorded to its end; what else it says is why one was cancelled.
const BacklogDone = "done"

// Backlog is a range of slots to be recorded as firings bit by bit, beside those that come due.
type Backlog struct {
	ID         int64
	ScheduleID int64
	// LaunchPlan is the version that its firings launch.
	LaunchPlan ident.ID
	// Kind is schedule.KindBackfill for a range that somebody asked for, schedule.KindCatchUp for one that came due while nothing could fire.
	Kind schedule.Kind
	// First and Last bound the slots, both inclusive.
	First, Last time.Time
	// Cursor is the last slot recorded; zero means that none is. What follows it, or with NewestFirst precedes it, is left.
	Cursor      time.Time
	NewestFirst bool
	// PerMinute is how many slots are recorded in a minute at most; 0 means as many as the engine sees fit.
	PerMinute int
	// Include are outcomes beside "no firing" and Missed whose slots are launched again: Skipped, Dead.
	Include []schedule.Outcome
	// By and Note are who asked for it, and why.
	By, Note  string
	CreatedAt time.Time
	// EndedAt is zero, and Ended empty, until it is done or cancelled.
	EndedAt time.Time
	// Ended is BacklogDone, or why it was cancelled.
	Ended string
	// Recorded counts the firings that launch because of it, Launched and Failed those of them that were launched or are dead.
	Recorded, Launched, Failed int
}

// Revision is the state of a schedule from an instant on.
type Revision struct {
	ScheduleID int64
	// Number counts the revisions of one schedule from 1 on.
	Number int
	// LaunchPlan is the version in force, and Spec its schedule.
	LaunchPlan ident.ID
	Spec       schedule.Spec
	// Anchor is the instant from which a rate counts.
	Anchor time.Time
	Active bool
	// Paused says why it is paused, PausedUntil until when: zero means until somebody resumes it.
	Paused      string
	PausedUntil time.Time
	// Action is the change that made it: activate, deactivate, pause, resume, redrive, or skip, unskip and run with the
	// slot, or calendar with the name of one that was changed; and problem where the schedule was set aside as it could
	// not be planned, with Why.
	Action string
	// By, Why and At are those of the Change.
	By, Why string
	At      time.Time
	// From is the instant after which slots are decided by this revision.
	From time.Time
}
