package cron

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A SyntaxError says what is wrong with an expression, where, and what would be right.
type SyntaxError struct {
	Dialect    Dialect // what the expression was read as; 0 if it is in no dialect
	Expr       string  // the whole expression, as given
	Field      string  // minutes, hours, day-of-month, month, day-of-week, year; expression, time zone, duration, value, unit, time
	Start, End int     // the offending bytes, Expr[Start:End]; may be empty
	Found      string  // what is there
	Allowed    string  // what may be there
	Hint       string  // what to do about it; may be empty
	Suggestion string  // a whole expression that is right, and may be what was meant; may be empty
}

// Error returns one line: the expression, the field and its column (counted in characters from 1), what was found,
// what is allowed, what to do, and a suggestion. Long texts are cut.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	if e.Dialect != 0 {
		b.WriteString(e.Dialect.String())
		b.WriteByte(' ')
	}
	b.WriteString("expression ")
	b.WriteString(quote(e.Expr, 120))
	b.WriteString(": ")
	b.WriteString(e.Field)
	b.WriteString(" at column ")
	b.WriteString(strconv.Itoa(utf8.RuneCountInString(e.Expr[:min(max(e.Start, 0), len(e.Expr))]) + 1))
	b.WriteString(": found ")
	if e.Found == "" {
		b.WriteString("nothing")
	} else {
		b.WriteString(quote(e.Found, 40))
	}
	b.WriteString(", allowed: ")
	b.WriteString(e.Allowed)
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	if e.Suggestion != "" {
		b.WriteString("; did you mean ")
		b.WriteString(quote(e.Suggestion, 200))
		b.WriteByte('?')
	}
	return b.String()
}

// quote returns s as a Go string literal, so on one line, of at most about n characters.
func quote(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strconv.Quote(s)
}

// err returns the error that the text at sp is not allowed in a field.
func (sp span) err(expr string, d Dialect, field, allowed, hint string) *SyntaxError {
	return &SyntaxError{
		Dialect: d, Expr: expr, Field: field, Start: sp.start, End: sp.end,
		Found: sp.in(expr), Allowed: allowed, Hint: hint,
	}
}

// countErr returns the error that an expression has n fields, which no expression of dialect d has.
func countErr(expr string, sp span, d Dialect, n int, hint string) *SyntaxError {
	const (
		unix = "5 fields (minutes hours day-of-month month day-of-week)"
		aws  = "6 fields (minutes hours day-of-month month day-of-week year)"
	)
	allowed := unix + " of unix cron, or " + aws + " of AWS cron, or rate(…)"
	switch d {
	case AWS:
		allowed = aws
	case Unix:
		allowed = unix + ", or an alias such as @daily"
	case Rate, At:
	}
	e := sp.err(expr, d, "expression", allowed, hint)
	if n > 1 {
		e.Found = strconv.Itoa(n) + " fields"
	}
	return e
}
