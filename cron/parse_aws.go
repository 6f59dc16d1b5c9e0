package cron

import "strings"

// The fields of AWS cron, as AWS documents them.
var awsFields = [6]field{
	{part: minutes, name: "minutes", min: 0, max: 59, allowed: "0-59 with * , - /"},
	{part: hours, name: "hours", min: 0, max: 23, allowed: "0-23 with * , - /"},
	{part: monthDay, name: "day-of-month", min: 1, max: 31, allowed: "1-31 with * , - /, or L, L-1 to L-30, LW, 1W to 31W, or ?"},
	{part: month, name: "month", min: 1, max: 12, names: monthNames, allowed: "1-12 or JAN-DEC with * , - /"},
	{
		part: weekDay, name: "day-of-week", min: 1, max: 7, names: weekdayNames,
		allowed: "1-7 or SUN-SAT with * , - /, or one alone with L or #1 to #5, or ?",
	},
	{part: year, name: "year", min: firstYear, max: lastYearAWS, allowed: "1970-2199 with * , - /"},
}

// ParseAWS parses AWS cron: six fields, bare or in cron(…). Blanks around fields do not matter, nothing may
// stand around cron(…). What AWS's documents leave open is settled in the documentation of this package.
//
// The error is a *[SyntaxError].
func ParseAWS(expr string) (Schedule, error) {
	sp := span{0, len(expr)}
	if whole := trim(expr); wrapped(whole.in(expr), "cron") {
		const form = "cron(…) and nothing around it"
		switch {
		case !strings.HasSuffix(whole.in(expr), ")"):
			return Schedule{}, whole.err(expr, AWS, "expression", form, "close the parenthesis")
		case whole != sp || !strings.HasPrefix(expr, "cron("):
			return Schedule{}, sp.err(expr, AWS, "expression", form,
				"write cron in lower case, without blanks before or after it")
		}
		sp = span{len("cron("), len(expr) - len(")")}
	}
	fields, n := split(expr, sp)
	if n != len(awsFields) {
		return Schedule{}, countErr(expr, sp, AWS, n, awsCountHint(expr, sp, n))
	}
	r := reader{expr: expr, dialect: AWS}
	var c calendar
	var values [len(awsFields)]set
	for i := range awsFields {
		if err := r.awsField(&awsFields[i], fields[i], &values[i], &c); err != nil {
			return Schedule{}, err
		}
	}
	if err := r.questionMarks(fields[2], fields[4]); err != nil {
		return Schedule{}, err
	}
	c.minutes = values[0][0]
	c.hours = uint32(values[1][0])       //nolint:gosec // 24 bits
	c.days = uint32(values[2][0] << 1)   //nolint:gosec // 32 bits
	c.months = uint16(values[3][0] << 1) //nolint:gosec // 13 bits
	c.weekdays = uint8(values[4][0])     //nolint:gosec // 7 bits
	c.years = values[5]
	if c.days == allDays { // what L and W add is there already
		c.last, c.nearest, c.lastWeekday = 0, 0, false
	}
	return Schedule{dialect: AWS, gap: GapSkip, repeat: RepeatFirst, cal: c}, nil
}

// awsField reads a field into its values, or what L, W and # mean into c.
func (r reader) awsField(f *field, sp span, values *set, c *calendar) error {
	switch {
	case f.isDay() && sp.in(r.expr) == "?":
		for v := range f.max - f.min + 1 {
			values.add(v)
		}
		return nil
	case f.part == weekDay:
		return r.weekday(f, sp, values, c)
	}
	return r.items(f, sp, func(item span) error {
		if f.part == monthDay {
			if found, err := r.special(f, item, c); found || err != nil {
				return err
			}
		}
		_, err := r.item(f, item, values)
		return err
	})
}

func awsCountHint(expr string, sp span, n int) string {
	switch n {
	case len(awsFields) - 1:
		if strings.ContainsRune(sp.in(expr), '?') {
			return "add the year, * for every year"
		}
		return "five fields are unix cron: for AWS write ? for one of the two day fields and add the year"
	case len(awsFields) + 1:
		return "drop the seconds: AWS cron has a precision of one minute"
	}
	return ""
}

// questionMarks checks that exactly one of the two day fields is a question mark.
func (r reader) questionMarks(dom, dow span) error {
	const allowed = "? in exactly one of day-of-month and day-of-week"
	monthDay, weekday := dom.in(r.expr), dow.in(r.expr)
	switch {
	case monthDay == "?" && weekday == "?":
		return dow.err(r.expr, AWS, awsFields[4].name, allowed, "write * for one of them to mean every day")
	case monthDay == "?" || weekday == "?":
		return nil
	case monthDay == "*" && weekday != "*":
		return dom.err(r.expr, AWS, awsFields[2].name, allowed, "write ? for day-of-month")
	case weekday == "*":
		return dow.err(r.expr, AWS, awsFields[4].name, allowed, "write ? for day-of-week")
	default:
		return dow.err(r.expr, AWS, awsFields[4].name, allowed, "AWS cron cannot combine the two: use two schedules")
	}
}

// special reads an item of day-of-month with an L or a W.
func (r reader) special(f *field, item span, c *calendar) (found bool, err error) {
	text := strings.ToUpper(item.in(r.expr))
	if !strings.ContainsAny(text, "LW") {
		return false, nil
	}
	hint := ""
	switch {
	case text == "L":
		c.last |= 1
		return true, nil
	case text == "LW":
		c.lastWeekday = true
		return true, nil
	case text == "WL":
		hint = "write LW for the last weekday of the month"
	case text == "W":
		hint = "W follows a day, as in 15W; LW is the last weekday of the month"
	case strings.HasPrefix(text, "L-"):
		n, ok := number(text[len("L-"):])
		switch {
		case ok && 1 <= n && n <= 30:
			c.last |= 1 << n
			return true, nil
		case ok && n == 0:
			hint = "write L for the last day of the month"
		case strings.HasSuffix(text, "W"):
			hint = "W does not go with L-n"
		}
	case strings.HasSuffix(text, "W"):
		n, ok := number(text[:len(text)-1])
		switch {
		case ok && f.min <= n && n <= f.max:
			c.nearest |= 1 << n
			return true, nil
		case strings.ContainsRune(text, '-'):
			hint = "W follows a single day, not a range"
		}
	case strings.HasSuffix(text, "L"):
		if n, ok := number(text[:len(text)-1]); ok {
			text = text[:len(text)-1]
			hint = "L-" + text + " counts back from the last day of the month"
			if n >= 1 && n <= 7 {
				hint += "; the last such weekday is " + text + "L in day-of-week"
			}
		}
	}
	return false, r.err(item, f, hint)
}

// weekday reads the field day-of-week: a list of plain items, or one item with an L or a #.
func (r reader) weekday(f *field, sp span, values *set, c *calendar) error {
	items := 1 + strings.Count(sp.in(r.expr), ",")
	return r.items(f, sp, func(item span) error {
		text := strings.ToUpper(item.in(r.expr))
		day, after, hash := item.cut(r.expr, '#')
		last := !hash && strings.HasSuffix(text, "L")
		switch {
		case (hash || last) && items > 1:
			return r.err(item, f, "L and # stand alone: use one schedule for each")
		case text == "L":
			values.add(f.max - f.min)
			return nil
		case (hash || last) && strings.Contains(day.in(r.expr), "-") && !strings.HasPrefix(text, "L"):
			return r.err(item, f, "L and # follow a single day, not a range")
		case last:
			day.end--
			v, err := r.value(f, day)
			if err != nil {
				return err
			}
			c.nth[0] |= 1 << (v - f.min)
			return nil
		case hash:
			v, err := r.value(f, day)
			if err != nil {
				return err
			}
			k, ok := number(after.in(r.expr))
			if !ok || k < 1 || k > 5 {
				return after.err(r.expr, AWS, f.name, "#1 to #5", "# counts a weekday within the month, as in FRI#3")
			}
			c.nth[k] |= 1 << (v - f.min)
			return nil
		case strings.HasPrefix(text, "L"):
			return r.err(item, f, "L-n counts days of the month: it belongs in day-of-month")
		case strings.HasSuffix(text, "W"):
			return r.err(item, f, "W belongs in day-of-month")
		}
		_, err := r.item(f, item, values)
		return err
	})
}
