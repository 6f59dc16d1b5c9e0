package cron

import (
	"strings"
	"time"
	"unicode"
)

// The fields of unix cron, as robfig/cron bounds them.
var unixFields = [5]field{
	{part: minutes, name: "minutes", min: 0, max: 59, allowed: "0-59 with * ? , - /"},
	{part: hours, name: "hours", min: 0, max: 23, allowed: "0-23 with * ? , - /"},
	{part: monthDay, name: "day-of-month", min: 1, max: 31, allowed: "1-31 with * ? , - /"},
	{part: month, name: "month", min: 1, max: 12, names: monthNames, allowed: "1-12 or JAN-DEC with * ? , - /"},
	{part: weekDay, name: "day-of-week", min: 0, max: 6, names: weekdayNames, allowed: "0-6 or SUN-SAT with * ? , - /"},
}

// aliases are whole expressions under a name: robfig/cron's with an @, flytekit's with one or bare.
var aliases = [...]struct{ name, expr string }{
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
	{"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
	{"yearly", "0 0 1 1 *"},
	{"years", "0 0 1 1 *"},
	{"annually", "0 0 1 1 *"},
	{"monthly", "0 0 1 * *"},
	{"months", "0 0 1 * *"},
	{"weekly", "0 0 * * 0"},
	{"weeks", "0 0 * * 0"},
	{"daily", "0 0 * * *"},
	{"days", "0 0 * * *"},
	{"hourly", "0 * * * *"},
	{"hours", "0 * * * *"},
}

// alias returns the expression that name stands for, or "".
func alias(name string) string {
	for _, a := range aliases {
		if a.name == name {
			return a.expr
		}
	}
	return ""
}

// hasZone reports whether an expression begins with a time zone.
func hasZone(text string) bool {
	return strings.HasPrefix(text, "CRON_TZ=") || strings.HasPrefix(text, "TZ=")
}

// ParseUnix parses unix cron as robfig/cron's ParseStandard does, so as Flyte's native scheduler does: five fields;
// @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly; the bare aliases of flytekit; and @every with a
// Go duration, which makes a [Rate]. Before any of these, CRON_TZ= or TZ= and a blank set the zone, by its name in the IANA
// database; Local is the machine's.
//
// The error is a *[SyntaxError].
func ParseUnix(expr string) (Schedule, error) {
	s, err := readUnix(expr)
	if err != nil {
		return s, suggest(err, readUnix)
	}
	return s, nil
}

func readUnix(expr string) (Schedule, error) {
	body := trim(expr)
	var z *zone
	if hasZone(body.in(expr)) {
		var err error
		if z, body, err = unixZone(expr, body); err != nil {
			return Schedule{}, err
		}
	}
	text := body.in(expr)
	if strings.HasPrefix(text, "@every") {
		s, err := unixEvery(expr, body)
		if err != nil {
			return Schedule{}, err
		}
		return s.in(z), nil
	}
	if a := alias(text); a != "" {
		// What follows needs its own text to read from; aliases hold no mistakes to point at.
		expr, body = a, span{0, len(a)}
	} else if _, n := split(expr, body); n == 1 && strings.HasPrefix(text, "@") {
		hint := ""
		if lower := strings.ToLower(text); alias(lower) != "" {
			hint = "write " + lower
		}
		return Schedule{}, body.err(expr, Unix, "expression",
			"@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every with a duration", hint)
	}
	fields, n := split(expr, body)
	if n != len(unixFields) {
		hint := ""
		if n == len(awsFields) {
			hint = "six fields are AWS cron"
			if z != nil || hasZone(expr[trim(expr).start:]) {
				hint = "six fields are AWS cron, which takes no zone in the expression"
			}
		}
		return Schedule{}, countErr(expr, body, Unix, n, hint)
	}
	s, err := parseUnix(expr, fields)
	if err != nil || z == nil {
		return s, err
	}
	return s.in(z), nil
}

// unixZone reads the time zone before an expression.
func unixZone(expr string, sp span) (*zone, span, error) {
	const field = "time zone"
	_, rest, _ := sp.cut(expr, '=')
	i := strings.IndexFunc(rest.in(expr), unicode.IsSpace)
	if i < 0 {
		return nil, sp, sp.err(expr, Unix, field, "a zone, a blank and an expression",
			"write the expression after the zone, as in CRON_TZ=UTC 0 9 * * *")
	}
	name := span{rest.start, rest.start + i}
	z, err := zoneNamed(name.in(expr))
	if err != nil {
		return nil, sp, name.err(expr, Unix, field, "a name in the IANA time zone database",
			"as in Europe/Berlin; if that fails too, the machine lacks the database: import time/tzdata")
	}
	body := trim(expr[name.end:])
	return z, span{body.start + name.end, body.end + name.end}, nil
}

// unixEvery reads @every and its duration.
func unixEvery(expr string, sp span) (Schedule, error) {
	const allowed = "@every, a blank and a duration, as in @every 1h30m"
	rest := span{sp.start + len("@every"), sp.end}
	text := strings.TrimLeftFunc(rest.in(expr), unicode.IsSpace)
	if len(text) == rest.end-rest.start {
		return Schedule{}, sp.err(expr, Unix, "expression", allowed, "")
	}
	rest.start = rest.end - len(text)
	d, err := time.ParseDuration(text)
	if err != nil {
		return Schedule{}, rest.err(expr, Unix, "duration", "a duration in h, m and s, as in 1h30m", "")
	}
	return every(d, expr, rest, Unix)
}

// parseUnix parses five fields.
func parseUnix(expr string, fields [6]span) (Schedule, error) {
	r := reader{expr: expr, dialect: Unix}
	p := pattern{dialect: Unix, gap: GapSkip, repeat: RepeatBoth, flags: perpetual}
	var stars [len(unixFields)]bool
	for i := range unixFields {
		var v values
		var err error
		if stars[i], err = r.unixField(&unixFields[i], fields[i], &v); err != nil {
			return Schedule{}, err
		}
		p.set(unixFields[i].part, v[0])
	}
	// Two restricted day fields match a day by either. If one of them has every day, that is every day.
	if !stars[2] && !stars[4] {
		p.flags |= either
		if p.days == allDays || p.weekdays == allWeekdays {
			p.flags &^= either
			p.days, p.weekdays = allDays, allWeekdays
		}
	}
	p.settle()
	return Schedule{pattern: p}, nil
}

// unixField adds what a field means to v, and reports whether an item of it is a star.
func (r reader) unixField(f *field, list span, v *values) (star bool, err error) {
	if r.isStar(list) {
		v.addAll(f.max - f.min + 1)
		return true, nil
	}
	for more := true; more; {
		item, rest, another, err := r.nextItem(f, list)
		if err != nil {
			return false, err
		}
		list, more = rest, another
		one, err := r.item(f, item, v)
		if err != nil {
			return false, err
		}
		star = star || one
	}
	return star, nil
}
