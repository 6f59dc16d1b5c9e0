package launchplan

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"tminus.dev/cron"
	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

const scheduleField = "spec.entity_metadata.schedule"

// maxRate bounds fixed rates. It is far beyond use, and the period and the
// first slots are sure to be representable.
const maxRate = 100 * 365 * 24 * time.Hour

// ScheduleType says how spec is timed, for Flyte's list filter of that name.
func ScheduleType(spec *admin.LaunchPlanSpec) store.ScheduleType {
	switch spec.GetEntityMetadata().GetSchedule().GetScheduleExpression().(type) {
	case *admin.Schedule_CronExpression, *admin.Schedule_CronSchedule:
		return store.Cron
	case *admin.Schedule_Rate:
		return store.FixedRate
	default:
		return store.NoSchedule
	}
}

// Calendars finds the calendars that schedules exclude, by their names. What it
// does not find is schedule.NoCalendar.
type Calendars func(name string) (schedule.Calendar, error)

// AnyCalendar stands for calendars that nobody can be asked about here: there are all, without days.
func AnyCalendar(name string) (schedule.Calendar, error) { return schedule.Calendar{Name: name}, nil }

// ScheduleSpec is the schedule that a launch plan asks for, nil when it asks
// for none. Cron expressions are taken in either dialect from either field; a
// fixed rate becomes a rate expression. The policy comes from the annotations,
// which must be right even without a schedule, and from concurrency_policy.
//
// Its error is an *invalid.Error, or that of find. Whether the schedule ever fires
// is for [Validate] to say, which knows the time.
func ScheduleSpec(spec *admin.LaunchPlanSpec, find Calendars) (*schedule.Spec, error) {
	policy, err := schedule.ParsePolicy(spec.GetAnnotations().GetValues())
	if err != nil {
		return nil, err
	}
	if policy.MaxRunning, err = maxRunning(spec.GetConcurrencyPolicy()); err != nil {
		return nil, err
	}
	s := spec.GetEntityMetadata().GetSchedule()
	if proto.Size(s) == 0 {
		return nil, nil //nolint:nilnil // No schedule is no error.
	}
	expression, err := expressionOf(s)
	if err != nil {
		return nil, err
	}
	timing := &schedule.Spec{Expression: expression, KickoffInput: s.GetKickoffTimeInputArg(), Policy: policy}
	if err := checkZone(expressionField(s), *timing); err != nil {
		return nil, err
	}
	if timing.Policy, err = policy.Resolve(find); err != nil {
		return nil, err
	}
	if _, err := timing.Compile(time.Time{}); err != nil {
		return nil, err
	}
	return timing, nil
}

// maxRunning is the limit that Flyte's concurrency policy sets; 0 means none.
func maxRunning(p *admin.ConcurrencyPolicy) (uint32, error) {
	const field = "spec.concurrency_policy"
	if proto.Size(p) == 0 {
		return 0, nil
	}
	switch p.GetBehavior() {
	case admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_UNSPECIFIED,
		admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP:
	default:
		return 0, invalid.Field(field+".behavior", "%d is unknown; use SKIP", p.GetBehavior())
	}
	if p.GetMax() < 1 {
		return 0, invalid.Field(field+".max", "%d: 1 is the least", p.GetMax())
	}
	return uint32(p.GetMax()), nil //nolint:gosec // It is positive.
}

// expressionField is where s has its expression.
func expressionField(s *admin.Schedule) string {
	switch s.GetScheduleExpression().(type) {
	case *admin.Schedule_CronExpression:
		return scheduleField + ".cron_expression"
	case *admin.Schedule_CronSchedule:
		return scheduleField + ".cron_schedule.schedule"
	case *admin.Schedule_Rate:
		return scheduleField + ".rate"
	default:
		return scheduleField
	}
}

// expressionOf is s's expression, as cron.Parse reads it.
func expressionOf(s *admin.Schedule) (string, error) {
	field := expressionField(s)
	expression := ""
	switch e := s.GetScheduleExpression().(type) {
	case *admin.Schedule_Rate:
		return rateExpression(e.Rate)
	case *admin.Schedule_CronExpression:
		expression = e.CronExpression
	case *admin.Schedule_CronSchedule:
		if offset := e.CronSchedule.GetOffset(); offset != "" {
			return "", invalid.Field(scheduleField+".cron_schedule.offset",
				"%q: offsets are not applied, by Flyte neither; write the times meant into the expression", offset)
		}
		expression = e.CronSchedule.GetSchedule()
	default:
		return "", invalid.Field(field, "has neither a cron expression nor a rate")
	}
	if strings.TrimSpace(expression) == "" {
		return "", invalid.Field(field, "is empty; give a cron expression, or leave out the schedule")
	}
	return expression, nil
}

// rateExpression writes a fixed rate as AWS does: rate(5 minutes).
func rateExpression(r *admin.FixedRate) (string, error) {
	const field = scheduleField + ".rate"
	var unit string
	var period time.Duration
	switch r.GetUnit() {
	case admin.FixedRateUnit_MINUTE:
		unit, period = "minute", time.Minute
	case admin.FixedRateUnit_HOUR:
		unit, period = "hour", time.Hour
	case admin.FixedRateUnit_DAY:
		unit, period = "day", 24*time.Hour
	default:
		return "", invalid.Field(field+".unit", "%d is unknown; use MINUTE, HOUR or DAY", r.GetUnit())
	}
	value := time.Duration(r.GetValue())
	switch most := maxRate / period; {
	case value < 1:
		return "", invalid.Field(field+".value", "0: 1 is the least")
	case value > most:
		return "", invalid.Field(field+".value", "%d %ss is too long; 100 years (%d) is the most", value, unit, most)
	case value > 1:
		unit += "s"
	}
	return fmt.Sprintf("rate(%d %s)", value, unit), nil
}

// checkZone parses the expression, and refuses a zone that it and the annotation
// disagree on, or that depends on the machine.
func checkZone(field string, timing schedule.Spec) error {
	slots, err := cron.Parse(timing.Expression)
	if err != nil {
		return invalid.Field(field, "%v", err)
	}
	if !schedule.HasZone(timing.Expression) {
		return nil
	}
	zone := slots.Location().String()
	switch {
	case zone == time.Local.String():
		return invalid.Field(field, "%q: Local is another zone on every machine; use a name such as Europe/Berlin, or UTC", timing.Expression)
	case timing.Policy.Timezone != "" && timing.Policy.Timezone != zone:
		return invalid.Field(annotation("timezone"), "is %s, but the expression says %s; leave one of the two out",
			timing.Policy.Timezone, zone)
	}
	return nil
}

// annotation is how errors name an annotation of ours.
func annotation(name string) string { return "annotation " + schedule.AnnotationPrefix + name }

// checkFires refuses a schedule without a slot after now, and says whether the
// expression can have none, has none left, or is left none by the annotations:
// it lifts their limits one by one until there is a slot.
func checkFires(spec *admin.LaunchPlanSpec, timing schedule.Spec, now time.Time) error {
	expression := timing.Expression
	none := func(*schedule.Policy) {}
	exclusions := func(p *schedule.Policy) { p.Exclude = nil }
	bounds := func(p *schedule.Policy) { p.StartAt, p.EndAt = time.Time{}, time.Time{} }
	for _, limit := range []struct {
		lift    func(*schedule.Policy)
		problem error
	}{
		{none, nil},
		{exclusions, invalid.Field(annotation("exclude"), "%q never fires: every slot is excluded", expression)},
		{bounds, boundsError(timing)},
	} {
		limit.lift(&timing.Policy)
		timetable, err := timing.Compile(now)
		if err != nil {
			return err
		}
		if !timetable.Next(now).IsZero() {
			return limit.problem
		}
	}
	field := expressionField(spec.GetEntityMetadata().GetSchedule())
	slots, err := cron.Parse(expression)
	switch {
	case err != nil:
		return invalid.Field(field, "%v", err)
	case slots.Never():
		return invalid.Field(field, "%q can never fire: no such date exists", expression)
	default:
		return invalid.Field(field, "%q never fires again: its last slot was %s", expression,
			slots.Prev(now.Add(time.Second)).UTC().Format(time.RFC3339))
	}
}

// boundsError says that there is no slot between start-at and end-at.
func boundsError(timing schedule.Spec) error {
	start, end := timing.Policy.StartAt, timing.Policy.EndAt
	if end.IsZero() {
		return invalid.Field(annotation("start-at"), "%q never fires: it has no slot from %s on", timing.Expression, start.Format(time.RFC3339))
	}
	return invalid.Field(annotation("end-at"), "%q never fires: it has no slot left until %s", timing.Expression, end.Format(time.RFC3339))
}
