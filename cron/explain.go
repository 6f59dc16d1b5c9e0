package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Explain says in plain English when s fires, such as "At 10:15 on the last Friday of every month, 2030 to 2035". Times are in the
// 24-hour clock. Schedules that are equal have the same explanation, and those that fire at different times have different ones.
func (s Schedule) Explain() string {
	var text string
	switch {
	case s.set != nil && s.set.any != nil:
		parts := make([]string, len(s.set.any))
		for i, part := range s.set.any {
			parts[i] = part.Explain()
		}
		text = strings.Join(parts, "; and also: ")
	case s.pattern.dialect == 0:
		return "Never"
	case s.pattern.flags&never != 0:
		text = "Never: there is no such date as " + s.String() + " asks for"
	case s.period > 0:
		text = s.explainRate()
	case s.pattern.dialect == At:
		l, _ := s.nextLocal(0)
		text = time.Unix(l, 0).UTC().Format("Once, at 15:04:05 on Monday, 2 January 2006") + s.explainZone()
	default:
		text = s.pattern.explainClock() + s.pattern.explainDays() + s.pattern.explainYears() + s.explainZone()
	}
	if s.set == nil {
		return text
	}
	parts := []string{text}
	for _, c := range s.set.only {
		parts = append(parts, ", only on the dates of ", c.name)
	}
	for _, c := range s.set.without {
		parts = append(parts, ", but not on the dates of ", c.name)
	}
	for _, x := range s.set.except {
		parts = append(parts, "; except for the minutes of: ", x.Explain())
	}
	return strings.Join(parts, "")
}

func (s *Schedule) explainRate() string {
	var parts []string
	rest := s.period
	for _, u := range []struct {
		name   string
		length int64
	}{{"day", daySeconds}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		switch n := rest / u.length; {
		case n == s.period/u.length && n == 1 && rest == u.length:
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
		text += "; what clocks skip fires right after it"
	}
	if p.repeat != s.WithRepeat(RepeatDefault).pattern.repeat {
		switch p.repeat {
		case RepeatFirst:
			text += "; what clocks show twice fires the first time"
		case RepeatSecond:
			text += "; what clocks show twice fires the second time"
		case RepeatBoth, RepeatDefault:
			text += "; what clocks show twice fires both times"
		}
	}
	return text
}

// explainClock says at which times of a day p fires.
func (p *pattern) explainClock() string {
	hours := runs(members(uint64(p.hours)))
	minutes, hourCount := bits.OnesCount64(p.minutes), bits.OnesCount32(p.hours)
	every := "" // if the minutes are evenly spread over each hour
	switch step := evenly(p.minutes, hourMinutes); {
	case step == 1:
		every = "Every minute"
	case step > 1 && step < hourMinutes:
		every = fmt.Sprintf("Every %d minutes", step)
	case step == hourMinutes && p.hours == allHours:
		return "Every hour"
	case step == hourMinutes && evenly(uint64(p.hours), 24) > 1 && hourCount > 2:
		return fmt.Sprintf("Every %d hours", evenly(uint64(p.hours), 24))
	}
	if minutes == 1 && len(hours) == 1 && hourCount > 3 && hourCount < 24 {
		minute := bits.TrailingZeros64(p.minutes)
		return fmt.Sprintf("Every hour from %02d:%02d to %02d:%02d", hours[0].from, minute, hours[0].to, minute)
	}
	switch {
	case every != "" && p.hours == allHours:
		return every
	case every != "" && len(hours) <= 2 && (hourCount > len(hours) || minutes > 2):
		spans := make([]string, len(hours))
		for i, r := range hours {
			spans[i] = fmt.Sprintf("from %02d:00 to %02d:%02d", r.from, r.to, bits.Len64(p.minutes)-1)
		}
		return every + " " + and(spans)
	case minutes*hourCount <= 6:
		var times []string
		for _, hour := range members(uint64(p.hours)) {
			for _, minute := range members(p.minutes) {
				times = append(times, fmt.Sprintf("%02d:%02d", hour, minute))
			}
		}
		return "At " + and(times)
	}
	text := "At minutes " + list(p.minutes, strconv.Itoa) + " of "
	switch minutes {
	case 1:
		text = "At minute " + list(p.minutes, strconv.Itoa) + " of "
	case hourMinutes:
		text = "Every minute of "
	}
	switch {
	case p.hours == allHours:
		return text + "every hour"
	case hourCount == 1:
		return text + "hour " + list(uint64(p.hours), strconv.Itoa)
	}
	return text + "the hours " + list(uint64(p.hours), strconv.Itoa)
}

// explainDays says on which days of which months p fires.
func (p *pattern) explainDays() string {
	ofMonths, inMonths := " of every month", ""
	if p.months != allMonths {
		months := list(uint64(p.months), func(m int) string { return time.Month(m).String() })
		ofMonths, inMonths = " of "+months, " in "+months
		if set := p.months >> bits.TrailingZeros16(p.months); set&(set+1) == 0 && set > 3 { // one range
			inMonths = " from " + months
		}
	}
	if p.weekdays == allWeekdays && p.days == allDays {
		if strings.HasPrefix(p.explainClock(), "At ") && p.hours != allHours {
			return " every day" + inMonths
		}
		return inMonths
	}
	dates := p.explainDates() + ofMonths
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
	case bits.OnesCount8(p.weekdays) == 1:
		return " every " + weekdays + inMonths
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
	for _, n := range members(uint64(p.last &^ lastWeekday)) {
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
