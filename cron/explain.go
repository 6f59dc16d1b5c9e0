package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Explain says in plain English when s fires, such as "At 10:15 on the last Friday of every month, 2030 to 2035". Times are in the
// 24-hour clock. Schedules that are equal have the same explanation. Those that fire at different times have different ones, unless all that
// tells them apart is the rule for repeats that is the default of their dialects, or calendars or zones that have one name.
func (s Schedule) Explain() string {
	text := s.explainSlots()
	if s.set == nil || s.set.any == nil && strings.HasPrefix(text, "Never") {
		return text
	}
	if s.set.isBoth() {
		text = "(" + text + ")"
	}
	zone := "" // whose dates count, if the text does not say it yet
	if s.zone != nil && (s.set.any != nil || s.period > 0) {
		zone = " in " + s.zone.loc.String() + " time"
	}
	parts := []string{text}
	for _, c := range s.set.only {
		parts = append(parts, ", only on the dates of ", c.name, zone)
	}
	for _, c := range s.set.without {
		parts = append(parts, ", but not on the dates of ", c.name, zone)
	}
	for _, x := range s.set.except {
		parts = append(parts, "; except for the minutes of: ", x.explainPart())
	}
	return strings.Join(parts, "")
}

// explainPart explains a part of a combination, between parentheses if it is one itself.
func (s *Schedule) explainPart() string {
	if s.set == nil {
		return s.Explain()
	}
	return "(" + s.Explain() + ")"
}

// explainSlots says when s fires before its set takes anything away.
func (s Schedule) explainSlots() string {
	switch {
	case s.set != nil && s.set.any != nil:
		parts := make([]string, len(s.set.any))
		for i := range parts {
			parts[i] = s.set.any[i].explainPart()
		}
		return strings.Join(parts, "; and also: ")
	case s.pattern.dialect == 0:
		return "Never"
	case s.pattern.flags&never != 0:
		return "Never: there is no such date as " + string(s.append(nil)) + " asks for"
	case s.period > 0:
		return s.explainRate()
	case s.lostInGaps():
		return "Never: clocks in " + s.zone.loc.String() + " skip each time that " + string(s.append(nil)) + " asks for"
	case s.pattern.dialect == At:
		l, _ := s.nextLocal(0)
		return time.Unix(l, 0).UTC().Format("Once, at 15:04:05 on Monday, 2 January 2006") + s.explainZone()
	default:
		clock, at := s.pattern.explainClock()
		return clock + s.pattern.explainDays(at) + s.pattern.explainYears() + s.explainZone()
	}
}

// lostInGaps reports whether dates match, but clocks skip the time on each of them.
func (s Schedule) lostInGaps() bool {
	s.set = nil
	return s.zone != nil && s.pattern.gap != GapNext && s.Never()
}

func (s *Schedule) explainRate() string {
	var parts []string
	rest := s.period
	for _, u := range []struct {
		name   string
		length int64
	}{{"day", daySeconds}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		switch n := rest / u.length; {
		case s.period == u.length:
			parts = append(parts, u.name)
		case n == 1:
			parts = append(parts, "1 "+u.name)
		case n > 1:
			parts = append(parts, strconv.FormatInt(n, 10)+" "+u.name+"s")
		}
		rest %= u.length
	}
	text := "Every " + and(parts) + " of elapsed time"
	if s.anchor != 0 {
		text += ", counted from " + time.Unix(s.anchor, 0).UTC().Format(time.DateTime) + " UTC"
	}
	return text
}

// explainZone names the zone, and the rules for changes of clocks that are not those of the dialect.
func (s *Schedule) explainZone() string {
	if s.zone == nil {
		return ""
	}
	text := ", " + s.zone.loc.String() + " time"
	p := &s.pattern
	if p.gap == GapNext {
		text += "; times that clocks skip fire right after the gap"
	}
	if p.repeat != s.WithRepeat(RepeatDefault).pattern.repeat {
		switch p.repeat {
		case RepeatFirst:
			text += "; times that come twice fire the first time"
		case RepeatSecond:
			text += "; times that come twice fire the second time"
		case RepeatBoth, RepeatDefault:
			text += "; times that come twice fire both times"
		}
	}
	return text
}

// explainClock says at which times of a day p fires, and reports whether it lists them, beginning with At, and leaves open
// on which days.
func (p *pattern) explainClock() (text string, at bool) {
	hours := runs(members(uint64(p.hours)))
	minutes, hourCount := bits.OnesCount64(p.minutes), bits.OnesCount32(p.hours)
	every := "" // if the minutes are evenly spread over each hour
	switch step := evenly(p.minutes, hourMinutes); {
	case step == 1:
		every = "Every minute"
	case step > 1 && step < hourMinutes:
		every = fmt.Sprintf("Every %d minutes", step)
	case step == hourMinutes && p.hours == allHours:
		return "Every hour", false
	case step == hourMinutes && evenly(uint64(p.hours), 24) > 1 && hourCount > 2:
		return fmt.Sprintf("Every %d hours", evenly(uint64(p.hours), 24)), false
	}
	if minutes == 1 && len(hours) == 1 && hourCount > 3 && hourCount < 24 {
		minute := bits.TrailingZeros64(p.minutes)
		return fmt.Sprintf("Every hour from %02d:%02d to %02d:%02d", hours[0].from, minute, hours[0].to, minute), false
	}
	switch {
	case every != "" && p.hours == allHours:
		return every, false
	case every != "" && len(hours) <= 2 && (hourCount > len(hours) || minutes > 2):
		spans := make([]string, len(hours))
		for i, r := range hours {
			spans[i] = fmt.Sprintf("from %02d:00 to %02d:%02d", r.from, r.to, bits.Len64(p.minutes)-1)
		}
		return every + " " + and(spans), false
	case minutes*hourCount <= 6:
		var times []string
		for _, hour := range members(uint64(p.hours)) {
			for _, minute := range members(p.minutes) {
				times = append(times, fmt.Sprintf("%02d:%02d", hour, minute))
			}
		}
		return "At " + and(times), true
	}
	first, step := steps(p.minutes, hourMinutes-1)
	switch {
	case every != "":
		text = every
	case step > 0:
		text = fmt.Sprintf("Every %d minutes from minute %d", step, first)
	case minutes == 1:
		text, at = "At minute "+list(p.minutes, strconv.Itoa), true
	default:
		text, at = "At minutes "+list(p.minutes, strconv.Itoa), true
	}
	switch {
	case p.hours == allHours:
		return text + " of every hour", false
	case hourCount == 1:
		return text + " of hour " + list(uint64(p.hours), strconv.Itoa), at
	}
	return text + " of the hours " + list(uint64(p.hours), strconv.Itoa), at
}

// steps returns the first of five or more values that are at equal distances up to the end of a field, and their distance, if it
// is not 1; or else 0 and 0.
func steps(set uint64, last int) (first, step int) {
	all := members(set)
	n := len(all)
	if n < 5 || all[1]-all[0] == 1 || all[n-1]+all[1]-all[0] <= last {
		return 0, 0
	}
	first, step = all[0], all[1]-all[0]
	for i, v := range all {
		if v != first+i*step {
			return 0, 0
		}
	}
	return first, step
}

// explainDays says on which days of which months p fires. It follows a clock that, if at is true, lists times.
func (p *pattern) explainDays(at bool) string {
	ofMonths, inMonths := " of every month", ""
	eachMonth := ofMonths // without a range
	if p.months != allMonths {
		name := func(m int) string { return time.Month(m).String() }
		months := list(uint64(p.months), name)
		var single []string
		for _, m := range members(uint64(p.months)) {
			single = append(single, name(m))
		}
		eachMonth = " of " + and(single)
		ofMonths, inMonths = eachMonth, " in "+months
		if set := p.months >> bits.TrailingZeros16(p.months); set&(set+1) == 0 && set > 3 { // one range
			ofMonths, inMonths = " of each month from "+months, " from "+months
		}
	}
	if p.weekdays == allWeekdays && p.days == allDays {
		if at {
			return " every day" + inMonths
		}
		return inMonths
	}
	dates := p.explainDates() + ofMonths
	if first, step := steps(uint64(p.days), 31); step > 0 && p.last|p.nearest == 0 {
		dates = "every " + ordinal(step) + " day" + eachMonth + " from the " + ordinal(first)
	}
	switch {
	case p.nth != 0:
		weekday, k := p.nthWeekday()
		return " on the " + []string{"", "first", "second", "third", "fourth", "fifth", "last"}[k] + " " + time.Weekday(weekday).String() + ofMonths
	case p.weekdays == allWeekdays:
		return " on " + dates
	}
	weekdays := weekdayList(p.weekdays)
	switch {
	case p.flags&either != 0:
		if bits.OnesCount8(p.weekdays) == 1 {
			weekdays = "every " + weekdays
		}
		return " on " + dates + ", and also " + weekdays + inMonths
	case bits.OnesCount8(p.weekdays) == 1 && at:
		return " every " + weekdays + inMonths
	case bits.OnesCount8(p.weekdays) == 1:
		return ", every " + weekdays + inMonths
	case inMonths != "":
		return ", " + weekdays + "," + inMonths
	}
	return ", " + weekdays
}

// explainDates names days of a month.
func (p *pattern) explainDates() string {
	var dates []string
	if p.days != 0 {
		dates = append(dates, "the "+list(uint64(p.days), ordinal))
	}
	for _, n := range members(uint64(p.nearest)) {
		dates = append(dates, "the weekday nearest to the "+ordinal(n))
	}
	if p.last&lastWeekday != 0 {
		dates = append(dates, "the last weekday")
	}
	for _, n := range members(uint64(p.beforeLast())) {
		switch n {
		case 0:
			dates = append(dates, "the last day")
		case 1:
			dates = append(dates, "the day before the last day")
		default:
			dates = append(dates, "the "+ordinal(n)+" day before the last day")
		}
	}
	return and(dates)
}

// explainYears says in which years p fires, if not in each.
func (p *pattern) explainYears() string {
	if p.flags&perpetual != 0 || p.years == allYears {
		return ""
	}
	var years []int
	for year, ok := p.nextYear(firstYear); ok; year, ok = p.nextYear(year + 1) {
		years = append(years, int(year))
	}
	first, last := years[0], years[len(years)-1]
	if len(years) > 2 {
		step, even := years[1]-first, true
		for i, year := range years {
			even = even && year == first+i*step
		}
		switch {
		case even && step == 1:
			return fmt.Sprintf(", %d to %d", first, last)
		case even:
			return fmt.Sprintf(", every %s year from %d to %d", ordinal(step), first, last)
		}
	}
	return " in " + and(names(years, strconv.Itoa))
}

// weekdayList names weekdays, in a week that begins on Monday or on Sunday, whichever is shorter.
func weekdayList(weekdays uint8) string {
	name := func(day int) string { return time.Weekday(day % weekDays).String() }
	fromSunday := list(uint64(weekdays), name)
	fromMonday := list(uint64(weekdays&^1)|uint64(weekdays&1)<<weekDays, name)
	if len(fromSunday) < len(fromMonday) {
		return fromSunday
	}
	return fromMonday
}

// evenly returns the distance between the members of a set that are evenly spread from 0 on over a field of some size, or 0.
func evenly(set uint64, size int) int {
	n := bits.OnesCount64(set)
	if size%n != 0 {
		return 0
	}
	var v values
	v.add(0, size-1, size/n, size)
	if v[0] != set {
		return 0
	}
	return size / n
}

// A run is a range of values, both ends included.
type run struct{ from, to int }

// runs returns the ranges of neighbours in values that increase.
func runs(values []int) []run {
	var all []run
	for _, n := range values {
		if last := len(all) - 1; last >= 0 && all[last].to == n-1 {
			all[last].to = n
		} else {
			all = append(all, run{n, n})
		}
	}
	return all
}

func members(set uint64) []int {
	var all []int
	for ; set != 0; set &= set - 1 {
		all = append(all, bits.TrailingZeros64(set))
	}
	return all
}

// list names the members of a set.
func list(set uint64, name func(int) string) string { return and(names(members(set), name)) }

// names names values that increase, three or more neighbours as a range.
func names(values []int, name func(int) string) []string {
	var texts []string
	for _, r := range runs(values) {
		switch {
		case r.to > r.from+1:
			texts = append(texts, name(r.from)+" to "+name(r.to))
		case r.to > r.from:
			texts = append(texts, name(r.from), name(r.to))
		default:
			texts = append(texts, name(r.from))
		}
	}
	return texts
}

// and joins texts as in "a, b and c".
func and(texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	last := len(texts) - 1
	return strings.Join(texts[:last], ", ") + " and " + texts[last]
}

func ordinal(n int) string {
	suffix := "th"
	switch {
	case n/10 == 1:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return strconv.Itoa(n) + suffix
}
