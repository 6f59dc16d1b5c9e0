package cron

import "strings"

// suggest completes the error of read, which parses one dialect or any: with a whole expression that is right, if there is one
// close by.
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
	name = strings.ToLower(strings.TrimSpace(name))
	if !wrapped {
		return append(e.fieldCandidates(expr), e.spanCandidates()...)
	}
	if name == "rate" {
		inner = strings.ToLower(inner)
		value, unit, _ := strings.Cut(strings.TrimSpace(inner), " ")
		unit = strings.TrimSuffix(strings.TrimSpace(unit), "s")
		return []string{"rate(" + value + " " + unit + ")", "rate(" + value + " " + unit + "s)"}
	}
	inner = strings.TrimSpace(inner)
	candidates := []string{name + "(" + inner + ")"}
	if name == "at" {
		inner, _, _ = strings.Cut(strings.ToUpper(inner), "Z")
		return append(candidates, "at("+inner+")", "at("+inner+":00)", "at("+inner+"T00:00:00)")
	}
	for _, fields := range e.fieldCandidates(inner) {
		candidates = append(candidates, name+"("+fields+")")
	}
	return append(candidates, e.spanCandidates()...)
}

// fieldCandidates returns what may have been meant by the fields of a cron expression, if their number is wrong, or
// where they have question marks.
func (e *SyntaxError) fieldCandidates(text string) []string {
	if e.Field != "expression" && e.Allowed != questionMarkRule {
		return nil
	}
	f := strings.Fields(text)
	switch len(f) {
	case 5:
		return append(questionMarked(append(f, "*")), strings.Join(append(f, "*"), " "))
	case 6:
		withoutYear, withoutSeconds := strings.Join(f[:5], " "), strings.Join(f[1:], " ")
		if !strings.Contains(text, "?") { // no AWS cron
			withoutYear, withoutSeconds = withoutSeconds, withoutYear
		}
		return append(questionMarked(f), withoutYear, withoutSeconds)
	case 7:
		return append([]string{strings.Join(f[1:], " ")}, questionMarked(f[1:])...)
	}
	return nil
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

// spanCandidates returns the expression with something else in place of what is wrong in it.
func (e *SyntaxError) spanCandidates() []string {
	var candidates []string
	replace := func(text string) {
		candidates = append(candidates, e.Expr[:e.Start]+text+e.Expr[e.End:])
	}
	_, ranges, upwards := strings.Cut(e.Hint, upwardsHint)
	switch {
	case upwards:
		replace(ranges)
	case e.Found == "60" && e.Field == "minutes", e.Found == "24" && e.Field == "hours", e.Found == "7" && e.Field == "day-of-week":
		replace("0")
	case e.Found == "0" && e.Field == "day-of-week":
		replace("1")
	case len(e.Found) > 3:
		replace(strings.ToUpper(e.Found[:3])) // a name in full
	}
	return candidates
}
