package launchplan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/schedule"
	"tminus.dev/internal/store"
)

// timed is manual with schedule s; its at input is fixed.
func timed(tb testing.TB, s *admin.Schedule) *admin.LaunchPlanSpec {
	tb.Helper()
	spec := manual(tb)
	spec.FixedInputs.Literals["at"] = lit(tb, "datetime", now)
	spec.EntityMetadata = &admin.LaunchPlanMetadata{Schedule: s}
	return spec
}

func cronExpression(e string) *admin.Schedule {
	return &admin.Schedule{ScheduleExpression: &admin.Schedule_CronExpression{CronExpression: e}}
}

func cronSchedule(e string) *admin.Schedule {
	return &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{CronSchedule: &admin.CronSchedule{Schedule: e}}}
}

func rate(value uint32, unit admin.FixedRateUnit) *admin.Schedule {
	return &admin.Schedule{ScheduleExpression: &admin.Schedule_Rate{Rate: &admin.FixedRate{Value: value, Unit: unit}}}
}

func TestScheduleSpec(t *testing.T) {
	for _, c := range []struct {
		name string
		spec *admin.LaunchPlanSpec
		want *schedule.Spec
		kind store.ScheduleType
	}{
		{"no schedule", &admin.LaunchPlanSpec{}, nil, store.NoSchedule},
		{"an empty schedule", timed(t, &admin.Schedule{}), nil, store.NoSchedule},
		{"unix cron", timed(t, cronSchedule("0 3 * * *")), &schedule.Spec{Expression: "0 3 * * *"}, store.Cron},
		{"AWS cron in flytekit's field", timed(t, cronSchedule("0 3 * * ? *")), &schedule.Spec{Expression: "0 3 * * ? *"}, store.Cron},
		{"AWS cron in its field", timed(t, cronExpression("0 3 * * ? *")), &schedule.Spec{Expression: "0 3 * * ? *"}, store.Cron},
		{"unix cron in AWS's field", timed(t, cronExpression("0 3 * * *")), &schedule.Spec{Expression: "0 3 * * *"}, store.Cron},
		{"an alias of flytekit", timed(t, cronSchedule("hourly")), &schedule.Spec{Expression: "hourly"}, store.Cron},
		{"a written rate", timed(t, cronSchedule("rate(2 days)")), &schedule.Spec{Expression: "rate(2 days)"}, store.Cron},
		{"a minute", timed(t, rate(1, admin.FixedRateUnit_MINUTE)), &schedule.Spec{Expression: "rate(1 minute)"}, store.FixedRate},
		{"three hours", timed(t, rate(3, admin.FixedRateUnit_HOUR)), &schedule.Spec{Expression: "rate(3 hours)"}, store.FixedRate},
		{"a hundred years", timed(t, rate(36500, admin.FixedRateUnit_DAY)), &schedule.Spec{Expression: "rate(36500 days)"}, store.FixedRate},
		{"a zone of its own", timed(t, cronSchedule("CRON_TZ=Asia/Tokyo 0 3 * * *")), &schedule.Spec{Expression: "CRON_TZ=Asia/Tokyo 0 3 * * *"}, store.Cron},
		{"annotations without a schedule", edit(&admin.LaunchPlanSpec{}, annotate("overlap", "skip")), nil, store.NoSchedule},
		{
			"a policy", edit(timed(t, cronSchedule("TZ=Asia/Tokyo 0 3 * * *")), annotate("timezone", "Asia/Tokyo", "overlap", "skip", "exclude", "* * 25 12 *"),
				func(s *admin.LaunchPlanSpec) { s.ConcurrencyPolicy = &admin.ConcurrencyPolicy{Max: 2} }),
			&schedule.Spec{Expression: "TZ=Asia/Tokyo 0 3 * * *", Policy: schedule.Policy{
				Timezone: "Asia/Tokyo", Overlap: schedule.OverlapSkip, Exclude: []string{"* * 25 12 *"}, MaxRunning: 2,
			}}, store.Cron,
		},
		{
			"calendars", edit(timed(t, cronSchedule("@daily")), annotate("exclude", "us-holidays", "exclude-1", "yearly", "exclude-2", "closed")),
			&schedule.Spec{Expression: "@daily", Policy: schedule.Policy{
				Exclude: []string{"us-holidays", "yearly", "closed"}, Calendars: []schedule.Calendar{{Name: "closed"}, {Name: "us-holidays"}},
			}}, store.Cron,
		},
		{
			"Flyte's limit alone", edit(timed(t, cronSchedule("@daily")), func(s *admin.LaunchPlanSpec) {
				s.ConcurrencyPolicy = &admin.ConcurrencyPolicy{Max: 1, Behavior: admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP}
			}), &schedule.Spec{Expression: "@daily", Policy: schedule.Policy{MaxRunning: 1}}, store.Cron,
		},
		{
			"an empty limit", edit(timed(t, cronSchedule("@daily")), func(s *admin.LaunchPlanSpec) { s.ConcurrencyPolicy = &admin.ConcurrencyPolicy{} }),
			&schedule.Spec{Expression: "@daily"}, store.Cron,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ScheduleSpec(c.spec, AnyCalendar)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if kind := ScheduleType(c.spec); kind != c.kind {
				t.Errorf("its type is %s, want %s", kind, c.kind)
			}
			if c.want == nil {
				return
			}
			if _, err := Validate(id("plan"), c.spec, city(t), now, AnyCalendar); err != nil {
				t.Errorf("it may not be registered: %v", err)
			}
		})
	}
}

// Each row is a schedule that Flyte registers, or fails on without saying why.
// noCalendar finds none.
func noCalendar(name string) (schedule.Calendar, error) {
	return schedule.Calendar{}, schedule.NoCalendar(name)
}

func TestScheduleSpecRefuses(t *testing.T) {
	const field = "spec.entity_metadata.schedule"
	limit := func(limit int32, behavior admin.ConcurrencyLimitBehavior) func(*admin.LaunchPlanSpec) {
		return func(s *admin.LaunchPlanSpec) {
			s.ConcurrencyPolicy = &admin.ConcurrencyPolicy{Max: limit, Behavior: behavior}
		}
	}
	daily := cronSchedule("@daily")
	for _, c := range []struct {
		name string
		spec *admin.LaunchPlanSpec
		want string // up to a parser's own words, where it ends in a colon
	}{
		{"only a kickoff input", timed(t, &admin.Schedule{KickoffTimeInputArg: "at"}), field + ": has neither a cron expression nor a rate"},
		{"an empty cron expression", timed(t, cronExpression("")), field + ".cron_expression: is empty; give a cron expression, or leave out the schedule"},
		{"a blank cron schedule", timed(t, cronSchedule(" ")), field + ".cron_schedule.schedule: is empty; give a cron expression, or leave out the schedule"},
		{"nonsense", timed(t, cronSchedule("whenever")), field + ".cron_schedule.schedule:"},
		{"four fields", timed(t, cronExpression("0 0 * *")), field + ".cron_expression:"},
		{"every second", timed(t, cronSchedule("@every 1s")), field + ".cron_schedule.schedule:"},
		{"a zone alone", timed(t, cronSchedule("CRON_TZ=UTC")), field + ".cron_schedule.schedule:"},
		{"an unknown zone", timed(t, cronSchedule("CRON_TZ=Mars/Olympus 0 3 * * *")), field + ".cron_schedule.schedule:"},
		{"the machine's zone", timed(t, cronSchedule("CRON_TZ=Local 0 3 * * *")), field + `.cron_schedule.schedule: "CRON_TZ=Local 0 3 * * *": Local is another zone on every machine; use a name such as Europe/Berlin, or UTC`},
		{"two zones", edit(timed(t, cronSchedule("CRON_TZ=Asia/Tokyo 0 3 * * *")), annotate("timezone", "UTC")), "annotation tminus.dev/timezone: is UTC, but the expression says Asia/Tokyo; leave one of the two out"},
		{"an offset", timed(t, &admin.Schedule{ScheduleExpression: &admin.Schedule_CronSchedule{
			CronSchedule: &admin.CronSchedule{Schedule: "@daily", Offset: "PT1H"},
		}}), field + `.cron_schedule.offset: "PT1H": offsets are not applied, by Flyte neither; write the times meant into the expression`},
		{"rate 0", timed(t, rate(0, admin.FixedRateUnit_HOUR)), field + ".rate.value: 0: 1 is the least"},
		{"an unknown unit", timed(t, rate(1, 7)), field + ".rate.unit: 7 is unknown; use MINUTE, HOUR or DAY"},
		{"a long rate", timed(t, rate(36501, admin.FixedRateUnit_DAY)), field + ".rate.value: 36501 days is too long; 100 years (36500) is the most"},
		{"the longest rate", timed(t, rate(1<<32-1, admin.FixedRateUnit_MINUTE)), field + ".rate.value: 4294967295 minutes is too long; 100 years (52560000) is the most"},
		{"an unknown annotation", edit(timed(t, daily), annotate("timezne", "UTC")), "annotation tminus.dev/timezne: unknown; the nearest known one is tminus.dev/timezone"},
		{"a bad annotation without a schedule", edit(manual(t), annotate("jitter", "soon")), `annotation tminus.dev/jitter: "soon": use a duration such as 90s, 30m or 24h`},
		{"a calendar that is not there", edit(timed(t, daily), annotate("exclude-1", "us-holidays")), `annotation tminus.dev/exclude: "us-holidays": there is no such calendar; store it with ` + "`tminus calendars put us-holidays --file FILE`" + `, or use a cron expression such as "* * 25 12 *"`},
		{"a bad exclusion", edit(timed(t, daily), annotate("exclude", "99 * * * *")), "annotation tminus.dev/exclude:"},
		{"a rate as exclusion", edit(timed(t, daily), annotate("exclude", "rate(1 day)")), `annotation tminus.dev/exclude: "rate(1 day)": use a cron expression, not a rate`},
		{"no limit", edit(timed(t, daily), limit(0, admin.ConcurrencyLimitBehavior_CONCURRENCY_LIMIT_BEHAVIOR_SKIP)), "spec.concurrency_policy.max: 0: 1 is the least"},
		{"a negative limit", edit(manual(t), limit(-1, 0)), "spec.concurrency_policy.max: -1: 1 is the least"},
		{"an unknown behavior", edit(timed(t, daily), limit(1, 9)), "spec.concurrency_policy.behavior: 9 is unknown; use SKIP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ScheduleSpec(c.spec, noCalendar)
			if got != nil || err == nil {
				t.Fatalf("got %v, want the error %s", got, c.want)
			}
			if strings.HasSuffix(c.want, ":") && strings.HasPrefix(err.Error(), c.want+" ") {
				return
			}
			wantInvalid(t, err, c.want)
		})
	}
}

func TestValidateRefusesSchedulesThatNeverFire(t *testing.T) {
	const field = "spec.entity_metadata.schedule.cron_schedule.schedule"
	for _, c := range []struct {
		name, cron  string
		annotations []string
		want        string
	}{
		{"the 31st of February", "0 0 31 2 *", nil, field + `: "0 0 31 2 *" can never fire: no such date exists`},
		{"the 30th of February, AWS", "0 0 30 2 ? *", nil, field + `: "0 0 30 2 ? *" can never fire: no such date exists`},
		{"bounds do not hide it", "0 0 31 2 *", []string{"end-at", "2030-01-01T00:00:00Z"}, field + `: "0 0 31 2 *" can never fire: no such date exists`},
		{"a past year", "0 0 1 1 ? 2020", nil, field + `: "0 0 1 1 ? 2020" never fires again: its last slot was 2020-01-01T00:00:00Z`},
		{"a year whose last slot is now", "0 0 1 1 ? 2026", nil, field + `: "0 0 1 1 ? 2026" never fires again: its last slot was 2026-01-01T00:00:00Z`},
		{"an end that has passed", "@daily", []string{"end-at", "2025-12-31T00:00:00Z"}, `annotation tminus.dev/end-at: "@daily" never fires: it has no slot left until 2025-12-31T00:00:00Z`},
		{"an end before the first slot", "@monthly", []string{"end-at", "2026-01-31T00:00:00Z"}, `annotation tminus.dev/end-at: "@monthly" never fires: it has no slot left until 2026-01-31T00:00:00Z`},
		{"a start after the last slot", "0 0 1 1 ? 2030", []string{"start-at", "2031-01-01T00:00:00Z"}, `annotation tminus.dev/start-at: "0 0 1 1 ? 2030" never fires: it has no slot from 2031-01-01T00:00:00Z on`},
		{"all excluded", "0 9 * * MON", []string{"exclude", "* 9 * * *"}, `annotation tminus.dev/exclude: "0 9 * * MON" never fires: every slot is excluded`},
		{"the last one excluded", "0 0 1 1 ? 2030", []string{"exclude", "0 0 1 1 *"}, `annotation tminus.dev/exclude: "0 0 1 1 ? 2030" never fires: every slot is excluded`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := edit(timed(t, cronSchedule(c.cron)), annotate(c.annotations...))
			_, err := Validate(id("plan"), s, city(t), now, AnyCalendar)
			wantInvalid(t, err, c.want)
		})
	}
	rare := edit(timed(t, cronSchedule("0 0 29 2 MON")), annotate("start-at", "2090-01-01T00:00:00Z"))
	if _, err := Validate(id("plan"), rare, city(t), now, AnyCalendar); err != nil {
		t.Errorf("rare but not never: %v", err)
	}
	last := timed(t, cronSchedule("1 0 1 1 ? 2026"))
	if _, err := Validate(id("plan"), last, city(t), now, AnyCalendar); err != nil {
		t.Errorf("a minute from now: %v", err)
	}
	if _, err := Validate(id("plan"), last, city(t), now.Add(time.Minute), AnyCalendar); err == nil {
		t.Error("a slot that is now is taken for one to come")
	}
}
