package cron

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A span is the bytes [start, end) of an expression.
type span struct{ start, end int }

func (sp span) in(expr string) string { return expr[sp.start:sp.end] }

// cut divides sp around the first sep, and reports whether there is one. Without one, all of sp comes before it.
func (sp span) cut(expr string, sep byte) (before, after span, found bool) {
	for i := sp.start; i < sp.end; i++ { // spans are too short for strings.IndexByte
		if expr[i] == sep {
			return span{sp.start, i}, span{i + 1, sp.end}, true
		}
	}
	return sp, span{sp.end, sp.end}, false
}

// isBlank reports whether c is one of ASCII's blanks.
func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// trim returns where expr is without the blanks around it.
func trim(expr string) span {
	sp := span{0, len(expr)}
	for sp.start < sp.end && isBlank(expr[sp.start]) {
		sp.start++
	}
	for sp.start < sp.end && isBlank(expr[sp.end-1]) {
		sp.end--
	}
	if sp.start < sp.end && (expr[sp.start] >= utf8.RuneSelf || expr[sp.end-1] >= utf8.RuneSelf) {
		text := strings.TrimLeftFunc(expr, unicode.IsSpace)
		sp.start = len(expr) - len(text)
		sp.end = sp.start + len(strings.TrimRightFunc(text, unicode.IsSpace))
	}
	return sp
}

// split returns where the first fields in sp are, and how many fields it has. Fields end at blanks as Unicode has them.
func split(expr string, sp span) (fields [6]span, n int) {
	for i := sp.start; i < sp.end; {
		if size := blankAt(expr, i); size > 0 {
			i += size
			continue
		}
		start := i
		for i < sp.end && (' ' < expr[i] && expr[i] < utf8.RuneSelf || blankAt(expr, i) == 0) {
			i++
		}
		if n < len(fields) {
			fields[n] = span{start, i}
		}
		n++
	}
	return fields, n
}

// blankAt returns the length of the blank at a place of expr, or 0 if there is none.
func blankAt(expr string, i int) int {
	if c := expr[i]; c < utf8.RuneSelf {
		if isBlank(c) {
			return 1
		}
		return 0
	}
	if r, size := utf8.DecodeRuneInString(expr[i:]); unicode.IsSpace(r) {
		return size
	}
	return 0
}

// wrapped reports whether text has the form name(…, in any case, perhaps with a blank before the parenthesis.
func wrapped(text, name string) bool {
	if len(text) <= len(name) || !strings.EqualFold(text[:len(name)], name) {
		return false
	}
	return strings.HasPrefix(strings.TrimLeftFunc(text[len(name):], unicode.IsSpace), "(")
}

// number parses decimal digits, as many as there are; what is huge, more than any field or rate has, comes out as huge.
func number(s string) (int, bool) {
	const huge = math.MaxInt32
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), huge)
	}
	return int(n), s != ""
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
		if lower(f.names[i]) == lower(s[0]) && lower(f.names[i+1]) == lower(s[1]) && lower(f.names[i+2]) == lower(s[2]) {
			return f.min + i/3, true
		}
	}
	return 0, false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// isDay reports whether f is day-of-month or day-of-week.
func (f *field) isDay() bool { return f.part == monthDay || f.part == weekDay }

// A values is what a field holds, as distances from its min: bit n%64 of its n/64-th word.
type values [4]uint64

func (v *values) has(n int) bool { return v[n/64]>>(n%64)&1 != 0 }

// strides[n] has each n-th bit, from bit 0 on.
var strides = func() (strides [64]uint64) {
	for n := 1; n < len(strides); n++ {
		for bit := 0; bit < 64; bit += n {
			strides[n] |= 1 << bit
		}
	}
	return strides
}()

// add adds the values from one to another, or past the end of a field with size values and on from its start.
func (v *values) add(from, to, step, size int) {
	if to < 64 && to < size {
		if step > 63 {
			to, step = from, 1
		}
		v[0] |= strides[step] << from & (1<<to<<1 - 1)
		return
	}
	for n := from; n <= to; n += step {
		v[n%size/64] |= 1 << (n % size % 64)
	}
}

// addAll adds all that a field with size values can hold.
func (v *values) addAll(size int) {
	if size > 64 {
		*v = allYears
		return
	}
	v[0] |= 1<<size - 1
}

// A reader reads the fields of an expression in one dialect.
type reader struct {
	expr    string
	dialect Dialect
}

func (r reader) err(sp span, f *field, hint string) error {
	return sp.err(r.expr, r.dialect, f.name, f.allowed, hint)
}

// nextItem returns the first item of a list, and what follows it.
func (r reader) nextItem(f *field, list span) (item, rest span, more bool, err error) {
	item, rest, more = list.cut(r.expr, ',')
	if item.start == item.end {
		err = r.err(item, f, "a list has no empty items")
	}
	return item, rest, more, err
}

// item adds what one item of a list means to v: *, a value, a range, or any of these with a step.
// It reports whether the item stands for the whole field as a star does, which takes a step of 1.
func (r reader) item(f *field, item span, v *values) (star bool, err error) {
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
		if hint, ok := r.wraps(f, from, to); !ok {
			if stepped { // which would begin anew in the second range
				hint, _, _ = strings.Cut(hint, upwardsHint)
			}
			return false, r.err(body, f, hint)
		}
		to += size
	}
	v.add(from-f.min, to-f.min, step, size)
	return star, nil
}

// upwardsHint precedes the ranges that a range over the end of a field is, in a hint.
const upwardsHint = ": write "

// wraps reports whether a range may run past the end of f and on from its start, and if not, what to write instead.
func (r reader) wraps(f *field, from, to int) (hint string, ok bool) {
	if r.dialect == AWS && f.part != year {
		return "", true
	}
	hint = "a range runs upwards"
	if f.part != year {
		hint += upwardsHint + f.show(from) + "-" + f.show(f.max) + "," + f.show(f.min) + "-" + f.show(to)
	}
	return hint, false
}

// isStar reports whether sp is a star, or a question mark where that means the same.
func (r reader) isStar(sp span) bool {
	if sp.end-sp.start != 1 {
		return false
	}
	c := r.expr[sp.start]
	return c == '*' || c == '?' && r.dialect == Unix
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
			"write */"+strconv.Itoa(n))
	}
	return min(n, f.max+1), nil
}

func (r reader) number(sp span) (int, bool) {
	if r.dialect == Unix && sp.start < sp.end && r.expr[sp.start] == '+' {
		sp.start++ // as robfig/cron does
	}
	return number(sp.in(r.expr))
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
	case f.part == minutes && n == 60:
		return "write 0, or 59 for the end of the hour"
	case f.part == hours && n == 24:
		return "write 0, or 23 for the end of the day"
	case f.part == weekDay && d == AWS && n == 0:
		return "in AWS cron Sunday is 1"
	case f.part == weekDay && d == Unix && n == 7:
		return "in unix cron Sunday is 0"
	}
	return ""
}

// awsOnlyHint is about what unix cron does not have.
const awsOnlyHint = "L, W and # exist in AWS cron only"

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
		return awsOnlyHint
	}
	if short := shortName(text); short != "" {
		if _, ok := f.word(short); ok {
			return "write " + short
		}
	}
	return ""
}
