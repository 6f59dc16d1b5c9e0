package cron

// A Gap says what becomes of a slot whose wall-clock time does not exist, because clocks were set forward over it.
type Gap uint8

// What to do with a slot in a gap.
const (
	GapDefault Gap = iota // GapSkip, in every dialect
	GapSkip               // the slot is left out
	GapNext               // the slot moves to the first instant after the gap, once however many slots the gap holds
)

// A Repeat says when a slot fires whose wall-clock time comes twice, because clocks were set back over it.
type Repeat uint8

// When to fire a slot in a repeated stretch.
const (
	RepeatDefault Repeat = iota // RepeatFirst for AWS cron, RepeatBoth for unix cron
	RepeatFirst                 // the first time
	RepeatSecond                // the second time
	RepeatBoth                  // both times
)

// WithGap returns s with another rule for slots in a gap. A rate has none, and is returned as it is.
// Members of a union get the rule, too.
func (s Schedule) WithGap(g Gap) Schedule {
	s = s.each(func(m Schedule) Schedule { return m.WithGap(g) })
	if s.period > 0 || s.pattern.dialect == 0 {
		return s
	}
	s.pattern.gap = GapSkip
	if g == GapNext {
		s.pattern.gap = GapNext
	}
	return s.settle()
}

// WithRepeat returns s with another rule for slots in a repeated stretch, such as the hour that comes twice in autumn.
// The rule holds for time steps too: by AWS's default, */5 is silent the second time round.
// A rate has none, and is returned as it is. Members of a union get the rule, too.
func (s Schedule) WithRepeat(r Repeat) Schedule {
	s = s.each(func(m Schedule) Schedule { return m.WithRepeat(r) })
	if s.period > 0 || s.pattern.dialect == 0 {
		return s
	}
	switch r {
	case RepeatFirst, RepeatSecond, RepeatBoth:
		s.pattern.repeat = r
	case RepeatDefault:
		s.pattern.repeat = RepeatFirst
		if s.pattern.dialect == Unix {
			s.pattern.repeat = RepeatBoth
		}
	}
	return s
}
