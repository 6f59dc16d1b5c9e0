package cron

import (
	"strings"
	"time"
)

// A Schedule is a parsed expression together with the zone and the rules it is evaluated by. It is an immutable
// value, safe for concurrent use. The zero Schedule never fires.
type Schedule struct {
	dialect Dialect
	gap     Gap
	repeat  Repeat
	every   bool // written @every; otherwise a period is written rate(…)
	cal     calendar
	loc     *time.Location // nil is UTC
	period  int64          // seconds; 0 for cron
	anchor  int64          // Unix seconds
}

// A Dialect is a kind of schedule, as its expression is written.
type Dialect uint8

// The dialects. The zero Dialect belongs to the zero Schedule, and to errors about text that is in no dialect.
const (
	AWS  Dialect = iota + 1 // six fields, as in cron(0 10 * * ? *)
	Unix                    // five fields and @aliases, as robfig/cron and so Flyte's own scheduler read them
	Rate                    // a fixed period: rate(5 minutes) or @every 5m
)

// String returns "aws", "unix", "rate", or "unknown".
func (d Dialect) String() string {
	switch d {
	case AWS:
		return "aws"
	case Unix:
		return "unix"
	case Rate:
		return "rate"
	}
	return "unknown"
}

// Parse parses an expression in any dialect, which it tells from the form:
// cron(…) or six bare fields are AWS cron, rate(…) is a rate; five fields, @aliases, the bare aliases
// of flytekit (daily, hours, …) and a CRON_TZ= or TZ= prefix are unix cron.
//
// The error is a *[SyntaxError].
func Parse(expr string) (Schedule, error) {
	whole := trim(expr)
	text := whole.in(expr)
	switch {
	case hasZone(text), strings.HasPrefix(text, "@"):
		return ParseUnix(expr)
	case wrapped(text, "cron"):
		return ParseAWS(expr)
	case wrapped(text, "rate"):
		return ParseRate(expr)
	case wrapped(text, "at"):
		return Schedule{}, whole.err(expr, 0, "expression", "cron(…), rate(…) or a unix cron expression",
			"at(…) fires once and is no recurring schedule")
	}
	switch _, n := split(expr, whole); {
	case n == len(awsFields):
		return ParseAWS(expr)
	case n == len(unixFields), n == 1 && alias(text) != "":
		return ParseUnix(expr)
	case n == len(awsFields)+1:
		return Schedule{}, countErr(expr, whole, 0, n, "drop the seconds: schedules have a precision of one minute")
	default:
		return Schedule{}, countErr(expr, whole, 0, n, "")
	}
}

// In returns s evaluated in loc: its fields are wall-clock time there, and what it returns has that location.
// A nil loc is UTC, the default. A rate keeps its slots and only reports them in loc.
func (s Schedule) In(loc *time.Location) Schedule {
	if loc == time.UTC {
		loc = nil
	}
	s.loc = loc
	return s
}

// Location returns the zone s is evaluated in, never nil.
func (s Schedule) Location() *time.Location {
	if s.loc == nil {
		return time.UTC
	}
	return s.loc
}

// Dialect returns the kind of expression s was parsed from. It is [Rate] exactly if [Schedule.Period] is positive,
// so also for @every; it is 0 for the zero Schedule.
func (s Schedule) Dialect() Dialect { return s.dialect }

// Equal reports whether s and o are the same schedule: the same dialect, slots, zone, and rules for gaps and repeats.
// How the expression was written does not count: 0/15 equals 0,15,30,45, and rate(5 minutes) equals @every 5m.
func (s Schedule) Equal(o Schedule) bool {
	same := sameZone(s.Location(), o.Location())
	s.loc, o.loc = nil, nil
	s.every, o.every = false, false
	return same && s == o
}
