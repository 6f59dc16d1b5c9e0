package cron

import (
	"strconv"
	"strings"
	"time"
)

// suggest completes the error of read, which parses one dialect or any: with a whole expression that is right, if there is one
// close by. Where two are, it rather has none than one that fires at other times than was meant.
func suggest(err error, read func(string) (Schedule, error)) error {
	e, ok := err.(*SyntaxError) //nolint:errorlint // as the parsers return it
	if !ok {
		return err
	}
	for _, candidate := range e.candidates() {
		if candidate == e.Expr {
			continue
		}
		if _, err := read(candidate); err == nil {
			e.Suggestion = candidate
			break
		}
	}
	return e
}

// candidates returns expressions that may have been meant, the likeliest first. They need not be right.
func (e *SyntaxError) candidates() []string {
	if len(e.Expr) > 200 { // no slip of the pen
		return nil
	}
	expr := strings.TrimSpace(e.Expr)
	name, inner, wrapped := strings.Cut(strings.TrimSuffix(expr, ")"), "(")
	name, inner = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(inner)
	switch {
	case !wrapped:
		return append(e.bareCandidates(strings.Fields(expr)), e.spanCandidates()...)
	case name == "rate":
		return rateCandidates(strings.ToLower(inner))
	case name == "at":
		inner, _, _ = strings.Cut(strings.Join(strings.Fields(strings.ToUpper(inner)), "T"), "Z")
		return []string{"at(" + inner + ")", "at(" + inner + ":00)", "at(" + inner + "T00:00:00)"}
	}
	candidates := []string{name + "(" + inner + ")"}
	if e.Field == "expression" || e.Allowed == questionMarkRule {
		for _, fields := range awsCandidates(strings.Fields(inner)) {
			candidates = append(candidates, name+"("+fields+")")
		}
	}
	return append(candidates, e.spanCandidates()...)
}

func rateCandidates(inner string) []string {
	value, unit, _ := strings.Cut(inner, " ")
	unit = strings.TrimSuffix(strings.TrimSpace(unit), "s")
	if n, ok := number(value); ok && unit == "week" {
		return []string{"rate(" + weeksInDays(n) + ")"}
	}
	return []string{"rate(" + value + " " + unit + ")", "rate(" + value + " " + unit + "s)"}
}

func weeksInDays(n int) string { return strconv.FormatInt(weekDays*int64(n), 10) + " days" }

// awsCandidates returns what may have been meant by fields that are to be AWS cron: five lack the year, seven begin with seconds.
func awsCandidates(f []string) []string {
	text := strings.Join(f, " ")
	switch len(f) {
	case 5:
		if !strings.Contains(text, "?") && hasWeekdayNumbers(f[4]) {
			return nil // they may be unix cron's
		}
		return append(questionMarked(append(f[:5:5], "*")), text+" *")
	case 6:
		return questionMarked(f)
	case 7:
		if isNumber(f[0]) {
			return append(questionMarked(f[1:]), strings.Join(f[1:], " "))
		}
	}
	return nil
}

// bareCandidates returns what may have been meant by fields that are in no parentheses, and so of either dialect.
func (e *SyntaxError) bareCandidates(f []string) []string {
	switch {
	case len(f) == 5 && e.Hint == awsOnlyHint:
		return awsOnlyCandidates(f)
	case len(f) == 6:
		return sixCandidates(f)
	case e.Field == "expression":
		return awsCandidates(f)
	}
	return nil
}

// sixCandidates tells AWS cron without a question mark from cron that begins with seconds, as Spring has it.
func sixCandidates(f []string) []string {
	withoutSeconds, withoutYear := strings.Join(f[1:], " "), strings.Join(f[:5], " ")
	if f[3] == "?" || f[5] == "?" { // Quartz, without a year
		if isNumber(f[0]) {
			return []string{withoutSeconds + " *"}
		}
		return nil
	}
	aws := questionMarked(f)
	if f[5] == "*" {
		aws = append(aws, withoutYear)
	}
	_, err := readUnix(withoutSeconds)
	hour, _ := number(f[1])
	switch {
	case err != nil || strings.Contains(strings.Join(f, " "), "?"):
		return aws
	case !isNumber(f[0]):
		return nil // as in */10 * * * * *, which either reading has
	case isNumber(f[1]) && hour < 24 && f[2] == "*" && f[5] == "*":
		return aws
	}
	return append([]string{withoutSeconds}, awsCandidates(f[1:])...)
}

// awsOnlyCandidates returns five fields with an L, W or # as AWS cron.
func awsOnlyCandidates(f []string) []string {
	f = append(f[:5:5], "*")
	if hasWeekdayNumbers(f[4]) {
		day := f[4][0] - '0'
		if day >= weekDays || strings.ContainsAny(f[4], ",-/") {
			return nil
		}
		f[4] = unixFields[4].show(int(day)) + f[4][1:] // in AWS cron, its number is another
	}
	if strings.EqualFold(f[4], "L") { // AWS's Saturday, which hardly anybody means
		return nil
	}
	var candidates []string
	for _, fields := range append(questionMarked(f), strings.Join(f, " ")) {
		candidates = append(candidates, "cron("+fields+")")
	}
	return candidates
}

// questionMarked returns six fields with a question mark for the day field that is a star, or else a star for one of two.
func questionMarked(f []string) []string {
	with := func(dom, dow string) string {
		return strings.Join([]string{f[0], f[1], dom, f[3], dow, f[5]}, " ")
	}
	switch dom, dow := f[2], f[4]; {
	case dow == "*":
		return []string{with(dom, "?")}
	case dom == "*":
		return []string{with("?", dow)}
	case dom == "?" && dow == "?":
		return []string{with("*", "?")}
	}
	return nil
}

func isNumber(text string) bool {
	n, ok := number(text)
	return ok && n < 60
}

// hasWeekdayNumbers reports whether a list has weekdays as numbers, which are others in unix cron than in AWS cron.
func hasWeekdayNumbers(list string) bool {
	for i := range len(list) {
		if '0' <= list[i] && list[i] <= '9' && (i == 0 || list[i-1] == ',' || list[i-1] == '-') {
			return true
		}
	}
	return false
}

// spanCandidates returns the expression with something else in place of what is wrong in it.
func (e *SyntaxError) spanCandidates() []string {
	replace := func(start, end int, text string) []string { return []string{e.Expr[:start] + text + e.Expr[end:]} }
	here := func(text string) []string { return replace(e.Start, e.End, text) }

	// The field that it is in, and whether it is an item of its list, or the end of one, all by itself.
	const blanks = " \t\r\n()"
	start := strings.LastIndexAny(e.Expr[:e.Start], blanks) + 1
	end := len(e.Expr)
	if i := strings.IndexAny(e.Expr[e.End:], blanks); i >= 0 {
		end = e.End + i
	}
	before, after := e.Expr[start:e.Start], e.Expr[e.End:end]
	ends := after == "" || after[0] == ','
	isItem := ends && (before == "" || strings.HasSuffix(before, ","))
	isRangeEnd := strings.HasSuffix(before, "-")

	_, ranges, upwards := strings.Cut(e.Hint, upwardsHint)
	most := map[string]string{"60": "59", "24": "23"}[e.Found]
	switch {
	case upwards:
		return here(ranges)
	case strings.HasPrefix(e.Expr[e.Start:], "@"):
		return here(strings.ToLower(e.Expr[e.Start:e.End]))
	case strings.HasPrefix(e.Found, "/") && before == "" && after == "":
		return here("*" + e.Found)
	case e.Field == "minutes" && e.Found == "60", e.Field == "hours" && e.Found == "24":
		switch {
		case isItem:
			return here("0")
		case isRangeEnd:
			return here(most)
		}
	case e.Field != "day-of-week" && e.Field != "month":
		return nil
	case e.Dialect == Unix && e.Found == "7" && isItem:
		return here("0")
	case e.Dialect == Unix && e.Found == "7" && isRangeEnd && ends:
		if low := before[strings.LastIndexByte(before, ',')+1:]; low == "0-" || strings.EqualFold(low, "SUN-") {
			return here("6")
		}
		return here("6,0")
	case e.Dialect == AWS && e.Found == "0":
		if list, ok := shifted(e.Expr[start:end]); ok {
			return replace(start, end, list)
		}
		if isItem && !hasWeekdayNumbers(strings.TrimSuffix(before, ",")) && !hasWeekdayNumbers(strings.TrimPrefix(after, ",")) {
			return here("1")
		}
	default:
		if short := shortName(e.Found); short != "" {
			return here(short)
		}
	}
	return nil
}

// shifted returns a list of unix cron's weekdays, of numbers and ranges of numbers, as AWS counts them.
func shifted(list string) (string, bool) {
	var b []byte
	for i := range len(list) {
		switch c := list[i]; {
		case c == ',' || c == '-':
		case c < '0' || c > '6' || i > 0 && list[i-1] != ',' && list[i-1] != '-':
			return "", false
		}
		b = append(b, list[i])
		if '0' <= list[i] && list[i] <= '6' {
			b[i]++
		}
	}
	return string(b), true
}

// shortName returns the three letters of a month or a weekday of whose English name a text has more, as in Sept or MONDAY, or else "".
func shortName(text string) string {
	if len(text) < 4 {
		return ""
	}
	begins := func(name string) bool { return len(text) <= len(name) && strings.EqualFold(name[:len(text)], text) }
	for month := time.January; month <= time.December; month++ {
		if begins(month.String()) {
			return strings.ToUpper(text[:3])
		}
	}
	for day := time.Sunday; day <= time.Saturday; day++ {
		if begins(day.String()) {
			return strings.ToUpper(text[:3])
		}
	}
	return ""
}
