package cron

import "math/bits"

// A calendar is the fields of a cron expression as bit sets. It knows local time only: seconds since
// 1970-01-01T00:00:00 on a wall clock that is never adjusted.
//
// A day matches if it is in both the days of the month and the days of the week,
// or with either set, in one of them. The zero calendar matches nothing.
type calendar struct {
	minutes uint64 // bits 0-59
	hours   uint32 // bits 0-23
	months  uint16 // bits 1-12

	days        uint32 // bits 1-31
	last        uint32 // bit n: the day n before the last of the month (L, L-n)
	nearest     uint32 // bit n: the weekday nearest to day n (nW)
	lastWeekday bool   // the last weekday of the month (LW)

	weekdays uint8    // bits 0-6, bit 0 is Sunday
	nth      [6]uint8 // nth[k]: the weekdays that match the k-th time they come in a month (k 1-5); nth[0]: the last time

	either    bool
	perpetual bool      // every year up to lastYear; years is empty
	years     [4]uint64 // bit n: the year firstYear+n
}

// The years that schedules live in. AWS's year field ends at lastYearAWS; lastYear is the last that RFC 3339 can write.
const (
	firstYear   = 1970
	lastYearAWS = 2199
	lastYear    = 9999
)

const (
	allMinutes  = 1<<60 - 1
	allHours    = 1<<24 - 1
	allDays     = 1<<32 - 2
	allMonths   = 1<<13 - 2
	allWeekdays = 1<<7 - 1
)

const (
	minuteSeconds = 60
	dayMinutes    = 24 * 60
	daySeconds    = dayMinutes * minuteSeconds
	// cycleYears is the length of the Gregorian cycle: 146097 days, whole weeks. What has not matched for so long never does.
	cycleYears = 400
)

// next returns the first matching time at or after local time l.
func (c *calendar) next(l int64) (int64, bool) {
	l = max(l, 0) // the first second of firstYear
	minute := (l + minuteSeconds - 1) / minuteSeconds
	day, clock := minute/dayMinutes, int(minute%dayMinutes)
	at, ok := c.nextClock(clock)
	if !ok {
		day++
	}
	found, fits := c.nextDay(day)
	if !fits {
		return 0, false
	}
	if !ok || found > day {
		at = bits.TrailingZeros32(c.hours)*60 + bits.TrailingZeros64(c.minutes)
	}
	return (found*dayMinutes + int64(at)) * minuteSeconds, true
}

// prev returns the last matching time at or before local time l.
func (c *calendar) prev(l int64) (int64, bool) {
	if l < 0 {
		return 0, false
	}
	minute := l / minuteSeconds
	day, clock := minute/dayMinutes, int(minute%dayMinutes)
	at, ok := c.prevClock(clock)
	if !ok {
		day--
	}
	found, fits := c.prevDay(day)
	if !fits {
		return 0, false
	}
	if !ok || found < day {
		at = (bits.Len32(c.hours)-1)*60 + bits.Len64(c.minutes) - 1
	}
	return (found*dayMinutes + int64(at)) * minuteSeconds, true
}

// nextClock returns the first matching minute of a day at or after one.
func (c *calendar) nextClock(clock int) (int, bool) {
	hour, minute := clock/60, clock%60
	if c.hours&(1<<hour) != 0 {
		if m := c.minutes >> minute << minute; m != 0 {
			return hour*60 + bits.TrailingZeros64(m), true
		}
	}
	if h := c.hours >> (hour + 1) << (hour + 1); h != 0 {
		return bits.TrailingZeros32(h)*60 + bits.TrailingZeros64(c.minutes), true
	}
	return 0, false
}

// prevClock returns the last matching minute of a day at or before one.
func (c *calendar) prevClock(clock int) (int, bool) {
	hour, minute := clock/60, clock%60
	if c.hours&(1<<hour) != 0 {
		if m := c.minutes & (1<<(minute+1) - 1); m != 0 {
			return hour*60 + bits.Len64(m) - 1, true
		}
	}
	if h := c.hours & (1<<hour - 1); h != 0 {
		return (bits.Len32(h)-1)*60 + bits.Len64(c.minutes) - 1, true
	}
	return 0, false
}

// nextDay returns the first matching day at or after one, both counted from 1970-01-01.
func (c *calendar) nextDay(day int64) (int64, bool) {
	year, month, from := civil(day)
	end := min(year+cycleYears, lastYear)
	for {
		y, ok := c.nextYear(year)
		if !ok || y > end {
			return 0, false
		}
		if y > year {
			year, month, from = y, 1, 1
		}
		months := c.months >> month << month
		if months == 0 {
			year, month, from = year+1, 1, 1
			continue
		}
		if m := bits.TrailingZeros16(months); m > month {
			month, from = m, 1
		}
		first := dayNumber(year, month, 1)
		if days := c.monthDays(year, month, first) >> from << from; days != 0 {
			return first + int64(bits.TrailingZeros32(days)) - 1, true
		}
		month, from = month+1, 1 // 13 finds no months, and so moves on to the next year
	}
}

// prevDay returns the last matching day at or before one, both counted from 1970-01-01.
func (c *calendar) prevDay(day int64) (int64, bool) {
	if day < 0 {
		return 0, false
	}
	year, month, to := civil(day)
	end := firstYear
	if c.perpetual {
		end = max(year-cycleYears, firstYear)
	}
	for {
		y, ok := c.prevYear(year)
		if !ok || y < end {
			return 0, false
		}
		if y < year {
			year, month, to = y, 12, 31
		}
		months := c.months & (1<<(month+1) - 1)
		if months == 0 {
			year, month, to = year-1, 12, 31
			continue
		}
		if m := bits.Len16(months) - 1; m < month {
			month, to = m, 31
		}
		first := dayNumber(year, month, 1)
		if days := c.monthDays(year, month, first) & through(to); days != 0 {
			return first + int64(bits.Len32(days)) - 2, true
		}
		month, to = month-1, 31 // 0 finds no months, and so moves on to the year before
	}
}

// nextYear returns the first matching year at or after one.
func (c *calendar) nextYear(year int) (int, bool) {
	if c.perpetual {
		return max(year, firstYear), year <= lastYear
	}
	n := max(year-firstYear, 0)
	for w := n / 64; w < len(c.years); w++ {
		if set := c.years[w] >> (n % 64) << (n % 64); set != 0 {
			return firstYear + w*64 + bits.TrailingZeros64(set), true
		}
		n = 0
	}
	return 0, false
}

// prevYear returns the last matching year at or before one.
func (c *calendar) prevYear(year int) (int, bool) {
	if c.perpetual {
		return min(year, lastYear), year >= firstYear
	}
	n := min(year-firstYear, len(c.years)*64-1)
	for n >= 0 {
		w := n / 64
		if set := c.years[w] << (63 - n%64); set != 0 {
			return firstYear + n - bits.LeadingZeros64(set), true
		}
		n = w*64 - 1
	}
	return 0, false
}

// monthDays returns the matching days of a month, as bits 1-31. first is the day number of the month's first day.
func (c *calendar) monthDays(year, month int, first int64) uint32 {
	length := daysIn(year, month)
	start := int((first + 4) % 7) // the weekday of the first: 1970-01-01 was a Thursday
	days := c.days
	if c.last|c.nearest != 0 || c.lastWeekday {
		days |= c.specialDays(length, start)
	}
	weekdays := spread(c.weekdays, start)
	if c.nth != [6]uint8{} {
		weekdays |= c.nthDays(length, start)
	}
	if c.either {
		days |= weekdays
	} else {
		days &= weekdays
	}
	return days & through(length)
}

// through returns the days from 1 to n, which is at most 31.
func through(n int) uint32 { return allDays >> (31 - n) & allDays }

// specialDays returns the days that L, L-n, nW and LW mean in a month of some length whose first is weekday start.
func (c *calendar) specialDays(length, start int) uint32 {
	var days uint32
	for set := c.last; set != 0; set &= set - 1 {
		if n := bits.TrailingZeros32(set); n < length {
			days |= 1 << (length - n)
		}
	}
	for set := c.nearest; set != 0; set &= set - 1 {
		if n := bits.TrailingZeros32(set); n <= length {
			days |= 1 << nearestWeekday(n, length, start)
		}
	}
	if c.lastWeekday {
		days |= 1 << nearestWeekday(length, length, start)
	}
	return days
}

// nearestWeekday returns the day from Monday to Friday nearest to day n without leaving the month.
func nearestWeekday(n, length, start int) int {
	switch weekday := (start + n - 1) % 7; {
	case weekday == 6 && n > 1:
		return n - 1
	case weekday == 6:
		return n + 2
	case weekday == 0 && n < length:
		return n + 1
	case weekday == 0:
		return n - 2
	}
	return n
}

// nthDays returns the days that # and the L of day-of-week mean.
func (c *calendar) nthDays(length, start int) uint32 {
	lastWeek := uint32(allDays) << (length - 7) // the last seven days of the month, and beyond
	days := spread(c.nth[0], start) & lastWeek
	for k := 1; k < len(c.nth); k++ {
		const week = allWeekdays << 1
		days |= spread(c.nth[k], start) & uint32(week<<(7*(k-1)))
	}
	return days
}

// spread returns the days 1-31 that fall on a set of weekdays, in a month whose first is weekday start.
func spread(weekdays uint8, start int) uint32 {
	w := uint64(weekdays)
	w = (w>>start | w<<(7-start)) & allWeekdays // bit 0 is now the weekday of the first
	const weeks = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
	return uint32(w * weeks << 1 & allDays)
}

// dayNumber returns the days from 1970-01-01 to a date, with years counted from March so that the leap day comes last.
func dayNumber(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / cycleYears
	inEra := year % cycleYears
	inYear := (153*(month-3)+2)/5 + day - 1
	return int64(era*eraDays + inEra*365 + inEra/4 - inEra/100 + inYear - epochDays)
}

// civil returns the date that is some days, at least 0, from 1970-01-01.
func civil(n int64) (year, month, day int) {
	z := int(n) + epochDays
	era := z / eraDays
	inEra := z % eraDays
	years := (inEra - inEra/1460 + inEra/36524 - inEra/146096) / 365
	inYear := inEra - (365*years + years/4 - years/100)
	m := (5*inYear + 2) / 153
	year, month, day = era*cycleYears+years, m+3, inYear-(153*m+2)/5+1
	if month > 12 {
		year++
		month -= 12
	}
	return year, month, day
}

const (
	eraDays   = 146097 // days in 400 years
	epochDays = 719468 // days from 0000-03-01 to 1970-01-01
)

// daysIn returns the length of a month.
func daysIn(year, month int) int {
	if month == 2 {
		if year%4 == 0 && (year%100 != 0 || year%cycleYears == 0) {
			return 29
		}
		return 28
	}
	return 30 + (month+month>>3)&1
}
