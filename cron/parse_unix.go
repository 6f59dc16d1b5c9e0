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
	body := trim(expr)
	var loc *time.Location
	if hasZone(body.in(expr)) {
		var err error
		if loc, body, err = unixZone(expr, body); err != nil {
			return Schedule{}, err
		}
	}
	text := body.in(expr)
	if strings.HasPrefix(text, "@every") {
		s, err := unixEvery(expr, body)
		if err != nil {
			return Schedule{}, err
		}
		return s.In(loc), nil
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
	c, err := unixCalendar(expr, body)
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{dialect: Unix, gap: GapSkip, repeat: RepeatBoth, cal: c}.In(loc), nil
}

// unixZone reads the time zone before an expression.
func unixZone(expr string, sp span) (*time.Location, span, error) {
	const name = "time zone"
	_, rest, _ := sp.cut(expr, '=')
	i := strings.IndexFunc(rest.in(expr), unicode.IsSpace)
	if i < 0 {
		return nil, sp, sp.err(expr, Unix, name, "a zone, a blank and an expression",
			"write the expression after the zone, as in CRON_TZ=UTC 0 9 * * *")
	}
	zone := span{rest.start, rest.start + i}
	loc, err := time.LoadLocation(zone.in(expr))
	if err != nil {
		return nil, sp, zone.err(expr, Unix, name, "a name in the IANA time zone database",
			"as in Europe/Berlin; if that fails too, the machine lacks the database: import time/tzdata")
	}
	body := trim(expr[zone.end:])
	return loc, span{body.start + zone.end, body.end + zone.end}, nil
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

// unixCalendar reads five fields.
func unixCalendar(expr string, sp span) (calendar, error) {
	fields, n := split(expr, sp)
	if n != len(unixFields) {
		hint := ""
		if n == len(awsFields) {
			hint = "six fields are AWS cron, which takes no zone in the expression"
			if !hasZone(expr[trim(expr).start:]) {
				hint = "six fields are AWS cron"
			}
		}
		return calendar{}, countErr(expr, sp, Unix, n, hint)
	}
	r := reader{expr: expr, dialect: Unix}
	var values [len(unixFields)]set
	var stars [len(unixFields)]bool
	for i := range unixFields {
		f := &unixFields[i]
		err := r.items(f, fields[i], func(item span) error {
			star, err := r.item(f, item, &values[i])
			stars[i] = stars[i] || star
			return err
		})
		if err != nil {
			return calendar{}, err
		}
	}
	c := calendar{
		minutes:   values[0][0],
		hours:     uint32(values[1][0]),      //nolint:gosec // 24 bits
		days:      uint32(values[2][0] << 1), //nolint:gosec // 32 bits
		months:    uint16(values[3][0] << 1), //nolint:gosec // 13 bits
		weekdays:  uint8(values[4][0]),       //nolint:gosec // 7 bits
		perpetual: true,
	}
	// Two restricted day fields match a day by either. If one of them has every day, that is every day.
	if c.either = !stars[2] && !stars[4]; c.either && (c.days == allDays || c.weekdays == allWeekdays) {
		c.either, c.days, c.weekdays = false, allDays, allWeekdays
	}
	return c, nil
}
