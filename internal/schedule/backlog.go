package schedule

import "time"

// Backlog is a range of slots that are recorded as firings bit by bit, beside
// live firing: a catch-up or a backfill. Whoever fills it keeps what Fill
// leaves in the same transaction as the firings that Fill made.
type Backlog struct {
	// First and Last bound the slots, both inclusive.
	First, Last time.Time
	// Cursor is the last slot recorded; zero means that none is yet.
	Cursor time.Time
	// NewestFirst says that slots are recorded from Last to First.
	NewestFirst bool
	// Kind is that of the firings.
	Kind Kind
}

// Fill makes pending firings of the next slots of b, most of them at most, in
// the order in which they are to launch. rest is b as it is after them, and
// done says that nothing is left. Of s it needs the ID, the launch plan and the
// spec with its anchor. An error means that the spec cannot be compiled.
func (b Backlog) Fill(s Schedule, now time.Time, most int) (firings []Firing, rest Backlog, done bool, err error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return nil, b, false, err
	}
	firings, rest, done = b.fill(s, timetable, now, most)
	return firings, rest, done, nil
}

func (b Backlog) fill(s Schedule, timetable Timetable, now time.Time, most int) (firings []Firing, rest Backlog, done bool) {
	slot := b.next(timetable)
	for !slot.IsZero() && len(firings) < most {
		f := pending(s, b.Kind, slot, now)
		f.Behind = true
		// Apart by the least that every database tells apart, so that they launch in this order.
		f.AttemptAt = now.Add(time.Duration(len(firings)) * time.Microsecond)
		firings = append(firings, f)
		b.Cursor = slot
		slot = b.next(timetable)
	}
	return firings, b, slot.IsZero()
}

// Left says what is not recorded yet: the first and the last slot, and how many
// there are. The times are zero if there is none. Of s it needs the spec with its anchor.
func (b Backlog) Left(s Schedule) (first, last time.Time, count int, err error) {
	timetable, err := s.Spec.Compile(s.Anchor)
	if err != nil {
		return time.Time{}, time.Time{}, 0, err
	}
	after, to := b.bounds()
	if count = timetable.Count(after, to); count == 0 {
		return time.Time{}, time.Time{}, 0, nil
	}
	return timetable.Next(after), timetable.Prev(to.Add(time.Nanosecond)), count, nil
}

// next is the slot to record next; zero means there is none.
func (b Backlog) next(timetable Timetable) time.Time {
	after, to := b.bounds()
	var slot time.Time
	if b.NewestFirst {
		slot = timetable.Prev(to.Add(time.Nanosecond))
	} else {
		slot = timetable.Next(after)
	}
	if !slot.After(after) || slot.After(to) {
		return time.Time{}
	}
	return slot
}

// bounds are those of what is left: after the one, not after the other.
func (b Backlog) bounds() (after, to time.Time) {
	after, to = b.First.Add(-time.Nanosecond), b.Last
	switch {
	case b.Cursor.IsZero():
	case b.NewestFirst:
		to = b.Cursor.Add(-time.Nanosecond)
	default:
		after = b.Cursor
	}
	return after, to
}
