package schedule

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
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
	// PausedBy says who paused it, and PausedUntil when it goes on by itself; zero means when it is resumed.
	PausedBy    string
	PausedUntil time.Time
	// Problem says why the schedule cannot be planned; empty means it can.
	Problem string
	// Cursor is the end of what has been decided: every slot up to it has a firing, or is in a backlog.
	Cursor time.Time
	// Anchor is the instant from which a rate counts.
	Anchor time.Time
	// Next is the first slot after Cursor; zero when there is none, or when the schedule does not fire.
	Next time.Time
	// Runs counts the slots recorded to be launched since activation.
	Runs int
	// Ahead are slots after Cursor that have a firing already, since somebody
	// skipped them or ran them early, or word of them came before that of others.
	// They are no runs, so it is set where Runs is limited, and for Intake where a
	// rate may turn out to count from another instant; elsewhere it does not matter.
	Ahead []time.Time
	// Revision is the number of the change that made it what it is; 0 means that none was recorded.
	Revision  int
	UpdatedAt time.Time
}

// maxFirings bounds what one Plan records, so that no transaction grows with
// the time since the last one. What is left is planned next.
const maxFirings = 1000

// catchUpAtOnce is how many missed slots a Plan records as firings itself. More
// of them become a backlog.
const catchUpAtOnce = 10

// Planned is what Plan decided: the firings to record and the schedule's new position.
type Planned struct {
	Firings []Firing
	// Backlog holds the missed slots that are to launch and are too many for
	// Firings; nil means there are none. Its slots are decided, so they lie before Cursor.
	Backlog *Backlog
	Cursor  time.Time
	Next    time.Time
	Runs    int
	// Problem says why there is no next slot although the schedule has not ended; it is usually empty.
	Problem string
}

// Plan decides the slots of s after its cursor and up to now. Slots before
// since, the instant from which tminus has been able to fire without a break,
// are missed: catch-up says which of them launch late, behind the live ones,
// and the rest become one missed run. The others are live, and all launch. It
// takes no longer for many missed slots than for one. An error means that s
// cannot be planned at all.
func Plan(s Schedule, now, since time.Time) (Planned, error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return Planned{}, err
	}
	p := newPlanner(s, timetable, now, now)
	slot := timetable.Next(s.Cursor)
	if p.due(slot) && slot.Before(since) {
		p.catchUp(slot, earlier(now, since.Add(-time.Nanosecond)), Down(since))
		slot = timetable.Next(p.result.Cursor)
	}
	for p.due(slot) && len(p.result.Firings) < maxFirings {
		slot = p.launch(slot)
	}
	return p.planned(slot), nil
}

// Down is why slots before since were missed: nothing could fire.
func Down(since time.Time) string { return "down until " + since.UTC().Format(time.RFC3339) }

type planner struct {
	schedule  Schedule
	timetable Timetable
	// Slots up to until are due at now.
	until, now time.Time
	result     Planned
}

func newPlanner(s Schedule, timetable Timetable, until, now time.Time) planner {
	return planner{schedule: s, timetable: timetable, until: until, now: now, result: Planned{Cursor: s.Cursor, Runs: s.Runs}}
}

// planned is the result, with next as the first slot that is not decided.
func (p *planner) planned(next time.Time) Planned {
	if p.exhausted() {
		next = time.Time{}
	} else if next.IsZero() && p.timetable.excludedFrom(p.result.Cursor) {
		p.result.Problem = "its exclusions take each slot after " + p.result.Cursor.UTC().Format(time.RFC3339)
	}
	p.result.Next = next
	return p.result
}

// due says that slot is one, and not after until.
func (p *planner) due(slot time.Time) bool {
	return !slot.IsZero() && !slot.After(p.until) && !p.exhausted()
}

// catchUp decides the missed slots, of which first is the first, up to a time.
// why is the reason of those that never launch.
func (p *planner) catchUp(first, to time.Time, why string) {
	policy := p.schedule.Spec.Policy
	window := cmp.Or(policy.CatchUpWindow, DefaultCatchUpWindow)
	before := p.result.Cursor                                  // every missed slot is after it
	young := later(before, p.now.Add(-window-time.Nanosecond)) // those in the window are after this
	missed, fresh := p.timetable.Count(before, to), p.timetable.Count(young, to)
	kept := min(fresh, policy.CatchUp.limit())
	lastMissed := p.timetable.Prev(to.Add(time.Nanosecond))

	lastDropped, firstKept := lastMissed, time.Time{}
	if kept > 0 {
		firstKept = p.timetable.nth(young, to, fresh-kept+1, fresh)
		lastDropped = p.timetable.Prev(firstKept)
	}
	if dropped := missed - kept; dropped > 0 {
		p.miss(first, lastDropped, dropped, why)
		p.result.Cursor = lastDropped
	}
	if kept == 0 {
		return
	}
	lastKept := lastMissed
	if left := p.runsLeft(); kept > left {
		// With the last run the schedule ends; what follows is no slot of it.
		lastKept = p.timetable.nth(firstKept.Add(-time.Nanosecond), to, left, kept)
		kept = left
	}
	p.result.Cursor = lastKept
	p.result.Runs += kept
	b := Backlog{First: firstKept, Last: lastKept, NewestFirst: policy.CatchUpOrder == NewestFirst, Kind: KindCatchUp}
	if kept > catchUpAtOnce {
		p.result.Backlog = &b
		return
	}
	firings, _, _ := b.fill(p.schedule, p.timetable, p.now, kept)
	p.result.Firings = append(p.result.Firings, firings...)
}

// launch records slot to be launched and returns the slot after it.
func (p *planner) launch(slot time.Time) time.Time {
	next := p.timetable.Next(slot)
	if slices.ContainsFunc(p.schedule.Ahead, slot.Equal) {
		p.result.Cursor = slot
		return next
	}
	p.fire(slot, next)
	p.result.Cursor = slot
	return next
}

// fire records slot to be launched; next is the slot after it.
func (p *planner) fire(slot, next time.Time) {
	f := pending(p.schedule, KindScheduled, slot, p.now)
	f.AttemptAt = slot.Add(p.schedule.jitter(slot, next))
	if wait := f.AttemptAt.Sub(p.now); wait > 0 {
		f.Deadline = f.Deadline.Add(wait)
	}
	p.result.Firings = append(p.result.Firings, f)
	p.result.Runs++
}

// miss records count slots from first to last as missed.
func (p *planner) miss(first, last time.Time, count int, why string) {
	policy := p.schedule.Spec.Policy
	p.result.Firings = append(p.result.Firings, Firing{
		ScheduleID: p.schedule.ID, LaunchPlan: p.schedule.LaunchPlan, Kind: KindScheduled,
		Slot: first, Last: last, Count: count, Outcome: Missed,
		Reason:     fmt.Sprintf("%s: catch-up is %s within %s", why, policy.CatchUp, cmp.Or(policy.CatchUpWindow, DefaultCatchUpWindow)),
		RecordedAt: p.now, SettledAt: p.now,
	})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// runsLeft is how often the schedule may still fire.
func (p *planner) runsLeft() int {
	limit := p.schedule.Spec.Policy.MaxRuns
	if limit == 0 {
		return math.MaxInt
	}
	return max(limit-p.result.Runs, 0)
}

// exhausted says that the schedule has fired as often as it may.
func (p *planner) exhausted() bool { return p.runsLeft() == 0 }

// Attempt is when the launch of a slot of s is planned for: the slot, put off
// by its jitter. Lateness that matters to people counts from there.
func (s Schedule) Attempt(slot time.Time) (time.Time, error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return time.Time{}, err
	}
	return slot.Add(s.jitter(slot, timetable.Next(slot))), nil
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

// Pass makes one firing of the slots of s after its cursor and up to until,
// none of which launches. ok is false when there are none. An error means that s
// cannot be planned at all.
func Pass(s Schedule, until time.Time, outcome Outcome, reason string, now time.Time) (f Firing, ok bool, err error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return Firing{}, false, err
	}
	count := timetable.Count(s.Cursor, until)
	if most := s.Spec.Policy.MaxRuns; count == 0 || (most > 0 && s.Runs >= most) {
		return Firing{}, false, nil
	}
	return Firing{
		ScheduleID: s.ID, LaunchPlan: s.LaunchPlan, Kind: KindScheduled,
		Slot: timetable.Next(s.Cursor), Last: timetable.Prev(until.Add(time.Nanosecond)), Count: count,
		Outcome: outcome, Reason: reason, RecordedAt: now, SettledAt: now,
	}, true, nil
}
