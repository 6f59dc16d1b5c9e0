package schedule

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"tminus.dev/internal/ident"
)

// Schedule is a schedule as the ledger keeps it: what the active version of a
// launch plan asks for, and how far it has come.
type Schedule struct {
	// ID is the ledger's own number for the launch plan's schedule; it outlives versions.
	ID         int64
	LaunchPlan ident.ID
	Spec       Spec
	Active     bool
	// Paused says why an active schedule does not fire; empty means it does.
	Paused string
	// PausedUntil is when a paused schedule resumes by itself; zero means that somebody has to resume it.
	PausedUntil time.Time
	// PausedBy is who paused it.
	PausedBy string
	// Problem says why the schedule cannot be planned; empty means it can.
	Problem string
	// Cursor is the end of what has been decided: every slot up to it has a firing.
	Cursor time.Time
	// Anchor is the instant from which a rate counts.
	Anchor time.Time
	// Next is the first slot after Cursor; zero when there is none, or when the schedule does not fire.
	Next time.Time
	// Runs counts the slots recorded to be launched since activation.
	Runs int
	// Revision is the number of the change that made it what it is; 0 means that none was recorded.
	Revision  int
	UpdatedAt time.Time
}

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

// Firing is the record of what became of one slot, or of a run of missed slots.
type Firing struct {
	ScheduleID int64
	// Kind is why it was recorded; empty means Scheduled.
	Kind Kind
	// LaunchPlan is the version that was active when the slot was recorded.
	LaunchPlan ident.ID
	Slot       time.Time
	// Last and Count tell a run of missed slots from Slot to Last; otherwise Last is Slot and Count is 1.
	Last    time.Time
	Count   int
	Outcome Outcome
	// Reason says why a slot was skipped, missed or given up, or what the last failed attempt said.
	Reason string
	// Attempts counts failed launches.
	Attempts int
	// AttemptAt is when a pending firing is launched or tried again.
	AttemptAt time.Time
	// Deadline is when a launch that keeps failing is given up.
	Deadline time.Time
	Priority int
	// Overlap and MaxRunning are the policy under which the slot was recorded.
	Overlap    Overlap
	MaxRunning uint32
	// RecordedAt is when the firing was inserted, SettledAt when its outcome
	// became final; for a launched one, when the launch was accepted.
	RecordedAt, SettledAt time.Time
}

// Execution is the name of the execution that the firing launches.
func (f Firing) Execution() string { return ExecutionName(f.LaunchPlan, f.Slot) }

// Lateness is how long after its slot a launched firing was accepted.
func (f Firing) Lateness() time.Duration { return f.SettledAt.Sub(f.Slot) }

// maxFirings bounds what one Plan records, so that no transaction grows with
// the length of an outage. What is left is planned next.
const maxFirings = 1000

// Planned is what Plan decided: the firings to record and the schedule's new position.
type Planned struct {
	Firings []Firing
	Cursor  time.Time
	Next    time.Time
	Runs    int
	// Problem says why there is no next slot although the schedule has not ended; it is usually empty.
	Problem string
}

// Plan decides the slots of s after its cursor and up to now. Slots before
// since, the instant from which tminus has been able to fire without a break,
// are missed: catch-up says which of them launch late, and the rest become one
// missed run. The others all launch. An error means that s cannot be planned at all.
func Plan(s Schedule, now, since time.Time) (Planned, error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return Planned{}, err
	}
	p := planner{schedule: s, timetable: timetable, now: now, left: maxFirings, result: Planned{Cursor: s.Cursor, Runs: s.Runs}}
	slot := timetable.Next(s.Cursor)
	slot = p.catchUp(slot, since)
	for !slot.IsZero() && !slot.After(now) && p.room() {
		slot = p.launch(slot)
	}
	if p.exhausted() {
		slot = time.Time{}
	} else if slot.IsZero() && timetable.excludedFrom(p.result.Cursor) {
		p.result.Problem = "its exclusions take each slot after " + p.result.Cursor.UTC().Format(time.RFC3339)
	}
	p.result.Next = slot
	return p.result, nil
}

type planner struct {
	schedule  Schedule
	timetable Timetable
	now       time.Time
	left      int // firings that may still be recorded
	result    Planned
}

// catchUp decides the missed slots from slot on, all before since, and returns
// the first slot it left undecided.
func (p *planner) catchUp(slot, since time.Time) time.Time {
	policy := p.schedule.Spec.Policy
	window := cmp.Or(policy.CatchUpWindow, DefaultCatchUpWindow)
	oldest := p.now.Add(-window)
	limit := policy.CatchUp.limit()
	missed := func(t time.Time) bool { return !t.IsZero() && t.Before(since) && !t.After(p.now) }

	var run Firing
	drop := func() {
		if run.Count == 0 {
			run.Slot = slot
		}
		run.Last = slot
		run.Count++
		p.result.Cursor = slot
		slot = p.timetable.Next(slot)
	}
	for missed(slot) && (limit == 0 || slot.Before(oldest)) {
		drop()
	}
	if policy.CatchUp != CatchUpAll {
		// A finger runs ahead to the last missed slot; slot follows limit behind.
		kept := 0
		for head := slot; missed(head); head = p.timetable.Next(head) {
			if kept++; kept > limit {
				drop()
			}
		}
	}
	if run.Count > 0 {
		p.record(run.Slot, run.Last, run.Count, Missed,
			fmt.Sprintf("not running; catch-up is %s within %s", policy.CatchUp, window))
	}
	for missed(slot) && p.room() {
		slot = p.launch(slot)
	}
	return slot
}

// launch records slot to be launched and returns the slot after it.
func (p *planner) launch(slot time.Time) time.Time {
	next := p.timetable.Next(slot)
	p.record(slot, slot, 1, Pending, "")
	f := &p.result.Firings[len(p.result.Firings)-1]
	policy := p.schedule.Spec.Policy
	f.AttemptAt = slot.Add(p.schedule.jitter(slot, next))
	f.Deadline = later(p.now, f.AttemptAt).Add(cmp.Or(policy.LaunchDeadline, DefaultLaunchDeadline))
	f.Priority, f.Overlap, f.MaxRunning = policy.Priority, policy.Overlap, policy.MaxRunning
	p.result.Cursor = slot
	p.result.Runs++
	return next
}

func (p *planner) record(first, last time.Time, count int, outcome Outcome, reason string) {
	f := Firing{
		ScheduleID: p.schedule.ID, LaunchPlan: p.schedule.LaunchPlan,
		Slot: first, Last: last, Count: count,
		Outcome: outcome, Reason: reason,
		RecordedAt: p.now,
	}
	if outcome != Pending {
		f.SettledAt = p.now
	}
	p.result.Firings = append(p.result.Firings, f)
	p.left--
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *planner) room() bool { return p.left > 0 && !p.exhausted() }

// exhausted says that the schedule has fired as often as it may.
func (p *planner) exhausted() bool {
	limit := p.schedule.Spec.Policy.MaxRuns
	return limit > 0 && p.result.Runs >= limit
}

// jitter puts a launch off by an amount that is a function of the schedule and
// the slot alone, so that a repeated plan says the same.
func (s *Schedule) jitter(slot, next time.Time) time.Duration {
	most := s.Spec.Policy.Jitter
	if !next.IsZero() {
		most = min(most, next.Sub(slot)-time.Second)
	}
	if most <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprint(h, s.LaunchPlan.Key, slot.Unix())
	var sum [8]byte
	hash := time.Duration(binary.BigEndian.Uint64(h.Sum(sum[:0])) >> 1) // 63 bits: never negative.
	return (hash % most).Truncate(time.Microsecond)
}

// ErrRefused marks the error of a launch that no retry can help: the firing
// becomes dead with the error's text as its reason.
var ErrRefused = errors.New("launch refused")
