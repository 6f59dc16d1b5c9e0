package cron

import (
	"strconv"
	"strings"
)

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
// stand around cron(…). What AWS's documents leave open is settled in the documentation of this package. It also takes
// EventBridge Scheduler's at(yyyy-mm-ddThh:mm:ss), which fires once and has the dialect [At].
//
// The error is a *[SyntaxError].
func ParseAWS(expr string) (Schedule, error) {
	s, err := readAWS(expr)
	if err != nil {
		return s, suggest(err, readAWS)
	}
	return s, nil
}

func readAWS(expr string) (Schedule, error) {
	whole := trim(expr)
	if wrapped(whole.in(expr), "at") {
		return parseAt(expr)
	}
	sp := span{0, len(expr)}
	if wrapped(whole.in(expr), "cron") {
		const form = "cron(…) and nothing around it"
		switch {
		case expr[whole.end-1] != ')':
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
	return parseAWS(expr, fields)
}

// parseAWS parses six fields.
func parseAWS(expr string, fields [6]span) (Schedule, error) {
	r := reader{expr: expr, dialect: AWS}
	p := pattern{dialect: AWS, gap: GapSkip, repeat: RepeatFirst}
	for i := range awsFields {
		f := &awsFields[i]
		if f.part == year {
			if err := r.awsField(f, fields[i], (*values)(&p.years), &p); err != nil {
				return Schedule{}, err
			}
			continue
		}
		var v values
		if err := r.awsField(f, fields[i], &v, &p); err != nil {
			return Schedule{}, err
		}
		p.set(f.part, v[0])
	}
	if err := r.questionMarks(fields[2], fields[4]); err != nil {
		return Schedule{}, err
	}
	if p.days == allDays { // what L and W add is there already
		p.last, p.nearest = 0, 0
	}
	p.settle()
	return Schedule{pattern: p}, nil
}

// awsField adds what a field means to v, or, for L, W and #, to p.
func (r reader) awsField(f *field, list span, v *values, p *pattern) error {
	if list.end-list.start == 1 {
		if c := r.expr[list.start]; c == '*' || c == '?' && f.isDay() {
			v.addAll(f.max - f.min + 1)
			return nil
		}
	}
	items := 1
	if f.part == weekDay {
		items += strings.Count(list.in(r.expr), ",")
	}
	for more := true; more; {
		item, rest, another, err := r.nextItem(f, list)
		if err != nil {
			return err
		}
		list, more = rest, another
		found := false
		switch f.part {
		case monthDay:
			found, err = r.special(f, item, p)
		case weekDay:
			found, err = r.weekday(f, item, items, v, p)
		case minutes, hours, month, year:
		}
		if !found && err == nil {
			_, err = r.item(f, item, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
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

const questionMarkRule = "? in exactly one of day-of-month and day-of-week"

// questionMarks checks that exactly one of the two day fields is a question mark.
func (r reader) questionMarks(dom, dow span) error {
	const allowed = questionMarkRule
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
func (r reader) special(f *field, item span, p *pattern) (found bool, err error) {
	if !r.hasLetter(item) {
		return false, nil
	}
	text := strings.ToUpper(item.in(r.expr))
	if !strings.ContainsAny(text, "LW") {
		return false, nil
	}
	hint := ""
	switch {
	case text == "L":
		p.last |= 1 << 31
		return true, nil
	case text == "LW":
		p.last |= lastWeekday
		return true, nil
	case text == "WL":
		hint = "write LW for the last weekday of the month"
	case text == "W":
		hint = "W follows a day, as in 15W; LW is the last weekday of the month"
	case strings.HasPrefix(text, "L-"):
		n, ok := number(text[len("L-"):])
		switch {
		case ok && 1 <= n && n <= 30:
			p.last |= 1 << (31 - n)
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
			p.nearest |= 1 << n
			return true, nil
		case strings.ContainsRune(text, '-'):
			hint = "W follows a single day, not a range"
		}
	case strings.HasSuffix(text, "L"):
		if n, ok := number(text[:len(text)-1]); ok {
			text = strconv.Itoa(n)
			hint = "L-" + text + " counts back from the last day of the month"
			if n >= 1 && n <= 7 {
				hint += "; the last such weekday is " + text + "L in day-of-week"
			}
		}
	}
	return false, r.err(item, f, hint)
}

// hasLetter reports whether there is a letter in an item, as in 6L or MON, or anything else beyond digits and signs.
func (r reader) hasLetter(item span) bool {
	for i := item.start; i < item.end; i++ {
		if r.expr[i] > '9' {
			return true
		}
	}
	return false
}

// weekday reads an item of day-of-week with an L or a #, which is the only one of its list.
func (r reader) weekday(f *field, item span, items int, v *values, p *pattern) (found bool, err error) {
	day, after, hash := item.cut(r.expr, '#')
	if !hash && !r.hasLetter(item) {
		return false, nil
	}
	text := strings.ToUpper(item.in(r.expr))
	last := !hash && strings.HasSuffix(text, "L")
	switch {
	case (hash || last) && items > 1:
		return true, r.err(item, f, "L and # stand alone: use one schedule for each")
	case text == "L":
		v.add(f.max-f.min, f.max-f.min, 1, f.max-f.min+1)
		return true, nil
	case (hash || last) && strings.Contains(day.in(r.expr), "-") && !strings.HasPrefix(text, "L"):
		return true, r.err(item, f, "L and # follow a single day, not a range")
	case last:
		day.end--
		weekday, err := r.value(f, day)
		if err != nil {
			return true, err
		}
		p.nth = nthOf(weekday-f.min, lastOne)
		return true, nil
	case hash:
		weekday, err := r.value(f, day)
		if err != nil {
			return true, err
		}
		k, ok := number(after.in(r.expr))
		if !ok || k < 1 || k > 5 {
			return true, after.err(r.expr, AWS, f.name, "#1 to #5", "# counts a weekday within the month, as in FRI#3")
		}
		p.nth = nthOf(weekday-f.min, k)
		return true, nil
	case strings.HasPrefix(text, "L"):
		return true, r.err(item, f, "L-n counts days of the month: it belongs in day-of-month")
	case strings.HasSuffix(text, "W"):
		return true, r.err(item, f, "W belongs in day-of-month")
	}
	return false, nil
}
