package cron

import (
	"strings"
	"time"
)

// A Schedule says when something fires: a parsed expression together with the zone and the rules it is evaluated by, or a
// combination of several. It is an immutable value of 96 bytes, safe for concurrent use. The zero Schedule never fires.
//
// Use [Schedule.Equal] to compare two: == tells apart what was written differently.
type Schedule struct {
	pattern pattern
	zone    *zone // nil is UTC
	period  int64 // of a rate, in seconds; else 0
	anchor  int64 // of a rate, in Unix seconds; of at(…), the second of the minute; else 0
	set     *set  // what the slots are combined with; nil for one expression
}

// A Dialect is a kind of schedule, as its expression is written.
type Dialect uint8

// The dialects. The zero Dialect belongs to the zero Schedule, to unions, and to errors about text that is in no dialect.
const (
	AWS  Dialect = iota + 1 // six fields, as in cron(0 10 * * ? *)
	Unix                    // five fields and @aliases, as robfig/cron and so Flyte's own scheduler read them
	Rate                    // a fixed period: rate(5 minutes) or @every 5m
	At                      // once: at(2026-01-31T09:00:00), as EventBridge Scheduler has it
)

// String returns "aws", "unix", "rate", "at", or "unknown".
func (d Dialect) String() string {
	switch d {
	case AWS:
		return "aws"
	case Unix:
		return "unix"
	case Rate:
		return "rate"
	case At:
		return "at"
	}
	return "unknown"
}

// Parse parses an expression in any dialect, which it tells from the form:
// cron(…) or six bare fields are AWS cron, rate(…) is a rate, at(…) a single time; five fields, @aliases, the bare aliases
// of flytekit (daily, hours, …) and a CRON_TZ= or TZ= prefix are unix cron.
//
// The error is a *[SyntaxError].
func Parse(expr string) (Schedule, error) {
	s, err := read(expr)
	if err != nil {
		return s, suggest(err, read)
	}
	return s, nil
}

// MustParse is [Parse] for expressions that are part of a program, in variables of packages and in tests: it panics with the error.
func MustParse(expr string) Schedule {
	s, err := Parse(expr)
	if err != nil {
		panic(err)
	}
	return s
}

func read(expr string) (Schedule, error) {
	whole := trim(expr)
	text := whole.in(expr)
	switch {
	case hasZone(text), strings.HasPrefix(text, "@"):
		return readUnix(expr)
	case wrapped(text, "cron"), wrapped(text, "at"):
		return readAWS(expr)
	case wrapped(text, "rate"):
		return readRate(expr)
	}
	switch fields, n := split(expr, whole); {
	case n == len(awsFields):
		return parseAWS(expr, fields)
	case n == len(unixFields):
		return parseUnix(expr, fields)
	case n == 1 && alias(text) != "":
		return readUnix(expr)
	case n == len(awsFields)+1:
		return Schedule{}, countErr(expr, whole, 0, n, "drop the seconds: schedules have a precision of one minute")
	default:
		return Schedule{}, countErr(expr, whole, 0, n, "")
	}
}

// In returns s evaluated in loc: its fields are wall-clock time there, and what it returns has that location.
// A nil loc is UTC, the default. A rate keeps its slots and only reports them in loc. Members of a union are set to loc, too.
//
// The first use of a location reads its changes of clocks, which takes a fraction of a millisecond; schedules share them.
func (s Schedule) In(loc *time.Location) Schedule { return s.in(zoneOf(loc)) }

func (s Schedule) in(z *zone) Schedule {
	s.zone = z
	return s.each(func(m Schedule) Schedule { return m.in(z) }).settle()
}

// Location returns the zone s is evaluated in, never nil.
func (s Schedule) Location() *time.Location {
	if s.zone == nil {
		return time.UTC
	}
	return s.zone.loc
}

// Dialect returns the kind of expression s was parsed from. It is [Rate] exactly if [Schedule.Period] is positive,
// so also for @every; it is 0 for the zero Schedule and for a [Union].
func (s Schedule) Dialect() Dialect { return s.pattern.dialect }

// Equal reports whether s and o are the same schedule: the same dialect, values in each field, period, anchor, zone, and rules for
// gaps and repeats. How the expression was written does not count: 0/15 equals 0,15,30,45, and rate(5 minutes) equals @every 5m.
// But it does not compare slots: what has the same by other fields, as 0 0 * * * and cron(0 0 * * ? *), is not equal.
// Combinations are equal if what they were made of is, in the same order.
func (s Schedule) Equal(o Schedule) bool {
	if !s.zone.same(o.zone) || !s.set.equal(o.set) {
		return false
	}
	s.zone, o.zone, s.set, o.set = nil, nil, nil, nil
	s.pattern.flags &^= writtenEvery | lost
	o.pattern.flags &^= writtenEvery | lost
	return s == o
}
