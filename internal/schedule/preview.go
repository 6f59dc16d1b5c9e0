package schedule

import (
	"iter"
	"math"
	"slices"
	"time"

	"tminus.dev/internal/ident"
)

// Coming is a slot that a schedule has still to decide.
type Coming struct {
	Slot time.Time
	// LaunchAt is when it is to launch: the slot, put off by jitter.
	LaunchAt time.Time
	// Skipped says that it does not launch then, because it has a firing already.
	Skipped bool
}

// Preview is the slots of s after from and, unless until is zero, up to and
// including it, with all policies applied; limit is the most it returns.
// decided are slots that have a firing ahead of time, in any order: skipped ones
// and those that were run already. They are few, and max-runs does not count
// them. A schedule that does not fire has no slots; one that is paused until an
// instant has those after it.
//
// The error, as of [Spec.Compile], says that s cannot be planned.
func Preview(s Schedule, from, until time.Time, limit int, decided []time.Time) ([]Coming, error) {
	c, err := s.course(from)
	if err != nil {
		return nil, err
	}
	var list []Coming
	for coming := range c.all(until, decided) {
		if len(list) == limit {
			break
		}
		list = append(list, coming)
	}
	return list, nil
}

// A course is what is left of a schedule from an instant on. The zero course has no slots.
type course struct {
	schedule  *Schedule
	timetable Timetable
	after     time.Time
	runs      int // how many slots may still launch
}

// course is what s still fires after from.
func (s *Schedule) course(from time.Time) (course, error) {
	c := course{schedule: s, after: later(from, s.Cursor), runs: math.MaxInt}
	switch {
	case !s.Active, s.Problem != "":
		return course{}, nil
	case s.Paused == "":
	case s.PausedUntil.IsZero():
		return course{}, nil
	default:
		c.after = later(c.after, s.PausedUntil)
	}
	if most := s.Spec.Policy.MaxRuns; most > 0 {
		c.runs = max(most-s.Runs, 0)
	}
	var err error
	c.timetable, err = s.Spec.Compile(s.Anchor)
	return c, err
}

// all is the slots of c up to and including until, where a zero until is no bound.
func (c course) all(until time.Time, decided []time.Time) iter.Seq[Coming] {
	return func(yield func(Coming) bool) {
		slot := c.timetable.Next(c.after)
		for left := c.runs; left > 0 && !slot.IsZero() && (until.IsZero() || !slot.After(until)); {
			next := c.timetable.Next(slot)
			coming := Coming{
				Slot: slot, LaunchAt: slot.Add(c.schedule.jitter(slot, next)),
				Skipped: slices.ContainsFunc(decided, slot.Equal),
			}
			if !coming.Skipped {
				left--
			}
			if !yield(coming) {
				return
			}
			slot = next
		}
	}
}

// fires reports whether t is among the slots of c.
func (c course) fires(t time.Time) bool {
	return t.After(c.after) && c.timetable.Match(t) && (c.runs == math.MaxInt || c.timetable.Count(c.after, t) <= c.runs)
}

// Activated is s after version id of its launch plan was activated at now, timed
// by spec. Over an active schedule with the same expression a rate keeps the
// instant from which it counts; over the same version nothing changes but that a
// pause or a problem ends.
func (s Schedule) Activated(id ident.ID, spec Spec, now time.Time) Schedule {
	after := Schedule{
		ID: s.ID, LaunchPlan: id, Spec: spec, Active: true, Cursor: later(now, s.Cursor), Anchor: now, UpdatedAt: now,
	}
	if s.Active && s.Spec.Expression == spec.Expression {
		after.Anchor = s.Anchor
	}
	if s.Active && s.LaunchPlan == id {
		after.Runs = s.Runs
	}
	return after
}

// A Difference is a slot of one of two schedules, or of both.
type Difference struct {
	Slot          time.Time
	Before, After bool
}

// DiffSlots compares the slots of two schedules after from, policies applied:
// the next n of each, in the order of time, and for each whether the other has it too.
//
// The error says that one of them cannot be planned.
func DiffSlots(before, after Schedule, from time.Time, n int) ([]Difference, error) {
	b, err := before.course(from)
	if err != nil {
		return nil, err
	}
	a, err := after.course(from)
	if err != nil {
		return nil, err
	}
	var list []Difference
	for _, c := range []course{b, a} {
		left := n
		for coming := range c.all(time.Time{}, nil) {
			if left--; left < 0 {
				break
			}
			list = append(list, Difference{coming.Slot.UTC(), b.fires(coming.Slot), a.fires(coming.Slot)})
		}
	}
	slices.SortFunc(list, func(x, y Difference) int { return x.Slot.Compare(y.Slot) })
	return slices.CompactFunc(list, func(x, y Difference) bool { return x.Slot.Equal(y.Slot) }), nil
}
