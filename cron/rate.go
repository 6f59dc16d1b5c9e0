package cron

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// units are what a rate may count, in both spellings.
var units = [...]struct {
	one, many string
	length    time.Duration
}{
	{"minute", "minutes", time.Minute},
	{"hour", "hours", time.Hour},
	{"day", "days", 24 * time.Hour},
}

// ParseRate parses an AWS rate, rate(value unit). The value is a positive integer, the unit minute, hour or day for
// 1 and minutes, hours or days for all others. Like AWS it takes lower case only, one blank between the two, and nothing else
// around them. A day is 24 hours. The longest period is about 292 years, that of a [time.Duration].
//
// The error is a *[SyntaxError].
func ParseRate(expr string) (Schedule, error) {
	s, err := readRate(expr)
	if err != nil {
		return s, suggest(err, readRate)
	}
	return s, nil
}

func readRate(expr string) (Schedule, error) {
	const form = "rate(value unit), as in rate(5 minutes)"
	all := span{0, len(expr)}
	text, open := strings.CutPrefix(expr, "rate(")
	text, closed := strings.CutSuffix(text, ")")
	if !open || !closed {
		hint := ""
		if sp := trim(expr); wrapped(sp.in(expr), "rate") {
			hint = "write rate in lower case, without blanks before or after it"
			if !strings.HasSuffix(sp.in(expr), ")") {
				hint = "close the parenthesis"
			}
		}
		return Schedule{}, all.err(expr, Rate, "expression", form, hint)
	}
	inner := span{len("rate("), len("rate(") + len(text)}
	blank := strings.IndexByte(text, ' ')
	if blank < 0 {
		const hint = "write a value, one blank and a unit"
		if _, ok := number(text); ok {
			return Schedule{}, span{inner.end, inner.end}.err(expr, Rate, "unit", unitNames(0), hint)
		}
		return Schedule{}, inner.err(expr, Rate, "value", "a positive integer", hint)
	}
	value, unit := span{inner.start, inner.start + blank}, span{inner.start + blank + 1, inner.end}
	n, ok := number(value.in(expr))
	if !ok || n == 0 {
		hint := ""
		switch {
		case value.start == value.end:
			hint = "there is no blank after the parenthesis"
		case ok:
			hint = "the shortest rate is rate(1 minute)"
		}
		return Schedule{}, value.err(expr, Rate, "value", "a positive integer", hint)
	}
	for _, u := range units {
		if name := unit.in(expr); name != u.many && n != 1 || name != u.one && n == 1 {
			continue
		}
		if most := int64(math.MaxInt64 / u.length); int64(n) > most {
			return Schedule{}, value.err(expr, Rate, "value", "at most "+strconv.FormatInt(most, 10)+" "+u.many, "")
		}
		return newRate(time.Duration(n)*u.length, 0), nil
	}
	return Schedule{}, unit.err(expr, Rate, "unit", unitNames(n), unitHint(unit.in(expr), n))
}

// unitNames returns the units that go with a value, or all of them if it is 0.
func unitNames(n int) string {
	switch n {
	case 0:
		return "minute(s), hour(s) or day(s)"
	case 1:
		return "minute, hour or day"
	default:
		return "minutes, hours or days"
	}
}

func unitHint(unit string, n int) string {
	name := strings.ToLower(strings.TrimSpace(unit))
	for _, u := range units {
		switch {
		case name == u.one && n != 1:
			return "only 1 takes the singular"
		case name == u.many && n == 1:
			return "1 takes the singular"
		case name == u.one, name == u.many:
			return "write the unit in lower case, after one blank"
		}
	}
	switch name {
	case "second", "seconds":
		return "the shortest rate is rate(1 minute)"
	case "week", "weeks":
		return "count in days: " + weeksInDays(n)
	case "month", "months", "year", "years":
		return "months and years differ in length: use cron(…)"
	}
	return ""
}

// Every returns the schedule with a period d, at least a minute and of whole seconds: that of @every and, for whole
// minutes, of rate(…). It has an anchor, see [Schedule.WithAnchor].
//
// The error is a *[SyntaxError].
func Every(d time.Duration) (Schedule, error) {
	return every(d, d.String(), span{0, len(d.String())}, Rate)
}

// every returns the schedule with a period d, which is written at sp in an expression.
func every(d time.Duration, expr string, sp span, dialect Dialect) (Schedule, error) {
	const allowed = "whole seconds, at least 1m"
	switch {
	case d < time.Minute:
		return Schedule{}, sp.err(expr, dialect, "duration", allowed, "the shortest period is one minute")
	case d%time.Second != 0:
		return Schedule{}, sp.err(expr, dialect, "duration", allowed, "write "+d.Truncate(time.Second).String())
	}
	var written flags
	if dialect == Unix || d%time.Minute != 0 {
		written = writtenEvery
	}
	return newRate(d, written), nil
}

func newRate(period time.Duration, written flags) Schedule {
	return Schedule{pattern: pattern{dialect: Rate, flags: written}, period: int64(period / time.Second)}
}

// Period returns the time between two slots of a rate, and 0 for cron.
func (s Schedule) Period() time.Duration { return time.Duration(s.period) * time.Second }

// WithAnchor returns s with its phase set: the slots of a rate are the instants t + k × period for k = 1, 2, 3, …, in
// elapsed time, so that no clock change moves them. The first lies one period after t, rounded down to the second;
// before that there is none. The zero Time stands for the Unix epoch, which is the default.
// Cron has no phase, and is returned as it is. Members of a union that are rates get the anchor, too.
//
// Just rates can have slots before 1970. There, in combinations, the date of a slot is worked out with the offset from UTC that its
// zone had when 1970 began.
func (s Schedule) WithAnchor(t time.Time) Schedule {
	s = s.each(func(m Schedule) Schedule { return m.WithAnchor(t) })
	if s.period == 0 {
		return s
	}
	s.anchor = 0
	if !t.IsZero() {
		s.anchor = seconds(t)
	}
	return s
}

// tickAfter returns the first slot of a rate in (u, limit].
func (s *Schedule) tickAfter(u, limit int64) (int64, bool) {
	k := (max(u, s.anchor)-s.anchor)/s.period + 1
	if k > (latest-s.anchor)/s.period {
		return 0, false
	}
	u = s.anchor + k*s.period
	return u, u <= limit
}

// tickBefore returns the last slot of a rate in [limit, u).
func (s *Schedule) tickBefore(u, limit int64) (int64, bool) {
	u = min(u-1, latest)
	if u <= s.anchor {
		return 0, false
	}
	k := (u - s.anchor) / s.period
	u = s.anchor + k*s.period
	return u, k > 0 && u >= limit
}

// ticks returns how many slots of a rate there are up to and including u.
func (s *Schedule) ticks(u int64) int64 { return max(min(u, latest)-s.anchor, 0) / s.period }
