package cron

import (
	"iter"
	"time"
)

// latest is the last second of lastYear, in UTC.
const latest = 253402300799

// earliest is the first second of the year 1, in UTC.
const earliest = -62135596800

// Next returns the first slot after t, strictly, in the schedule's location. The zero Time means that there is none:
// the schedule never fires again.
//
// Cron slots lie in the years 1970 to 2199 (AWS) or 9999 (unix) of the schedule's zone, rates end with the year 9999.
// The search covers all of that.
func (s Schedule) Next(t time.Time) time.Time {
	u, ok := s.after(seconds(t), eternity)
	if !ok {
		return time.Time{}
	}
	return s.at(u)
}

// Prev returns the last slot before t, strictly, in the schedule's location. The zero Time means that there is none.
// It undoes Next: both walk the same set of slots.
func (s Schedule) Prev(t time.Time) time.Time {
	u := seconds(t)
	if t.Nanosecond() > 0 {
		u++
	}
	u, ok := s.before(u)
	if !ok {
		return time.Time{}
	}
	return s.at(u)
}

// Between returns the slots after from, strictly, up to and including to, in order: those in (from, to].
// Adjoining intervals so have no slot in common and miss none. There are none if to is not after from.
func (s Schedule) Between(from, to time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		u, limit := seconds(from), seconds(to)
		for {
			var ok bool
			if u, ok = s.after(u, limit); !ok || !yield(s.at(u)) {
				return
			}
		}
	}
}

// Match reports whether t is a slot, to the nanosecond.
func (s Schedule) Match(t time.Time) bool {
	u := seconds(t)
	_, ok := s.after(u-1, u)
	return ok && t.Nanosecond() == 0
}

// Never reports whether s has no slot at all, like one for the 30th of February. A schedule whose years are past
// had some: it is the zero Time from Next that says that none are left.
func (s Schedule) Never() bool {
	_, ok := s.after(earliest, eternity)
	return !ok
}

func (s *Schedule) at(u int64) time.Time { return time.Unix(u, 0).In(s.Location()) }

// seconds returns t in Unix seconds, rounded down, and within the bounds that no slot is beyond.
func seconds(t time.Time) int64 { return min(max(t.Unix(), earliest-1), latest+daySeconds) }

// after returns the first slot in (u, limit].
func (s *Schedule) after(u, limit int64) (int64, bool) {
	if s.period > 0 {
		return s.tickAfter(u, limit)
	}
	u++
	if s.loc == nil {
		l, ok := s.cal.next(u)
		return l, ok && l <= limit
	}
	e := eraAt(s.loc, u)
	if s.gap == GapNext && e.start == u && s.slotInGap(e.before(s.loc), e) {
		return u, u <= limit
	}
	for u <= limit {
		l, ok := s.cal.next(u + e.offset)
		if ok && l < e.end+e.offset {
			slot := l - e.offset
			_, end, skip := s.repeats(e, slot)
			if !skip {
				return slot, slot <= limit
			}
			if u = end; u < e.end {
				continue
			}
		}
		// The era has no more slots. Clocks in the next may be behind this one's, but not by more than reach: beyond that,
		// whatever they show until l does not match, and the eras in between can be passed over.
		t := e.end
		if t > u+reach {
			if !ok {
				return 0, false
			}
			t = max(t, l-reach)
		}
		if t > limit {
			return 0, false
		}
		if t > e.end {
			u, e = t, eraAt(s.loc, t)
			continue
		}
		n := e.after(s.loc)
		if s.gap == GapNext && s.slotInGap(e, n) {
			return t, true
		}
		u, e = t, n
	}
	return 0, false
}

// before returns the last slot before u, the mirror image of after.
func (s *Schedule) before(u int64) (int64, bool) {
	if s.period > 0 {
		return s.tickBefore(u)
	}
	u--
	if s.loc == nil {
		return s.cal.prev(u)
	}
	e := eraAt(s.loc, u)
	for {
		l, ok := s.cal.prev(u + e.offset)
		if ok && l >= e.start+e.offset {
			slot := l - e.offset
			start, _, skip := s.repeats(e, slot)
			if !skip {
				return slot, true
			}
			if u = start - 1; u >= e.start {
				continue
			}
		}
		t := e.start - 1
		if t < u-reach {
			if !ok {
				return 0, false
			}
			t = min(t, l+reach)
		}
		if t < e.start-1 {
			u, e = t, eraAt(s.loc, t)
			continue
		}
		p := e.before(s.loc)
		if s.gap == GapNext && s.slotInGap(p, e) {
			return e.start, true
		}
		u, e = t, p
	}
}

// repeats reports whether a slot in era e is to be left out because the wall clock shows its time at another instant
// as well, and if so, in which instants [start, end) of e that other era repeats or is repeated.
func (s *Schedule) repeats(e era, slot int64) (start, end int64, skip bool) {
	l := slot + e.offset
	switch s.repeat {
	case RepeatFirst:
		for p := e; p.start > slot-reach; {
			if p = p.before(s.loc); p.shows(l) {
				return p.start + p.offset - e.offset, p.end + p.offset - e.offset, true
			}
		}
	case RepeatSecond:
		for n := e; n.end <= slot+reach; {
			if n = n.after(s.loc); n.shows(l) {
				return n.start + n.offset - e.offset, n.end + n.offset - e.offset, true
			}
		}
	case RepeatDefault, RepeatBoth:
	}
	return 0, 0, false
}

// slotInGap reports whether a slot falls in the gap between two neighbouring eras, if there is one.
func (s *Schedule) slotInGap(e, next era) bool {
	if next.offset <= e.offset {
		return false
	}
	l, ok := s.cal.next(e.end + e.offset)
	return ok && l < e.end+next.offset
}
