package cron

import "math/bits"

// A pattern is the fields of a cron expression as bit sets, and how to read them. Apart from the rules for changes of clocks,
// it knows local time only: seconds since 1970-01-01T00:00:00 on a wall clock that is never adjusted.
//
// A day matches if it is in both the days of the month and the days of the week, or with the flag either, in one of them.
// Every part of a Schedule that is a byte is in here, which keeps it at 96 bytes. The zero pattern matches nothing.
type pattern struct {
	minutes uint64    // bits 0-59
	years   [4]uint64 // bit n: the year firstYear+n; empty if perpetual

	hours   uint32 // bits 0-23
	days    uint32 // bits 1-31
	last    uint32 // bit 31-n: the day n before the last of the month (L, L-n); and the bit lastWeekday
	nearest uint32 // bit n: the weekday nearest to day n (nW)

	months   uint16 // bits 1-12
	weekdays uint8  // bits 0-6, bit 0 is Sunday
	nth      uint8  // a weekday that matches once a month, see nthOf; 0 if there is none
	flags    flags

	dialect Dialect
	gap     Gap
	repeat  Repeat
}

// set sets the values of a part other than the years, as a field has them: bit 0 is the least.
func (p *pattern) set(part part, values uint64) {
	switch part {
	case minutes:
		p.minutes = values
	case hours:
		p.hours = uint32(values)
	case monthDay:
		p.days = uint32(values << 1)
	case month:
		p.months = uint16(values << 1)
	case weekDay:
		p.weekdays = uint8(values)
	case year:
	}
}

// lastWeekday, in pattern.last, is the last weekday of the month (LW).
const lastWeekday = 1

// beforeLast returns p.last with the day n before the last as bit n.
func (p *pattern) beforeLast() uint32 { return bits.Reverse32(p.last &^ lastWeekday) }

// flags are what a pattern needs to be asked quickly, or printed as it was written.
type flags uint8

const (
	either       flags = 1 << iota // a day matches by its date or by its weekday
	perpetual                      // every year up to lastYear; years is empty
	daily                          // every day of every year matches
	weekly                         // every year, the days are those of weekdays
	never                          // no day matches
	lost                           // in the zone, each year's slots are in a gap, from zone.ruled on
	writtenEvery                   // a rate written @every, not rate(…)
)

// The years that schedules live in. AWS's year field ends at lastYearAWS; lastYear is the last that RFC 3339 can write.
const (
	firstYear   = 1970
	lastYearAWS = 2199
	lastYear    = 9999

	lastDayAWS = 84005   // 2199-12-31, from 1970-01-01
	lastDay    = 2932896 // 9999-12-31
)

const (
	allMinutes  = 1<<60 - 1
	allHours    = 1<<24 - 1
	allDays     = 1<<32 - 2
	allMonths   = 1<<13 - 2
	allWeekdays = 1<<7 - 1
)

// allYears are AWS's.
var allYears = [4]uint64{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<(lastYearAWS-firstYear-3*64+1) - 1}

// nthOf returns pattern.nth for the k-th time a weekday comes in a month, from 1 to 5, or for the last time it does.
func nthOf(weekday, k int) uint8 { return uint8(weekday<<3 | k) }

// lastOne is the k of a weekday with an L: the last in the month.
const lastOne = 6

// nthWeekday undoes nthOf.
func (p *pattern) nthWeekday() (weekday, k int) { return int(p.nth >> 3), int(p.nth & 7) }

// settle works out the flags that follow from the fields.
func (p *pattern) settle() {
	everyDate := p.days == allDays && p.months == allMonths && p.nth == 0 && (p.flags&perpetual != 0 || p.years == allYears)
	switch {
	case everyDate && p.weekdays == allWeekdays:
		p.flags |= daily
	case everyDate && p.flags&either == 0:
		p.flags |= weekly
	case !p.hasDays():
		p.flags |= never
	}
}

// certain are days that every month has, and which every year's field so has as well.
const certain = 1<<29 - 2

// hasDays reports whether any day matches. Years differ in yearTypes ways only, so it need not look at each.
func (p *pattern) hasDays() bool {
	if p.days&certain != 0 && p.weekdays == allWeekdays && p.nth == 0 || p.days == allDays && p.weekdays != 0 {
		return true
	}
	if _, k := p.nthWeekday(); p.flags&either != 0 || p.nth != 0 && k != 5 {
		return true
	}
	var seen uint32
	for year, ok := p.nextYear(firstYear); ok && year < firstYear+cycleYears; year, ok = p.nextYear(year + 1) {
		kind := uint32(1) << yearType(year)
		if _, found := p.firstDay(year); seen&kind == 0 && found {
			return true
		}
		seen |= kind
	}
	return false
}

// next returns the first matching time at or after local time l.
func (p *pattern) next(l int64) (int64, bool) {
	minute := uint64(max(l, 0)+minuteSeconds-1) / minuteSeconds
	day := uint32(minute / dayMinutes)
	clock := uint32(minute % dayMinutes)
	hour := clock / hourMinutes

	first := p.first()
	var at uint32
	if m := p.minutes >> (clock % hourMinutes & 63); m != 0 && p.hours>>(hour&31)&1 != 0 {
		at = clock + uint32(bits.TrailingZeros64(m))
	} else {
		h := p.hours >> ((hour + 1) & 31)
		at = (hour+1+uint32(bits.TrailingZeros32(h)))*hourMinutes + uint32(bits.TrailingZeros64(p.minutes))
		// Two conditions are two moves, without a branch that nobody could foresee.
		if h == 0 {
			at = first
		}
		if h == 0 {
			day++
		}
	}

	switch {
	case p.flags&daily != 0:
		return instant(day, at), day <= p.end()
	case p.flags&weekly != 0:
		rotated := (uint32(p.weekdays) | uint32(p.weekdays)<<weekDays) >> weekdayOf(day)
		if rotated&1 == 0 {
			day += uint32(bits.TrailingZeros32(rotated))
			at = first
		}
		return instant(day, at), day <= p.end()
	}
	found, ok := p.nextDay(day)
	if found != day {
		at = first
	}
	return instant(found, at), ok
}

// instant returns a minute of a day in local seconds.
func instant(day, clock uint32) int64 { return (int64(day)*dayMinutes + int64(clock)) * minuteSeconds }

// first and final return the first and the last matching minute of a day.
func (p *pattern) first() uint32 {
	return uint32(bits.TrailingZeros32(p.hours))*hourMinutes + uint32(bits.TrailingZeros64(p.minutes))
}

func (p *pattern) final() uint32 {
	return uint32(bits.Len32(p.hours)-1)*hourMinutes + uint32(bits.Len64(p.minutes)-1)
}

// end returns the last day that may match.
func (p *pattern) end() uint32 {
	if p.flags&perpetual != 0 {
		return lastDay
	}
	return lastDayAWS
}

// prev returns the last matching time at or before local time l.
func (p *pattern) prev(l int64) (int64, bool) {
	if l < 0 {
		return 0, false
	}
	minute := uint64(l) / minuteSeconds
	day := uint32(minute / dayMinutes)
	clock := uint32(minute % dayMinutes)
	hour := clock / hourMinutes

	at := p.final()
	if m := p.minutes << (63 - clock%hourMinutes&63); m != 0 && p.hours>>(hour&31)&1 != 0 {
		at = clock - uint32(bits.LeadingZeros64(m))
	} else if h := p.hours & (1<<(hour&31) - 1); h != 0 {
		at = uint32(bits.Len32(h)-1)*hourMinutes + uint32(bits.Len64(p.minutes)-1)
	} else {
		if day == 0 {
			return 0, false
		}
		day--
	}

	if day <= p.end() {
		switch {
		case p.flags&daily != 0:
			return instant(day, at), true
		case p.flags&weekly != 0:
			// Bit 6 is the day itself.
			rotated := (uint32(p.weekdays) | uint32(p.weekdays)<<weekDays) >> ((weekdayOf(day) + 1) % weekDays) & allWeekdays
			if back := uint32(7 - bits.Len32(rotated)); back > 0 {
				if back > day {
					return 0, false
				}
				day -= back
				at = p.final()
			}
			return instant(day, at), true
		}
	}
	found, ok := p.prevDay(day)
	if found != day {
		at = p.final()
	}
	return instant(found, at), ok
}

// nextDay returns the first matching day at or after one, both counted from 1970-01-01.
func (p *pattern) nextDay(day uint32) (uint32, bool) {
	if day > lastDay || p.flags&never != 0 {
		return 0, false
	}
	year, month, from := civil(day)
	first := day - from + 1
	if p.hasYear(year) {
		for {
			months := uint32(p.months) >> (month & 31)
			if months&1 != 0 {
				if days := p.monthDays(year, month, first) >> (from & 31) << (from & 31); days != 0 {
					return first + uint32(bits.TrailingZeros32(days)) - 1, true
				}
			}
			if months <= 1 {
				break
			}
			first += daysIn(year, month)
			from = 1
			month++
		}
	}
	rest := *p
	for {
		var ok bool
		if year, ok = rest.nextYear(year + 1); !ok {
			return 0, false
		}
		if found, ok := p.firstDay(year); ok {
			return found, true
		}
		rest.drop(year)
	}
}

// firstDay returns the first matching day of a year that matches.
func (p *pattern) firstDay(year uint32) (uint32, bool) {
	for months := p.months; months != 0; months &= months - 1 {
		month := uint32(bits.TrailingZeros16(months))
		first := dayNumber(year, month, 1)
		if days := p.monthDays(year, month, first); days != 0 {
			return first + uint32(bits.TrailingZeros32(days)) - 1, true
		}
	}
	return 0, false
}

// prevDay returns the last matching day at or before one, both counted from 1970-01-01.
func (p *pattern) prevDay(day uint32) (uint32, bool) {
	if p.flags&never != 0 {
		return 0, false
	}
	year, month, to := civil(min(day, lastDay))
	if p.hasYear(year) {
		for months := p.months & (1<<(month+1) - 1); months != 0; {
			m := uint32(bits.Len16(months) - 1)
			first := dayNumber(year, m, 1)
			days := p.monthDays(year, m, first)
			if m == month {
				days &= through(to)
			}
			if days != 0 {
				return first + uint32(bits.Len32(days)) - 2, true
			}
			months &^= 1 << m
		}
	}
	rest := *p
	for {
		var ok bool
		if year, ok = rest.prevYear(year - 1); !ok {
			return 0, false
		}
		for months := p.months; months != 0; {
			m := uint32(bits.Len16(months) - 1)
			first := dayNumber(year, m, 1)
			if days := p.monthDays(year, m, first); days != 0 {
				return first + uint32(bits.Len32(days)) - 2, true
			}
			months &^= 1 << m
		}
		rest.drop(year)
	}
}

// drop takes a year that was searched in vain out of p, and with it all years of its kind, which have the same days. So a search goes
// through a few years, whatever the years are that p has. A perpetual pattern needs none of this: it has days in any twelve years.
func (p *pattern) drop(year uint32) {
	if p.flags&perpetual != 0 {
		return
	}
	for w, years := range yearsOf[yearType(year)] {
		p.years[w] &^= years
	}
}

// yearsOf are the years of each kind, as pattern.years has them.
var yearsOf = func() (years [yearTypes][4]uint64) {
	for n := range uint32(256) {
		years[yearType(firstYear+n)][n/64] |= 1 << (n % 64)
	}
	return years
}()

// hasYear reports whether a year from firstYear to lastYear matches.
func (p *pattern) hasYear(year uint32) bool {
	if p.flags&perpetual != 0 {
		return true
	}
	n := year - firstYear
	return n < 256 && p.years[n/64]>>(n%64)&1 != 0
}

// nextYear returns the first matching year at or after one.
func (p *pattern) nextYear(year uint32) (uint32, bool) {
	if p.flags&perpetual != 0 {
		return year, year <= lastYear
	}
	n := year - firstYear
	for w := n / 64; w < uint32(len(p.years)); w++ {
		if set := p.years[w] >> (n % 64) << (n % 64); set != 0 {
			return firstYear + w*64 + uint32(bits.TrailingZeros64(set)), true
		}
		n = 0
	}
	return 0, false
}

// prevYear returns the last matching year at or before one.
func (p *pattern) prevYear(year uint32) (uint32, bool) {
	if year < firstYear {
		return 0, false
	}
	if p.flags&perpetual != 0 {
		return year, true
	}
	n := min(year-firstYear, uint32(len(p.years))*64-1)
	for {
		w := n / 64
		if set := p.years[w] << (63 - n%64); set != 0 {
			return firstYear + n - uint32(bits.LeadingZeros64(set)), true
		}
		if w == 0 {
			return 0, false
		}
		n = w*64 - 1
	}
}

// monthDays returns the matching days of a month, as bits 1-31. first is the day number of the month's first day.
func (p *pattern) monthDays(year, month, first uint32) uint32 {
	length := daysIn(year, month)
	days := p.days | p.last&^lastWeekday>>(31-length&31)
	if p.nearest|p.last&lastWeekday != 0 {
		days |= p.nearestDays(length, weekdayOf(first))
	}
	if p.weekdays != allWeekdays {
		weekdays := p.weekDays(length, weekdayOf(first))
		if p.flags&either != 0 {
			days |= weekdays
		} else {
			days &= weekdays
		}
	}
	return days & through(length)
}

// through returns the days from 1 to n, which is from 1 to 31.
func through(n uint32) uint32 { return allDays >> (31 - n&31) & allDays }

// nearestDays returns the days that nW and LW mean in a month of some length whose first is weekday start.
func (p *pattern) nearestDays(length, start uint32) uint32 {
	var days uint32
	for set := p.nearest; set != 0; set &= set - 1 {
		if n := uint32(bits.TrailingZeros32(set)); n <= length {
			days |= 1 << nearestWeekday(n, length, start)
		}
	}
	if p.last&lastWeekday != 0 {
		days |= 1 << nearestWeekday(length, length, start)
	}
	return days
}

// toWeekday is how far it is from each weekday to the nearest from Monday to Friday. It is a table, as processors cannot foresee a branch.
var toWeekday = [weekDays]int32{0: 1, 6: -1}

// nearestWeekday returns the day from Monday to Friday nearest to day n without leaving the month.
func nearestWeekday(n, length, start uint32) uint32 {
	n += uint32(toWeekday[(start+n-1)%weekDays])
	switch {
	case n == 0: // a Saturday
		return 3
	case n > length: // a Sunday
		return n - 3
	}
	return n
}

// weekDays returns the days that day-of-week means in a month of some length whose first is weekday start.
func (p *pattern) weekDays(length, start uint32) uint32 {
	if p.nth == 0 {
		rotated := uint64(p.weekdays) | uint64(p.weekdays)<<weekDays
		rotated = rotated >> start & allWeekdays // bit 0 is now the weekday of the first
		const weeks = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
		return uint32(rotated * weeks << 1 & allDays)
	}
	weekday, k := p.nthWeekday()
	first := (uint32(weekday)+weekDays-start)%weekDays + 1
	if k == lastOne {
		if first+28 <= length {
			return 1 << (first + 28)
		}
		return 1 << (first + 21)
	}
	return 1 << (first + 7*uint32(k-1))
}
