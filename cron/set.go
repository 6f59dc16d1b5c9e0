package cron

import (
	"slices"
	"strings"
	"time"
)

// A set is what makes a combination of a schedule. Its slices are never written to.
type set struct {
	any     []Schedule // of a union, the members; then the schedule around the set has no slots of its own
	except  []Schedule // takes away the minutes in which any of these fires
	without []Calendar // and those on the dates of any of these
	only    []Calendar // leaves just those on the dates of all of these
}

// maxExcluded bounds a search through slots that are all taken away.
const maxExcluded = 1 << 20

// Union returns the schedule that fires whenever one of the given does, once at an instant however many of them do.
// Each keeps its zone and rules; the union's slots are reported in the zone of the first. What is set later, by [Schedule.In]
// and the like, is set for each. The union of none never fires.
func Union(schedules ...Schedule) Schedule {
	if len(schedules) == 0 {
		return Schedule{}
	}
	return Schedule{zone: schedules[0].zone, set: &set{any: slices.Clone(schedules)}}
}

// Except returns s without the slots that lie in a minute in which any of the others fires. Cron is precise to the minute, so
// that just matters for rates and at(…): a slot at 9:00:37 is taken away by what fires at 9:00, and one at 9:00 by what fires at
// 9:00:37. Minutes are those of UTC. The others keep their own zones and rules, also if those of s are changed later. They may
// be combinations, too. Without others it is s.
//
// A search that meets a million slots in a row that are all taken away ends as if there were no more. So that few come near that,
// it takes whole days in one step if an expression that is excluded has every minute of them, or, in the same zone, with
// nothing moved out of gaps, every time of day that s has.
func (s Schedule) Except(others ...Schedule) Schedule {
	if len(others) == 0 {
		return s
	}
	return s.with(func(c *set) { c.except = slices.Concat(c.except, others) })
}

// ExceptOn returns s without the slots whose date, in the zone of s, is in any of the calendars. Without calendars it is s.
//
// For dates before 1970, on which just rates have slots, see [Schedule.WithAnchor].
func (s Schedule) ExceptOn(calendars ...Calendar) Schedule {
	if len(calendars) == 0 {
		return s
	}
	return s.with(func(c *set) { c.without = slices.Concat(c.without, calendars) })
}

// OnlyOn returns s with just those slots whose date, in the zone of s, is in one of the calendars. Without
// calendars there are none.
//
// For dates before 1970, on which just rates have slots, see [Schedule.WithAnchor].
func (s Schedule) OnlyOn(calendars ...Calendar) Schedule {
	return s.with(func(c *set) { c.only = append(slices.Clip(c.only), merge(calendars)) })
}

// with returns s with a set that differs from its own.
func (s Schedule) with(change func(*set)) Schedule {
	var c set
	if s.set != nil {
		c = *s.set
	}
	change(&c)
	s.set = &c
	return s
}

// each returns s with the members of a union replaced by what change makes of them.
func (s Schedule) each(change func(Schedule) Schedule) Schedule {
	if s.set == nil || s.set.any == nil {
		return s
	}
	return s.with(func(c *set) {
		c.any = slices.Clone(c.any)
		for i, member := range c.any {
			c.any[i] = change(member)
		}
	})
}

// isBoth reports whether a set is a union of several from which something is taken away.
func (c *set) isBoth() bool { return len(c.any) > 1 && len(c.except)+len(c.without)+len(c.only) > 0 }

func (c *set) equal(o *set) bool {
	if c == o || c == nil || o == nil {
		return c == o
	}
	return slices.EqualFunc(c.any, o.any, Schedule.Equal) && slices.EqualFunc(c.except, o.except, Schedule.Equal) &&
		slices.EqualFunc(c.without, o.without, Calendar.equal) && slices.EqualFunc(c.only, o.only, Calendar.equal)
}

// merge returns the calendar of the dates that any of the given has.
func merge(calendars []Calendar) Calendar {
	if len(calendars) == 1 {
		return calendars[0]
	}
	var names []string
	var days []int32
	for _, c := range calendars {
		names = append(names, c.name)
		days = append(days, c.days...)
	}
	slices.Sort(days)
	return Calendar{name: strings.Join(names, " or "), days: slices.Compact(days)}
}

// after returns the first slot in (u, limit] of s, which has c.
func (c *set) after(s *Schedule, u, limit int64) (int64, bool) {
	base := *s
	base.set = nil
	for range maxExcluded {
		var ok bool
		if c.any == nil {
			u, ok = base.after(u, limit)
		} else {
			u, ok = earliestOf(c.any, u, limit)
		}
		if !ok {
			return 0, false
		}
		r, taken := c.takes(&base, u)
		if !taken {
			return u, true
		}
		u = r.end() - 1
	}
	return 0, false
}

// before returns the last slot in [limit, u) of s, which has c.
func (c *set) before(s *Schedule, u, limit int64) (int64, bool) {
	base := *s
	base.set = nil
	for range maxExcluded {
		var ok bool
		if c.any == nil {
			u, ok = base.before(u, limit)
		} else {
			u, ok = latestOf(c.any, u, limit)
		}
		if !ok {
			return 0, false
		}
		r, taken := c.takes(&base, u)
		if !taken {
			return u, true
		}
		u = r.start()
	}
	return 0, false
}

func earliestOf(schedules []Schedule, u, limit int64) (first int64, ok bool) {
	for i := range schedules {
		if slot, found := schedules[i].after(u, limit); found {
			first, limit, ok = slot, slot-1, true // the others count only if they are before it
		}
	}
	return first, ok
}

func latestOf(schedules []Schedule, u, limit int64) (last int64, ok bool) {
	for i := range schedules {
		if slot, found := schedules[i].before(u, limit); found {
			last, limit, ok = slot, slot+1, true
		}
	}
	return last, ok
}

// takes reports whether a set takes away the slot of base at u, and together with it all that lie in a range.
func (c *set) takes(base *Schedule, u int64) (r taken, ok bool) {
	r = base.takenAt(u)
	day := floorDiv(u+r.era.offset, daySeconds)
	for i := range c.only {
		days := c.only[i].days
		n, found := slices.BinarySearch(days, int32(day))
		if found {
			continue
		}
		r.from, r.to = -farthest, farthest
		if n > 0 {
			r.from = (int64(days[n-1]) + 1) * daySeconds
		}
		if n < len(days) {
			r.to = int64(days[n]) * daySeconds
		}
		return r, true
	}
	for i := range c.without {
		if _, found := slices.BinarySearch(c.without[i].days, int32(day)); found {
			r.from, r.to = day*daySeconds, (day+1)*daySeconds
			return r, true
		}
	}
	for i := range c.except {
		x := &c.except[i]
		slot, fires := x.slotInMinuteOf(u)
		if !fires {
			continue
		}
		ok = true
		if slot == u && c.any == nil && x.coversDaysOf(base) {
			r.from, r.to = day*daySeconds, (day+1)*daySeconds
			return r, true
		}
		if whole, covers := x.coversDayAt(u); covers {
			return whole, true
		}
	}
	return r, ok
}

// slotInMinuteOf returns the first slot of s in the minute of an instant.
func (s *Schedule) slotInMinuteOf(u int64) (int64, bool) {
	minute := floorDiv(u, minuteSeconds) * minuteSeconds
	return s.after(minute-1, minute+minuteSeconds-1)
}

// coversDayAt reports whether s, which has a slot in the minute of an instant, has one in each minute of that day in its zone. Days close
// to a change of clocks are left out: gaps and repeats may be there.
func (s *Schedule) coversDayAt(u int64) (day taken, ok bool) {
	if s.set != nil || s.pattern.minutes != allMinutes || s.pattern.hours != allHours {
		return day, false
	}
	day = s.takenAt(u)
	offset := day.era.offset
	day.from = floorDiv(u+offset, daySeconds) * daySeconds
	day.to = day.from + daySeconds
	return day, offset%minuteSeconds == 0 && day.from-offset >= day.era.start+day.shift && day.to-offset <= day.stop-day.shift
}

// coversDaysOf reports whether s, on each date on which it has slots, has all those that o has. With GapNext, slots may come
// from the date before.
func (s *Schedule) coversDaysOf(o *Schedule) bool {
	p, q := &s.pattern, &o.pattern
	sameClocks := s.zone == o.zone &&
		(s.zone == nil || p.gap == GapSkip && q.gap == GapSkip && (p.repeat == q.repeat || p.repeat == RepeatBoth))
	return sameClocks && s.set == nil && s.period == 0 && o.period == 0 && s.anchor == o.anchor &&
		q.minutes&^p.minutes == 0 && q.hours&^p.hours == 0
}

// taken is a range of wall-clock times, that at an instant among them, of which all slots are taken away.
type taken struct {
	u, stop  int64 // the instant, and the end of its era
	era      era
	shift    int64
	from, to int64 // [from, to) on the wall clock
}

// takenAt returns the range of nothing but the instant u.
func (s *Schedule) takenAt(u int64) taken {
	r := taken{u: u, stop: eternity, era: era{start: -eternity}}
	if s.zone != nil {
		r.era, r.stop = s.zone.find(u)
		r.shift = s.zone.shift
	}
	r.from, r.to = u+r.era.offset, u+r.era.offset+1
	return r
}

// end returns an instant after u before which, from u on, clocks show times in the range only.
func (r taken) end() int64 {
	end := r.to - r.era.offset
	switch {
	case end <= r.stop:
		return end
	case r.u+r.era.offset-r.shift < r.from: // clocks that are set back may show what is before it
		return r.stop
	}
	return max(end-r.shift, r.stop)
}

// start returns an instant not after u from which on, until u, clocks show times in the range only.
func (r taken) start() int64 {
	start := r.from - r.era.offset
	switch {
	case start >= r.era.start:
		return start
	case r.u+r.era.offset+r.shift >= r.to:
		return r.era.start
	}
	return min(start+r.shift, r.era.start)
}

// count returns how many slots s, which has c, has in (u, limit].
func (c *set) count(s *Schedule, u, limit int64) int64 {
	if c.any != nil || c.except != nil {
		return s.step(u, limit)
	}
	base := *s
	base.set = nil
	if c.only == nil {
		n := base.count(u, limit)
		all := merge(c.without)
		for _, day := range all.days {
			n -= base.countOn(int64(day), u, limit)
		}
		return n
	}
	var n int64
	for _, day := range c.only[0].days {
		date := time.Unix(int64(day)*daySeconds, 0).UTC()
		has := func(c Calendar) bool { return c.Contains(date) }
		if !slices.ContainsFunc(c.without, has) && !slices.ContainsFunc(c.only[1:], func(c Calendar) bool { return !has(c) }) {
			n += base.countOn(int64(day), u, limit)
		}
	}
	return n
}

// countOn returns how many slots in (u, limit] are on a date.
func (s *Schedule) countOn(day, u, limit int64) int64 {
	from, to := day*daySeconds, (day+1)*daySeconds
	if s.zone == nil {
		return s.count(max(u, from-1), min(limit, to-1))
	}
	e, end := s.zone.find(from)
	shift := s.zone.shift + 26*3600 // and more than any zone is from UTC
	if from-shift >= e.start && to+shift < end {
		return s.count(max(u, from-e.offset-1), min(limit, to-e.offset-1))
	}
	var n int64
	for u = max(u, from-shift); ; {
		var ok bool
		if u, ok = s.after(u, min(limit, to+shift)); !ok {
			return n
		}
		if e, _ := s.zone.find(u); from <= u+e.offset && u+e.offset < to {
			n++
		}
	}
}
