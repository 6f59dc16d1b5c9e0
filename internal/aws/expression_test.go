package aws_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/schedule"
)

func TestExpressionsInTheWordsOfAWS(t *testing.T) {
	t.Parallel()
	berlin := schedule.Policy{Timezone: "Europe/Berlin"}
	first := schedule.Policy{Timezone: "Europe/Berlin", DSTRepeat: "first"}
	start, end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	const field, rules, sched = "spec.entity_metadata.schedule", aws.Rules, aws.Scheduler
	for _, c := range []struct {
		expression string
		policy     schedule.Policy
		api        string
		want       string // with the zone behind it
		problem    string // its field, and some of it
	}{
		{"0 10 * * ? *", schedule.Policy{}, rules, "cron(0 10 * * ? *)", ""},
		{"cron(15 10 ? * 6L 2026-2030)", schedule.Policy{}, rules, "cron(15 10 ? * 6L 2026-2030)", ""},
		{"0 18 ? * MON-FRI *", schedule.Policy{Timezone: "UTC"}, rules, "cron(0 18 ? * MON-FRI *)", ""},
		{"rate(5 minutes)", schedule.Policy{}, rules, "rate(5 minutes)", ""},
		{"rate(1 hour)", berlin, rules, "rate(1 hour)", ""},
		{"@every 90m", schedule.Policy{}, rules, "rate(90 minutes)", ""},
		{"@every 90s", schedule.Policy{}, rules, "", field + " AWS cannot express"},
		{"0 10 * * *", schedule.Policy{}, rules, "cron(0 10 * * ? *)", ""},
		{"*/15 9-17 * * MON-FRI", schedule.Policy{}, rules, "cron(0/15 9-17 ? * MON-FRI *)", ""},
		{"@daily", schedule.Policy{}, rules, "cron(0 0 * * ? *)", ""},
		{"0 10 * * 0", schedule.Policy{}, rules, "cron(0 10 ? * SUN *)", ""},
		{"0 0 13 * FRI", schedule.Policy{}, rules, "", field + " two schedules"},
		{"CRON_TZ=UTC 0 10 * * *", schedule.Policy{}, rules, "cron(0 10 * * ? *)", ""},
		{"0 10 * * ? *", berlin, rules, "", "annotation tminus.dev/timezone api to scheduler"},
		{"CRON_TZ=Europe/Berlin 0 10 * * *", schedule.Policy{}, rules, "", field + " Europe/Berlin"},
		{"at(2030-01-31T09:00:00)", schedule.Policy{}, rules, "cron(0 9 31 JAN ? 2030)", ""},
		{"at(2030-01-31T09:00:30)", schedule.Policy{}, rules, "", field + " full minutes"},

		{"0 10 * * ? *", berlin, sched, "cron(0 10 * * ? *) Europe/Berlin", ""},
		{"0 10 * * *", berlin, sched, "cron(0 10 * * ? *) Europe/Berlin", ""},
		{"30 2 * * ? *", berlin, sched, "cron(30 2 * * ? *) Europe/Berlin", ""},
		{"30 2 * * *", berlin, sched, "", "annotation tminus.dev/dst-repeat Europe/Berlin"},
		{"30 2 * * *", first, sched, "cron(30 2 * * ? *) Europe/Berlin", ""},
		{"30 2 * * ? *", schedule.Policy{Timezone: "Europe/Berlin", DSTGap: "next"}, sched, "", "annotation tminus.dev/dst-gap Europe/Berlin"},
		{"30 2 * * *", schedule.Policy{Timezone: "Asia/Kolkata"}, sched, "cron(30 2 * * ? *) Asia/Kolkata", ""},
		{"at(2030-01-31T09:00:30)", berlin, sched, "at(2030-01-31T09:00:30) Europe/Berlin", ""},
		{"0 10 * * ? *", schedule.Policy{StartAt: start, EndAt: end}, sched, "cron(0 10 * * ? *) from 2026-01-01 to 2027-01-01", ""},
		{"0 10 * * ? *", schedule.Policy{StartAt: start, EndAt: end, Jitter: time.Hour, MaxRuns: 3}, rules, "cron(0 10 * * ? *)", ""},
	} {
		x, err := aws.Express(schedule.Spec{Expression: c.expression, Policy: c.policy}, c.api)
		if c.problem != "" {
			i := strings.LastIndex(c.problem, "tminus.dev/")
			wantField, want, _ := strings.Cut(c.problem[max(i, 0):], " ")
			if i > 0 {
				wantField = c.problem[:i] + wantField
			}
			e, ok := errors.AsType[*invalid.Error](err)
			if !ok || e.Field != wantField || !strings.Contains(e.Problem, want) {
				t.Errorf("%s for %s: %v, want %q about %s", c.expression, c.api, err, want, wantField)
			}
			continue
		}
		got := x.Expression
		if x.Timezone != "" {
			got += " " + x.Timezone
		}
		if !x.Start.IsZero() {
			got += " from " + x.Start.Format(time.DateOnly)
		}
		if !x.End.IsZero() {
			got += " to " + x.End.Format(time.DateOnly)
		}
		if err != nil || got != c.want {
			t.Errorf("%s for %s: %s (%v), want %s", c.expression, c.api, got, err, c.want)
		}
	}
}
