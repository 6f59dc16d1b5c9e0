package aws_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tminus.dev/internal/aws"
	"tminus.dev/internal/ident"
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
		x, err := aws.Express(key("p", "d", "n"), schedule.Spec{Expression: c.expression, Policy: c.policy}, c.api)
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

// TestWhatIsTooLongForAWSIsRefused has what AWS would refuse at each attempt to put it.
func TestWhatIsTooLongForAWSIsRefused(t *testing.T) {
	t.Parallel()
	minutes := func(n int) string { // n characters of cron(…), an even number
		list := "0" + strings.Repeat(",1", 200)
		return list[:n-len("cron( 10 * * ? *)")] + " 10 * * ? *"
	}
	name := func(n int) ident.Key { // with a description of n characters
		k := key(strings.Repeat("p", 255), strings.Repeat("ü", 100), "")
		k.Name = strings.Repeat("n", n-len([]rune(aws.Description(k))))
		return k
	}
	kickoff := func(n int) string { // with a template of n characters
		text, err := aws.Template(key("p", "d", "n"), "")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Repeat("k", n-len(text))
	}
	plan := key("p", "d", "n")
	for _, c := range []struct {
		what  string
		plan  ident.Key
		spec  schedule.Spec
		apis  []string
		field string // empty where it is taken
	}{
		{"an expression", plan, schedule.Spec{Expression: minutes(256)}, []string{aws.Rules, aws.Scheduler}, ""},
		{"a longer one", plan, schedule.Spec{Expression: minutes(258)}, []string{aws.Rules, aws.Scheduler}, "spec.entity_metadata.schedule"},
		{"names", name(512), schedule.Spec{Expression: "rate(1 day)"}, []string{aws.Rules, aws.Scheduler}, ""},
		{"longer ones", name(513), schedule.Spec{Expression: "rate(1 day)"}, []string{aws.Rules, aws.Scheduler}, "id.name"},
		{"a kickoff input", plan, schedule.Spec{Expression: "rate(1 day)", KickoffInput: kickoff(8192)}, []string{aws.Rules, aws.Scheduler}, ""},
		{"a longer one for rules", plan, schedule.Spec{Expression: "rate(1 day)", KickoffInput: kickoff(8193)}, []string{aws.Rules}, "spec.entity_metadata.schedule.kickoff_time_input_arg"},
		{"a longer one for EventBridge Scheduler", plan, schedule.Spec{Expression: "rate(1 day)", KickoffInput: kickoff(8193)}, []string{aws.Scheduler}, ""},
	} {
		for _, api := range c.apis {
			_, err := aws.Express(c.plan, c.spec, api)
			e, _ := errors.AsType[*invalid.Error](err)
			if (c.field == "") != (err == nil) || (c.field != "" && (e == nil || e.Field != c.field)) {
				t.Errorf("%s, %s: %v, want it about %q", c.what, api, err, c.field)
			}
		}
	}
}
