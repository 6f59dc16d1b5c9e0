package literal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tminus.dev/gen/flyteidl/core"
)

func integer(t *core.LiteralType, v any) (int64, error) {
	if i, ok := signed(v); ok {
		return i, nil
	}
	if u, ok := unsigned(v); ok {
		if u > math.MaxInt64 {
			return 0, fmt.Errorf("%d does not fit the 64 bits of an integer", u)
		}
		return int64(u), nil
	}
	var digits string
	switch v := v.(type) {
	case float64:
		return integral(v)
	case float32:
		return integral(float64(v))
	case json.Number:
		digits = v.String()
	case string:
		digits = v
	default:
		return 0, wrong(t, v)
	}
	i, err := strconv.ParseInt(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s does not fit the 64 bits of an integer", cut(digits, 64))
	}
	if err == nil {
		return i, nil
	}
	if f, err := strconv.ParseFloat(digits, 64); err == nil {
		return integral(f)
	}
	return 0, wrong(t, v)
}

// integral is f as an integer; -2⁶³ is one, 2⁶³ is none.
func integral(f float64) (int64, error) {
	switch {
	case f != math.Trunc(f): // Also not a number.
		return 0, fmt.Errorf("want integer, got %v, which has a fraction", f)
	case f < -(1<<63) || f >= 1<<63:
		return 0, fmt.Errorf("%v does not fit the 64 bits of an integer", f)
	}
	return int64(f), nil
}

func signed(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func unsigned(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint:
		return uint64(v), true
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	}
	return 0, false
}

func float(t *core.LiteralType, v any) (float64, error) {
	if i, ok := signed(v); ok {
		return float64(i), nil
	}
	if u, ok := unsigned(v); ok {
		return float64(u), nil
	}
	var digits string
	switch v := v.(type) {
	case float64:
		return v, nil
	case float32:
		return float64(v), nil
	case json.Number:
		digits = v.String()
	case string:
		digits = v
	default:
		return 0, wrong(t, v)
	}
	f, err := strconv.ParseFloat(digits, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s does not fit the 64 bits of a float", cut(digits, 64))
	}
	if err != nil {
		return 0, wrong(t, v)
	}
	return f, nil
}

func text(t *core.LiteralType, v any) (string, error) {
	s, ok := v.(string)
	switch {
	case !ok && v != nil:
		return "", fmt.Errorf("%w; put it in quotes to make it a string", wrong(t, v))
	case !ok:
		return "", wrong(t, v)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%s is not valid UTF-8", describe(s))
	}
	return s, nil
}

func boolean(t *core.LiteralType, v any) (bool, error) {
	switch v {
	case true, "true":
		return true, nil
	case false, "false":
		return false, nil
	}
	return false, fmt.Errorf("%w; use true or false", wrong(t, v))
}

func datetime(t *core.LiteralType, v any) (time.Time, error) {
	const hint = "%w; use an RFC 3339 time such as 2026-01-31T09:00:00Z"
	var at time.Time
	switch v := v.(type) {
	case time.Time:
		at = v
	case string:
		var err error
		if at, err = time.Parse(time.RFC3339, v); err != nil {
			if at, err = time.Parse(time.DateOnly, v); err != nil {
				return time.Time{}, fmt.Errorf(hint, wrong(t, v))
			}
		}
	default:
		return time.Time{}, fmt.Errorf(hint, wrong(t, v))
	}
	if year := at.UTC().Year(); year < 1 || year > 9999 {
		return time.Time{}, fmt.Errorf("%s lies outside the years 1 to 9999", describe(v))
	}
	return at, nil
}

func duration(t *core.LiteralType, v any) (time.Duration, error) {
	switch v := v.(type) {
	case time.Duration:
		return v, nil
	case string:
		if d, err := time.ParseDuration(v); err == nil {
			return d, nil
		}
		if d, ok := isoDuration(v); ok {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%w; use a duration such as 90s, 1h30m or PT90S", wrong(t, v))
}

// isoDuration reads an ISO 8601 duration of weeks, days, hours, minutes and
// seconds. Years and months have no fixed length.
func isoDuration(s string) (time.Duration, bool) {
	s, negative := strings.CutPrefix(s, "-")
	s, found := strings.CutPrefix(s, "P")
	days, clock, timed := strings.Cut(s, "T")
	if !found || s == "" || timed && clock == "" {
		return 0, false
	}
	var gotext strings.Builder // The same in Go's notation, which checks for overflow.
	if negative {
		gotext.WriteByte('-')
	}
	for units, hours := "WD", map[byte]int{'W': 7 * 24, 'D': 24}; days != ""; {
		i := strings.IndexAny(days, units)
		if i < 0 {
			return 0, false
		}
		n, err := strconv.ParseUint(days[:i], 10, 24)
		if err != nil {
			return 0, false
		}
		fmt.Fprintf(&gotext, "%dh", int(n)*hours[days[i]])
		units = units[strings.IndexByte(units, days[i])+1:]
		days = days[i+1:]
	}
	for units := "HMS"; clock != ""; {
		i := strings.IndexAny(clock, units)
		if i <= 0 || strings.Trim(clock[:i], "0123456789.") != "" {
			return 0, false
		}
		gotext.WriteString(clock[:i] + strings.ToLower(clock[i:i+1]))
		units = units[strings.IndexByte(units, clock[i])+1:]
		clock = clock[i+1:]
	}
	d, err := time.ParseDuration(gotext.String())
	return d, err == nil
}

func octets(t *core.LiteralType, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		if b, err := base64.StdEncoding.DecodeString(v); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w; use base64", wrong(t, v))
}
