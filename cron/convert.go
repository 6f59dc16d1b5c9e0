package cron

import (
	"slices"
	"time"
)

// A ConvertError says why a schedule has no exact equivalent in another dialect.
type ConvertError struct {
	From, To Dialect
	Expr     string // the schedule's canonical expression
	Field    string // what has no equivalent: one of the fields of [SyntaxError]
	Reason   string // why, and what to do instead
}

// Error returns one line: both dialects, the expression, the field and the reason.
func (e *ConvertError) Error() string {
	return e.From.String() + " expression " + quote(e.Expr, 120) + " has no equivalent in the dialect " + e.To.String() + ": " + e.Field + ": " + e.Reason
}

// Convert returns the schedule with the same slots in another dialect: unix cron as AWS cron, AWS cron as unix cron, at(…) on a full minute as
// AWS cron of one year, and rates as rate(…) for [AWS] and [Rate] or as @every for [Unix]. Zone, anchor, and the rules for gaps and repeats stay those of s, even if by default
// they are others in that dialect. Combinations are converted part by part.
//
// All years are taken for the same in both, though unix cron's end with 9999 and AWS's with 2199.
// The error is a *[ConvertError] if there is no exact equivalent, or none that Convert looks for: it goes field by field.
func (s Schedule) Convert(to Dialect) (Schedule, error) {
	if s.set != nil {
		return s.convertSet(to)
	}
	refuse := func(field, reason string) (Schedule, error) {
		return Schedule{}, &ConvertError{From: s.Dialect(), To: to, Expr: s.String(), Field: field, Reason: reason}
	}
	p := &s.pattern
	switch {
	case p.dialect == to && to != Rate, p.dialect == 0:
		return s, nil
	case p.dialect == Rate && to == Unix:
		p.flags |= writtenEvery
		return s, nil
	case p.dialect == Rate && (to == AWS || to == Rate):
		if s.Period()%time.Minute != 0 {
			return refuse("duration", "rate(…) takes whole minutes; use a period of those")
		}
		p.flags &^= writtenEvery
		return s, nil
	case p.dialect == At && to == AWS && s.anchor != 0:
		return refuse("time", "AWS cron fires at full minutes; use at(…) as it is")
	case p.dialect == At && to == AWS:
		p.dialect = AWS
		return s, nil
	case p.dialect == At:
		return refuse("expression", "at(…) fires once, and that dialect has nothing that ends; use it as it is")
	case to == At:
		return refuse("expression", "at(…) fires once; use the schedule as it is")
	case p.dialect == Rate:
		return refuse("expression", "a rate is no cron: it counts elapsed time from its anchor")
	case p.dialect == AWS && to == Unix:
		return s.toUnix(refuse)
	case p.dialect == Unix && to == AWS:
		return s.toAWS(refuse)
	}
	return refuse("expression", "cron names times of the wall clock, which "+to.String()+" cannot; use aws or unix")
}

func (s Schedule) toAWS(refuse func(field, reason string) (Schedule, error)) (Schedule, error) {
	p := &s.pattern
	if p.flags&either != 0 {
		days, weekdays := s, s
		days.pattern.flags &^= either
		days.pattern.weekdays = allWeekdays
		weekdays.pattern.flags &^= either
		weekdays.pattern.days = allDays
		for _, part := range []*Schedule{&days, &weekdays} {
			part.pattern.dialect, part.pattern.years = AWS, allYears
		}
		return refuse("day-of-week", "unix cron fires on days that match either day field, and AWS cron has just one of them; use two schedules: "+
			days.String()+" and "+weekdays.String())
	}
	p.dialect, p.years = AWS, allYears
	p.flags &^= perpetual
	return s, nil
}

func (s Schedule) toUnix(refuse func(field, reason string) (Schedule, error)) (Schedule, error) {
	p := &s.pattern
	switch {
	case p.last != 0 || p.nearest != 0:
		return refuse("day-of-month", "unix cron has no L and no W; use AWS cron")
	case p.nth != 0:
		return refuse("day-of-week", "unix cron has no # and no L; use AWS cron")
	case p.years != allYears:
		return refuse("year", "unix cron fires in every year; use AWS cron, or bound the schedule's start and end elsewhere")
	}
	p.dialect, p.years = Unix, [4]uint64{}
	p.flags |= perpetual
	return s, nil
}

func (s Schedule) convertSet(to Dialect) (Schedule, error) {
	parts := *s.set
	converted := s
	if parts.any == nil {
		var err error
		converted.set = nil
		if converted, err = converted.Convert(to); err != nil {
			return Schedule{}, err
		}
	}
	for _, list := range []*[]Schedule{&parts.any, &parts.except} {
		*list = slices.Clone(*list)
		for i, part := range *list {
			var err error
			if (*list)[i], err = part.Convert(to); err != nil {
				return Schedule{}, err
			}
		}
	}
	converted.set = &parts
	return converted, nil
}
