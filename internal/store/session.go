package store

import (
	"errors"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/schedule"
)

// ErrGone says that a session is over: it was not renewed in time, and what it
// had claimed is somebody else's.
var ErrGone = errors.New("the session is over")

// Beat is what an engine learns when it renews its session.
type Beat struct {
	// Session is the engine's session; another one than it had when that is over.
	Session int64
	// Since is the instant from which an engine has been able to fire without a
	// break, on whichever replica: slots before it were missed.
	Since time.Time
	// Replicas is how many sessions there are, this one included.
	Replicas int
	// Released counts the firings that sessions which are over had claimed, and
	// that anybody can launch now.
	Released int
}

// Claim asks for firings to launch.
type Claim struct {
	Session int64
	Now     time.Time
	// Behind asks for catch-up and backfills; otherwise for what is launched before them.
	Behind bool
	// Share says how many firings of each project to take, at most.
	Share func(projects []string) []int
	// Verify says that executions are elsewhere, so that one may be there of which nothing is here.
	Verify bool
}

// Claimed is what a Claim came to, as it is recorded.
type Claimed struct {
	// Launch holds the firings that are the session's to launch.
	Launch []schedule.Firing
	// Verify holds firings that were tried before, are to be judged, and have no
	// execution here: they are the session's, to find out whether they have one elsewhere.
	Verify []schedule.Firing
	// Settled holds those that their policies settled.
	Settled []schedule.Firing
	// End holds the executions that are to be ended in favour of a firing, which waits for that.
	End []End
	// More says that other firings are due.
	More bool
}

// End is an execution that has to make place for a firing.
type End struct {
	Execution ident.Key
	For       schedule.Firing
}

// Advanced is what an Advance came to.
type Advanced struct {
	// Schedules counts those that were taken.
	Schedules int
	// Launch holds the recorded firings that are the session's to launch.
	Launch []schedule.Firing
	// Dropped holds the ranges of slots that were recorded as missed or skipped, and
	// the slots at which schedules were set aside: those are missed, and recorded
	// with the ones that follow once the schedule fires again.
	Dropped []schedule.Firing
}

// Filled is what a Fill came to.
type Filled struct {
	// Recorded counts the firings that are to launch because of it.
	Recorded int
	// Launch holds those of them that are the session's to launch.
	Launch []schedule.Firing
}

// Swept is what checking some schedules found.
type Swept struct {
	// Last is the schedule to go on after; 0 when all are checked.
	Last int64
	// Schedules counts those that were checked.
	Schedules int
	// Repairs holds what was wrong, and is not any more.
	Repairs []Repair
}

// Repair is a gap in the ledger that was found and closed.
type Repair struct {
	LaunchPlan ident.ID
	// Slot had no outcome; zero where something else was wrong.
	Slot time.Time
	// Found says what was wrong, and what was done.
	Found string
}

// Retention says what is old enough to be deleted; a zero time keeps all.
type Retention struct {
	// Firings were settled, and Executions ended, before these.
	Firings, Executions time.Time
	// Messages about alerts were settled before this, or were to be.
	Messages time.Time
	// Keep is how many of the latest executions of each launch plan stay.
	Keep int
	// After is where to go on; zero begins with the oldest.
	After Place
}

// Place is a firing and an execution that ended, each in the order of their age.
type Place struct {
	Slot        time.Time
	ScheduleID  int64
	EndedAt     time.Time
	ExecutionID int64
}

// Pruned is what was deleted.
type Pruned struct {
	Firings, Messages int
	Executions        []Execution
	// After is the place of the last ones that were looked at.
	After Place
	// More says that there are more to look at.
	More bool
}
