package schedule

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"tminus.dev/cron"
	"tminus.dev/internal/invalid"
)

// MaxCalendarDays bounds a calendar: its days are kept with each schedule that names it.
const MaxCalendarDays = 10_000

// Calendar is a named set of days on which schedules that exclude it have no slots.
type Calendar struct {
	Name string `json:"name"`
	// Days count from 1970-01-01, in order, each once.
	Days []int32 `json:"days"`
}

// calendarName is unlike most cron expressions, which have more than one word or begin with an @.
var calendarName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,62}$`)

// IsCalendar reports whether an exclusion is the name of a calendar, and no cron expression.
func IsCalendar(exclusion string) bool {
	if !calendarName.MatchString(exclusion) {
		return false
	}
	_, err := cron.Parse(exclusion) // There are aliases such as hourly.
	return err != nil
}

const day = 24 * time.Hour

// NewCalendar is the calendar of the given dates, in whatever order. Its error is an *invalid.Error.
func NewCalendar(name string, dates []time.Time) (Calendar, error) {
	switch {
	case !calendarName.MatchString(name):
		return Calendar{}, invalid.Field("name", "%q: use up to 63 letters, digits, dots, dashes and underscores, of which the first is a letter", name)
	case !IsCalendar(name):
		return Calendar{}, invalid.Field("name", "%q: is a cron expression; use another name", name)
	}
	c := Calendar{Name: name, Days: make([]int32, 0, len(dates))}
	for _, date := range dates {
		if year := date.Year(); year < 1970 || year > 2199 {
			return Calendar{}, invalid.Field("dates", "%s: use a year from 1970 to 2199", date.Format(time.DateOnly))
		}
		c.Days = append(c.Days, int32(date.Unix()/int64(day/time.Second))) //nolint:gosec // Bounded by the years.
	}
	slices.Sort(c.Days)
	c.Days = slices.Clip(slices.Compact(c.Days))
	switch {
	case len(c.Days) == 0:
		return Calendar{}, invalid.Field("dates", "is empty; give dates such as 2026-12-25")
	case len(c.Days) > MaxCalendarDays:
		return Calendar{}, invalid.Field("dates", "has %d dates; %d are the most: days that recur by a rule are better excluded by a cron expression", len(c.Days), MaxCalendarDays)
	}
	return c, nil
}

// Dates are the days in order, each as its midnight in UTC.
func (c Calendar) Dates() []time.Time {
	dates := make([]time.Time, len(c.Days))
	for i, d := range c.Days {
		dates[i] = time.Unix(int64(d)*int64(day/time.Second), 0).UTC()
	}
	return dates
}

// Equal reports whether two calendars have the same name and days.
func (c Calendar) Equal(o Calendar) bool { return c.Name == o.Name && slices.Equal(c.Days, o.Days) }

// NoCalendar says that there is no calendar of a name.
func NoCalendar(name string) error {
	return annotationError(AnnotationPrefix+"exclude",
		"%q: there is no such calendar; store it with `tminus calendars put %s --file FILE`, or use a cron expression such as \"* * 25 12 *\"", name, name)
}

// Resolve is p with the days of the calendars that Exclude names, each once, as find has them.
func (p Policy) Resolve(find func(name string) (Calendar, error)) (Policy, error) {
	p.Calendars = nil
	for _, name := range p.CalendarNames() {
		c, err := find(name)
		if err != nil {
			return Policy{}, err
		}
		p.Calendars = append(p.Calendars, c)
	}
	return p, nil
}

// CalendarNames are those of the calendars that Exclude names, in order, each once.
func (p Policy) CalendarNames() []string {
	var names []string
	for _, x := range p.Exclude {
		if IsCalendar(x) {
			names = append(names, x)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Calendar is the calendar of that name which p excludes; ok is false if it excludes none.
func (p Policy) Calendar(name string) (c Calendar, ok bool) {
	i := slices.IndexFunc(p.Calendars, func(c Calendar) bool { return c.Name == name })
	if i < 0 {
		return Calendar{}, false
	}
	return p.Calendars[i], true
}

// Replace is p with c in place of the calendar of that name, which it has.
func (p Policy) Replace(c Calendar) Policy {
	p.Calendars = slices.Clone(p.Calendars)
	for i := range p.Calendars {
		if p.Calendars[i].Name == c.Name {
			p.Calendars[i] = c
		}
	}
	return p
}

// calendar is the one that Exclude names, as slots are compared with it.
func (p Policy) calendar(name string) (cron.Calendar, error) {
	c, ok := p.Calendar(name)
	if !ok {
		return cron.Calendar{}, fmt.Errorf("the days of the calendar %q are not known", name)
	}
	return cron.NewCalendar(name, c.Dates()...), nil
}
