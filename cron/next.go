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
// The search covers all of that, but for the limit that [Schedule.Except] has.
func (s Schedule) Next(t time.Time) time.Time {
	u, ok := s.after(seconds(t), eternity)
	if !ok {
		return time.Time{}
	}
	return s.at(u)
}

// Prev returns the last slot before t, strictly, in the schedule's location. The zero Time means that there is none.
// It undoes Next: both walk the same set of slots, up to the limit that [Schedule.Except] has.
func (s Schedule) Prev(t time.Time) time.Time {
	u := seconds(t)
	if t.Nanosecond() > 0 {
		u++
	}
	u, ok := s.before(u, -eternity)
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
// had some: it is the zero Time from Next that says that none are left. Of a combination that takes away more than
// [Schedule.Except] looks through, it reports that it has none.
func (s Schedule) Never() bool {
	if s.pattern.flags&never != 0 {
		return true
	}
	_, ok := s.after(earliest, eternity)
	return !ok
}

func (s *Schedule) at(u int64) time.Time {
	t := time.Unix(u, 0)
	if s.zone == nil {
		return t.UTC()
	}
	return t.In(s.zone.loc)
}

// farthest is beyond every slot, however far a zone is from UTC, and few enough days for 32 bits.
const farthest = 1 << 40

// seconds returns t in Unix seconds, rounded down, and within bounds that no slot is beyond.
func seconds(t time.Time) int64 { return min(max(t.Unix(), earliest-1), farthest) }

// nextLocal returns the first wall-clock time at or after l that the expression has.
func (s *Schedule) nextLocal(l int64) (int64, bool) {
	l, ok := s.pattern.next(l - s.anchor)
	return l + s.anchor, ok
}

// prevLocal returns the last wall-clock time at or before l that the expression has.
func (s *Schedule) prevLocal(l int64) (int64, bool) {
	l, ok := s.pattern.prev(l - s.anchor)
	return l + s.anchor, ok
}

// after returns the first slot in (u, limit].
func (s *Schedule) after(u, limit int64) (int64, bool) {
	switch {
	case s.set != nil:
		return s.set.after(s, u, limit)
	case s.period > 0:
		return s.tickAfter(u, limit)
	case s.pattern.flags&never != 0:
		return 0, false
	}
	u++
	z := s.zone
	if z == nil {
		l, ok := s.nextLocal(u)
		return l, ok && l <= limit
	}
	e, end := z.find(u)
	if u < e.start+z.shift || u >= end-z.shift {
		return s.afterChange(u, limit)
	}
	l, ok := s.nextLocal(u + e.offset)
	if !ok {
		return 0, false
	}
	slot := l - e.offset
	if slot >= end-z.shift {
		// What clocks show until then in between, no matter in which era, does not match.
		if e, end = z.find(slot); slot < e.start+2*z.shift || slot >= end-2*z.shift {
			return s.afterChange(u, limit)
		}
		slot = l - e.offset
	}
	return slot, slot <= limit
}

// afterChange is after for instants and slots near a change of clocks: it goes from era to era.
func (s *Schedule) afterChange(u, limit int64) (int64, bool) {
	z := s.zone
	if s.movesTo(u) {
		return u, u <= limit
	}
	var (
		rest  = *s              // without the years that cannot have a slot
		from  = int64(eternity) // l is the first match from here on
		l     int64
		ok    bool
		year  uint32 // the one that l is in, once clocks change by the rule
		whole bool   // it is searched from its start
	)
	for u <= limit && !s.lostAfter(u) {
		e, end := z.find(u)
		if local := u + e.offset; local < from || ok && local > l {
			from = local
			l, ok = rest.nextLocal(local)
			if ok && l > z.ruled+daySeconds {
				if y := yearOf(l); y > year {
					if whole { // and in vain, as it would be in all years of its kind
						rest.pattern.drop(year)
					}
					year, whole = y, year > 0
				}
			}
		}
		if ok && l < end+e.offset {
			slot := l - e.offset
			_, again, skip := s.repeats(e, end, slot)
			if !skip {
				return slot, slot <= limit
			}
			if u = again; u < end {
				continue
			}
		}
		// The era has no more slots. Clocks in the next may be behind this one's, but not by more than the shift: beyond that,
		// whatever they show until l does not match, and the eras in between can be passed over.
		t := end
		if t > u+z.shift {
			if !ok {
				return 0, false
			}
			t = max(t, l-e.offset-z.shift)
		}
		if t <= limit && s.movesTo(t) {
			return t, true
		}
		u = t
	}
	return 0, false
}

// yearOf returns the year of a wall-clock time in 1970 or later.
func yearOf(l int64) uint32 {
	year, _, _ := civil(uint32(max(l, 0) / daySeconds))
	return year
}

// before returns the last slot in [limit, u), the mirror image of after.
func (s *Schedule) before(u, limit int64) (int64, bool) {
	switch {
	case s.set != nil:
		return s.set.before(s, u, limit)
	case s.period > 0:
		return s.tickBefore(u, limit)
	case s.pattern.flags&never != 0:
		return 0, false
	}
	u--
	z := s.zone
	if z == nil {
		l, ok := s.prevLocal(u)
		return l, ok && l >= limit
	}
	if s.lostAfter(u) {
		u = z.ruled - 1
	}
	for u >= limit {
		e, end := z.find(u)
		l, ok := s.prevLocal(u + e.offset)
		if ok && l >= e.start+e.offset {
			slot := l - e.offset
			start, _, skip := s.repeats(e, end, slot)
			if !skip {
				return slot, slot >= limit
			}
			if u = start - 1; u >= e.start {
				continue
			}
		}
		t := e.start - 1
		if t < u-z.shift {
			if !ok {
				return 0, false
			}
			t = min(t, l-e.offset+z.shift)
		}
		if t == e.start-1 && s.movesTo(e.start) {
			return e.start, e.start >= limit
		}
		u = t
	}
	return 0, false
}

// repeats reports whether a slot of s in era e, until end, is to be left out because the wall clock shows its time at another
// instant as well, and if so, in which instants [start, stop) of e that other era repeats or is repeated.
func (s *Schedule) repeats(e era, end, slot int64) (start, stop int64, skip bool) {
	l, z := slot+e.offset, s.zone
	switch s.pattern.repeat {
	case RepeatFirst:
		for t := e.start; t > slot-z.shift; {
			p, _ := z.find(t - 1)
			if l < t+p.offset && l >= p.start+p.offset {
				return p.start + p.offset - e.offset, t + p.offset - e.offset, true
			}
			t = p.start
		}
	case RepeatSecond:
		for t := end; t <= slot+z.shift; {
			n, until := z.find(t)
			if l >= t+n.offset && l < until+n.offset {
				return t + n.offset - e.offset, until + n.offset - e.offset, true
			}
			t = until
		}
	case RepeatDefault, RepeatBoth:
	}
	return 0, 0, false
}

// movesTo reports whether slots of s move to an instant, as it is the first after a gap that they fall in.
func (s *Schedule) movesTo(u int64) bool {
	if s.pattern.gap != GapNext {
		return false
	}
	e, _ := s.zone.find(u)
	if e.start != u {
		return false
	}
	before, _ := s.zone.find(u - 1)
	l, ok := s.nextLocal(u + before.offset)
	return ok && l < u+e.offset
}

// lostAfter reports whether s is known to have no slot after an instant, although dates match.
func (s *Schedule) lostAfter(u int64) bool { return s.pattern.flags&lost != 0 && u >= s.zone.ruled }

// settle works out whether the slots of s are lost, all in gaps: 2:30 on the second Sunday of March does not exist in
// New York. A search would try each year up to the last. Just one month's slots can be, as the rules of zones have one gap a year.
func (s Schedule) settle() Schedule {
	s.pattern.flags &^= lost
	months := s.pattern.months
	if s.pattern.dialect == 0 || s.zone == nil || s.zone.index == nil || months&(months-1) != 0 || s.pattern.gap == GapNext || s.pattern.flags&never != 0 || s.period > 0 {
		return s
	}
	year, _, _ := civil(uint32(s.zone.ruled / daySeconds))
	yearly := s
	yearly.pattern.flags |= perpetual
	yearly.set = nil
	for seen := uint32(0); seen != 1<<yearTypes-1; year++ {
		if kind := uint32(1) << yearType(year); seen&kind == 0 {
			seen |= kind
			start := int64(dayNumber(year, 1, 1)) * daySeconds
			if _, ok := yearly.after(start-1, start+yearSeconds); ok {
				return s
			}
		}
	}
	s.pattern.flags |= lost
	return s
}
