package cron

import (
	"iter"
	"slices"
	"time"
)

// A Calendar is a named set of dates, such as the holidays of an exchange. It is an immutable value, safe for
// concurrent use. The zero Calendar has no name and no dates.
//
// [Schedule.ExceptOn] and [Schedule.OnlyOn] combine it with a schedule.
type Calendar struct {
	name string
	days []int32 // from 1970-01-01, in order, each once
}

// NewCalendar returns the calendar of the dates that the given times have, each in its own location. Their order does not
// matter, and a date may come twice. Dates outside the years 1 to 9999, on which nothing fires, are left out.
func NewCalendar(name string, dates ...time.Time) Calendar {
	days := make([]int32, 0, len(dates))
	for _, t := range dates {
		if day, ok := dateOf(t); ok {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	return Calendar{name: name, days: slices.Clip(slices.Compact(days))}
}

// dateOf returns the date that t shows, in days from 1970-01-01, and reports whether a calendar can have it.
func dateOf(t time.Time) (day int32, ok bool) {
	_, offset := t.Zone()
	local := t.Unix() + int64(offset)
	if local < earliest || local > latest {
		return 0, false
	}
	return int32(floorDiv(local, daySeconds)), true
}

// Name returns the calendar's name.
func (c Calendar) Name() string { return c.name }

// Len returns how many dates the calendar has.
func (c Calendar) Len() int { return len(c.days) }

// Contains reports whether the date that t shows, in its own location, is in the calendar.
func (c Calendar) Contains(t time.Time) bool {
	day, ok := dateOf(t)
	if !ok {
		return false
	}
	_, found := slices.BinarySearch(c.days, day)
	return found
}

// Dates returns the dates in order, each as its midnight in UTC.
func (c Calendar) Dates() iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for _, day := range c.days {
			if !yield(time.Unix(int64(day)*daySeconds, 0).UTC()) {
				return
			}
		}
	}
}

func (c Calendar) equal(o Calendar) bool { return c.name == o.name && slices.Equal(c.days, o.days) }

// floorDiv returns a divided by b, which is positive, rounded down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
