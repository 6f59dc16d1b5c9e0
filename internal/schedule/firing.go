package schedule

import (
	"cmp"
	"errors"
	"time"

	"tminus.dev/internal/ident"
)

// Outcome is what became of a slot.
type Outcome string

// The outcomes. Pending is the one that is not final.
const (
	Pending  Outcome = "pending"
	Launched Outcome = "launched"
	Skipped  Outcome = "skipped"
	Missed   Outcome = "missed"
	Dead     Outcome = "dead"
)

// Kind says what recorded a firing. Every firing has one.
type Kind string

// The kinds.
const (
	KindScheduled Kind = "scheduled" // the slot came due, or was missed and dropped
	KindCatchUp   Kind = "catch-up"  // the slot was missed, and launches late
	KindBackfill  Kind = "backfill"  // somebody asked for the slots of a range
	KindManual    Kind = "manual"    // somebody asked for a launch at once
)

// Firing is the record of what became of one slot, or of a run of slots none of which launched.
type Firing struct {
	ScheduleID int64
	// LaunchPlan is the version that was active when the slot was recorded.
	LaunchPlan ident.ID
	Kind       Kind
	Slot       time.Time
	// Last and Count tell a run of slots from Slot to Last; otherwise Last is Slot and Count is 1.
	Last    time.Time
	Count   int
	Outcome Outcome
	// Reason says why a slot was skipped, missed or given up, or what the last failed attempt said.
	Reason string
	// Behind says that the firing launches beside live ones and never before them.
	Behind bool
	// Owner is the session that launches a pending firing; 0 means nobody does.
	Owner int64
	// Tried says that a launch was begun at least once, so that the execution may be there.
	Tried bool
	// Stopped says why a pending firing is to be skipped, unless it turns out to have been launched; empty means it is not.
	Stopped string
	// Attempts counts failed launches.
	Attempts int
	// Relaunches counts executions that were accepted and could not be started; each
	// has used up a name.
	Relaunches int
	// AttemptAt is when a pending firing is launched or tried again.
	AttemptAt time.Time
	// Deadline is when a launch that keeps failing is given up.
	Deadline time.Time
	Priority int
	// Overlap, MaxRunning and Buffer are the policy under which the slot was
	// recorded; each zero value means what it does in Policy.
	Overlap    Overlap
	MaxRunning uint32
	Buffer     int
	// RecordedAt is when the firing was inserted, SettledAt when its outcome
	// became final; for a launched one, when the launch was accepted.
	RecordedAt, SettledAt time.Time
}

// Execution is the name of the execution that the firing launches.
func (f Firing) Execution() string { return executionName(f.LaunchPlan, f.Slot, f.Relaunches) }

// Lateness is how long after its slot a launched firing was accepted.
func (f Firing) Lateness() time.Duration { return f.SettledAt.Sub(f.Slot) }

// pending is the firing that launches slot, from now on until its deadline.
func pending(s Schedule, kind Kind, slot, now time.Time) Firing {
	policy := s.Spec.Policy
	return Firing{
		ScheduleID: s.ID, LaunchPlan: s.LaunchPlan, Kind: kind,
		Slot: slot, Last: slot, Count: 1, Outcome: Pending,
		AttemptAt: now, Deadline: now.Add(cmp.Or(policy.LaunchDeadline, DefaultLaunchDeadline)),
		Priority: policy.Priority, Overlap: policy.Overlap, MaxRunning: policy.MaxRunning, Buffer: policy.Buffer,
		RecordedAt: now,
	}
}

// What the error of a launch may be marked with, by wrapping one of these; its
// text is the reason that the firing then has.
var (
	// ErrRefused says that no retry can help: the firing becomes dead.
	ErrRefused = errors.New("launch refused")
	// ErrSkipped says that a policy of whoever launches left the slot out: the firing is skipped.
	ErrSkipped = errors.New("launch skipped")
	// ErrHeld says that the launch was put off because of all launches, not of this
	// one: the firing waits, and none of its attempts is used up.
	ErrHeld = errors.New("launch held back")
)

// RunNow is the firing that launches slot at once because somebody asked for it.
func RunNow(s Schedule, slot, now time.Time) Firing { return pending(s, KindManual, slot, now) }

// Again is f as it launches anew at now, behind live firings, with the deadline
// that s gives a launch.
func Again(s Schedule, f Firing, now time.Time) Firing {
	again := pending(s, f.Kind, f.Slot, now)
	again.LaunchPlan, again.Overlap, again.MaxRunning, again.Buffer, again.Priority = f.LaunchPlan, f.Overlap, f.MaxRunning, f.Buffer, f.Priority
	again.Behind, again.Tried, again.RecordedAt, again.Relaunches = true, f.Tried, f.RecordedAt, f.Relaunches
	return again
}

// Relaunch is f, whose execution was accepted and could not be started, as
// reason says: it launches again, under another name, a while after now; or is
// dead where its deadline is over or stopped says why it is not to launch any more.
func (f Firing) Relaunch(reason, stopped string, now time.Time) Firing {
	f.Outcome, f.Reason, f.Owner, f.Tried, f.SettledAt = Pending, reason, 0, false, time.Time{}
	f.Relaunches++
	f.Attempts++
	f.AttemptAt = now.Add(Pause(f.Attempts))
	if stopped != "" || f.AttemptAt.After(f.Deadline) {
		f.Outcome, f.SettledAt = Dead, now
	}
	if stopped != "" {
		f.Reason += "; it is not launched again: " + stopped
	}
	return f
}

// The pause before a failed launch is tried again doubles from the first to the last of these.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// Pause is how long the next attempt waits after so many, which failed.
func Pause(attempts int) time.Duration {
	return min(firstPause<<min(max(attempts-1, 0), 20), lastPause)
}

// Found is the firing of a slot of s that should have one and has none: it
// launches late, behind live firings, where catch-up allows a slot of its age, and
// was missed otherwise.
func Found(s Schedule, slot, now time.Time) Firing {
	policy := s.Spec.Policy
	if policy.CatchUp == CatchUpNone || slot.Before(now.Add(-cmp.Or(policy.CatchUpWindow, DefaultCatchUpWindow))) {
		return Lost(s, slot, now)
	}
	f := pending(s, KindCatchUp, slot, now)
	f.Behind = true
	return f
}

// Lost is the firing of a slot of s that should have one, has none, and does not launch any more.
func Lost(s Schedule, slot, now time.Time) Firing {
	return Firing{
		ScheduleID: s.ID, LaunchPlan: s.LaunchPlan, Kind: KindScheduled, Slot: slot, Last: slot, Count: 1,
		Outcome: Missed, Reason: "found without an outcome", RecordedAt: now, SettledAt: now,
	}
}
