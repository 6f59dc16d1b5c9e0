package cron

import (
	"strings"
	"time"
)

const atLayout = "2006-01-02T15:04:05"

// parseAt parses at(yyyy-mm-ddThh:mm:ss), the wall-clock time of a schedule that fires once. As AWS does, it takes neither blanks
// nor a zone.
func parseAt(expr string) (Schedule, error) {
	const form = "at(yyyy-mm-ddThh:mm:ss), as in at(2026-01-31T09:00:00)"
	all := span{0, len(expr)}
	text, open := strings.CutPrefix(expr, "at(")
	text, closed := strings.CutSuffix(text, ")")
	if !open || !closed {
		hint := "write at in lower case, without blanks before or after it"
		if !strings.HasSuffix(strings.TrimSpace(expr), ")") {
			hint = "close the parenthesis"
		}
		return Schedule{}, all.err(expr, At, "expression", form, hint)
	}
	inner := span{len("at("), len("at(") + len(text)}
	t, err := time.Parse(atLayout, text)
	if err != nil || len(text) != len(atLayout) {
		return Schedule{}, inner.err(expr, At, "time", "yyyy-mm-ddThh:mm:ss", atHint(text))
	}
	year, month, day := t.Date()
	if year < firstYear || year > lastYearAWS {
		return Schedule{}, span{inner.start, inner.start + 4}.err(expr, At, "time", "a year from 1970 to 2199", "")
	}
	p := pattern{
		dialect: At, gap: GapSkip, repeat: RepeatFirst,
		minutes: 1 << t.Minute(), hours: 1 << t.Hour(), days: 1 << day, months: 1 << month, weekdays: allWeekdays,
	}
	p.years[(year-firstYear)/64] = 1 << ((year - firstYear) % 64)
	return Schedule{pattern: p, anchor: int64(t.Second())}, nil
}

func atHint(text string) string {
	_, err := time.Parse(atLayout, text)
	_, zoned := time.Parse(atLayout+"Z07:00", text)
	switch {
	case err != nil && strings.HasSuffix(err.Error(), "out of range"):
		return err.Error()[strings.LastIndex(err.Error(), ": ")+2:]
	case zoned == nil:
		return "leave out the zone: the time is that of the schedule's zone"
	case len(text) == len(time.DateOnly):
		return "add the time, as in 2026-01-31T09:00:00"
	case len(text) == len("2006-01-02T15:04"):
		return "add the seconds, as in 2026-01-31T09:00:00"
	case strings.TrimSpace(text) != text:
		return "write the time without blanks around it"
	}
	return ""
}
