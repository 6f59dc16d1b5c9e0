package aws

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tminus.dev/cron"
	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
)

// Expression is what AWS is told about when a schedule comes due.
type Expression struct {
	// Expression is cron(…), rate(…) or, for EventBridge Scheduler alone, at(…).
	Expression string
	// Timezone is an IANA name; empty means UTC, which is all that rules know.
	Timezone string
	// Start and End bound the slots for EventBridge Scheduler; zero means unbounded.
	Start, End time.Time
}

const (
	expressionField = "spec.entity_metadata.schedule"
	annotation      = "annotation " + schedule.AnnotationPrefix
)

// Express says when a launch plan comes due in the words of an API. What AWS cannot do,
// or what is too long for it, is an *invalid.Error that says what to do instead.
//
// What a policy takes away from the slots of an expression is none of AWS's
// business, but for bounds, which save messages: the ledger leaves it out. Nor is
// jitter: the ledger puts launches off by an amount that previews tell in advance,
// which those of a flexible time window would not.
func Express(plan ident.Key, spec schedule.Spec, api string) (Expression, error) {
	x, err := express(spec, api)
	if err == nil {
		err = fits(x, plan, spec.KickoffInput, api)
	}
	if err != nil {
		return Expression{}, err
	}
	return x, nil
}

// The most characters that AWS takes, by the models of its APIs.
const (
	mostExpression  = 256
	mostDescription = 512  // of a rule or schedule
	mostTemplate    = 8192 // of a rule's target
)

// fits checks that nothing of what AWS is told is too long for it.
func fits(x Expression, plan ident.Key, kickoffInput, api string) error {
	body, err := compose(api, plan, kickoffInput)
	if err != nil {
		return err
	}
	switch body, description := utf8.RuneCountInString(body), utf8.RuneCountInString(Description(plan)); {
	case len(x.Expression) > mostExpression:
		return invalid.Field(expressionField, "AWS takes %d characters, and in its words it has %d: use lists and ranges that are shorter, or several launch plans", mostExpression, len(x.Expression))
	case description > mostDescription:
		return invalid.Field("id.name", "AWS takes descriptions of %d characters, and that of this launch plan, which has project, domain and name, has %d: use shorter names", mostDescription, description)
	case api != Scheduler && body > mostTemplate:
		return invalid.Field(expressionField+".kickoff_time_input_arg", "a message that names it, and the launch plan, has %d characters, and AWS takes %d: use a shorter name", body, mostTemplate)
	}
	return nil
}

func express(spec schedule.Spec, api string) (Expression, error) {
	s, err := cron.Parse(spec.Expression)
	if err != nil {
		return Expression{}, invalid.Field(expressionField, "%v", err)
	}
	if s.Period() != 0 {
		rate, err := s.Convert(cron.Rate)
		if err != nil {
			return Expression{}, unexpressed(err)
		}
		return bounded(Expression{Expression: rate.String()}, spec.Policy, api), nil
	}
	zone, err := zoneOf(spec, s, api)
	if err != nil {
		return Expression{}, err
	}
	x := bounded(Expression{Timezone: zone}, spec.Policy, api)
	if s.Dialect() == cron.At && api == Scheduler {
		x.Expression = s.String()
		return x, nil
	}
	converted, err := s.Convert(cron.AWS)
	if err != nil {
		return Expression{}, unexpressed(err)
	}
	text := converted.String()
	if s.Dialect() == cron.AWS { // As it was written: AWS may know it, whatever we make of it.
		text = strings.TrimSpace(spec.Expression)
	}
	x.Expression = "cron(" + strings.TrimSuffix(strings.TrimPrefix(text, "cron("), ")") + ")"
	return x, nil
}

// unexpressed is an error for what has no equivalent.
func unexpressed(err error) error {
	if e, ok := errors.AsType[*cron.ConvertError](err); ok {
		return invalid.Field(expressionField, "AWS cannot express %s: %s: %s", e.Expr, e.Field, e.Reason)
	}
	return invalid.Field(expressionField, "AWS cannot express it: %v", err)
}

func bounded(x Expression, p schedule.Policy, api string) Expression {
	if api == Scheduler {
		x.Start, x.End = p.StartAt, p.EndAt
	}
	return x
}

// utc are the names of the zone that AWS uses where none is said.
var utc = []string{"", "UTC", "Etc/UTC", "Etc/UCT", "UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu", "GMT", "Etc/GMT"}

// zoneOf is the zone of a cron expression, if AWS can do it.
func zoneOf(spec schedule.Spec, s cron.Schedule, api string) (string, error) {
	name, field := spec.Policy.Timezone, annotation+"timezone"
	if name == "" {
		name, field = s.Location().String(), expressionField
	}
	if slices.Contains(utc, name) {
		return "", nil
	}
	if api != Scheduler {
		return "", invalid.Field(field, "CloudWatch Events rules know UTC alone, and this is %s: write the expression in UTC, or set scheduler.eventScheduler.api to scheduler, which knows zones", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return "", invalid.Field(field, "%v", err)
	}
	s = s.In(zone)
	ours := s.WithGap(schedule.Gaps[spec.Policy.DSTGap]).WithRepeat(schedule.Repeats[spec.Policy.DSTRepeat])
	theirs := s.WithGap(cron.GapSkip).WithRepeat(cron.RepeatFirst)
	if at, differ := differ(ours, theirs, zone, time.Now()); differ {
		field := annotation + "dst-repeat"
		if spec.Policy.DSTGap == "next" {
			field = annotation + "dst-gap"
		}
		return "", invalid.Field(field, "when clocks change in %s, as on %s, EventBridge Scheduler leaves out what falls into a gap, and fires once, the first time, in an hour that comes twice; set dst-gap to skip and dst-repeat to first, or choose another hour or zone",
			name, at.In(zone).Format(time.DateOnly))
	}
	return name, nil
}

const (
	// transitions is how many changes of clocks are looked at: some years' worth.
	transitions = 12
	// around is how much of the time before and after one, as clocks change by less.
	around = 3 * time.Hour
)

// differ finds a change of clocks after now around which two schedules have other slots.
func differ(a, b cron.Schedule, zone *time.Location, now time.Time) (at time.Time, differ bool) {
	at = now.In(zone)
	for range transitions {
		_, at = at.ZoneBounds()
		if at.IsZero() {
			break
		}
		from, to := at.Add(-around), at.Add(around)
		if !slices.EqualFunc(slices.Collect(a.Between(from, to)), slices.Collect(b.Between(from, to)), time.Time.Equal) {
			return at, true
		}
	}
	return time.Time{}, false
}
