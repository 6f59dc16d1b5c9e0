package cron

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A span is the bytes [start, end) of an expression.
type span struct{ start, end int }

func (sp span) in(expr string) string { return expr[sp.start:sp.end] }

// cut divides sp around the first sep, and reports whether there is one. Without one, all of sp comes before it.
func (sp span) cut(expr string, sep byte) (before, after span, found bool) {
	i := strings.IndexByte(sp.in(expr), sep)
	if i < 0 {
		return sp, span{sp.end, sp.end}, false
	}
	return span{sp.start, sp.start + i}, span{sp.start + i + 1, sp.end}, true
}

// trim returns where expr is without the blanks around it.
func trim(expr string) span {
	text := strings.TrimLeftFunc(expr, unicode.IsSpace)
	start := len(expr) - len(text)
	return span{start, start + len(strings.TrimRightFunc(text, unicode.IsSpace))}
}

// split returns where the first fields in sp are, and how many fields it has.
func split(expr string, sp span) (fields [6]span, n int) {
	text := sp.in(expr)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if unicode.IsSpace(r) {
			i += size
			continue
		}
		end := strings.IndexFunc(text[i:], unicode.IsSpace)
		if end < 0 {
			end = len(text) - i
		}
		if n < len(fields) {
			fields[n] = span{sp.start + i, sp.start + i + end}
		}
		n++
		i += end
	}
	return fields, n
}

// wrapped reports whether text has the form name(…, in any case, perhaps with a blank before the parenthesis.
func wrapped(text, name string) bool {
	if len(text) <= len(name) || !strings.EqualFold(text[:len(name)], name) {
		return false
	}
	return strings.HasPrefix(strings.TrimLeftFunc(text[len(name):], unicode.IsSpace), "(")
}

// number parses decimal digits, as many as there are; what is huge comes out as huge.
func number(s string) (int, bool) {
	const huge = 1 << 53
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int(s[i]-'0'), huge)
	}
	return n, s != ""
}

// A part is what a field of a cron expression is about.
type part uint8

const (
	minutes part = iota
	hours
	monthDay
	month
	weekDay
	year
)

// A field describes one of the fields of a cron expression.
type field struct {
	part     part
	name     string
	min, max int
	names    string // three letters for each value, from min on
	allowed  string // its values, for people
}

const (
	monthNames   = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
	weekdayNames = "SUNMONTUEWEDTHUFRISAT"
)

// word returns the value of a name in f.
func (f *field) word(s string) (int, bool) {
	if len(s) != 3 {
		return 0, false
	}
	for i := 0; i < len(f.names); i += 3 {
		if strings.EqualFold(f.names[i:i+3], s) {
			return f.min + i/3, true
		}
	}
	return 0, false
}

// isDay reports whether f is day-of-month or day-of-week.
func (f *field) isDay() bool { return f.part == monthDay || f.part == weekDay }

// A set holds the values of a field, as distances from its min.
type set [4]uint64

func (s *set) add(n int)      { s[n/64] |= 1 << (n % 64) }
func (s *set) has(n int) bool { return s[n/64]&(1<<(n%64)) != 0 }

// A reader reads the fields of an expression in one dialect.
type reader struct {
	expr    string
	dialect Dialect
}

func (r reader) err(sp span, f *field, hint string) error {
	return sp.err(r.expr, r.dialect, f.name, f.allowed, hint)
}

// items calls read for each item of a list, in order.
func (r reader) items(f *field, sp span, read func(item span) error) error {
	for more := true; more; {
		var item span
		item, sp, more = sp.cut(r.expr, ',')
		if item.start == item.end {
			return r.err(item, f, "a list has no empty items")
		}
		if err := read(item); err != nil {
			return err
		}
	}
	return nil
}

// item adds what one item of a list means to values: *, a value, a range, or any of these with a step.
// It reports whether the item stands for the whole field as a star does, which takes a step of 1.
func (r reader) item(f *field, item span, values *set) (star bool, err error) {
	body, after, stepped := item.cut(r.expr, '/')
	step := 1
	if stepped {
		if step, err = r.step(f, item, body, after); err != nil {
			return false, err
		}
	}
	low, high, ranged := body.cut(r.expr, '-')
	from, to := f.min, f.max
	switch {
	case r.isStar(low) && (!ranged || r.dialect == Unix):
		// robfig/cron reads *-5 as *.
		if ranged {
			_, err = r.value(f, high)
		}
		star = step == 1
	default:
		if from, err = r.value(f, low); err != nil {
			return false, err
		}
		switch {
		case ranged:
			to, err = r.value(f, high)
		case !stepped:
			to = from
		}
	}
	if err != nil {
		return false, err
	}
	size := f.max - f.min + 1
	if from > to {
		if hint, ok := r.wraps(f, low, high); !ok {
			return false, r.err(body, f, hint)
		}
		to += size
	}
	for v := from - f.min; v <= to-f.min; v += step {
		values.add(v % size)
	}
	return star, nil
}

// wraps reports whether a range may run past the end of f and on from its start, and if not, what to write instead.
func (r reader) wraps(f *field, low, high span) (hint string, ok bool) {
	if r.dialect == AWS && f.part != year {
		return "", true
	}
	hint = "a range runs upwards"
	if f.part != year {
		first, last := f.show(f.min), f.show(f.max)
		hint += ": write " + low.in(r.expr) + "-" + last + "," + first + "-" + high.in(r.expr)
	}
	return hint, false
}

// isStar reports whether sp is a star, or a question mark where that means the same.
func (r reader) isStar(sp span) bool {
	s := sp.in(r.expr)
	return s == "*" || s == "?" && r.dialect == Unix
}

func (r reader) step(f *field, item, body, step span) (int, error) {
	n, ok := r.number(step)
	allowed := "a step of 1 or more"
	switch {
	case !ok:
		hint := ""
		if step.start == step.end {
			hint = "write the step after the slash, as in */15"
			step = item
		}
		return 0, step.err(r.expr, r.dialect, f.name, allowed, hint)
	case n == 0:
		return 0, step.err(r.expr, r.dialect, f.name, allowed, "for every value, leave the step out")
	case body.start == body.end:
		return 0, item.err(r.expr, r.dialect, f.name, "a start before the step",
			"write */"+step.in(r.expr))
	}
	return min(n, f.max+1), nil
}

func (r reader) number(sp span) (int, bool) {
	s := sp.in(r.expr)
	if r.dialect == Unix {
		s = strings.TrimPrefix(s, "+") // as robfig/cron does
	}
	return number(s)
}

// value reads a number or a name.
func (r reader) value(f *field, sp span) (int, error) {
	if n, ok := r.number(sp); ok {
		if n < f.min || n > f.max {
			return 0, r.err(sp, f, rangeHint(r.dialect, f, n))
		}
		return n, nil
	}
	text := sp.in(r.expr)
	if n, ok := f.word(text); ok {
		return n, nil
	}
	return 0, r.err(sp, f, r.valueHint(f, text))
}

// rangeHint returns a suggestion for a number that is outside a field.
func rangeHint(d Dialect, f *field, n int) string {
	switch {
	case f.part == minutes && n == 60, f.part == hours && n == 24:
		return "write 0"
	case f.part == weekDay && d == AWS && n == 0:
		return "in AWS cron Sunday is 1"
	case f.part == weekDay && d == Unix && n == 7:
		return "in unix cron Sunday is 0"
	}
	return ""
}

// valueHint returns a suggestion for a text that is no value of a field.
func (r reader) valueHint(f *field, text string) string {
	switch {
	case text == "":
		return "a range has two ends, as in 1-5"
	case text == "?" && r.dialect == AWS && (f.part == month || f.part == year):
		return "AWS cron has no seconds: if the first field is seconds, drop it and add the year"
	case strings.ContainsRune(text, '?') && r.dialect == AWS:
		return "? stands alone, for day-of-month or day-of-week; * means every value"
	case strings.ContainsRune(text, '*'):
		return "* stands alone or before a step, as in */15"
	case strings.ContainsRune(text, '/'):
		return "an item has one step"
	case strings.ContainsRune(text, '-'):
		return "a range has two ends, as in 1-5"
	case r.dialect == Unix && f.isDay() && (strings.ContainsRune(text, '#') || strings.ContainsAny(text[len(text)-1:], "LlWw")):
		return "L, W and # exist in AWS cron only"
	}
	if len(text) > 3 {
		if _, ok := f.word(text[:3]); ok {
			return "write " + strings.ToUpper(text[:3])
		}
	}
	return ""
}
