package schedule

import (
	"cmp"
	"fmt"
	"time"
)

// Intake takes word that a schedule came due from whoever keeps its time: AWS.
// Word may come late, more than once and in any order.
//
// A slot is decided when word of it comes. What there was no word of is decided
// by Audit.
type Intake struct {
	planner
	since time.Time
	next  time.Time
	taken map[int64]bool // slots, in seconds, that have firings after the cursor
	// Anchor is the instant from which a rate counts, which word may change:
	// whoever keeps the time counts from an instant of its own.
	Anchor time.Time
	// Counts is asked whether word of t may say that, and answers why it may not;
	// empty means that it may. nil means that all word may.
	Counts func(t time.Time) (problem string)
	// Moves are its changes, in order.
	Moves []Move
}

// Move is that a rate counts from another instant, for slots after From.
type Move struct{ Anchor, From time.Time }

// NewIntake takes word of s at now. What came due before since, the instant from
// which somebody has been able to take it, is left to Audit. An error means that
// s cannot be planned at all.
func NewIntake(s Schedule, now, since time.Time) (*Intake, error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return nil, err
	}
	in := &Intake{planner: newPlanner(s, timetable, now, now), since: since, Anchor: s.Anchor, taken: make(map[int64]bool)}
	in.next = timetable.Next(s.Cursor)
	for _, slot := range s.Ahead {
		in.taken[slot.Unix()] = true
	}
	return in, nil
}

// mostEarly is how far in the future a slot may be of which there is word: clocks differ.
const mostEarly = 15 * time.Minute

// Slot is the slot that word of t is about, going by the schedule as it is; the
// zero time means that it is about none.
func (in *Intake) Slot(t time.Time) time.Time { return in.timetable.SlotOf(t) }

// Take decides what word of t comes to: a firing, or nothing, as the slot was
// decided before or is none by the schedule's policy. decided says whether a slot
// up to the cursor has an outcome, or will get one. early says that t has not come
// by the clock that counts, so that word of it is to be taken again later. A
// problem is why somebody should look at it.
func (in *Intake) Take(t time.Time, decided func(slot time.Time) bool) (early bool, problem string) {
	slot := in.Slot(t)
	before := func() bool { return in.taken[slot.Unix()] || decided(slot) }
	rate := in.timetable.all.Period() > 0
	if rate && (slot.IsZero() || (!slot.After(in.result.Cursor) && t.After(in.result.Cursor) && !before())) {
		// It counts from another instant than we thought. Before the first word nobody knows.
		slot = t.Truncate(time.Second)
	}
	switch {
	case slot.IsZero():
		return false, fmt.Sprintf("%s is no slot of %s; the next one is %s", t.UTC().Format(time.RFC3339), in.schedule.Spec.Expression, said(in.timetable.all.Next(t)))
	case !slot.After(in.result.Cursor):
		if before() {
			return false, ""
		}
		return false, fmt.Sprintf("the slot %s came due before the schedule was activated, and what is past does not launch by surprise", slot.UTC().Format(time.RFC3339))
	case slot.After(in.now.Add(mostEarly)):
		return false, fmt.Sprintf("the slot %s lies in the future, as it is %s by the database's clock; compare the clocks", slot.UTC().Format(time.RFC3339), in.now.UTC().Format(time.RFC3339))
	case in.schedule.Paused != "", in.taken[slot.Unix()], in.exhausted():
		return false, "" // Recorded when the pause ends, known, or more than the policy allows.
	}
	if t.After(in.now) {
		return true, ""
	}
	if rate && !in.timetable.all.Match(slot) {
		if in.Counts != nil {
			if why := in.Counts(t); why != "" {
				return false, why
			}
		}
		if err := in.reanchor(slot); err != nil {
			return false, err.Error()
		}
	}
	if slot.Before(in.since) || !in.timetable.Match(slot) {
		return false, "" // Decided by Audit, excluded by the policy, or out of its bounds.
	}
	in.fire(slot, in.timetable.Next(slot))
	in.taken[slot.Unix()] = true
	for !in.next.IsZero() && in.taken[in.next.Unix()] && !in.next.After(later(in.now, slot)) {
		in.result.Cursor = in.next
		in.next = in.timetable.Next(in.next)
	}
	return false, ""
}

// reanchor makes t a slot of the rate. Slots of a period or more before t are
// decided as they were thought to be; one that fired after that stays as it is.
func (in *Intake) reanchor(t time.Time) error {
	before := t.Add(-in.timetable.all.Period())
	timetable, err := in.schedule.Spec.Compile(before)
	if err != nil {
		return err
	}
	why := Silent(before)
	if t.Before(in.since) {
		why = Down(in.since)
	}
	ahead := false
	for slot := range in.taken {
		ahead = ahead || (slot > in.result.Cursor.Unix() && slot < t.Unix())
	}
	if ahead {
		for !in.next.IsZero() && in.next.Before(t) {
			next := in.fillGaps(in.next, before, t.Add(-time.Nanosecond), why, in.taken)
			if next.Equal(in.next) {
				break
			}
			in.next = next
		}
	} else if !in.next.IsZero() && !in.next.After(before) {
		in.catchUp(in.next, before, why)
	}
	in.result.Cursor = later(in.result.Cursor, before)
	in.timetable, in.Anchor = timetable, before
	in.Moves = append(in.Moves, Move{before, in.result.Cursor})
	in.schedule.Anchor = before
	in.next = timetable.Next(in.result.Cursor)
	return nil
}

// Planned is what word came to.
func (in *Intake) Planned() Planned { return in.planned(in.next) }

// Silent is why slots up to a time were missed of which there was no word.
func Silent(until time.Time) string {
	return "no word of it had come by " + until.UTC().Format(time.RFC3339)
}

// Audit decides the slots of s after its cursor and up to until for which there
// was no word, why says how that can be, and moves past those of which there was:
// have are the slots that have firings. The others were missed: catch-up says
// which of them launch late, and the rest become one missed run. An error means
// that s cannot be planned at all.
func Audit(s Schedule, until, now time.Time, why string, have []time.Time) (Planned, error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return Planned{}, err
	}
	p := newPlanner(s, timetable, until, now)
	slot := timetable.Next(s.Cursor)
	switch {
	case len(have) > 0:
		there := make(map[int64]bool, len(have))
		for _, h := range have {
			there[h.Unix()] = true
		}
		slot = p.fillGaps(slot, until, now, why, there)
	case p.due(slot):
		p.catchUp(slot, until, why)
		slot = timetable.Next(p.result.Cursor)
	}
	return p.planned(slot), nil
}

// fillGaps decides slots from one on and up to a time, and moves past those up to
// last that are there, by their seconds, as they have firings. It returns the first
// slot that it did not come to.
func (p *planner) fillGaps(slot, until, last time.Time, why string, there map[int64]bool) time.Time {
	var gaps []time.Time
	for looked := 0; !slot.IsZero() && looked < maxFirings && !p.exhausted(); looked++ {
		if is := there[slot.Unix()]; is && slot.After(last) || !is && slot.After(until) {
			break
		} else if !is {
			gaps = append(gaps, slot)
		}
		p.result.Cursor = slot
		slot = p.timetable.Next(slot)
	}
	policy := p.schedule.Spec.Policy
	oldest := p.now.Add(-cmp.Or(policy.CatchUpWindow, DefaultCatchUpWindow))
	first := max(0, len(gaps)-min(policy.CatchUp.limit(), p.runsLeft()))
	for first < len(gaps) && gaps[first].Before(oldest) {
		first++
	}
	if first > 0 {
		p.miss(gaps[0], gaps[first-1], first, why)
	}
	for i, gap := range gaps[first:] {
		f := pending(p.schedule, KindCatchUp, gap, p.now)
		f.Behind = true
		if policy.CatchUpOrder == NewestFirst {
			i = len(gaps) - first - 1 - i
		}
		f.AttemptAt = p.now.Add(time.Duration(i) * time.Microsecond)
		p.result.Firings = append(p.result.Firings, f)
		p.result.Runs++
	}
	return slot
}

// said is a time for people.
func said(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
