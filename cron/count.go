package cron

import (
	"math"
	"math/bits"
	"time"
)

// Count returns how many slots [Schedule.Between] has: those after from, strictly, up to and including to.
//
// It does not walk through them: the time it takes grows with the changes of clocks and, mostly, with the years between the two, not with
// the slots. Only unions, and what [Schedule.Except] takes away, are counted one by one.
//
// Where an int has 32 bits, it is at most [math.MaxInt].
func (s Schedule) Count(from, to time.Time) int {
	return int(min(s.count(seconds(from), seconds(to)), math.MaxInt))
}

// count returns how many slots there are in (u, limit].
func (s *Schedule) count(u, limit int64) int64 {
	switch {
	case u >= limit:
		return 0
	case s.set != nil:
		return s.set.count(s, u, limit)
	case s.period > 0:
		return s.ticks(limit) - s.ticks(u)
	case s.pattern.flags&never != 0:
		return 0
	case s.zone == nil:
		return s.countLocal(u+1, limit+1)
	}
	var n int64
	for u++; u <= limit; {
		e, end := s.zone.find(u)
		stop := min(end, limit+1)
		n += s.countEra(e, end, u, stop)
		u = stop
	}
	return n
}

// countEra returns how many slots there are in [u, stop), a part of an era that lasts until end.
func (s *Schedule) countEra(e era, end, u, stop int64) int64 {
	a, b := u+e.offset, stop+e.offset
	n := s.countLocal(a, b)
	if u == e.start && s.movesTo(u) {
		if l, ok := s.nextLocal(a); !ok || l > a { // else the moved slots meet one that is there
			n++
		}
	}
	z := s.zone
	switch s.pattern.repeat {
	case RepeatFirst:
		if u < e.start+z.shift {
			p, _ := z.find(e.start - 1)
			if e.start-p.start < z.shift { // The stretch may have been repeated by more than one era.
				return s.step(u-1, stop-1)
			}
			n -= s.countLocal(a, min(b, e.start+p.offset))
		}
	case RepeatSecond:
		if stop > end-z.shift && end < eternity {
			f, until := z.find(end)
			if until-end < z.shift {
				return s.step(u-1, stop-1)
			}
			n -= s.countLocal(max(a, end+f.offset), b)
		}
	case RepeatDefault, RepeatBoth:
	}
	return n
}

// step counts the slots in (u, limit] one by one.
func (s *Schedule) step(u, limit int64) int64 {
	var n int64
	for {
		var ok bool
		if u, ok = s.after(u, limit); !ok {
			return n
		}
		n++
	}
}

// countLocal returns how many wall-clock times in [a, b) the expression has.
func (s *Schedule) countLocal(a, b int64) int64 {
	a, b = max(a-s.anchor, 0), max(b-s.anchor, 0)
	if a >= b {
		return 0
	}
	return s.pattern.count((a+minuteSeconds-1)/minuteSeconds, (b+minuteSeconds-1)/minuteSeconds)
}

// count returns how many minutes in [a, b) match, both counted from 1970.
func (p *pattern) count(a, b int64) int64 {
	first, final := uint32(a/dayMinutes), uint32(b/dayMinutes)
	n := p.countDays(first, final) * p.countClock(dayMinutes)
	if clock := p.countClock(uint32(b % dayMinutes)); clock > 0 {
		n += p.countDays(final, final+1) * clock
	}
	if clock := p.countClock(uint32(a % dayMinutes)); clock > 0 {
		n -= p.countDays(first, first+1) * clock
	}
	return n
}

// countClock returns how many minutes of a day match before one.
func (p *pattern) countClock(clock uint32) int64 {
	hour := clock / hourMinutes
	n := bits.OnesCount32(p.hours&(1<<hour-1)) * bits.OnesCount64(p.minutes)
	if p.hours>>hour&1 != 0 {
		n += bits.OnesCount64(p.minutes & (1<<(clock%hourMinutes) - 1))
	}
	return int64(n)
}

// countDays returns how many days in [a, b) match, both counted from 1970-01-01.
func (p *pattern) countDays(a, b uint32) int64 {
	b = min(b, p.end()+1)
	switch {
	case a >= b:
		return 0
	case p.flags&daily != 0:
		return int64(b - a)
	case p.flags&weekly != 0:
		rotated := (uint32(p.weekdays) | uint32(p.weekdays)<<weekDays) >> weekdayOf(a)
		weeks, rest := (b-a)/weekDays, (b-a)%weekDays
		return int64(weeks)*int64(bits.OnesCount8(p.weekdays)) + int64(bits.OnesCount32(rotated&(1<<rest-1)))
	}
	y1, m1, d1 := civil(a)
	y2, m2, d2 := civil(b)
	n := p.countYears(y1, y2)
	if p.hasYear(y2) {
		n += p.countIn(y2, m2, d2)
	}
	if p.hasYear(y1) {
		n -= p.countIn(y1, m1, d1)
	}
	return n
}

// countYears returns how many days of the years in [a, b) match.
func (p *pattern) countYears(a, b uint32) int64 {
	var n int64
	if cycles := (b - a) / cycleYears; cycles > 0 && p.flags&perpetual != 0 {
		n = int64(cycles) * p.countYears(a, a+cycleYears-1)
		n += int64(cycles) * p.countIn(a+cycleYears-1, 13, 1)
		a += cycles * cycleYears
	}
	var known uint32
	var days [yearTypes]int64
	for year, ok := p.nextYear(a); ok && year < b; year, ok = p.nextYear(year + 1) {
		kind := yearType(year)
		if known>>kind&1 == 0 {
			known |= 1 << kind
			days[kind] = p.countIn(year, 13, 1)
		}
		n += days[kind]
	}
	return n
}

// countIn returns how many days of a year match before a date, or, before month 13, in all.
func (p *pattern) countIn(year, month, date uint32) int64 {
	var n int
	first := dayNumber(year, 1, 1)
	for m := uint32(1); m <= min(month, 12); m++ {
		if p.months>>m&1 != 0 {
			days := p.monthDays(year, m, first)
			if m == month {
				days &= 1<<date - 1
			}
			n += bits.OnesCount32(days)
		}
		first += daysIn(year, m)
	}
	return int64(n)
}
