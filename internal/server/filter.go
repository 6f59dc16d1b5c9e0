package server

import (
	"slices"
	"strings"

	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// Bounds of a list's filters; far beyond what anybody writes.
const (
	maxFilterBytes  = 8 << 10
	maxFilters      = 32
	maxFilterValues = 256
	maxFieldName    = 64
)

var operations = []store.Op{store.Eq, store.Ne, store.Gt, store.Gte, store.Lt, store.Lte, store.Contains, store.ValueIn}

// parseFilters reads a filter string of Flyte's: comparisons such as
// eq(state,1) or value_in(phase,FAILED;ABORTED), joined by "+". A blank joins
// as well, because that is what an unescaped "+" in a URL becomes. A value ends
// at its ")", so it may hold a "+" itself, as times with a zone do.
func parseFilters(text string) ([]store.Filter, error) {
	if len(text) > maxFilterBytes {
		return nil, invalid.Field("filters", "is %d bytes long; %d is the most", len(text), maxFilterBytes)
	}
	var filters []store.Filter
	for at := 0; at < len(text); {
		if len(filters) == maxFilters {
			return nil, invalid.Field("filters", "has more than %d comparisons", maxFilters)
		}
		f, end, err := parseFilter(text, at)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
		if end == len(text) {
			return filters, nil
		}
		at = end + 1
		if at == len(text) {
			return nil, filterError(text, end, "nothing follows it")
		}
	}
	return filters, nil
}

// filterError names what is wrong with the comparison of text that begins at
// the byte with index at.
func filterError(text string, at int, format string, args ...any) error {
	here := short(text[at:], 60)
	return invalid.Field("filters", "at character %d, %q: "+format, append([]any{at + 1, here}, args...)...)
}

// parseFilter reads the comparison that begins at the byte with index at, and
// returns the index of what follows it.
func parseFilter(text string, at int) (f store.Filter, end int, err error) {
	rest := text[at:]
	operation, rest, ok := strings.Cut(rest, "(")
	if !ok || !slices.Contains(operations, store.Op(operation)) {
		return f, 0, filterError(text, at, "write it as eq(field,value); the comparisons are eq, ne, gt, gte, lt, lte, contains and value_in")
	}
	field, rest, ok := strings.Cut(rest, ",")
	if !ok || strings.ContainsAny(field, "()+") {
		return f, 0, filterError(text, at, "a comma and a value have to follow the field's name, as in %s(field,value)", operation)
	}
	if problem := fieldNameProblem(field); problem != "" {
		return f, 0, filterError(text, at, "field %q %s", short(field, maxFieldName), problem)
	}
	length := valueLength(rest)
	if length < 0 {
		return f, 0, filterError(text, at, "no closing parenthesis")
	}
	if next := rest[length+1:]; next != "" && next[0] != '+' && next[0] != ' ' {
		return f, 0, filterError(text, len(text)-len(next), "comparisons are joined by +")
	}
	value := strings.TrimPrefix(rest[:length], " ")
	if value == "" {
		return f, 0, filterError(text, at, "no value to compare %s with", field)
	}
	f = store.Filter{Field: field, Op: store.Op(operation), Values: []string{value}}
	if f.Op == store.ValueIn {
		f.Values = strings.Split(value, ";")
		if len(f.Values) > maxFilterValues {
			return f, 0, filterError(text, at, "%d values; %d is the most", len(f.Values), maxFilterValues)
		}
	}
	return f, len(text) - len(rest) + length + 1, nil
}

// valueLength is the length of the value at the beginning of s, or -1 when no
// parenthesis closes it. A value may hold pairs of them.
func valueLength(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// fieldNameProblem says what is wrong with a field's name, or "".
func fieldNameProblem(name string) string {
	if name == "" {
		return "is empty"
	}
	if len(name) > maxFieldName {
		return "is too long"
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return "is none; names are of lower-case letters, digits, underscores and dots"
		}
	}
	return ""
}
